"""Small networks to transform, and what runs them: ONNX Runtime with every rewriting switched off.

ONNX's own evaluator cannot compute transposed convolutions of several groups.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
import onnxruntime
from model_files import node, proto, stored, value

from workbench.model import Model, from_proto
from workbench.ranges import CalibrationTable, Range

RNG = np.random.default_rng(7)


def weights(*shape: int, scale: float = 0.5) -> np.ndarray:
    return (np.random.default_rng(sum(shape)).standard_normal(shape) * scale).astype(np.float32)


def norm(name: str, x: str, y: str, channels: int) -> tuple[onnx.NodeProto, list]:
    rng = np.random.default_rng(channels)
    stats = {
        "gamma": rng.uniform(0.5, 1.5, channels), "beta": rng.normal(size=channels),
        "mean": rng.normal(size=channels), "var": rng.uniform(0.5, 2, channels),
    }  # fmt: skip
    made = [stored(f"{name}.{key}", array.astype(np.float32)) for key, array in stats.items()]
    return node("BatchNormalization", [x, *(t.name for t in made)], [y], name), made


def residual(opset: int = 17) -> Model:
    """Conv, BN, Relu; a residual block whose shortcut is the Relu; pooling, Gemm, Softmax."""
    bn1, w1 = norm("bn1", "c1", "b1", 4)
    bn2, w2 = norm("bn2", "c2", "b2", 4)
    nodes = [
        node("Conv", ["x", "k1"], ["c1"], "conv1", pads=[1, 1, 1, 1]),
        bn1,
        node("Relu", ["b1"], ["r1"], "relu1"),
        node("Conv", ["r1", "k2"], ["c2"], "conv2", pads=[1, 1, 1, 1]),
        bn2,
        node("Add", ["b2", "r1"], ["s"], "add"),
        node("Relu", ["s"], ["r2"], "relu2"),
        node("GlobalAveragePool", ["r2"], ["p"], "pool"),
        node("Flatten", ["p"], ["f"], "flat"),
        node("Gemm", ["f", "g", "gb"], ["logits"], "fc", transB=1),
        node("Softmax", ["logits"], ["y"], "soft", axis=-1),
    ]
    initial = [
        stored("k1", weights(4, 3, 3, 3)), stored("k2", weights(4, 4, 3, 3)),
        stored("g", weights(5, 4)), stored("gb", weights(5)), *w1, *w2,
    ]  # fmt: skip
    return from_proto(
        proto(nodes, [value("x", [1, 3, 8, 8])], [value("y", [1, 5])], initial, opset=opset)
    )


def branches() -> Model:
    """Two convolutions into a Concat, a MaxPool behind it, two readers: an Inception block."""
    nodes = [
        node("Conv", ["x", "a"], ["ca"], "conv_a"),
        node("Relu", ["ca"], ["ra"], "relu_a"),
        node("Conv", ["x", "b"], ["cb"], "conv_b"),
        node("Relu", ["cb"], ["rb"], "relu_b"),
        node("Concat", ["ra", "rb"], ["j"], "join", axis=1),
        node("MaxPool", ["j"], ["m"], "pool", kernel_shape=[2, 2], strides=[2, 2]),
        node("Conv", ["m", "c"], ["y"], "conv_c"),
    ]
    initial = [
        stored("a", weights(2, 3, 1, 1)), stored("b", weights(3, 3, 1, 1)),
        stored("c", weights(4, 5, 1, 1)),
    ]  # fmt: skip
    return from_proto(proto(nodes, [value("x", [1, 3, 8, 8])], [value("y", [1, 4, 4, 4])], initial))


def picture(model: Model, seed: int = 0) -> dict[str, np.ndarray]:
    spec = model.graph.inputs[0]
    shape = tuple(int(dim) for dim in spec.shape or ())
    return {spec.name: np.random.default_rng(seed).standard_normal(shape).astype(np.float32)}


def run(model: Model, feeds: Mapping[str, np.ndarray], *extra: str) -> dict[str, np.ndarray]:
    message = model.to_proto()
    message.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in extra)
    names = [output.name for output in message.graph.output]
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        message.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return dict(zip(names, session.run(None, dict(feeds)), strict=True))


def max_abs_table(model: Model, seeds: int = 3) -> CalibrationTable:
    """Ranges of every float tensor of a small model, from a few random pictures."""
    names = [spec.name for spec in model.graph.tensors if spec.dtype == "float32"]
    found: dict[str, Range] = {}
    for seed in range(seeds):
        feeds = picture(model, seed)
        for name, array in {**run(model, feeds, *names), **feeds}.items():
            low, high = float(array.min()), float(array.max())
            if name in found:
                low, high = min(low, found[name].low), max(high, found[name].high)
            found[name] = Range(low, high)
    return CalibrationTable("minmax", found, model.digest, "", seeds)


def relative(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.linalg.norm(np.asarray(a, np.float64) - b) / np.linalg.norm(b))
