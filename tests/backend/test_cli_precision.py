"""`workbench precision`, `calibrate` and `study --precisions` as a user types them."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from cli_cases import run

from workbench import calibrate, zoo
from workbench.cli import main
from workbench.precision import PrecisionPlan

pytestmark = pytest.mark.usefixtures("own_cache")

QUICK = ["--seconds", "0.05", "--limit", "40"]


def refused(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    """The one line that says why a command failed."""
    status, out, err = run(capsys, *words)
    assert (status, out) == (1, "")
    assert err.count("\n") == 1
    return err


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Digits as a user has them: an archive of arrays."""
    images, labels = next(zoo.digits().batches(50))
    path = tmp_path / "mine.npz"
    np.savez(path, images=images, labels=labels)
    return path


@pytest.mark.slow
def test_the_trained_networks_in_one_table(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    out = tmp_path / "precision"
    status, text, err = run(capsys, "precision", *QUICK, "--out", out)
    assert (status, err) == (0, "")
    lines = text.splitlines()
    for head in ("FP32 top-1/top-5", "INT8 top-1/top-5", "FP32 ms", "INT8 ms", "gain", "achieved"):
        assert head in lines[0]
    assert [line.split()[0] for line in lines[2:4]] == ["digits_inception", "digits_resnet"]
    assert all("met 9" in line for line in lines[2:4])
    page = (out / "precision.md").read_text()
    assert page.count("\n") == 4
    assert page.startswith("| model | batch | run by | FP32 top-1/top-5 |")
    with (out / "study.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["precision"] for row in rows] == ["fp32", "int8"] * 2
    again = run(capsys, "precision", *QUICK, "--out", out)[1]
    assert again == text


def test_a_file_with_the_users_own_data(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, pictures: Path
):
    model = zoo.load("digits_inception").save(tmp_path / "net.onnx")
    words = ["precision", model, "--data", pictures, *QUICK, "--out", tmp_path / "out"]
    status, text, err = run(capsys, *words)
    assert status == 0
    assert "calibrating on the first 50 items that accuracy is measured on" in err
    assert text.splitlines()[2].startswith("net ")
    table = tmp_path / "table.cache"
    assert run(capsys, "calibrate", model, "--data", pictures, "--out", table)[0] == 0
    given = ["--calibration", table, "--backend", "onnxruntime", "--out", tmp_path / "other"]
    status, text, err = run(capsys, *words[:-2], *given)
    assert (status, err) == (0, "")
    assert "onnxruntime" in text.splitlines()[2]


def test_what_does_not_run_is_a_dash_and_a_note(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    words = ["precision", "digits_resnet", "--precisions", "fp32,bf16", "--backend", "onnxruntime"]
    status, text, err = run(capsys, *words, *QUICK, "--out", tmp_path / "out")
    assert status == 0
    assert text.splitlines()[2].split()[-3:] == ["–", "–", "–"]
    assert "digits_resnet, onnxruntime, whole, bf16" in err


def test_a_study_with_precisions_and_a_plan_of_ones_own(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    plan = PrecisionPlan("int8").but("fp32", op_types=("Gemm",)).save(tmp_path / "plan.json")
    words = ["study", "digits_resnet", "--data", "noisy-digits", "--thresholds", "3", *QUICK]
    words += ["--precisions", f"fp32,{plan}", "--out", tmp_path / "out"]
    status, text, _ = run(capsys, *words)
    assert status == 0
    assert "openvino, min 3, mixed int8" in text
    with (tmp_path / "out" / "study.csv").open(newline="") as file:
        rows = {row["variant"]: row for row in csv.DictReader(file)}
    assert rows["openvino, min 3, fp32"]["achieved"] == "met 100 %"
    assert float(rows["openvino, whole, mixed int8"]["met"]) > 0.5


@pytest.mark.parametrize(
    ("name", "form", "begins"),
    [
        ("t.json", [], "{"),
        ("t.cache", [], "TRT-8601-"),
        ("t.json", ["--form", "onnxruntime"], "{"),
    ],
)
def test_calibrate_writes_the_form_that_is_asked_for(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, name: str, form: list[str], begins: str
):
    out = tmp_path / name
    words = ["calibrate", "digits_resnet", "--data", "noisy-digits", "--method", "mse"]
    status, text, _ = run(capsys, *words, "--limit", 30, *form, "--out", out)
    assert status == 0
    assert "mse, " in text
    assert "30 samples" in text
    assert out.read_text().startswith(begins)
    table = calibrate.read(out, model=zoo.load("digits_resnet"))
    assert table["image"].amax > 1
    if name.endswith("json") and not form:
        assert json.loads(out.read_text())["method"] == "mse"


def test_mistakes_are_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path, pictures: Path):
    out = ["--out", tmp_path / "out"]
    digits = ["precision", "digits_inception", *QUICK, *out]
    assert "give labelled data with --data" in refused(capsys, "precision", "squeezenet", *out)
    assert "no such file" in refused(capsys, *digits, "--calibration", tmp_path / "gone.json")
    assert "no precision int9" in refused(capsys, *digits, "--precisions", "int9")
    assert "cannot be read" in refused(capsys, *digits, "--precisions", "gone.json")
    assert "no backend opnvino" in refused(capsys, *digits, "--backend", "opnvino")
    assert "nosuch.npz" in refused(capsys, *digits, "--data", tmp_path / "nosuch.npz")
    table = tmp_path / "other.json"
    assert run(capsys, "calibrate", "digits_resnet", "--data", "digits", "--out", table)[0] == 0
    assert "other.json" in refused(capsys, *digits, "--calibration", table)
    assert "INT8, which needs ranges" in refused(
        capsys, "study", "digits_inception", "--precisions", "int8", *QUICK, *out
    )
    wrong = ["calibrate", "digits_resnet", "--data", pictures, "--out"]
    assert "must end in .json or .cache" in refused(capsys, *wrong, tmp_path / "table.txt")
    assert "no such folder" in refused(capsys, *wrong, tmp_path / "gone" / "t.json")
    assert "give labelled data" in refused(capsys, "calibrate", "digits_resnet", *out[:1], table)
    with pytest.raises(SystemExit):
        main(["calibrate", "digits_resnet", "--data", "digits"])


def test_a_silent_downgrade_is_said_and_in_strict_mode_an_error(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    """No kernel of these backends computes in float16 here."""
    words = ["precision", "digits_inception", "--data", "digits", "--limit", "32", *QUICK,
             "--precisions", "fp32,fp16"]  # fmt: skip
    status, text, err = run(capsys, *words, "--out", tmp_path / "told")
    assert status == 0
    assert "met 0 %, wider 100 %, in fp32" in text
    assert "fp16: does not compute in what was asked for" in err
    status, text, err = run(capsys, *words, "--strict", "--out", tmp_path / "strict")
    assert status == 0, "float32 ran"
    assert "strict: asked for fp16, achieved: met 0 %, wider 100 %, in fp32" in err


def test_an_unknown_backend_leaves_nothing_behind(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    words = ["precision", "digits_inception", "--data", "digits", *QUICK, "--out", tmp_path]
    status, _, err = run(capsys, *words, "--backend", "openvin0")
    assert status != 0
    assert "did you mean openvino" in err
    assert not list(tmp_path.glob("*.jsonl"))
