"""Counting parameters, operations and bytes; reports on operator sets."""

import numpy as np
import pytest
from model_files import INT64, conv, ints, node, proto, stored, value
from onnx import helper

from workbench.errors import ModelError
from workbench.model import from_proto, opset_report, statistics


def _count(op, shapes, out=None, *, weights=(), **attributes):
    """Operations and bytes of one node over inputs of these shapes."""
    inputs = [value(f"x{i}", shape) for i, shape in enumerate(shapes)]
    names = [spec.name for spec in inputs] + [tensor.name for tensor in weights]
    model = proto([node(op, names, ["y"], **attributes)], inputs, [value("y", out)], weights)
    cost = statistics(from_proto(model)).costs[0]
    return cost.flops, cost.bytes_moved


def _zeros(name, *shape):
    return stored(name, np.zeros(shape, np.float32))


@pytest.mark.parametrize(
    ("flops", "moved", "op", "shapes", "weights", "attributes"),
    [
        # 3x3 over 4 channels to 8, 6x6 outputs, with bias
        (2 * 8 * 36 * 36 + 8 * 36, 4 * (256 + 288 + 8 + 288), "Conv", [[1, 4, 8, 8]],
         [_zeros("w", 8, 4, 3, 3), _zeros("b", 8)], {}),
        # depthwise: one channel each
        (2 * 4 * 36 * 9, 4 * (256 + 36 + 144), "Conv", [[1, 4, 8, 8]], [_zeros("w", 4, 1, 3, 3)],
         {"group": 4}),
        (2 * 256 * 5 * 9, 4 * (256 + 180 + 500), "ConvTranspose", [[1, 4, 8, 8]],
         [_zeros("w", 4, 5, 3, 3)], {}),
        (2 * 2 * 5 * 3 + 10, 4 * (6 + 15 + 5 + 10), "Gemm", [[2, 3]],
         [_zeros("w", 5, 3), _zeros("b", 5)], {"transB": 1}),
        (2 * 7 * 2 * 5 * 3, 4 * (42 + 15 + 70), "MatMul", [[7, 2, 3]], [_zeros("w", 3, 5)], {}),
        (2 * 2 * 3 * 5, 4 * (6 + 15 + 10), "Einsum", [[2, 3]], [_zeros("w", 3, 5)],
         {"equation": "ij,jk->ik"}),
        (4 * 16 * 4, 4 * (256 + 64), "MaxPool", [[1, 4, 8, 8]], [],
         {"kernel_shape": [2, 2], "strides": [2, 2]}),
        (256, 4 * (256 + 4), "GlobalAveragePool", [[1, 4, 8, 8]], [], {}),
        (512, 4 * (512 + 16), "BatchNormalization", [[1, 4, 8, 8]],
         [_zeros(n, 4) for n in "sbmv"], {}),
        (50, 80, "Softmax", [[2, 5]], [], {}),
        (10, 80, "Relu", [[2, 5]], [], {}),
        (20, 160, "Sum", [[2, 5]] * 3, [], {}),
        (10, 120, "Add", [[2, 5]] * 2, [], {}),
        (10, 84, "Add", [[2, 5], [1]], [], {}),
        (10, 44, "ReduceSum", [[2, 5]], [], {"keepdims": 0}),
        (0, 0, "Reshape", [[2, 5]], [ints("s", 5, 2)], {}),
        (0, 80, "Transpose", [[2, 5]], [], {}),
        (0, 2 * 4 * 3 + 8, "Gather", [[100, 3]], [ints("i", 7)], {}),
        (2 * 4 * 3 * 2 * 6 * (5 + 6), 4 * (30 + 120 + 144 + 36), "LSTM", [[3, 2, 5]],
         [_zeros("w", 1, 24, 5), _zeros("r", 1, 24, 6)], {"hidden_size": 6}),
    ],
)  # fmt: skip
def test_formulas(flops, moved, op, shapes, weights, attributes):
    assert _count(op, shapes, weights=weights, **attributes) == (flops, moved)


class TestSizes:
    def test_the_batch_counts_as_one(self):
        model = from_proto(conv())
        one = statistics(model)
        assert one.sizes == {"N": 1}
        assert one.flops == 2 * 64 * 4 * 3 * 49
        assert statistics(model, sizes={"N": 5}).flops == 5 * one.flops

    def test_unbound_names_are_unknown_not_guessed(self):
        model = from_proto(proto([node("Relu", ["x"], ["y"])], [value("x", [1, "L"])]))
        counted = statistics(model)
        assert counted.unknown == ("n",)
        assert counted.costs[0].flops is None
        assert counted.flops == 0
        assert statistics(model, sizes={"L": 7}).flops == 7

    def test_derived_extents_follow(self):
        nodes = [node("MaxPool", ["x"], ["y"], kernel_shape=[2], strides=[2])]
        model = from_proto(proto(nodes, [value("x", ["N", 1, "L"])]))
        assert statistics(model, sizes={"N": 1, "L": 9}).flops == 8

    def test_unknown_operators_are_unknown(self):
        model = from_proto(proto([node("Foo", ["x"], ["y"], domain="d")], domains=["d"]))
        assert statistics(model).unknown == ("n",)
        assert statistics(model).operators == {"d::Foo": 1}

    @pytest.mark.parametrize("size", [0, -1, 1.5, "4", True])
    def test_bad_sizes(self, size):
        with pytest.raises(ModelError, match="whole number"):
            statistics(from_proto(conv()), sizes={"N": size})


def test_totals_and_operators():
    nodes = [
        node("Constant", [], ["k"], "k", value=stored("", np.float32([1, 2, 3]))),
        node("Neg", ["k"], ["k2"], "folded"),
        node("Relu", ["x"], ["a"], "r1"),
        node("Relu", ["a"], ["b"], "r2"),
        node("Add", ["b", "k2"], ["c"], "add"),
        node("Reshape", ["c", "s"], ["y"], "shape"),
    ]
    counted = statistics(from_proto(proto(nodes, [value("x", [2, 3])], weights=[ints("s", 3, 2)])))
    assert next(iter(counted.operators.items())) == ("Relu", 2)
    assert sum(counted.operators.values()) == 6
    assert counted.parameters == 3
    assert counted.flops == 3 * 6
    assert {cost.node: cost.flops for cost in counted.costs}["folded"] == 0
    assert sum(cost.bytes_moved for cost in counted.costs) == counted.bytes_moved


class TestOpsets:
    def test_the_oldest_that_would_do(self):
        nodes = [node("Relu", ["x"], ["a"], "r"), node("Gelu", ["a"], ["y"], "g")]
        report = opset_report(from_proto(proto(nodes, opset=21, ir=10)), supported=17)
        assert report.imported == {"": 21}
        assert report.needed == {"": 20}
        assert report.newest == {"": ("Gelu",)}
        assert report.beyond == ("g",)
        assert report.unknown == ()

    def test_bodies_and_custom_operators(self):
        body = helper.make_graph([node("Gelu", ["x"], ["o"], "")], "b", [], [value("o", None)])
        nodes = [
            node("If", ["c"], ["a"], "if", then_branch=body, else_branch=body),
            node("Foo", ["a"], ["y"], "foo", domain="d"),
        ]
        inputs = [value("x", [2]), value("c", [], 9)]
        model = from_proto(proto(nodes, inputs, opset=20, ir=9, domains=["d"]))
        report = opset_report(model, supported=17)
        assert report.beyond == ("if",)
        assert report.unknown == ("foo",)

    @pytest.mark.parametrize("supported", [0, -3, True])
    def test_bad_version(self, supported):
        with pytest.raises(ValueError, match="supported is"):
            opset_report(from_proto(conv()), supported=supported)


def test_integer_tensors_are_no_parameters():
    weights = [ints("i", *range(10)), _zeros("w", 3, 8, 8)]
    nodes = [node("Add", ["x", "w"], ["y"]), node("Identity", ["i"], ["z"], "z")]
    model = from_proto(proto(nodes, outputs=[value("y", None), value("z", None, INT64)],
                             weights=weights))  # fmt: skip
    assert statistics(model).parameters == 192
    assert statistics(model).weight_bytes >= 192 * 4 + 80
