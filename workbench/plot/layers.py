"""Where the time of one run goes: layers by time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from workbench.graph import Graph, Node
from workbench.plot.style import (
    GREY,
    INK,
    PALE,
    backend_look,
    digits,
    new_figure,
    nothing,
    plain_frame,
    row_labels,
    title,
    unit_of,
)
from workbench.text import plural, shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST = 20
"""Rows of the plot; the other layers are one row together."""


@dataclass(frozen=True, slots=True)
class LayerNumbers:
    """One row of a plot of layers."""

    name: str
    backend: str
    """What runs it; empty for the row of all others."""
    part: str
    """Part of a hybrid it is in, e.g. ``engine 0``; empty outside hybrids."""
    seconds: float
    share: float
    """Of the time of all layers."""
    label: str = ""
    """The user's name for it: the first of the nodes it stands for and how many more; its own name
    where it stands for none."""


def layer_numbers(
    layers: Graph, times: Mapping[str, float], *, most: int = MOST
) -> list[LayerNumbers]:
    """The layers that take longest, longest first, and what the others take together.

    Args:
        layers: `Engine.layers()`.
        times: layer -> seconds in one run, as `Session.profile` gives.
        most: rows at most, that of the others not counted.
    """
    total = sum(times.values()) or 1.0
    known = [node for node in layers.nodes if node.name in times]
    known.sort(key=lambda node: -times[node.name])
    rows = [
        LayerNumbers(
            node.name,
            str(node.attributes.get("backend", "")),
            str(node.attributes.get("part", "")),
            times[node.name],
            times[node.name] / total,
            label_of(node),
        )
        for node in known[:most]
    ]
    rest = sum(times[node.name] for node in known[most:])
    if len(known) > most:
        words = plural(len(known) - most, "other layer")
        rows.append(LayerNumbers(words, "", "", rest, rest / total, words))
    return rows


def label_of(node: Node) -> str:
    """The user's name for a layer, as `LayerNumbers.label` says."""
    if not node.origin or node.name in node.origin:
        return node.name
    more = len(node.origin) - 1
    return f"{node.origin[0]} +{more}" if more else node.origin[0]


def layer_times(
    layers: Graph,
    times: Mapping[str, float],
    *,
    most: int = MOST,
    name: str = "",
    ax: Axes | None = None,
) -> Axes:
    """A bar for each of the layers that take longest, in the colour of what runs it.

    Args:
        layers: `Engine.layers()`.
        times: layer -> seconds in one run.
        most: rows at most.
        name: which configuration, for the title.
        ax: where to draw; a new figure if None.
    """
    rows = layer_numbers(layers, times, most=most)
    ax = ax or new_figure(8, 1.3 + 0.24 * max(len(rows), 3)).add_subplot()
    plain_frame(ax)
    if not rows:
        return nothing(ax, "the backends do not tell the times of their layers")
    unit, factor = unit_of(rows[0].seconds)
    for place, row in enumerate(rows):
        colour = backend_look(row.backend)[0] if row.backend else GREY
        hatch = "////" if row.part.startswith("native") else None
        ax.barh(
            place, row.seconds * factor, height=0.68, color=colour, edgecolor="white", hatch=hatch
        )
        own, scale = unit_of(row.seconds)
        words = f"{digits(row.seconds * scale)} {own}, {100 * row.share:.1f} %"
        ax.annotate(
            f"{words}  {row.part}", (row.seconds * factor, place), (4, 0), color=INK,
            textcoords="offset points", va="center", fontsize=7, parse_math=False,
        )  # fmt: skip
    row_labels(ax, [row.label for row in rows])
    ax.set_xlim(0, rows[0].seconds * factor * 1.35)
    ax.set_xlabel(f"time in one run ({unit}), taken with timing switched on", size=8)
    ax.grid(axis="x", color=PALE, lw=0.6)
    title(
        ax,
        f"Layers of {shown(name, 60)}" if name else "Layers",
        "+n: and n more nodes; hatched: outside engines",
    )
    return ax
