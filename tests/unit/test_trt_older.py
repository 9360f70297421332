"""Models as TensorRT 8.6 takes them compute what they computed before."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from workbench.backends.reference import Reference
from workbench.backends.tensorrt.older import rewritten
from workbench.model import from_proto
from workbench.testing import small_network
from workbench.testing.networks import picture


def test_computed_weights_are_stored():
    before = small_network().serialize()
    after = onnx.load_from_string(rewritten(before))
    stored = {tensor.name for tensor in after.graph.initializer}
    for node in after.graph.node:
        if node.op_type == "Conv":
            assert node.input[1] in stored
    feeds = {"x": picture()}
    for got, right in zip(
        ReferenceEvaluator(after).run(None, feeds),
        ReferenceEvaluator(onnx.load_from_string(before)).run(None, feeds),
        strict=True,
    ):
        assert np.array_equal(got, right)


@pytest.mark.parametrize("axis", [0, None])
def test_weights_in_8_bits_become_float_and_are_quantized_again(axis):
    count = 4 if axis == 0 else 1
    scale = np.linspace(0.01, 0.04, count, dtype=np.float32)
    nodes = [
        helper.make_node(
            "DequantizeLinear", ["w", "s", "z"], ["wf"], "dq", **({"axis": 0} if axis == 0 else {})
        ),
        helper.make_node("Conv", ["x", "wf"], ["y"], "conv"),
    ]
    weights = np.random.default_rng(0).integers(-127, 128, (4, 3, 3, 3)).astype(np.int8)
    shape = (count,) if axis == 0 else ()
    stored = [
        numpy_helper.from_array(weights, "w"),
        numpy_helper.from_array(scale.reshape(shape), "s"),
        numpy_helper.from_array(np.zeros(shape, np.int8), "z"),
    ]
    ends = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 3, 8, 8)),
        helper.make_tensor_value_info("y", TensorProto.FLOAT, (1, 4, 6, 6)),
    ]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], stored)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    after = onnx.load_from_string(rewritten(model.SerializeToString()))
    onnx.checker.check_model(after, full_check=True)
    assert [node.op_type for node in after.graph.node][:2] == ["QuantizeLinear", "DequantizeLinear"]
    x = np.random.default_rng(1).standard_normal((1, 3, 8, 8)).astype(np.float32)
    assert np.array_equal(run(after, x), run(model, x))


def run(model, x):
    with Reference().build(from_proto(model)).session() as session:
        return session.run({"x": x})["y"]


def test_a_model_without_such_weights_stays_byte_for_byte():
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"], "relu")], "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (2,))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, (2,))],
    )  # fmt: skip
    data = helper.make_model(graph).SerializeToString()
    assert rewritten(data) == data
