"""Measurements and configurations as strict JSON; NaN and infinities survive."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any, TypeVar

from workbench.errors import StudyError
from workbench.measure import Measurement
from workbench.text import shown

_NUMBER = "$number"
Record = TypeVar("Record")


def encoded(value: Any) -> str:
    """One line of strict JSON, the same for equal values."""
    plain = _plain(value)
    return json.dumps(plain, ensure_ascii=True, allow_nan=False, separators=(",", ":"))


def decoded(text: str | bytes) -> Any:
    """The value of `encoded`.

    Raises:
        StudyError: not JSON, JSON that is nested too deeply, or a key that stands twice.
    """
    try:
        return json.loads(text, object_pairs_hook=_object, parse_constant=_refused)
    except (ValueError, RecursionError) as error:
        raise StudyError(f"not the JSON of a study: {shown(error)}") from error


def _refused(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _object(pairs: list[tuple[str, Any]]) -> Any:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return float(found[_NUMBER]) if set(found) == {_NUMBER} else found


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return {_NUMBER: str(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def as_record(value: Any) -> dict[str, Any]:
    """The fields of a frozen value."""
    return asdict(value)


def measurement(record: Any) -> Measurement:
    """The measurement of a record.

    Raises:
        StudyError: a field that is missing, unknown or of another type.
    """
    found = from_record(Measurement, record)
    if not all(isinstance(getattr(found, name), str) for name in ("model", "variant", "metric")):
        raise StudyError("a measurement whose model, variant or metric is no text")
    return found


def from_record(kind: type[Record], record: Any) -> Record:
    """The value of a record; lists become tuples.

    Raises:
        StudyError: a field that is missing or unknown, or a value its type refuses.
    """
    if not isinstance(record, Mapping):
        raise StudyError(f"expected the fields of a {kind.__name__}, found {shown(record, 60)}")
    known = {one.name for one in fields(kind)}  # type: ignore[arg-type]
    unknown = sorted(set(record) - known)
    if unknown:
        raise StudyError(
            f"unknown field {shown(unknown[0])} of a {kind.__name__}; the file is of a newer "
            "version"
        )
    values = {k: tuple(v) if isinstance(v, list) else v for k, v in record.items()}
    try:
        return kind(**values)
    except (TypeError, ValueError) as error:
        raise StudyError(f"not a {kind.__name__}: {shown(error)}") from error
