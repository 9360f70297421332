"""The command line as a user types it, on real backends."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import onnx
import pytest
from cli_cases import run
from onnx import TensorProto, helper

from workbench.cli import main
from workbench.cli.options import COMMANDS

pytestmark = pytest.mark.usefixtures("own_cache")

SMALL = ["--thresholds", "1,30", "--seconds", "0.05", "--limit", "40"]


@pytest.fixture
def mixed(tmp_path: Path) -> str:
    """A file with one operator no TensorRT takes, between two convolutions."""
    value = helper.make_tensor_value_info
    weights = [
        helper.make_tensor(f"w{i}", TensorProto.FLOAT, [2, 2, 1, 1], [0.5, 0.1, 0.2, 0.4])
        for i in range(2)
    ]
    nodes = [
        helper.make_node("Conv", ["x", "w0"], ["a"], name="first"),
        helper.make_node("Relu", ["a"], ["b"], name="relu"),
        helper.make_node("Det", ["b"], ["d"], name="det"),
        helper.make_node("Mul", ["b", "d"], ["c"], name="mul"),
        helper.make_node("Conv", ["c", "w1"], ["y"], name="last"),
    ]
    graph = helper.make_graph(
        nodes,
        "mixed",
        [value("x", TensorProto.FLOAT, [1, 2, 2, 2])],
        [value("y", TensorProto.FLOAT, [1, 2, 2, 2])],
        weights,
        value_info=[value("d", TensorProto.FLOAT, [1, 2])],
    )
    graph.node[3].CopyFrom(helper.make_node("Mul", ["b", "e"], ["c"], name="mul"))
    graph.node.insert(3, helper.make_node("Reshape", ["d", "shape"], ["e"], name="reshape"))
    graph.initializer.append(helper.make_tensor("shape", TensorProto.INT64, [4], [1, 2, 1, 1]))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = tmp_path / "mixed.onnx"
    onnx.save(model, path)
    return str(path)


def test_inspect_says_what_a_file_holds(capsys: pytest.CaptureFixture[str], mixed: str):
    status, out, _ = run(capsys, "inspect", mixed, "--nodes")
    assert status == 0
    assert "mixed: 6 nodes, opset ai.onnx 17" in out
    assert "x float32[1x2x2x2]" in out
    assert "det" in out


def test_inspect_counts_parameters_of_a_known_network(capsys: pytest.CaptureFixture[str]):
    status, out, _ = run(capsys, "inspect", "squeezenet", "--json")
    assert status == 0
    assert json.loads(out)["statistics"]["parameters"] == 1_235_496


def test_inspect_lists_the_zoo(capsys: pytest.CaptureFixture[str]):
    _, out, _ = run(capsys, "inspect", "--zoo")
    assert "resnet50" in out
    assert "trained" in out


def test_plan_gives_every_node_a_verdict(capsys: pytest.CaptureFixture[str], mixed: str):
    status, out, _ = run(capsys, "plan", mixed, "-t", "1", "--json")
    found = json.loads(out)
    assert status == 0
    verdicts = {verdict["node"]: verdict for verdict in found["verdicts"]}
    assert verdicts.keys() == {"first", "relu", "det", "reshape", "mul", "last"}
    assert verdicts["det"]["code"] == "unsupported_op"
    assert verdicts["first"]["code"] == "taken"
    assert [sorted(part["nodes"]) for part in found["subgraphs"]] == [
        ["first", "relu"],
        ["last", "mul", "reshape"],
    ]


@pytest.mark.parametrize("source", ["tensorrt-8.6", "tensorrt-10.16", "tensorrt-11.1"])
def test_plan_asks_a_table_of_a_version_that_is_not_here(
    capsys: pytest.CaptureFixture[str], mixed: str, source: str
):
    status, out, _ = run(capsys, "plan", mixed, "--source", source)
    assert status == 0
    assert "Det is not supported" in out


def test_plan_answers_questions(capsys: pytest.CaptureFixture[str], mixed: str):
    assert "not supported" in run(capsys, "plan", mixed, "--why", "det")[1]
    apart = run(capsys, "plan", mixed, "-t", "1", "--apart", "first", "last")[1]
    assert "det (native" in apart
    assert "Det" in run(capsys, "plan", mixed, "-t", "1", "--what-if")[1]


def test_plan_with_the_rules_of_another_framework(capsys: pytest.CaptureFixture[str], mixed: str):
    engines = {}
    for preset in ("paddle", "paddle_pir"):
        out = run(capsys, "plan", mixed, "--preset", preset, "--json")[1]
        engines[preset] = [len(part["nodes"]) for part in json.loads(out)["subgraphs"]]
    assert engines == {"paddle": [], "paddle_pir": [3]}  # old Paddle keeps more than 3 only


def test_plan_draws_the_curve(capsys: pytest.CaptureFixture[str], mixed: str, tmp_path: Path):
    picture = tmp_path / "curve.png"
    assert run(capsys, "plan", mixed, "--figure", str(picture))[0] == 0
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_build_save_and_run_again_from_the_file(
    capsys: pytest.CaptureFixture[str], mixed: str, tmp_path: Path
):
    saved = tmp_path / "mixed.hybrid"
    status, out, err = run(capsys, "build", mixed, "-t", "1", "--out", str(saved))
    assert (status, err) == (0, "")
    assert out.count("openvino") == 2
    x = np.arange(8, dtype=np.float32).reshape(1, 2, 2, 2)
    np.save(tmp_path / "x.npy", x)
    given = ["--input", f"x={tmp_path / 'x.npy'}", "--seconds", "0"]
    for model, out_file in ((str(saved), "a.npz"), (mixed, "b.npz")):
        assert run(capsys, "run", model, *given, "--out", str(tmp_path / out_file))[0] == 0
    with np.load(tmp_path / "a.npz") as a, np.load(tmp_path / "b.npz") as b:
        np.testing.assert_allclose(a["y"], b["y"], rtol=1e-5)


def test_build_finds_its_plans_again(capsys: pytest.CaptureFixture[str], mixed: str):
    assert "built" in run(capsys, "build", mixed, "-t", "1")[1]
    again = run(capsys, "build", mixed, "-t", "1")[1]
    assert [line.split()[-1] for line in again.splitlines() if "openvino" in line] == ["cache"] * 2


def test_run_compares_with_a_reference(capsys: pytest.CaptureFixture[str]):
    _, out, _ = run(capsys, "run", "digits_resnet", "--reference", "reference", "--seconds", "0.05")
    decibels = float(out.split("SNR ")[1].split(" dB")[0])
    assert decibels > 80
    assert "latency" in out


def test_study_writes_a_table_and_figures(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    out = tmp_path / "study"
    words = ["study", "digits_resnet", "--data", "noisy-digits", "--exclude-op", "Add"]
    status, text, _ = run(capsys, *words, *SMALL, "--out", str(out))
    assert status == 0
    assert "openvino, min 1" in text
    with (out / "study.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["threshold"] for row in rows if row["threshold"]} == {"1", "30"}
    assert (out / "latency.png").stat().st_size > 10_000


@pytest.mark.slow
def test_study_goes_on_after_an_interruption(tmp_path: Path):
    out = tmp_path / "study"
    words = ["study", "digits_resnet", "digits_inception", *SMALL, "--out", str(out)]
    command = [sys.executable, "-m", "workbench.cli", *words, "--batches", "1,2,4,8"]
    journal = out / "journal.jsonl"
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stderr=pipe, stdout=pipe, text=True) as first:
        deadline = time.monotonic() + 120
        while not (journal.exists() and journal.read_bytes().count(b"\n") > 3):
            assert time.monotonic() < deadline
            assert first.poll() is None
            time.sleep(0.05)
        first.send_signal(signal.SIGINT)
        _, errors = first.communicate(timeout=20)
    assert first.returncode == 130, errors
    assert "interrupted" in errors
    kept = journal.read_bytes()
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert journal.read_bytes().startswith(kept[: kept.rindex(b"\n") + 1])
    assert "digits_inception · batch 8" in done.stdout


def test_a_study_in_which_nothing_ran_has_failed(tmp_path: Path):
    words = ["study", "digits_resnet", "--thresholds", "1", "--seconds", "0.05"]
    lines = (
        "import sys",
        "sys.modules['openvino'] = sys.modules['onnxruntime'] = None",
        "from workbench.cli import main",
        f"raise SystemExit(main({[*words, '--out', str(tmp_path / 'study')]!r}))",
    )
    done = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True)
    assert done.returncode == 1
    assert "pip install onnxruntime" in done.stdout
    assert "no configuration ran" in done.stderr


def test_an_interruption_after_the_end_changes_nothing():
    # Libraries are torn down after `main`; an exit handler stands for one that takes its time.
    lines = (
        "import atexit, os, signal",
        "from workbench.cli import main",
        "atexit.register(os.kill, os.getpid(), signal.SIGINT)",
        "raise SystemExit(main(['inspect', '--zoo']))",
    )
    done = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_an_interruption_inside_an_evaluated_string_ends_with_130(tmp_path: Path):
    # Python's dataclasses and named tuples are made that way, most of them while a library loads.
    lines = (
        "import signal, sys",
        "from workbench.cli import inspect, main",
        "inspect.run = lambda given: exec('signal.raise_signal(signal.SIGINT); print()')",
        "sys.exit(main(['inspect', '--zoo']))",
    )
    (tmp_path / "interrupted.py").write_text("\n".join(lines))
    command = [sys.executable, "-m", "interrupted"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, "interrupted" in done.stderr) == (130, True)


def test_doctor_tries_rather_than_lists(capsys: pytest.CaptureFixture[str]):
    status, out, _ = run(capsys, "doctor", "--json")
    found = {report["name"]: report for report in json.loads(out)["backends"]}
    assert status == 0
    assert found["openvino"]["can"] == ["capability", "build", "run"]
    tensorrt = found["tensorrt"]
    assert tensorrt["usable"] or (tensorrt["why_not"] and tensorrt["remedy"])


def test_everything_asked_for_is_in_the_json(capsys: pytest.CaptureFixture[str], mixed: str):
    status, out, _ = run(capsys, "inspect", "--zoo", "--json")
    assert status == 0
    assert {"digits_resnet", "resnet50"} <= {info["name"] for info in json.loads(out)}
    status, out, _ = run(capsys, "inspect", mixed, "--json")
    assert json.loads(out)["warnings"] == []
    questions = ("--why", "det", "--apart", "first", "last", "--what-if")
    status, out, _ = run(capsys, "plan", mixed, "--source", "tensorrt-11.1", *questions, "--json")
    found = json.loads(out)
    assert found["why"]["node"] == "det"
    assert found["apart"]["text"]
    assert found["what_if"][0]["op_type"] == "Det"


@pytest.mark.parametrize("words", [("--seconds", "-1"), ("--timeout", "0"), ("--threads", "nan")])
def test_numbers_out_of_range_are_told(capsys: pytest.CaptureFixture[str], words: tuple[str, str]):
    with pytest.raises(SystemExit) as stopped:
        main(["run", "digits_resnet", *words])
    assert stopped.value.code == 2
    assert f"{words[0]}: {words[1]} is no " in capsys.readouterr().err


def test_inputs_of_no_use_are_named(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    bad, nan = tmp_path / "bad.npy", tmp_path / "nan.npy"
    bad.write_text("no array")
    np.save(nan, np.full((1, 1, 16, 16), np.nan, np.float32))
    command = ("run", "digits_resnet", "--seconds", "0", "--input")
    status, _, err = run(capsys, *command, f"image={bad}")
    assert (status, "bad.npy: not an array" in err) == (1, True)
    status, _, err = run(capsys, *command, f"image={nan}")
    assert (status, "input image: 256 of 256 values NaN" in err) == (0, True)


def test_any_terminal_will_do():
    command = [sys.executable, "-m", "workbench.cli", "run", "digits_resnet", "--seconds", "0.01"]
    settings = os.environ | {"PYTHONIOENCODING": "ascii"}
    done = subprocess.run(command, capture_output=True, text=True, env=settings, check=True)
    assert "latency" in done.stdout


@pytest.mark.filterwarnings("default")
def test_a_warning_is_a_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "file").write_text("x")
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path / "file"))
    status, _, err = run(capsys, "build", "digits_resnet")
    assert status == 0
    assert all(line.startswith("workbench: warning: cache ") for line in err.splitlines())
    assert "is not kept" in err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["plan", "resnet5"], "did you mean resnet50?"),
        (["plan", "nothing.onnx"], "nothing.onnx"),
        (["plan", "digits_resnet", "--exclude-op", "Con"], "did you mean Conv?"),
        (["plan", "digits_resnet", "--preset", "padle"], "did you mean paddle?"),
        (["plan", "digits_resnet", "--source", "tensort"], "did you mean tensorrt?"),
        (["plan", "digits_resnet", "--why", "stm/conv"], "stm/conv"),
        (["run", "digits_resnet", "--shape", "image=1xx16"], "expected INPUT=1x3x224x224"),
        (["run", "digits_resnet", "--backend", "openvin"], "did you mean openvino?"),
        (["study", "digits_resnet", "--data", "nowhere.npz"], "nowhere.npz"),
    ],
)
def test_a_mistake_is_told_in_a_line(
    capsys: pytest.CaptureFixture[str], words: list[str], told: str
):
    status, out, err = run(capsys, *words)
    assert status == 1
    assert told in err
    assert "Traceback" not in err
    assert out == ""


@pytest.mark.parametrize("words", [[], ["plam"], ["plan"], ["plan", "x", "-t", "0"]])
def test_wrong_usage_ends_with_2(capsys: pytest.CaptureFixture[str], words: list[str]):
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert caught.value.code == 2
    assert "usage:" in capsys.readouterr().err


@pytest.mark.parametrize("name", [name for name, _, _ in COMMANDS])
def test_every_command_has_help(capsys: pytest.CaptureFixture[str], name: str):
    with pytest.raises(SystemExit) as caught:
        main([name, "--help"])
    assert caught.value.code == 0
    assert "usage:" in capsys.readouterr().out


def test_a_reader_that_goes_away_is_no_error():
    command = f"{sys.executable} -m workbench.cli plan inception_v3 --nodes | head -1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, env=os.environ)
    assert done.stdout.startswith("inception_v3")
    assert done.stderr == ""


def test_a_network_with_two_outputs_is_told_which_holds_the_scores(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    value = helper.make_tensor_value_info
    nodes = [helper.make_node("Flatten", ["x"], ["scores"], name="flat"),
             helper.make_node("Relu", ["x"], ["more"], name="relu")]  # fmt: skip
    graph = helper.make_graph(
        nodes, "two", [value("x", TensorProto.FLOAT, [1, 1, 1, 2])],
        [value("scores", TensorProto.FLOAT, [1, 2]),
         value("more", TensorProto.FLOAT, [1, 1, 1, 2])],
    )  # fmt: skip
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), tmp_path / "two.onnx")
    np.savez(tmp_path / "d.npz", images=np.ones((8, 1, 1, 2), np.float32), labels=[0, 1] * 4)
    monkeypatch.chdir(tmp_path)
    words = ("study", "two.onnx", "--data", "d.npz", "--seconds", "0.05", "--thresholds", "1")
    status, _, said = run(capsys, *words)
    assert status == 1
    assert "outputs scores, more; say with --output NAME" in said
    status, _, said = run(capsys, *words, "--output", "score")
    assert status == 1
    assert "did you mean scores?" in said
    assert not (tmp_path / "out").exists()
    status, out, said = run(capsys, *words, "--output", "scores")
    assert status == 0, said
    assert "out/study/two/study.csv" in out
    status, _, said = run(capsys, *words, "--output", "scores", "--threads", "2")
    assert status == 1
    assert "(threads: 1 in the file, 2 now)" in said
    assert "--out" in said
    assert "--fresh" in said


def test_calibration_pictures_of_another_size_are_told_how_to_change(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    np.savez(tmp_path / "c.npz", images=np.ones((4, 1, 9, 9), np.float32), labels=[0, 1, 2, 3])
    words = ("study", "digits_resnet", "--precisions", "int8", "--data", "digits")
    status, _, said = run(capsys, *words, "--calibration", str(tmp_path / "c.npz"))
    assert status == 1
    assert "those given come as (1, 9, 9); set --resize" in said


def test_a_plan_lists_why_nodes_are_below_the_threshold(
    capsys: pytest.CaptureFixture[str], mixed: str
):
    status, out, _ = run(capsys, "plan", mixed, "--source", "tensorrt-11.1", "-t", "3")
    assert status == 0
    assert "Conv, Relu  below_min_size  its subgraph has 2 nodes" in out
