"""Files of calibration tables: real ones, wrong ones, and tables of another model."""

from __future__ import annotations

import json
import struct
import warnings
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from model_files import node, proto, stored, value
from transform_nets import branches

from workbench.calibrate import (
    CalibrationTable,
    Histograms,
    Range,
    check,
    describe,
    from_quantized,
    read,
    write,
)
from workbench.calibrate.formats import FORMS, note_of
from workbench.calibrate.histogram import Tally
from workbench.errors import DataError
from workbench.model import Model, from_proto

GOLDEN = Path(__file__).parents[1] / "golden" / "calibration"
HEAD = "TRT-8601-EntropyCalibration2\n"


@pytest.fixture
def model() -> Model:
    weight = stored("w", np.ones((4, 3, 1, 1), np.float32))
    nodes = [node("Conv", ["x", "w"], ["c"], "conv"), node("Relu", ["c"], ["y"], "relu")]
    return from_proto(proto(nodes, outputs=[value("y", ["N", 4, 8, 8])], weights=[weight]))


def table_of(model: Model) -> CalibrationTable:
    return CalibrationTable(
        "entropy",
        {"x": Range.symmetric(2.5), "y": Range(0, 7.25)},
        model_digest=model.digest,
        data_digest="d" * 64,
        samples=12,
    )


def cache(folder: Path, text: str | bytes) -> Path:
    path = folder / "some.cache"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize(
    ("name", "version", "scales"),
    [
        ("dynamicshape.cache", "7000", {
            "inputTensor": "3c00e995", "(Unnamed Layer* 0) [Convolution]_output": "3e0a9eac",
        }),
        ("plugin-10.0.1.cache", "100001", {
            "inputT0": "3ebfcfb9", "(Unnamed Layer* 0) [PluginV3_V3ONE]_output": "3ec3d80a",
            "outputT0": "3ec3d80a",
        }),
        ("paddle2onnx.cache", "8XXX", {
            "relu_1.tmp_0": "3d010204", "image": "3c010204", "conv2d_0.tmp_1": "3e0a9eac",
        }),
    ],
)  # fmt: skip
def test_real_caches_are_read_and_written_back(
    name: str, version: str, scales: dict[str, str], tmp_path: Path
):
    table = read(GOLDEN / name)
    assert table.method == "entropy"
    assert table.details["version"] == version
    assert not table.model_digest
    assert list(table.ranges) == list(scales)
    for tensor, digits in scales.items():
        scale = struct.unpack(">f", bytes.fromhex(digits))[0]
        assert table[tensor].scale == pytest.approx(scale, rel=1e-12)
        assert table[tensor].low == -table[tensor].high
    form = "paddle" if version == "8XXX" else "tensorrt"
    again = write(table, tmp_path / name, form, version=version)
    assert again.read_bytes() == (GOLDEN / name).read_bytes()


def test_one_step_of_a_range_of_one():
    assert read(GOLDEN / "paddle2onnx.cache")["image"].amax == pytest.approx(1.0, rel=1e-6)


@pytest.mark.parametrize("form", FORMS)
def test_tables_survive_every_form(form, model: Model, tmp_path: Path):
    table = table_of(model)
    path = write(table, tmp_path / "table", form)
    back = read(path, model=model)
    assert (back.method, back.samples) == ("entropy", 12)
    assert (back.model_digest, back.data_digest) == (table.model_digest, table.data_digest)
    for name in table.ranges:
        assert back[name].amax == pytest.approx(table[name].amax, rel=1e-6)
    if form in ("onnxruntime", "workbench"):
        assert back.ranges == table.ranges


@pytest.mark.parametrize("form", FORMS)
def test_tensors_that_were_always_zero_stay_known(form, tmp_path: Path):
    ranges = {"x": Range.symmetric(1)}
    table = CalibrationTable("minmax", ranges, details={"always_zero": ["dead"]})
    assert list(read(write(table, tmp_path / "table", form)).details["always_zero"]) == ["dead"]


NAMES = st.text(st.characters(exclude_characters="\n\r", exclude_categories=["Cs"]), min_size=1)


@given(st.dictionaries(NAMES, st.floats(1e-30, 1e30), min_size=1, max_size=5))
@settings(max_examples=150, deadline=None)
def test_any_name_survives(tmp_path_factory, amaxes: dict[str, float]):
    table = CalibrationTable("entropy", {k: Range.symmetric(v) for k, v in amaxes.items()})
    folder = tmp_path_factory.getbasetemp() / "names"
    folder.mkdir(exist_ok=True)
    for form in FORMS:
        back = read(write(table, folder / form, form))
        assert set(back.ranges) == set(amaxes)
        for name, amax in amaxes.items():
            assert back[name].amax == pytest.approx(amax, rel=1e-6)


def test_a_name_with_a_line_break_cannot_be_in_a_cache(tmp_path: Path):
    table = CalibrationTable("entropy", {"a\nb": Range.symmetric(1)})
    with pytest.raises(DataError, match=r"a\\x0ab has a line break"):
        write(table, tmp_path / "some.cache")
    assert not list(tmp_path.iterdir())


def test_names_with_colons_are_split_at_the_last_and_short_numbers_filled(tmp_path: Path):
    table = read(cache(tmp_path, HEAD + "a: b: 3c010204\n: : 3f800000\nc: f800000\n"))
    assert set(table.ranges) == {"a: b", ": ", "c"}
    assert table["a: b"].amax == pytest.approx(1, rel=1e-6)
    assert table["c"].scale == struct.unpack(">f", bytes.fromhex("0f800000"))[0]


def test_an_old_head_is_known(tmp_path: Path):
    text = "0 3ff0000000000000 3fefffeb074a771d\nx: 3c010204\n"
    assert read(cache(tmp_path, text)).method == "percentile"


@pytest.mark.parametrize(
    ("body", "line", "words"),
    [
        ("x: 3c01zz04\n", 2, "no number of up to 8 hexadecimal digits"),
        ("x: 3c0102041\n", 2, "no number of up to 8"),
        ("x: -3c01020\n", 2, "no number of up to 8"),
        ("x: \n", 2, "missing"),
        ("x: 3c010204\ny: 3c01", 3, "ends within the scale"),
        ("x: 3c010204\nsome_tens", 3, "the file is cut"),
        ("x: 3c010204\nsome_tens\ny: 3c010204\n", 3, "no `tensor: scale`"),
        (": 3c010204\n", 2, "no `tensor: scale`"),
        ("x: 3c010204\n\ny: 3c010204\n", 3, "is empty"),
        ("x: 7fc00000\n", 2, "scale nan"),
        ("x: 7f800000\n", 2, "scale inf"),
        ("x: bc010204\n", 2, "must be above 0"),
        ("x: 0\n", 2, "must be above 0"),
        ("x: 00000001\n", 2, "scale"),
        ("x: 7f7fffff\n", 2, "finite"),
        ("x: 3c010204\nx: 3c010205\n", 3, "is in line 2 too"),
        ("x: 3c010204\r\ny: 3c010204\r\n", 2, "CR LF"),
    ],
)
def test_wrong_lines_are_named_and_nothing_is_used(
    body: str, line: int, words: str, tmp_path: Path
):
    path = cache(tmp_path, HEAD + body)
    with pytest.raises(DataError, match=words) as error:
        read(path)
    assert f"some.cache, line {line}" in str(error.value)
    path.write_text(HEAD + "x: 3c010204\n")
    assert len(read(path)) == 1


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "line 1: the file is empty"),
        (b"TRT-8601-EntropyCalibration2\n", "holds no tensor"),
        (b"TRT-8601-EntropyCalibration2\r\nx: 3c010204\r\n", "line 1: ends in CR LF"),
        (b"x: 3c010204\n", "line 1: .* is no head"),
        (b"TRT-x-y\n", "line 1: .* is no head"),
        (b"\xff\xfe\x00", "is no text"),
        (b"{", "line 1: is no JSON"),
        (b'{"CLS": "TensorsData"', "line 1: is no JSON"),
        (b'{"CLS": "TensorsData"}', "calibration_method"),
        (b'{"format": "other"}', "no calibration table of"),
        (b'{"CLS": 1, "CLS": 2}', "CLS is there twice"),
        (b"{" * 100_000, "JSON|recursion"),
    ],
)
def test_wrong_files_are_refused(content: bytes, words: str, tmp_path: Path):
    with pytest.raises(DataError, match=words) as error:
        read(cache(tmp_path, content))
    assert "some.cache" in str(error.value)


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"lowest": 0.0}, "highest is None"),
        ({"lowest": 0.0, "highest": "3"}, "must be a finite number"),
        ({"lowest": 0.0, "highest": float("nan")}, "must be a finite number"),
        ({"lowest": 0.0, "highest": 0.0}, "scale of zero"),
        ({"lowest": 2.0, "highest": 1.0}, "above high"),
        ({"lowest": {"data": [0.0, 1.0]}, "highest": 1.0}, "2 values"),
        (7, "lowest is None"),
    ],
)
def test_wrong_ranges_of_onnxruntime_name_the_tensor(entry, words: str, tmp_path: Path):
    fields = {
        "CLS": "TensorsData",
        "data": {"conv_out": entry},
        "calibration_method": {"value": "CalibrationMethod.MinMax"},
    }
    with pytest.raises(DataError, match=f"some.cache: tensor conv_out: .*{words}"):
        read(cache(tmp_path, json.dumps(fields)))


def test_entries_that_give_no_scale_are_left_out_when_asked(tmp_path: Path):
    path = cache(tmp_path, HEAD + "x: 3c010204\ndead: 0\nodd: 7fc00000\n")
    assert set(read(path, leave_out=True).ranges) == {"x"}


@given(st.sampled_from(FORMS), st.integers(0, 1 << 20), st.binary(max_size=3), st.booleans())
@settings(max_examples=300, deadline=None)
def test_damage_is_an_error_of_ours_or_seen(
    tmp_path_factory, form, at: int, bytes_: bytes, note: bool
):
    folder = tmp_path_factory.getbasetemp() / "damage"
    folder.mkdir(exist_ok=True)
    ranges = {"a": Range.symmetric(1), "b: c": Range(-2, 3)}
    path = write(CalibrationTable("mse", ranges, samples=3, model_digest="m"), folder / form, form)
    target = note_of(path) if note and note_of(path).exists() else path
    content = target.read_bytes()
    at %= len(content)
    target.write_bytes(content[:at] + bytes_ + content[at + 1 :])
    said = ""
    table = None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        try:
            table = read(path)
        except DataError as error:
            said = str(error)
    assert form in said or (table is not None and len(table) >= 1)


# Tables and models.


def test_a_table_of_another_model_is_refused_with_both_digests(model: Model, tmp_path: Path):
    other = table_of(model)
    other = CalibrationTable("entropy", other.ranges, model_digest="e" * 64)
    with pytest.raises(DataError, match=f"{'e' * 64}.*{model.digest}"):
        check(other, model)
    path = write(other, tmp_path / "some.cache")
    with pytest.raises(DataError, match=f"some.cache: .*{'e' * 64}"):
        read(path, model=model)


def test_extra_and_missing_tensors_are_named(model: Model, tmp_path: Path):
    path = cache(tmp_path, HEAD + "x: 3c010204\ny: 3c010204\nstrange: 3c010204\n")
    with pytest.raises(DataError, match=r"some.cache: .*strange.* of another model"):
        read(path, model=model)
    assert set(read(path, model=model, leave_out=True).ranges) == {"x", "y"}
    path = cache(
        tmp_path, HEAD + "x: 3c010204\n(Unnamed Layer* 0) [Convolution]_output: 3c010204\n"
    )
    with pytest.raises(DataError, match="no range for y"):
        read(path, model=model)
    check(read(path), model, tensors=["x"])


def test_a_cache_changed_after_it_was_written_is_of_unknown_origin(model: Model, tmp_path: Path):
    path = write(table_of(model), tmp_path / "some.cache")
    assert note_of(path).is_file()
    path.write_text(path.read_text().replace("EntropyCalibration2", "MinMaxCalibration"))
    with pytest.warns(RuntimeWarning, match="unknown origin"):
        table = read(path)
    assert (table.model_digest, table.method) == ("", "minmax")


def test_a_description_shows_what_is_clipped_and_what_is_odd(model: Model):
    tallies = {name: Tally(2048) for name in ("x", "y", "z")}
    tallies["x"].add(np.linspace(-5, 5, 10_001).astype(np.float32))
    tallies["y"].add(np.linspace(0, 0.1, 11).astype(np.float32))
    seen = Histograms({name: one.result() for name, one in tallies.items()}, model.digest, "", 1)
    found = describe(table_of(model), seen)
    rows = {row.tensor: row for row in found}
    assert rows["x"].saturation == pytest.approx(0.5, abs=0.001)
    assert "clips 50 % of the values" in rows["x"].remark
    assert "72 times what is seen" in rows["y"].remark
    assert found.missing == ("z",)
    assert found.worst is rows["x"]
    assert "clips" in str(found)
    assert describe(table_of(model), model=model).missing == ()
    with pytest.raises(DataError, match="do not belong together"):
        describe(table_of(model), Histograms({}, "f" * 64, "", 1))


# Q/DQ models.


def quantized(scale: float, zero: np.generic, *, second: float | None = None) -> onnx.ModelProto:
    nodes = [
        node("QuantizeLinear", ["x", "s", "z"], ["q"], "quantize"),
        node("DequantizeLinear", ["q", "s", "z"], ["y"], "dequantize"),
    ]
    weights = [stored("s", np.float32(scale)), stored("z", np.asarray(zero))]
    if second is not None:
        nodes.append(node("QuantizeLinear", ["x", "s2", "z"], ["q2"], "again"))
        weights.append(stored("s2", np.float32(second)))
    return proto(nodes, weights=weights)


@pytest.mark.parametrize(
    ("zero", "low", "high"),
    [
        (np.int8(0), -127.0, 127.0),
        (np.int8(-128), 0.0, 255.0),
        (np.uint8(128), -128.0, 127.0),
        (np.uint8(0), 0.0, 255.0),
    ],
)
def test_ranges_of_a_quantized_model(zero: np.generic, low: float, high: float):
    table = from_quantized(from_proto(quantized(0.5, zero)))
    assert table["x"] == Range(low * 0.5, high * 0.5)


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan"), float("inf")])
def test_a_wrong_scale_of_a_quantized_model_is_named(scale: float):
    with pytest.raises(DataError, match="node quantize: scale s of tensor x"):
        from_quantized(from_proto(quantized(scale, np.int8(0))))


def test_two_scales_for_a_tensor_are_no_table():
    assert len(from_quantized(from_proto(quantized(0.5, np.int8(0), second=0.5)))) == 1
    with pytest.raises(DataError, match="node again: quantizes tensor x with another scale"):
        from_quantized(from_proto(quantized(0.5, np.int8(0), second=0.25)))


def test_a_model_that_quantizes_nothing(model: Model):
    with pytest.raises(DataError, match="quantizes no activation"):
        from_quantized(model)


def test_activations_quantized_by_channel_are_left_out_with_a_warning():
    nodes = [
        node("QuantizeLinear", ["x", "s", "z"], ["q"], "quantize", axis=1),
        node("DequantizeLinear", ["q", "s", "z"], ["a"], "dequantize", axis=1),
        node("QuantizeLinear", ["a", "t", "u"], ["b"], "by_tensor"),
        node("DequantizeLinear", ["b", "t", "u"], ["y"], "back"),
    ]
    weights = [
        stored("s", np.ones(3, np.float32)), stored("z", np.zeros(3, np.int8)),
        stored("t", np.float32(1)), stored("u", np.int8(0)),
    ]  # fmt: skip
    found = from_proto(proto(nodes, weights=weights))
    with pytest.warns(RuntimeWarning, match="quantize"):
        assert set(from_quantized(found).ranges) == {"a"}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(from_quantized(from_proto(quantized(1, np.int8(0))))) == 1


def test_a_cache_read_for_a_model_begins_at_zero_where_nothing_is_negative(tmp_path: Path):
    """TensorRT's file has no signs; those of a Relu, and of what only passes it on, are known."""
    model = branches()
    names = ["x", *(name for node in model.graph.nodes for name in node.makes)]
    cache = write(
        CalibrationTable("minmax", {n: Range(-2, 2) for n in names}), tmp_path / "t.cache"
    )
    begins = {name: one.low for name, one in read(cache, model=model).ranges.items()}
    assert {name for name, low in begins.items() if low == 0} == {"ra", "rb", "j", "m"}
    assert all(one.low == -one.high for one in read(cache).ranges.values())
