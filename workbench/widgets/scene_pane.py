"""One picture: a graph with some groups closed, laid out, as boxes and arrows with texts."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import chain
from typing import Any, Literal

from workbench.graph import Graph, TensorSpec, origin_of
from workbench.layout import Placement, Point, Problem, Route, place
from workbench.progress import Cancel
from workbench.text import plural, shown
from workbench.widgets.scene_groups import Group, common_prefix, top_operators
from workbench.widgets.scene_text import short_name, width_of

Kind = Literal["node", "engine", "block", "input", "output"]

KINDS: tuple[Kind, ...] = ("node", "engine", "block", "input", "output")

NOWHERE = Placement((), (), 0.0, 0.0, "")
"""Where boxes are that were not laid out."""

TITLE, TEXT = 12.5, 10.5
"""Font sizes in pixels at 100 %."""

_SHORT_TYPES = {
    "float32": "f32", "float16": "f16", "bfloat16": "bf16", "float64": "f64", "int8": "i8",
    "uint8": "u8", "int32": "i32", "int64": "i64", "float8e4m3fn": "fp8",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Item:
    """One box."""

    key: str
    """Name of the node, first node of the group, or tensor of a graph input or output."""
    kind: Kind
    title: str
    line: str
    note: str
    """Three lines of text, safe to show; the last two may be empty."""
    members: tuple[int, ...]
    """Places in the pane's graph; empty for an input or output."""
    origins: tuple[int, ...]
    """Places of the original nodes behind it, ascending."""
    group: str = ""
    """Key of the open group it is in."""


@dataclass(frozen=True)
class Pane:
    """A picture without colours."""

    graph: Graph
    items: tuple[Item, ...]
    sizes: tuple[tuple[float, float], ...]
    edges: tuple[tuple[int, int], ...]
    """Pairs of places in `items`."""
    placement: Placement
    groups: tuple[Group, ...]
    """All groups there are, open and closed."""

    @cached_property
    def units(self) -> dict[int, int]:
        """Place of a node in the graph -> place of the box it is in."""
        return {i: k for k, item in enumerate(self.items) for i in item.members}

    @cached_property
    def weights(self) -> frozenset[str]:
        """Names of the tensors that are stored with the graph."""
        return frozenset(spec.name for spec in self.graph.initializers)


def pane_of(
    graph: Graph,
    original: Graph,
    groups: Sequence[Group],
    opened: Collection[str],
    *,
    cancel: Cancel | None = None,
    placed: bool = True,
) -> Pane:
    """The picture of a graph with every group closed whose key is not in `opened`.

    Args:
        graph: what is drawn.
        original: the network its origins name.
        groups: what can be one box.
        opened: keys of those that are not.
        cancel: ends the layout.
        placed: False leaves out the layout: boxes and arrows that are nowhere yet.

    Raises:
        CancelledError: asked to stop while it was laid out.
    """
    items = _items(graph, original, groups, opened)
    edges = _edges(graph, items)
    sizes = tuple(_size(item) for item in items)
    placement = NOWHERE
    if placed:
        placement = place(Problem(sizes, edges), cancel=cancel)
    return Pane(graph, tuple(items), sizes, edges, placement, tuple(groups))


def _items(
    graph: Graph, original: Graph, groups: Sequence[Group], opened: Collection[str]
) -> list[Item]:
    starts: dict[int, Group] = {}
    inside: dict[int, str] = {}
    hidden = bytearray(len(graph.nodes))
    for group in groups:
        if group.key in opened:
            inside.update(dict.fromkeys(group.members, group.key))
        else:
            starts[min(group.members)] = group
            for i in group.members:
                hidden[i] = 1
    items = [_end_item(spec, "input") for spec in graph.inputs]
    for i, closed in enumerate(hidden):
        if not closed:
            items.append(_node_item(graph, original, i, inside.get(i, "")))
        elif i in starts:
            items.append(_group_item(graph, original, starts[i]))
    items += [_end_item(spec, "output") for spec in graph.outputs]
    return items


def _origins(graph: Graph, original: Graph, members: Sequence[int]) -> tuple[int, ...]:
    if graph is original:
        return tuple(sorted(members))
    names = (name for i in members for name in origin_of(graph.nodes[i]))
    return tuple(sorted({original.position[n] for n in names if n in original.position}))


def _node_item(graph: Graph, original: Graph, i: int, group: str) -> Item:
    node = graph.nodes[i]
    note = next((type_text(graph.spec(t)) for t in node.makes if t in graph.specs), "")
    return Item(
        node.name, "node", shown(node.op_type, 28), short_name(node.name), note, (i,),
        _origins(graph, original, (i,)), group,
    )  # fmt: skip


def _group_item(graph: Graph, original: Graph, group: Group) -> Item:
    noun = "node" if graph is original else "layer"
    line = plural(len(group.members), noun)
    note = top_operators(graph, group.members)
    if group.kind == "block":
        prefix = common_prefix([graph.nodes[i].name for i in group.members])
        line += f" · {short_name(prefix, 18)}" if prefix else ""
    kind: Kind = "engine" if group.kind == "engine" else "block"
    origins = _origins(graph, original, group.members)
    return Item(group.key, kind, group.title, line, note, group.members, origins)


def _end_item(spec: TensorSpec, kind: Kind) -> Item:
    return Item(spec.name, kind, short_name(spec.name), type_text(spec), "", (), ())


def type_text(spec: TensorSpec) -> str:
    """``f32 N×3×224×224``; empty where nothing is known; safe to show."""
    kind = _SHORT_TYPES.get(spec.dtype, shown(spec.dtype, 16))
    if spec.shape is None:
        return kind
    shape = "×".join(shown(dim, 12) for dim in spec.shape) or "scalar"
    return short_name(f"{kind} {shape}".strip(), 30)


def _edges(graph: Graph, items: Sequence[Item]) -> tuple[tuple[int, int], ...]:
    unit = [0] * len(graph.nodes)
    ends: dict[tuple[str, str], int] = {}
    for place_, item in enumerate(items):
        for i in item.members:
            unit[i] = place_
        if not item.members:
            ends[item.kind, item.key] = place_
    entered = {i for spec in graph.inputs for i in graph.consumers.get(spec.name, ())}
    found: dict[tuple[int, int], None] = {}
    for i, before in enumerate(graph.predecessors):
        mine = unit[i]
        for j in before:
            if unit[j] != mine:
                break
        else:
            # Most nodes of a large graph are deep in a closed box.
            if i not in entered:
                continue
        for tensor in graph.nodes[i].reads:
            j = graph.producer.get(tensor)
            tail = unit[j] if j is not None else ends.get(("input", tensor))
            if tail is not None and tail != mine:
                found[tail, mine] = None
    for spec in graph.outputs:
        head = ends["output", spec.name]
        j = graph.producer.get(spec.name)
        tail = unit[j] if j is not None else ends.get(("input", spec.name))
        if tail is not None:
            found[tail, head] = None
    return tuple(found)


def _size(item: Item) -> tuple[float, float]:
    widest = max(width_of(item.title, TITLE), width_of(item.line, TEXT), width_of(item.note, TEXT))
    badge = 26 if item.members else 0
    width = max(64.0, widest + 20, width_of(item.title, TITLE) + 20 + badge)
    lines = 1 + bool(item.line) + bool(item.note)
    height = 12 + 14.0 * lines + (6 if item.kind in ("engine", "block") else 0)
    return float(round(width)), height


def pane_json(pane: Pane, rev: int) -> dict[str, Any]:
    """The picture as columns of plain values, for the browser."""
    return {
        "rev": rev,
        "width": round(pane.placement.width),
        "height": round(pane.placement.height),
        **columns(pane.items, pane.sizes, pane.placement.centers),
        "count": len(pane.graph.nodes),
        "a": [a for a, _ in pane.edges],
        "b": [b for _, b in pane.edges],
        "d": [path_text(route) for route in pane.placement.routes],
    }


def columns(
    items: Sequence[Item], sizes: Sequence[tuple[float, float]], centers: Sequence[Point]
) -> dict[str, list[Any]]:
    """Boxes as columns."""
    boxes = list(zip(centers, sizes, strict=True))
    return {
        "x": [round(x - w / 2) for (x, _), (w, _) in boxes],
        "y": [round(y - h / 2) for (_, y), (_, h) in boxes],
        "w": [round(w) for _, (w, _) in boxes],
        "h": [round(h) for _, (_, h) in boxes],
        "kind": [KINDS.index(item.kind) for item in items],
        "title": [item.title for item in items],
        "line": [item.line for item in items],
        "note": [item.note for item in items],
        "name": [_full_name(item) for item in items],
        "of": [item.origins[0] if len(item.origins) == 1 else item.origins for item in items],
        "open": [1 if item.group else 0 for item in items],
    }


def _full_name(item: Item) -> str:
    """The name where the box shows only a part of it, else nothing."""
    full = shown(item.key, 400)
    return "" if full in (item.line, item.title) or item.kind in ("engine", "block") else full


def path_text(route: Route) -> str:
    """A route as the ``d`` of an SVG path, in whole pixels."""
    if not route:
        return ""
    return _way(len(route)) % tuple(chain.from_iterable(route))


@cache
def _way(points: int) -> str:
    return "M%.0f %.0fC" + " ".join(["%.0f %.0f"] * (points - 1))
