"""What a threshold does to a partition, drawn before anything is built."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from workbench.partitioning import CurvePoint, Recommendation
from workbench.plot.style import (
    GREY,
    INK,
    PALE,
    digits,
    new_figure,
    plain_frame,
    small_print,
    title,
)
from workbench.text import shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LINE, _MARK = "#0072B2", "#D55E00"
_MANY = 40
"""From this threshold on the axis is logarithmic."""


@dataclass(frozen=True, slots=True)
class CurveNumbers:
    """The steps of a threshold curve, in parallel tuples; each holds up to the next threshold."""

    thresholds: tuple[int, ...]
    engines: tuple[int, ...]
    coverage: tuple[float, ...]
    """Share of the nodes that are in engines, or their number if the total was not given."""
    boundary_bytes: tuple[int, ...]
    end: int
    """Where the drawing ends: a little beyond the last step."""


def curve_numbers(points: Sequence[CurvePoint], nodes: int | None = None) -> CurveNumbers:
    """The numbers of `threshold_curve`.

    Raises:
        ValueError: no points.
    """
    if not points:
        raise ValueError("a curve needs at least one point; give Plan.curve()")
    last = points[-1].min_subgraph_size
    return CurveNumbers(
        tuple(point.min_subgraph_size for point in points),
        tuple(point.totals.engines for point in points),
        tuple(point.totals.nodes / nodes if nodes else point.totals.nodes for point in points),
        tuple(point.totals.boundary_bytes for point in points),
        last + max(1, round(0.08 * last)),
    )


def threshold_curve(
    points: Sequence[CurvePoint],
    recommended: Recommendation | None = None,
    *,
    nodes: int | None = None,
    name: str = "",
    ax: Sequence[Axes] | None = None,
) -> tuple[Axes, Axes, Axes]:
    """Engines, nodes in engines and boundary bytes against the threshold, one above the other.

    Args:
        points: `Plan.curve()`.
        recommended: `Plan.recommended()`; marked in all three, with its threshold.
        nodes: operator nodes of the network; then coverage is in percent.
        name: which network, for the title.
        ax: three axes to draw in, from the top; a new figure if None.

    Raises:
        ValueError: no points, or not three axes.
    """
    found = curve_numbers(points, nodes)
    axes = tuple(ax) if ax is not None else _own_axes(recommended)
    if len(axes) != 3:
        raise ValueError(f"{len(axes)} axes; a threshold curve needs three")
    nbytes, unit = _bytes(found.boundary_bytes)
    share = 100.0 if nodes else 1.0
    words = "nodes in\nengines (%)" if nodes else "nodes in\nengines"
    _steps(axes[0], found, found.engines, "engines", recommended)
    _steps(axes[1], found, [share * value for value in found.coverage], words, recommended)
    _steps(axes[2], found, nbytes, f"boundary\n({unit})", recommended)
    axes[2].set_xlabel("min_subgraph_size: smallest number of nodes worth an engine", size=8)
    beneath = f"recommended threshold: {recommended.min_subgraph_size}" if recommended else ""
    title(axes[0], f"Partition of {shown(name, 50)}" if name else "Partition", beneath)
    return axes[0], axes[1], axes[2]


def _own_axes(recommended: Recommendation | None) -> tuple[Axes, ...]:
    """Three axes of a new figure, with the reason of the recommendation at its foot."""
    figure = new_figure(7, 4.8)
    if recommended:
        small_print(figure, f"{recommended.min_subgraph_size} is recommended: {recommended.reason}")
    return tuple(figure.subplots(3, 1, sharex=True))


def _steps(
    ax: Axes,
    found: CurveNumbers,
    values: Sequence[float],
    words: str,
    recommended: Recommendation | None,
) -> None:
    from matplotlib.ticker import MaxNLocator

    plain_frame(ax)
    ax.plot(
        [*found.thresholds, found.end], [*values, values[-1]], color=_LINE, lw=1.8,
        drawstyle="steps-post",
    )  # fmt: skip
    ax.plot(found.thresholds, values, ls="", marker="o", ms=4, color=_LINE)
    ax.set_ylabel(words, size=8)
    ax.set_ylim(0, max(*values, 1e-9) * 1.22)
    ax.grid(color=PALE, lw=0.6)
    ax.set_xlim(0.9, found.end)
    if found.end > _MANY:
        ax.set_xscale("log")
        ax.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    else:
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    if recommended:
        _mark(ax, found, values, recommended.min_subgraph_size)


def _mark(ax: Axes, found: CurveNumbers, values: Sequence[float], threshold: int) -> None:
    value = [v for t, v in zip(found.thresholds, values, strict=True) if t <= threshold][-1]
    ax.axvline(threshold, color=GREY, lw=0.8, ls=(0, (4, 3)), zorder=1)
    ax.plot(threshold, value, marker="D", ms=7, mfc=_MARK, mec=INK, mew=0.8, zorder=4)
    words = f"{value:,.0f}" if float(value).is_integer() else digits(value)
    ax.annotate(
        words, (threshold, value), (8, 6), textcoords="offset points", fontsize=8, color=INK
    )


def _bytes(values: Sequence[int]) -> tuple[list[float], str]:
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if max(values) >= size:
            return [value / size for value in values], unit
    return [float(value) for value in values], "bytes"
