"""The scene outside a notebook: SVG, PNG, PDF, DOT, and one stand-alone interactive page.

Texts are escaped here, for the format that is written; ids are numbers.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from workbench.text import listed, shown
from workbench.widgets.export_sheet import Label, Rect, Shape, sheet_of
from workbench.widgets.scene import (
    Scene,
    Subject,
    details_json,
    names_json,
    paint_json,
    scene_of,
    summary,
)
from workbench.widgets.scene_groups import Group
from workbench.widgets.scene_pane import Pane, pane_json, path_text

FORMATS = (".svg", ".png", ".pdf", ".dot", ".html")

EMBED = 6_000
"""A stand-alone page of up to this many boxes holds the details of each and the opened pictures."""

_FONT = "Helvetica, Arial, 'Liberation Sans', sans-serif"


def svg_text(scene: Scene, overlay: str = "partition", *, theme: str = "light") -> str:
    """Both pictures side by side as SVG: no scripts, no style sheet, no other file.

    Pictures of more than 400 boxes are cut off after these, and the drawing says so.

    Raises:
        ValueError: no overlay of this name.
    """
    sheet = sheet_of(scene, overlay, theme)
    wide, high = round(sheet.width), round(sheet.height)
    title = f"Graph {shown(scene.subject.original.name, 80)}: {summary(scene)}"
    shapes = "".join(_svg(shape) for shape in sheet.shapes)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{wide}" height="{high}" '
        f'viewBox="0 0 {wide} {high}" role="img" aria-label={quoteattr(title)} '
        f'font-family="{_FONT}" text-anchor="middle">'
        f'<rect width="{wide}" height="{high}" fill="{sheet.ground}"/>'
        f"{shapes}</svg>"
    )


def _svg(shape: Shape) -> str:
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
    path = (
        f'<path d="{path_text(shape.route)}" fill="none" stroke="{shape.line}" '
        f'stroke-width="{shape.weight}"/>'
    )
    if shape.clip is None:
        return path
    # A nested picture clips without an id, which might clash with one of the page around it.
    x, y, w, h = (f"{number:.0f}" for number in shape.clip)
    frame = f'<svg x="{x}" y="{y}" width="{w}" height="{h}" viewBox="{x} {y} {w} {h}">'
    return f"{frame}{path}</svg>"


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
) -> Path:
    """Write the scene in the format of the file's name: ``.svg``, ``.png``, ``.pdf``, ``.dot``.

    Args:
        scene: what to write.
        path: where to.
        overlay: what the colours show; DOT has none.
        theme: ``light`` or ``dark``.
        side: which picture a DOT file holds, ``left`` or ``right``.

    Raises:
        ValueError: another ending, or no overlay of this name.
    """
    path = Path(path)
    ending = path.suffix.lower()
    if ending == ".svg":
        path.write_text(svg_text(scene, overlay, theme=theme), "utf-8")
    elif ending == ".dot":
        path.write_text(dot_text(scene.left if side == "left" else scene.right), "utf-8")
    elif ending in (".png", ".pdf"):
        from workbench.widgets.export_raster import write_figure

        write_figure(sheet_of(scene, overlay, theme), path)
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


def html_text(
    subject: Subject,
    blocks: Sequence[Group],
    script: str,
    styles: str,
    *,
    overlay: str = "partition",
    title: str | None = None,
) -> str:
    """One page with the interactive view: no kernel, no request, no other file.

    Engines and blocks open and close all at once; on networks of more boxes than `EMBED` they stay
    closed and a box has only its short text.

    Args:
        subject: what to show.
        blocks: groups of the original, from `scene.left_groups`.
        script: the front end.
        styles: its style sheet.
        overlay: what the colours show at first.
        title: of the page; default the graph's name.
    """
    closed = scene_of(subject, blocks=blocks)
    scenes = [closed]
    small = len(subject.original.nodes) <= EMBED
    if small:
        engines = [group.key for group in closed.right.groups]
        all_blocks = [block.key for block in blocks]
        opened = scene_of(subject, blocks=blocks, opened_left=all_blocks, opened_right=engines)
        scenes.append(opened)
    state = {
        "names": names_json(subject.original),
        "overlay": overlay,
        "variants": [_variant(scene, rev, small) for rev, scene in enumerate(scenes, 1)],
    }
    name = shown(title or subject.original.name, 120)
    return _PAGE.format(
        title=escape(name), styles=styles, state=_json(state), script=script, start=_START,
        body=escape(summary(closed)),
    )  # fmt: skip


def _variant(scene: Scene, rev: int, small: bool) -> dict[str, Any]:
    found: dict[str, Any] = {
        "left": pane_json(scene.left, rev),
        "right": pane_json(scene.right, rev),
        "paints": {name: paint_json(scene, name, rev) for name in scene.choices},
    }
    if small:
        found["details"] = {
            side: [details_json(scene, side, i) for i in range(len(pane.items))]
            for side, pane in (("left", scene.left), ("right", scene.right))
        }
    return found


def _json(value: object) -> str:
    """JSON that cannot end the script element it stands in."""
    text = json.dumps(value, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; \
script-src 'unsafe-inline'; img-src data:">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>body{{margin:0;padding:8px;background:Canvas;color-scheme:light dark}}
{styles}</style></head><body><noscript><p>{body}</p></noscript><main id="view"></main>
<script type="application/json" id="state">{state}</script>
<script>{script}
{start}</script></body></html>
"""

# The model of a page without a kernel: the same traits, with both pictures in two states each.
_START = """
(() => {
  const state = JSON.parse(document.getElementById("state").textContent);
  const open = { left: 0, right: 0 }, heard = {};
  const last = state.variants.length - 1;
  const values = {
    _names: state.names, _marked: [], _rev: 1, _busy: "", _notice: "", _twin: "",
    overlay: state.overlay, theme: "auto", height: Math.max(420, innerHeight - 190), rendered: 0,
  };
  const tell = (name) => (heard[name] || []).forEach((act) => act());
  const compose = () => {
    const paint = state.variants[0].paints[values.overlay];
    values._paint = { ...paint, panes: {} };
    values._details = {};
    for (const side of ["left", "right"]) {
      const one = state.variants[Math.min(open[side], last)];
      values[`_${side}`] = one[side];
      values._paint.panes[side] = one.paints[values.overlay].panes[side];
      values._details[side] = one.details && one.details[side];
    }
  };
  const model = {
    get: (name) => values[name],
    set: (name, value) => {
      values[name] = value;
      if (name === "overlay") { compose(); values._rev++; setTimeout(() => tell("change:_rev")); }
    },
    save_changes: () => {},
    on: (name, act) => (heard[name] = heard[name] || []).push(act),
    off: () => {},
    send: (message) => {
      if (message.do !== "toggle" && message.do !== "fold") return;
      if (message.do === "toggle" && values[`_${message.side}`].kind[message.item] !== 1 &&
          values[`_${message.side}`].kind[message.item] !== 2 &&
          !values[`_${message.side}`].open[message.item]) return;
      open[message.side] = message.do === "fold" ? +message.open : 1 - open[message.side];
      compose();
      values._rev++;
      setTimeout(() => tell("change:_rev"));
    },
  };
  compose();
  renderGraphView({ model, el: document.getElementById("view") });
})();
"""
