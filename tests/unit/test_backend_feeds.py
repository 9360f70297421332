"""Feeds, buffers and shape ranges, before any backend sees them."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from workbench.backends.base import BuildConfig, ShapeRange
from workbench.backends.feeds import checked_buffers, checked_feeds, numpy_dtype
from workbench.backends.gate import Gate
from workbench.backends.records import checked_ranges
from workbench.errors import DataError, RunError
from workbench.graph import TensorSpec

X = TensorSpec("x", "float32", ("N", 3))
Y = TensorSpec("y", "float32", ("N", 3))
RANGE = {"x": ShapeRange((1, 3), (2, 3), (4, 3))}
GOOD = np.arange(6, dtype=np.float32).reshape(2, 3)


def test_a_fitting_array_is_passed_on_itself() -> None:
    frozen = GOOD.copy()
    frozen.flags.writeable = False
    for array in (GOOD, frozen):
        assert checked_feeds({"x": array}, (X,), RANGE)["x"] is array


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("threads", True), ("threads", 0), ("threads", "4"), ("threads", 2.0), ("threads", None),
        ("workspace_bytes", float("nan")), ("workspace_bytes", -5), ("optimization_level", 1.5),
        ("optimization_level", 6), ("tf32", "yes"), ("options", []), ("shapes", None),
    ],
)  # fmt: skip
def test_a_config_refuses_what_is_no_setting(field: str, value: object) -> None:
    with pytest.raises(ValueError, match=f"^{field} is .*; must be "):
        BuildConfig(**{field: value})  # type: ignore[arg-type]


class _Matrix(np.ndarray):
    """Stands for `numpy.matrix`, which warns of itself."""


def test_a_subclass_of_array_becomes_an_array() -> None:
    ready = checked_feeds({"x": GOOD.view(_Matrix)}, (X,), {})["x"]
    assert type(ready) is np.ndarray
    assert np.shares_memory(ready, GOOD)


def test_layouts_are_settled_without_changing_values_or_inputs() -> None:
    for array in (
        GOOD.astype(">f4"),
        GOOD[:, ::-1],
        np.asfortranarray(GOOD),
        GOOD.repeat(2, 1)[:, ::2],
    ):
        before = array.copy()
        ready = checked_feeds({"x": array}, (X,), {})["x"]
        assert ready.flags.c_contiguous
        assert ready.dtype.isnative
        assert np.array_equal(ready, before)
        assert not np.may_share_memory(ready, array)


def test_scalars_keep_their_rank() -> None:
    spec = TensorSpec("s", "float32", ())
    for value in (np.float32(2), np.array(2, np.float32), np.array(2, ">f4")):
        ready = checked_feeds({"s": value}, (spec,), {})["s"]
        assert ready.shape == ()
        assert ready == 2


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (
            GOOD.astype(np.float64),
            r"input x is float64 \(2, 3\); expected float32 \(N, 3\); convert",
        ),
        (GOOD.astype(">f8"), "input x is >f8"),
        (GOOD.astype(np.float16), "float16"),
        (GOOD.astype(ml_dtypes.bfloat16), "bfloat16"),
        (GOOD.astype(object), r"object .*expected float32 \(N, 3\)$"),
        (GOOD.astype("S4"), "expected float32"),
        (GOOD.view([("a", "f4")]), "expected float32"),
        (np.ma.masked_less(GOOD, 2), "masked array; fill the holes"),
        (GOOD.tolist(), "input x is a list; expected a numpy array, float32"),
        (1.0, "input x is a float"),
        (GOOD.ravel(), r"input x has shape \(6,\); expected \(N, 3\)"),
        (GOOD.T, r"input x has shape \(3, 2\); expected \(N, 3\)"),
        (np.zeros((5, 3), np.float32), r"axis 0 is 5; .*min 1, opt 2, max 4; .*BuildConfig"),
        (np.zeros((0, 3), np.float32), "axis 0 is 0"),
    ],
)
def test_what_does_not_fit_is_refused(value: object, text: str) -> None:
    with pytest.raises(DataError, match=text):
        checked_feeds({"x": value}, (X,), RANGE)  # type: ignore[dict-item]


def test_names_are_compared_first() -> None:
    with pytest.raises(DataError, match=r"unknown input imgae \(did you mean image\?\)"):
        checked_feeds({"imgae": GOOD}, (TensorSpec("image", "float32"),), {})
    with pytest.raises(DataError, match="input x is missing; given were none"):
        checked_feeds({}, (X,), {})
    with pytest.raises(DataError, match="give a mapping"):
        checked_feeds([GOOD], (X,), {})  # type: ignore[arg-type]
    hostile = "x\x1b[31m\u202e"
    with pytest.raises(DataError) as caught:
        checked_feeds({hostile: GOOD}, (X,), {})
    assert "\x1b" not in str(caught.value)
    assert "\u202e" not in str(caught.value)


def test_text() -> None:
    spec = TensorSpec("t", "string", (2,))
    assert checked_feeds({"t": np.array(["a", "b"])}, (spec,), {})["t"].dtype == object
    with pytest.raises(DataError, match="must hold text only"):
        checked_feeds({"t": np.array(["a", 1], object)}, (spec,), {})


def test_buffers_are_used_in_place_or_refused() -> None:
    out = np.zeros((2, 3), np.float32)
    found = checked_buffers({"x": GOOD, "y": out}, (X,), (Y,), RANGE)
    assert found["x"] is GOOD
    assert found["y"] is out
    frozen = out.copy()
    frozen.flags.writeable = False
    for bad, text in (
        (out.astype(">f4"), "buffer y is not one C-contiguous"),
        (np.zeros((3, 2), np.float32).T, "buffer y is not one C-contiguous"),
        (frozen, "buffer y is read-only but is an output"),
        (GOOD, "output buffer y shares memory with buffer x"),
        (np.zeros((2, 3)), "buffer y is float64"),
        (np.float32(1), "buffer y is a float32"),
    ):
        with pytest.raises(DataError, match=text):
            checked_buffers({"x": GOOD, "y": bad}, (X,), (Y,), RANGE)  # type: ignore[dict-item]
    with pytest.raises(DataError, match="unknown buffer z"):
        checked_buffers({"x": GOOD, "y": out, "z": out}, (X,), (Y,), RANGE)


def test_neighbours_in_one_block_of_memory_do_not_overlap() -> None:
    block = np.zeros(12, np.float32)
    x, y = block[:6].reshape(2, 3), block[6:].reshape(2, 3)
    assert set(checked_buffers({"x": x, "y": y}, (X,), (Y,), {})) == {"x", "y"}


def test_element_types() -> None:
    assert numpy_dtype("bfloat16") == ml_dtypes.bfloat16
    assert numpy_dtype("float8e4m3fn") == ml_dtypes.float8_e4m3fn
    assert numpy_dtype("bool") == np.bool_
    for unknown in ("", "sequence", "float7"):
        with pytest.raises(DataError, match="has no numpy type"):
            numpy_dtype(unknown)


def test_ranges_must_fit_the_inputs() -> None:
    assert checked_ranges((X,), RANGE) == RANGE
    for shapes, text in (
        ({"X": RANGE["x"]}, r"no input \(did you mean x\?\)|which is no input"),
        ({"x": ShapeRange((1,), (1,), (1,))}, r"does not fit input x of shape \(N, 3\)"),
        ({"x": ShapeRange((1, 2), (1, 3), (1, 3))}, "does not fit input x"),
    ):
        with pytest.raises(ValueError, match=text):
            checked_ranges((X,), shapes)


def test_gate_lets_nobody_in_after_closing() -> None:
    gate = Gate("example")
    with gate:
        pass
    assert gate.close()
    assert not gate.close()
    with pytest.raises(RunError, match=r"session is closed; open another") as caught, gate:
        raise AssertionError("came in")
    assert caught.value.backend == "example"
