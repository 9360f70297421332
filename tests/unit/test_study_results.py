"""What a study answers, and what comes back from its files."""

import csv
import json
from dataclasses import replace

import numpy as np
import pyarrow.parquet
import pytest
from study_samples import ENVIRONMENT, ROUNDS, study_of

from workbench.errors import StudyError
from workbench.measure import Measurement
from workbench.study import Configuration, Design, Study, Whole, load
from workbench.study.design import StudyPlan, variants
from workbench.study.tables import COLUMNS


def test_latency_comes_back_with_every_sample_of_both_clocks():
    study = study_of()
    one = study.configuration("net", 1, "openvino, min 1")
    found = study.latency(one)
    assert len(found.wall) == len(found.cpu) == ROUNDS
    assert found.median == pytest.approx(np.median(study.found(one, "latency")[0].samples))
    assert found.by("cpu").median == pytest.approx(0.9 * found.median)
    assert (found.calls, found.warm, found.noise.cpus) == (2, True, 2)


def test_a_threshold_with_the_same_partition_reports_the_same_measurement():
    study = study_of()
    first, second = (study.configuration("net", 1, f"openvino, min {t}") for t in (1, 3))
    assert second.same_as == first.variant
    assert study.latency(first).wall == study.latency(second).wall
    assert study.accuracy(first).hits == study.accuracy(second).hits


def test_ratios_stand_against_the_baseline():
    study = study_of()
    whole = study.configuration("net", 1, "openvino, whole")
    found = study.against_baseline(whole)
    assert found.ratio == pytest.approx(0.5, rel=0.02)
    assert found.verdict == "faster"
    base = study.baseline("net", 1)
    assert study.against_baseline(base).verdict == "no difference"


def test_rows_hold_every_column_and_the_right_numbers():
    study = study_of(batches=(1, 4))
    table = study.table()
    assert table.column_names == list(COLUMNS)
    assert table.num_rows == 10
    row = table.to_pylist()[2]
    latency = study.latency(study.configurations[2])
    assert row["variant"] == "openvino, min 1"
    assert row["latency_seconds"] == latency.median
    assert (row["latency_low"], row["latency_high"]) == latency.interval
    assert (row["top1"], row["accuracy_samples"]) == (0.94, 100)
    assert row["top1_low"] < 0.94 < row["top1_high"]
    assert (row["snr_db"], row["deviation"]) == (119.0, "differs")
    assert (row["engines"], row["engine_nodes"], row["native_nodes"]) == (2, 19, 6)
    assert row["verdict"] == "faster"
    assert row["cpu_ratio"] == pytest.approx(row["ratio"], rel=1e-6)
    assert table.to_pylist()[0]["engines"] is None


def test_questions_about_what_is_not_there():
    study = study_of()
    with pytest.raises(StudyError, match=r"no network nett \(did you mean net\?\)"):
        study.select("nett")
    with pytest.raises(StudyError, match="not run at batch 2; there is 1"):
        study.select("net", 2)
    with pytest.raises(StudyError, match="no configuration openvino, min 2"):
        study.configuration("net", 1, "openvino, min 2")


def test_a_study_refuses_twins_and_strays():
    study = study_of()
    with pytest.raises(StudyError, match="twice"):
        replace(study, configurations=(*study.configurations, study.configurations[0]))
    stray = Measurement("net", "elsewhere", "latency", "s", (1.0,))
    with pytest.raises(StudyError, match="elsewhere"):
        replace(study, measurements=(stray,))


@pytest.mark.parametrize("suffix", [".json", ".parquet"])
def test_save_then_load_is_identity(tmp_path, suffix):
    study = study_of(batches=(1, 2))
    path = study.save(tmp_path / "new" / f"study{suffix}")
    assert load(path) == study
    assert [item.name for item in path.parent.iterdir()] == [path.name]


def test_json_is_strict_and_keeps_infinities_and_nan(tmp_path):
    study = study_of()
    nan = Measurement("net", "openvino, whole", "odd", "", (float("nan"), float("-inf")))
    path = replace(study, measurements=(*study.measurements, nan)).save(tmp_path / "a.json")
    json.loads(path.read_text(), parse_constant=lambda name: pytest.fail(f"{name} in JSON"))
    samples = load(path).measurements[-1].samples
    assert np.isnan(samples[0])
    assert samples[1] == -np.inf


def test_parquet_is_a_table_for_anyone(tmp_path):
    path = study_of().save(tmp_path / "a.parquet")
    assert pyarrow.parquet.read_table(path).column_names == list(COLUMNS)


def test_csv_holds_no_formula(tmp_path):
    names = ["=1+1", "+x", "-x", "@x", " =x", "\t=x", "plain", "a\x1b[31m", 'quo"te,', "ünï"]
    configurations = tuple(
        Configuration(model=name, batch=1, variant="v", backend="b", failed="no") for name in names
    )
    path = Study((), ENVIRONMENT, configurations).save(tmp_path / "a.csv")
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == list(COLUMNS)
    assert [row["model"] for row in rows] == [
        "'=1+1", "'+x", "'-x", "'@x", "' =x", "'\\x09=x", "plain", "a\\x1b[31m", 'quo"te,', "ünï"
    ]  # fmt: skip
    assert {row["native"] for row in rows} == {""}


def test_csv_numbers_are_numbers(tmp_path):
    path = study_of().save(tmp_path / "a.csv")
    with path.open(newline="") as file:
        row = list(csv.DictReader(file))[3]
    assert float(row["latency_seconds"]) > 0
    assert row["same_as"] == "openvino, min 1"
    with pytest.raises(StudyError, match="holds the table without samples"):
        load(path)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.json", b"", "not the JSON"),
        ("a.json", b"[" * 100_000, "not the JSON"),
        ("a.json", b'{"a": 1, "a": 2}', "a key stands twice"),
        ("a.json", b'{"format": "else"}', "not a file that"),
        ("a.json", b'{"format": "workbench study 1"}', "not the fields"),
        ("a.json", b'{"x": NaN}', "NaN is not JSON"),
        ("a.parquet", b"PAR1", "not a Parquet file"),
        ("a.jsonl", b"hello\n", "not the journal"),
        ("missing.json", None, "cannot be read"),
        ("missing.jsonl", None, "cannot be read"),
    ],
)
def test_files_that_are_no_study_are_refused(tmp_path, name, content, words):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(StudyError, match=words) as caught:
        load(path)
    assert name in str(caught.value)


def test_files_with_wrong_fields_are_refused(tmp_path):
    path = study_of().save(tmp_path / "a.json")
    record = json.loads(path.read_text())
    for place, change in (
        (record["measurements"][0], {"samples": ["x"]}),
        (record["configurations"][0], {"colour": 1}),
        (record["measurements"][0], {"model": 7}),
        (record, {"environment": None}),
    ):
        kept = dict(place)
        place.update(change)
        path.write_text(json.dumps(record))
        with pytest.raises(StudyError):
            load(path)
        place.clear()
        place.update(kept)
    path.write_text(json.dumps(record))
    assert load(path) == study_of()


def test_a_wrong_suffix_and_a_place_that_cannot_be_written(tmp_path):
    with pytest.raises(StudyError, match="suffix must be"):
        study_of().save(tmp_path / "a.xlsx")
    (tmp_path / "file").write_text("")
    with pytest.raises(StudyError, match="cannot be written"):
        study_of().save(tmp_path / "file" / "a.json")


def test_text_fits_a_terminal_and_says_what_measured_it():
    study = study_of("a_model_with_quite_a_long_name_" * 3, batches=(1, 8))
    text = study.text()
    assert max(map(len, text.splitlines())) <= 120
    for words in ("no difference", "1 (baseline)", "2.00x faster", "openvino, min 3 *", "94.00"):
        assert words in text or words == "no difference"
    for words in ("Measured by", "openvino 1.0", "Test processor", "table", "reference 1.23"):
        assert words in text
    assert str(study) == text


def test_text_of_a_failed_configuration_says_why():
    study = study_of()
    failed = Configuration(
        model="net", batch=1, variant="tensorrt, whole", backend="tensorrt", failed="no \x07GPU"
    )
    text = replace(study, configurations=(*study.configurations, failed)).text()
    assert "tensorrt, whole: no \\x07GPU" in text


def test_design_lists_variants_in_order():
    design = Design(thresholds=(3, 1, 3), backends=("openvino",), wholes=(Whole("reference"),))
    labels = [variant.label for variant in variants(design)]
    assert labels == ["reference, whole", "openvino, min 3", "openvino, min 1"]
    labels = [v.label for v in variants(Design(thresholds=(2,), policy="fewest"))]
    assert labels == [
        "onnxruntime, whole", "onnxruntime, unoptimised", "openvino, whole",
        "openvino, min 2, fewest",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"thresholds": (0,)}, "thresholds"),
        ({"thresholds": ("3",)}, "thresholds"),
        ({"batches": ()}, "batches"),
        ({"batches": (True,)}, "batches"),
        ({"policy": "best"}, "policy is best"),
        ({"seconds": float("nan")}, "seconds is nan"),
        ({"reference_seconds": 0}, "reference_seconds is 0"),
        ({"threads": 0}, "threads is 0"),
        ({"backends": "openvino"}, "backends is openvino; must be a sequence"),
        ({"min_rounds": 5}, "min_rounds is 5"),
        ({"min_rounds": 50, "max_rounds": 40}, "max_rounds 40"),
        ({"wholes": (), "thresholds": ()}, "nothing to measure"),
    ],
)
def test_a_design_refuses_what_makes_no_sense(change, words):
    with pytest.raises(ValueError, match=words):
        Design(**change)


def test_plans_say_what_differs():
    one = StudyPlan({"design": {"threads": 1, "batches": [1]}, "machine": {"processor": "A"}})
    other = StudyPlan({"design": {"threads": 2, "batches": [1]}, "machine": {}})
    assert one.differences(one) == ()
    assert one.differences(other) == (
        "threads: 1 in the file, 2 now",
        "machine processor: A in the file, nothing now",
    )


def test_plans_name_networks_and_no_digests():
    def of(**networks):
        return StudyPlan({"networks": networks, "design": {}, "machine": {}})

    mine = {"content": "1f70", "data": "ab12", "output": None}
    assert of(mine=mine).differences(of(digits=mine)) == ("networks: mine in the file, now digits",)
    other = {"content": "2e80", "data": "cd34", "output": "logits"}
    assert of(mine=mine).differences(of(mine=other)) == (
        "network mine: another model of this name",
        "network mine: other data",
        "network mine output: none in the file, logits now",
    )
