"""The reference's own operators against ONNX Runtime, which shares no code with them."""

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from workbench import backends
from workbench.model import from_proto


def _model(node: onnx.NodeProto, shape: tuple[int, ...]) -> onnx.ModelProto:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph([node], "one", [x], [y])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def _both(node: onnx.NodeProto, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    model = from_proto(_model(node, x.shape))
    found = []
    for name in ("reference", "onnxruntime"):
        with backends.get(name).build(model).session() as session:
            found.append(session.run({"x": x})["y"])
    return found[0], found[1]


@pytest.mark.parametrize(("channels", "size"), [(7, 1), (7, 3), (7, 5), (3, 5), (64, 5)])
@pytest.mark.parametrize("batch", [1, 2, 9])
def test_lrn(channels: int, size: int, batch: int):
    node = helper.make_node("LRN", ["x"], ["y"], size=size, alpha=0.3, beta=0.75, bias=1.5)
    x = np.random.default_rng(size).standard_normal((batch, channels, 3, 4)).astype(np.float32)
    ours, theirs = _both(node, x)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


@settings(max_examples=60, deadline=None)
@given(
    kernel=st.integers(1, 3),
    stride=st.integers(1, 3),
    lead=st.integers(0, 2),
    trail=st.integers(0, 2),
    dilation=st.integers(1, 2),
    ceil_mode=st.booleans(),
    extent=st.integers(6, 11),
)
def test_max_pool(kernel, stride, lead, trail, dilation, ceil_mode, extent):
    lead, trail = min(lead, kernel - 1), min(trail, kernel - 1)
    node = helper.make_node(
        "MaxPool", ["x"], ["y"], kernel_shape=[kernel, 2], strides=[stride, 1],
        pads=[lead, 0, trail, 1], dilations=[dilation, 1], ceil_mode=int(ceil_mode),
    )  # fmt: skip
    x = np.random.default_rng(extent).standard_normal((2, 3, extent, 5)).astype(np.float32)
    ours, theirs = _both(node, x)
    np.testing.assert_array_equal(ours, theirs)


def test_max_pool_with_indices_is_left_to_onnx():
    node = helper.make_node("MaxPool", ["x"], ["y", "i"], kernel_shape=[2, 2], strides=[2, 2])
    x = np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4)
    ours, theirs = _both(node, x)
    np.testing.assert_array_equal(ours, theirs)
