"""Which nodes of a graph are drawn as one box: engines, and blocks that repeat."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain

from workbench.graph import Graph, origin_of
from workbench.layout import Problem
from workbench.layout.cutting import Piece, cut
from workbench.partitioning import Code, Partition
from workbench.text import shown

LEAST_BLOCK = 4
"""A block of fewer nodes is not worth folding."""


@dataclass(frozen=True, slots=True)
class Group:
    """Nodes that can be drawn as one box."""

    key: str
    """Name of its first node; stays the same while the threshold moves other groups."""
    kind: str
    """``engine`` or ``block``."""
    title: str
    """What to call it, safe to show."""
    members: tuple[int, ...]
    """Places in `Graph.nodes`."""


@dataclass(frozen=True, slots=True)
class Homes:
    """Which engine each original node is in."""

    engine: tuple[int, ...]
    """For each original node the number of its engine, -1 outside of engines."""
    keys: tuple[str, ...]
    """Name of the first original node of each engine."""
    folded: frozenset[int] = frozenset()
    """Places of nodes computed from constants alone: in no engine, copied to whoever reads them."""

    def __len__(self) -> int:
        return len(self.keys)


NO_HOMES = Homes((), ())


def homes_of(original: Graph, partition: Partition | None, derived: Graph | None) -> Homes:
    """Engines by the partition; without one by the layers of `derived` that say ``engine N``."""
    if partition is not None:
        engine, place = [-1] * len(original.nodes), original.position.__getitem__
        for part in partition.subgraphs:
            for i in map(place, part.nodes):
                engine[i] = part.index
        constant = Code.FOLDED
        folded = [i for i, v in enumerate(partition.verdicts) if v.code is constant]
        keys = tuple(part.nodes[0] for part in partition.subgraphs)
        return Homes(tuple(engine), keys, frozenset(folded))
    if derived is None:
        return Homes((-1,) * len(original.nodes), ())
    return _homes_by_layers(original, derived)


def _homes_by_layers(original: Graph, derived: Graph) -> Homes:
    members: dict[str, list[int]] = {}
    for node in derived.nodes:
        part = node.attributes.get("part")
        if isinstance(part, str) and part.startswith("engine"):
            found = (original.position.get(name) for name in origin_of(node))
            members.setdefault(part, []).extend(i for i in found if i is not None)
    engine, keys = [-1] * len(original.nodes), []
    for places in members.values():
        if places:
            for i in places:
                engine[i] = len(keys)
            keys.append(original.nodes[min(places)].name)
    return Homes(tuple(engine), tuple(keys))


def engine_groups(graph: Graph, original: Graph, homes: Homes) -> list[Group]:
    """The engines of a graph whose nodes are originals, or layers that come from originals.

    A layer is in an engine when all its originals that are in any are in that one. A folded node
    goes to its consumers' engine if they have the same; grouping that would close a cycle is
    given up.
    """
    if graph is original:
        home: list[int | None] = list(homes.engine)
        for i in homes.folded:
            home[i] = None
    else:
        home = [_home_of(graph, i, original, homes) for i in range(len(graph.nodes))]
    if None in home:
        for i in reversed(graph.order):
            if home[i] is not None:
                continue
            ends = {home[j] for j in graph.successors[i]}
            one = ends.pop() if len(ends) == 1 else -1
            home[i] = -1 if one is None else one
    members: list[list[int]] = [[] for _ in homes.keys]
    for i in graph.order:
        place = home[i]
        if place is not None and place >= 0:
            members[place].append(i)
    groups = [
        Group(homes.keys[e], "engine", f"Engine {e}", tuple(places))
        for e, places in enumerate(members)
        if places
    ]
    return groups if acyclic(graph, groups) else []


def _home_of(graph: Graph, i: int, original: Graph, homes: Homes) -> int | None:
    """The engine of a node; None for one that is folded and goes with its consumers."""
    found, loose = set(), True
    for name in origin_of(graph.nodes[i]):
        place = original.position.get(name)
        if place is None or place not in homes.folded:
            loose = False
        if place is not None and homes.engine[place] >= 0:
            found.add(homes.engine[place])
    if len(found) == 1:
        return found.pop()
    return None if loose else -1


def acyclic(graph: Graph, groups: Iterable[Group]) -> bool:
    """Whether the graph is still without a cycle when each group is one node."""
    unit = list(range(len(graph.nodes)))
    for group in groups:
        for i in group.members:
            unit[i] = group.members[0]
    after: dict[int, set[int]] = {}
    for mine, before in zip(unit, graph.predecessors, strict=True):
        for j in before:
            if unit[j] != mine:
                after.setdefault(unit[j], set()).add(mine)
    missing = Counter(chain.from_iterable(after.values()))
    units = set(unit)
    ready = [u for u in units if not missing[u]]
    done = 0
    while ready:
        u = ready.pop()
        done += 1
        for head in after.get(u, ()):
            missing[head] -= 1
            if not missing[head]:
                ready.append(head)
    return done == len(units)


def block_groups(graph: Graph) -> list[Group]:
    """Pieces between two cuts that occur more than once, each with the chain that follows it."""
    count = len(graph.nodes)
    edges = [(j, i) for i, before in enumerate(graph.predecessors) for j in before]
    for k, spec in enumerate(graph.inputs):
        edges += [(count + k, i) for i in graph.consumers.get(spec.name, ())]
    pieces, _ = cut(Problem(((1.0, 1.0),) * (count + len(graph.inputs)), tuple(edges)))
    runs = _runs(graph, pieces)
    tails: dict[_Core, tuple[str, ...]] = {}
    for run in runs:
        ops = tuple(graph.nodes[i].op_type for i in run.tail)
        tails[run.core] = _same_start(tails.get(run.core, ops), ops)
    common = Counter(run.core for run in runs)
    repeated = (core for core, times in common.items() if times > 1)
    letters = {core: _letter(i) for i, core in enumerate(repeated)}
    groups = []
    for run in runs:
        members = (*run.members, *run.tail[: len(tails[run.core])])
        if run.core in letters and len(members) >= LEAST_BLOCK:
            title = f"Block {letters[run.core]}"
            groups.append(Group(graph.nodes[members[0]].name, "block", title, members))
    return groups


_Core = tuple[object, ...]


@dataclass
class _Run:
    """A piece with branches and the chain of single nodes after it."""

    core: _Core
    members: tuple[int, ...]
    tail: list[int]


def _runs(graph: Graph, pieces: Iterable[Piece]) -> list[_Run]:
    runs: list[_Run] = []
    for piece in pieces:
        boxes = piece.boxes[1:] if piece.top else piece.boxes
        members = tuple(i for i in boxes if i < len(graph.nodes))
        if len(piece.boxes) > 2:
            ops = tuple(graph.nodes[i].op_type for i in members)
            runs.append(_Run((ops, tuple(sorted(piece.edges))), members, []))
        elif runs:
            runs[-1].tail.extend(members)
    return runs


def _same_start(one: tuple[str, ...], other: tuple[str, ...]) -> tuple[str, ...]:
    same = 0
    while same < min(len(one), len(other)) and one[same] == other[same]:
        same += 1
    return one[:same]


def _letter(number: int) -> str:
    text = ""
    number += 1
    while number:
        number, rest = divmod(number - 1, 26)
        text = chr(65 + rest) + text
    return text


def common_prefix(names: Sequence[str]) -> str:
    """What all names start with, up to the last `/` or `.`; safe to show."""
    first, last = min(names), max(names)
    same = 0
    while same < min(len(first), len(last)) and first[same] == last[same]:
        same += 1
    end = max(first.rfind("/", 0, same), first.rfind(".", 0, same))
    return shown(first[:end]) if end > 0 else ""


def top_operators(graph: Graph, members: Sequence[int], most: int = 3, limit: int = 34) -> str:
    """``Conv 20, Relu 17, …``: the operators there are most of, safe to show."""
    nodes = graph.nodes
    counted = Counter([nodes[i].op_type for i in members]).most_common()
    text = ""
    for number, (op, count) in enumerate(counted):
        more = f"{', ' if text else ''}{shown(op, 24)} {count}"
        if number == most or (text and len(text) + len(more) > limit):
            return text + ", …"
        text += more
    return text
