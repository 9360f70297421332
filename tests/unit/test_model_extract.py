"""Cutting nodes out of a model, fixing shapes, saving."""

import model_files as files
import numpy as np
import onnx
import pytest
from model_files import conv, node, proto, stored, value
from onnx import helper

from workbench.errors import ModelError
from workbench.graph import TensorSpec
from workbench.model import from_proto, load
from workbench.partitioning import partition, takes_all


@pytest.fixture
def diamond():
    """a -> (b, c) -> d, with a weight and a folded constant."""
    nodes = [
        node("Relu", ["x"], ["ta"], "a"),
        node("Add", ["ta", "k2"], ["tb"], "b"),
        node("Mul", ["ta", "w"], ["tc"], "c"),
        node("Sub", ["tb", "tc"], ["y"], "d"),
        node("Constant", [], ["k"], "k", value=stored("", np.float32([1.0]))),
        node("Neg", ["k"], ["k2"], "neg"),
    ]
    weights = [stored("w", np.ones((1, 3, 8, 8), np.float32)), stored("unused", np.float32([1]))]
    return from_proto(proto(nodes, weights=weights))


class TestExtract:
    def test_boundary_types_weights_and_folded_constants(self, diamond):
        part = diamond.extract(["c", "b"])
        order = [item.name for item in diamond.graph.nodes if item.name not in ("a", "d")]
        assert [item.name for item in part.graph.nodes] == order
        assert part.graph.inputs == (TensorSpec("ta", "float32", ("N", 3, 8, 8)),)
        assert [spec.name for spec in part.graph.outputs] == ["tc", "tb"]
        assert [spec.name for spec in part.graph.initializers] == ["w"]
        assert part.warnings == ()
        onnx.checker.check_model(part.serialize(), full_check=True)

    def test_all_nodes_give_the_whole(self, diamond):
        whole = diamond.extract([item.name for item in diamond.graph.nodes])
        assert whole.graph.nodes == diamond.graph.nodes
        assert whole.graph.outputs == diamond.graph.outputs

    def test_a_detour_is_refused_with_its_path(self, diamond):
        with pytest.raises(ModelError, match=r"a -> [bc] -> d"):
            diamond.extract(["a", "d"])
        with pytest.raises(ModelError, match="a -> c -> d"):
            diamond.extract(["a", "b", "d"])

    def test_unknown_and_no_nodes(self, diamond):
        with pytest.raises(ModelError, match=r"no node nag.*did you mean neg"):
            diamond.extract(["nag"])
        with pytest.raises(ModelError, match="at least one"):
            diamond.extract([])

    def test_inputs_and_outputs_can_be_named(self, diamond):
        part = diamond.extract(["b"], inputs=["k2", "ta"], outputs=["tb"])
        assert [spec.name for spec in part.graph.inputs] == ["k2", "ta"]
        assert [item.name for item in part.graph.nodes] == ["b"]
        fed = diamond.extract(["c"], inputs=["w", "ta"])
        assert [spec.name for spec in fed.graph.inputs] == ["w", "ta"]
        assert fed.graph.initializers == ()
        with pytest.raises(ModelError, match="also need ta"):
            diamond.extract(["b"], inputs=["x"])
        with pytest.raises(ModelError, match="tensor tx cannot be an output"):
            diamond.extract(["b"], outputs=["tx"])
        with pytest.raises(ModelError, match="tensor q cannot be an input"):
            diamond.extract(["b"], inputs=["ta", "q"])

    def test_a_partition_cuts_to_models(self, diamond):
        found = partition(diamond.graph, takes_all(diamond.graph), 1)
        for subgraph in found.subgraphs:
            part = diamond.extract(subgraph)
            assert tuple(spec.name for spec in part.graph.inputs) == subgraph.inputs
            assert tuple(spec.name for spec in part.graph.outputs) == subgraph.outputs

    def test_the_source_is_not_changed(self, diamond):
        before = diamond.serialize()
        diamond.extract(["b"])
        diamond.with_shapes({"x": (2, 3, 8, 8)})
        assert diamond.serialize() == before

    def test_captured_tensors_are_inputs_or_weights(self):
        body = helper.make_graph(
            [node("Mul", ["a", "w"], ["o"], "m")], "body", [], [value("o", None)]
        )
        nodes = [
            node("Relu", ["x"], ["a"], "r"),
            node("If", ["c"], ["y"], "if", then_branch=body, else_branch=body),
        ]
        inputs = [value("x", [2]), value("c", [], files.BOOL)]
        model = from_proto(proto(nodes, inputs, weights=[stored("w", np.float32([1, 2]))]))
        part = model.extract(["if"])
        assert [spec.name for spec in part.graph.inputs] == ["c", "a"]
        assert [spec.name for spec in part.graph.initializers] == ["w"]
        onnx.checker.check_model(part.serialize())

    def test_functions_and_operator_sets_come_along(self):
        functions = [files.function("F", ["G"]), files.function("G", ["Relu"])]
        nodes = [node("F", ["x"], ["a"], "f", domain="loc"), node("Abs", ["a"], ["y"], "abs")]
        model = from_proto(proto(nodes, functions=functions, domains=["loc", "unused"]))
        assert model.extract(["f"]).functions == (("loc", "F"), ("loc", "G"))
        assert model.extract(["f"]).opsets == {"": 17, "loc": 1}
        assert model.extract(["abs"]).functions == ()
        assert model.extract(["abs"]).opsets == {"": 17}

    def test_random_numbers_are_no_constants(self):
        nodes = [
            node("RandomNormal", [], ["noise"], "noise", shape=[1, 3, 8, 8]),
            node("Add", ["x", "noise"], ["y"], "add"),
        ]
        part = from_proto(proto(nodes)).extract(["add"])
        assert [spec.name for spec in part.graph.inputs] == ["x", "noise"]

    def test_unknown_types_at_the_cut_are_told(self):
        nodes = [node("Foo", ["x"], ["a"], "f", domain="d"), node("Relu", ["a"], ["y"], "r")]
        part = from_proto(proto(nodes, domains=["d"])).extract(["r"])
        assert "the type of a is unknown" in part.warnings[0]

    def test_unread_results_are_outputs(self, diamond):
        nodes = [node("Relu", ["x"], ["y"], "r"), node("Abs", ["x"], ["dead"], "dead")]
        part = from_proto(proto(nodes)).extract(["dead"])
        assert [spec.name for spec in part.graph.outputs] == ["dead"]


class TestWithShapes:
    def test_named_extents_are_fixed_everywhere(self):
        nodes = [node("Concat", ["x", "z"], ["y"], axis=1)]
        inputs = [value("x", ["N", 3]), value("z", ["N", "M"])]
        model = load(proto(nodes, inputs).SerializeToString()).with_shapes({"x": (4, 3)})
        assert [spec.shape for spec in model.graph.inputs] == [(4, 3), (4, "M")]
        fixed = model.with_shapes({"z": (4, 5)})
        assert fixed.graph.outputs[0].shape == (4, 8)
        onnx.checker.check_model(fixed.serialize(), full_check=True)

    def test_nothing_to_fix_is_nothing_to_do(self):
        model = from_proto(conv()).with_shapes({"x": (2, 3, 8, 8)})
        assert model.with_shapes({"x": (2, 3, 8, 8)}) is model

    def test_weights_are_shared(self):
        model = load(conv().SerializeToString())
        fixed = model.with_shapes({"x": (2, 3, 8, 8)})
        assert fixed.graph.outputs[0].shape == (2, 64, 2, 2)
        assert np.shares_memory(fixed.weights("w"), model.weights("w"))

    @pytest.mark.parametrize(
        ("shapes", "words"),
        [
            ({"q": (1,)}, "no input q"),
            ({"x": (1, 3)}, "rank 4, not 2"),
            ({"x": (1, 4, 8, 8)}, "axis 1: fixed at 3"),
            ({"x": (0, 3, 8, 8)}, "above 0"),
            ({"x": ("N", 3, 8, 8)}, "above 0"),
            ({"x": (1 << 60, 3, 8, 8)}, "above 0"),
        ],
    )
    def test_misfits_are_refused(self, shapes, words):
        with pytest.raises(ModelError, match=words):
            from_proto(conv()).with_shapes(shapes)

    def test_one_name_has_one_extent(self):
        inputs = [value("x", ["N", 3]), value("z", ["N", 3])]
        model = from_proto(proto([node("Add", ["x", "z"], ["y"])], inputs))
        with pytest.raises(ModelError, match="both 2 and 3"):
            model.with_shapes({"x": (2, 3), "z": (3, 3)})


class TestSave:
    @pytest.mark.parametrize("external", [None, False, True])
    def test_save_then_load_is_identity(self, tmp_path, external):
        model = from_proto(conv())
        path = model.save(tmp_path / "net.onnx", external_data=external)
        again = load(path)
        assert again.digest == model.digest
        assert again.graph.nodes == model.graph.nodes
        assert len(list(tmp_path.iterdir())) == (2 if external else 1)
        again.save(path, external_data=external)
        assert load(path).digest == model.digest
        assert len(list(tmp_path.iterdir())) == (2 if external else 1)

    def test_data_files_of_others_are_never_written_over(self, tmp_path):
        one, other = from_proto(conv(seed=0)), from_proto(conv(seed=1))
        path = one.save(tmp_path / "net.onnx", external_data=True)
        (data,) = tmp_path.glob("*.data")
        loaded = load(path)
        other.save(path, external_data=True)
        np.testing.assert_array_equal(loaded.weights("w"), one.weights("w"))
        data.write_bytes(b"somebody's")
        with pytest.raises(ModelError, match="already with other content"):
            one.save(path, external_data=True)
        assert data.read_bytes() == b"somebody's"
        assert load(path).digest == other.digest

    def test_weights_in_bodies_and_constants_go_outside_too(self, tmp_path):
        large = np.arange(5000, dtype=np.float32)
        body = helper.make_graph(
            [node("Constant", [], ["o"], "k", value=stored("", large))], "b", [], [value("o", None)]
        )
        nodes = [node("If", ["c"], ["y"], "if", then_branch=body, else_branch=body)]
        model = from_proto(proto(nodes, [value("c", [], files.BOOL)]))
        path = model.save(tmp_path / "net.onnx", external_data=True)
        assert path.stat().st_size < 4000
        assert load(path).digest == model.digest
        assert load(path).extract(["if"]).serialize() == model.extract(["if"]).serialize()

    @pytest.mark.parametrize("place", ["", "missing/net.onnx"])
    def test_impossible_places(self, tmp_path, place):
        with pytest.raises(ModelError, match="cannot save to"):
            from_proto(conv()).save(tmp_path / place)
        assert list(tmp_path.iterdir()) == []
