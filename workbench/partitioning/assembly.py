"""From segments that are kept to a `Partition`: native regions, inputs and outputs, order."""

from __future__ import annotations

from collections.abc import Sequence

from workbench.partitioning.boundary import nets
from workbench.partitioning.dag import quotient
from workbench.partitioning.grouping import divided, units
from workbench.partitioning.layout import Layout
from workbench.partitioning.values import Partition, Subgraph, Verdict


def assembled(
    layout: Layout,
    engine: Sequence[int],
    verdicts: tuple[Verdict, ...],
    min_subgraph_size: int,
    policy: str,
) -> Partition:
    """The partition whose engines are given, with the rest grouped into native regions.

    Args:
        layout: the graph.
        engine: node -> a number its engine's nodes share, -1 outside engines.
        verdicts: one for each node, in the graph's order.
        min_subgraph_size: what the partition says it was filtered by.
        policy: how native regions are grouped.
    """
    part = _parts(layout, engine, policy)
    final = quotient(layout.dag, part, layout.names)
    engines: list[Subgraph] = []
    native: list[Subgraph] = []
    order: list[tuple[str, int]] = []
    crossing = _Crossing(layout, final.unit)
    if layout.pinned:
        native.append(_pinned_region(layout))
        order.append(("native", 0))
    for u, members in enumerate(final.members):
        kind, found = ("engine", engines) if engine[members[0]] >= 0 else ("native", native)
        order.append((kind, len(found)))
        found.append(crossing.subgraph(len(found), u, members))
    return Partition(
        layout.graph, tuple(engines), verdicts, min_subgraph_size, policy, tuple(native),
        tuple(order),
    )  # fmt: skip


def _parts(layout: Layout, engine: Sequence[int], policy: str) -> list[int]:
    """Node -> engine or native region, numbered by no rule; -1 for folded nodes."""
    base = max(engine, default=-1) + 1
    label = [e if e >= 0 else -1 if v in layout.folded else base + v for v, e in enumerate(engine)]
    whole = quotient(layout.dag, label, layout.names)
    native = [int(engine[members[0]] < 0) for members in whole.members]
    names = [min(layout.names[v] for v in members) for members in whole.members]
    found = units(whole.dag, native, names, ())
    small = [*found.quotient.unit, -1]
    crossing = nets(layout, [small[u] for u in whole.unit]) if policy == "fewest" else None
    region = [*divided(found, policy, crossing), -1]
    return [
        e if e >= 0 else base + region[small[u]] if u >= 0 else -1
        for e, u in zip(engine, whole.unit, strict=True)
    ]


def _pinned_region(layout: Layout) -> Subgraph:
    """Outputs of the graph that are constants: nothing flows in, so the region can run first."""
    nodes = layout.graph.nodes
    pinned = set(layout.pinned)
    mine = [v for v in layout.dag.order if v in pinned]
    others = [v for v in layout.folded_for(mine) if v not in pinned]
    given = [t for v in mine for t in nodes[v].makes if t in layout.given]
    return Subgraph(
        0, tuple(nodes[v].name for v in mine), (), tuple(given),
        tuple(nodes[v].name for v in others),
    )  # fmt: skip


class _Crossing:
    """Which tensors enter and leave each part."""

    def __init__(self, layout: Layout, unit: Sequence[int]) -> None:
        self.layout = layout
        self.inputs: dict[int, list[str]] = {}
        self.leaving = set(layout.given)
        outside = {v for readers in layout.external.values() for v in readers}
        producer, external, nodes = layout.graph.producer, layout.external, layout.graph.nodes
        for v in layout.dag.order:
            mine = unit[v]
            if mine < 0:
                continue
            if v in outside or any(unit[p] != mine for p in layout.dag.before[v]):
                inputs = self.inputs.setdefault(mine, [])
                for tensor in nodes[v].reads:
                    maker = producer.get(tensor)
                    if maker is None:
                        if tensor in external:
                            inputs.append(tensor)
                    elif unit[maker] != mine and unit[maker] >= 0:
                        inputs.append(tensor)
                        self.leaving.add(tensor)

    def subgraph(self, index: int, unit: int, members: list[int]) -> Subgraph:
        nodes = self.layout.graph.nodes
        leaving = self.leaving
        return Subgraph(
            index,
            tuple([nodes[v].name for v in members]),
            tuple(dict.fromkeys(self.inputs.get(unit, ()))),
            tuple([t for v in members for t in nodes[v].outputs if t in leaving]),
            tuple([nodes[v].name for v in self.layout.folded_for(members)]),
        )
