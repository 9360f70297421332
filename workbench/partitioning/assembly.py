"""From segments that are kept to the content of a `Partition`: regions, inputs, outputs, order.

What no threshold changes about a segment (its nodes, tensors, folded constants) is found once, in a
`Frame`. A partition then works on a small graph: one unit for each segment that is kept, and the
nodes outside of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from workbench.partitioning.boundary import nets
from workbench.partitioning.dag import Dag, quotient
from workbench.partitioning.grouping import divided, units
from workbench.partitioning.layout import Layout
from workbench.partitioning.values import Subgraph

_Texts = tuple[str, ...]
_Part = tuple[_Texts, _Texts, _Texts, _Texts]


@dataclass(frozen=True)
class Frame:
    """Segments of a graph, with what is true of them at every threshold."""

    layout: Layout
    segment_of: Sequence[int]
    """Node -> segment, or -1."""
    members: list[list[int]]
    """Segment -> its nodes in execution order."""
    names: list[str]
    """Segment -> the least name of its nodes."""
    above: list[list[int]]
    """Segment -> nodes outside of it that it reads from; folded ones are left out."""
    parts: list[_Part]
    """Segment -> nodes, inputs, outputs and folded nodes of the `Subgraph` it can become."""
    loose: list[int]
    """Nodes in no segment, in execution order; folded ones are left out."""
    rank: list[int]
    """Node -> place in execution order."""


@dataclass(frozen=True)
class _Small:
    """Engines that are kept as one node each, then every node outside engines."""

    dag: Dag
    names: list[str]
    engines: int
    """How many of the first are engines."""
    free: list[int]
    """Behind these the nodes of the graph below."""
    at: list[int]
    """Node of the graph below -> node here; -1 for folded ones."""


def framed(layout: Layout, segment_of: Sequence[int], count: int) -> Frame:
    """What thresholds filter: the segments 0 to `count` - 1 of a graph."""
    members: list[list[int]] = [[] for _ in range(count)]
    loose: list[int] = []
    rank = [0] * len(segment_of)
    for place, v in enumerate(layout.dag.order):
        rank[v] = place
        if segment_of[v] >= 0:
            members[segment_of[v]].append(v)
        elif v not in layout.folded:
            loose.append(v)
    unit = [s if s >= 0 else count + v for v, s in enumerate(segment_of)]
    for v in layout.folded:
        unit[v] = -1
    inputs = [_entering(layout, unit, inside) for inside in members]
    leaving = set(layout.given).union(*inputs, *(layout.graph.nodes[v].reads for v in loose))
    before = layout.dag.before
    return Frame(
        layout,
        segment_of,
        members,
        [min([layout.names[v] for v in inside]) for inside in members],
        [
            list({p for v in inside for p in before[v] if unit[p] != s and unit[p] >= 0})
            for s, inside in enumerate(members)
        ],
        [
            _part(layout, inside, entering, leaving)
            for inside, entering in zip(members, inputs, strict=True)
        ],
        loose,
        rank,
    )


def assembled(
    frame: Frame, kept: Sequence[bool], policy: str
) -> tuple[tuple[Subgraph, ...], tuple[Subgraph, ...], tuple[tuple[str, int], ...]]:
    """Engines, native regions and the order of execution, as `Partition` has them.

    Args:
        frame: the graph and its segments.
        kept: for each segment whether it becomes an engine.
        policy: how native regions are grouped.
    """
    layout = frame.layout
    chosen = [s for s, stays in enumerate(kept) if stays]
    small = _small(frame, kept, chosen)
    final = quotient(small.dag, _parts(layout, small, policy), small.names)
    unit = [final.unit[w] if w >= 0 else -1 for w in small.at]
    outside = [
        None if members[0] < small.engines else [small.free[w - small.engines] for w in members]
        for members in final.members
    ]
    entering = [_entering(layout, unit, inside) if inside else [] for inside in outside]
    leaving = set(layout.given).union(*(frame.parts[s][1] for s in chosen), *entering)
    engines: list[Subgraph] = []
    native: list[Subgraph] = []
    order: list[tuple[str, int]] = []
    if layout.pinned:
        native.append(_pinned_region(layout))
        order.append(("native", 0))
    for members, inside, found in zip(final.members, outside, entering, strict=True):
        if inside is None:
            order.append(("engine", len(engines)))
            engines.append(Subgraph(len(engines), *frame.parts[chosen[members[0]]]))
        else:
            order.append(("native", len(native)))
            native.append(Subgraph(len(native), *_part(layout, inside, found, leaving)))
    return tuple(engines), tuple(native), tuple(order)


def _small(frame: Frame, kept: Sequence[bool], chosen: Sequence[int]) -> _Small:
    free = frame.loose
    dissolved = [v for s, stays in enumerate(kept) if not stays for v in frame.members[s]]
    if dissolved:
        free = sorted(free + dissolved, key=frame.rank.__getitem__)
    number = [-1] * (len(kept) + 1)
    for w, s in enumerate(chosen):
        number[s] = w
    at = [number[s] for s in frame.segment_of]
    for w, v in enumerate(free, len(chosen)):
        at[v] = w
    below = frame.layout.dag.before
    before = [sorted({at[p] for p in frame.above[s]}) for s in chosen]
    before += [sorted({at[p] for p in below[v]} - {-1}) for v in free]
    after: list[list[int]] = [[] for _ in before]
    for w, above in enumerate(before):
        for p in above:
            after[p].append(w)
    names = frame.layout.names
    return _Small(
        # Nobody asks for a topological order of this one: it is contracted before it is walked.
        Dag(before, after, range(len(before))),
        [frame.names[s] for s in chosen] + [names[v] for v in free],
        len(chosen),
        free,
        at,
    )


def _parts(layout: Layout, small: _Small, policy: str) -> list[int]:
    """Node of the small graph -> engine or native region, numbered by no rule."""
    whole = quotient(small.dag, range(len(small.dag)), small.names)
    own = [members[0] for members in whole.members]
    native = [int(w >= small.engines) for w in own]
    found = units(whole.dag, native, [small.names[w] for w in own], ())
    cluster = [found.quotient.unit[u] for u in whole.unit]
    crossing = None
    if policy == "fewest":
        crossing = nets(layout, [cluster[w] if w >= 0 else -1 for w in small.at])
    region = divided(found, policy, crossing)
    return [w if w < small.engines else small.engines + region[at] for w, at in enumerate(cluster)]


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


def _entering(layout: Layout, unit: Sequence[int], inside: Sequence[int]) -> list[str]:
    """Tensors the nodes of one unit read from elsewhere, with repeats."""
    mine, before, outer = unit[inside[0]], layout.dag.before, layout.readers
    producer, external, nodes = layout.graph.producer, layout.external, layout.graph.nodes
    found: list[str] = []
    for v in inside:
        if v in outer or any(unit[p] != mine for p in before[v]):
            for tensor in nodes[v].reads:
                maker = producer.get(tensor)
                if maker is None:
                    if tensor in external:
                        found.append(tensor)
                elif unit[maker] != mine and unit[maker] >= 0:
                    found.append(tensor)
    return found


def _part(
    layout: Layout, inside: Sequence[int], entering: Sequence[str], leaving: AbstractSet[str]
) -> _Part:
    nodes = layout.graph.nodes
    return (
        tuple([nodes[v].name for v in inside]),
        tuple(dict.fromkeys(entering)),
        tuple([t for v in inside for t in nodes[v].outputs if t in leaving]),
        tuple([nodes[v].name for v in layout.folded_for(inside)]),
    )
