"""Two configurations against each other, on the same rounds or the same samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from workbench.measure.statistics import mcnemar, ratio_interval
from workbench.measure.values import Accuracy, Latency
from workbench.text import shown

DIFFERENCE = 0.05
"""Level below which a p-value counts as a difference."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """How the latency of one configuration stands to that of another."""

    ratio: float
    """Median of the first over median of the second; below 1 the first is faster."""
    low: float
    """Lower end of the 95 % interval of the ratio."""
    high: float
    rounds: int

    @property
    def verdict(self) -> Literal["faster", "slower", "no difference"]:
        """What the first one is; ``no difference`` where the interval holds 1."""
        if self.high < 1:
            return "faster"
        return "slower" if self.low > 1 else "no difference"

    def __str__(self) -> str:
        return f"{self.ratio:.3f} times ({self.low:.3f} to {self.high:.3f}): {self.verdict}"


@dataclass(frozen=True, slots=True)
class AccuracyComparison:
    """How the accuracy of one configuration stands to that of another on the same samples."""

    difference: float
    """Share of the first minus share of the second."""
    only_first: int
    """Samples only the first one gets right."""
    only_second: int
    p: float
    """McNemar's exact p-value."""

    @property
    def verdict(self) -> Literal["better", "worse", "no difference"]:
        """What the first one is; ``no difference`` where p is not below 0.05."""
        if self.p >= DIFFERENCE:
            return "no difference"
        return "better" if self.only_first > self.only_second else "worse"


def compare(first: Latency, second: Latency) -> Comparison:
    """The first latency over the second, with the interval of `ratio_interval`.

    Raises:
        ValueError: the two are not from one run, or by different clocks: what disturbed one of
            them then did not disturb the other.
    """
    if first.run != second.run or len(first.samples) != len(second.samples):
        raise ValueError(
            f"{shown(first.name)} and {shown(second.name)} were not measured in one run; give both "
            "to one call of latency()"
        )
    if first.clock != second.clock:
        raise ValueError(f"one is {first.clock} time, the other {second.clock} time; use by()")
    if first is second or first.samples == second.samples:
        return Comparison(1.0, 1.0, 1.0, len(first.samples))
    low, high = ratio_interval(first.samples, second.samples)
    return Comparison(first.median / second.median, low, high, len(first.samples))


def compare_accuracy(first: Accuracy, second: Accuracy, k: int = 1) -> AccuracyComparison:
    """The first accuracy against the second, sample by sample.

    Raises:
        ValueError: not the same data, or top-k of one was not measured.
    """
    if first.data != second.data or first.count != second.count:
        raise ValueError("accuracies on different data cannot be compared sample by sample")
    a, b = first.top(k), second.top(k)
    pairs = list(zip(first.hits[k], second.hits[k], strict=True))
    only_first = sum(x and not y for x, y in pairs)
    only_second = sum(y and not x for x, y in pairs)
    return AccuracyComparison(
        a.value - b.value, only_first, only_second, mcnemar(only_first, only_second)
    )
