"""The ranges that a quantized model carries in its QuantizeLinear nodes."""

from __future__ import annotations

import warnings

import numpy as np

from workbench.errors import DataError, ModelError
from workbench.graph import Node
from workbench.model import Model
from workbench.partitioning.layout import layout
from workbench.ranges import CalibrationTable, Range
from workbench.text import listed, shown

_LIMITS = {
    "int8": (-128, 127), "uint8": (0, 255), "int16": (-32768, 32767), "uint16": (0, 65535),
    "int4": (-8, 7), "uint4": (0, 15),
}  # fmt: skip


def from_quantized(model: Model) -> CalibrationTable:
    """The table of the activations that a model quantizes, by the names of the tensors quantized.

    A symmetric range (zero point 0, signed) ends at the largest integer times the scale on both
    sides, as TensorRT counts it; others at what the integers reach. Weights have no ranges.
    The table is bound to the quantized model's digest.

    Raises:
        DataError: nothing is quantized, or a scale is zero, negative or no number; names the node.
    """
    graph = model.graph
    folded = layout(graph).folded
    fixed = {spec.name for spec in graph.initializers}
    fixed.update(name for i in folded for name in graph.nodes[i].makes)
    ranges: dict[str, Range] = {}
    per_channel = []
    for i in graph.order:
        node = graph.nodes[i]
        if node.op_type != "QuantizeLinear" or node.inputs[0] in fixed:
            continue
        scale = _values(model, node, 1)
        if scale.size > 1:
            per_channel.append(node.name)
            continue
        found = _range(model, node, float(scale.reshape(-1)[0]))
        _refuse_another(ranges.get(node.inputs[0]), found, node)
        ranges[node.inputs[0]] = found
    if per_channel:
        warnings.warn(
            f"activations quantized by channel have no single range and are left out: "
            f"{listed(per_channel)}",
            RuntimeWarning,
            stacklevel=2,
        )
    if not ranges:
        raise DataError(
            f"model {shown(model.name)} quantizes no activation; give a model with QuantizeLinear "
            "nodes"
        )
    return CalibrationTable(
        "model", ranges, model_digest=model.digest, details={"format": "model", "kind": "Q/DQ"}
    )


def _values(model: Model, node: Node, place: int) -> np.ndarray:
    try:
        return np.asarray(model.weights(node.inputs[place]), np.float64)
    except ModelError as error:
        raise DataError(
            f"node {shown(node.name)}: its {'scale' if place == 1 else 'zero point'} "
            f"{shown(node.inputs[place])} is not stored in the model; fold constants first"
        ) from error


def _range(model: Model, node: Node, scale: float) -> Range:
    if not (np.isfinite(scale) and scale > 0):
        raise DataError(
            f"node {shown(node.name)}: scale {shown(node.inputs[1])} of tensor "
            f"{shown(node.inputs[0])} is {scale:g}; it must be above 0: quantize the model again"
        )
    zero, dtype = 0.0, "uint8"
    if len(node.inputs) > 2 and node.inputs[2]:
        zero = float(_values(model, node, 2).reshape(-1)[0])
        dtype = model.graph.spec(node.inputs[2]).dtype or str(model.weights(node.inputs[2]).dtype)
    if dtype not in _LIMITS:
        raise DataError(
            f"node {shown(node.name)}: quantizes to {shown(dtype)}, which has no evenly spaced "
            "steps; only integer types give a range"
        )
    low, high = _LIMITS[dtype]
    if low < 0 and zero == 0:
        return Range.symmetric(high * scale)
    return Range((low - zero) * scale, (high - zero) * scale)


def _refuse_another(known: Range | None, found: Range, node: Node) -> None:
    if known is not None and known != found:
        raise DataError(
            f"node {shown(node.name)}: quantizes tensor {shown(node.inputs[0])} with another scale "
            "than a node before it; a table holds one range for a tensor: make the two equal"
        )
