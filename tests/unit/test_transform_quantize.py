import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from model_files import node, proto, stored, value
from transform_nets import branches, max_abs_table, picture, relative, residual, run, weights

from workbench.errors import DataError, PrecisionError
from workbench.graph import Graph
from workbench.model import Model, from_proto, load
from workbench.precision import PrecisionPlan, Rule
from workbench.ranges import CalibrationTable, Range
from workbench.transform import Transformed, lower, needed_ranges, quantize
from workbench.transform.quantizing import spread, weight_scales

INT8 = PrecisionPlan("int8")


def quantized(model: Model, **options) -> Transformed:
    done = quantize(model, max_abs_table(model), **options)
    onnx.checker.check_model(done.model.to_proto(), full_check=True)
    return done


def through_pair(graph: Graph, name: str, i: int) -> bool:
    place = graph.producer.get(graph.node(name).inputs[i])
    return place is not None and graph.nodes[place].op_type == "DequantizeLinear"


def test_tensorrts_form_has_pairs_on_what_products_read_and_nothing_more():
    done = quantized(residual())
    graph, model = done.model.graph, done.model
    assert done.report.products == ("conv1", "conv2", "fc")
    for name in done.report.products:
        assert through_pair(graph, name, 0)
        assert through_pair(graph, name, 1)
    assert not any(through_pair(graph, "fc", i) for i in (2,))
    for name in ("relu1", "relu2", "soft", "pool"):
        assert not through_pair(graph, name, 0)
    for n in graph.nodes:
        if n.op_type.endswith("eLinear"):
            zero, scale = model.weights(n.inputs[2]), model.weights(n.inputs[1])
            assert zero.dtype == np.int8
            assert not zero.any()
            assert scale.dtype == np.float32
            assert (scale > 0).all()


def test_of_a_sum_only_the_skip_branch_is_quantized():
    graph = quantized(residual()).model.graph
    assert [through_pair(graph, "add", i) for i in (0, 1)] == [False, True]
    # One pair serves both readers of the tensor.
    assert graph.node("add").inputs[1] == graph.node("conv2").inputs[0]


@pytest.mark.parametrize("swapped", [False, True])
def test_of_two_convolved_branches_the_shorter_one_is_the_skip(swapped):
    inputs = ["cb", "cs"][:: -1 if swapped else 1]
    nodes = [
        node("Conv", ["x", "a"], ["ca"], "conv_a"), node("Relu", ["ca"], ["ra"], "relu_a"),
        node("Conv", ["ra", "b"], ["cb"], "conv_b"), node("Conv", ["x", "s"], ["cs"], "shortcut"),
        node("Add", inputs, ["y"], "add"),
    ]  # fmt: skip
    initial = [stored(n, weights(3, 3, 1, 1)) for n in "abs"]
    model = from_proto(proto(nodes, [value("x", [1, 3, 4, 4])], weights=initial))
    report = quantized(model).report
    assert {pair.tensor: pair.readers for pair in report.pairs}["cs"] == ("add",)
    assert "cb" not in {pair.tensor for pair in report.pairs}


def test_pooling_and_concat_pass_8_bits_at_one_scale():
    done = quantized(branches())
    graph = done.model.graph
    assert all(through_pair(graph, "join", i) for i in (0, 1))
    assert through_pair(graph, "pool", 0)
    scales = {pair.tensor: pair.scale for pair in done.report.pairs}
    assert scales["ra"] == scales["rb"] == scales["j"] == scales["m"]


def test_passing_8_bits_through_changes_no_number():
    model, feeds = branches(), picture(branches())
    table = max_abs_table(model)
    # With one range for all of them, pairs in front of Concat and MaxPool are pure placement.
    table = table.but(dict.fromkeys(("ra", "rb", "j", "m"), Range(0, 3)))
    plain = INT8.but("fp32", op_types=("Concat", "MaxPool"))
    both = [quantize(model, table, plan) for plan in (INT8, plain)]
    assert len(both[0].report.pairs) > len(both[1].report.pairs)
    np.testing.assert_array_equal(*(run(one.model, feeds)["y"] for one in both))


def test_a_pool_with_a_float_reader_is_left_alone():
    model = branches()
    plan = INT8.but("fp32", nodes=("conv_c",))
    assert {p.tensor for p in quantize(model, max_abs_table(model), plan).report.pairs} == {"x"}


@pytest.mark.parametrize("form", ["tensorrt", "onnxruntime"])
@pytest.mark.parametrize("per_channel", [True, False])
def test_numbers_are_near(form, per_channel):
    model, feeds = residual(), picture(residual(), 1)
    done = quantized(model, form=form, per_channel=per_channel)
    there = run(done.model, feeds, "logits")["logits"]
    assert 0 < relative(there, run(model, feeds, "logits")["logits"]) < 0.05


@pytest.mark.parametrize(
    ("op", "shape", "x", "axis", "attributes"),
    [
        ("Conv", (4, 3, 1, 1), [1, 3, 4, 4], 0, {}),
        ("ConvTranspose", (3, 4, 2, 2), [1, 3, 4, 4], 1, {}),
        ("Gemm", (4, 3), [2, 3], 0, {"transB": 1}),
        ("Gemm", (3, 4), [2, 3], 1, {}),
        ("MatMul", (3, 4), [2, 3], 1, {}),
    ],
)
def test_weights_have_one_scale_for_each_output_channel(op, shape, x, axis, attributes):
    weight = weights(*shape)
    model = from_proto(
        proto([node(op, ["x", "w"], ["y"], "product", **attributes)], [value("x", x)],
              weights=[stored("w", weight)])
    )  # fmt: skip
    done = quantized(model)
    back = done.model.graph.node("product/weight/dequantize")
    assert back.attributes["axis"] == axis
    scale = done.model.weights(back.inputs[1])
    other = tuple(i for i in range(weight.ndim) if i != axis)
    np.testing.assert_allclose(scale, np.abs(weight).max(other) / 127, rtol=1e-6)
    assert quantized(model, per_channel=False).model.weights(back.inputs[1]).shape == ()
    assert relative(run(done.model, picture(model))["y"], run(model, picture(model))["y"]) < 0.03


def test_a_batched_weight_has_one_scale():
    model = from_proto(
        proto([node("MatMul", ["x", "w"], ["y"], "product")], [value("x", [2, 3, 4])],
              weights=[stored("w", weights(2, 4, 5))])
    )  # fmt: skip
    done = quantized(model)
    assert "axis" not in done.model.graph.node("product/weight/dequantize").attributes


def test_a_product_of_two_activations_is_quantized_on_both():
    model = from_proto(
        proto([node("Relu", ["x"], ["r"], "relu"), node("MatMul", ["x", "r"], ["y"], "product")],
              [value("x", [4, 4])])
    )  # fmt: skip
    graph = quantized(model).model.graph
    assert [through_pair(graph, "product", i) for i in (0, 1)] == [True, True]


def test_onnxruntimes_form_has_pairs_on_what_is_written():
    done = quantized(residual(), form="onnxruntime")
    graph, model = done.model.graph, done.model
    assert all(through_pair(graph, name, 0) for name in ("conv2", "add", "pool", "fc", "soft"))
    assert through_pair(graph, "add", 1)
    assert not through_pair(graph, "relu1", 0)
    weight = graph.node("conv1/weight/dequantize")
    assert model.weights(weight.inputs[0]).dtype == np.int8
    bias = graph.node("fc/bias/dequantize")
    assert model.weights(bias.inputs[0]).dtype == np.int32
    zero = {p.tensor: p.zero_point for p in done.report.pairs}
    assert zero["r1"] == 0
    assert 0 < zero["x"] < 255


def test_the_plan_and_the_ends_keep_products_in_float():
    model = residual()
    plan = PrecisionPlan("int8", (Rule("fp32", nodes=("conv2",)),))
    done = quantize(model, max_abs_table(model), plan, first=False)
    assert done.report.products == ("fc",)
    assert "first products" in done.kept["conv1"]
    assert "conv2" not in done.kept
    assert quantized(model, last=False).report.products == ("conv1", "conv2")


def test_everything_that_is_not_int8_has_a_reason():
    model = residual()
    done = quantized(model)
    there = {*done.report.products, "bn1", "bn2"}
    assert set(done.kept) == set(model.graph.position) - there
    assert all(done.kept.values())


def test_every_node_leads_back_to_the_users():
    model = residual()
    done = quantized(model)
    assert set(done.origin) == set(done.model.graph.position)
    assert {name for names in done.origin.values() for name in names} == set(model.graph.position)
    assert done.origin["conv1"] == ("conv1", "bn1")
    assert done.origin["r1/quantize"] == ("relu1",)
    assert done.origin["conv1/weight/quantize"] == ("conv1", "bn1")
    assert done.graph.node("r1/quantize").origin == ("relu1",)


@pytest.mark.parametrize("form", ["tensorrt", "onnxruntime"])
def test_needed_ranges_are_what_quantize_needs(form):
    for model in (residual(), branches()):
        names = needed_ranges(model, form=form)
        full = max_abs_table(model)
        table = CalibrationTable("m", {name: full[name] for name in names}, model.digest)
        assert quantize(model, table, form=form).report.pairs
        assert set(names) <= set(model.graph.specs)


def test_a_missing_range_is_named():
    model = residual()
    with pytest.raises(DataError, match=r"no range for r1; calibrate"):
        quantize(model, max_abs_table(model).but({"r1": None}))


def test_a_tensor_that_was_always_zero_stays_in_float():
    model = residual()
    table = max_abs_table(model).but({"f": None})
    zero = CalibrationTable("m", table.ranges, model.digest, details={"always_zero": ["f"]})
    done = quantize(model, zero)
    assert done.report.products == ("conv1", "conv2")
    assert "always zero" in done.kept["fc"]


def test_a_table_of_another_model_is_refused():
    table = max_abs_table(residual())
    other = CalibrationTable("m", table.ranges, "0" * 64)
    with pytest.raises(DataError, match="made from another model"):
        quantize(residual(), other)
    assert quantize(residual(), other, any_model=True).report.products


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_named(bad):
    array = weights(4, 3, 1, 1)
    array[2, 1] = bad
    model = from_proto(
        proto([node("Conv", ["x", "w"], ["y"], "conv")], weights=[stored("w", array)])
    )
    with pytest.raises(DataError, match="weight w of node conv holds NaN or infinity"):
        quantize(model, CalibrationTable("m", {"x": Range(0, 1)}))


def test_products_that_cannot_be_int8_say_why():
    nodes = [
        node("Mul", ["w", "w"], ["ww"], "square"),
        node("Conv", ["x", "ww"], ["c"], "computed"),
        node("Conv", ["c", "zero"], ["y"], "nothing"),
    ]
    initial = [stored("w", weights(3, 3, 1, 1)), stored("zero", np.zeros((3, 3, 1, 1), np.float32))]
    model = from_proto(proto(nodes, weights=initial))
    done = quantize(model, CalibrationTable("m", {}))
    assert not done.report.products
    assert "computed, not stored" in done.kept["computed"]
    assert "zero everywhere" in done.kept["nothing"]


def test_an_old_operator_set_is_raised():
    model = residual(opset=11)
    done = quantized(model)
    assert done.model.opsets[""] == 13
    assert {n for names in done.origin.values() for n in names} == set(model.graph.position)


@given(
    arrays(np.float32, (3, 4), elements=st.floats(-100, 100, width=32, allow_subnormal=False)),
    st.sampled_from([None, 0, 1]),
)
def test_weights_come_back_within_half_a_step(weight: np.ndarray, axis: int | None):
    scale = spread(weight_scales(weight, axis), axis, 2)
    assert (scale > 0).all()
    assert np.isfinite(scale).all()
    steps = np.rint(weight.astype(np.float64) / scale)
    assert np.abs(steps).max() <= 127
    assert (np.abs(steps * scale - weight) <= scale * 0.5000001).all()


def test_a_whole_plan_is_lowered_at_once():
    model = residual()
    plan = PrecisionPlan("int8", (Rule("fp16", op_types=("Gemm",)), Rule("fp32", nodes=("soft",))))
    done = lower(model, plan, max_abs_table(model))
    onnx.checker.check_model(done.model.to_proto(), full_check=True)
    assert done.report.quantized.products == ("conv1", "conv2")
    assert done.report.cast.casts == 2
    assert done.model.graph.spec(done.model.graph.node("fc").inputs[1]).dtype == "float16"
    assert done.origin["conv1"] == ("conv1", "bn1")
    feeds = picture(model)
    assert relative(run(done.model, feeds)["y"], run(model, feeds)["y"]) < 0.05


def test_int8_needs_a_table():
    with pytest.raises(PrecisionError, match=r"asks for INT8 \(conv1.*needs ranges"):
        lower(residual(), INT8)


def test_a_plan_of_float32_lowers_to_the_model_itself():
    model = residual()
    done = lower(model, PrecisionPlan())
    assert done.model is model
    assert done.report.quantized is None
    assert done.report.cast is None


def test_around_int8_there_may_be_float16():
    model = residual()
    done = lower(model, INT8, max_abs_table(model), around="fp16")
    onnx.checker.check_model(done.model.to_proto(), full_check=True)
    graph = done.model.graph
    assert graph.spec("s").dtype == "float16"
    assert graph.spec(graph.node("conv1").inputs[1]).dtype == "float16"
    assert graph.node("soft").inputs[0].endswith("float32")
    feeds = picture(model)
    assert relative(run(done.model, feeds)["y"], run(model, feeds)["y"]) < 0.05


def test_what_came_quantized_is_left_as_it_is():
    done = quantized(branches())
    table = CalibrationTable("m", max_abs_table(branches()).ranges)
    again = quantize(done.model, table)
    assert again.report.pairs == ()
    assert again.kept["conv_a"] == "it came quantized"
    assert again.model.digest == done.model.digest


def test_a_model_from_a_file_is_transformed_too(tmp_path):
    path = residual().save(tmp_path / "net.onnx")
    model = load(path)
    assert quantized(model).report.products == ("conv1", "conv2", "fc")
    assert lower(model, PrecisionPlan("bf16")).model.opsets[""] == 22
