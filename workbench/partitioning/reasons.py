"""Why a node is where it is, and why two nodes are not in one engine: answers with a witness."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

from workbench.errors import PartitionError
from workbench.partitioning.dag import Quotient
from workbench.partitioning.values import Code, Partition, Verdict
from workbench.text import listed, nearest, shown

WORDS = {
    Code.TAKEN: "in engine {engine}, with {others} other nodes",
    Code.UNSUPPORTED_OP: "native: its operator is not supported",
    Code.UNSUPPORTED_TYPE: "native: an element type of it is not supported",
    Code.UNSUPPORTED_ATTRIBUTE: "native: an attribute or input of it is not supported",
    Code.DYNAMIC_SHAPE: "native: a shape of it is not known when the engine is built",
    Code.DATA_DEPENDENT_SHAPE: "native: the shape of its result depends on values",
    Code.EXCLUDED: "native: excluded by the user",
    Code.BELOW_MIN_SIZE: "native: it could be in an engine, but its subgraph is too small",
    Code.WOULD_FORM_CYCLE: "native: in an engine it would close a cycle",
    Code.ENGINE_LIMIT: "native: it could be in an engine, but there are enough larger ones",
    Code.FOLDED: "computed from constants, copied to whoever reads it",
    Code.BUILD_FAILED: "native: its engine could not be built",
    Code.UNKNOWN: "native: nobody could say whether it is supported",
}


class Apart(StrEnum):
    """Why two nodes are not in one engine."""

    TOGETHER = "together"
    """They are."""
    NATIVE = "native"
    """One of them is in no engine."""
    CYCLE = "cycle"
    """Merging their engines would close a cycle; the witness is a path between them."""
    UNCONNECTED = "unconnected"
    """No tensor joins their engines, and the policy keeps engines connected."""
    THRESHOLD = "threshold"
    """A subgraph stood between that the threshold dissolved; nothing keeps them apart any more."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a node is where it is."""

    node: str
    code: Code
    text: str
    """In words, safe to print."""
    engine: int | None
    """Index of its engine, None for a node outside engines."""
    fence: tuple[str, ...] = ()
    """For a node whose subgraph is not kept: the nodes around that subgraph, which bound it."""


@dataclass(frozen=True, slots=True)
class Witness:
    """Why two nodes are or are not in one engine."""

    a: str
    b: str
    kind: Apart
    text: str
    """In words, safe to print."""
    path: tuple[str, ...] = ()
    """One node of each part on a path from one engine to the other, both ends included."""


def explain(partition: Partition, node: str) -> Explanation:
    """The verdict on a node in words.

    Raises:
        PartitionError: the graph has no such node.
    """
    verdict = _verdict(partition, node)
    engine = partition.engine_of.get(node)
    others = len(partition.subgraphs[engine]) - 1 if engine is not None else 0
    text = f"{shown(node)} is {WORDS[verdict.code].format(engine=engine, others=others)}"
    if verdict.reason:
        text += f" ({shown(verdict.reason, 400)})"
    fence: tuple[str, ...] = ()
    if verdict.code in (Code.BELOW_MIN_SIZE, Code.ENGINE_LIMIT):
        fence = _fence(partition, node)
        text += f"; bounded by {listed(fence)}" if fence else "; nothing else is connected to it"
    return Explanation(node, verdict.code, text, engine, fence)


def why_apart(partition: Partition, a: str, b: str) -> Witness:
    """Why two nodes are not in the same engine.

    The first question to a partition prepares its quotient graph; later ones only search it.

    Raises:
        PartitionError: the graph has no such node.
    """
    for name in (a, b):
        verdict = _verdict(partition, name)
        if not verdict.taken:
            return Witness(a, b, Apart.NATIVE, explain(partition, name).text)
    engines = partition.engine_of
    if engines[a] == engines[b]:
        return Witness(a, b, Apart.TOGETHER, f"both are in engine {engines[a]}")
    quotient = partition.quotient
    position = partition.graph.position
    units = sorted((quotient.unit[position[a]], quotient.unit[position[b]]))
    found = _detour(quotient, *units)
    if found:
        path = _nodes_along(partition, quotient, found)
        return Witness(a, b, Apart.CYCLE, _cycle_text(partition, path), path)
    names = f"engines {engines[a]} and {engines[b]}"
    if partition.policy == "connected" and units[1] not in quotient.dag.after[units[0]]:
        return Witness(
            a, b, Apart.UNCONNECTED,
            f"no tensor goes between {names}, and policy `connected` keeps an engine in one piece",
        )  # fmt: skip
    return Witness(
        a, b, Apart.THRESHOLD,
        f"{names} were planned apart because of a subgraph between them that is native at "
        f"min_subgraph_size {partition.min_subgraph_size}; engines are not merged again afterwards",
    )  # fmt: skip


def _verdict(partition: Partition, node: str) -> Verdict:
    if node not in partition.by_node:
        hint = nearest(node, partition.by_node)
        raise PartitionError(
            f"graph {shown(partition.graph.name)} has no node {shown(node)}{hint}; "
            f"ask about one of its {len(partition.verdicts)} nodes"
        )
    return partition.by_node[node]


def _fence(partition: Partition, node: str) -> tuple[str, ...]:
    """Nodes next to the connected supported nodes around `node` that share its verdict."""
    graph, verdicts = partition.graph, partition.verdicts
    start = graph.position[node]
    code = verdicts[start].code
    inside, outside, stack = {start}, set(), [start]
    while stack:
        v = stack.pop()
        for w in (*graph.predecessors[v], *graph.successors[v]):
            if verdicts[w].code is code:
                if w not in inside:
                    inside.add(w)
                    stack.append(w)
            elif verdicts[w].code is not Code.FOLDED:
                outside.add(w)
    return tuple(graph.nodes[w].name for w in sorted(outside))


def _detour(quotient: Quotient, first: int, last: int) -> list[int]:
    """A shortest path through at least one other unit; units are in topological order."""
    after = quotient.dag.after
    came: dict[int, int] = {first: -1}
    queue = deque([first])
    while queue:
        u = queue.popleft()
        for s in after[u]:
            if s == last and u != first:
                path = [last, u]
                while path[-1] != first:
                    path.append(came[path[-1]])
                return path[::-1]
            if s < last and s not in came:
                came[s] = u
                queue.append(s)
    return []


def _nodes_along(partition: Partition, quotient: Quotient, units: list[int]) -> tuple[str, ...]:
    """A node of every unit on the path: where the path leaves the first, then where it enters."""
    graph = partition.graph
    path: list[int] = []
    for above, below in pairwise(units):
        inside = quotient.unit
        leave, enter = next(
            (p, v)
            for v in quotient.members[below]
            for p in graph.predecessors[v]
            if inside[p] == above
        )
        if not path:
            path.append(leave)
        path.append(enter)
    return tuple(graph.nodes[v].name for v in path)


def _cycle_text(partition: Partition, path: tuple[str, ...]) -> str:
    engines = partition.engine_of
    steps = [
        f"{shown(name)} (engine {engines[name]})"
        if name in engines
        else f"{shown(name)} (native, {partition.by_node[name].code})"
        for name in path
    ]
    if len(steps) > 6:
        steps = [*steps[:3], f"{len(steps) - 6} more", *steps[-3:]]
    return (
        f"merging engines {engines[path[0]]} and {engines[path[-1]]} would close a cycle: "
        f"{' -> '.join(steps)}"
    )
