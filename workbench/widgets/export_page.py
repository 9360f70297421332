"""One stand-alone interactive page: no kernel, no request, no other file.

Both graphs are laid out with everything closed, and the inside of each engine and block on its own;
the page puts the open ones together (`graph_page.js`). So each opens alone, and the file grows with
the network and not with what can be open at once.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from workbench.layout import Problem, place
from workbench.text import shown
from workbench.widgets.frontend import script, static, styles
from workbench.widgets.scene import (
    Scene,
    Subject,
    key_json,
    look_json,
    names_json,
    painted,
    scene_of,
    summary,
)
from workbench.widgets.scene_details import details, tooltip
from workbench.widgets.scene_groups import Group
from workbench.widgets.scene_overlay import regions_of
from workbench.widgets.scene_pane import Pane, columns, pane_json, pane_of, path_text

DETAILS = 6_000
"""A page of a network of up to this many nodes holds everything known of each box."""


def html_text(
    subject: Subject,
    blocks: Sequence[Group],
    *,
    overlay: str = "partition",
    title: str | None = None,
) -> str:
    """The page. Everything is closed at first; each engine and block opens and closes.

    On networks of more nodes than `DETAILS` a box has only its short text.

    Args:
        subject: what to show.
        blocks: groups of the original, from `scene.left_groups`.
        overlay: what the colours show at first.
        title: of the page; default the graph's name.
    """
    scene = scene_of(subject, blocks=blocks)
    opened = [_opened(pane, subject) for pane in (scene.left, scene.right)]
    sides = [_Side(*pair) for pair in zip((scene.left, scene.right), opened, strict=True)]
    state = {
        "names": names_json(subject.original),
        "overlay": overlay,
        "paints": {name: _paint(scene, name, sides) for name in scene.choices},
        "left": sides[0].columns(),
        "right": sides[1].columns(),
        "details": [],
    }
    if len(subject.original.nodes) <= DETAILS:
        state["details"] = [side.details(scene) for side in sides]
    return _PAGE.format(
        title=escape(shown(title or subject.original.name, 120)), styles=styles(),
        state=_packed(state), script=script(), start=static("graph_page.js"),
        body=escape(summary(scene)),
    )  # fmt: skip


def _opened(pane: Pane, subject: Subject) -> Pane:
    keys = [group.key for group in pane.groups]
    return pane_of(pane.graph, subject.original, pane.groups, keys, placed=False)


class _Side:
    """One picture: the boxes of the closed one, then those inside its groups, all numbered on."""

    def __init__(self, closed: Pane, opened: Pane) -> None:
        self.closed, self.opened = closed, opened
        self.inner = [p for p, item in enumerate(opened.items) if item.group]
        place_of = {(item.kind, item.key): i for i, item in enumerate(closed.items)}
        boxes = {item.key: i for i, item in enumerate(closed.items) if item.kind in _CLOSED}
        self.number: list[int] = []
        """Box of the opened picture -> its number here."""
        self.home: list[int] = []
        """Box of the opened picture -> number of the closed box it is or is in."""
        inside = len(closed.items)
        for item in opened.items:
            if item.group:
                self.number.append(inside)
                self.home.append(boxes[item.group])
                inside += 1
            else:
                self.number.append(place_of[item.kind, item.key])
                self.home.append(self.number[-1])

    def columns(self) -> dict[str, Any]:
        """Boxes and edges; those in a group are placed from the group's own corner."""
        found = pane_json(self.closed, 1)
        within, crossing = self._edges()
        centers: dict[int, tuple[float, float]] = {}
        room: dict[int, tuple[int, int]] = {}
        ways: dict[tuple[int, int], str] = {}
        for home, places in self._groups().items():
            local = {p: k for k, p in enumerate(places)}
            edges = within.get(home, [])
            sizes = tuple(self.opened.sizes[p] for p in places)
            laid = place(Problem(sizes, tuple((local[p], local[q]) for p, q in edges)))
            room[home] = round(laid.width), round(laid.height)
            centers.update(zip(places, laid.centers, strict=True))
            for (p, q), route in zip(edges, laid.routes, strict=True):
                ways[self.number[p], self.number[q]] = path_text(route)
        items = [self.opened.items[p] for p in self.inner]
        sizes = [self.opened.sizes[p] for p in self.inner]
        more = columns(items, sizes, [centers[p] for p in self.inner])
        return {
            **found,
            **{name: found[name] + column for name, column in more.items()},
            "closed": len(self.closed.items),
            "home": [self.home[p] for p in self.inner],
            "room": room,
            "within": [[a, b, way] for (a, b), way in ways.items()],
            "links": crossing,
        }

    def _groups(self) -> dict[int, list[int]]:
        found: dict[int, list[int]] = {}
        for p in self.inner:
            found.setdefault(self.home[p], []).append(p)
        return found

    def _edges(self) -> tuple[dict[int, list[tuple[int, int]]], list[list[int]]]:
        """Edges inside each group; and the ends inside of groups of edges of the closed picture."""
        within: dict[int, list[tuple[int, int]]] = {}
        crossing: list[list[int]] = []
        edge = {pair: e for e, pair in enumerate(self.closed.edges)}
        for p, q in self.opened.edges:
            tail, head = self.home[p], self.home[q]
            if tail == head:
                within.setdefault(tail, []).append((p, q))
            elif self.opened.items[p].group or self.opened.items[q].group:
                crossing.append([edge[tail, head], self.number[p], self.number[q]])
        return within, crossing

    def details(self, scene: Scene) -> list[dict[str, Any]]:
        """What the panel and the tooltip say of each box; links name boxes by their numbers."""
        found = [_said(scene, self.closed, i, None) for i in range(len(self.closed.items))]
        return found + [_said(scene, self.opened, p, self.number) for p in self.inner]


_CLOSED = ("engine", "block")


def _said(scene: Scene, pane: Pane, at: int, number: Sequence[int] | None) -> dict[str, Any]:
    subject = scene.subject
    data = details(pane, at, subject.original, subject.partition, scene.homes, scene.overlays)
    if number is not None:
        for _, rows in data["sections"]:
            for row in rows:
                if isinstance(row, list):
                    row[2] = [number[p] for p in row[2]]
    return {**data, "tip": tooltip(pane, at)}


def _paint(scene: Scene, overlay: str, sides: Sequence[_Side]) -> dict[str, Any]:
    looks, legend = painted(scene, overlay, [side.opened for side in sides])
    panes = {}
    for i, (name, side) in enumerate(zip(("left", "right"), sides, strict=True)):
        closed = look_json(looks[i], scene.regions[i])
        opened = look_json(looks[2 + i], regions_of(side.opened, scene.homes))
        panes[name] = {
            key: column + [opened[key][p] for p in side.inner] for key, column in closed.items()
        }
    return {**key_json(scene, overlay, legend), "panes": panes}


def _packed(value: Mapping[str, Any]) -> str:
    """JSON, compressed to a tenth; letters, digits, ``+ / =`` end no element."""
    text = json.dumps(value, separators=(",", ":"))
    return base64.b64encode(gzip.compress(text.encode(), 6, mtime=0)).decode()


_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; \
script-src 'unsafe-inline'; img-src data:">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>body{{margin:0;padding:8px;background:Canvas;color-scheme:light dark}}
{styles}</style></head><body><noscript><p>{body}</p></noscript><main id="view"></main>
<script type="application/octet-stream" id="state">{state}</script>
<script>{script}
{start}</script></body></html>
"""
