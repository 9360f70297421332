"""Any convex set of nodes, cut out, computes bit for bit what it computes in the whole."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper

from workbench.errors import ModelError
from workbench.graph import Graph
from workbench.model import Model, from_proto, load

SHAPE = (1, 4, 5, 5)
UNARY = ("Relu", "Sigmoid", "Neg", "Tanh", "Softmax", "Conv", "Reshape", "If")


def _weight(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def _unary(op: str, i: int, tensor: str) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    name, out = f"n{i}", f"t{i}"
    if op == "Conv":
        weight = numpy_helper.from_array(_weight(i, 4, 4, 3, 3), f"w{i}")
        return [helper.make_node(op, [tensor, weight.name], [out], name, pads=[1] * 4)], [weight]
    if op == "Reshape":
        shape = numpy_helper.from_array(np.array(SHAPE, np.int64))
        nodes = [
            helper.make_node("Constant", [], [f"s{i}"], f"constant{i}", value=shape),
            helper.make_node("Identity", [f"s{i}"], [f"folded{i}"], f"folded{i}"),
            helper.make_node(op, [tensor, f"folded{i}"], [out], name),
        ]
        return nodes, []
    if op == "If":
        bodies = [
            helper.make_graph(
                [helper.make_node(kind, [tensor], [f"{kind}{i}"], f"{kind}{i}")], kind, [],
                [helper.make_tensor_value_info(f"{kind}{i}", 1, SHAPE)],
            )
            for kind in ("Abs", "Exp")
        ]  # fmt: skip
        node = helper.make_node(
            op, ["flag"], [out], name, then_branch=bodies[0], else_branch=bodies[1]
        )
        return [node], []
    return [helper.make_node(op, [tensor], [out], name)], []


@st.composite
def models(draw: st.DrawFn) -> onnx.ModelProto:
    nodes: list[onnx.NodeProto] = []
    weights: list[onnx.TensorProto] = []
    tensors = ["x"]
    for i in range(draw(st.integers(2, 12))):
        op = draw(st.sampled_from((*UNARY, "Add", "Mul")))
        first = draw(st.sampled_from(tensors[-4:]))
        if op in ("Add", "Mul"):
            second = draw(st.sampled_from(tensors))
            nodes.append(helper.make_node(op, [first, second], [f"t{i}"], f"n{i}"))
        else:
            made, kept = _unary(op, i, first)
            nodes += made
            weights += kept
        tensors.append(f"t{i}")
    inputs = [
        helper.make_tensor_value_info("x", 1, SHAPE),
        helper.make_tensor_value_info("flag", 9, []),
    ]
    read = {tensor for node in nodes for tensor in node.input}
    outputs = [t for t in tensors[1:] if t not in read]
    graph = helper.make_graph(
        nodes, "g", inputs, [helper.make_tensor_value_info(t, 1, None) for t in outputs], weights
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def run(content: bytes, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    names = [item.name for item in session.get_outputs()]
    wanted = {item.name for item in session.get_inputs()}
    found = session.run(names, {name: array for name, array in feeds.items() if name in wanted})
    return dict(zip(names, found, strict=True))


def closed(graph: Graph, picked: set[int]) -> set[int]:
    """The smallest convex set that holds the picked nodes: all that lies on paths between them."""

    def reach(edges) -> set[int]:
        seen, todo = set(picked), list(picked)
        while todo:
            for j in edges[todo.pop()]:
                if j not in seen:
                    seen.add(j)
                    todo.append(j)
        return seen

    return reach(graph.successors) & reach(graph.predecessors)


def everything(model: Model) -> dict[str, np.ndarray]:
    """The value of every tensor of the whole model."""
    tensors = [t for node in model.graph.nodes for t in node.makes]
    whole = model.extract([node.name for node in model.graph.nodes], outputs=tensors)
    feeds = {"x": _weight(99, *SHAPE), "flag": np.array(True)}
    return feeds | run(whole.serialize(), feeds)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(models(), st.data())
def test_pieces_compute_the_same(proto, data):
    model = load(proto.SerializeToString())
    values = everything(model)
    graph = model.graph
    picked = data.draw(st.sets(st.sampled_from(range(len(graph.nodes))), min_size=1))
    names = [graph.nodes[i].name for i in closed(graph, picked)]
    part = model.extract(names)
    assert {node.name for node in part.graph.nodes} >= set(names)
    assert part.warnings == ()
    for name, array in run(part.serialize(), values).items():
        np.testing.assert_array_equal(array.view(np.uint8), values[name].view(np.uint8))


@settings(max_examples=60, deadline=None)
@given(models(), st.data())
def test_sets_that_are_not_convex_are_refused(proto, data):
    model = from_proto(proto)
    graph = model.graph
    picked = data.draw(st.sets(st.sampled_from(range(len(graph.nodes))), min_size=1))
    names = [graph.nodes[i].name for i in picked]
    if closed(graph, picked) == picked:
        model.extract(names)
    else:
        with pytest.raises(ModelError, match="leaves them and comes back"):
            model.extract(names)


@settings(max_examples=40, deadline=None)
@given(proto=models(), external=st.booleans())
def test_save_then_load_is_identity(tmp_path_factory, proto, external):
    model = from_proto(proto)
    path = model.save(tmp_path_factory.mktemp("saved") / "net.onnx", external_data=external)
    again = load(path)
    assert again.digest == model.digest
    assert again.graph == model.graph.__class__(
        model.graph.name, again.graph.inputs, again.graph.outputs, model.graph.nodes,
        again.graph.initializers, again.graph.tensors,
    )  # fmt: skip
    assert again.serialize() == model.serialize()
