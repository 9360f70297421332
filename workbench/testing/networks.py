"""The small networks the checks are made on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from workbench.model import Model, from_proto


def small_network(batch: int | str = 2) -> Model:
    """A residual block with everything backends like to fuse, fold and drop; outputs ``y, top, r``.

    Input ``x``: float32 of shape (batch, 4, 8, 8).
    """
    seed = np.random.default_rng(7)

    def weight(name: str, *shape: int) -> TensorProto:
        values = seed.normal(0, 0.3, shape).astype(np.float32)
        return numpy_helper.from_array(np.abs(values) + 0.1 if name == "v" else values, name)

    nodes = [
        helper.make_node("Conv", ["x", "w1"], ["c1"], "conv1", pads=[1, 1, 1, 1]),
        helper.make_node("BatchNormalization", ["c1", "s", "b", "m", "v"], ["n1"], "bn1"),
        helper.make_node("Relu", ["n1"], ["r1"], "relu1"),
        helper.make_node("Mul", ["w2", "half"], ["w2h"], "halved"),
        helper.make_node("Conv", ["r1", "w2h"], ["c2"], "conv2", pads=[1, 1, 1, 1]),
        helper.make_node("Add", ["c2", "x"], ["a"], "add"),
        helper.make_node("Relu", ["a"], ["r"], "relu2"),
        helper.make_node("Identity", ["r"], ["i"], "same"),
        helper.make_node("GlobalAveragePool", ["i"], ["g"], "pool"),
        helper.make_node("Flatten", ["g"], ["f"], "flatten"),
        helper.make_node("Gemm", ["f", "w3", "b3"], ["l"], "gemm"),
        helper.make_node("Softmax", ["l"], ["y"], "softmax", axis=1),
        helper.make_node("ArgMax", ["l"], ["top"], "argmax", axis=1, keepdims=0),
    ]
    stored = [weight("w1", 4, 4, 3, 3), weight("w2", 4, 4, 3, 3), weight("w3", 4, 5)]
    stored += [weight(name, 4) for name in "sbmv"] + [weight("b3", 5)]
    stored.append(numpy_helper.from_array(np.array([0.5], np.float32), "half"))
    block = [batch, 4, 8, 8]
    outputs = [("y", "float32", [batch, 5]), ("top", "int64", [batch]), ("r", "float32", block)]
    return network(nodes, [("x", "float32", block)], outputs, stored)


def network(
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[tuple[str, str, Sequence[int | str]]],
    outputs: Sequence[tuple[str, str, Sequence[int | str]]],
    stored: Sequence[TensorProto] = (),
    opset: int = 17,
) -> Model:
    """A model of ONNX nodes; inputs and outputs are name, dtype and shape."""

    def ends(values: Sequence[tuple[str, str, Sequence[int | str]]]) -> list[onnx.ValueInfoProto]:
        return [
            helper.make_tensor_value_info(
                name, helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), list(shape)
            )
            for name, dtype, shape in values
        ]

    graph = helper.make_graph(nodes, "small", ends(inputs), ends(outputs), list(stored))
    domains = {"": opset} | {node.domain: 1 for node in nodes if node.domain}
    opsets = [helper.make_opsetid(domain, version) for domain, version in domains.items()]
    return from_proto(helper.make_model(graph, opset_imports=opsets, ir_version=8))


def picture(batch: int = 2, seed: int = 0) -> np.ndarray:
    """Feed of `small_network`'s ``x``, the same for the same seed."""
    return np.random.default_rng(seed).normal(0, 1, (batch, 4, 8, 8)).astype(np.float32)
