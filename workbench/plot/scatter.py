"""The trade-off of latency and quality."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench.measure import Clock
from workbench.plot.numbering import numbered
from workbench.plot.numbers import Quality, TradeoffNumbers, tradeoff_numbers
from workbench.plot.rows import own_axes
from workbench.plot.style import (
    GREY,
    PALE,
    digits,
    heading,
    look,
    nothing,
    plain_frame,
    subtitle,
    title,
    unit_of,
)
from workbench.study import Study
from workbench.text import shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def tradeoff(
    study: Study,
    model: str | None = None,
    batch: int | None = None,
    *,
    quality: Quality | None = None,
    clock: Clock = "wall",
    ax: Axes | None = None,
) -> Axes:
    """Latency against accuracy, or against SNR where there are no labels; up and left is better.

    The frontier joins the configurations that no other one beats in both. Points are numbered, the
    list beside the plot names them.

    Args:
        study: where the samples are.
        model: which network; the first one if None.
        batch: which batch; the network's smallest if None.
        quality: ``top1`` or ``snr``; None takes the first of them there is.
        clock: wall time or processor time.
        ax: where to draw; a new figure if None.

    Raises:
        StudyError: no such network or batch.
    """
    points: list[TradeoffNumbers] = []
    for kind in (quality,) if quality else ("top1", "snr"):
        quality = kind
        points = points or tradeoff_numbers(study, model, batch, kind, clock)
        if points:
            break
    ax = ax or own_axes(study, max(8, len(points)))
    plain_frame(ax)
    if not points:
        return nothing(ax, "nothing to compare")
    unit, factor = unit_of(min(point.seconds for point in points))
    scale = 100.0 if quality == "top1" else 1.0
    for point in points:
        _point(ax, point, factor, scale)
    _frontier(ax, points, factor, scale)
    _limits(ax, points, factor, scale, quality or "top1")
    _names(ax, points, factor, scale, unit)
    ax.set_xlabel(f"latency of a run ({unit}), median with 95 % interval", size=8)
    words = (
        "top-1 accuracy (%), 95 % interval" if quality == "top1" else "SNR against reference (dB)"
    )
    ax.set_ylabel(words, size=8)
    first = points[0].configuration
    words = "up and left is better"
    if sum(point.frontier for point in points) > 1:
        words += "; line: frontier"
    title(ax, heading(first), subtitle(study, first, words))
    ax.grid(color=PALE, lw=0.6)
    return ax


def _point(ax: Axes, point: TradeoffNumbers, factor: float, scale: float) -> None:
    style = look(point.configuration)
    x, y = point.seconds * factor, point.quality * scale
    ax.plot(
        [point.seconds_low * factor, point.seconds_high * factor], [y, y], color=style.color, lw=1.2
    )
    ax.plot(
        [x, x], [point.quality_low * scale, point.quality_high * scale], color=style.color, lw=0.8,
        alpha=0.55,
    )  # fmt: skip
    ax.plot(x, y, zorder=4, **style.mark(7.5))


def _frontier(ax: Axes, points: list[TradeoffNumbers], factor: float, scale: float) -> None:
    best = sorted((p.seconds * factor, p.quality * scale) for p in points if p.frontier)
    ax.plot(
        [x for x, _ in best], [y for _, y in best], color=GREY, lw=1, ls=(0, (4, 3)),
        drawstyle="steps-post", zorder=1,
    )  # fmt: skip


def _limits(
    ax: Axes, points: list[TradeoffNumbers], factor: float, scale: float, quality: str
) -> None:
    first = min(p.seconds_low for p in points) * factor
    last = max(p.seconds_high for p in points) * factor
    room = 0.08 * max(last - first, 0.25 * last)
    ax.set_xlim(max(0.0, first - room), last + room)
    low = min(p.quality_low for p in points) * scale
    high = max(p.quality_high for p in points) * scale
    margin = max(0.12 * (high - low), 0.5)
    top = high + margin
    if quality == "top1":
        # There is no more than 100 %, but the number above a point needs room.
        top = max(min(top, 100.6), high + 0.07 * (high - low))
    ax.set_ylim(low - margin, top)
    if quality == "top1":
        ax.set_yticks([tick for tick in ax.get_yticks() if low - margin <= tick <= min(top, 100)])


def _names(ax: Axes, points: list[TradeoffNumbers], factor: float, scale: float, unit: str) -> None:
    """Numbers beside the points, kept apart, and the list that says what they mean."""
    numbered(ax, [(p.seconds * factor, p.quality * scale) for p in points])
    _listed(ax, points, factor, unit)


def _listed(ax: Axes, points: list[TradeoffNumbers], factor: float, unit: str) -> None:
    from matplotlib.lines import Line2D

    marks, words = [], []
    for number, point in enumerate(points, start=1):
        style = look(point.configuration)
        marks.append(Line2D([], [], ls="", **style.mark(6)))
        words.append(f"{number}  {shown(point.label, 40)}, {digits(point.seconds * factor)} {unit}")
    box = ax.legend(
        marks, words, loc="upper left", bbox_to_anchor=(1.01, 1.02), frameon=False, fontsize=8,
        handletextpad=0.2, labelspacing=0.5,
    )  # fmt: skip
    for text in box.get_texts():
        text.set_parse_math(False)
