"""Studies with precisions: right rows, what engines achieved, resumed, as before without them."""

import csv

import numpy as np
import pytest

from workbench import study, zoo
from workbench.calibrate import collect
from workbench.data import LabelledData
from workbench.errors import DataError, PrecisionError, StudyError
from workbench.partitioning import Exclusion
from workbench.precision import PrecisionPlan
from workbench.study import Design, Subject, Whole

QUICK = {"seconds": 0.05, "min_rounds": 6, "max_rounds": 8, "source": "tensorrt-11.1"}
PRECISIONS = ("fp32", "bf16", "int8")


def subject(**options) -> Subject:
    options = {"calibration": zoo.digits(part="calibration").head(32)} | options
    return Subject(
        zoo.load("digits_inception"), zoo.digits().head(60), weights="trained",
        exclude=Exclusion(op_types=("Concat",)), **options,
    )  # fmt: skip


@pytest.mark.slow
def test_every_configuration_is_measured_in_every_precision(tmp_path):
    path = tmp_path / "study.jsonl"
    design = Design(
        thresholds=(3,), batches=(1, 4), wholes=(Whole("onnxruntime", 0), Whole("openvino")),
        precisions=PRECISIONS, **QUICK,
    )  # fmt: skip
    found = study.run(subject(), design, journal=path)
    assert [one.variant for one in found.select("digits_inception", 1)] == [
        "onnxruntime, unoptimised, fp32",
        *(f"openvino, {way}, {p}" for way in ("whole", "min 3") for p in PRECISIONS),
    ]
    assert not [one.failed for one in found.configurations if one.failed]
    for batch in (1, 4):
        by = {one.variant: one for one in found.select("digits_inception", batch)}
        plain = by["openvino, min 3, fp32"]
        assert plain.met == 1
        for name in ("bf16", "int8"):
            hybrid = by[f"openvino, min 3, {name}"]
            # The user's nodes are counted, whatever a transform put in or merged.
            assert hybrid.engines == plain.engines
            assert (hybrid.engine_nodes, hybrid.native_nodes) == (
                plain.engine_nodes, plain.native_nodes,
            )  # fmt: skip
            assert 15 < found.deviations(hybrid)[0].samples[0] < 60
            assert found.accuracy(hybrid).top(1).value > 0.95
        whole = by["openvino, whole, int8"]
        assert whole.met > 0.8
        assert whole.wider == 0
        assert whole.achieved.startswith("met ")
        assert len({found.latency(one).run for one in by.values()}) == 1
    assert "achieved" in found.text()
    with found.save(tmp_path / "study.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["precision"] for row in rows} == set(PRECISIONS)
    assert all(row["achieved"].startswith("met ") for row in rows)
    assert study.load(found.save(tmp_path / "study.parquet")) == found

    phases = []
    again = study.run(
        subject(), design, journal=path, progress=lambda event: phases.append(event.phase)
    )
    assert (again, phases) == (found, [])
    # A journal is bound to what was calibrated on.
    with pytest.raises(StudyError, match="calibration"):
        study.run(subject(calibration=zoo.digits(part="calibration")), design, journal=path)
    other = Design(**{**vars_of(design), "method": "minmax"})
    with pytest.raises(StudyError, match=r"\(method: entropy in the file, minmax now"):
        study.run(subject(), other, journal=path)


def vars_of(design: Design) -> dict:
    return {name: getattr(design, name) for name in design.__dataclass_fields__}


def test_a_plan_and_a_table_do_as_well_and_float16_on_a_cpu_is_seen():
    model = zoo.load("digits_resnet")
    table = collect(model, zoo.digits(part="calibration").head(20)).table("minmax")
    mixed = PrecisionPlan("int8").but("fp32", op_types=("Gemm",))
    design = Design(
        thresholds=(), wholes=(Whole("openvino"),), precisions=("int8", mixed, "fp16"), **QUICK
    )
    found = study.run(Subject(model, zoo.digits().head(20), calibration=table), design)
    whole, part, half = found.configurations
    assert [one.precision for one in found.configurations] == ["int8", "mixed int8", "fp16"]
    assert found.baselines == {"digits_resnet": "openvino, whole, int8"}
    assert whole.met > 0.8
    assert part.met == 1 - part.kept - part.wider - part.around
    assert half.met < 1
    assert half.wider + half.replaced > 0.5


def test_without_precisions_everything_is_as_it_was():
    design = Design(thresholds=(3,), wholes=(Whole("onnxruntime"),), **QUICK)
    assert not {"precisions", "method"} & set(design.fields())
    with_calibration = study.run(subject(), design)
    found = study.run(subject(calibration=None), design)
    for one in (found, with_calibration):
        assert [c.variant for c in one.configurations] == ["onnxruntime, whole", "openvino, min 3"]
        assert "achieved" not in one.text().lower()
        assert {c.precision for c in one.configurations} == {""}


def test_what_cannot_be_had_is_said_before_anything_runs():
    design = Design(precisions=("fp32", "int8"), **QUICK)
    with pytest.raises(PrecisionError, match="digits_inception is to be measured in INT8"):
        study.run(subject(calibration=None), design)
    plan = PrecisionPlan("bf16").but("fp32", nodes=("nosuch",))
    with pytest.raises(PrecisionError, match="no node nosuch"):
        study.run(subject(), Design(precisions=(plan,), **QUICK))
    other = collect(zoo.load("digits_resnet"), zoo.digits(part="calibration").head(4))
    with pytest.raises(DataError, match="digest"):
        study.run(subject(calibration=other.table("minmax")), design)
    wrong = LabelledData.from_arrays(np.zeros((4, 1, 8, 8), np.float32), np.zeros(4, int))
    with pytest.raises(DataError):
        study.run(subject(calibration=wrong), design)
    with pytest.raises(PrecisionError, match="no precision int9"):
        Design(precisions=("int9",))
    with pytest.raises(ValueError, match="precisions must be a sequence"):
        Design(precisions="int8")
    with pytest.raises(ValueError, match="method is nonsense"):
        Design(method="nonsense")
