"""What must fit once shapes are inferred: axes in their rank, parts in their whole, channels."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import onnx

from workbench.graph import TensorSpec
from workbench.model.checks.attributes import ints_of, refusal
from workbench.model.checks.scope import Seen
from workbench.model.plain import tensor_spec, value_spec
from workbench.text import shown

Specs = dict[str, TensorSpec]

_AXIS_OPS = frozenset(
    {"Softmax", "LogSoftmax", "Hardmax", "Concat", "Gather", "GatherElements", "ScatterElements",
     "Split", "ArgMax", "ArgMin", "LayerNormalization", "TopK", "SplitToSequence", "Compress",
     "DequantizeLinear", "QuantizeLinear", "Flatten"}
)  # fmt: skip
_AXES_OPS = ("Reduce", "Squeeze", "Unsqueeze", "Slice")
_AXES_INPUT = {"Slice": 3}
"""Place of the input that holds the axes, where it is not the second."""


def check_fit(nodes: Iterable[Seen], specs: Specs) -> None:
    """Refuse axes outside a known rank, parts that do not add up, channels that do not divide.

    Args:
        nodes: of a model with inferred types.
        specs: its tensors.
    """
    for seen in nodes:
        spec = specs.get(seen.node.input[0]) if seen.native and seen.node.input else None
        if spec is None or spec.shape is None:
            continue
        _check_axes(seen, len(spec.shape))
        match seen.node.op_type:
            case "Split":
                _check_split(seen, spec.shape)
            case "Conv":
                _check_channels(seen, spec.shape)
            case "DepthToSpace":
                _check_block(seen, spec.shape)


def specs_of(graph: onnx.GraphProto) -> Specs:
    """Type and shape of every tensor that has them, by name."""
    found = {
        info.name: value_spec(info) for info in (*graph.input, *graph.value_info, *graph.output)
    }
    found.update((tensor.name, tensor_spec(tensor)) for tensor in graph.initializer)
    return found


def _axes(seen: Seen) -> list[int]:
    node = seen.node
    if node.op_type in _AXIS_OPS:
        return ints_of(node, "axis") or []
    if not node.op_type.startswith(_AXES_OPS):
        return []
    given = ints_of(node, "axes")
    constant = seen.values(_AXES_INPUT.get(node.op_type, 1)) if given is None else None
    if constant is not None and constant.dtype.kind == "i":
        return [int(axis) for axis in np.ravel(constant)]
    return given or []


def _check_axes(seen: Seen, rank: int) -> None:
    node, axes = seen.node, _axes(seen)
    low, high = -max(rank, 1), max(rank, 1) - 1
    if node.op_type == "Flatten":
        high = rank
    elif node.op_type == "Unsqueeze":
        low, high = -rank - len(axes), rank + len(axes) - 1
    elif node.op_type.endswith("izeLinear"):
        # The default axis 1 is allowed, and ignored, for lower ranks with one scale.
        low, high = (low, max(high, 1)) if rank else (-(1 << 63), 1 << 63)
    for axis in axes:
        if not low <= axis <= high:
            raise refusal(
                node,
                f"axis {axis} does not exist in its input {shown(node.input[0])} of rank {rank}",
            )


def _check_split(seen: Seen, shape: tuple[int | str, ...]) -> None:
    node = seen.node
    sizes = seen.values(1) if seen.opset >= 13 else ints_of(node, "split")
    if not shape or sizes is None:
        return
    axis = (ints_of(node, "axis") or [0])[0]
    extent = shape[axis]
    total = sum(int(size) for size in np.ravel(sizes))
    if isinstance(extent, int) and total != extent:
        raise refusal(
            node,
            f"the parts have {shown([int(s) for s in np.ravel(sizes)])}, {total} together, but "
            f"axis {axis} of {shown(node.input[0])} has {extent}",
        )


def _check_channels(seen: Seen, shape: tuple[int | str, ...]) -> None:
    weight = seen.stored(1)
    if weight is None or len(weight.dims) < 2 or len(shape) < 2 or not isinstance(shape[1], int):
        return
    group = (ints_of(seen.node, "group") or [1])[0]
    if shape[1] != weight.dims[1] * group:
        raise refusal(
            seen.node,
            f"its input {shown(seen.node.input[0])} has {shape[1]} channels, but group {group} and "
            f"the weight {shown(weight.name)} of shape {list(weight.dims)} take "
            f"{weight.dims[1] * group}",
        )


def _check_block(seen: Seen, shape: tuple[int | str, ...]) -> None:
    block = (ints_of(seen.node, "blocksize") or [1])[0]
    if len(shape) > 1 and isinstance(shape[1], int) and shape[1] % block**2:
        raise refusal(
            seen.node,
            f"blocksize is {block}, but {shape[1]} channels cannot be dealt out to "
            f"{block} x {block} places",
        )
