"""Integer graphs and the one numbering both policies stand on. Knows no names and no verdicts.

Every node is *ours* (flag 1: can be grouped) or *theirs* (flag 0: stands between). The
**alternation** x(v) of a node is the largest number of changes of side on any path that ends in v,
counted from a virtual node of theirs above everything: odd for ours, even for theirs, never falling
along an edge. Nodes of one odd value can share an engine, K = (max + 1) / 2 values are in use, and
a path with K runs exists, so no plan has fewer: Kennedy and McKinley's typed fusion with one type
(1994, hdl.handle.net/1911/96439). Counting from below gives the latest value of every node.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

Adjacency = Sequence[Sequence[int]]


@dataclass(frozen=True, slots=True)
class Dag:
    """A directed acyclic graph of the nodes 0 to n-1; adjacency lists have no repeats."""

    before: Adjacency
    after: Adjacency
    order: Sequence[int]
    """Any topological order of all nodes."""

    def __len__(self) -> int:
        return len(self.before)


@dataclass(frozen=True, slots=True)
class Window:
    """Earliest and latest alternation of every node, and the fewest groups there can be."""

    early: list[int]
    below: list[int]
    """Alternation counted from below; `late` is the highest value less this."""
    minimum: int
    """K: most runs of our nodes on any path; 0 where no node is ours."""

    @property
    def late(self) -> list[int]:
        """Latest alternation of every node."""
        top = 2 * self.minimum
        return [top - steps for steps in self.below]

    def of(self, nodes: list[int]) -> Window:
        """The same for some of the nodes, in this order."""
        early, below = self.early, self.below
        return Window([early[v] for v in nodes], [below[v] for v in nodes], self.minimum)


def alternation(order: Sequence[int], before: Adjacency, ours: Sequence[int]) -> list[int]:
    """Alternation of every node, counted along `before`; O(V + E)."""
    found = [0] * len(before)
    for v in order:
        above = before[v]
        if len(above) == 1:
            most = found[above[0]]
        elif above:
            most = max([found[p] for p in above])
        else:
            most = 0
        found[v] = most + ((most ^ ours[v]) & 1)
    return found


def longest_path(dag: Dag, ours: Sequence[int]) -> list[int]:
    """Nodes at which a path with most runs changes side, one for each run, ours first and last."""
    early = alternation(dag.order, dag.before, ours)
    ends = [v for v, mine in enumerate(ours) if mine]
    if not ends:
        return []
    at = max(ends, key=early.__getitem__)
    path = [at]
    while early[at] > 1:
        # The entry of this run: walk up as long as a node above has the same number.
        above = next((p for p in dag.before[at] if early[p] == early[at]), None)
        if above is None:
            above = next(p for p in dag.before[at] if early[p] == early[at] - 1)
            path.append(above)
        at = above
    return path[::-1]


def window(dag: Dag, ours: Sequence[int]) -> Window:
    """Earliest and latest alternation; any numbering between that never falls is a valid plan."""
    early = alternation(dag.order, dag.before, ours)
    below = alternation(dag.order[::-1], dag.after, ours)
    return Window(early, below, (max(early, default=0) + 1) // 2)


def clusters(dag: Dag, ours: Sequence[int], bounds: Window) -> list[int]:
    """A label for every node: our nodes joined by edges and free in the same window share one.

    Early and late values both never fall along an edge and both rise across a node of theirs, so
    these clusters together have no cycle, and none of them gives up freedom to move.
    """
    early, below = bounds.early, bounds.below
    wide = 2 * bounds.minimum + 1
    keys = [
        above * wide + under if mine else -1 - v
        for v, (above, under, mine) in enumerate(zip(early, below, ours, strict=True))
    ]
    return components(dag, keys)


def components(dag: Dag, keys: Sequence[int]) -> list[int]:
    """For every node the root of its component over the edges that join nodes of equal keys."""
    root = list(range(len(keys)))
    before = dag.before
    for v in dag.order:
        key = keys[v]
        mine = v
        for p in before[v]:
            if keys[p] == key:
                other = root[p]
                while other != root[other]:
                    root[other] = root[root[other]]
                    other = root[other]
                if mine == v:
                    mine = root[v] = other
                elif other != mine:
                    while mine != root[mine]:
                        mine = root[mine]
                    root[other] = mine
    for v in dag.order:
        at = v
        while at != root[at]:
            root[at] = root[root[at]]
            at = root[at]
        root[v] = at
    return root


@dataclass(frozen=True, slots=True)
class Quotient:
    """A dag with groups of nodes contracted to units, numbered in canonical topological order."""

    dag: Dag
    unit: list[int]
    """Node -> unit that holds it; -1 for nodes left out."""
    members: list[list[int]]
    """Unit -> nodes in it, in the order of the dag below."""


def quotient(dag: Dag, label: Sequence[int], names: Sequence[Any]) -> Quotient:
    """The dag with nodes of one label contracted; label -1 leaves a node out.

    Units are numbered by depth, then by the least name in them: the same for every order of the
    nodes below. The labels must be acyclic together.

    Args:
        dag: the graph below.
        label: node -> a number of 0 or more that its unit's nodes share, or -1.
        names: for every node something to sort by that identifies it whatever its place.
    """
    number = [-1] * (max(label, default=-1) + 1)
    members: list[list[int]] = []
    raw = [-1] * len(label)
    for v in dag.order:
        mark = label[v]
        if mark >= 0:
            at = number[mark]
            if at < 0:
                at = number[mark] = len(members)
                members.append([v])
            else:
                members[at].append(v)
            raw[v] = at
    edges = _contracted(dag, raw, len(members))
    order = _by_depth(edges, members, names)
    rank = [0] * len(order)
    for i, u in enumerate(order):
        rank[u] = i
    before: list[list[int]] = [[] for _ in order]
    after: list[list[int]] = [[] for _ in order]
    for w, u in edges:
        w, u = rank[w], rank[u]
        before[u].append(w)
        after[w].append(u)
    rank.append(-1)
    return Quotient(
        Dag(before, after, range(len(order))),
        [rank[u] for u in raw],
        [members[u] for u in order],
    )


def _contracted(dag: Dag, raw: list[int], count: int) -> list[tuple[int, int]]:
    # Integers in the set, not pairs: a pair costs an allocation for every edge, kept or not.
    edges: set[int] = set()
    for u, above in zip(raw, dag.before, strict=True):
        if u >= 0:
            for p in above:
                w = raw[p]
                if w != u and w >= 0:
                    edges.add(w * count + u)
    return [divmod(edge, count) for edge in edges]


def _by_depth(
    edges: list[tuple[int, int]], members: list[list[int]], names: Sequence[Any]
) -> list[int]:
    missing = [0] * len(members)
    after: list[list[int]] = [[] for _ in members]
    for w, u in edges:
        after[w].append(u)
        missing[u] += 1

    def least(u: int) -> Any:
        nodes = members[u]
        return names[nodes[0]] if len(nodes) == 1 else min([names[v] for v in nodes])

    layer = [u for u, count in enumerate(missing) if not count]
    order: list[int] = []
    while layer:
        if len(layer) > 1:
            layer.sort(key=least)
        order += layer
        deeper: list[int] = []
        for u in layer:
            for s in after[u]:
                missing[s] -= 1
                if not missing[s]:
                    deeper.append(s)
        layer = deeper
    if len(order) != len(members):
        raise AssertionError("the groups to contract lie on a cycle")
    return order
