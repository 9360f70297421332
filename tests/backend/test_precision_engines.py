"""Precision on real engines: what is asked for, what they compute in, and what it costs."""

from __future__ import annotations

import importlib.util
from functools import cache

import numpy as np
import onnx
import pytest
from precision_cases import extremes, random_pictures

from workbench import backends, calibrate, zoo
from workbench.backends.base import BuildConfig
from workbench.data import LabelledData
from workbench.errors import BuildError
from workbench.measure import accuracy
from workbench.model import Model
from workbench.precision import Audit, Outcome, Precision, PrecisionPlan
from workbench.transform import Transformed, cast, equalize, lower, needed_ranges, quantize

INT8 = PrecisionPlan("int8")
DIGITS = {"digits_inception": False, "digits_resnet": True}
"""Trained network -> whether its pictures are noisy."""

with_rtx = pytest.mark.skipif(
    importlib.util.find_spec("tensorrt_rtx") is None, reason="TensorRT-RTX is not installed"
)
with_bf16 = pytest.mark.skipif(
    "BF16" not in backends.get("openvino").fingerprint().upper()
    and "BFLOAT16" not in backends.get("openvino").fingerprint().upper(),
    reason="this CPU has no bfloat16",
)


@cache
def network(name: str) -> Model:
    return zoo.load(name, batch=50 if name in DIGITS else 1)


@cache
def int8(name: str, form: str = "tensorrt") -> Transformed:
    model = network(name)
    if name in DIGITS:
        data = zoo.digits(noisy=DIGITS[name], part="calibration")
        pictures = np.stack([array for array, _ in data.batches(50)])
    else:
        pictures = random_pictures(model)
    table = extremes(model, needed_ranges(model, form=form), pictures)
    return quantize(model, table, form=form)


def audited(done: Transformed, plan: PrecisionPlan, backend: str, **options) -> Audit:
    engine = backends.get(backend).build(done.model)
    return done.audit(engine, plan.resolve(done.before), **options)


def products(audit: Audit, model: Model, kinds: tuple[str, ...] = ("Conv",)) -> list:
    wanted = [n.name for n in model.graph.nodes if n.op_type in kinds]
    rows = [row for row in audit.of(wanted) if row.outcome is not Outcome.AROUND]
    return [row.achieved for row in rows]


@pytest.mark.parametrize("name", DIGITS)
def test_accuracy_stays_within_three_tenths_of_a_point(name: str):
    model, data = network(name), zoo.digits(noisy=DIGITS[name])
    found = {
        "fp32": top1(model, "openvino", data),
        "fp16": top1(cast(model, PrecisionPlan("fp16")).model, "onnxruntime", data),
        "bf16": top1(cast(model, PrecisionPlan("bf16")).model, "openvino", data),
        "int8": top1(int8(name).model, "openvino", data),
        "int8, ONNX Runtime": top1(int8(name, "onnxruntime").model, "onnxruntime", data),
    }
    print({key: round(100 * value, 2) for key, value in found.items()})
    assert max(found.values()) - min(found.values()) <= 0.003, found


def top1(model: Model, backend: str, data: LabelledData) -> float:
    engine = backends.get(backend).build(model)
    return float(np.mean(accuracy(engine, data, batch=50, top=(1,)).hits[1]))


@pytest.mark.parametrize(
    ("name", "count"), [("digits_inception", 14), ("digits_resnet", 11)]
)  # fmt: skip
@pytest.mark.parametrize("backend", ["openvino", "onnxruntime"])
def test_every_product_of_the_digits_runs_in_int8(name: str, count: int, backend: str):
    form = "onnxruntime" if backend == "onnxruntime" else "tensorrt"
    audit = audited(int8(name, form), INT8, backend, strict=True)
    found = products(audit, network(name), ("Conv", "Gemm"))
    assert found == [Precision.INT8] * count
    chosen = audit.overlay()
    convs = [n.name for n in network(name).graph.nodes if n.op_type == "Conv"]
    assert {chosen[conv] for conv in convs} == {"int8"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "convs"), [("resnet50", 53), ("googlenet", 57), ("mobilenet_v2", 52)]
)
@pytest.mark.parametrize("backend", ["openvino", "onnxruntime"])
def test_every_convolution_runs_in_int8(name: str, convs: int, backend: str):
    form = "onnxruntime" if backend == "onnxruntime" else "tensorrt"
    done = int8(name, form)
    onnx.checker.check_model(done.model.to_proto(), full_check=True)
    found = products(audited(done, INT8, backend, strict=True), network(name))
    assert found == [Precision.INT8] * convs


@with_rtx
@pytest.mark.parametrize(
    ("name", "convs"),
    [
        ("digits_resnet", 10),
        pytest.param("resnet50", 53, marks=pytest.mark.slow),
        pytest.param("googlenet", 57, marks=pytest.mark.slow),
    ],
)
def test_tensorrt_rtx_takes_the_same_typed_model(name: str, convs: int):
    audit = audited(int8(name), INT8, "tensorrt", strict=True)
    assert products(audit, network(name)) == [Precision.INT8] * convs


@with_rtx
@pytest.mark.parametrize(("precision", "dtype"), [("fp16", "float16"), ("bf16", "bfloat16")])
def test_tensorrt_rtx_computes_in_16_bits(precision: str, dtype: str):
    plan = PrecisionPlan(precision)  # pyright: ignore[reportArgumentType]
    done = cast(network("digits_resnet"), plan)
    found = products(audited(done, plan, "tensorrt", strict=True), network("digits_resnet"))
    assert {one.dtype for one in found} == {dtype}
    assert len(found) == 10


@with_rtx
@pytest.mark.parametrize("around", ["fp16", "bf16"])
def test_tensorrt_rtx_takes_int8_with_16_bits_around(around: str):
    model = network("digits_resnet")
    table = extremes(model, needed_ranges(model), random_pictures(model))
    done = lower(model, INT8, table, around=around)
    found = products(audited(done, INT8, "tensorrt", strict=True), model)
    assert found == [Precision.INT8] * 10


@with_bf16
def test_a_bfloat16_model_runs_on_bfloat16_kernels_and_a_float32_one_does_not():
    model, plan = network("digits_resnet"), PrecisionPlan("bf16")
    audit = audited(cast(model, plan), plan, "openvino", strict=True)
    assert products(audit, model) == [Precision.BF16] * 10
    plain = PrecisionPlan()
    audit = audited(lower(model, plain), plain, "openvino", strict=True)
    assert products(audit, model) == [Precision.FP32] * 10


def test_mixed_precision_is_kept_layer_by_layer():
    model = network("digits_resnet")
    plan = INT8.but("bf16", nodes=("block_2/*",)).but("fp32", nodes=("block_3/*",))
    table = extremes(model, needed_ranges(model), random_pictures(model))
    audit = audited(lower(model, plan, table), plan, "openvino")
    overlay = audit.overlay()
    convs = [n.name for n in model.graph.nodes if n.op_type == "Conv"]
    wanted = {"block_2": {"bf16"}, "block_3": {"fp32"}, "block_1": {"int8"}, "block_4": {"int8"}}
    for block, precisions in wanted.items():
        assert {overlay[c] for c in convs if c.startswith(block)} == precisions


@pytest.mark.parametrize("backend", ["openvino", "onnxruntime"])
def test_float16_that_a_cpu_cannot_do_is_visible_and_in_strict_mode_an_error(backend: str):
    plan = PrecisionPlan("fp16")
    done = cast(network("digits_resnet"), plan)
    audit = audited(done, plan, backend)
    if audit.counts.get(Outcome.MET) == len(audit.layers):
        pytest.skip("this CPU computes in float16")
    assert all("asked for fp16, runs as" in row.reason for row in audit.departures)
    assert len(products(audit, network("digits_resnet"))) == 10
    with pytest.raises(BuildError, match="asked for fp16, runs as fp32"):
        audited(done, plan, backend, strict=True)


@with_bf16
def test_float16_by_hint_runs_as_bfloat16_and_says_so():
    model = network("digits_resnet")
    config = BuildConfig(options={"INFERENCE_PRECISION_HINT": "f16"})
    engine = backends.get("openvino").build(model, config)
    plan = PrecisionPlan("fp16")
    rows = lower(model, PrecisionPlan()).audit(engine, plan.resolve(model.graph)).departures
    if not rows:
        pytest.skip("this CPU computes in float16")
    assert {row.outcome for row in rows} == {Outcome.REPLACED}
    assert "runs as bf16" in rows[0].reason


@pytest.mark.parametrize("method", ["minmax", "entropy", "percentile"])
def test_tables_of_the_calibrator_are_good_enough(method: str):
    model = network("digits_resnet")
    names = needed_ranges(model)
    data = zoo.digits(noisy=True, part="calibration")
    table = calibrate.collect(model, data, tensors=names).table(method)
    here = top1(lower(model, INT8, table).model, "openvino", zoo.digits(noisy=True))
    assert abs(here - zoo.info("digits_resnet").top1["noisy"]) < 0.003


def test_the_form_of_the_other_engine_is_noticed():
    """ONNX Runtime has no 8-bit kernels for TensorRT's form."""
    audit = audited(int8("digits_resnet"), INT8, "onnxruntime")
    assert Precision.FP32 in products(audit, network("digits_resnet"))
    assert audit.departures


def test_equalization_cures_a_channel_imbalance():
    model = network("digits_resnet")
    data, right = zoo.digits(noisy=True).head(500), zoo.digits(noisy=True, part="calibration")
    sick = imbalanced(model, 256.0)
    pictures = np.stack([array for array, _ in right.batches(50)])

    def int8_top1(one: Model) -> float:
        table = extremes(one, needed_ranges(one), pictures)
        return top1(quantize(one, table).model, "openvino", data)

    assert abs(top1(sick, "openvino", data) - top1(model, "openvino", data)) < 0.003
    cured = equalize(sick).model
    healthy = int8_top1(model)
    assert int8_top1(sick) < healthy - 0.1
    assert abs(int8_top1(cured) - healthy) < 0.02


def imbalanced(model: Model, factor: float) -> Model:
    """Half of the channels between two convolutions made larger, and read smaller."""
    from workbench.model import Draft
    from workbench.transform import fold_batch_norm

    draft = Draft(fold_batch_norm(model).model)
    for name, i in (("block_1/a/conv", 0), ("block_1/b/conv", 1)):
        weight = np.array(draft.values(draft.nodes[name].inputs[1]))
        inputs = list(draft.nodes[name].inputs)
        half = slice(0, None, 2)
        if i == 0:
            bias = np.array(draft.values(inputs[2]))
            weight[half] *= factor
            bias[half] *= factor
            inputs[2] = draft.store(f"{name}/b", bias)
        else:
            weight[:, half] /= factor
        inputs[1] = draft.store(f"{name}/w", weight)
        draft.rewire(name, inputs=tuple(inputs))
    return draft.build()
