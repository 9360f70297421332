"""The shapes of a sheet drawn by matplotlib: PNG, and PDF with real text."""

from __future__ import annotations

import math
import warnings
from pathlib import Path as File
from typing import TYPE_CHECKING

from workbench.widgets.export_sheet import Curve, Label, Rect, Sheet

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_DPI = 144
_LONGEST = 30_000
"""Pixels of the longest side of a PNG; larger ones are made with fewer dots an inch."""

_PIXELS = 100_000_000
"""Of a PNG at most: half a gigabyte while it is drawn."""


def write_figure(sheet: Sheet, path: File) -> None:
    """Write a sheet as PNG (two pixels a pixel at 100 %) or PDF, by the ending of the name."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(sheet.width / 72, sheet.height / 72), facecolor=sheet.ground)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(0, sheet.width)
    axes.set_ylim(sheet.height, 0)
    axes.axis("off")
    for order, shape in enumerate(sheet.shapes):
        if isinstance(shape, Rect):
            _rect(axes, shape, order)
        elif isinstance(shape, Label):
            _label(axes, shape, order)
        else:
            _curve(axes, shape, order)
    dots = min(
        _DPI,
        _LONGEST * 72 / max(sheet.width, sheet.height),
        72 * math.sqrt(_PIXELS / (sheet.width * sheet.height)),
    )
    with warnings.catch_warnings():
        # A name may hold characters the font lacks; they become boxes, which is all one can do.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure.savefig(path, dpi=dots, facecolor=sheet.ground)


def _rect(axes: Axes, shape: Rect, order: int) -> None:
    from matplotlib.patches import FancyBboxPatch

    radius = min(shape.radius, shape.w / 2, shape.h / 2)
    axes.add_patch(
        FancyBboxPatch(
            (shape.x, shape.y),
            shape.w,
            shape.h,
            boxstyle=f"round,pad=0,rounding_size={radius}",
            facecolor=shape.fill or "none",
            edgecolor=shape.line or "none",
            linewidth=shape.weight if shape.line else 0,
            linestyle=(0, (3, 2)) if shape.dashed else "-",
            zorder=order,
        )
    )


def _label(axes: Axes, shape: Label, order: int) -> None:
    axes.text(
        shape.x, shape.y, shape.text, fontsize=shape.size * 0.9, color=shape.ink,
        ha="center" if shape.middle else "left", va="baseline", zorder=order,
        fontweight="bold" if shape.bold else "normal", parse_math=False,
        family="DejaVu Sans",
    )  # fmt: skip


def _curve(axes: Axes, shape: Curve, order: int) -> None:
    from matplotlib.patches import PathPatch, Rectangle
    from matplotlib.path import Path

    if not shape.route:
        return
    codes = [Path.MOVETO, *[Path.CURVE4] * (len(shape.route) - 1)]
    patch = PathPatch(
        Path(list(shape.route), codes), fill=False, edgecolor=shape.line, linewidth=shape.weight,
        zorder=order, capstyle="butt",
    )  # fmt: skip
    axes.add_patch(patch)
    if shape.clip is None:
        return
    x, y, w, h = shape.clip
    patch.set_clip_path(Rectangle((x, y), w, h, transform=axes.transData))
