import numpy as np
import onnx
import pytest
from model_files import node, proto, stored, value
from transform_nets import norm, picture, relative, residual, run, weights

from workbench.errors import ModelError
from workbench.graph import Graph, Node
from workbench.model import Draft, from_proto, with_opset
from workbench.transform import clean, fold_batch_norm


def one_product(op: str, weight: np.ndarray, channels: int, shape: list[int], **attributes):
    bn, stats = norm("bn", "c", "y", channels)
    bias = [stored("b", weights(channels))] if op != "ConvTranspose" else []
    inputs = ["x", "w", *(["b"] if bias else [])]
    return from_proto(
        proto(
            [node(op, inputs, ["c"], "product", **attributes), bn],
            [value("x", shape)], [value("y", None)], [stored("w", weight), *bias, *stats],
        )
    )  # fmt: skip


@pytest.mark.parametrize(
    ("op", "weight", "channels", "shape", "attributes"),
    [
        ("Conv", (4, 3, 3, 3), 4, [1, 3, 6, 6], {}),
        ("Conv", (4, 1, 3, 3), 4, [1, 4, 6, 6], {"group": 4}),
        ("ConvTranspose", (3, 4, 2, 2), 4, [1, 3, 5, 5], {}),
        ("ConvTranspose", (4, 3, 2, 2), 6, [1, 4, 5, 5], {"group": 2}),
        ("Gemm", (4, 3), 4, [2, 3], {"transB": 1}),
        ("Gemm", (3, 4), 4, [2, 3], {}),
    ],
)
def test_a_normalization_behind_a_product_is_folded(op, weight, channels, shape, attributes):
    model = one_product(op, weights(*weight), channels, shape, **attributes)
    done = fold_batch_norm(model)
    assert [n.op_type for n in done.model.graph.nodes] == [op]
    assert done.origin == {"product": ("product", "bn")}
    feeds = picture(model)
    assert relative(run(done.model, feeds)["y"], run(model, feeds)["y"]) < 1e-6


def test_names_of_nodes_and_tensors_stay():
    model = residual()
    done = fold_batch_norm(model)
    assert done.origin["conv1"] == ("conv1", "bn1")
    assert done.model.graph.node("conv1").outputs == ("b1",)
    assert set(done.origin) == set(model.graph.position) - {"bn1", "bn2"}
    assert done.traced(done.model.graph).node("conv2").origin == ("conv2", "bn2")
    onnx.checker.check_model(done.model.to_proto(), full_check=True)


def test_a_product_with_another_reader_is_left_alone():
    model = residual()
    draft = Draft(model)
    draft.rewire("relu1", inputs=("c1",))
    assert "bn1" in fold_batch_norm(draft.build()).model.graph.position


@pytest.mark.parametrize("attributes", [{"alpha": 2.0}, {"beta": 0.5}])
def test_a_scaled_gemm_is_left_alone(attributes):
    model = one_product("Gemm", weights(4, 3), 4, [2, 3], transB=1, **attributes)
    assert len(fold_batch_norm(model).model.graph.nodes) == 2


def test_a_fold_that_would_overflow_is_left_alone():
    model = one_product("Gemm", weights(4, 3) + np.float32(3e38), 4, [2, 3], transB=1)
    done = fold_batch_norm(from_proto(_set(model, "bn.gamma", np.full(4, 100, np.float32))))
    assert "bn" in done.model.graph.position


def _set(model, name: str, array: np.ndarray) -> onnx.ModelProto:
    message = model.to_proto()
    for tensor in message.graph.initializer:
        if tensor.name == name:
            tensor.CopyFrom(stored(name, array))
    return message


def no_ops(*middle, outputs=("y",)) -> onnx.ModelProto:
    return proto(list(middle), outputs=[value(name, None) for name in outputs])


def test_no_ops_are_taken_out():
    model = from_proto(
        no_ops(
            node("Identity", ["x"], ["a"], "i"), node("Dropout", ["a"], ["b"], "d"),
            node("Relu", ["b"], ["y"], "r"),
        )
    )  # fmt: skip
    done = clean(model)
    assert [(n.name, n.inputs) for n in done.model.graph.nodes] == [("r", ("x",))]


def test_no_ops_that_matter_stay():
    model = from_proto(
        no_ops(
            node("Dropout", ["x"], ["a", "mask"], "read"), node("Not", ["mask"], ["m"], "not"),
            node("Identity", ["a"], ["y"], "last"), outputs=("y", "m"),
        )
    )  # fmt: skip
    assert len(clean(model).model.graph.nodes) == 3


def test_a_draft_that_is_no_graph_is_refused():
    draft = Draft(residual())
    del draft.nodes["conv1"]
    with pytest.raises(ModelError, match="node bn1 reads c1, which nothing makes"):
        draft.build()
    draft = Draft(residual())
    del draft.nodes["soft"]
    with pytest.raises(ModelError, match="nothing makes output y any more"):
        draft.build()


def test_an_unchanged_draft_is_the_same_model():
    model = residual()
    assert Draft(model).build().digest == model.digest


def test_a_draft_names_new_things_apart():
    draft = Draft(residual())
    assert draft.unused("conv1") == "conv1_2"
    assert draft.unused("conv1") == "conv1_3"
    assert draft.unused("free") == "free"


def test_a_body_keeps_what_it_reads():
    body = onnx.helper.make_graph(
        [node("Add", ["r", "w"], ["t"], "inner")], "body", [], [value("t", None)]
    )
    flag = stored("flag", np.array(True))
    model = from_proto(
        proto(
            [node("Relu", ["x"], ["r"], "relu"),
             node("If", ["flag"], ["y"], "if", then_branch=body, else_branch=body)],
            weights=[flag, stored("w", np.ones(1, np.float32))],
        )
    )  # fmt: skip
    assert Draft(model).build().digest == model.digest


@pytest.mark.parametrize("version", [18, 22])
def test_a_newer_operator_set_keeps_names_and_numbers(version):
    model = residual()
    newer = with_opset(model, version)
    assert newer.opsets[""] == version
    assert [n.name for n in newer.graph.nodes] == [n.name for n in model.graph.nodes]
    onnx.checker.check_model(newer.to_proto(), full_check=True)
    feeds = picture(model)
    np.testing.assert_array_equal(run(newer, feeds)["y"], run(model, feeds)["y"])
    assert with_opset(newer, 13) is newer


def test_an_operator_set_that_cannot_be_raised_says_so():
    model = residual()
    with pytest.raises(ModelError, match="cannot be raised from operator set 17 to 900"):
        with_opset(model, 900)


def test_steps_join():
    model = residual()
    first = fold_batch_norm(model)
    both = first.then(clean(first.model))
    assert both.origin["conv1"] == ("conv1", "bn1")
    assert both.before is model.graph
    layers = Graph("e", (), (), (Node("k", "K", origin=("conv1", "relu1")),))
    assert both.traced(layers).nodes[0].origin == ("conv1", "bn1", "relu1")


def test_weights_that_old_files_list_as_inputs_go_with_their_initializers():
    message = residual().to_proto()
    message.ir_version = 3
    message.graph.input.extend(
        value(tensor.name, list(tensor.dims)) for tensor in message.graph.initializer
    )
    done = fold_batch_norm(from_proto(message))
    assert [spec.name for spec in done.model.graph.inputs] == ["x"]
    left = {info.name for info in done.model.to_proto().graph.input}
    assert left <= {"x", "g", "gb"}
    onnx.checker.check_model(done.model.to_proto(), full_check=True)
    feeds = picture(residual())
    assert relative(run(done.model, feeds)["y"], run(residual(), feeds)["y"]) < 1e-6
