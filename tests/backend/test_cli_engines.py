"""`workbench open-engine` on real files and damaged ones; `workbench kernels` on real builds."""

import json
from pathlib import Path

import pytest
from cli_cases import run

from workbench.backends.tensorrt import adapter

pytestmark = pytest.mark.usefixtures("own_cache")

GOLDEN = Path(__file__).parents[1] / "golden" / "tensorrt"
SHARED = Path(__file__).parents[3] / "shared" / "trt" / "artifacts"
FILES = sorted(
    path
    for folder in (GOLDEN, SHARED)
    for path in folder.rglob("*")
    if path.is_file() and path.suffix in (".json", ".log", ".txt")
)


@pytest.mark.parametrize("file", FILES, ids=lambda path: path.name)
def test_every_real_file_is_shown_or_refused_by_name(capsys, file):
    status, out, err = run(capsys, "open-engine", file)
    if status:
        assert err.count("\n") == 1
        assert str(file) in err
        assert not out
    else:
        assert out.strip()


def test_a_folder_with_times_is_shown_slowest_first(capsys):
    status, out, _ = run(capsys, "open-engine", GOLDEN / "trex-fp16")
    rows = [line.split() for line in out.splitlines() if "%" in line]
    shares = [float(row[3].rstrip("%")) for row in rows]
    assert status == 0
    assert "36 layers, 13 of them TensorRT's own" in out
    assert shares[:20] == sorted(shares[:20], reverse=True)
    assert "1.02 ms for a run" in out


def test_all_layers_come_in_the_order_they_run(capsys):
    out = run(capsys, "open-engine", GOLDEN / "trt8.6-cnn-fp16.layers.json", "--all")[1]
    rows = [line for line in out.splitlines() if "CaskConvolution  float16" in line]
    assert [row.split()[0] for row in rows[1:]] == ["1", "2", "3", "4", "5", "7"]
    assert "b0/conv2, b0/Add, b0/Relu2" in out


def test_json_has_layers_and_times(capsys):
    found = json.loads(run(capsys, "open-engine", GOLDEN / "trex-fp16", "--json")[1])
    (engine,) = found["engines"]
    assert len(engine["layers"]) == len(engine["seconds"]) == 36
    found = json.loads(
        run(capsys, "open-engine", GOLDEN / "trtexec10.16-performance.log", "--json")[1]
    )
    assert found["performance"]["Throughput"]["value"] > 0
    assert found["passed"] is True


@pytest.mark.parametrize("ending", [".html", ".svg", ".png", ".dot"])
def test_figures_with_and_without_the_model(capsys, tmp_path, ending):
    drawn = tmp_path / f"engine{ending}"
    layers = GOLDEN / "rtx1.7-cnn-int8.layers.txt"
    assert run(capsys, "open-engine", layers, "--figure", drawn)[0] == 0
    alone = drawn.stat().st_size
    model = SHARED / "rtx1.7.1-cpu" / "cnn-int8.onnx"
    if not model.is_file():
        pytest.skip("the model of this engine is not here")
    status, out, _ = run(
        capsys, "open-engine", SHARED / "rtx1.7.1-cpu" / "cnn-int8.layers.txt",
        "--onnx", model, "--figure", drawn,
    )  # fmt: skip
    assert status == 0
    assert "35 nodes of g: 35 in layers, 0 folded, 0 removed, 0 without a trace" in out
    assert alone > 500
    assert drawn.stat().st_size != alone


def test_a_figure_of_several_engines_or_of_none_is_refused(capsys, tmp_path):
    files = [GOLDEN / "trt10.16-layers.json", GOLDEN / "trt11.0-layers.json"]
    status, _, err = run(capsys, "open-engine", *files, "--figure", tmp_path / "x.svg")
    assert status == 1
    assert "draws one engine, and the files hold 2" in err


def test_a_model_that_is_another_one_is_told(capsys):
    layers = GOLDEN / "trt8.6-cnn-fp16.layers.json"
    status, _, err = run(capsys, "open-engine", layers, "--onnx", "digits_resnet")
    assert status == 0
    assert "is it the model the engine was built from" in err


def damaged(data: bytes) -> dict[str, bytes]:
    nested = b"[" * 200_000
    return {
        "empty": b"",
        "half": data[: len(data) // 2],
        "last byte": data[:-1],
        "zeros": b"\0" * 4096,
        "utf-16": data.decode("utf-8", "replace").encode("utf-16"),
        "utf-16 without its mark": data.decode("utf-8", "replace").encode("utf-16-le"),
        "latin-1": data.replace(b"Conv", b"C\xf6nv"),
        "nested": b'{"Layers": ' + nested,
        "nested objects": b'{"Layers": [' + b'{"Name":' * 100_000,
        "doubled": data + data,
    } | {f"bit {i}": _flipped(data, i * len(data) // 40) for i in range(40)}


def _flipped(data: bytes, at: int) -> bytes:
    changed = bytearray(data)
    changed[at] ^= 1 << (at % 8)
    return bytes(changed)


@pytest.mark.parametrize("name", ["trt11.0-layers.json", "rtx1.7-cnn-int8.layers.txt"])
def test_damaged_copies_are_shown_or_refused_never_a_traceback(capsys, tmp_path, name):
    refused = 0
    for what, data in damaged((GOLDEN / name).read_bytes()).items():
        file = tmp_path / f"{what}.json"
        file.write_bytes(data)
        status, out, err = run(capsys, "open-engine", file)
        assert status in (0, 1), what
        assert (status == 0) == bool(out.strip()), what
        assert len(err) < 4000
        refused += status
    assert refused >= 5


def test_a_calibration_table_is_called_one(capsys, tmp_path):
    file = tmp_path / "table.cache"
    file.write_text("TRT-100001-EntropyCalibration2\nx: 3c010a14\n")
    status, _, err = run(capsys, "open-engine", file)
    assert status == 1
    assert "an INT8 calibration table" in err


def test_a_path_that_is_none(capsys, tmp_path):
    status, _, err = run(capsys, "open-engine", tmp_path / "gone.json")
    assert status == 1
    assert "gone.json" in err


@pytest.mark.skipif(
    "tensorrt_rtx" not in adapter.installed(), reason="tensorrt_rtx is not installed"
)
def test_kernels_counts_every_node_and_writes_the_table(capsys, tmp_path):
    page = tmp_path / "kernels.md"
    status, out, _ = run(
        capsys, "kernels", "digits_inception", "--exclude-op", "Concat", "-t", "2", "--out", page
    )  # fmt: skip
    assert status == 0
    head, _, *rows = [line.split() for line in out.splitlines() if line.strip()][:4]
    for row in rows:
        nodes, engines, kernels = map(int, row[2:5])
        assert sum(map(int, row[6:11])) == nodes
        assert engines > 1
        assert 0 < kernels < nodes
        assert int(row[9]) > 0
        assert int(row[10]) == 0
    assert "| digits_inception | fp16 |" in page.read_text()
    assert head[0] == "network"


def test_an_unknown_precision_is_refused(capsys):
    status, _, err = run(capsys, "kernels", "digits_inception", "--precisions", "fp17")
    assert status == 1
    assert "fp17" in err
