"""What a session accepts: one check of feeds and buffers for every backend.

Nothing is converted that could change a value. Memory layout and byte order are no values, so
strided, Fortran-ordered, read-only and big-endian arrays are taken and never written to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import ml_dtypes
import numpy as np

from workbench.backends.base import Feeds, ShapeRange
from workbench.errors import DataError
from workbench.graph import Shape, TensorSpec
from workbench.text import listed, nearest, shown

_NOT_NUMPY = {"string": np.dtype(object)} | {
    name: np.dtype(getattr(ml_dtypes, attribute))
    for name, attribute in {
        "bfloat16": "bfloat16", "float8e4m3fn": "float8_e4m3fn",
        "float8e4m3fnuz": "float8_e4m3fnuz", "float8e5m2": "float8_e5m2",
        "float8e5m2fnuz": "float8_e5m2fnuz",
        "float8e8m0": "float8_e8m0fnu", "float4e2m1": "float4_e2m1fn", "int4": "int4",
        "uint4": "uint4", "int2": "int2", "uint2": "uint2",
    }.items()
    if hasattr(ml_dtypes, attribute)
}  # fmt: skip


@lru_cache(maxsize=64)
def numpy_dtype(name: str) -> np.dtype:
    """The numpy type of ONNX's element type `name`; those numpy lacks come from ``ml_dtypes``.

    Raises:
        DataError: no such element type.
    """
    if name in _NOT_NUMPY:
        return _NOT_NUMPY[name]
    try:
        return np.dtype(name)
    except TypeError as error:
        raise DataError(f"element type {shown(name) or 'unknown'} has no numpy type") from error


def checked_feeds(
    feeds: Feeds, inputs: Sequence[TensorSpec], ranges: Mapping[str, ShapeRange]
) -> dict[str, np.ndarray]:
    """Input name -> the array to run on, C-contiguous, aligned and in native byte order.

    An array that already is so is passed on itself, not copied; it may be read-only.

    Args:
        feeds: what the caller gave.
        inputs: what the engine needs.
        ranges: the profile of dynamic inputs.

    Raises:
        DataError: names the input, what was expected and what was given.
    """
    refuse_names(feeds, [spec.name for spec in inputs], "input")
    return {spec.name: ready_feed(feeds[spec.name], spec, ranges.get(spec.name)) for spec in inputs}


def checked_buffers(
    buffers: Mapping[str, np.ndarray],
    inputs: Sequence[TensorSpec],
    outputs: Sequence[TensorSpec],
    ranges: Mapping[str, ShapeRange],
) -> dict[str, np.ndarray]:
    """Tensor name -> the buffer itself or a view of all of it, for a backend to use in place.

    Raises:
        DataError: a buffer is missing, unknown, of another dtype or shape, not C-contiguous, not
            aligned, in foreign byte order, read-only though an output, or an output that shares
            memory with another buffer.
    """
    given_out = {spec.name for spec in outputs}
    specs = {spec.name: spec for spec in (*inputs, *outputs)}
    refuse_names(buffers, list(specs), "buffer")
    for name, spec in specs.items():
        array = _array(buffers[name], spec, "buffer")
        refuse_misfit(array, spec, ranges.get(name), "buffer")
        flags = array.flags
        if not (flags.c_contiguous and flags.aligned and array.dtype.isnative):
            raise DataError(
                f"buffer {shown(name)} is not one C-contiguous, aligned block in native byte "
                "order; allocate it with numpy.empty(shape, dtype)"
            )
        if name in given_out and not flags.writeable:
            raise DataError(
                f"buffer {shown(name)} is read-only but is an output; make it writeable"
            )
    _refuse_overlap(buffers, given_out)
    return {name: _usual(np.asarray(buffers[name]), spec) for name, spec in specs.items()}


def described(spec: TensorSpec) -> str:
    """Dtype and shape of a tensor for a message, e.g. ``float32 (N, 3, 224, 224)``."""
    return f"{shown(spec.dtype) or 'unknown'} {_shape_text(spec.shape)}"


def _shape_text(shape: Shape | None) -> str:
    if shape is None:
        return "of any shape"
    inner = ", ".join(shown(dim, 40) or "?" for dim in shape)
    return f"({inner},)" if len(shape) == 1 else f"({inner})"


def refuse_misfit(array: Any, spec: TensorSpec, limits: ShapeRange | None, kind: str) -> None:
    """Refuse an array, or anything with its dtype and shape, that does not fit a tensor.

    Raises:
        DataError: names the `kind` (``input``, ``buffer``), what was expected and what was given.
    """
    _refuse_dtype(array, spec, kind)
    _refuse_shape(array.shape, spec, limits, kind)


def refuse_names(given: Mapping[str, object], known: list[str], kind: str) -> None:
    """Refuse names that are missing or unknown.

    Raises:
        DataError: lists them and those there are.
    """
    if not isinstance(given, Mapping):
        raise DataError(
            f"{kind}s came as {type(given).__name__}; give a mapping of tensor name to array "
            f"for {listed(known)}"
        )
    for name in given:
        if name not in known:
            raise DataError(
                f"unknown {kind} {shown(name)}{nearest(str(name), known)}; "
                f"there is {listed(known) or 'none'}"
            )
    missing = [name for name in known if name not in given]
    if missing:
        raise DataError(
            f"{kind} {listed(missing)} is missing; given were {listed(given) or 'none'}"
        )


def _array(value: object, spec: TensorSpec, kind: str) -> np.ndarray:
    if isinstance(value, np.ma.MaskedArray):
        raise DataError(
            f"{kind} {shown(spec.name)} is a masked array; fill the holes first with .filled(value)"
        )
    if isinstance(value, np.ndarray):
        # A subclass may mean something else by its operators, as `numpy.matrix` does.
        return value if type(value) is np.ndarray else np.asarray(value)
    if isinstance(value, np.generic) and kind == "input":
        return np.asarray(value)
    raise DataError(
        f"{kind} {shown(spec.name)} is a {shown(type(value).__name__)}; expected a numpy array, "
        f"{described(spec)}"
    )


def _refuse_dtype(array: np.ndarray, spec: TensorSpec, kind: str) -> None:
    expected = numpy_dtype(spec.dtype)
    if array.dtype == expected or array.dtype.newbyteorder("=") == expected:
        return
    hint = "" if array.dtype.kind in "OVSU" else f"; convert it with .astype({str(expected)!r})"
    raise DataError(
        f"{kind} {shown(spec.name)} is {shown(array.dtype)} {array.shape}; "
        f"expected {described(spec)}{hint}"
    )


def _refuse_shape(
    shape: tuple[int, ...], spec: TensorSpec, limits: ShapeRange | None, kind: str
) -> None:
    if spec.shape is not None and (
        len(shape) != len(spec.shape)
        or any(
            isinstance(dim, int) and dim != have
            for dim, have in zip(spec.shape, shape, strict=True)
        )
    ):
        raise DataError(
            f"{kind} {shown(spec.name)} has shape {shape}; expected {_shape_text(spec.shape)}"
        )
    if limits is None or limits.holds(shape):
        return
    for axis, (low, best, have, high) in enumerate(
        zip(limits.min, limits.opt, shape, limits.max, strict=True)
    ):
        if not low <= have <= high:
            raise DataError(
                f"{kind} {shown(spec.name)} axis {axis} is {have}; the engine was built for min "
                f"{low}, opt {best}, max {high}; build it with BuildConfig(shapes="
                f"{{{shown(spec.name)!r}: ShapeRange(...)}}) that holds {shape}"
            )


def ready_feed(value: object, spec: TensorSpec, limits: ShapeRange | None) -> np.ndarray:
    """One input as `checked_feeds` gives it.

    Raises:
        DataError: it does not fit.
    """
    array = _array(value, spec, "input")
    if spec.dtype == "string":
        array = _text(array, spec)
    else:
        _refuse_dtype(array, spec, "input")
    _refuse_shape(array.shape, spec, limits, "input")
    if array.dtype.isnative and array.flags.c_contiguous and array.flags.aligned:
        return _usual(array, spec)
    return np.array(array, dtype=array.dtype.newbyteorder("="), order="C")


def _usual(array: np.ndarray, spec: TensorSpec) -> np.ndarray:
    """The same memory under the one of numpy's equal types that libraries know.

    C's ``long`` and ``long long`` are two types of 64 bits; OpenVINO takes the first alone.
    """
    expected = numpy_dtype(spec.dtype)
    return array if array.dtype.num == expected.num else array.view(expected)


def _text(array: np.ndarray, spec: TensorSpec) -> np.ndarray:
    if array.dtype.kind == "U":
        return array.astype(object)
    if array.dtype != object or not all(isinstance(item, str) for item in array.flat):
        raise DataError(f"input {shown(spec.name)} must hold text only; expected {described(spec)}")
    return array


def _refuse_overlap(buffers: Mapping[str, np.ndarray], outputs: set[str]) -> None:
    for name in outputs:
        for other, array in buffers.items():
            if other != name and np.may_share_memory(buffers[name], array):
                raise DataError(
                    f"output buffer {shown(name)} shares memory with buffer {shown(other)}; "
                    "give each its own"
                )
