"""What a model may ask of the machine: nodes to walk, bytes of each tensor."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import onnx

from workbench.errors import ModelError
from workbench.graph import ITEM_BITS
from workbench.model.checks.attributes import refusal
from workbench.model.checks.fitting import Specs
from workbench.model.checks.scope import Seen
from workbench.model.limits import Limits
from workbench.model.payload import dtype_name
from workbench.text import shown


def check_bytes(nodes: Iterable[Seen], specs: Specs, limits: Limits) -> None:
    """Refuse tensors beyond the budget.

    Args:
        nodes: of a model with inferred types.
        specs: its tensors.
        limits: `allocation_bytes` counts here.
    """
    for seen in nodes:
        if seen.native:
            made = _made_from_constants(seen, specs)
            if made is not None:
                _check_tensor(seen.node, seen.node.output[0], *made, limits)
        for tensor in seen.node.output:
            spec = specs.get(tensor)
            if spec is not None and spec.shape:
                extents = [dim for dim in spec.shape if isinstance(dim, int)]
                if len(extents) == len(spec.shape):
                    _check_tensor(seen.node, tensor, extents, spec.dtype, limits)


def _check_tensor(
    node: onnx.NodeProto, tensor: str, extents: list[int], dtype: str, limits: Limits
) -> None:
    if any(extent < 0 for extent in extents):
        raise refusal(
            node, f"its output {shown(tensor)} would have shape {shown(extents)}: the extents "
            "overflow"
        )  # fmt: skip
    need = math.prod(extents) * ITEM_BITS.get(dtype, 8) // 8
    if need > limits.allocation_bytes:
        raise refusal(
            node,
            f"its output {shown(tensor)} would have shape {shown(extents)} and need {need} bytes; "
            f"the limit is {limits.allocation_bytes}",
            "if the file is trusted, allow more with Limits(allocation_bytes=...)",
        )


def _made_from_constants(seen: Seen, specs: Specs) -> tuple[list[int], str] | None:
    """Shape and type of what a node makes of constants; shape inference overflows on some."""
    match seen.node.op_type:
        case "ConstantOfShape":
            shape = seen.values(0)
            value = next((item.t for item in seen.node.attribute if item.name == "value"), None)
            dtype = "float32" if value is None else dtype_name(value.data_type)
            return None if shape is None else ([int(dim) for dim in np.ravel(shape)], dtype)
        case "Expand":
            shape = seen.values(1)
            return None if shape is None else (_wide(shape), _dtype(seen, specs))
        case "Tile":
            return _tiled(seen, specs)
        case "Range":
            return _ranged(seen)
    return None


def _wide(shape: np.ndarray) -> list[int]:
    return [max(int(dim), 1) for dim in np.ravel(shape)]


def _dtype(seen: Seen, specs: Specs) -> str:
    spec = specs.get(seen.node.input[0])
    return spec.dtype if spec else ""


def _tiled(seen: Seen, specs: Specs) -> tuple[list[int], str] | None:
    repeats = seen.values(1)
    spec = specs.get(seen.node.input[0])
    if repeats is None or spec is None or spec.shape is None or len(spec.shape) != repeats.size:
        return None
    # A dynamic extent counts as one: the least it can be.
    pairs = zip(spec.shape, np.ravel(repeats), strict=True)
    return [(dim if isinstance(dim, int) else 1) * int(n) for dim, n in pairs], spec.dtype


def _ranged(seen: Seen) -> tuple[list[int], str] | None:
    values = [seen.values(place) for place in range(3)]
    if any(value is None or value.size != 1 or value.dtype.kind not in "iuf" for value in values):
        return None
    start, stop, step = (float(np.ravel(value)[0]) for value in values if value is not None)
    count = (stop - start) / step if step else 0.0
    if not math.isfinite(count):
        raise refusal(seen.node, f"a range from {start:g} to {stop:g} has no end")
    tensor = seen.stored(0)
    return [max(0, math.ceil(count))], dtype_name(tensor.data_type) if tensor is not None else ""


def check_count(model: onnx.ModelProto, limits: Limits) -> None:
    """Refuse a graph of more nodes than the budget, before anything walks it."""
    count = len(model.graph.node)
    if count > limits.nodes:
        raise ModelError(
            f"the graph has {count} nodes; the limit is {limits.nodes}. If the file is trusted, "
            "allow more with Limits(nodes=...)"
        )
