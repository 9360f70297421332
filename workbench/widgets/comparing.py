"""Two configurations side by side: numbers, what runs where, and the layers that differ."""

from __future__ import annotations

from workbench import markup
from workbench.graph import origin_of
from workbench.report import table as study_table
from workbench.study import Study
from workbench.text import plural
from workbench.widgets.bench import Built, times_by_origin
from workbench.widgets.scene_overlay import Overlay

_MOST = 15


def side_by_side(a: Built, b: Built, study: Study) -> str:
    """HTML that sets two configurations against each other."""
    names = (a.configuration.variant, b.configuration.variant)
    keys = (a.configuration.key, b.configuration.key)
    kept = Study(
        tuple(m for m in study.measurements if m.variant in names),
        study.environment,
        tuple(c for c in study.configurations if c.key in keys),
        {a.configuration.model: names[0]},
    )
    parts = [markup.paragraph(f"{names[0]}  against  {names[1]}")]
    model = a.configuration.model
    parts += [study_table(kept, model, batch) for batch in kept.batches(model)]
    parts += [markup.table(("", *names), _facts(a, b)), *_moved(a, b), *_slower(a, b)]
    return f"<div class={markup.CLASS}>{''.join(parts)}</div>"


def _facts(a: Built, b: Built) -> list[tuple[str, ...]]:
    def both(name: str, said: object, other: object) -> tuple[str, ...]:
        return name, str(said), str(other)

    one, two = a.configuration, b.configuration
    rows = [
        both("layers", len(a.layers.nodes), len(b.layers.nodes)),
        both("engines", _or_dash(one.engines), _or_dash(two.engines)),
        both("nodes in engines", _or_dash(one.engine_nodes), _or_dash(two.engine_nodes)),
        both("build seconds", f"{one.build_seconds or 0:.2f}", f"{two.build_seconds or 0:.2f}"),
        both("precision of layers", _precisions(a), _precisions(b)),
    ]
    if a.choices and b.choices:
        names = sorted(a.choices.changed(b.choices))
        rows += [both(n, getattr(a.choices, n), getattr(b.choices, n)) for n in names]
    return rows


def _or_dash(value: object) -> str:
    return "–" if value is None else str(value)


def _precisions(built: Built) -> str:
    counts: dict[str, int] = {}
    for node in built.layers.nodes:
        name = str(node.attributes.get("precision") or "unknown")
        counts[name] = counts.get(name, 0) + 1
    return ", ".join(f"{n} {name}" for name, n in sorted(counts.items(), key=lambda item: -item[1]))


def _moved(a: Built, b: Built) -> list[str]:
    """Nodes that are in an engine in one of the two only."""
    if a.partition is None or b.partition is None:
        return []
    one, two = a.partition, b.partition
    shared = [node.name for node in one.graph.nodes if node.name in two.graph.position]
    rows = [
        (name, _side(one.engine_of.get(name)), _side(two.engine_of.get(name)))
        for name in shared
        if (name in one.engine_of) != (name in two.engine_of)
    ]
    if not rows:
        return [markup.paragraph("The same nodes are in engines.")]
    names = (a.configuration.variant, b.configuration.variant)
    table = markup.table(("node", *names), rows, most=_MOST)
    return [markup.folded(f"{plural(len(rows), 'node')} changed sides", table)]


def _side(engine: int | None) -> str:
    return "native" if engine is None else f"engine {engine}"


def _slower(a: Built, b: Built) -> list[str]:
    """Nodes whose share of the time differs most."""
    one, two = times_by_origin(a), times_by_origin(b)
    if not one or not two:
        return []
    rows = sorted(
        ((name, one.get(name, 0.0), two.get(name, 0.0)) for name in {*one, *two}),
        key=lambda row: -abs(row[1] - row[2]),
    )[:_MOST]
    cells = [
        (name, f"{x * 1e6:.1f}", f"{y * 1e6:.1f}", f"{(y - x) * 1e6:+.1f}") for name, x, y in rows
    ]
    names = (a.configuration.variant, b.configuration.variant)
    table = markup.table(("node", *(f"{n} µs" for n in names), "difference"), cells)
    return [markup.folded("where the time differs most", table)]


def layer_rows(built: Built) -> list[tuple[object, ...]]:
    """Layers with kind, precision, time in microseconds and the nodes they stand for."""
    rows = []
    for node in built.layers.nodes:
        seconds = built.times.get(node.name)
        said = "–" if seconds is None else f"{seconds * 1e6:.1f}"
        place = node.attributes.get("part", "")
        precision = node.attributes.get("precision", "")
        rows.append((node.name, node.op_type, place, precision, said, ", ".join(origin_of(node))))
    return rows


def overlays(built: Built | None) -> dict[str, Overlay]:
    """Time and precision of the layers, as far as a built configuration tells."""
    if built is None:
        return {}
    note, nodes = built.configuration.variant, built.layers.nodes
    known = [node for node in nodes if node.attributes.get("precision")]
    precision = {node.name: str(node.attributes["precision"]) for node in known}
    precision |= {name: precision[node.name] for node in known for name in node.origin}
    times = times_by_origin(built) | dict(built.times)
    found = {
        "time": Overlay("time", times, unit="s", note=note),
        "achieved": Overlay("precision achieved", precision, note=note),
    }
    return {name: overlay for name, overlay in found.items() if overlay.values}
