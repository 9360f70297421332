"""The clip that loses least information: Kullback-Leibler divergence over all candidates at once.

The method is the one of TensorRT's entropy calibrator (S. Migacz, *8-bit Inference with TensorRT*,
GTC 2017), in the form NVIDIA published in ``pytorch_quantization/calib/histogram.py``: the zero bin
takes the count of its neighbour, candidates keep the first i bins from 128 on, what lies beyond is
added to the last bin kept, and the kept bins are averaged over 128 levels, empty bins left out.
"""

from __future__ import annotations

import numpy as np

_ROWS = 256
"""Candidates computed at a time; bounds the memory at a few MB."""


def divergences(counts: np.ndarray, levels: int = 128) -> np.ndarray:
    """KL divergence of the clipped from the quantized distribution for every number of bins kept.

    With cumulative sums the sum over bins becomes one over the levels, so a candidate costs
    O(levels) and not O(bins): for P = h / T and Q = m / C, with h the kept bins (tail added to the
    last), T their sum, m the mean of a level's non-empty bins and C the sum before the tail was
    added, KL = sum(h log h) / T - log T - (sum over levels of H log m + tail log m_last) / T
    + log C, where H is the sum of a level.

    Args:
        counts: of the bins, shape (n,), n >= levels.
        levels: magnitudes that can be told apart: 128 for INT8.

    Returns:
        ``float64``, shape (n - levels + 1,); entry j keeps ``levels + j`` bins. Infinite where the
        last bin kept is empty but values lie beyond it.
    """
    bins = np.asarray(counts, np.float64).copy()
    bins[0] = bins[1]
    sums = np.concatenate([[0.0], np.cumsum(bins)])
    filled = np.concatenate([[0], np.cumsum(bins > 0)])
    own = np.concatenate([[0.0], np.cumsum(_x_log_x(bins))])
    found = [
        _rows(bins, sums, filled, own, np.arange(start, min(start + _ROWS, len(bins) + 1)), levels)
        for start in range(levels, len(bins) + 1, _ROWS)
    ]
    return np.concatenate(found)


def _rows(
    bins: np.ndarray,
    sums: np.ndarray,
    filled: np.ndarray,
    own: np.ndarray,
    kept: np.ndarray,
    levels: int,
) -> np.ndarray:
    # Level g holds the bins j with g <= j * levels / kept < g + 1.
    starts = -(-np.arange(levels + 1) * kept[:, None] // levels)
    mass = np.diff(sums[starts], axis=1)
    log_mean = _log(mass) - _log(np.diff(filled[starts], axis=1))
    total, inside, last = sums[-1], sums[kept], bins[kept - 1]
    tail = total - inside
    with np.errstate(divide="ignore", invalid="ignore"):
        entropy = (own[kept - 1] + _x_log_x(last + tail)) / total - np.log(total)
        cross = ((mass * log_mean).sum(1) + tail * log_mean[:, -1]) / total - np.log(inside)
        divergence = entropy - cross
    divergence[(last == 0) & (tail > 0)] = np.inf
    divergence[inside == 0] = np.inf
    return divergence


def _log(values: np.ndarray) -> np.ndarray:
    return np.log(np.where(values > 0, values, 1))


def _x_log_x(values: np.ndarray) -> np.ndarray:
    return values * _log(values)


def best(counts: np.ndarray, levels: int = 128) -> int:
    """How many bins to keep: the last of the candidates with the smallest divergence.

    All of them where the histogram has no more bins than levels, or nothing outside bin 0.
    """
    if len(counts) <= levels or not counts[1:].any():
        return len(counts)
    found = divergences(counts, levels)
    smallest = found.min()
    if not np.isfinite(smallest):
        return len(counts)
    # Rounding must not decide between candidates that are equal.
    return levels + int(np.flatnonzero(found <= smallest + 1e-12)[-1])
