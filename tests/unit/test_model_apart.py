"""A model written for a reader in the same moment, which can be stopped on the way."""

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from workbench.errors import CancelledError
from workbench.model import from_proto, load
from workbench.model.saving import write_apart
from workbench.progress import Cancel


@pytest.fixture
def model():
    weights = np.arange(1 << 20, dtype=np.float32).reshape(1024, 1024)
    tensors = [numpy_helper.from_array(weights, name) for name in ("w", "same")]
    tensors.append(numpy_helper.from_array(np.ones(1024, np.float32), "small"))
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"], "first"),
        helper.make_node("MatMul", ["a", "same"], ["b"], "second"),
        helper.make_node("Add", ["b", "small"], ["y"], "add"),
    ]
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, (1, 1024)) for n in ("x", "y")]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], tensors)
    return from_proto(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    )


def test_the_reader_gets_the_same_model(model, tmp_path):
    write_apart(model, tmp_path / "model.onnx", lambda: None)
    again = load(tmp_path / "model.onnx")
    assert again.graph.nodes == model.graph.nodes
    for name in ("w", "same", "small"):
        assert np.array_equal(again.weights(name), model.weights(name))


def test_it_stops_on_the_way(model, tmp_path):
    cancel = Cancel()
    cancel.set()
    with pytest.raises(CancelledError):
        write_apart(model, tmp_path / "model.onnx", cancel.check)
    assert not (tmp_path / "model.onnx").exists()
