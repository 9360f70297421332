"""Everything about one box, as text for the panel: shapes, attributes, verdict and witness."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

from workbench.graph import Graph, TensorSpec, origin_of
from workbench.partitioning import Apart, Partition, explain, why_apart
from workbench.text import listed, plural, shown
from workbench.widgets.scene_groups import Homes, top_operators
from workbench.widgets.scene_overlay import Overlay, region_of
from workbench.widgets.scene_pane import Item, Pane
from workbench.widgets.scene_text import quantity

MOST = 40
"""Rows of one section."""


def details(
    pane: Pane,
    place: int,
    original: Graph,
    partition: Partition | None,
    homes: Homes,
    overlays: Mapping[str, Overlay],
) -> dict[str, Any]:
    """What the panel says of a box: plain texts, each safe to show; places of boxes as links."""
    item = pane.items[place]
    rows = _facts(pane, item, original, homes)
    sections = [
        ("Numbers", _numbers(pane, item, original, overlays)),
        ("Reads", _tensors(pane, place, reads=True)),
        ("Makes", _tensors(pane, place, reads=False)),
        ("Attributes", _attributes(pane, item)),
    ]
    if pane.graph is not original:
        names = [shown(original.nodes[i].name) for i in item.origins]
        sections.append(("Comes from", [["", name, []] for name in _cut(names)]))
    return {
        "title": item.title,
        "name": shown(item.key, 400),
        "facts": rows,
        "verdict": _verdict(item, original, partition),
        "sections": [[head, rows] for head, rows in sections if rows],
    }


def _cut(rows: Sequence[Any]) -> list[Any]:
    return list(rows[:MOST]) + ([f"{len(rows) - MOST:,} more"] if len(rows) > MOST else [])


def _facts(pane: Pane, item: Item, original: Graph, homes: Homes) -> list[list[str]]:
    if not item.members:
        return [["Graph", item.kind], ["Type", item.line]]
    facts: list[list[str]]
    if item.kind in ("engine", "block"):
        noun = "nodes" if pane.graph is original else "layers"
        facts = [[noun.capitalize(), f"{len(item.members):,}"]]
        facts.append(["Operators", top_operators(pane.graph, item.members, 12, 300)])
        if pane.graph is not original:
            facts.append(["Originals", f"{len(item.origins):,}"])
    else:
        (place,) = item.members
        node = pane.graph.nodes[place]
        domain = f"{node.domain}::" if node.domain else ""
        facts = [["Operator", shown(domain + node.op_type)]]
    region = region_of(item, homes)
    if item.kind != "engine" and len(homes):
        where = f"engine {region}" if region >= 0 else "native"
        facts.append(["Where", where if region != -2 else "partly in engines"])
    return facts


def _numbers(
    pane: Pane, item: Item, original: Graph, overlays: Mapping[str, Overlay]
) -> list[list[Any]]:
    names = [pane.graph.nodes[i].name for i in item.members]
    names += [original.nodes[i].name for i in item.origins]
    rows = []
    for overlay in overlays.values():
        values = [overlay.values[n] for n in dict.fromkeys(names) if n in overlay.values]
        if len(item.members) == 1 and values:
            value = values[0]
            text = shown(value) if isinstance(value, str) else quantity(value, overlay.unit)
            rows.append([shown(overlay.title, 40), text, []])
    return rows


def _tensors(pane: Pane, place: int, *, reads: bool) -> list[list[Any]]:
    """Tensors that enter or leave a box: type, name, and the boxes at the other end."""
    graph, item = pane.graph, pane.items[place]
    if not item.members:
        ends = [a for a, b in pane.edges if b == place]
        if not reads:
            ends = [b for a, b in pane.edges if a == place]
        return [["", pane.items[i].title, [i]] for i in ends[:MOST]]
    inside = set(item.members)
    found: dict[str, None] = {}
    outputs = {spec.name for spec in graph.outputs}
    for i in item.members:
        node = graph.nodes[i]
        for tensor in node.reads if reads else node.makes:
            if reads:
                crosses = graph.producer.get(tensor) not in inside
            else:
                crosses = tensor in outputs or any(
                    j not in inside for j in graph.consumers.get(tensor, ())
                )
            if crosses or len(item.members) == 1:
                found[tensor] = None
    rows = [_tensor_row(pane, tensor, reads) for tensor in islice(found, MOST)]
    if len(found) > MOST:
        rows.append(["", f"{len(found) - MOST:,} more", []])
    return rows


def _tensor_row(pane: Pane, tensor: str, reads: bool) -> list[Any]:
    graph, units = pane.graph, pane.units
    if reads:
        j = graph.producer.get(tensor)
        ends = [units[j]] if j is not None and j in units else []
    else:
        ends = list(dict.fromkeys(units[j] for j in graph.consumers.get(tensor, ()) if j in units))
    label = full_type(graph.spec(tensor))
    if tensor in pane.weights:
        label = f"weight {label}"
    return [label, shown(tensor), ends[:8]]


def full_type(spec: TensorSpec) -> str:
    """``float32 [N, 3, 224, 224]`` in full, safe to show."""
    if spec.shape is None:
        return shown(spec.dtype, 30)
    return f"{shown(spec.dtype, 30)} [{', '.join(shown(dim, 30) for dim in spec.shape)}]"


def _attributes(pane: Pane, item: Item) -> list[list[Any]]:
    if len(item.members) != 1 or item.kind in ("engine", "block"):
        return []
    attributes = pane.graph.nodes[item.members[0]].attributes
    rows = [
        [shown(name, 60), value_text(value), []] for name, value in islice(attributes.items(), MOST)
    ]
    if len(attributes) > MOST:
        rows.append(["", f"{len(attributes) - MOST:,} more", []])
    return rows


def value_text(value: object) -> str:
    """An attribute in a line, safe to show: long ones are cut, bodies and tensors described."""
    if isinstance(value, Graph):
        return f"a graph of {plural(len(value.nodes), 'node')}"
    if isinstance(value, TensorSpec):
        return f"tensor {full_type(value)}"
    if isinstance(value, bytes):
        return shown(value[:200].decode("utf-8", "replace"), 200)
    if isinstance(value, tuple | list):
        text = ", ".join(value_text(one) for one in islice(value, 16))
        return f"[{text}{', …' if len(value) > 16 else ''}]"
    return f"{value:.6g}" if isinstance(value, float) else shown(value, 200)


def _verdict(item: Item, original: Graph, partition: Partition | None) -> dict[str, Any] | None:
    if partition is None or not item.origins:
        return None
    names = [original.nodes[i].name for i in item.origins]
    if item.kind == "engine":
        return _engine_verdict(partition, names)
    if len(names) == 1:
        found = explain(partition, names[0])
        path = list(found.fence)
        text = found.text
        if found.engine is not None:
            text = f"in engine {found.engine}"
            others = len(partition.subgraphs[found.engine]) - 1
            text += f", with {plural(others, 'other node')}"
        return _said(found.code, text, path, original)
    codes = dict.fromkeys(partition.by_node[name].code.value for name in names)
    return _said(", ".join(codes), f"{plural(len(names), 'node')}: {listed(codes)}", (), original)


def _engine_verdict(partition: Partition, names: Sequence[str]) -> dict[str, Any] | None:
    """Why the engine ends where it does: the witness against joining the next one."""
    numbers = [partition.engine_of[name] for name in names if name in partition.engine_of]
    if not numbers:
        return None
    part = partition.subgraphs[numbers[0]]
    text = f"an engine of {plural(len(part), 'node')}"
    neighbours = [i for i in (part.index + 1, part.index - 1) if 0 <= i < len(partition.subgraphs)]
    if not neighbours:
        return _said("taken", f"{text}; there is no other engine to join", (), partition.graph)
    other = partition.subgraphs[neighbours[0]]
    witness = why_apart(partition, part.nodes[0], other.nodes[0])
    if witness.kind is Apart.TOGETHER:
        return _said("taken", text, (), partition.graph)
    return _said(
        "taken",
        f"{text}; not one with engine {other.index}: {witness.text}",
        witness.path,
        partition.graph,
    )


def _said(code: str, text: str, path: Iterable[str], original: Graph) -> dict[str, Any]:
    """A verdict; the witness as places of original nodes, so that each can be shown."""
    steps = [[shown(name), original.position[name]] for name in path if name in original.position]
    return {"code": str(code), "text": text, "witness": steps}


def tooltip(pane: Pane, place: int) -> str:
    """Shapes and attributes of a box in a few lines."""
    item = pane.items[place]
    lines = [item.title, shown(item.key, 200)]
    if len(item.members) == 1:
        node, graph = pane.graph.nodes[item.members[0]], pane.graph
        lines += [f"reads {full_type(graph.spec(t))}" for t in islice(node.inputs, 3) if t]
        lines += [f"makes {full_type(graph.spec(t))}" for t in islice(node.makes, 3)]
        some = islice(node.attributes.items(), 6)
        lines += [f"{shown(name, 40)} = {shown(value_text(value), 60)}" for name, value in some]
        if node.origin:
            lines.append(f"from {listed(origin_of(node), 3)}")
    else:
        lines += [item.line, item.note]
    return "\n".join(line for line in lines if line)
