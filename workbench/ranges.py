"""The ranges that tensors were seen to take, as a value that is kept, compared and handed on.

Calibration makes a `CalibrationTable`, quantization reads it, and engines' own calibration files
are read into it. Here is only the value and its one JSON form: no histogram, no model, no engine.
Standard library only.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

from workbench.errors import DataError
from workbench.text import listed, nearest, shown

FORMAT = "workbench calibration table"
VERSION = 1

LEVELS = 127
"""Steps from zero to the largest value in symmetric INT8, as TensorRT counts them."""

_LARGEST = 3.4028234663852886e38
_SMALLEST_SCALE = 1.1754943508222875e-38
_NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Range:
    """The interval a tensor's values are clipped to.

    Raises:
        DataError: an end that is no finite float32, ends in the wrong order, or an interval so
            narrow around zero that its INT8 scale is no normal float32.
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        for name in ("low", "high"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise DataError(f"{name} is {shown(value)}; must be a number")
            if not abs(value) <= _LARGEST:
                raise DataError(f"{name} is {shown(value)}; must be a finite float32")
            object.__setattr__(self, name, float(value))
        if self.low > self.high:
            raise DataError(f"low {self.low} is above high {self.high}; give them in order")
        if self.scale < _SMALLEST_SCALE:
            raise DataError(
                f"the range {self.low} to {self.high} gives an INT8 scale of zero; a tensor that "
                "is always zero has no range: leave it out"
            )

    @classmethod
    def symmetric(cls, amax: float) -> Range:
        """The range from ``-amax`` to ``amax``."""
        return cls(-amax, amax)

    @property
    def amax(self) -> float:
        """The larger magnitude of both ends, above 0."""
        return max(abs(self.low), abs(self.high))

    @property
    def scale(self) -> float:
        """Value of one step in symmetric INT8: ``amax / 127``."""
        return self.amax / LEVELS


@dataclass(frozen=True)
class CalibrationTable:
    """Ranges by tensor name, bound to the model and the data they were taken from.

    Raises:
        DataError: a tensor without a name, a range that is none, or a field of the wrong type.
    """

    method: str
    """How the ranges were chosen: ``minmax``, ``entropy`` ..."""
    ranges: Mapping[str, Range] = field(hash=False)
    """Tensor name -> range; read-only."""
    model_digest: str = ""
    """`Model.digest` of the model that was run; empty where not known, as in foreign files."""
    data_digest: str = ""
    """Digest of what it was run on; empty where not known."""
    samples: int = 0
    """How many samples were run; 0 where not known."""
    details: Mapping[str, Any] = field(default_factory=lambda: _NOTHING, hash=False)
    """What else is worth keeping, as JSON values: number of bins, percentile, source file ..."""

    def __post_init__(self) -> None:
        for name in ("method", "model_digest", "data_digest"):
            if not isinstance(getattr(self, name), str):
                raise DataError(f"{name} of a calibration table is no text")
        if not self.method:
            raise DataError("a calibration table needs a method; say how its ranges were chosen")
        if isinstance(self.samples, bool) or not isinstance(self.samples, int) or self.samples < 0:
            raise DataError(f"samples is {shown(self.samples)}; must be a whole number from 0")
        for tensor, kept in self.ranges.items():
            if not isinstance(tensor, str) or not tensor:
                raise DataError("a range belongs to a tensor without a name; name every tensor")
            if not isinstance(kept, Range):
                raise DataError(f"tensor {shown(tensor)} has {shown(kept)} for a range")
        object.__setattr__(self, "ranges", MappingProxyType(dict(self.ranges)))
        object.__setattr__(self, "details", MappingProxyType(dict(self.details)))

    def __getitem__(self, tensor: str) -> Range:
        """The range of a tensor.

        Raises:
            DataError: the table has none of this name.
        """
        if tensor not in self.ranges:
            raise DataError(
                f"the calibration table has no tensor {shown(tensor)}{nearest(tensor, self.ranges)}"
                f"; it has {len(self.ranges)} others: calibrate the model again"
            )
        return self.ranges[tensor]

    def __len__(self) -> int:
        return len(self.ranges)

    def __contains__(self, tensor: object) -> bool:
        return tensor in self.ranges

    def but(self, changes: Mapping[str, Range | None]) -> CalibrationTable:
        """The table with some ranges set, or left out where None is given."""
        ranges = {**self.ranges, **changes}
        return replace(self, ranges={k: v for k, v in ranges.items() if v is not None})

    def missing(self, tensors: Iterable[str]) -> tuple[str, ...]:
        """Those of `tensors` that have no range here, in their order."""
        return tuple(tensor for tensor in tensors if tensor not in self.ranges)

    def require(self, tensors: Iterable[str]) -> None:
        """Make sure that all of `tensors` have a range.

        Raises:
            DataError: some have none; names them.
        """
        if gone := self.missing(tensors):
            raise DataError(
                f"the calibration table ({shown(self.method)}) has no range for {listed(gone)}; "
                "calibrate these tensors too, or keep their nodes out of INT8"
            )

    @cached_property
    def digest(self) -> str:
        """SHA-256 in hex of everything the table says."""
        return hashlib.sha256(json.dumps(self._fields(), sort_keys=True).encode()).hexdigest()

    def to_json(self) -> str:
        """The table as text; `from_json` gives an equal one."""
        return json.dumps({**self._fields(), "digest": self.digest}, indent=1) + "\n"

    def _fields(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "version": VERSION,
            "method": self.method,
            "model_digest": self.model_digest,
            "data_digest": self.data_digest,
            "samples": self.samples,
            "details": dict(self.details),
            "ranges": {name: [kept.low, kept.high] for name, kept in self.ranges.items()},
        }

    @classmethod
    def from_json(cls, text: str, *, source: str = "calibration table") -> CalibrationTable:
        """The table that `to_json` wrote.

        Args:
            text: the JSON text.
            source: what messages call it, e.g. a file name.

        Raises:
            DataError: no such text, another version, or one that was changed by hand without
                taking its digest out.
        """
        where = shown(source)
        try:
            fields = json.loads(text, object_pairs_hook=_without_twins)
        except ValueError as error:
            raise DataError(f"{where} is no JSON: {shown(error)}; save it again") from error
        if not isinstance(fields, dict) or fields.pop("format", None) != FORMAT:
            raise DataError(f"{where} is no calibration table of the workbench")
        if fields.pop("version", None) != VERSION:
            raise DataError(f"{where} has another version than {VERSION}; calibrate again")
        said = fields.pop("digest", None)
        try:
            ranges = {name: _range(name, ends) for name, ends in fields.pop("ranges").items()}
            table = cls(ranges=ranges, **fields)
        except (DataError, KeyError, TypeError, AttributeError) as error:
            raise DataError(f"{where} cannot be used: {shown(error, 400)}") from error
        if said is not None and said != table.digest:
            raise DataError(
                f"{where} does not match its digest: it is damaged, or was edited; if that was "
                "meant, delete its line 'digest'"
            )
        return table

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write `to_json` to a file, whole or not at all."""
        target = Path(path)
        half = target.with_name(f"{target.name}.{os.getpid()}.part")
        try:
            half.write_text(self.to_json(), encoding="utf-8")
            half.replace(target)
        finally:
            half.unlink(missing_ok=True)
        return target

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> CalibrationTable:
        """The table of a file that `save` wrote.

        Raises:
            DataError: the file cannot be read, or `from_json` refuses it.
        """
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"{shown(path)} cannot be read: {shown(error)}") from error
        return cls.from_json(text, source=Path(path).name)


def _range(name: str, ends: Any) -> Range:
    if not isinstance(ends, list) or len(ends) != 2:
        raise DataError(f"tensor {shown(name)} has {shown(ends)}; must be [low, high]")
    try:
        return Range(*ends)
    except DataError as error:
        raise DataError(f"tensor {shown(name)}: {error}") from error


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{listed({n for n in names if names.count(n) > 1})} stands there twice")
    return found
