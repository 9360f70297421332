"""Weights that are no ordinary numbers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from onnx import TensorProto

from workbench.model.checks.tensors import Located
from workbench.model.limits import Limits
from workbench.model.payload import Store, mark_of
from workbench.text import shown

_CHUNK = 1 << 18
"""Elements looked at in one go: they stay in the processor's cache."""

_FORMATS: dict[int, tuple[type, int]] = {
    TensorProto.FLOAT: (np.uint32, 0x7F800000),
    TensorProto.DOUBLE: (np.uint64, 0x7FF0000000000000),
    TensorProto.FLOAT16: (np.uint16, 0x7C00),
    TensorProto.BFLOAT16: (np.uint16, 0x7F80),
}
"""Unsigned integer of the same width, and the bits of the exponent."""


def odd_values(places: Iterable[Located], store: Store, limits: Limits) -> list[str]:
    """Warnings about weights that are NaN, infinite or denormal, with tensor and count.

    Looks through at most `limits.scan_bytes`.
    """
    warnings, seen, skipped = [], 0, 0
    for place in places:
        tensor = place.tensor
        if tensor.data_type not in _FORMATS:
            continue
        raw = _raw(tensor, store)
        seen += len(raw)
        if seen > limits.scan_bytes:
            skipped += 1
            continue
        nans, infinite, denormal = _counts(raw, *_FORMATS[tensor.data_type])
        if nans or infinite:
            warnings.append(f"{place.label} has {nans} NaN and {infinite} infinite values")
        if denormal:
            warnings.append(f"{place.label} has {denormal} denormal values; they can run slowly")
    if skipped:
        warnings.append(
            f"{shown(skipped)} tensors were not looked through for NaN and infinite values: more "
            f"than Limits(scan_bytes={limits.scan_bytes})"
        )
    return [
        *warnings[:20],
        *([f"and {len(warnings) - 20} more such"] if len(warnings) > 20 else []),
    ]


def _raw(tensor: TensorProto, store: Store) -> memoryview | bytes:
    mark = mark_of(tensor)
    if mark is not None:
        return store[mark].view()
    if tensor.raw_data:
        return tensor.raw_data
    if tensor.data_type == TensorProto.FLOAT:
        return np.array(tensor.float_data, np.float32).tobytes()
    if tensor.data_type == TensorProto.DOUBLE:
        return np.array(tensor.double_data, np.float64).tobytes()
    return np.array(tensor.int32_data).astype(np.uint16).tobytes()


def _counts(raw: memoryview | bytes, kind: type, exponent: int) -> tuple[int, int, int]:
    """How many values are NaN, infinite and denormal."""
    nans = infinite = denormal = 0
    bits = kind(0).nbytes * 8
    mantissa = (1 << (bits - 1)) - 1 - exponent
    for part in _chunks(np.frombuffer(raw, kind)):
        magnitude = part & kind((1 << (bits - 1)) - 1)
        # A zero wraps round to the largest number and so is not counted.
        denormal += int(np.count_nonzero(magnitude - kind(1) < kind(mantissa)))
        high = magnitude >= kind(exponent)
        if high.any():
            equal = int(np.count_nonzero(magnitude == kind(exponent)))
            infinite += equal
            nans += int(np.count_nonzero(high)) - equal
    return nans, infinite, denormal


def _chunks(array: np.ndarray) -> Iterator[np.ndarray]:
    for at in range(0, array.size, _CHUNK):
        yield array[at : at + _CHUNK]
