"""A scene as plain shapes on one sheet: what SVG, PNG and PDF have in common.

Tall pictures are wrapped into columns that are read like those of a newspaper; a break never goes
through a box. A sheet that holds only a part of a picture says so.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from workbench.layout import Point, Route
from workbench.text import shown
from workbench.widgets.export_part import WHOLE, Part
from workbench.widgets.scene import Scene, overlay_title, painted
from workbench.widgets.scene_overlay import Painted
from workbench.widgets.scene_palette import DARK, LIGHT, Paint, engine_colors
from workbench.widgets.scene_pane import TEXT, TITLE, Pane
from workbench.widgets.scene_text import width_of

ASPECT = 1.35
"""Width by height that columns aim at."""
_MARGIN, _GAP, _HEAD = 16.0, 26.0, 34.0
_EDGE = "#868b91"
_HEAD_LONG, _HEAD_HALF = 8.0, 3.6

Clip = tuple[float, float, float, float]
"""Left, top, width and height of the part of the sheet a shape may cover."""


@dataclass(frozen=True, slots=True)
class Rect:
    """A rectangle with round corners."""

    x: float
    y: float
    w: float
    h: float
    radius: float
    fill: str
    line: str = ""
    weight: float = 1.2
    dashed: bool = False


@dataclass(frozen=True, slots=True)
class Curve:
    """A route, drawn as a line."""

    route: Route
    line: str
    weight: float
    clip: Clip | None
    """None where it stays inside its column."""


@dataclass(frozen=True, slots=True)
class Label:
    """A line of text; `y` is its base line."""

    x: float
    y: float
    text: str
    size: float
    ink: str
    bold: bool = False
    middle: bool = True


@dataclass(frozen=True, slots=True)
class Heads:
    """Heads of arrows, triangles of one colour; one shape, because there are as many as edges."""

    triangles: tuple[tuple[Point, Point, Point], ...]
    fill: str


Shape = Rect | Curve | Label | Heads


@dataclass
class Sheet:
    """Shapes from back to front."""

    width: float
    height: float
    ground: str
    shapes: list[Shape] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Column:
    top: float
    end: float
    items: tuple[int, ...]
    left: float
    right: float


def sheet_of(
    scene: Scene, overlay: str = "partition", theme: str = "light", part: Part = WHOLE
) -> Sheet:
    """Both pictures and the legend on one sheet; one picture where nothing was made of the graph.

    Args:
        scene: what is drawn.
        overlay: what the colours show.
        theme: ``light`` or ``dark``.
        part: which boxes.

    Raises:
        ValueError: no overlay of this name.
    """
    looks, legend = painted(scene, overlay)
    paints = DARK if theme == "dark" else LIGHT
    ink = "#e8eaed" if theme == "dark" else "#1a1c1e"
    sheet = Sheet(0, 0, "#17191b" if theme == "dark" else "#ffffff")
    alone = scene.subject.derived is None and scene.subject.partition is None
    panes = (scene.left, scene.right)[: 1 if alone else 2]
    parts = [part.of(pane) for pane in panes]
    tall = _column_height(panes, [len(chosen) for chosen, _ in parts])
    x = _MARGIN
    rows = zip(("Original: ", "Fused"), panes, looks, parts, strict=False)
    for title, pane, look, (chosen, left_out) in rows:
        columns = _columns(pane, tall, chosen)
        name = shown(scene.subject.original.name, 60)
        note = (name if alone else title + name) if pane is scene.left else title
        if left_out:
            note += f" ({left_out})"
        sheet.shapes.append(Label(x, _MARGIN + 12, note, 13, ink, bold=True, middle=False))
        start = x
        for column in columns:
            _draw(sheet, scene, pane, look, column, (x, _MARGIN + _HEAD), paints, ink)
            x += column.right - column.left + _GAP
        x = max(x, start + width_of(note, 13) + _GAP)
        sheet.height = max(sheet.height, *(c.end - c.top for c in columns), 20)
        x += _GAP
    sheet.width = max(x - 2 * _GAP + _MARGIN, 320)
    foot = _MARGIN + _HEAD + sheet.height + 18
    rows = [(paints.get(entry.paint), entry.text) for entry in legend]
    sheet.height = _legend(sheet, f"{overlay_title(scene, overlay)}:", rows, foot, ink)
    return sheet


def _column_height(panes: Sequence[Pane], drawn: Sequence[int]) -> float:
    """How tall columns are, so that all of them together have about the wished aspect."""
    area = 0.0
    for pane, count in zip(panes, drawn, strict=True):
        tall = pane.placement.height * count / max(1, len(pane.items))
        area += (pane.placement.width + _GAP) * (tall + 40)
    return max(420.0, math.sqrt(area / ASPECT))


def _columns(pane: Pane, tall: float, chosen: Sequence[int]) -> list[_Column]:
    boxes = zip(pane.placement.centers, pane.sizes, strict=True)
    spans = [(y - h / 2, y + h / 2, x - w / 2, x + w / 2) for (x, y), (w, h) in boxes]
    columns: list[_Column] = []
    held: list[int] = []
    low = 0.0
    for i in sorted(chosen, key=lambda i: spans[i][0]):
        top = spans[held[0]][0] if held else spans[i][0]
        # A break is only where no box reaches across.
        if held and spans[i][0] > low and spans[i][1] - top > tall:
            columns.append(_column(held, spans))
            held = []
        held.append(i)
        low = max(low, spans[i][1]) if len(held) > 1 else spans[i][1]
    if held:
        columns.append(_column(held, spans))
    return columns or [_Column(0, 20, (), 0, 60)]


def _column(held: Sequence[int], spans: Sequence[tuple[float, float, float, float]]) -> _Column:
    found = [spans[i] for i in held]
    return _Column(
        min(s[0] for s in found) - 12, max(s[1] for s in found) + 12, tuple(held),
        min(s[2] for s in found) - 14, max(s[3] for s in found) + 14,
    )  # fmt: skip


def _draw(
    sheet: Sheet,
    scene: Scene,
    pane: Pane,
    look: Painted,
    column: _Column,
    corner: tuple[float, float],
    paints: Mapping[str, Paint],
    ink: str,
) -> None:
    dx, dy = corner[0] - column.left, corner[1] - column.top
    clip = (*corner, column.right - column.left, column.end - column.top)
    edges = []
    inside = set(column.items)
    for e, (a, b) in enumerate(pane.edges):
        if a in inside or b in inside:
            route = tuple((x + dx, y + dy) for x, y in pane.placement.routes[e])
            edges.append((route, a, b))
    boxes = {}
    for i in column.items:
        (x, y), (w, h) = pane.placement.centers[i], pane.sizes[i]
        boxes[i] = (x - w / 2 + dx, y - h / 2 + dy, w, h)
    _regions(sheet, scene, pane, boxes, edges, clip, paints)
    sheet.shapes += [Curve(way, _EDGE, 1.2, _clip(way, clip)) for way, _, _ in edges]
    if heads := tuple(head for way, _, b in edges if b in inside and (head := _head(way))):
        sheet.shapes.append(Heads(heads, _EDGE))
    divided = bool(len(scene.homes))
    for i, box in boxes.items():
        _box(sheet, pane, i, box, look, paints, divided)


def _head(route: Route) -> tuple[Point, Point, Point] | None:
    """The triangle at the end of a route, as in the live view; None for a route of no length."""
    tip = route[-1]
    before = next((p for p in reversed(route) if math.dist(p, tip) > 0.01), None)
    if before is None:
        return None
    long = math.dist(before, tip)
    dx, dy = (tip[0] - before[0]) / long, (tip[1] - before[1]) / long
    x, y = tip[0] - _HEAD_LONG * dx, tip[1] - _HEAD_LONG * dy
    side = (_HEAD_HALF * dy, -_HEAD_HALF * dx)
    return tip, (x + side[0], y + side[1]), (x - side[0], y - side[1])


def _clip(route: Route, clip: Clip) -> Clip | None:
    left, top, wide, high = clip
    inside = all(left <= x <= left + wide and top <= y <= top + high for x, y in route)
    return None if inside else clip


def _regions(
    sheet: Sheet,
    scene: Scene,
    pane: Pane,
    boxes: Mapping[int, tuple[float, float, float, float]],
    edges: Sequence[tuple[Route, int, int]],
    clip: Clip,
    paints: Mapping[str, Paint],
) -> None:
    """Regions of engines: all in the colour of the outline, then a bit smaller in their own."""
    colors = engine_colors(scene.homes.keys)
    places = scene.regions[0 if pane is scene.left else 1]
    region = [
        place if item.kind != "engine" else -1
        for item, place in zip(pane.items, places, strict=True)
    ]
    for more, weight, rim in ((7.5, 19.0, True), (6.0, 16.0, False)):
        for route, a, b in edges:
            if region[a] >= 0 and region[a] == region[b]:
                paint = paints[f"e{colors[region[a]]}"]
                color = paint.line if rim else paint.region
                sheet.shapes.append(Curve(route, color, weight, _clip(route, clip)))
        for i, (x, y, w, h) in boxes.items():
            if region[i] >= 0:
                paint = paints[f"e{colors[region[i]]}"]
                fill = paint.line if rim else paint.region
                size = (x - more, y - more, w + 2 * more, h + 2 * more)
                sheet.shapes.append(Rect(*size, 9, fill))


def _box(
    sheet: Sheet,
    pane: Pane,
    i: int,
    box: tuple[float, float, float, float],
    look: Painted,
    paints: Mapping[str, Paint],
    divided: bool,
) -> None:
    item, (x, y, w, h) = pane.items[i], box
    paint, name = paints[look.classes[i]], look.classes[i]
    round_ = h / 2 if item.kind in ("input", "output") else 5 if item.kind == "node" else 8
    thick = 2.0 if item.kind in ("engine", "block") else 1.2
    if item.kind == "block":
        sheet.shapes.append(Rect(x + 4, y + 4, w, h, round_, paint.fill, paint.line, thick))
    dashed = name == "mixed" or name == "folded" or (name == "native" and divided)
    sheet.shapes.append(Rect(x, y, w, h, round_, paint.fill, paint.line, thick, dashed))
    if item.kind == "engine":
        sheet.shapes.append(Rect(x + 3, y + 3, w - 6, h - 6, round_ - 3, "", paint.line, 1.0))
    lines = [text for text in (item.title, item.line, item.note) if text]
    base = y + h / 2 - (len(lines) - 1) * 7 + 4
    for number, text in enumerate(lines):
        size = TITLE if number == 0 else TEXT
        place = (x + w / 2, base + 14 * number)
        sheet.shapes.append(Label(*place, text, size, paint.ink, bold=number == 0))
    badge = look.badges[i]
    if badge:
        wide = width_of(badge, 10) + 9
        ground = sheet.ground
        sheet.shapes.append(Rect(x + w - wide + 7, y - 12, wide, 15, 7, ground, paint.line))
        ink = "#e8eaed" if ground != "#ffffff" else "#1a1c1e"
        sheet.shapes.append(Label(x + w - wide / 2 + 7, y - 1, badge, 10, ink, bold=True))


def _legend(
    sheet: Sheet, title: str, rows: Sequence[tuple[Paint | None, str]], y: float, ink: str
) -> float:
    sheet.shapes.append(Label(_MARGIN, y + 10, title, 11, ink, bold=True, middle=False))
    x = _MARGIN + width_of(title, 11) * 1.1 + 14
    for paint, text in rows:
        swatch = 19 if paint else 0
        wide = swatch + width_of(text, 11) + 18
        if x + wide > sheet.width and x > _MARGIN:
            x, y = _MARGIN, y + 18
        if paint:
            sheet.shapes.append(Rect(x, y, 14, 11, 3, paint.fill, paint.line))
        sheet.shapes.append(Label(x + swatch, y + 10, text, 11, ink, middle=False))
        x += wide
    return y + 18 + _MARGIN / 2
