"""How right an engine is, against labels and against a reference; one batch in memory at a time."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from workbench.data import LabelledData
from workbench.errors import DataError
from workbench.measure.values import Accuracy, Deviation, OutputDeviation, Share
from workbench.progress import Cancel, Event, Progress, silent
from workbench.text import listed, nearest, shown

if TYPE_CHECKING:
    from workbench.backends.base import Engine, Session


class Runs(Protocol):
    """The part of a session that is needed here."""

    def run(self, feeds: Mapping[str, np.ndarray], /) -> Mapping[str, np.ndarray]:
        """Outputs for the feeds."""
        ...


def accuracy(
    session: Session | Engine | Runs,
    data: LabelledData,
    *,
    batch: int = 1,
    input: str | None = None,
    output: str | None = None,
    top: tuple[int, ...] = (1, 5),
    progress: Progress = silent,
    cancel: Cancel | None = None,
) -> Accuracy:
    """How often the label is among the best k classes, for every k of `top`.

    A class with the label's own score counts as better only if its number is lower, as `argmax`
    decides it. A sample whose scores hold NaN counts as wrong, and a warning says how many do.

    Args:
        session: a session, or an engine, for which one is opened and closed.
        data: what to run, in order.
        batch: samples a run; the last batch is filled up with copies of its last sample, whose
            results are dropped, so engines of one fixed batch work.
        input: name of the input the pictures go to; an engine with one input needs none, a session
            always does.
        output: name of the scores, shape (n, classes); a network with one output needs none.
        top: each k; one that is not below the number of classes is left out, unless it is 1.
        progress: told of each batch.
        cancel: looked at before each batch.

    Raises:
        DataError: no data, an input or output that does not exist or has another shape, or a label
            that the output has no class for; the first such sample is named.
        ValueError: `top` or `batch` holds a number below 1.
    """
    if not top or min(top) < 1 or batch < 1:
        raise ValueError(f"top is {top}, batch {batch}; must be whole numbers from 1")
    _refuse_empty(data)
    hits: dict[int, list[bool]] = {}
    classes = nonfinite = ties = done = 0
    with _opened(session, input) as (runs, name):
        if not name:
            raise DataError("say with input= to which input the pictures go, or give an engine")
        for pictures, labels in data.batches(batch):
            _step(progress, cancel, "measure accuracy", done, len(data))
            scores = _scores(runs.run({name: _filled(pictures, batch)}), output, len(labels), batch)
            classes = scores.shape[1]
            _check_labels(labels, classes, done)
            rank, tied = _ranks(scores, labels)
            for k in _kept(top, classes):
                hits.setdefault(k, []).extend((rank < k).tolist())
            nonfinite += int((~np.isfinite(scores)).any(1).sum())
            ties += int(tied.sum())
            done += len(labels)
    if nonfinite:
        _warn(f"scores of {nonfinite} of {done} samples hold NaN or infinity; NaN counts as wrong")
    return Accuracy({k: tuple(v) for k, v in hits.items()}, data.digest, classes, nonfinite, ties)


def _kept(top: tuple[int, ...], classes: int) -> list[int]:
    return [k for k in sorted(set(top)) if k < classes or k == 1]


def _ranks(scores: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each row how many classes stand before the label, and whether one ties with it."""
    rows = np.arange(len(labels))
    own = scores[rows, labels][:, None]
    equal = scores == own
    lower = np.arange(scores.shape[1]) < labels[:, None]
    rank = (scores > own).sum(1) + (equal & lower).sum(1)
    unusable = np.isnan(scores).any(1)
    return np.where(unusable, scores.shape[1], rank), (equal.sum(1) > 1) & ~unusable


def _scores(
    outputs: Mapping[str, np.ndarray], name: str | None, count: int, batch: int
) -> np.ndarray:
    if name is None:
        if len(outputs) != 1:
            raise DataError(
                f"the network has outputs {listed(outputs)}; say which one holds the scores: "
                "output= (on the command line --output)"
            )
        name = next(iter(outputs))
    if name not in outputs:
        raise DataError(
            f"there is no output {shown(name)}{nearest(name, outputs)}; there is {listed(outputs)}"
        )
    scores = np.asarray(outputs[name])
    while scores.ndim > 2 and scores.shape[-1] == 1:
        scores = scores[..., 0]
    if scores.ndim != 2 or len(scores) != batch or scores.dtype.kind not in "fiu":
        # bfloat16 and the like are of NumPy's kind V and convert without loss.
        if scores.dtype.kind != "V" or scores.ndim != 2 or len(scores) != batch:
            raise DataError(
                f"output {shown(name)} is {scores.dtype} of shape {scores.shape}; scores must be "
                f"numbers of shape ({batch}, classes)"
            )
        scores = scores.astype(np.float32)
    return scores[:count]


def _check_labels(labels: np.ndarray, classes: int, first: int) -> None:
    wrong = np.flatnonzero(labels >= classes)
    if wrong.size:
        raise DataError(
            f"label {labels[wrong[0]]} of sample {first + int(wrong[0])} is beyond the network's "
            f"{classes} classes (0 to {classes - 1}); data and network do not belong together, or "
            "the list counts from 1"
        )


def deviation(
    session: Session | Engine | Runs,
    reference: Session | Engine | Runs,
    data: LabelledData | Iterable[Mapping[str, np.ndarray]],
    *,
    batch: int = 1,
    input: str | None = None,
    progress: Progress = silent,
    cancel: Cancel | None = None,
) -> Deviation:
    """Every output against the same output of a reference, on the same data.

    Sums are kept in ``float64``, arrays of one batch only. Where either side holds NaN or infinity
    the output is not comparable, even if both hold them at the same places.

    Args:
        session: what to judge; a session, or an engine, for which one is opened and closed.
        reference: what counts as right.
        data: labelled data, or feeds, one mapping a run.
        batch: samples a run, for labelled data; the last batch is filled up as for `accuracy`.
        input: name of the input labelled data go to; an engine with one input needs none.
        progress: told of each batch.
        cancel: looked at before each batch.

    Raises:
        DataError: no data, or an output that the reference has not or has in another shape.
    """
    found: dict[str, _Sums] = {}
    samples = 0
    with _opened(session, input) as (runs, name), _opened(reference, input or name) as (right, _):
        for feeds, count in _feeds(data, batch, name):
            _step(progress, cancel, "measure deviation", samples, _length(data))
            _add(found, runs.run(feeds), right.run(feeds), count)
            samples += next(iter(feeds.values())).shape[0] if count is None else count
    if not samples:
        raise DataError("no data to compare on; give at least one sample")
    return Deviation(tuple(sums.result(name) for name, sums in found.items()), samples)


def _add(
    found: dict[str, _Sums],
    outputs: Mapping[str, np.ndarray],
    right: Mapping[str, np.ndarray],
    count: int | None,
) -> None:
    if set(outputs) != set(right):
        raise DataError(
            f"outputs differ: {listed(sorted(outputs))} here, {listed(sorted(right))} in the "
            "reference; compare two engines of the same network"
        )
    for name, value in outputs.items():
        mine, other = np.asarray(value), np.asarray(right[name])
        if mine.shape != other.shape:
            raise DataError(
                f"output {shown(name)} has shape {mine.shape} here and {other.shape} in the "
                "reference; compare two engines of the same network"
            )
        found.setdefault(name, _Sums()).add(mine[:count], other[:count], name)


@dataclass(slots=True)
class _Sums:
    """What is known of one output after some batches; of constant size."""

    elements: int = 0
    nonfinite: int = 0
    reference_nonfinite: int = 0
    power: float = 0.0
    reference_power: float = 0.0
    product: float = 0.0
    difference_power: float = 0.0
    max_abs: float = 0.0
    reference_max: float = 0.0
    agreeing: int = 0
    rows: int = 0

    def add(self, mine: np.ndarray, right: np.ndarray, name: str) -> None:
        """Count one batch in."""
        a, b = _as_numbers(mine, name), _as_numbers(right, name)
        wrong = ~np.isfinite(b)
        self.elements += a.size
        self.reference_nonfinite += int(wrong.sum())
        self.nonfinite += int((wrong | ~np.isfinite(a)).sum())
        if self.nonfinite or not a.size:
            return
        difference = a - b
        self.power += float(np.vdot(a, a))
        self.reference_power += float(np.vdot(b, b))
        self.product += float(np.vdot(a, b))
        self.difference_power += float(np.vdot(difference, difference))
        self.max_abs = max(self.max_abs, float(np.abs(difference).max()))
        self.reference_max = max(self.reference_max, float(np.abs(b).max()))
        if a.ndim == 2 and a.shape[1] > 1:
            self.agreeing += int((a.argmax(1) == b.argmax(1)).sum())
            self.rows += len(a)

    def result(self, name: str) -> OutputDeviation:
        """The numbers; NaN where the output is not comparable."""
        counts = (name, self.elements, self.nonfinite, self.reference_nonfinite)
        if self.nonfinite or not self.elements:
            nan = math.nan
            return OutputDeviation(*counts, nan, nan, nan, nan, nan, None)
        return OutputDeviation(
            *counts,
            self.max_abs,
            _over(self.max_abs, self.reference_max),
            math.sqrt(_over(self.difference_power, self.reference_power)),
            _decibel(self.reference_power, self.difference_power),
            self._cosine(),
            Share(self.agreeing, self.rows) if self.rows else None,
        )

    def _cosine(self) -> float:
        lengths = math.sqrt(self.power) * math.sqrt(self.reference_power)
        if lengths == 0:
            return 1.0 if self.max_abs == 0 else 0.0
        return max(-1.0, min(1.0, self.product / lengths))


def _over(part: float, whole: float) -> float:
    if whole == 0:
        return 0.0 if part == 0 else math.inf
    return part / whole


def _decibel(signal: float, difference: float) -> float:
    if difference == 0:
        return math.inf
    return 10 * math.log10(signal / difference) if signal > 0 else -math.inf


def _as_numbers(values: np.ndarray, name: str) -> np.ndarray:
    try:
        return values.astype(np.float64)
    except (ValueError, TypeError) as error:
        raise DataError(
            f"output {shown(name)} is {values.dtype}, which has no differences; leave it out"
        ) from error


def _feeds(
    data: LabelledData | Iterable[Mapping[str, np.ndarray]], batch: int, name: str
) -> Iterator[tuple[Mapping[str, np.ndarray], int | None]]:
    if isinstance(data, LabelledData):
        for pictures, labels in data.batches(batch):
            yield {name: _filled(pictures, batch)}, len(labels)
    else:
        for feeds in data:
            yield feeds, None


def _filled(pictures: np.ndarray, batch: int) -> np.ndarray:
    missing = batch - len(pictures)
    if not missing:
        return pictures
    return np.concatenate([pictures, np.repeat(pictures[-1:], missing, axis=0)])


@contextmanager
def _opened(session: Any, name: str | None) -> Iterator[tuple[Runs, str]]:
    """A session and the name of the input to feed; an engine's session is closed after."""
    inputs = [spec.name for spec in getattr(session, "inputs", ())]
    if name is None and len(inputs) == 1:
        name = inputs[0]
    if name is not None and inputs and name not in inputs:
        raise DataError(
            f"there is no input {shown(name)}{nearest(name, inputs)}; there is {listed(inputs)}"
        )
    if not hasattr(session, "session"):
        yield session, name or ""
        return
    with session.session() as opened:
        yield opened, name or ""


def _refuse_empty(data: LabelledData) -> None:
    if len(data) == 0:
        raise DataError("no data to measure on; give at least one sample")


def _length(data: object) -> int | None:
    return len(data) if isinstance(data, LabelledData) else None


def _step(
    progress: Progress, cancel: Cancel | None, phase: str, done: int, total: int | None
) -> None:
    if cancel is not None:
        cancel.check()
    progress(Event(phase, "", done, total))


def _warn(message: str) -> None:
    warnings.warn(message, RuntimeWarning, stacklevel=3)
