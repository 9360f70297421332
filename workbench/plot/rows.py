"""Plots with a row for each configuration: latency and accuracy."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from workbench.measure import Clock
from workbench.plot.numbers import (
    AccuracyNumbers,
    LatencyNumbers,
    accuracy_numbers,
    latency_numbers,
)
from workbench.plot.style import (
    GREY,
    INK,
    PALE,
    digits,
    footnote,
    heading,
    look,
    new_figure,
    nothing,
    plain_frame,
    row_labels,
    subtitle,
    title,
    unit_of,
)
from workbench.study import Study

if TYPE_CHECKING:
    from matplotlib.axes import Axes

STRETCH = 1.5
"""Samples beyond this many times the largest 75th percentile are drawn at the edge, as arrows."""


def own_axes(study: Study, rows: int) -> Axes:
    """Axes of a new figure with room for so many rows, and a footnote."""
    figure = new_figure(8, 1.6 + 0.33 * max(rows, 3))
    footnote(figure, study)
    return figure.add_subplot()


def latency(
    study: Study,
    model: str | None = None,
    batch: int | None = None,
    *,
    clock: Clock = "wall",
    ax: Axes | None = None,
) -> Axes:
    """Every sample of every configuration as a dot, the median with its 95 % interval over them.

    Beside each row stand the median and how it compares with the baseline. A sample far beyond the
    others is drawn as an arrow at the edge, and their number is said.

    Args:
        study: where the samples are.
        model: which network; the first one if None.
        batch: which batch; the network's smallest if None.
        clock: wall time or processor time.
        ax: where to draw; a new figure if None.

    Raises:
        StudyError: no such network or batch.
    """
    rows = latency_numbers(study, model, batch, clock)
    ax = ax or own_axes(study, len(rows))
    plain_frame(ax)
    if not rows:
        return nothing(ax, "no latency was measured")
    unit, factor = unit_of(min(row.median for row in rows))
    edge = _edge(rows)
    base = study.baseline(rows[0].configuration.model, rows[0].configuration.batch)
    for place, row in enumerate(rows):
        if base and row.configuration.key == base.key:
            ax.axvspan(row.low * factor, row.high * factor, color=PALE, lw=0, zorder=0)
            ax.axvline(row.median * factor, color=GREY, lw=0.8, ls=(0, (4, 3)), zorder=0)
        _latency_row(ax, place, row, edge, unit, factor)
    row_labels(ax, [row.label for row in rows])
    ax.set_xlim(0, edge * factor)
    ax.set_xlabel(f"{'latency' if clock == 'wall' else 'processor time'} of a run ({unit})", size=8)
    first = rows[0].configuration
    title(ax, heading(first), subtitle(study, first, _legend(rows, edge, base is not None)))
    ax.grid(axis="x", color=PALE, lw=0.6)
    return ax


def _legend(rows: list[LatencyNumbers], edge: float, shaded: bool) -> str:
    """What the marks mean, as far as they are there."""
    parts = ["every sample, median with 95 % interval"]
    if shaded:
        parts.append("dashed: baseline")
    if any(max(row.samples) > edge for row in rows):
        parts.append("arrows: samples beyond the edge")
    return "; ".join(parts)


def _edge(rows: list[LatencyNumbers]) -> float:
    """Where the axis ends: far enough for nearly all samples and for every interval."""
    most = max(max(row.samples) for row in rows)
    usual = max(float(np.percentile(row.samples, 75)) for row in rows)
    ends = max((row.high for row in rows if math.isfinite(row.high)), default=0.0)
    return max(min(usual * STRETCH, most * 1.04), ends * 1.05)


def _latency_row(
    ax: Axes, place: int, row: LatencyNumbers, edge: float, unit: str, factor: float
) -> None:
    style = look(row.configuration)
    samples = np.asarray(row.samples)
    inside = samples[samples <= edge]
    # Fixed jitter: a figure of the same study is the same figure.
    offsets = np.random.default_rng(place).uniform(-0.28, 0.28, len(inside))
    ax.scatter(inside * factor, place + offsets, s=7, color=style.color, alpha=0.35, lw=0, zorder=2)
    if len(inside) < len(samples):
        ax.plot(edge * factor, place, marker=">", ms=4, color=style.color, clip_on=False, zorder=3)
    ax.plot(
        [row.low * factor, row.high * factor], [place, place], color=INK, lw=2.2, zorder=4,
        solid_capstyle="butt",
    )  # fmt: skip
    ax.plot(row.median * factor, place, zorder=5, **style.mark(5.5))
    low, high = digits(row.low * factor), digits(row.high * factor)
    _beside(ax, place, f"{digits(row.median * factor)} ({low}–{high}) {unit}", 9)
    beyond = len(samples) - len(inside)
    _beside(ax, place, _compared(row) + (f", {beyond} beyond" if beyond else ""), 122)


def _beside(ax: Axes, place: int, words: str, points: float) -> None:
    """Words to the right of a row, this far from the axes."""
    ax.annotate(
        words, (1, place), (points, 0), xycoords=("axes fraction", "data"),
        textcoords="offset points", va="center", fontsize=7.5, color=INK, annotation_clip=False,
    )  # fmt: skip


def _compared(row: LatencyNumbers) -> str:
    if row.against is None:
        return "baseline"
    if row.against.verdict == "no difference":
        return "no difference"
    ratio = row.against.ratio
    return f"{1 / ratio:.2f}x faster" if ratio < 1 else f"{ratio:.2f}x slower"


def accuracy(
    study: Study,
    model: str | None = None,
    batch: int | None = None,
    *,
    k: int = 1,
    ax: Axes | None = None,
) -> Axes:
    """Top-k accuracy of every configuration with its Wilson 95 % interval, in percent.

    Args:
        study: where the outcomes are.
        model: which network; the first one if None.
        batch: which batch; the network's smallest if None.
        k: 1 or 5.
        ax: where to draw; a new figure if None.

    Raises:
        StudyError: no such network or batch.
    """
    rows = accuracy_numbers(study, model, batch, k)
    ax = ax or own_axes(study, len(rows))
    plain_frame(ax)
    if not rows:
        return nothing(ax, "no accuracy was measured: there were no labelled data")
    base = study.baseline(rows[0].configuration.model, rows[0].configuration.batch)
    for place, row in enumerate(rows):
        if base and row.configuration.key == base.key:
            low, high = row.share.interval
            ax.axvspan(100 * low, 100 * high, color=PALE, alpha=0.6, lw=0, zorder=0)
        _accuracy_row(ax, place, row)
    row_labels(ax, [row.label for row in rows])
    ax.set_xlim(*_percent_limits(rows))
    ax.set_xlabel(f"top-{k} accuracy (%)", size=8)
    first = rows[0]
    count = f"{first.share.count} labelled pictures; 95 % interval" + (
        "; grey: baseline's" if base else ""
    )
    title(ax, heading(first.configuration), subtitle(study, first.configuration, count))
    ax.grid(axis="x", color=PALE, lw=0.6)
    return ax


def _accuracy_row(ax: Axes, place: int, row: AccuracyNumbers) -> None:
    style = look(row.configuration)
    low, high = row.share.interval
    ax.plot(
        [100 * low, 100 * high], [place, place], color=style.color, lw=2, solid_capstyle="butt",
        zorder=2,
    )  # fmt: skip
    for end in (low, high):
        ax.plot([100 * end] * 2, [place - 0.14, place + 0.14], color=style.color, lw=1.2, zorder=2)
    ax.plot(100 * row.share.value, place, zorder=3, **style.mark(6.5))
    words = f"{100 * row.share.value:.2f} % ({row.share.hits} of {row.share.count})"
    _beside(ax, place, words, 9)


def _percent_limits(rows: list[AccuracyNumbers]) -> tuple[float, float]:
    """A window around all intervals, never narrower than four points of a percent."""
    low = 100 * min(row.share.interval[0] for row in rows)
    high = 100 * max(row.share.interval[1] for row in rows)
    margin = max(0.08 * (high - low), (4 - (high - low)) / 2, 0.2)
    return max(0.0, low - margin), min(100.4, high + margin)
