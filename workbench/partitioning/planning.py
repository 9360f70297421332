"""`plan`: segments computed once; `Plan`: a threshold only filters them.

A segment's size, inputs, outputs and bytes do not depend on which other segments are kept, and
dissolving one removes contractions and so never makes a cycle. That is why a threshold is a binary
search over sorted sizes with prefix sums, and why raising it only ever removes segments.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import accumulate
from operator import itemgetter

from workbench.errors import PartitionError
from workbench.graph import Graph
from workbench.partitioning.advice import (
    CostModel,
    CurvePoint,
    Recommendation,
    Totals,
    curve_of,
    recommendation,
)
from workbench.partitioning.assembly import Frame, assembled, framed
from workbench.partitioning.boundary import nets
from workbench.partitioning.dag import longest_path
from workbench.partitioning.exclusion import Exclusion
from workbench.partitioning.grouping import POLICIES, divided, units
from workbench.partitioning.layout import Layout, layout
from workbench.partitioning.segments import Segments, collector_paused, measured
from workbench.partitioning.values import Capability, Code, Partition, Subgraph, Verdict
from workbench.text import listed, plural, shown

REMEMBERED = 16
"""Divisions a plan keeps, the latest ones."""

_Assembled = tuple[tuple[Subgraph, ...], tuple[Subgraph, ...], tuple[tuple[str, int], ...]]


@dataclass(frozen=True)
class Plan:
    """Segments of a graph for one capability, exclusion and policy; thresholds filter them."""

    graph: Graph
    capability: Capability
    policy: str
    exclude: Exclusion
    minimum: int
    """Fewest engines any plan that takes all these nodes can have: the most runs on one path."""
    segment_of: Sequence[int]
    """For each node, in `graph.nodes` order, its segment; -1 for one that can be in no engine.

    Segments are numbered from the largest to the smallest."""
    segments: Segments
    layout: Layout
    excluded: Mapping[str, str]
    """Excluded node name -> the rule, in words."""
    flops: Mapping[str, float]
    """Node name -> cost, as given."""
    uncounted: frozenset[str]
    """Operator types left out of sizes."""

    def __repr__(self) -> str:
        """Counts only; all of it can be millions of characters."""
        return (
            f"Plan({shown(self.graph.name)}: {plural(len(self.graph.nodes), 'node')}, "
            f"{plural(len(self.segments), 'segment')}, policy {shown(self.policy)}, "
            f"asked {shown(self.capability.source)})"
        )

    @cached_property
    def _prefix(self) -> list[list[float]]:
        parts = self.segments
        columns = (parts.nodes, parts.tensors, parts.nbytes, parts.flops)
        return [list(accumulate(column, initial=0)) for column in columns]

    @cached_property
    def _descending(self) -> list[int]:
        return [-size for size in self.segments.sizes]

    def count(self, min_subgraph_size: int, max_engines: int | None = None) -> int:
        """How many segments are kept: always the first ones."""
        _check(min_subgraph_size, max_engines)
        found = bisect_right(self._descending, -min_subgraph_size)
        return found if max_engines is None else min(found, max_engines)

    def totals(self, min_subgraph_size: int = 3, *, max_engines: int | None = None) -> Totals:
        """Engines, nodes and boundary at a threshold; a binary search."""
        n = self.count(min_subgraph_size, max_engines)
        nodes, tensors, nbytes, flops = (column[n] for column in self._prefix)
        return Totals(n, int(nodes), int(tensors), int(nbytes), flops)

    @cached_property
    def _gather(self) -> Callable[[list[Code]], tuple[Code, ...]]:
        slots = list(self.segment_of)
        base = len(self.segments.sizes)
        numbers = {code: base + i for i, code in enumerate(Code)}
        for v, s in enumerate(slots):
            if s < 0:
                slots[v] = numbers[self._native_verdict(v).code]
        if len(slots) < 2:
            return lambda codes: tuple(codes[slot] for slot in slots)
        return itemgetter(*slots)

    def codes(
        self, min_subgraph_size: int = 3, *, max_engines: int | None = None
    ) -> tuple[Code, ...]:
        """The verdict's code for every node at a threshold, in `graph.nodes` order."""
        fits = self.count(min_subgraph_size)
        kept = self.count(min_subgraph_size, max_engines)
        rest = len(self.segments.sizes) - fits
        row = [Code.TAKEN] * kept + [Code.ENGINE_LIMIT] * (fits - kept)
        return self._gather(row + [Code.BELOW_MIN_SIZE] * rest + list(Code))

    def _native_verdict(self, v: int) -> Verdict:
        name = self.graph.nodes[v].name
        if v in self.layout.folded:
            return Verdict(name, Code.FOLDED, "computed from constants alone")
        if name in self.excluded:
            return Verdict(name, Code.EXCLUDED, self.excluded[name])
        known = self.capability.by_node.get(name)
        return known or Verdict(
            name, Code.UNKNOWN, f"{shown(self.capability.source)} says nothing about it"
        )

    def at(
        self,
        min_subgraph_size: int = 3,
        *,
        max_engines: int | None = None,
        keep: Callable[[int], bool] | None = None,
    ) -> Partition:
        """The partition at a threshold: a segment is an engine from this many nodes on.

        Args:
            min_subgraph_size: at least 1; constants and folded nodes are not counted.
            max_engines: keep at most this many, the largest ones.
            keep: asked for every segment that is left, by its number in `segments`; those it
                refuses stay native.

        Raises:
            ValueError: a number out of range.
        """
        kept = self.count(min_subgraph_size, max_engines)
        fits = self.count(min_subgraph_size)
        with collector_paused():
            stays = [True] * kept + [False] * (len(self.segments) - kept)
            verdicts = list(self._taken)
            for s in range(len(self.segments)):
                if s >= kept:
                    code, why = Code.ENGINE_LIMIT, f"only the {max_engines} largest are kept"
                    if s >= fits:
                        code = Code.BELOW_MIN_SIZE
                        why = _too_small(self.segments.sizes[s], min_subgraph_size)
                elif keep and not keep(s):
                    stays[s] = False
                    code, why = Code.EXCLUDED, "the rule given as `keep` refuses its subgraph"
                else:
                    continue
                for v in self._frame.members[s]:
                    verdicts[v] = Verdict(self.graph.nodes[v].name, code, why)
            engines, native, order = self._assembled(tuple(stays))
            return Partition(
                self.graph, engines, tuple(verdicts), min_subgraph_size, self.policy, native, order
            )

    @cached_property
    def _assembled(self) -> Callable[[tuple[bool, ...]], _Assembled]:
        # Thresholds between two sizes of segments keep the same ones, and a slider comes back.
        return lru_cache(REMEMBERED)(lambda stays: assembled(self._frame, stays, self.policy))

    @cached_property
    def _frame(self) -> Frame:
        return framed(self.layout, self.segment_of, len(self.segments))

    @cached_property
    def _taken(self) -> list[Verdict]:
        """The verdicts where every segment is an engine."""
        return [
            Verdict(node.name, Code.TAKEN) if s >= 0 else self._native_verdict(v)
            for v, (node, s) in enumerate(zip(self.graph.nodes, self.segment_of, strict=True))
        ]

    def curve(self) -> tuple[CurvePoint, ...]:
        """Totals at every threshold at which something changes, from 1 on; exact for all others."""
        return curve_of(self.segments, self.totals)

    def recommended(self, model: CostModel = CostModel()) -> Recommendation:
        """The smallest threshold that saves most by a cost model, and why.

        The default model's constants are assumptions, not measurements of this machine.
        """
        return recommendation(self.segments, model)

    def certificate(self) -> tuple[str, ...]:
        """Names of nodes on one path that proves `minimum`: engine, native, engine ... in turn.

        The native ones among them are what keeps the number of engines from falling.
        """
        ours = [int(s >= 0) for s in self.segment_of]
        return tuple(self.graph.nodes[v].name for v in longest_path(self.layout.dag, ours))

    def replan(
        self,
        *,
        capability: Capability | None = None,
        policy: str | None = None,
        exclude: Exclusion | None = None,
    ) -> Plan:
        """The plan with something else, faster than a new one: what depends on the graph is kept.

        Costs and uncounted operator types stay as they are.
        """
        policy = self.policy if policy is None else policy
        _check_policy(policy)
        with collector_paused():
            return _planned(
                self.layout,
                self.capability if capability is None else capability,
                policy,
                self.exclude if exclude is None else exclude,
                self.flops,
                self.uncounted,
            )


def plan(
    graph: Graph,
    capability: Capability,
    *,
    policy: str = "connected",
    exclude: Exclusion = Exclusion(),
    flops: Mapping[str, float] | None = None,
    uncounted: frozenset[str] = frozenset(),
) -> Plan:
    """Segments of the nodes a backend takes, for every threshold at once.

    Args:
        graph: the graph to divide.
        capability: which of its nodes are taken, and why not the rest.
        policy: ``connected`` or ``fewest``; see the package.
        exclude: nodes to keep out.
        flops: node name -> cost, summed in `Totals.flops`.
        uncounted: operator types that do not count towards a segment's size.

    Raises:
        PartitionError: an exclusion that matches nothing, or a capability for another graph.
        ValueError: an unknown policy.
        TypeError: something else than a graph, or than a capability.
    """
    _check_policy(policy)
    _check_types(graph, capability)
    with collector_paused():
        return _planned(layout(graph), capability, policy, exclude, flops or {}, uncounted)


def _planned(
    plane: Layout,
    capability: Capability,
    policy: str,
    exclude: Exclusion,
    flops: Mapping[str, float],
    uncounted: frozenset[str],
) -> Plan:
    graph = plane.graph
    excluded = exclude.matches(graph)
    ours = _allowed(graph, capability)
    for name in excluded:
        ours[graph.position[name]] = 0
    for v in plane.folded:
        ours[v] = 0
    found = units(plane.dag, ours, plane.names, plane.folded)
    crossing = nets(plane, found.quotient.unit)
    group = divided(found, policy, crossing)
    segment_of, segments = measured(plane, found, group, crossing, flops, uncounted)
    return Plan(
        graph, capability, policy, exclude, found.bounds.minimum, segment_of, segments, plane,
        excluded, flops, uncounted,
    )  # fmt: skip


def _allowed(graph: Graph, capability: Capability) -> list[int]:
    known, taken = capability.by_node.get, Code.TAKEN
    verdicts = [known(node.name) for node in graph.nodes]
    ours = [1 if verdict and verdict.code is taken else 0 for verdict in verdicts]
    if sum([verdict is not None for verdict in verdicts]) != len(capability.verdicts) and (
        not capability.taken <= graph.position.keys()
    ):
        strange = sorted(capability.taken - graph.position.keys())
        raise PartitionError(
            f"capability of {shown(capability.source)} is not for graph {shown(graph.name)}: "
            f"it takes nodes that are not there: {listed(strange)}; ask it about this graph"
        )
    return ours


def _too_small(size: int, least: int) -> str:
    return f"its subgraph has {size} node{'s' * (size != 1)}, min_subgraph_size is {least}"


def _check_types(graph: object, capability: object) -> None:
    if not isinstance(graph, Graph):
        raise TypeError(
            f"a graph is planned, not a {shown(type(graph).__name__)}; give model.graph, with "
            "model = workbench.load(path)"
        )
    if not isinstance(capability, Capability):
        raise TypeError(
            f"capability is a {shown(type(capability).__name__)}; give what "
            "workbench.backends.source(name).capability(model) returns"
        )


def _check_policy(policy: str) -> None:
    if policy not in POLICIES:
        raise ValueError(f"policy is {shown(policy)}; must be one of {listed(POLICIES)}")


def _check(min_subgraph_size: int, max_engines: int | None) -> None:
    if not isinstance(min_subgraph_size, int) or min_subgraph_size < 1:
        raise ValueError(
            f"min_subgraph_size is {shown(min_subgraph_size)}; must be a whole number from 1"
        )
    if max_engines is not None and (not isinstance(max_engines, int) or max_engines < 0):
        raise ValueError(f"max_engines is {shown(max_engines)}; must be 0 or more, or None")


def partition(
    graph: Graph,
    capability: Capability,
    min_subgraph_size: int = 3,
    *,
    policy: str = "connected",
    exclude: Exclusion = Exclusion(),
) -> Partition:
    """The graph divided into engines and native regions; `plan(...).at(...)` in one call."""
    return plan(graph, capability, policy=policy, exclude=exclude).at(min_subgraph_size)
