"""Data in any form, as runs: feeds of a few samples each, checked, numbered and digested.

Labelled pictures, arrays, and anything that can be iterated over. What is wrong with an item is an
error that names the item; what an iterator gives is not kept.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from workbench.backends.feeds import checked_feeds
from workbench.data import LabelledData
from workbench.errors import DataError
from workbench.graph import TensorSpec
from workbench.text import listed, nearest, shown

LIMIT = 512
"""Samples taken from an iterator of unknown length when no number is asked for."""

Data = LabelledData | np.ndarray | Mapping[str, np.ndarray] | Iterable[Any]
"""Labelled pictures; one array with all samples; a mapping of input name to such an array; or
anything that gives items, each an array or a mapping of input name to array, with or without the
axis of the batch."""


@dataclass(frozen=True, slots=True)
class Run:
    """What is fed at once."""

    first: int
    """Number of its first sample, from 0."""
    feeds: dict[str, np.ndarray]
    count: int
    """Samples in it; rows beyond are copies that fill up a fixed batch."""

    @property
    def where(self) -> str:
        """Which items it is, for messages."""
        last = self.first + self.count - 1
        return f"item {self.first}" if self.count == 1 else f"items {self.first} to {last}"


@dataclass
class Items:
    """Some data for some inputs.

    Raises:
        DataError: data for an input that is not there, or a used-up generator.
        ValueError: a number below 1.
    """

    inputs: Sequence[TensorSpec]
    data: Data
    input: str | None
    samples: int | None
    batch: int
    total: int | None = field(init=False)
    """Samples there will be, if that is known."""
    _state: Any = field(init=False, default_factory=hashlib.sha256)

    def __post_init__(self) -> None:
        for name in ("samples", "batch"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int) or value < 1):
                raise ValueError(f"{name} is {shown(value)}; must be a whole number from 1")
        self.data = self._arranged(self.data)
        self._fixed = _fixed_batch(self.inputs)
        length = self._length()
        limit = LIMIT if self.samples is None and length is None else self.samples
        self._limit = length if limit is None else limit
        self.total = None if length is None else min(length, limit or length)
        if self.total == 0:
            raise DataError("no samples to calibrate on; give at least one")

    def _arranged(self, data: Data) -> Data:
        if isinstance(data, LabelledData | np.ndarray):
            self.input = _only(self.inputs, self.input)
            return {self.input: data} if isinstance(data, np.ndarray) else data
        if inspect.isgenerator(data) and inspect.getgeneratorstate(data) != inspect.GEN_CREATED:
            raise DataError(
                "this generator was used before and cannot start again; make a new one, or give a "
                "list"
            )
        if not isinstance(data, Iterable):
            raise DataError(
                f"data is a {shown(type(data).__name__)}; give labelled data, an array, a mapping "
                "of input name to array, or something to iterate over"
            )
        return data

    def _length(self) -> int | None:
        if isinstance(self.data, Mapping):
            lengths = {name: len(array) for name, array in self.data.items()}
            if len(set(lengths.values())) > 1:
                found = [f"{name}: {length}" for name, length in lengths.items()]
                raise DataError(
                    f"the arrays hold different numbers of samples ({listed(found)}); give one row "
                    "of each for every sample"
                )
            return next(iter(lengths.values()), 0)
        return len(self.data) if isinstance(self.data, LabelledData) else None

    @property
    def digest(self) -> str:
        """SHA-256 in hex of the data: of labelled data its own, else of all samples given so far.

        Of arrays and items it covers names, types, shapes and values of every sample in order, not
        how they were batched.
        """
        if isinstance(self.data, LabelledData):
            return self.data.head(self._limit or len(self.data)).digest
        return self._state.hexdigest()

    def runs(self, start: int = 0, earlier: str = "") -> Iterator[Run]:
        """The samples from number `start` on; `include` each in the digest when it is done.

        Args:
            start: number of the first sample wanted, the end of a run of before.
            earlier: what `digest` was then; the samples up to there must be the same again.

        Raises:
            DataError: a sample that does not fit, that cannot be read, or no samples at all; names
                the item. Or the samples before `start` are others than they were.
        """
        self._state = hashlib.sha256()
        done = start if isinstance(self.data, LabelledData) else 0
        for first, feeds in self._feeds(start):
            for run in self._split(first, feeds):
                if run.first == start:
                    self._refuse_others(start, earlier)
                done = run.first + run.count
                if run.first >= start:
                    yield run
                else:
                    self.include(run)
            if self._limit is not None and done >= self._limit:
                break
        if start and done <= start:
            self._refuse_others(start, earlier)
        if not done:
            raise DataError(
                "the data gave no samples; an iterator that was used before is empty: give a list, "
                "or make a new one"
            )

    def _refuse_others(self, start: int, earlier: str) -> None:
        if start and self.digest != earlier:
            raise DataError(
                f"the first {start} samples are not those of the run that is to go on; give the "
                "same data, or start over with another journal"
            )

    def _feeds(self, start: int) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
        """Number of the first sample and feeds with a batch axis, unchecked in size."""
        if isinstance(self.data, LabelledData):
            at = start
            pictures = self.data.head(self._limit or len(self.data))
            for array, _ in pictures.batches(self._step, start=start):
                yield at, self._checked({self.input or "": array}, at)
                at += len(array)
        elif isinstance(self.data, Mapping):
            stop = self.total or 0
            for at in range(0, stop, self._step):
                end = min(at + self._step, stop)
                yield at, self._checked({k: v[at:end] for k, v in self.data.items()}, at)
        else:
            yield from self._iterated(self.data)

    def _iterated(self, data: Iterable[Any]) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
        at, number = 0, 0
        iterator = iter(data)
        while True:
            try:
                item = next(iterator)
            except StopIteration:
                return
            except Exception as error:
                raise DataError(
                    f"item {number}: the data cannot give it ({type(error).__name__}: "
                    f"{shown(error, 300)}); repair it or leave it out"
                ) from error
            feeds = self._checked(self._named(item, number), number)
            room = None if self._limit is None else self._limit - at
            feeds = {name: array[:room] if array.ndim else array for name, array in feeds.items()}
            yield at, feeds
            at += _rows(feeds)
            number += 1

    @property
    def _step(self) -> int:
        return self._fixed or self.batch

    def _named(self, item: Any, number: int) -> dict[str, Any]:
        if isinstance(item, tuple) and len(item) == 2 and isinstance(item[0], np.ndarray | Mapping):
            raise DataError(
                f"item {number}: is a pair, such as of a picture and its label; give the array or "
                "the mapping alone"
            )
        if isinstance(item, Mapping):
            return dict(item)
        return {_only(self.inputs, self.input): item}

    def _checked(self, feeds: Mapping[str, Any], number: int) -> dict[str, np.ndarray]:
        """The feeds with the axis of the batch, of the right names, types and other extents."""
        specs = [_any_batch(spec) for spec in self.inputs]
        ranks = {spec.name: spec.shape and len(spec.shape) for spec in specs}
        lifted = {
            name: value[None]
            if isinstance(value, np.ndarray) and ranks.get(name) == value.ndim + 1
            else value
            for name, value in feeds.items()
        }
        try:
            found = checked_feeds(lifted, specs, {})
        except DataError as error:
            raise DataError(f"item {number}: {error}") from error
        if found and all(array.ndim for array in found.values()) and not _rows(found):
            raise DataError(f"item {number}: holds no samples; leave it out")
        return found

    def _split(self, first: int, feeds: dict[str, np.ndarray]) -> Iterator[Run]:
        rows, step = _rows(feeds), self._step
        if not self._fixed and rows <= max(step, 1):
            yield Run(first, feeds, rows)
            return
        for start in range(0, rows, step):
            part = {name: array[start : start + step] for name, array in feeds.items()}
            count = _rows(part)
            if self._fixed and count < self._fixed:
                part = {name: _filled(array, self._fixed) for name, array in part.items()}
            yield Run(first + start, part, count)

    def include(self, run: Run) -> None:
        """Have `digest` cover a run, once it was counted."""
        if isinstance(self.data, LabelledData):
            return
        for row in range(run.count):
            for name in sorted(run.feeds):
                array = run.feeds[name]
                one = array[row] if array.ndim else array
                self._state.update(f"{name}:{one.dtype.str}{one.shape}".encode())
                self._state.update(np.ascontiguousarray(one).tobytes())


def _only(inputs: Sequence[TensorSpec], asked: str | None) -> str:
    names = [spec.name for spec in inputs]
    if asked is None:
        if len(names) != 1:
            raise DataError(
                f"the network has inputs {listed(names)}; say with input= which one the data is "
                "for, or give mappings of input name to array"
            )
        return names[0]
    if asked not in names:
        raise DataError(
            f"the network has no input {shown(asked)}{nearest(asked, names)}; it has "
            f"{listed(names)}"
        )
    return asked


def _fixed_batch(inputs: Sequence[TensorSpec]) -> int | None:
    """The number of samples the network takes at once, if all inputs agree on one."""
    firsts = {spec.shape[0] for spec in inputs if spec.shape}
    found = firsts.pop() if len(firsts) == 1 else None
    return found if isinstance(found, int) else None


def _any_batch(spec: TensorSpec) -> TensorSpec:
    if not spec.shape:
        return spec
    return TensorSpec(spec.name, spec.dtype, ("N", *spec.shape[1:]))


def _rows(feeds: Mapping[str, np.ndarray]) -> int:
    return next((len(array) for array in feeds.values() if array.ndim), 1)


def _filled(array: np.ndarray, size: int) -> np.ndarray:
    return np.concatenate([array, np.repeat(array[-1:], size - len(array), axis=0)])
