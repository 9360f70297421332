"""The roofline plot (Williams, Waterman and Patterson, 2009): each layer against its bound."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from workbench.graph import Graph
from workbench.measure import Roofs
from workbench.model import Model
from workbench.plot.intensity import KINDS, OTHER, RooflineNumbers, roofline_numbers
from workbench.plot.numbering import numbered
from workbench.plot.style import (
    GREY,
    INK,
    KIND_LOOKS,
    PALE,
    digits,
    new_figure,
    nothing,
    plain_frame,
    small_print,
    title,
    unit_of,
)
from workbench.text import plural, shown

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

_NAMED = 6
"""Layers that are numbered and listed, the slowest."""
_GIGA = 1e9
_LABEL = 4.5
"""The words on a slope reach so many times as far to the right as they begin."""


def roofline(
    layers: Graph,
    times: Mapping[str, float],
    model: Model,
    roofs: Roofs,
    *,
    name: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Every layer by its operations a byte and the operations a second it reached, with the bounds.

    The area of a mark grows with the layer's share of the time; colour and form say what kind it
    is. The slowest are numbered. Beneath stand where the roofs come from and what is not drawn.

    Args:
        layers: `Engine.layers()`.
        times: layer -> seconds in one run, as `Session.profile` gives.
        model: the network the engine was built from, at the shapes it was run with.
        roofs: `measure.roofs`, of the same backend and threads.
        name: which configuration, for the title.
        ax: where to draw; a new figure if None, which has the remarks at its foot.
    """
    rows = roofline_numbers(layers, times, model, roofs)
    drawn = [row for row in rows if row.drawn]
    figure = new_figure(8.6, 5) if ax is None else None
    if figure is not None:
        ax = figure.add_subplot()
    assert ax is not None
    plain_frame(ax)
    if not drawn:
        return nothing(ax, "no layer has both a time and a known amount of work")
    _axes(ax, drawn, roofs)
    _bounds(ax, drawn, roofs)
    for row in reversed(drawn):
        color, marker = KIND_LOOKS[row.kind]
        ax.scatter(
            row.intensity, row.rate / _GIGA, s=_area(row), color=color, marker=marker,
            edgecolors=INK, linewidths=0.7, alpha=0.9, zorder=3,
        )  # fmt: skip
    words = f"Roofline of {shown(name, 60)}" if name else "Roofline"
    title(ax, words, "area: share of the time; the higher, the better used")
    _legends(ax, drawn, roofs)
    if figure is not None:
        small_print(figure, " ".join(_remarks(rows, drawn, roofs)))
        figure.draw_without_rendering()  # Numbers keep apart only where the axes really are.
    _numbers(ax, drawn)
    return ax


def _area(row: RooflineNumbers) -> float:
    return 22 + 1100 * row.share


def _axes(ax: Axes, drawn: Sequence[RooflineNumbers], roofs: Roofs) -> None:
    tops = [_known(roofs, row.precision) for row in drawn]
    knee = max(tops) / roofs.bandwidth
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlim(
        min(row.intensity for row in drawn) / 2.5,
        max(*(row.intensity for row in drawn), knee) * 14,
    )
    ax.set_ylim(
        min(row.rate for row in drawn) / _GIGA / 2.5,
        max(*(row.rate for row in drawn), *tops) / _GIGA * 2.5,
    )
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter(lambda value, _: f"{value:g}")
    ax.set_xlabel("operations for each byte the layer moves (FLOP/byte)", size=8)
    ax.set_ylabel("operations reached (GFLOP/s)", size=8)
    ax.grid(color=PALE, lw=0.6)


def _known(roofs: Roofs, precision: str) -> float:
    return roofs.top(precision) or max(roofs.flops.values())


def _bounds(ax: Axes, drawn: Sequence[RooflineNumbers], roofs: Roofs) -> None:
    """A roof for each precision that layers compute in; slopes of memory and cache."""
    present = {top for row in drawn if (top := roofs.top(row.precision))}
    shown_roofs = {name: top for name, top in roofs.flops.items() if top in present} or roofs.flops
    highest = max(shown_roofs.values())
    right = ax.get_xlim()[1]
    for number, (name, top) in enumerate(sorted(shown_roofs.items(), key=lambda item: -item[1])):
        knee = top / roofs.bandwidth
        style = "-" if number == 0 else (0, (6, 2))
        ax.plot([knee, right], [top / _GIGA] * 2, color=INK, lw=1.5, ls=style, zorder=2)
        ax.annotate(
            f"{name} {digits(top / _GIGA)} GFLOP/s", (right, top / _GIGA), (-3, 3), ha="right",
            textcoords="offset points", fontsize=7.5, color=INK, parse_math=False, zorder=4,
        )  # fmt: skip
    _slope(ax, drawn, roofs.bandwidth, highest, "memory", INK, "-")
    if roofs.cached and roofs.cached > roofs.bandwidth:
        _slope(ax, drawn, roofs.cached, highest, "cache", GREY, (0, (1, 1.5)))


def _slope(
    ax: Axes, drawn: Sequence[RooflineNumbers], rate: float, top: float, words: str, color: str,
    style: Any,
) -> None:  # fmt: skip
    """Where bytes a second are the bound, from the left edge up to the highest roof."""
    left, knee = ax.get_xlim()[0], top / rate
    ax.plot(
        [left, knee], [left * rate / _GIGA, top / _GIGA], color=color, lw=1.5, ls=style, zorder=2
    )
    low = max(left, ax.get_ylim()[0] * _GIGA / rate) * 1.25
    places = [low * 1.4**step for step in range(12) if low * 1.4**step * _LABEL < knee] or [low]
    x = next((place for place in places if not _covers(place, rate, drawn)), places[0])
    ax.text(
        x, x * rate / _GIGA, f"{words} {digits(rate / _GIGA)} GB/s", fontsize=7.5, color=INK,
        rotation=math.degrees(math.atan(rate / _GIGA)), rotation_mode="anchor", va="bottom",
        transform_rotates_text=True, zorder=4, clip_on=True,
    )  # fmt: skip


def _covers(place: float, rate: float, drawn: Sequence[RooflineNumbers]) -> bool:
    """Whether the words on a slope would stand on a mark, if they began at this intensity."""
    return any(
        place / 1.2 < row.intensity < place * _LABEL
        and 0.7 < row.rate / (row.intensity * rate) < 2.2
        for row in drawn
    )


def _numbers(ax: Axes, drawn: Sequence[RooflineNumbers]) -> None:
    places = [(row.intensity, row.rate / _GIGA) for row in drawn]
    radii = [math.sqrt(_area(row) / math.pi) for row in drawn]
    numbered(ax, places[:_NAMED], among=places[_NAMED:], radii=radii)


def _legends(ax: Axes, drawn: Sequence[RooflineNumbers], roofs: Roofs) -> None:
    """The kinds that are there, and beneath them the slowest layers."""
    kinds = [kind for kind in (*KINDS, OTHER) if any(row.kind == kind for row in drawn)]
    first = _legend(ax, [_mark(kind) for kind in kinds], kinds, 1.03)
    ax.add_artist(first)
    words = []
    for number, row in enumerate(drawn[:_NAMED], start=1):
        unit, factor = unit_of(row.seconds)
        words.append(
            f"{number}  {shown(row.label, 34)}\n{digits(row.seconds * factor)} {unit}, "
            f"{100 * row.share:.0f} % of time{_use(row, roofs)}"
        )
    _legend(ax, [_mark(row.kind) for row in drawn[:_NAMED]], words, 1 - 0.05 * len(kinds))


def _use(row: RooflineNumbers, roofs: Roofs) -> str:
    top = roofs.top(row.precision)
    if row.ceiling is None or top is None:
        return ""
    if row.rate <= row.ceiling:
        share = 100 * row.rate / row.ceiling
        return f", {f'{share:.0f}' if share >= 1 else 'under 1'} % of its roof"
    return ", at its roof" if row.ceiling == top else ", above memory's slope"


def _mark(kind: str) -> Artist:
    from matplotlib.lines import Line2D

    color, marker = KIND_LOOKS[kind]
    return Line2D([], [], ls="", marker=marker, ms=6, mfc=color, mec=INK, mew=0.7)


def _legend(ax: Axes, marks: Sequence[Artist], words: Sequence[str], top: float) -> Artist:
    box = ax.legend(
        list(marks), list(words), loc="upper left", bbox_to_anchor=(1.01, top), frameon=False,
        fontsize=7.5, handletextpad=0.2, labelspacing=0.6,
    )  # fmt: skip
    for text in box.get_texts():
        text.set_parse_math(False)
    return box


def _remarks(
    rows: Sequence[RooflineNumbers], drawn: Sequence[RooflineNumbers], roofs: Roofs
) -> list[str]:
    """Where the roofs come from, and what has no place in the plot."""
    found = [f"Roofs {roofs.source}."]
    if any(_use(row, roofs).endswith("slope") for row in drawn):
        found.append("Above the slope of memory: data came from a cache.")
    idle = [row for row in rows if not row.drawn and row.flops == 0]
    unknown = [row for row in rows if not row.drawn and row.flops != 0]
    for words, left_out in (("without arithmetic", idle), ("of unknown size or work", unknown)):
        if left_out:
            share = 100 * sum(row.share for row in left_out)
            count = plural(len(left_out), "layer")
            found.append(f"Not drawn: {count} {words}, {share:.1f} % of the time.")
    return [*found, "Times are of one run with timing switched on."]
