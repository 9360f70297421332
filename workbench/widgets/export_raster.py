"""The shapes of a sheet drawn by matplotlib: PNG, and PDF with real text.

One artist draws them all through the backend's renderer: an artist for each shape costs more time
than its drawing, which counts where a sheet has ten thousand boxes.
"""

from __future__ import annotations

import math
import warnings
from functools import cache
from pathlib import Path as File
from typing import TYPE_CHECKING, Any

from workbench.widgets.export_sheet import Clip, Curve, Heads, Label, Rect, Sheet

if TYPE_CHECKING:
    from matplotlib.font_manager import FontProperties
    from matplotlib.path import Path
    from matplotlib.transforms import Affine2D

_DPI = 144
_LONGEST = 30_000
"""Pixels of the longest side of a PNG; larger ones are made with fewer dots an inch."""
_PIXELS = 100_000_000
"""Of a PNG at most: half a gigabyte while it is drawn."""
_SMALLER = 0.9
"""DejaVu Sans is wider than what the layout counts with."""


def write_figure(sheet: Sheet, path: File) -> None:
    """Write a sheet as PNG (two pixels a pixel at 100 %) or PDF, by the ending of the name."""
    from matplotlib.artist import Artist
    from matplotlib.figure import Figure

    class Shapes(Artist):
        def draw(self, renderer: Any) -> None:
            _Pen(renderer, sheet, figure.dpi / 72).draw()

    figure = Figure(figsize=(sheet.width / 72, sheet.height / 72), facecolor=sheet.ground)
    figure.add_artist(Shapes())
    dots = min(
        _DPI,
        _LONGEST * 72 / max(sheet.width, sheet.height),
        72 * math.sqrt(_PIXELS / (sheet.width * sheet.height)),
    )
    with warnings.catch_warnings():
        # A name may hold characters the font lacks; they become boxes, which is all one can do.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure.savefig(path, dpi=dots, facecolor=sheet.ground)


class _Pen:
    """Draws shapes; sheets count from the upper left corner, renderers from the lower."""

    def __init__(self, renderer: Any, sheet: Sheet, scale: float) -> None:
        from matplotlib.transforms import Affine2D

        self.renderer, self.sheet, self.scale = renderer, sheet, scale
        self.way: Affine2D = Affine2D().scale(scale, -scale).translate(0, sheet.height * scale)

    def draw(self) -> None:
        """All shapes from back to front."""
        for shape in self.sheet.shapes:
            if isinstance(shape, Rect):
                self._rect(shape)
            elif isinstance(shape, Label):
                self._label(shape)
            elif isinstance(shape, Heads):
                self._heads(shape)
            elif shape.route:
                self._curve(shape)

    def _rect(self, shape: Rect) -> None:
        gc = self._gc(shape.line or shape.fill or "none", shape.weight if shape.line else 0)
        if shape.dashed:
            gc.set_dashes(0, [3 * self.scale, 2.4 * self.scale])
        fill = _color(shape.fill) if shape.fill else None
        self.renderer.draw_path(gc, _rounded(shape), self.way, fill)
        gc.restore()

    def _curve(self, shape: Curve) -> None:
        from matplotlib.path import Path

        gc = self._gc(shape.line, shape.weight, shape.clip)
        codes = [Path.MOVETO, *[Path.CURVE4] * (len(shape.route) - 1)]
        self.renderer.draw_path(gc, Path(list(shape.route), codes), self.way, None)
        gc.restore()

    def _heads(self, shape: Heads) -> None:
        from matplotlib.path import Path

        gc, fill = self._gc(shape.fill, 0), _color(shape.fill)
        for triangle in shape.triangles:
            corners = [*triangle, triangle[0]]
            self.renderer.draw_path(gc, Path(corners, closed=True), self.way, fill)
        gc.restore()

    def _label(self, shape: Label) -> None:
        gc, renderer = self._gc(shape.ink, 0), self.renderer
        font = _font(shape.size * _SMALLER, shape.bold)
        text = shape.text.replace("\n", " ")
        x, y = self.way.transform((shape.x, shape.y))
        if shape.middle:
            x -= renderer.get_text_width_height_descent(text, font, False)[0] / 2
        if renderer.flipy():
            y = self.sheet.height * self.scale - y
        renderer.draw_text(gc, x, y, text, font, 0)
        gc.restore()

    def _gc(self, color: str, weight: float, clip: Clip | None = None) -> Any:
        from matplotlib.transforms import Bbox, TransformedBbox

        gc = self.renderer.new_gc()
        gc.set_foreground(color)
        gc.set_linewidth(weight * self.scale)
        if clip:
            x, y, w, h = clip
            gc.set_clip_rectangle(TransformedBbox(Bbox.from_bounds(x, y, w, h), self.way))
        return gc


@cache
def _color(name: str) -> tuple[float, ...]:
    from matplotlib.colors import to_rgba

    return to_rgba(name)


@cache
def _font(size: float, bold: bool) -> FontProperties:
    from matplotlib.font_manager import FontProperties

    return FontProperties(family="DejaVu Sans", size=size, weight="bold" if bold else "normal")


def _rounded(shape: Rect) -> Path:
    from matplotlib.path import Path

    r = min(shape.radius, shape.w / 2, shape.h / 2)
    left, top, right, low = shape.x, shape.y, shape.x + shape.w, shape.y + shape.h
    points = [
        (left + r, top), (right - r, top), (right, top), (right, top + r), (right, low - r),
        (right, low), (right - r, low), (left + r, low), (left, low), (left, low - r),
        (left, top + r), (left, top), (left + r, top), (left + r, top),
    ]  # fmt: skip
    line, curve = Path.LINETO, Path.CURVE3
    side = [line, curve, curve]
    return Path(points, [Path.MOVETO, *side, *side, *side, *side, Path.CLOSEPOLY])
