"""The scene outside a notebook: SVG, PNG, PDF and DOT; `export_page` has the interactive page.

Texts are escaped here, for the format that is written; ids are numbers.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

from workbench.layout import Point
from workbench.text import listed, shown
from workbench.widgets.export_part import WHOLE, Part
from workbench.widgets.export_sheet import Curve, Heads, Label, Rect, Shape, sheet_of
from workbench.widgets.scene import Scene, summary
from workbench.widgets.scene_pane import Pane, path_text

FORMATS = (".svg", ".png", ".pdf", ".dot", ".html")

_FONT = "Helvetica, Arial, 'Liberation Sans', sans-serif"


def svg_text(
    scene: Scene, overlay: str = "partition", *, theme: str = "light", part: Part = WHOLE
) -> str:
    """Both pictures side by side as SVG: no scripts, no style sheet, no other file.

    Raises:
        ValueError: no overlay of this name.
    """
    sheet = sheet_of(scene, overlay, theme, part)
    wide, high = round(sheet.width), round(sheet.height)
    title = f"Graph {shown(scene.subject.original.name, 80)}: {summary(scene)}"
    runs = (list(run) for _, run in groupby(enumerate(sheet.shapes), _alike))
    shapes = "".join(_svg(run[0][1], [shape for _, shape in run]) for run in runs)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{wide}" height="{high}" '
        f'viewBox="0 0 {wide} {high}" role="img" aria-label={quoteattr(title)} '
        f'font-family="{_FONT}" text-anchor="middle">'
        f'<rect width="{wide}" height="{high}" fill="{sheet.ground}"/>'
        f"{shapes}</svg>"
    )


def _alike(numbered: tuple[int, Shape]) -> object:
    """The same for lines in a row that can be one element: attributes are most of a line."""
    place, shape = numbered
    if isinstance(shape, Curve) and shape.clip is None:
        return shape.line, shape.weight
    return place


def _svg(shape: Shape, alike: Sequence[Shape]) -> str:
    if isinstance(shape, Rect):
        line = f' stroke="{shape.line}" stroke-width="{shape.weight}"' if shape.line else ""
        dash = ' stroke-dasharray="4 3"' if shape.dashed else ""
        return (
            f'<rect x="{shape.x:.1f}" y="{shape.y:.1f}" width="{shape.w:.0f}" '
            f'height="{shape.h:.0f}" rx="{shape.radius:.0f}" fill="{shape.fill or "none"}"'
            f"{line}{dash}/>"
        )
    if isinstance(shape, Label):
        bold = ' font-weight="700"' if shape.bold else ""
        middle = "" if shape.middle else ' text-anchor="start"'
        return (
            f'<text x="{shape.x:.1f}" y="{shape.y:.1f}" font-size="{shape.size}" '
            f'fill="{shape.ink}"{bold}{middle}>{escape(shape.text)}</text>'
        )
    if isinstance(shape, Heads):
        ways = "".join(map(_triangle, shape.triangles))
        return f'<path d="{ways}" fill="{shape.fill}"/>'
    ways = "".join(path_text(one.route) for one in alike if isinstance(one, Curve))
    path = f'<path d="{ways}" fill="none" stroke="{shape.line}" stroke-width="{shape.weight}"/>'
    if shape.clip is None:
        return path
    # A nested picture clips without an id, which might clash with one of the page around it.
    x, y, w, h = (f"{number:.0f}" for number in shape.clip)
    frame = f'<svg x="{x}" y="{y}" width="{w}" height="{h}" viewBox="{x} {y} {w} {h}">'
    return f"{frame}{path}</svg>"


def _triangle(corners: Sequence[Point]) -> str:
    """A closed way from the first corner, the others told from the one before: fewer letters."""
    (x, y), *rest = corners
    steps = []
    for before, after in zip(corners, rest, strict=False):
        steps.append(f"{_short(after[0] - before[0])} {_short(after[1] - before[1])}")
    return f"M{_short(x)} {_short(y)}l{' '.join(steps)}z"


def _short(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def figure_html(svg: str, name: str, words: str) -> str:
    """A picture as a figure that keeps its insides to itself: an image with an own document."""
    data = base64.b64encode(svg.encode()).decode()
    return (
        f'<figure class="{name}" style="margin:0"><img alt={quoteattr(words)} '
        f'style="max-width:100%;background:#fff" src="data:image/svg+xml;base64,{data}"></figure>'
    )


def save(
    scene: Scene,
    path: str | os.PathLike[str],
    *,
    overlay: str = "partition",
    theme: str = "light",
    side: str = "left",
    part: Part = WHOLE,
) -> Path:
    """Write the scene in the format of the file's name: ``.svg``, ``.png``, ``.pdf``, ``.dot``.

    Args:
        scene: what to write.
        path: where to.
        overlay: what the colours show; DOT has none.
        theme: ``light`` or ``dark``.
        side: which picture a DOT file holds, ``left`` or ``right``; always the whole of it.
        part: which boxes SVG, PNG and PDF hold.

    Raises:
        ValueError: another ending, or no overlay of this name.
    """
    path = Path(path)
    ending = path.suffix.lower()
    if ending == ".svg":
        path.write_text(svg_text(scene, overlay, theme=theme, part=part), "utf-8")
    elif ending == ".dot":
        path.write_text(dot_text(scene.left if side == "left" else scene.right), "utf-8")
    elif ending in (".png", ".pdf"):
        from workbench.widgets.export_raster import write_figure

        write_figure(sheet_of(scene, overlay, theme, part), path)
    else:
        raise ValueError(
            f"cannot write {shown(path.name)}: its ending must be one of {listed(FORMATS)}"
        )
    return path


def dot_text(pane: Pane) -> str:
    """One picture in Graphviz's language: labels and arrows; layout and colours are its own."""
    lines = ["digraph {", "  node [shape=box style=rounded fontname=Helvetica]"]
    for i, item in enumerate(pane.items):
        text = "\\n".join(_dot(part) for part in (item.title, item.line, item.note) if part)
        tip = _dot(shown(item.key))
        lines.append(f'  n{i} [label="{text}" tooltip="{tip}"]')
    lines += [f"  n{a} -> n{b}" for a, b in pane.edges]
    return "\n".join([*lines, "}"]) + "\n"


def _dot(text: str) -> str:
    # Graphviz reads backslashes and, in a quoted label too, HTML entities.
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("&", "&amp;")
