import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.errors import DataError
from workbench.ranges import CalibrationTable, Range

TABLE = CalibrationTable(
    "minmax", {"a": Range(-1, 3), "b/out": Range.symmetric(2)}, "m" * 64, "d" * 64, 8, {"bins": 4}
)


def test_amax_and_scale():
    assert Range(-1, 3).amax == 3
    assert Range(-4, 3).scale == 4 / 127
    assert Range.symmetric(2) == Range(-2, 2)


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (math.nan, 1, "low is nan"), (0, math.inf, "high is inf"), (2, 1, "above high"),
        (0, 0, "always zero"), (0, 1e-40, "scale of zero"), (0, 1e39, "finite float32"),
        ("0", 1, "must be a number"), (True, 1, "must be a number"),
    ],
)  # fmt: skip
def test_ranges_that_are_none(low, high, words):
    with pytest.raises(DataError, match=words):
        Range(low, high)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"method": ""}, "needs a method"), ({"method": 3}, "no text"),
        ({"ranges": {"": Range(0, 1)}}, "without a name"), ({"ranges": {"a": 3}}, "tensor a has 3"),
        ({"samples": -1}, "samples is -1"), ({"data_digest": None}, "data_digest"),
    ],
)  # fmt: skip
def test_tables_that_are_none(fields, words):
    with pytest.raises(DataError, match=words):
        CalibrationTable(**{"method": "minmax", "ranges": {}, **fields})


def test_reading_a_table():
    assert TABLE["a"] == Range(-1, 3)
    assert len(TABLE) == 2
    assert "a" in TABLE
    assert TABLE.missing(["a", "c"]) == ("c",)
    with pytest.raises(DataError, match=r"no tensor b/outt \(did you mean b/out\?\)"):
        TABLE["b/outt"]
    with pytest.raises(DataError, match="no range for c, d"):
        TABLE.require(["a", "c", "d"])
    with pytest.raises(TypeError):
        TABLE.ranges["a"] = Range(0, 1)  # pyright: ignore[reportIndexIssue]


def test_changing_a_table_gives_a_new_one():
    other = TABLE.but({"a": Range(0, 1), "b/out": None, "c": Range(0, 2)})
    assert set(other.ranges) == {"a", "c"}
    assert other.digest != TABLE.digest
    assert TABLE["a"] == Range(-1, 3)


_ends = st.floats(-(2.0**99), 2.0**99, width=32).filter(lambda x: abs(x) > 1e-30)
_ranges = st.tuples(_ends, _ends).map(lambda ends: Range(min(ends), max(ends)))


@given(st.dictionaries(st.text(min_size=1), _ranges, max_size=5), st.text(min_size=1))
def test_a_table_survives_its_json(ranges, method):
    table = CalibrationTable(method, ranges)
    assert CalibrationTable.from_json(table.to_json()) == table


def test_a_table_survives_its_file(tmp_path):
    path = TABLE.save(tmp_path / "t.json")
    assert CalibrationTable.load(path) == TABLE
    assert CalibrationTable.load(path).digest == TABLE.digest
    assert [p.name for p in tmp_path.iterdir()] == ["t.json"]
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match="cannot be read"):
        CalibrationTable.load(path)


def test_an_edited_table_is_noticed():
    fields = json.loads(TABLE.to_json())
    fields["ranges"]["a"] = [0, 9]
    with pytest.raises(DataError, match="does not match its digest"):
        CalibrationTable.from_json(json.dumps(fields))
    del fields["digest"]
    assert CalibrationTable.from_json(json.dumps(fields))["a"] == Range(0, 9)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": "x"}, "no calibration table"), ({"version": 9}, "another version"),
        ({"ranges": {"a": [1]}}, r"tensor a has \[1\]"), ({"ranges": {"a": [3, 1]}}, "tensor a"),
        ({"ranges": None}, "cannot be used"), ({"colour": 1}, "colour"),
    ],
)  # fmt: skip
def test_damaged_tables(change, words):
    fields = {**json.loads(TABLE.to_json()), **change}
    with pytest.raises(DataError, match=words):
        CalibrationTable.from_json(json.dumps(fields), source="t.json")


def test_a_tensor_that_stands_there_twice_is_refused():
    text = TABLE.to_json().replace('"b/out"', '"a"')
    with pytest.raises(DataError, match="a stands there twice"):
        CalibrationTable.from_json(text)
