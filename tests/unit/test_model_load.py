"""What loading settles: names, order, types, weights, warnings."""

import os
import subprocess
import sys
from pathlib import Path

import model_files as files
import numpy as np
import onnx
import pytest
from model_files import conv, node, proto, relu, stored, value, with_weight
from onnx import TensorProto, helper

from workbench.errors import ModelError
from workbench.graph import Graph, TensorSpec
from workbench.model import Limits, from_proto, load

LIGHT = sorted((Path(onnx.__file__).parent / "backend/test/data/light").glob("*.onnx"))


@pytest.mark.parametrize("path", LIGHT, ids=lambda path: path.stem)
def test_models_of_the_onnx_wheel(path):
    model = load(path)
    assert model.name == path.stem
    assert model.path == path
    assert model.opsets == {"": 9}
    assert len(model.graph.inputs) == 1
    assert all(spec.shape for spec in model.graph.outputs)
    assert sum("also listed as inputs" in text for text in model.warnings) == 1
    again = load(model.serialize())
    assert again.digest == model.digest
    assert again.graph.nodes == model.graph.nodes


def test_there_are_light_models():
    assert len(LIGHT) == 9


class TestNames:
    def test_unnamed_and_twins_get_unique_names_and_a_warning(self):
        nodes = [
            node("Relu", ["x"], ["a"], ""),
            node("Relu", ["a"], ["b"], "twin"),
            node("Relu", ["b"], ["c"], "twin"),
            node("Relu", ["c"], ["y"], "Relu_0"),
        ]
        content = proto(nodes).SerializeToString()
        model = load(content)
        names = [item.name for item in model.graph.nodes]
        assert names == ["Relu_0_2", "twin", "twin_2", "Relu_0"]
        assert [item.name for item in load(content).graph.nodes] == names
        written = onnx.ModelProto.FromString(model.serialize())
        assert [item.name for item in written.graph.node] == names
        assert model.warnings == (
            "1 node had no name; named by operator type and place",
            "1 node had the name of an earlier one (twin); the place was appended",
        )

    def test_a_settled_model_keeps_its_names(self):
        model = load(proto([node("Relu", ["x"], ["y"], "")]).SerializeToString())
        again = load(model.serialize())
        assert again.warnings == ()
        assert again.graph.nodes[0].name == "Relu_0"

    def test_name_and_path(self, tmp_path):
        path = tmp_path / "net.onnx"
        path.write_bytes(relu().SerializeToString())
        assert load(path).name == "net"
        assert load(str(path), name="mine").name == "mine"
        assert load(path.read_bytes()).name == "model"
        assert load(path.read_bytes()).path is None
        assert from_proto(relu()).name == "graph"


class TestOrder:
    def test_unsorted_nodes_are_sorted(self):
        nodes = [node("Relu", ["a"], ["y"], "second"), node("Relu", ["x"], ["a"], "first")]
        model = load(proto(nodes).SerializeToString())
        assert [item.name for item in model.graph.nodes] == ["first", "second"]
        assert "sorted" in model.warnings[0]

    def test_bodies_count_as_readers(self):
        body = helper.make_graph([node("Relu", ["a"], ["o"])], "b", [], [value("o", None)])
        nodes = [
            node("If", ["c"], ["y"], "if", then_branch=body, else_branch=body),
            node("Relu", ["x"], ["a"], "first"),
        ]
        inputs = [value("x", [2]), value("c", [], files.BOOL)]
        model = load(proto(nodes, inputs).SerializeToString())
        assert [item.name for item in model.graph.nodes] == ["first", "if"]
        assert model.graph.node("if").captured == ("a",)
        assert isinstance(model.graph.node("if").attributes["then_branch"], Graph)


class TestTypes:
    def test_shapes_are_inferred(self):
        graph = load(conv().SerializeToString()).graph
        assert graph.outputs == (TensorSpec("y", "float32", ("N", 64, 2, 2)),)
        assert graph.inputs == (TensorSpec("x", "float32", ("N", 3, 8, 8)),)
        assert graph.initializers == (TensorSpec("w", "float32", (64, 3, 7, 7)),)

    @pytest.mark.parametrize(("dtype", "shape"), [(files.FLOAT, [9, 9]), (files.INT64, [1, 3])])
    def test_the_real_type_wins_over_the_declared(self, dtype, shape):
        outputs = [value("y", shape, dtype)]
        content = proto([node("Relu", ["x"], ["y"])], [value("x", [1, 3])], outputs)
        model = load(content.SerializeToString())
        assert model.graph.outputs == (TensorSpec("y", "float32", (1, 3)),)
        assert "tensor y is declared" in model.warnings[0]

    def test_minus_one_is_dynamic(self):
        model = load(proto([node("Relu", ["x"], ["y"])], [value("x", [-1, 3])]).SerializeToString())
        assert model.graph.inputs[0].shape == ("x.0", 3)
        assert model.graph.outputs[0].shape == ("x.0", 3)
        assert "extent -1 is taken as dynamic" in model.warnings[0]

    def test_declared_types_of_custom_operators_spread(self):
        nodes = [node("Magic", ["x"], ["a"], "m", domain="my.own"), node("Relu", ["a"], ["y"], "r")]
        content = proto(nodes, domains=["my.own"])
        content.graph.value_info.append(value("a", ["N", 7]))
        model = load(content.SerializeToString())
        assert model.graph.outputs[0] == TensorSpec("y", "float32", ("N", 7))
        assert "custom operator of my.own" in model.warnings[0]

    @pytest.mark.parametrize("domain", ["", "my.own"])
    def test_unknown_operators_load_with_a_warning(self, domain):
        content = proto([node("Foo", ["x"], ["y"], "foo", domain=domain)]).SerializeToString()
        model = load(content)
        assert model.graph.nodes[0].op_type == "Foo"
        assert "operator Foo (node foo)" in model.warnings[0]
        assert model.opsets == {"": 17}

    def test_attributes_are_plain_values(self):
        nodes = [
            node("Conv", ["x", "w"], ["a"], "conv", kernel_shape=[7, 7], auto_pad="VALID"),
            node("Constant", [], ["k"], "k", value=stored("", np.float32([1, 2]))),
            node("LeakyRelu", ["a"], ["b"], "leaky", alpha=0.5),
            node("Add", ["b", "s"], ["y"], "add"),
            node("ReduceSum", ["k"], ["s"], "sum"),
        ]
        weight = np.zeros((4, 3, 7, 7), np.float32)
        graph = load(proto(nodes, weights=[stored("w", weight)]).SerializeToString()).graph
        attributes = {item.name: dict(item.attributes) for item in graph.nodes}
        assert attributes["conv"] == {"kernel_shape": (7, 7), "auto_pad": "VALID"}
        assert attributes["leaky"] == {"alpha": 0.5}
        assert attributes["k"] == {"value": TensorSpec("", "float32", (2,))}


class TestWeights:
    def test_values_are_exact_read_only_and_shared(self):
        model = load(conv(seed=5).SerializeToString())
        array = model.weights("w")
        expected = np.random.default_rng(5).standard_normal((64, 3, 7, 7)).astype(np.float32)
        np.testing.assert_array_equal(array, expected)
        assert not array.flags.writeable
        assert np.shares_memory(array, model.weights("w"))
        assert np.shares_memory(array, model.extract(["n"]).weights("w"))

    def test_constants_have_values_too(self):
        nodes = [
            node("Constant", [], ["a"], "a", value=stored("", np.float32([1, 2]))),
            node("Constant", [], ["b"], "b", value_ints=[3, 4]),
            node("Constant", [], ["c"], "c", value_float=0.5),
            node("Add", ["a", "c"], ["y"], "add"),
        ]
        model = load(proto(nodes, []).SerializeToString())
        assert model.weights("a").tolist() == [1, 2]
        assert model.weights("b").tolist() == [3, 4]
        assert model.weights("c") == np.float32(0.5)
        with pytest.raises(ModelError, match="stores no tensor y"):
            model.weights("y")

    @pytest.mark.parametrize(
        "dtype", [TensorProto.INT4, TensorProto.BFLOAT16, TensorProto.FLOAT16, TensorProto.INT8]
    )
    def test_narrow_types(self, dtype):
        values = np.arange(-8, 8).tolist() * 1000
        tensor = helper.make_tensor("w", dtype, [16000], values)
        content = proto([node("Identity", ["w"], ["y"])], [], weights=[tensor], opset=21, ir=10)
        model = load(content.SerializeToString())
        assert model.weights("w").astype(np.float32).tolist() == values
        assert load(model.serialize()).digest == model.digest

    def test_number_lists_equal_raw_bytes(self):
        array = np.linspace(-1, 1, 5000, dtype=np.float32)
        listed = helper.make_tensor("w", files.FLOAT, [5000], array.tolist())
        one, other = (
            load(proto([node("Identity", ["w"], ["y"])], [], weights=[w]).SerializeToString())
            for w in (listed, stored("w", array))
        )
        assert one.digest == other.digest
        np.testing.assert_array_equal(one.weights("w"), array)

    def test_odd_values_are_reported(self):
        weights = np.float32([np.nan, np.inf, 1e-40, 0.0])
        model = load(with_weight(raw_data=weights.tobytes()))
        assert model.warnings == (
            "tensor w has 1 NaN and 1 infinite values",
            "tensor w has 1 denormal values; they can run slowly",
        )
        small = load(with_weight(raw_data=weights.tobytes()), limits=Limits(scan_bytes=1))
        assert "not looked through" in small.warnings[0]

    @pytest.mark.parametrize(
        ("made", "words"),
        [
            (proto([node("Relu", ["x"], ["y"])]), ()),
            (
                proto([node("Squeeze", ["x", "a"], ["y"], "full")], weights=[files.ints("a", 1)]),
                ("Squeeze, node name: full", "must be 1 instead of 3"),
            ),
            (proto([node("MatMul", ["x", "x"], ["y"], "odd")], [value("x", [2, 3])]), ("odd",)),
        ],
    )
    def test_inputs_that_cannot_go_together_are_reported(self, made, words):
        warnings = load(made.SerializeToString()).warnings
        assert len(warnings) == (1 if words else 0)
        assert all(word in warnings[0] for word in words)

    @pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
    def test_ordinary_values_are_not_reported(self, dtype):
        info = np.finfo(dtype)
        array = np.array([0.0, -0.0, 1, info.max, info.min, info.tiny, -info.tiny], dtype)
        nodes = [node("Cast", ["w"], ["y"], to=files.FLOAT)]
        content = proto(nodes, [], weights=[stored("w", array)])
        assert load(content.SerializeToString()).warnings == ()

    def test_weights_outlive_the_file(self, tmp_path):
        path = tmp_path / "net.onnx"
        path.write_bytes(conv(seed=1).SerializeToString())
        model = load(path)
        path.write_bytes(b"overwritten")
        expected = np.random.default_rng(1).standard_normal((64, 3, 7, 7)).astype(np.float32)
        np.testing.assert_array_equal(model.weights("w"), expected)


class TestDigest:
    def test_content_decides(self, tmp_path):
        path = tmp_path / "other.onnx"
        path.write_bytes(conv().SerializeToString())
        told = conv()
        told.doc_string = told.graph.doc_string = told.graph.node[0].doc_string = "words"
        told.producer_name = "somebody"
        digest = load(conv().SerializeToString()).digest
        assert load(path).digest == digest
        assert load(told.SerializeToString()).digest == digest
        assert load(path, check=False).digest == digest
        assert from_proto(conv()).digest == digest

    def test_order_of_nodes_does_not(self):
        nodes = [node("Relu", ["x"], ["a"], "r"), node("Abs", ["x"], ["b"], "s")]
        last = node("Add", ["a", "b"], ["y"], "add")
        one, other = (load(proto([*n, last]).SerializeToString()) for n in (nodes, nodes[::-1]))
        assert one.digest == other.digest

    def test_every_part_counts(self):
        digests = [
            load(content.SerializeToString()).digest
            for content in (
                conv(), conv(seed=1), conv(strides=[2, 2]), relu(),
                proto([node("Abs", ["x"], ["y"])]), proto([node("Relu", ["x"], ["y"], "other")]),
                proto([node("Relu", ["x"], ["y"])], opset=16),
                proto([node("Relu", ["x"], ["y"])], [value("x", [1, 3])]),
                proto([node("Relu", ["x"], ["z"])], outputs=[value("z", None)]),
            )
        ]  # fmt: skip
        assert len(set(digests)) == len(digests)

    def test_one_bit_of_a_weight_counts(self):
        content = bytearray(conv().SerializeToString())
        first = load(bytes(content)).digest
        content[len(content) // 2] ^= 1
        assert load(bytes(content)).digest != first


class TestFromProto:
    def test_the_message_stays_the_callers(self):
        mine = proto([node("Relu", ["x"], ["y"], "")])
        before = mine.SerializeToString()
        model = from_proto(mine, name="mine")
        assert model.graph.nodes[0].name == "Relu_0"
        assert mine.SerializeToString() == before
        mine.graph.node[0].op_type = "Abs"
        assert model.graph.nodes[0].op_type == "Relu"

    def test_ir_round_trip_shares_weights(self):
        model = load(conv().SerializeToString())
        back = from_proto(model.ir)
        assert back.digest == model.digest
        assert np.shares_memory(back.weights("w"), model.weights("w"))

    def test_impossible_messages_are_refused(self):
        with pytest.raises(ModelError, match="needs tensor w"):
            from_proto(proto([node("Conv", ["x", "w"], ["y"])]))


def test_ir_version_3_inputs_become_constants():
    content = conv()
    content.ir_version = 3
    content.opset_import[0].version = 9
    content.graph.input.append(value("w", [64, 3, 7, 7]))
    model = load(content.SerializeToString())
    assert [spec.name for spec in model.graph.inputs] == ["x"]
    assert model.ir_version == 4
    assert "1 initializer also listed as inputs" in model.warnings[0]
    onnx.checker.check_model(model.serialize())


def test_loading_needs_no_main_guard_and_leaves_no_process(tmp_path):
    path = tmp_path / "net.onnx"
    path.write_bytes(relu().SerializeToString())
    code = f"import workbench.model as m; print(len(m.load({str(path)!r}).graph.nodes))"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True,
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": ""},
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("1\n", "")
