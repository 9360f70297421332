import ml_dtypes
import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from model_files import node, proto, stored, value
from transform_nets import branches, max_abs_table, picture, relative, residual, run, weights

from workbench.model import from_proto
from workbench.precision import PrecisionPlan, Rule
from workbench.ranges import Range
from workbench.transform import cast, fold_batch_norm
from workbench.transform.rounding import counted, rounded


@pytest.mark.parametrize(("precision", "dtype"), [("fp16", "float16"), ("bf16", "bfloat16")])
def test_a_whole_network_is_typed(precision, dtype):
    model = residual()
    done = cast(model, PrecisionPlan(precision))
    graph = done.model.graph
    onnx.checker.check_model(done.model.to_proto(), full_check=True)
    assert [spec.dtype for spec in (*graph.inputs, *graph.outputs)] == ["float32"] * 2
    casts = [n.name for n in graph.nodes if n.op_type == "Cast"]
    assert len(casts) == done.report.casts == 2
    assert graph.spec("r1").dtype == dtype
    assert graph.spec("logits").dtype == dtype
    assert "sensitive" in done.kept["soft"]
    assert {done.origin[name] for name in casts} == {("conv1", "bn1"), ("fc",)}
    merged = {"bn1", "bn2"}
    assert set(model.graph.position) - set(graph.position) == merged


def test_float16_numbers_are_near():
    model, feeds = residual(), picture(residual())
    done = cast(model, PrecisionPlan("fp16"))
    assert 0 < relative(run(done.model, feeds)["y"], run(model, feeds)["y"]) < 2e-3


def test_bfloat16_raises_the_operator_set_and_float16_does_not():
    assert cast(residual(), PrecisionPlan("fp16")).model.opsets[""] == 17
    assert cast(residual(), PrecisionPlan("bf16")).model.opsets[""] == 22
    alone = PrecisionPlan().but("bf16", op_types=("Gemm",))
    assert cast(residual(), alone).model.opsets[""] == 17


def test_neighbours_of_one_type_have_no_cast_between():
    plan = PrecisionPlan("fp32", (Rule("fp16", nodes=("conv1", "bn1", "relu1", "conv2")),))
    done = cast(residual(), plan)
    casts = {n.inputs[0]: n.outputs[0] for n in done.model.graph.nodes if n.op_type == "Cast"}
    # In once; out where float32 nodes read: the normalization behind conv2, and the sum.
    assert set(casts) == {"x", "r1", "c2"}
    onnx.checker.check_model(done.model.to_proto(), full_check=True)


def test_two_readers_share_a_cast():
    plan = PrecisionPlan("fp32", (Rule("fp16", op_types=("Conv",)),))
    done = cast(branches(), plan)
    sources = [n.inputs[0] for n in done.model.graph.nodes if n.op_type == "Cast"]
    assert sorted(sources) == ["ca", "cb", "m", "x", "y/float16"]


def test_a_rule_that_names_a_sensitive_operator_is_obeyed():
    done = cast(residual(), PrecisionPlan("fp16").but("fp16", op_types=("Softmax",)))
    assert not done.kept
    makers = {n.name: n for n in done.model.graph.nodes}
    assert done.model.graph.spec(makers["soft"].outputs[0]).dtype == "float16"
    assert done.model.graph.spec("y").dtype == "float32"


def test_a_plan_without_casts_changes_nothing():
    model = residual()
    done = cast(model, PrecisionPlan("int8"))
    assert done.model.digest == model.digest
    assert done.report.casts == 0


def test_shapes_and_resize_scales_stay_what_they_are():
    model = from_proto(
        proto(
            [
                node("Relu", ["x"], ["r"], "relu"),
                node("Shape", ["r"], ["s"], "shape"),
                node("Resize", ["r", "", "scales"], ["z"], "resize"),
                node("Relu", ["z"], ["y"], "last"),
            ],
            [value("x", [1, 3, 4, 4])],
            [value("y", None), value("s", None, onnx.TensorProto.INT64)],
            [stored("scales", np.array([1, 1, 2, 2], np.float32))],
        )
    )
    done = cast(model, PrecisionPlan("fp16"))
    onnx.checker.check_model(done.model.to_proto(), full_check=True)
    graph = done.model.graph
    assert graph.node("resize").inputs[2] == "scales"
    assert graph.spec("scales").dtype == "float32"
    assert graph.node("shape").inputs == ("r",)
    feeds = picture(model)
    np.testing.assert_allclose(run(done.model, feeds)["y"], run(model, feeds)["y"], rtol=1e-3)


def test_what_bodies_read_keeps_its_type():
    body = onnx.helper.make_graph(
        [node("Relu", ["r"], ["t"], "inner")], "body", [], [value("t", None)]
    )
    model = from_proto(
        proto(
            [node("Relu", ["x"], ["r"], "relu"),
             node("If", ["flag"], ["y"], "if", then_branch=body, else_branch=body)],
            [value("x", [1, 3])], weights=[stored("flag", np.array(True))],
        )
    )  # fmt: skip
    done = cast(model, PrecisionPlan("fp16"))
    assert done.model.graph.spec("r").dtype == "float32"
    assert "sets its types itself" in done.kept["if"]
    feeds = picture(model)
    np.testing.assert_allclose(run(done.model, feeds)["y"], run(model, feeds)["y"], rtol=1e-3)


def planted() -> np.ndarray:
    array = weights(4, 3, 3, 3)
    array.flat[:8] = [1e5, -7e4, 65519, 1e-8, -1e-9, 1e-5, 0, 65504]
    return array


def with_planted(array: np.ndarray):
    return from_proto(
        proto([node("Conv", ["x", "w"], ["y"], "conv")], [value("x", [1, 3, 8, 8])],
              weights=[stored("w", array)])
    )  # fmt: skip


def test_what_is_lost_is_counted_and_the_layer_named():
    done = cast(with_planted(planted()), PrecisionPlan("fp16"))
    (row,) = done.report.weights
    assert (row.tensor, row.nodes, row.elements) == ("w", ("conv",), 108)
    assert (row.overflow, row.underflow, row.denormal) == (2, 2, 1)
    assert row.largest == 1e5
    assert done.report.problems == (row,)
    assert done.report.by_node() == {"conv": {"overflow": 2, "underflow": 2, "denormal": 1}}
    assert done.report.totals()["overflow"] == 2
    after = done.model.weights("w/float16")
    assert np.isfinite(after).all()
    assert after.flat[0] == 65504
    assert after.flat[1] == -65504


def test_bfloat16_keeps_the_range():
    done = cast(with_planted(planted()), PrecisionPlan("bf16"))
    assert not done.report.problems
    assert done.report.totals() == {
        "elements": 108, "overflow": 0, "underflow": 0, "denormal": 0, "nonfinite": 0,
    }  # fmt: skip


def test_activations_beyond_float16_are_named():
    model = residual()
    table = max_abs_table(model).but({"r1": Range(0, 7e4), "b1": Range(-10, 10)})
    assert cast(model, PrecisionPlan("fp16"), table=table).report.activations == (("r1", 7e4),)
    assert not cast(model, PrecisionPlan("bf16"), table=table).report.activations


_floats = st.floats(width=32, allow_subnormal=False)


@given(arrays(np.float32, st.integers(1, 20), elements=_floats), st.sampled_from(["f", "b"]))
def test_counts_are_what_a_slow_reading_counts(values: np.ndarray, kind: str):
    dtype = np.dtype(np.float16 if kind == "f" else ml_dtypes.bfloat16)
    limits = ml_dtypes.finfo(dtype)
    row = counted("t", (), values, dtype)
    with np.errstate(all="ignore"):
        plain = values.astype(dtype).astype(np.float64)
    after = rounded(values, dtype).astype(np.float64)
    finite = np.isfinite(values)
    assert row.nonfinite == (~finite).sum()
    assert row.overflow == (finite & np.isinf(plain)).sum()
    assert row.underflow == (finite & (values != 0) & (plain == 0)).sum()
    small = finite & (np.abs(plain) < float(limits.smallest_normal)) & (plain != 0)
    assert row.denormal == small.sum()
    assert np.isfinite(after[finite]).all()
    assert np.array_equal(np.isnan(after), np.isnan(values))


def test_normalization_is_folded_before_weights_are_rounded():
    """Rounding weights and factors apart would round twice; a product of another type stays."""
    model = residual()
    done = cast(model, PrecisionPlan("bf16"))
    exact = fold_batch_norm(model).model.weights("conv1/folded_weight")
    (name,) = (n for n in done.model.graph.node("conv1").inputs if "folded_weight" in n)
    assert np.array_equal(done.model.weights(name), exact.astype(ml_dtypes.bfloat16))
    apart = cast(model, PrecisionPlan("bf16", (Rule("fp32", nodes=("conv1",)),)))
    assert "sensitive" in apart.kept["bn1"]
    assert apart.model.graph.spec("r1").dtype == "bfloat16"
    assert "bn1" in apart.model.graph.position
    named = cast(model, PrecisionPlan("bf16", (Rule("fp32", nodes=("bn1",)),)))
    assert "bn1" in named.model.graph.position
