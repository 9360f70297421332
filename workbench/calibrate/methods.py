"""Where to clip a tensor, decided from its histogram: five rules, each with its source.

Every rule gives the largest magnitude that is kept (`amax`), above 0 and never above the largest
magnitude seen. All are for symmetric INT8: 127 steps from zero to `amax`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any

import numpy as np

from workbench.calibrate.entropy import best
from workbench.calibrate.histogram import Histogram
from workbench.ranges import LEVELS
from workbench.text import nearest, shown

_GRID = 128
"""Candidates of a search, coarse first and then fine around the best."""


def minmax(histogram: Histogram) -> float:
    """The largest magnitude seen: nothing is clipped, one outlier decides the scale."""
    return histogram.amax


def percentile(histogram: Histogram, percent: float = 99.99) -> float:
    """The magnitude that `percent` % of all values, zeros among them, do not exceed.

    Linear inside a bin. 99.99 is what NVIDIA's pytorch-quantization and ONNX Runtime use
    (99.99 and 99.999).

    Raises:
        ValueError: `percent` is not above 0 and at most 100.
    """
    if not 0 < percent <= 100:
        raise ValueError(f"percent is {shown(percent)}; must be above 0 and at most 100")
    wanted = percent / 100 * histogram.total
    sums = np.cumsum(histogram.counts)
    at = min(int(np.searchsorted(sums, wanted)), len(sums) - 1)
    before = float(sums[at - 1]) if at else 0.0
    inside = (wanted - before) / max(float(histogram.counts[at]), 1.0)
    return (at + min(inside, 1.0)) * histogram.width


def entropy(histogram: Histogram, levels: int = 128) -> float:
    """The clip with the smallest Kullback-Leibler divergence, as TensorRT finds it.

    Source and the treatment of zero: `workbench.calibrate.entropy`. A histogram here has `bins` to
    twice `bins` bins up to the largest magnitude; TensorRT's has 2048. Nothing is clipped where
    there are fewer values other than zero than bins: a distribution of mostly empty bins says
    nothing, and the divergence then likes to cut nearly everything off.

    Raises:
        ValueError: `levels` is below 2 or above half the number of bins.
    """
    if not 2 <= levels <= max(2, histogram.bins):
        raise ValueError(f"levels is {shown(levels)}; must be 2 to {histogram.bins}")
    if histogram.total - histogram.zeros < histogram.bins:
        return histogram.amax
    return best(histogram.counts, levels) * histogram.width


def mse(histogram: Histogram) -> float:
    """The clip with the smallest mean squared error of quantizing to INT8 and back.

    Searched over 128 clips up to the largest magnitude and then 128 around the best of them; the
    error is that of the middle of each bin, and none for values that are exactly zero. The
    criterion is pytorch-quantization's ``compute_amax("mse")``.
    """
    values = (np.arange(len(histogram.counts)) + 0.5) * histogram.width
    weights = histogram.counts.astype(np.float64)
    weights[0] -= histogram.zeros
    step = histogram.amax / _GRID
    coarse = step * np.arange(1, _GRID + 1)
    found = coarse[int(np.argmin(_errors(values, weights, coarse)))]
    fine = np.linspace(max(found - step, step / 8), min(found + step, histogram.amax), _GRID)
    candidates = np.append(fine, found)
    return float(candidates[int(np.argmin(_errors(values, weights, candidates)))])


def _errors(values: np.ndarray, weights: np.ndarray, clips: np.ndarray) -> np.ndarray:
    """Sum of squared errors for each clip, up to the common factor."""
    used = weights > 0
    values, weights = values[used], weights[used]
    scales = (clips / LEVELS)[:, None]
    quantized = np.minimum(np.rint(values / scales), LEVELS) * scales
    return ((quantized - values) ** 2) @ weights


def aciq(histogram: Histogram, distribution: str = "auto") -> float:
    """The clip that is best for a Laplace or a normal distribution with the tensor's spread.

    After R. Banner, Y. Nahshan, D. Soudry, *Post training 4-bit quantization of convolutional
    networks for rapid-deployment*, NeurIPS 2019: the clip where the errors of clipping and of
    rounding to 8 bits together are smallest, 9.897 b and 3.924 sigma. b and sigma are taken around
    zero from the values that are not zero, because zeros (half of all after a ReLU) cost nothing
    at any clip.

    Args:
        histogram: of the tensor.
        distribution: ``laplace``, ``normal``, or ``auto`` for the one whose ratio of mean
            magnitude squared to mean square, 1/2 and 2/pi, is nearer to the tensor's.

    Raises:
        ValueError: another distribution.
    """
    if distribution not in ("auto", "laplace", "normal"):
        raise ValueError(f"distribution is {shown(distribution)}; must be auto, laplace or normal")
    first, second = _moments(histogram)
    if distribution == "auto":
        near_laplace = first**2 / second < (0.5 + 2 / math.pi) / 2
        distribution = "laplace" if near_laplace else "normal"
    if distribution == "laplace":
        return _laplace_factor() * first
    return _normal_factor() * math.sqrt(second)


def _moments(histogram: Histogram) -> tuple[float, float]:
    """Mean magnitude and mean square of the values that are not zero, from the bins' middles."""
    values = (np.arange(len(histogram.counts)) + 0.5) * histogram.width
    weights = histogram.counts.astype(np.float64)
    weights[0] -= histogram.zeros
    count = weights.sum()
    return float(values @ weights / count), float(values**2 @ weights / count)


@lru_cache(maxsize=1)
def _laplace_factor() -> float:
    """Root a of ``a e**a = 3 * 4**8``: the clip of 8 bits in units of b."""
    return _root(lambda a: a * math.exp(a) - 3 * 4.0**8, 1, 20)


@lru_cache(maxsize=1)
def _normal_factor() -> float:
    """Where the error of clipping a normal distribution to 8 bits falls as its rounding grows."""

    def slope(a: float) -> float:
        tail = a * math.erfc(a / math.sqrt(2))
        return a / (3 * 4.0**8) + tail - math.sqrt(2 / math.pi) * math.exp(-a * a / 2)

    return _root(slope, 1, 8)


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if function(middle) < 0 else (low, middle)
    return (low + high) / 2


METHODS: Mapping[str, Callable[..., float]] = MappingProxyType(
    {
        "minmax": minmax,
        "percentile": percentile,
        "entropy": entropy,
        "mse": mse,
        "aciq": aciq,
    }
)


def clip(histogram: Histogram, method: str, options: Mapping[str, Any]) -> float:
    """The largest magnitude to keep, by the rule `method`.

    Args:
        histogram: of a tensor with a value other than zero.
        method: one of `METHODS`.
        options: keyword arguments of the rule.

    Raises:
        ValueError: no such rule, an option it has not or of a wrong value, or a histogram that was
            collected without bins and a rule that needs them.
    """
    if method not in METHODS:
        raise ValueError(
            f"there is no method {shown(method)}{nearest(str(method), METHODS)}; methods are "
            f"{', '.join(METHODS)}"
        )
    rule = METHODS[method]
    known = rule.__code__.co_varnames[1 : rule.__code__.co_argcount]
    for name in options:
        if name not in known:
            raise ValueError(
                f"method {method} has no option {shown(name)}{nearest(str(name), known)}; it has "
                f"{', '.join(known) or 'none'}"
            )
    if not histogram.bins and method != "minmax":
        raise ValueError(
            f"method {method} needs histograms, but only ranges were collected (bins=0); collect "
            "again with bins=2048"
        )
    return min(rule(histogram, **options), histogram.amax)
