"""Our ranges in ONNX Runtime's own tools, and theirs here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat
from onnxruntime.quantization.calibrate import (
    create_calibrator,
    load_tensors_data,
    save_tensors_data,
)
from onnxruntime.quantization.quantize import quantize_static

from workbench import zoo
from workbench.calibrate import collect, from_quantized, read, write
from workbench.model import Model, load


class Pictures(CalibrationDataReader):
    def __init__(self, count: int) -> None:
        batch = next(zoo.digits(part="calibration").batches(count))[0]
        self.left = iter(np.split(batch, count))

    def get_next(self) -> dict[str, np.ndarray] | None:
        picture = next(self.left, None)
        return None if picture is None else {"image": picture}


@pytest.fixture(scope="module")
def model() -> Model:
    return zoo.load("digits_inception")


@pytest.fixture(scope="module")
def file(model: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return model.save(tmp_path_factory.mktemp("model") / "model.onnx")


@pytest.mark.parametrize("method", [CalibrationMethod.MinMax, CalibrationMethod.Percentile])
def test_both_calibrators_find_the_same(
    model: Model, file: Path, tmp_path: Path, method: CalibrationMethod
):
    options = {"num_bins": 2048, "percentile": 99.0} if method != CalibrationMethod.MinMax else {}
    theirs = create_calibrator(
        str(file), ["Conv", "Gemm"], str(tmp_path / "augmented.onnx"), method,
        extra_options={**options, "symmetric": True},
    )  # fmt: skip
    theirs.collect_data(Pictures(16))
    save_tensors_data(theirs.compute_data(), tmp_path / "ranges.json")
    table = read(tmp_path / "ranges.json")
    assert table.method == method.name.lower()
    names = [name for name in table.ranges if name in model.graph.producer]
    data = zoo.digits(part="calibration").head(16)
    ours = collect(model, data, tensors=names, batch=1)
    mine = ours.table(table.method, **({"percent": 99.0} if options else {}))
    for name in names:
        assert mine[name].amax == pytest.approx(table[name].amax, rel=0.02 if options else 1e-4)


def test_onnxruntime_quantizes_with_our_table(model: Model, file: Path, tmp_path: Path):
    tensors = [
        name for node in model.graph.nodes for name in (*node.inputs, *node.outputs)
        if name in model.graph.producer or name == "image"
    ]  # fmt: skip
    found = collect(model, zoo.digits(part="calibration").head(16), tensors=tensors)
    table = found.table("minmax")
    path = write(table, tmp_path / "ranges.json", "onnxruntime")
    theirs = load_tensors_data(path)
    assert theirs.calibration_method == CalibrationMethod.MinMax
    assert float(theirs["image"].highest) == pytest.approx(table["image"].high)
    # Without a reader it can only use the file.
    quantize_static(
        str(file), str(tmp_path / "int8.onnx"), None, quant_format=QuantFormat.QDQ,
        calibrate_method=CalibrationMethod.MinMax, calibration_cache_path=path,
    )  # fmt: skip
    quantized = load(tmp_path / "int8.onnx")
    assert any(node.op_type == "QuantizeLinear" for node in quantized.graph.nodes)
    back = from_quantized(quantized)
    assert back["image"].high == pytest.approx(table["image"].high, rel=0.01)
    onnx.checker.check_model(str(tmp_path / "int8.onnx"))
