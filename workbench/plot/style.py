"""Colours, marks and words that are the same in every figure.

Okabe and Ito's palette (Color Universal Design, 2008), told apart by every kind of colour vision;
each backend has a mark of its own too, so the figures read in grey.
"""

from __future__ import annotations

import textwrap
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from workbench.study import Configuration, Study
from workbench.text import plural, shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, GREY, PALE = "#1a1a1a", "#6b6b6b", "#e4e4e4"

_BACKENDS = {
    "onnxruntime": ("#0072B2", "o"),
    "openvino": ("#D55E00", "s"),
    "tensorrt": ("#009E73", "^"),
    "reference": ("#000000", "D"),
}
_OTHERS = (("#CC79A7", "v"), ("#56B4E9", "P"), ("#E69F00", "X"), ("#F0E442", "p"))

KIND_LOOKS = {
    "convolution": ("#56B4E9", "h"),
    "matrix product": ("#E69F00", "X"),
    "pooling": ("#CC79A7", "v"),
    "normalization": ("#F0E442", "P"),
    "other": ("#BDBDBD", "d"),
}
"""Colour and mark of kinds of layers: the palette's colours that no backend of ours has."""


@dataclass(frozen=True, slots=True)
class Look:
    """How a configuration is drawn."""

    color: str
    marker: str
    face: str
    """Fill of the mark: white for a whole network without a partition, else the colour."""
    edge: str
    """Outline of the mark."""

    def mark(self, size: float) -> dict[str, Any]:
        """Arguments of a line that draw the mark."""
        return {
            "marker": self.marker, "markersize": size, "markerfacecolor": self.face,
            "markeredgecolor": self.edge, "markeredgewidth": 1.6 if self.face == "white" else 0.8,
        }  # fmt: skip


def look(one: Configuration) -> Look:
    """The look of a configuration: by its backend, hollow where there is no partition."""
    color, marker = backend_look(one.backend)
    return Look(color, marker, *(("white", color) if one.whole else (color, INK)))


def backend_look(backend: str) -> tuple[str, str]:
    """Colour and mark of a backend, the same in every figure and every session."""
    if backend in _BACKENDS:
        return _BACKENDS[backend]
    return _OTHERS[zlib.crc32(backend.encode()) % len(_OTHERS)]


def new_figure(width: float, height: float) -> Figure:
    """A figure of this size in inches that is not known to pyplot."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained", dpi=120)


def plain_frame(ax: Axes) -> None:
    """Take away the lines that say nothing."""
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        ax.spines[side].set_color(GREY)
    ax.tick_params(colors=INK, labelsize=8, length=3)
    ax.set_axisbelow(True)


def nothing(ax: Axes, words: str) -> Axes:
    """Axes that only say why there is nothing to draw."""
    ax.set_axis_off()
    ax.text(0.5, 0.5, words, ha="center", va="center", color=GREY, transform=ax.transAxes)
    return ax


def title(ax: Axes, text: str, beneath: str = "") -> None:
    """A title on the left and a line in grey beneath it, both as plain text."""
    ax.set_title(
        text, loc="left", fontsize=10, fontweight="bold", color=INK, pad=19 if beneath else 6,
        parse_math=False,
    )  # fmt: skip
    if beneath:
        ax.annotate(
            beneath, (0, 1), (0, 5), xycoords="axes fraction", textcoords="offset points",
            fontsize=8, color=GREY, parse_math=False,
        )  # fmt: skip


def row_labels(ax: Axes, labels: list[str]) -> None:
    """Names of rows from the top down, as plain text."""
    places = range(len(labels))
    ax.set_yticks(places, [shown(label, 40) for label in labels], parse_math=False)
    ax.set_ylim(len(labels) - 0.4, -0.6)
    ax.tick_params(axis="y", length=0)


def subtitle(study: Study, one: Configuration, *parts: str) -> str:
    """Network's weights and what the plot adds."""
    weights = [] if one.weights == "unknown" else [f"{one.weights} weights"]
    return ", ".join([*weights, *parts])


def heading(one: Configuration) -> str:
    """Network and batch."""
    return f"{shown(one.model, 40)}, batch {one.batch}"


def footnote(figure: Figure, study: Study, *remarks: str) -> None:
    """What measured the numbers, small, at the foot of a figure."""
    measured = dict.fromkeys(c.measured_by for c in study.configurations if not c.failed)
    machine = study.environment
    threads = f", {plural(machine.threads, 'thread')} a network" if machine.threads else ""
    text = " ".join(
        [*remarks, f"Measured by {'; '.join(measured)}.", f"{machine.processor}, "
         f"{plural(machine.usable_cores, 'core')}{threads}, {machine.date[:10]}."]
    )  # fmt: skip
    small_print(figure, text)


def small_print(figure: Figure, text: str) -> None:
    """Words at the foot of a figure, wrapped to its width."""
    room = int(figure.get_figwidth() * 18)
    figure.supxlabel(
        "\n".join(textwrap.wrap(shown(text, 2000), room)),
        x=0.01, ha="left", fontsize=6.5, color=GREY, parse_math=False,
    )  # fmt: skip


def unit_of(seconds: float) -> tuple[str, float]:
    """The unit a time reads best in, and the factor to it."""
    for unit, factor in (("s", 1.0), ("ms", 1e3)):
        if seconds * factor >= 1:
            return unit, factor
    return ("ms", 1e3) if seconds >= 1e-4 else ("µs", 1e6)


def digits(value: float, significant: int = 3) -> str:
    """A number with this many significant digits and no exponent."""
    import math

    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    places = significant - 1 - math.floor(math.log10(abs(value)))
    return f"{round(value, places):,.{max(0, places)}f}"
