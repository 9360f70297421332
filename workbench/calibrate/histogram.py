"""How the values of one tensor are spread: counts of magnitudes, in constant memory.

The width of a bin is always a power of two and bins begin at zero, so making bins twice as wide
joins exact pairs. A histogram therefore depends on the values alone, not on their order or on how
they came in pieces, and two histograms add up exactly (`merged`).
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

FEWEST_BINS = 128
"""Fewer cannot tell the 128 magnitudes of INT8 apart."""

_BLOCK = 1 << 15
"""Elements counted at a time: small enough that all passes over them stay in the cache."""

_NARROWEST = -100
"""Exponent of the narrowest bin; values far below 1e-27 all count as nearly zero."""


@dataclass(frozen=True, eq=False)
class Histogram:
    """Magnitudes of a tensor's values by bins of equal width, and its smallest and largest value.

    Bin ``i`` counts values with ``i * width <= |x| < (i + 1) * width``.
    """

    counts: np.ndarray
    """``int64``, shape (n,), read-only; the last bin holds the largest magnitude, so n is between
    `bins` + 1 and twice `bins` (1 where everything is zero)."""
    width: float
    """A power of two; 0 where everything is zero."""
    minimum: float
    """Smallest value, with its sign; NaN where nothing was counted."""
    maximum: float
    zeros: int
    """Values that are exactly zero; they are in bin 0 too."""
    nonfinite: int = 0
    """NaN and infinite values; in no bin."""
    bins: int = 2048
    """Resolution: at least so many bins between zero and the largest magnitude."""

    @cached_property
    def total(self) -> int:
        """Finite values counted."""
        return int(self.counts.sum())

    @property
    def amax(self) -> float:
        """Largest magnitude seen; 0 where nothing was counted."""
        if not self.total:
            return 0.0
        return max(abs(self.minimum), abs(self.maximum))

    @property
    def edges(self) -> np.ndarray:
        """Ends of the bins, ``float64``, shape (n + 1,)."""
        return np.arange(len(self.counts) + 1) * self.width

    def share_beyond(self, clip: float) -> float:
        """Share of the finite values with a magnitude above `clip`, 0 to 1.

        Exact where `clip` is the edge of a bin, or not below `amax`; inside a bin values are taken
        as spread evenly.
        """
        if not self.total or clip >= self.amax:
            return 0.0
        at = clip / self.width
        bin_ = min(int(at), len(self.counts) - 1)
        inside = self.counts[bin_] * (bin_ + 1 - at)
        return float(inside + self.counts[bin_ + 1 :].sum()) / self.total

    def same_as(self, other: Histogram) -> bool:
        """Whether every number is equal."""
        return (
            self.width == other.width
            and np.array_equal(self.counts, other.counts)
            and (self.zeros, self.nonfinite, self.bins)
            == (other.zeros, other.nonfinite, other.bins)
            and np.array_equal(
                (self.minimum, self.maximum), (other.minimum, other.maximum), equal_nan=True
            )
        )


@dataclass(eq=False)
class Tally:
    """A histogram while values come in; of constant size."""

    bins: int
    """Resolution; 0 keeps only the smallest and largest value and counts nothing by bins."""
    minimum: float = math.inf
    maximum: float = -math.inf
    total: int = 0
    zeros: int = 0
    nonfinite: int = 0
    exponent: int | None = None
    """Of the bin's width; None while every value was zero."""
    counts: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))

    def __post_init__(self) -> None:
        if self.bins and (self.bins < FEWEST_BINS or self.bins > 1 << 20):
            raise ValueError(
                f"bins is {self.bins}; must be {FEWEST_BINS} to {1 << 20}, or 0 for ranges only"
            )
        if not len(self.counts):
            self.counts = np.zeros(2 * self.bins, np.int64)

    def add(self, values: Any) -> int:
        """Count values in; how many of them are NaN or infinite (these are left out).

        Args:
            values: an array of real numbers, of NumPy or of a library with NumPy's functions such
                as CuPy; then the work is done where the array is.
        """
        xp = _module(values)
        flat = values.reshape(-1)
        if flat.dtype != np.float32:
            flat = flat.astype(np.float32)
        if not flat.size:
            return 0
        low, high = float(flat.min()), float(flat.max())
        bad = 0
        if not (math.isfinite(low) and math.isfinite(high)):
            flat = flat[xp.isfinite(flat)]
            bad = int(values.size - flat.size)
            self.nonfinite += bad
            if not flat.size:
                return bad
            low, high = float(flat.min()), float(flat.max())
        self.minimum, self.maximum = min(self.minimum, low), max(self.maximum, high)
        self.total += int(flat.size)
        if self.bins:
            self._count(xp, flat, max(abs(low), abs(high)))
        return bad

    def _count(self, xp: Any, flat: Any, amax: float) -> None:
        if amax == 0:
            self.zeros += int(flat.size)
            self.counts[0] += int(flat.size)
            return
        needed = _exponent(amax, len(self.counts))
        if self.exponent is None:
            self.exponent = needed
        elif needed > self.exponent:
            self.counts = _folded(self.counts, needed - self.exponent)
            self.exponent = needed
        scale = np.float32(2.0**-self.exponent)
        if xp is np:
            zeros = _count_blocks(flat, scale, self.counts)
        else:
            places = xp.abs(flat * scale).astype(np.int32)
            # Its `get` is how CuPy brings an array to the host; the histogram lives there.
            self.counts += xp.bincount(places, minlength=len(self.counts)).get()
            zeros = int(flat.size - xp.count_nonzero(flat))
        self.zeros += int(zeros)

    def merge(self, other: Tally) -> None:
        """Count in everything that another tally of the same resolution has counted."""
        if other.bins != self.bins:
            raise ValueError(f"tallies of {self.bins} and {other.bins} bins do not add up")
        exponents = [e for e in (self.exponent, other.exponent) if e is not None]
        if exponents:
            widest = max(exponents)
            mine, theirs = (
                _folded(one.counts, widest - (widest if one.exponent is None else one.exponent))
                for one in (self, other)
            )
            self.counts, self.exponent = mine + theirs, widest
        else:
            self.counts = self.counts + other.counts
        self.minimum = min(self.minimum, other.minimum)
        self.maximum = max(self.maximum, other.maximum)
        self.total += other.total
        self.zeros += other.zeros
        self.nonfinite += other.nonfinite

    def result(self) -> Histogram:
        """What was counted, as a value."""
        used = np.flatnonzero(self.counts)
        counts = self.counts[: int(used[-1]) + 1 if len(used) else 1].copy()
        if not self.bins:
            counts = np.array([self.total], np.int64)
        counts.setflags(write=False)
        width = 0.0 if self.exponent is None else 2.0**self.exponent
        low, high = (self.minimum, self.maximum) if self.total else (math.nan, math.nan)
        return Histogram(counts, width, low, high, self.zeros, self.nonfinite, self.bins)


def merged(tallies: list[Tally]) -> Tally:
    """One tally of everything that some tallies of one resolution have counted.

    Raises:
        ValueError: there are none, or their resolutions differ.
    """
    if not tallies:
        raise ValueError("no tallies to merge; give at least one")
    total = Tally(tallies[0].bins)
    for one in tallies:
        total.merge(one)
    return total


def _module(array: Any) -> Any:
    """The library of an array: NumPy, or the one whose type it is, such as CuPy."""
    return (
        np if isinstance(array, np.ndarray) else sys.modules[type(array).__module__.split(".")[0]]
    )


def _exponent(amax: float, bins: int) -> int:
    """The smallest exponent with which `amax` falls into one of the bins."""
    exponent = math.frexp(amax / bins)[1]
    if amax < bins * math.ldexp(1.0, exponent - 1):
        exponent -= 1
    return max(exponent, _NARROWEST)


def _folded(counts: np.ndarray, times: int) -> np.ndarray:
    """The counts with bins made `2 ** times` as wide."""
    folded = counts
    for _ in range(min(times, len(counts).bit_length())):
        half = folded[::2] + folded[1::2]
        folded = np.concatenate([half, np.zeros_like(half)])
    return folded


def _count_blocks(flat: np.ndarray, scale: np.float32, counts: np.ndarray) -> int:
    """Count magnitudes into `counts`; how many values are zero."""
    scaled = np.empty(min(_BLOCK, flat.size), np.float32)
    places = np.empty(len(scaled), np.int64)
    zeros = 0
    for start in range(0, flat.size, _BLOCK):
        block = flat[start : start + _BLOCK]
        part, place = scaled[: block.size], places[: block.size]
        np.multiply(block, scale, out=part)
        np.abs(part, out=part)
        np.copyto(place, part, casting="unsafe")
        found = np.bincount(place)
        counts[: len(found)] += found
        zeros += block.size - int(np.count_nonzero(block))
    return zeros
