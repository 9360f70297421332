"""Where a tensor's values lie and where they are clipped; how clips settle with samples."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from workbench.calibrate import CalibrationTable, Convergence, Histograms
from workbench.plot.style import GREY, INK, PALE, digits, new_figure, plain_frame, title
from workbench.text import plural, shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_FILL, _LOST = "#56B4E9", "#D55E00"
_LINES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#E69F00")
_DASHES = ((0, ()), (0, (6, 2)), (0, (2, 1.5)), (0, (6, 2, 1.5, 2)), (0, (1, 1)), (0, (9, 3)))
_MOST_BARS = 128


@dataclass(frozen=True, slots=True)
class ClipNumbers:
    """The numbers of `clips`: a histogram in as many bars as can be seen, and the clips in it."""

    tensor: str
    edges: tuple[float, ...]
    """Ends of the bars, one more than bars, in the tensor's unit."""
    shares: tuple[float, ...]
    """Share of the values in each bar, those that are exactly zero left out, which are `zeros`."""
    zeros: float
    """Share of values that are exactly zero."""
    clips: Mapping[str, float]
    """Method or label -> largest magnitude kept."""
    saturation: Mapping[str, float]
    """Method or label -> share of the values beyond."""


def clip_numbers(
    histograms: Histograms, tensor: str, tables: Sequence[CalibrationTable] | None = None
) -> ClipNumbers:
    """The numbers of `clips`.

    Raises:
        DataError: no histogram of the tensor, or a table without it.
        ValueError: the histogram was collected without bins, or is of zeros alone.
    """
    one = histograms[tensor]
    if not one.bins or one.amax == 0:
        reason = "is always zero" if one.bins else "was collected without bins"
        raise ValueError(f"tensor {shown(tensor)} {reason}; there is nothing to draw")
    counts = one.counts.astype(np.float64)
    counts[0] -= one.zeros
    join = math.ceil(len(counts) / _MOST_BARS)
    starts = np.arange(0, len(counts), join)
    edges = np.append(starts, len(counts)) * one.width
    if tables is None:
        tables = [
            histograms.only([tensor]).table(method)
            for method in ("minmax", "percentile", "entropy")
        ]
    clips: dict[str, float] = {}
    for table in tables:
        name, number = table.method, 2
        while name in clips:
            name, number = f"{table.method} {number}", number + 1
        clips[name] = table[tensor].amax
    return ClipNumbers(
        tensor, tuple(edges.tolist()),
        tuple((np.add.reduceat(counts, starts) / one.total).tolist()), one.zeros / one.total, clips,
        {name: one.share_beyond(clip) for name, clip in clips.items()},
    )  # fmt: skip


def clips(
    histograms: Histograms,
    tensor: str,
    tables: Sequence[CalibrationTable] | None = None,
    *,
    ax: Axes | None = None,
) -> Axes:
    """A tensor's magnitudes as a histogram, and a line where each table clips them.

    Shares are on a logarithmic axis, because tails decide. Bars beyond every clip are in another
    colour.

    Args:
        histograms: of `calibrate.collect`.
        tensor: which one.
        tables: whose clips to draw; by default those of minmax, percentile and entropy.
        ax: where to draw; a new figure if None.

    Raises:
        DataError: no histogram of the tensor, or a table without it.
        ValueError: as `clip_numbers`.
    """
    found = clip_numbers(histograms, tensor, tables)
    if ax is None:
        ax = new_figure(7, 3.4).add_subplot()
    edges, shares = np.array(found.edges), np.array(found.shares)
    last = max(found.clips.values(), default=edges[-1])
    lost = edges[:-1] >= min(last, edges[-1])
    floor = shares[shares > 0].min(initial=1.0) / 2
    colors = [_LOST if beyond else _FILL for beyond in lost]
    ax.bar(edges[:-1], shares, np.diff(edges), align="edge", color=colors, linewidth=0)
    plain_frame(ax)
    ax.set_yscale("log")
    ax.set_ylim(floor, 3 * shares.max())
    ax.set_xlim(0, max(edges[-1], last * 1.02))
    for i, (name, clip) in enumerate(found.clips.items()):
        style = i % len(_LINES)
        lost_text = f"{100 * found.saturation[name]:.2g} % beyond"
        ax.axvline(
            clip, color=_LINES[style], lw=1.6, ls=_DASHES[style],
            label=f"{shown(name, 30)}: {digits(clip)}, {lost_text}",
        )  # fmt: skip
    ax.legend(
        loc="upper right", fontsize=8, frameon=True, facecolor="white", edgecolor=PALE, framealpha=1
    )
    ax.set_xlabel("magnitude", size=8)
    ax.set_ylabel("share of the values", size=8)
    zeros = f", {100 * found.zeros:.0f} % exactly zero and not drawn" if found.zeros else ""
    title(ax, shown(tensor, 60), f"{plural(histograms[tensor].total, 'value')}{zeros}")
    return ax


@dataclass(frozen=True, slots=True)
class SettlingNumbers:
    """The numbers of `settling`, in parallel tuples for each method."""

    samples: tuple[int, ...]
    change: Mapping[str, tuple[float, ...]]
    """Method -> median change of the clips to the final ones, a share; the last is left out."""
    enough: Mapping[str, int | None]


def settling_numbers(found: Mapping[str, Convergence]) -> SettlingNumbers:
    """The numbers of `settling`.

    Raises:
        ValueError: no method, or fewer than two steps.
    """
    if not found or any(len(one.steps) < 2 for one in found.values()):
        raise ValueError("nothing to draw; give what calibrate.convergence gave for some samples")
    first = next(iter(found.values()))
    return SettlingNumbers(
        tuple(step.samples for step in first.steps[:-1]),
        {name: tuple(step.change for step in one.steps[:-1]) for name, one in found.items()},
        {name: one.enough for name, one in found.items()},
    )


def settling(found: Mapping[str, Convergence], *, ax: Axes | None = None) -> Axes:
    """How much clips still move, against the number of samples; a mark where they have settled.

    Raises:
        ValueError: as `settling_numbers`.
    """
    from matplotlib.ticker import FixedLocator, NullLocator

    numbers = settling_numbers(found)
    if ax is None:
        ax = new_figure(7, 3.4).add_subplot()
    plain_frame(ax)
    for i, (name, change) in enumerate(numbers.change.items()):
        style = i % len(_LINES)
        percent = [100 * value for value in change]
        ax.plot(
            numbers.samples, percent, color=_LINES[style], ls=_DASHES[style], lw=1.6,
            label=shown(name, 30),
        )  # fmt: skip
        enough = numbers.enough[name]
        if enough is not None:
            at = numbers.samples.index(enough)
            ax.plot(
                enough, percent[at], marker="o", ms=7, mfc=_LINES[style], mec=INK, mew=0.8, zorder=4
            )
    ax.set_xscale("log", base=2)
    ax.xaxis.set_major_locator(FixedLocator(list(numbers.samples)))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    ax.set_ylim(bottom=0)
    ax.grid(color=PALE, lw=0.6)
    ax.legend(loc="upper right", fontsize=8, frameon=False, labelcolor=INK)
    ax.set_xlabel("samples", size=8)
    ax.set_ylabel("change to the final clip,\nmedian of the tensors (%)", size=8, color=INK)
    first = next(iter(found.values()))
    last = first.steps[-1].samples
    title(ax, "How many samples are enough", f"final: {last} samples; marked: enough by the rule")
    ax.tick_params(colors=GREY, labelcolor=INK)
    return ax
