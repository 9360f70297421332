"""What the shapes say once they are inferred: axes that exist, tensors that fit the machine."""

from __future__ import annotations

import math

import numpy as np
import onnx

from workbench.errors import ModelError
from workbench.graph import ITEM_BITS, TensorSpec
from workbench.model.checks.attributes import ints_of, refusal
from workbench.model.checks.scope import Seen, nodes_seen
from workbench.model.limits import Limits
from workbench.model.payload import Store, dtype_name
from workbench.model.plain import tensor_spec, value_spec
from workbench.text import shown

Specs = dict[str, TensorSpec]

_AXIS_OPS = frozenset(
    {"Softmax", "LogSoftmax", "Hardmax", "Concat", "Gather", "GatherElements", "ScatterElements",
     "Split", "ArgMax", "ArgMin", "LayerNormalization", "TopK", "SplitToSequence", "Compress",
     "DequantizeLinear", "QuantizeLinear"}
)  # fmt: skip
_AXES_OPS = ("Reduce", "Squeeze")


def check_shapes(model: onnx.ModelProto, store: Store, limits: Limits) -> None:
    """Refuse axes outside a known rank, splits that do not add up, and tensors beyond the budget.

    Args:
        model: with inferred types.
        store: payloads.
        limits: `allocation_bytes` counts here.
    """
    specs = _specs(model.graph)
    for seen in nodes_seen(model, store):
        if seen.native:
            _check_axes(seen, specs)
            _check_split(seen, specs)
            made = _made_from_constants(seen, specs)
            if made is not None:
                _check_bytes(seen.node, seen.node.output[0], *made, limits)
        for tensor in seen.node.output:
            spec = specs.get(tensor)
            if spec is not None and spec.shape:
                extents = [dim for dim in spec.shape if isinstance(dim, int)]
                if len(extents) == len(spec.shape):
                    _check_bytes(seen.node, tensor, extents, spec.dtype, limits)


def _specs(graph: onnx.GraphProto) -> Specs:
    found = {
        info.name: value_spec(info) for info in (*graph.input, *graph.value_info, *graph.output)
    }
    found.update((tensor.name, tensor_spec(tensor)) for tensor in graph.initializer)
    return found


def _check_bytes(
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


def _check_axes(seen: Seen, specs: Specs) -> None:
    node = seen.node
    spec = specs.get(node.input[0]) if node.input else None
    if spec is None or spec.shape is None:
        return
    axes: list[int] = []
    if node.op_type in _AXIS_OPS and not (node.op_type.endswith("izeLinear") and not spec.shape):
        axes = ints_of(node, "axis") or []
    elif node.op_type.startswith(_AXES_OPS) or node.op_type == "Flatten":
        axes = ints_of(node, "axes") or ints_of(node, "axis") or []
        constant = seen.values(1) if not axes else None
        if constant is not None and constant.dtype.kind == "i":
            axes = [int(axis) for axis in np.ravel(constant)]
    rank = len(spec.shape)
    high = rank if node.op_type == "Flatten" else max(rank, 1) - 1
    if node.op_type.endswith("izeLinear"):
        # The default axis 1 is allowed, and ignored, for lower ranks with one scale.
        high = max(high, 1)
    for axis in axes:
        if not -max(rank, 1) <= axis <= high:
            raise refusal(
                node,
                f"axis {axis} does not exist in its input {shown(node.input[0])} of rank {rank}",
            )


def _check_split(seen: Seen, specs: Specs) -> None:
    node = seen.node
    if node.op_type != "Split":
        return
    spec = specs.get(node.input[0])
    sizes = seen.values(1) if seen.opset >= 13 else ints_of(node, "split")
    if spec is None or not spec.shape or sizes is None:
        return
    axis = (ints_of(node, "axis") or [0])[0]
    extent = spec.shape[axis]
    total = sum(int(size) for size in np.ravel(sizes))
    if isinstance(extent, int) and total != extent:
        raise refusal(
            node,
            f"the parts have {shown([int(s) for s in np.ravel(sizes)])}, {total} together, but "
            f"axis {axis} of {shown(node.input[0])} has {extent}",
        )


def check_count(model: onnx.ModelProto, limits: Limits) -> None:
    """Refuse a graph of more nodes than the budget, before anything walks it."""
    count = len(model.graph.node)
    if count > limits.nodes:
        raise ModelError(
            f"the graph has {count} nodes; the limit is {limits.nodes}. If the file is trusted, "
            "allow more with Limits(nodes=...)"
        )
