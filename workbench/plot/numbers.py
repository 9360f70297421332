"""What the plots of a study show, as plain numbers. Seconds and shares inside, no units chosen."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from workbench.measure import Clock, Comparison, Share
from workbench.study import Configuration, Study


@dataclass(frozen=True, slots=True)
class LatencyNumbers:
    """One row of a latency plot."""

    configuration: Configuration
    label: str
    """Variants that share the measurement are joined: ``openvino, min 3, 5``."""
    samples: tuple[float, ...]
    """Seconds, every one."""
    median: float
    low: float
    high: float
    against: Comparison | None
    """To the baseline; None for the baseline itself and where there is none."""


@dataclass(frozen=True, slots=True)
class AccuracyNumbers:
    """One row of an accuracy plot."""

    configuration: Configuration
    label: str
    share: Share


@dataclass(frozen=True, slots=True)
class TradeoffNumbers:
    """One point of a trade-off plot."""

    configuration: Configuration
    label: str
    seconds: float
    seconds_low: float
    seconds_high: float
    quality: float
    """Top-1 share, or SNR in dB."""
    quality_low: float
    quality_high: float
    frontier: bool
    """Whether none of the others is at least as fast and as good, and better in one of the two."""


Quality = Literal["top1", "snr"]


def _rows(study: Study, model: str, batch: int | None) -> list[tuple[Configuration, str]]:
    """Configurations that were measured, those that share a measurement joined."""
    found = study.select(model, batch)
    shared: dict[str, list[Configuration]] = {}
    for one in found:
        shared.setdefault(one.same_as or one.variant, []).append(one)
    return [(group[0], _joined(group)) for group in shared.values() if not group[0].failed]


def _joined(group: list[Configuration]) -> str:
    first = group[0]
    more = [str(one.threshold) for one in group[1:]]
    head, min_, tail = first.variant.partition(f"min {first.threshold}")
    return f"{head}{', '.join([min_, *more])}{tail}" if more else first.variant


def latency_numbers(
    study: Study, model: str | None = None, batch: int | None = None, clock: Clock = "wall"
) -> list[LatencyNumbers]:
    """The rows of a latency plot, in the study's order; only what was measured.

    Args:
        study: where the samples are.
        model: which network; the first one if None.
        batch: which batch; the network's smallest if None.
        clock: wall time or processor time.

    Raises:
        StudyError: no such network or batch.
    """
    rows = []
    for one, label in _rows(study, model or study.models[0], batch):
        found = study.latency(one)
        if found is None:
            continue
        found = found.by(clock)
        base = study.baseline(one.model, one.batch)
        against = None if base and base.key == one.key else study.against_baseline(one, clock)
        rows.append(
            LatencyNumbers(one, label, found.samples, found.median, *found.interval, against)
        )
    return rows


def accuracy_numbers(
    study: Study, model: str | None = None, batch: int | None = None, k: int = 1
) -> list[AccuracyNumbers]:
    """The rows of an accuracy plot; empty where there were no labels or this k was not measured.

    Raises:
        StudyError: no such network or batch.
    """
    rows = []
    for one, label in _rows(study, model or study.models[0], batch):
        found = study.accuracy(one)
        if found is not None and k in found.hits:
            rows.append(AccuracyNumbers(one, label, found.top(k)))
    return rows


def tradeoff_numbers(
    study: Study,
    model: str | None = None,
    batch: int | None = None,
    quality: Quality = "top1",
    clock: Clock = "wall",
) -> list[TradeoffNumbers]:
    """The points of a trade-off plot; what lacks latency or a finite quality is left out.

    Raises:
        StudyError: no such network or batch.
    """
    points = []
    for row in latency_numbers(study, model, batch, clock):
        found = _quality(study, row.configuration, quality)
        if found is not None:
            points.append((row, found))
    return [
        TradeoffNumbers(
            row.configuration, row.label, row.median, row.low, row.high,
            found[0], found[1], found[2],
            not any(_beats(other, of, row, found) for other, of in points),
        )
        for row, found in points
    ]  # fmt: skip


def _quality(study: Study, one: Configuration, quality: Quality) -> tuple[float, ...] | None:
    if quality == "top1":
        found = study.accuracy(one)
        return (found.top(1).value, *found.top(1).interval) if found else None
    snr = min((m.samples[0] for m in study.deviations(one)), default=math.nan)
    return (snr, snr, snr) if math.isfinite(snr) else None


def _beats(
    a: LatencyNumbers, good_a: tuple[float, ...], b: LatencyNumbers, good_b: tuple[float, ...]
) -> bool:
    no_worse = a.median <= b.median and good_a[0] >= good_b[0]
    return no_worse and (a.median < b.median or good_a[0] > good_b[0])
