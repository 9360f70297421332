"""NumPy arrays for the tensors at the cuts: buffers, and stand-in values for a first run."""

from __future__ import annotations

import math

import numpy as np

from workbench.backends.feeds import numpy_dtype
from workbench.errors import DataError

_ALIGNMENT = 64


def has_arrays(dtype: str) -> bool:
    """Whether NumPy arrays hold tensors of this type; not so for sequences and optionals."""
    try:
        numpy_dtype(dtype)
    except DataError:
        return False
    return dtype != ""


def buffer(dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    """An array of zeros that starts at a 64-byte boundary, as vector loads like it.

    Raises:
        DataError: no NumPy type of this name.
    """
    kind = numpy_dtype(dtype)
    if kind.hasobject:
        return np.full(shape, "", dtype=object)
    size = math.prod(shape) * kind.itemsize
    raw = np.zeros(size + _ALIGNMENT, dtype=np.uint8)
    start = -raw.ctypes.data % _ALIGNMENT
    return raw[start : start + size].view(kind).reshape(shape)


def stand_in(dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    """Values for a first run: ones where the type is floating point, else zeros or empty text.

    Raises:
        DataError: no NumPy type of this name.
    """
    values = buffer(dtype, shape)
    if is_float(dtype):
        values[...] = 1
    return values


def is_float(dtype: str) -> bool:
    """Whether values of this type are never indices, sizes or conditions."""
    return dtype.startswith(("float", "bfloat", "complex"))
