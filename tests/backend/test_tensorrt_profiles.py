"""Ranges of what a cut makes an input of an engine: inferred, or asked for with the remedies."""

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from workbench import hybrid
from workbench.backends.base import BuildConfig, ShapeRange
from workbench.backends.tensorrt import TensorRT, adapter
from workbench.model import Model, from_proto
from workbench.partitioning import Exclusion, plan

pytestmark = pytest.mark.skipif(
    "tensorrt_rtx" not in adapter.installed(), reason="tensorrt_rtx is not installed"
)
node = helper.make_node


@pytest.fixture(scope="module")
def rtx():
    backend = TensorRT("tensorrt_rtx")
    yield backend
    backend.close()


def value(name: str, *shape: int | str):
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def model(nodes, inputs, output, functions=(), **weights) -> Model:
    graph = helper.make_graph(
        nodes, "g", inputs, [output], [numpy_helper.from_array(w, n) for n, w in weights.items()]
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("local", 1)]
    return from_proto(
        helper.make_model(graph, opset_imports=opsets, ir_version=9, functions=list(functions))
    )


def whole(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.int64)


TAIL = [node("Sigmoid", ["cut"], ["s"], "native"), node("Tanh", ["s"], ["y"], "tail")]


def built(rtx, network, shapes, *, native=("native",), options=None):
    capability = rtx.capability(network)
    partition = plan(network.graph, capability, exclude=Exclusion(nodes=native)).at(1)
    config = BuildConfig(shapes=shapes, options=options or {})
    return hybrid.build(network, partition, rtx, config=config)


def profile_of(made, tensor: str) -> ShapeRange:
    (found,) = [
        part.engine.config.shapes[tensor]
        for part in made.parts
        if part.kind == "engine" and tensor in part.engine.config.shapes
    ]
    return found


def reshaped() -> Model:
    nodes = [
        node("Relu", ["x"], ["r"], "relu"),
        node("Shape", ["r"], ["shape"], "shape"),
        node("Gather", ["shape", "zero"], ["b"], "gather"),
        node("Unsqueeze", ["b", "axis"], ["b1"], "unsqueeze"),
        node("Concat", ["b1", "rest"], ["to"], "concat", axis=0),
        node("Reshape", ["r", "to"], ["cut"], "reshape"),
        *TAIL,
    ]
    return model(
        nodes, [value("x", "N", 3, "H", 4)], value("y", "N", "K"),
        zero=whole(0).reshape(()), axis=whole(0), rest=whole(-1),
    )  # fmt: skip


IMAGE = {"x": ShapeRange((1, 3, 2, 4), (4, 3, 8, 4), (8, 3, 16, 4))}


def test_through_arithmetic_on_shapes(rtx):
    made = built(rtx, reshaped(), IMAGE)
    assert not made.failures
    assert profile_of(made, "s") == ShapeRange((1, 24), (4, 96), (8, 192))


def test_a_cut_through_the_shape_itself_names_the_tensor_and_both_remedies(rtx):
    made = built(rtx, reshaped(), IMAGE, native=("gather",))
    reason = made.failures[0].reason
    assert "input b is a shape that is known only at run time" in reason
    assert "'shape_values': {'b': ShapeRange(min, opt, max)}" in reason
    assert "min_subgraph_size" in reason
    given = {"shape_values": {"b": ShapeRange((1,), (4,), (8,))}}
    assert "b" not in str(built(rtx, reshaped(), IMAGE, native=("gather",), options=given).failures)


def joined() -> Model:
    nodes = [
        node("Conv", ["a", "w"], ["c"], "conv"),
        node("Concat", ["c", "b"], ["j"], "join", axis=2),
        node("Slice", ["j", "one", "last", "axis"], ["cut"], "slice"),
        *TAIL,
    ]
    return model(
        nodes, [value("a", "N", 3, "H", 8), value("b", "N", 8, "M", 6)], value("y", "N", 8, "Q", 6),
        w=np.ones((8, 3, 3, 3), np.float32), one=whole(1), last=whole(-1), axis=whole(2),
    )  # fmt: skip


BOTH = {
    "a": ShapeRange((1, 3, 4, 8), (2, 3, 8, 8), (4, 3, 16, 8)),
    "b": ShapeRange((1, 8, 1, 6), (2, 8, 5, 6), (4, 8, 9, 6)),
}


def test_from_two_inputs(rtx):
    made = built(rtx, joined(), BOTH)
    assert profile_of(made, "s") == ShapeRange((1, 8, 1, 6), (2, 8, 9, 6), (4, 8, 21, 6))


def test_an_extent_nobody_gave_a_range_is_never_guessed(rtx):
    with pytest.raises(ValueError, match=r"input b of shape \(N, 8, M, 6\) has no range"):
        built(rtx, joined(), {"a": BOTH["a"]})


def test_an_input_whose_extents_all_follow_from_others_needs_no_range(rtx):
    nodes = [node("Add", ["a", "b"], ["cut"], "add"), *TAIL]
    network = model(nodes, [value("a", "N", 4), value("b", "N", 1)], value("y", "N", 4))
    made = built(rtx, network, {"a": ShapeRange((1, 4), (2, 4), (8, 4))})
    assert profile_of(made, "b") == ShapeRange((1, 1), (2, 1), (8, 1))


def test_what_does_not_follow_is_asked_for_and_taken(rtx):
    nodes = [
        node("Shape", ["x"], ["shape"], "shape"),
        node("Div", ["k", "shape"], ["d"], "div"),
        node("ConstantOfShape", ["d"], ["cut"], "fill"),
        *TAIL,
    ]
    network = model(nodes, [value("x", "N", "M")], value("y", "P", "Q"), k=whole(64, 64))
    shapes = {"x": ShapeRange((1, 2), (4, 4), (8, 16))}
    words = r"engine 1 \(1 node: tail\).*input s .* has no range; .*shapes=.*min_subgraph_size"
    with pytest.raises(ValueError, match=words):
        built(rtx, network, shapes)
    asked = ShapeRange((8, 4), (16, 16), (64, 32))
    assert profile_of(built(rtx, network, {**shapes, "s": asked}), "s") == asked
    with pytest.raises(ValueError, match=r"shapes names sss; .*no part reads it"):
        built(rtx, network, {**shapes, "sss": asked})


def test_through_the_branches_of_an_if_and_a_function(rtx):
    branches = {
        f"{which}_branch": helper.make_graph(
            [node(kind, ["q"], [which], f"{which}_in")], which, [], [value(which)]
        )
        for which, kind in (("then", "Relu"), ("else", "Tanh"))
    }
    for graph in branches.values():
        graph.output[0].type.tensor_type.ClearField("shape")
    twice = helper.make_function(
        "local", "Twice", ["p"], ["o"], [node("Add", ["p", "p"], ["o"])],
        [helper.make_opsetid("", 17)],
    )  # fmt: skip
    nodes = [
        node("Twice", ["x"], ["q"], "call", domain="local"),
        node("ReduceMax", ["x"], ["m"], "max", keepdims=0),
        node("Greater", ["m", "k"], ["c"], "greater"),
        node("If", ["c"], ["cut"], "choice", **branches),
        *TAIL,
    ]
    network = model(
        nodes, [value("x", "N", 4)], value("y", "N", 4), [twice], k=np.array(0.5, np.float32)
    )
    limits = ShapeRange((1, 4), (2, 4), (8, 4))
    assert profile_of(built(rtx, network, {"x": limits}), "s") == limits
