"""What each part costs and holds, computed once for a plan from the tensors between its units."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from workbench.partitioning.boundary import Nets
from workbench.partitioning.grouping import Units
from workbench.partitioning.layout import Layout


@dataclass(frozen=True)
class Segments:
    """The parts a plan would put into engines, largest first, in parallel lists."""

    sizes: list[int]
    """Nodes counted against the threshold: all, unless the plan leaves operator types uncounted."""
    nodes: list[int]
    """Nodes."""
    tensors: list[int]
    """Inputs plus outputs."""
    nbytes: list[int]
    """Bytes of inputs plus outputs; a tensor of unknown size counts as 1."""
    flops: list[float]
    """Sum of what the plan was told its nodes cost."""

    def __len__(self) -> int:
        return len(self.sizes)


@contextmanager
def collector_paused() -> Iterator[None]:
    """A block without Python's cyclic garbage collector.

    Planning makes many small lists and no garbage cycles; at 100,000 nodes the collector would walk
    the whole model again and again for half of the time.
    """
    running = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if running:
            gc.enable()


def measured(
    layout: Layout,
    found: Units,
    group: list[int],
    crossing: Nets,
    flops: Mapping[str, float],
    uncounted: frozenset[str],
) -> tuple[list[int], Segments]:
    """For every node its segment or -1, and the segments, numbered from the largest on.

    Segments of equal size keep the canonical order of their first units.
    """
    members = found.quotient.members
    nodes: dict[int, int] = {}
    for mark, inside in zip(group, members, strict=True):
        if mark >= 0:
            nodes[mark] = nodes.get(mark, 0) + len(inside)
    sizes = _counted(layout, group, members, uncounted) if uncounted else nodes
    ranked = sorted(nodes, key=lambda mark: -sizes[mark])
    rank = {mark: s for s, mark in enumerate(ranked)}
    rank[-1] = -1
    of_unit = [rank[mark] for mark in group]
    of_unit.append(-1)
    segment_of = [of_unit[u] for u in found.quotient.unit]
    tensors, nbytes = _boundaries(crossing, of_unit, len(ranked))
    costs = [0.0] * len(ranked)
    for name, cost in flops.items():
        s = segment_of[layout.graph.position[name]]
        if s >= 0:
            costs[s] += cost
    return segment_of, Segments(
        [sizes[mark] for mark in ranked], [nodes[mark] for mark in ranked], tensors, nbytes, costs
    )


def _counted(
    layout: Layout, group: list[int], members: list[list[int]], uncounted: frozenset[str]
) -> dict[int, int]:
    nodes = layout.graph.nodes
    sizes: dict[int, int] = {}
    for mark, inside in zip(group, members, strict=True):
        count = sum(nodes[v].op_type not in uncounted for v in inside)
        sizes[mark] = sizes.get(mark, 0) + count
    return sizes


def _boundaries(crossing: Nets, segment: list[int], count: int) -> tuple[list[int], list[int]]:
    tensors, nbytes = [0] * (count + 1), [0] * (count + 1)
    for maker, readers, given, size in crossing.rows():
        own = segment[maker]
        ends = {segment[u] for u in readers}
        ends.discard(own)
        if ends or given:
            ends.add(own)
        for s in ends:
            tensors[s] += 1
            nbytes[s] += size
    # The slot behind the last one gathered what native nodes read and make.
    return tensors[:count], nbytes[:count]
