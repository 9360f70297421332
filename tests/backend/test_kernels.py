"""What backends fused, on real networks: every node accounted for, and behind the right kernel."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from workbench import backends, zoo
from workbench.backends.base import executed
from workbench.graph import Graph, counterparts
from workbench.model import Model, from_proto, load
from workbench.testing import accounts_for, network

LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
QUICK = ("light_inception_v1", "light_resnet50", "light_shufflenet", "light_squeezenet")
SLOW = ("light_bvlc_alexnet", "light_densenet121", "light_inception_v2", "light_zfnet512")
NETWORKS = ("digits_inception", "digits_resnet", "mobilenet_v2", "googlenet", "shufflenet")
LARGE = ("resnet50", "se_resnext50", "inception_v3", "densenet121")
CHANGES_OF_LAYOUT = {"Reorder", "ReorderInput", "ReorderOutput", "Transpose", "Convert", "Cast"}


def slow(names: tuple[str, ...]) -> Iterator[object]:
    return (pytest.param(name, marks=pytest.mark.slow) for name in names)


def missing_edges(graph: Graph, layers: Graph) -> list[tuple[str, str]]:
    """Edges of the original between nodes of different layers that no edge of the layers carries.

    Nodes that do not run, and layers nothing stands behind, are looked through.
    """
    running = {node.name: node for node in executed(layers)}
    behind = {
        name: [layer for layer in found if layer in running]
        for name, found in counterparts(layers).items()
    }
    sources = {
        name: {layers.nodes[layers.producer[t]].name for t in node.reads if t in layers.producer}
        for name, node in running.items()
    }
    reads = {
        name: closure(name, sources, lambda layer: not running[layer].origin) for name in running
    }
    before = {
        node.name: {graph.nodes[j].name for j in graph.predecessors[i]}
        for i, node in enumerate(graph.nodes)
    }
    return [
        (near, node.name)
        for node in graph.nodes
        if behind[node.name]
        for near in closure(node.name, before, lambda name: not behind[name])
        if behind[near]
        and not any(
            source == layer or source in reads[layer]
            for layer in behind[node.name]
            for source in behind[near]
        )
    ]


def closure(start: str, before: dict[str, set[str]], through: object) -> set[str]:
    seen: set[str] = set()
    todo = list(before[start])
    while todo:
        name = todo.pop()
        if name not in seen:
            seen.add(name)
            todo += before[name] if through(name) else []
    return seen


def explained(model: Model, name: str) -> Graph:
    engine = backends.get(name).build(model)
    accounts_for(engine, model)
    layers = engine.layers()
    assert not missing_edges(model.graph, layers)
    own = {node.op_type for node in executed(layers) if not node.origin}
    assert own <= CHANGES_OF_LAYOUT
    return layers


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("file", [*QUICK, *slow(SLOW)])
def test_light_models(file: str, name: str) -> None:
    model = load(LIGHT / f"{file}.onnx")
    layers = explained(model, name)
    fills = {node.name for node in model.graph.nodes if node.op_type == "ConstantOfShape"}
    folded = {n for node in layers.nodes if node.op_type == "Folded" for n in node.origin}
    assert fills <= folded
    several = {n for n, found in counterparts(layers).items() if len(found) > 1}
    assert all(model.graph.nodes[model.graph.position[n]].op_type == "Softmax" for n in several)


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("network_name", [*NETWORKS, *slow(LARGE)])
def test_zoo(network_name: str, name: str) -> None:
    model = zoo.load(network_name, batch=1)
    layers = explained(model, name)
    products = [node.name for node in model.graph.nodes if node.op_type in ("Conv", "Gemm")]
    behind = counterparts(layers)
    assert all(len(behind[product]) == 1 for product in products)
    kernels = [behind[product][0] for product in products]
    assert len(set(kernels)) == len(kernels), "two convolutions behind one kernel"
    assert len(executed(layers)) < len(model.graph.nodes) + 30


def test_residual_kernel_holds_both_ends_of_the_sum() -> None:
    """ResNet-50 in blocked layout: sum and activation run inside the block's last convolution."""
    model = load(LIGHT / "light_resnet50.onnx")
    for name in ("onnxruntime", "openvino"):
        held = {node.origin for node in backends.get(name).build(model).layers().nodes}
        assert ("n10", "n11", "n14", "n15") in held
        assert ("n12", "n13") in held
        assert ("n16", "n17", "n18") in held


def quantized(model: Model, tmp_path: Path) -> Model:
    """Q/DQ around everything, by ONNX Runtime's own quantizer; ranges from one random picture."""
    from onnxruntime.quantization import (
        CalibrationDataReader,
        QuantFormat,
        QuantType,
        quantize_static,
    )

    class One(CalibrationDataReader):
        def __init__(self) -> None:
            (spec,) = model.graph.inputs
            picture = np.random.default_rng(0).normal(0, 1, spec.shape).astype(np.float32)
            self._feeds = iter([{spec.name: picture}])

        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(self._feeds, None)

    model.save(tmp_path / "float.onnx")
    quantize_static(
        tmp_path / "float.onnx", tmp_path / "int8.onnx", One(), quant_format=QuantFormat.QDQ,
        per_channel=True, activation_type=QuantType.QInt8, weight_type=QuantType.QInt8,
        extra_options={"ActivationSymmetric": True},
    )  # fmt: skip
    return load(tmp_path / "int8.onnx")


def test_equal_computations_are_behind_one_kernel() -> None:
    """All weights of the light models are equal, so backends drop one of two equal convolutions."""
    model = load(LIGHT / "light_inception_v1.onnx")
    layers = backends.get("openvino").build(model).layers()
    held = {node.origin for node in layers.nodes}
    assert ("n24", "n25", "n26", "n27") in held


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("network_name", ["digits_resnet", "digits_inception"])
def test_int8(network_name: str, tmp_path: Path) -> None:
    model = quantized(zoo.load(network_name, batch=1), tmp_path)
    x = np.random.default_rng(1).normal(0, 1, model.graph.inputs[0].shape).astype(np.float32)
    results = {}
    for name in ("reference", "onnxruntime", "openvino"):
        with backends.get(name).build(model).session() as session:
            (results[name],) = session.run({model.graph.inputs[0].name: x}).values()
    span = float(np.abs(results["reference"]).max())
    assert np.abs(results["onnxruntime"] - results["reference"]).max() <= 0.05 * span
    assert np.abs(results["openvino"] - results["reference"]).max() <= 0.05 * span
    explained(model, "onnxruntime")
    layers = explained(model, "openvino")
    convolutions = [node for node in layers.nodes if node.op_type == "Convolution"]
    assert convolutions
    assert {node.attributes["precision"] for node in convolutions} <= {"int8", "uint8"}


def test_names_with_commas_are_told_apart() -> None:
    """OpenVINO gives the names behind a kernel as one comma-separated text."""
    weights = numpy_helper.from_array(np.ones((4, 4, 3, 3), np.float32), "w")
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["t,1"], "a,b", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["t,1"], ["t"], "a"),
        helper.make_node("MaxPool", ["t"], ["y"], "b", kernel_shape=[2, 2]),
    ]
    ends = [("x", "float32", [1, 4, 8, 8])], [("y", "float32", [1, 4, 7, 7])]
    layers = backends.get("openvino").build(network(nodes, *ends, [weights])).layers()
    held = {node.origin for node in executed(layers) if node.origin}
    assert held == {("a,b", "a"), ("b",)}


def test_inserted_casts_and_real_precision() -> None:
    """ONNX Runtime has no float16 arithmetic on a CPU: it casts and computes in float32."""
    nodes = [
        helper.make_node("Mul", ["x", "x"], ["t"], "square"),
        helper.make_node("Sqrt", ["t"], ["y"], "root"),
    ]
    model = network(nodes, [("x", "float16", [2, 3])], [("y", "float16", [2, 3])])
    layers = backends.get("onnxruntime").build(model).layers()
    behind = counterparts(layers)
    by_name = {node.name: node for node in layers.nodes}
    for name in ("square", "root"):
        (layer,) = behind[name]
        assert by_name[layer].attributes["precision"] == "float32"
    assert {node.op_type for node in layers.nodes if not node.origin} == {"Cast"}


def test_kernel_before_a_conversion_keeps_its_node() -> None:
    """OpenVINO computes int64 in int32 and renames what it converts back."""
    nodes = [
        helper.make_node("Shape", ["x"], ["s"], "shape"),
        helper.make_node("ReduceMax", ["s"], ["most"], "most", keepdims=0),
    ]
    model = network(nodes, [("x", "float32", ["N", 3])], [("most", "int64", [])])
    layers = backends.get("openvino").build(model).layers()
    assert {node.op_type: node.origin for node in executed(layers) if node.origin} == {
        "ShapeOf": ("shape",), "Reduce": ("most",),
    }  # fmt: skip


def test_bodies_belong_to_their_node() -> None:
    def branch(kind: str) -> onnx.GraphProto:
        output = helper.make_tensor_value_info("o", onnx.TensorProto.FLOAT, [2])
        return helper.make_graph([helper.make_node(kind, ["x"], ["o"], kind)], kind, [], [output])

    nodes = [
        helper.make_node(
            "If", ["c"], ["y"], "choice", then_branch=branch("Relu"), else_branch=branch("Neg")
        )
    ]
    ends = [("x", "float32", [2]), ("c", "bool", [])], [("y", "float32", [2])]
    for name in ("reference", "onnxruntime", "openvino"):
        model = network(nodes, *ends)
        engine = backends.get(name).build(model)
        accounts_for(engine, model)
        with engine.session() as session:
            x = np.array([-1, 1], np.float32)
            got = session.run({"x": x, "c": np.array(False)})["y"]
        assert got.tolist() == [1, -1]


def test_weights_of_a_loaded_model_may_be_inputs_of_the_file() -> None:
    """Files of before IR version 4 list weights as inputs too; an engine needs them from nobody."""
    model = from_proto(onnx.load(LIGHT / "light_squeezenet.onnx"))
    for name in ("onnxruntime", "openvino"):
        engine = backends.get(name).build(model)
        assert [spec.name for spec in engine.inputs] == ["data_0"]
