"""A model rewritten as TensorRT 8.6 takes it; what it computes stays the same.

8.6 refuses a convolution whose weights are computed, even from constants alone
(``convMultiInput: checkSpatialDims``), so these are computed here. Weights stored in 8 bits are a
case of it: they are stored in float and quantized in the network, which gives the same values.
"""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

_LARGEST = 1 << 28
_NARROW = (onnx.TensorProto.INT8, onnx.TensorProto.UINT8)


def rewritten(data: bytes) -> bytes:
    """The bytes of a model, rewritten; the same bytes where nothing has to be."""
    model = onnx.load_model_from_string(data)
    graph, opsets = model.graph, {one.domain: one.version for one in model.opset_import}
    stored = {tensor.name: tensor for tensor in graph.initializer}
    kept = {value.name for value in graph.output}
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        if node.op_type == "DequantizeLinear" and _is_narrow(node, stored):
            nodes += _requantized(graph, node, stored)
        elif not _folded(graph, node, stored, kept, opsets):
            nodes.append(node)
    if len(nodes) == len(graph.node):
        return data
    del graph.node[:]
    graph.node.extend(nodes)
    return model.SerializeToString()


def _folded(
    graph: onnx.GraphProto,
    node: onnx.NodeProto,
    stored: dict[str, onnx.TensorProto],
    kept: set[str],
    opsets: dict[str, int],
) -> bool:
    """Store what a node computes from constants alone; False where it has to stay."""
    if (
        not node.input
        or node.op_type in ("QuantizeLinear", "DequantizeLinear")
        or kept.intersection(node.output)
        or not all(not name or name in stored for name in node.input)
    ):
        return False
    values = _computed(node, stored, opsets)
    if values is None or sum(value.nbytes for value in values) > _LARGEST:
        return False
    for name, value in zip(node.output, values, strict=True):
        stored[name] = numpy_helper.from_array(np.asarray(value), name)
        graph.initializer.append(stored[name])
    return True


def _computed(
    node: onnx.NodeProto, stored: dict[str, onnx.TensorProto], opsets: dict[str, int]
) -> list[np.ndarray] | None:
    feeds = {name: numpy_helper.to_array(stored[name]) for name in node.input if name}
    evaluator: Any = ReferenceEvaluator
    with contextlib.suppress(Exception):  # What the evaluator lacks, TensorRT may still have.
        return evaluator(node, opsets=opsets).run(None, feeds)
    return None


def _is_narrow(node: onnx.NodeProto, stored: dict[str, onnx.TensorProto]) -> bool:
    """Whether it makes float weights of stored ones in 8 bits, by stored scales."""
    return (
        all(name in stored for name in node.input if name)
        and stored[node.input[0]].data_type in _NARROW
    )


def _requantized(
    graph: onnx.GraphProto, node: onnx.NodeProto, stored: dict[str, onnx.TensorProto]
) -> list[onnx.NodeProto]:
    weights, scale, *zero = (numpy_helper.to_array(stored[name]) for name in node.input if name)
    axis: dict[str, Any] = {one.name: one.i for one in node.attribute if one.name == "axis"}
    shape = [1] * weights.ndim
    if scale.size > 1:
        shape[axis.get("axis", 1)] = -1
    offset = zero[0].astype(np.float32).reshape(shape) if zero else np.float32(0)
    values = (weights.astype(np.float32) - offset) * scale.reshape(shape)
    wide, narrow = f"{node.output[0]}/wide", f"{node.output[0]}/narrow"
    graph.initializer.append(numpy_helper.from_array(values.astype(scale.dtype), wide))
    first = helper.make_node(
        "QuantizeLinear", [wide, *node.input[1:]], [narrow], f"{node.name}/again", **axis
    )
    node.input[0] = narrow
    return [first, node]
