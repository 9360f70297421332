"""Policy `connected`: grow clusters along data edges until no two adjacent ones can be merged.

The fewest connected groups are NP-hard to find (reduction from exact cover), so this is a greedy
that ends maximal: merging any two adjacent groups would close a cycle. A pair with a path through
a node of theirs between them is blocked for ever and is filtered out first, for all pairs at once,
with integers as bit sets. The pairs left are merged in a dynamic topological order in the manner of
Pearce and Kelly (2006).
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heapify, heappop, heappush

from workbench.partitioning.dag import Adjacency, Dag

PAGE = 2048
"""Sources one pass of the filter follows, in bits of one integer."""

REACH = 4 * PAGE
"""Sources with a candidate further away than this many units share pages of their own."""

DIRECT, AROUND, BLOCKED = 1, 2, 4


def connected(dag: Dag, ours: Sequence[int]) -> list[int]:
    """For every node of the dag a representative of its group; nodes of theirs stand alone.

    Args:
        dag: its nodes must be numbered in topological order; the result depends on the numbering.
        ours: 1 for nodes that can be grouped.
    """
    pairs = candidates(dag, ours)
    drop_blocked(dag, ours, pairs)
    return _Merger(dag, ours, pairs).run()


def candidates(dag: Dag, ours: Sequence[int]) -> dict[int, set[int]]:
    """For every node of ours the nodes of ours it feeds, where there are any."""
    found: dict[int, set[int]] = {}
    for u, below in enumerate(dag.after):
        if ours[u]:
            mine = {s for s in below if ours[s]}
            if mine:
                found[u] = mine
    return found


def drop_blocked(dag: Dag, ours: Sequence[int], pairs: dict[int, set[int]]) -> None:
    """Remove from `pairs` those with a path through a node of theirs between the two."""
    far = [u for u, targets in pairs.items() if max(targets) - u > REACH]
    near = [u for u, targets in pairs.items() if max(targets) - u <= REACH]
    for sources in (near, far):
        sources.sort()
        for first in range(0, len(sources), PAGE):
            _filter(dag.before, ours, pairs, sources[first : first + PAGE])


def _filter(
    before: Adjacency, ours: Sequence[int], pairs: dict[int, set[int]], sources: list[int]
) -> None:
    first, last = sources[0], max(max(pairs[u]) for u in sources)
    bit = {u: 1 << i for i, u in enumerate(sources)}
    asked: dict[int, list[int]] = {}
    for u in sources:
        for target in pairs[u]:
            asked.setdefault(target, []).append(u)
    reached: list[int] = []
    through: list[int] = []
    for u in range(first, last + 1):
        any_path = blocked = 0
        for p in before[u]:
            if p >= first:
                any_path |= reached[p - first]
                blocked |= through[p - first]
        if not ours[u]:
            blocked = any_path
        elif blocked and u in asked:
            for source in asked[u]:
                if blocked & bit[source]:
                    pairs[source].discard(u)
                    if not pairs[source]:
                        del pairs[source]
        reached.append(any_path | bit[u] if u in bit else any_path)
        through.append(blocked)


class _Merger:
    """Groups under way: union-find, adjacency by root, and a topological order of the roots."""

    def __init__(self, dag: Dag, ours: Sequence[int], pairs: dict[int, set[int]]) -> None:
        self.root = list(range(len(dag)))
        self.place = list(range(len(dag)))
        self.at = list(range(len(dag)))
        self.before = list(dag.before)
        self.after = list(dag.after)
        self.ours = ours
        self.pairs = pairs

    def find(self, u: int) -> int:
        root = self.root
        while u != root[u]:
            root[u] = root[root[u]]
            u = root[u]
        return u

    def run(self) -> list[int]:
        merged = True
        while merged:
            merged = False
            for u in sorted(self.pairs, key=self.place.__getitem__, reverse=True):
                if u in self.pairs and self.sweep(u):
                    merged = True
        return [self.find(u) for u in range(len(self.root))]

    def sweep(self, u: int) -> bool:
        """Merge into `u` every candidate below it that no other path leads to."""
        find, place, ours = self.find, self.place, self.ours
        targets = {find(t) for t in self.pairs.pop(u)} - {u}
        later: set[int] = set()
        below = {find(s) for s in self.after[u]} - {u}
        self.after[u] = list(below)
        state = dict.fromkeys(below, DIRECT)
        heap = [place[s] for s in below]
        heapify(heap)
        seen: list[int] = []
        merged = False
        while targets:
            v = self.at[heappop(heap)]
            how = state[v]
            if v in targets:
                targets.discard(v)
                if how == DIRECT:
                    self.contract(u, v, seen)
                    merged = True
                    targets |= {find(t) for t in self.pairs.pop(v, ())} - {u} - later
                    for s in {find(s) for s in self.after[v]}:
                        if s not in state:
                            heappush(heap, place[s])
                        state[s] = state.get(s, 0) | DIRECT
                    continue
                if not how & BLOCKED:
                    later.add(v)
            seen.append(v)
            how = AROUND if ours[v] and not how & BLOCKED else BLOCKED
            for s in self.after[v]:
                s = find(s)
                if s not in state:
                    heappush(heap, place[s])
                state[s] = state.get(s, 0) | how
        if later:
            self.pairs[u] = later
        return merged

    def contract(self, u: int, v: int, seen: list[int]) -> None:
        """Make `v` part of `u`; `seen` are the units between them that `u` reaches."""
        place, at = self.place, self.at
        if seen:
            above = self.between(u, v)
            slots = sorted([place[w] for w in seen] + [place[w] for w in above] + [place[u]])
            above.sort(key=place.__getitem__)
            tail = sorted(seen, key=place.__getitem__)
            at[place[v]] = -1
            for slot, w in zip(slots, [*above, u, *tail], strict=True):
                place[w] = slot
                at[slot] = w
        else:
            at[place[u]] = -1
            place[u] = place[v]
            at[place[u]] = u
        self.root[v] = u
        self.after[u] = [*self.after[u], *self.after[v]]
        self.before[u] = [*self.before[u], *self.before[v]]

    def between(self, u: int, v: int) -> list[int]:
        """Units that reach `v` and stand after `u`, which does not reach them."""
        find, place = self.find, self.place
        floor = place[u]
        found: set[int] = set()
        stack = [v]
        while stack:
            for p in self.before[stack.pop()]:
                p = find(p)
                if place[p] > floor and p not in found and p != v:
                    found.add(p)
                    stack.append(p)
        return list(found)
