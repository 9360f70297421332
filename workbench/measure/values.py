"""What measuring gives: plain frozen values, samples included."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np

from workbench.measure.machine import Noise
from workbench.measure.statistics import median_interval, wilson
from workbench.text import shown

Clock = Literal["wall", "cpu"]
"""``wall``: time that passed. ``cpu``: processor time of all threads of this process."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """Samples of one metric of one configuration; what a study is made of.

    Raises:
        ValueError: an empty model, variant or metric, or a sample that is no number.
    """

    model: str
    """Which network."""
    variant: str
    """Which configuration of it, as its study names it."""
    metric: str
    """``latency``, ``cpu_time``, ``top1``, ``snr`` ..."""
    unit: str
    """``s``, ``share``, ``dB`` ...; SI without prefixes."""
    samples: tuple[float, ...]
    """Every one that was taken, in the order it was taken. May hold NaN and infinities."""
    details: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """Plain JSON values: how it was taken and by what."""

    def __post_init__(self) -> None:
        for name in ("model", "variant", "metric"):
            if not getattr(self, name):
                raise ValueError(f"a measurement without a {name}; every number says what it is of")
        for sample in self.samples:
            if not isinstance(sample, int | float):
                raise ValueError(f"sample {shown(sample)} of {shown(self.metric)} is no number")


@dataclass(frozen=True)
class Latency:
    """How long one call takes, each sample kept; seconds."""

    name: str
    wall: tuple[float, ...]
    """Seconds that passed, a call; one sample for each round."""
    cpu: tuple[float, ...]
    """Processor seconds of all threads of the process, a call; same rounds."""
    calls: int
    """Calls that one sample is the mean of; 1 unless a call is too short for the timer."""
    run: str
    """Which run it was taken in; only latencies of one run can be compared by round."""
    clock: Clock = "wall"
    """Which samples the summary below is of."""
    warmup_calls: int = 0
    """Calls made before the first sample."""
    warm: bool = True
    """Whether times had settled before the first sample, within the warm-up's limit."""
    noise: Noise | None = None
    """What the machine did during the run."""

    @property
    def samples(self) -> tuple[float, ...]:
        """The samples of the chosen clock."""
        return self.wall if self.clock == "wall" else self.cpu

    def by(self, clock: Clock) -> Latency:
        """The same samples summed up by the other clock."""
        return replace(self, clock=clock)

    @property
    def median(self) -> float:
        """Median in seconds a call; outliers weigh no more than any other sample."""
        return float(np.median(self.samples))

    @cached_property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the median in seconds (`median_interval`)."""
        return median_interval(self.samples)

    def percentile(self, percent: float) -> float:
        """The sample at this percentile in seconds, 0 to 100, with linear interpolation."""
        return float(np.percentile(self.samples, percent))


@dataclass(frozen=True, slots=True)
class Share:
    """How many of how many, with the Wilson 95 % interval."""

    hits: int
    count: int

    @property
    def value(self) -> float:
        """The share, 0 to 1."""
        return self.hits / self.count

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the share of all data like these (`wilson`)."""
        return wilson(self.hits, self.count)


@dataclass(frozen=True)
class Accuracy:
    """How often the right class is among the best k, over labelled data."""

    hits: Mapping[int, tuple[bool, ...]] = field(hash=False)
    """k -> for each sample, in the data's order, whether its label is among the best k."""
    data: str
    """Digest of the data; only accuracies on the same data can be compared sample by sample."""
    classes: int
    nonfinite: int = 0
    """Samples whose scores hold NaN or infinity; one with NaN counts as wrong."""
    ties: int = 0
    """Samples whose label has the same score as another class; the lower class number wins."""

    @property
    def count(self) -> int:
        """Samples in all."""
        return len(next(iter(self.hits.values())))

    def top(self, k: int) -> Share:
        """The share of samples with the right class among the best k.

        Raises:
            ValueError: this k was not measured.
        """
        if k not in self.hits:
            raise ValueError(f"top-{k} was not measured; there is {sorted(self.hits)}")
        return Share(sum(self.hits[k]), len(self.hits[k]))


Verdict = Literal["identical", "differs", "not comparable"]


@dataclass(frozen=True, slots=True)
class OutputDeviation:
    """One output against the same output of a reference, over all data.

    The numbers are NaN where the two are not comparable.
    """

    name: str
    elements: int
    """Elements compared, over all data."""
    nonfinite: int
    """Elements that are NaN or infinite, here or in the reference."""
    reference_nonfinite: int
    """Those of them that are NaN or infinite in the reference."""
    max_abs: float
    """Largest absolute difference, in the output's unit."""
    relative_max: float
    """Largest absolute difference over the largest absolute value of the reference."""
    relative_l2: float
    """Euclidean norm of the difference over that of the reference."""
    snr_db: float
    """Signal-to-noise ratio, 10 log10 of reference power over that of the difference; infinite
    where the two are equal."""
    cosine: float
    """Cosine of the angle between the two, 1 where they point the same way."""
    agreement: Share | None
    """Rows whose largest element is at the same place; None where the output has no rows of
    classes."""

    @property
    def verdict(self) -> Verdict:
        """``identical`` to the bit pattern's value, ``differs``, or ``not comparable``."""
        if self.nonfinite or not self.elements:
            return "not comparable"
        return "identical" if self.max_abs == 0 else "differs"

    def __str__(self) -> str:
        name = shown(self.name)
        if not self.elements:
            return f"{name}: not comparable, no elements"
        if self.nonfinite:
            return (
                f"{name}: not comparable, {self.nonfinite} of {self.elements} elements are NaN or "
                f"infinite ({self.reference_nonfinite} in the reference)"
            )
        if self.verdict == "identical":
            return f"{name}: identical"
        return (
            f"{name}: SNR {self.snr_db:.1f} dB, relative error {self.relative_l2:.2g} (largest "
            f"{self.relative_max:.2g}), cosine {self.cosine:.6f}"
        )


@dataclass(frozen=True, slots=True)
class Deviation:
    """Every output of a network against a reference."""

    outputs: tuple[OutputDeviation, ...]
    samples: int
    """Samples that were run."""

    @property
    def comparable(self) -> bool:
        """Whether every output can be compared: no NaN, no infinity, something there."""
        return all(output.verdict != "not comparable" for output in self.outputs)

    @property
    def worst(self) -> OutputDeviation:
        """The output that is not comparable, or else the one with the lowest SNR."""
        return min(self.outputs, key=lambda o: -math.inf if math.isnan(o.snr_db) else o.snr_db)

    def __str__(self) -> str:
        return "; ".join(map(str, self.outputs))
