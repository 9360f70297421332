"""Cuts a graph into pieces that can be laid out one by one.

A box is a cut when every edge that passes its place in a topological order starts at it: nothing
above it is joined to anything below it otherwise. Edges over very many places are taken out first
and drawn beside the rest, or one mask that feeds every layer would leave nothing to cut.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from workbench.layout.values import Problem

FAR = 300
"""An edge over more places than this is drawn in the gutter (measured: docs/graph-view.md)."""

_NEW, _OPEN, _DONE = range(3)


@dataclass(frozen=True, slots=True)
class Piece:
    """Boxes between two cuts, with both of them."""

    boxes: tuple[int, ...]
    """Places in the problem, in topological order; the cut above is the first."""
    edges: tuple[tuple[int, int], ...]
    """Pairs of places in `boxes`."""
    numbers: tuple[int, ...]
    """For each edge its place in the problem."""
    top: bool
    """Whether the first box is a cut, shared with the piece above."""
    bottom: bool
    """Whether the last box is a cut, shared with the piece below."""


def topological(problem: Problem) -> list[int]:
    """Boxes in an order in which each comes right after the last of what it needs.

    Depth first from the sinks, so that a constant stands beside its consumer and not at the top.
    """
    before: list[list[int]] = [[] for _ in problem.sizes]
    sinks = [True] * len(problem.sizes)
    for tail, head in problem.edges:
        before[head].append(tail)
        sinks[tail] = False
    order: list[int] = []
    state = bytearray(len(problem.sizes))
    for sink in (box for box, is_sink in enumerate(sinks) if is_sink):
        stack = [sink]
        while stack:
            box = stack[-1]
            if state[box] == _NEW:
                state[box] = _OPEN
                stack.extend(b for b in reversed(before[box]) if state[b] == _NEW)
                continue
            stack.pop()
            if state[box] == _OPEN:
                state[box] = _DONE
                order.append(box)
    return order


def cut(problem: Problem) -> tuple[list[Piece], list[int]]:
    """The pieces from top to bottom, and the places of the edges that go into the gutter."""
    order = topological(problem)
    rank = [0] * len(order)
    for place, box in enumerate(order):
        rank[box] = place
    far = [e for e, (a, b) in enumerate(problem.edges) if rank[b] - rank[a] > FAR]
    outside = set(far)
    near = [e for e in range(len(problem.edges)) if e not in outside]
    cuts = _cuts(problem, rank, near)
    return _pieces(problem, order, rank, near, cuts), far


def _cuts(problem: Problem, rank: Sequence[int], near: Sequence[int]) -> list[int]:
    """Places in the order after which only edges of the box at that place go on."""
    count = len(rank)
    reach = list(range(count))
    for e in near:
        tail, head = problem.edges[e]
        reach[rank[tail]] = max(reach[rank[tail]], rank[head])
    found, furthest = [], -1
    for place in range(count - 1):
        # Two parts that nothing joins are no cut either: they are laid out side by side.
        if furthest <= place < reach[place]:
            found.append(place)
        furthest = max(furthest, reach[place])
    return found


def _pieces(
    problem: Problem,
    order: Sequence[int],
    rank: Sequence[int],
    near: Sequence[int],
    cuts: Sequence[int],
) -> list[Piece]:
    ends = [*cuts, len(order) - 1]
    starts = [0, *cuts]
    inside: list[list[int]] = [[] for _ in ends]
    home, k = [0] * len(order), 0
    for place in range(len(order)):
        home[place] = k
        if place == ends[k]:
            k += 1
    for e in near:
        inside[home[rank[problem.edges[e][1]]]].append(e)
    pieces = []
    for k, (start, end) in enumerate(zip(starts, ends, strict=True)):
        pairs = tuple(
            (rank[problem.edges[e][0]] - start, rank[problem.edges[e][1]] - start)
            for e in inside[k]
        )
        pieces.append(
            Piece(tuple(order[start : end + 1]), pairs, tuple(inside[k]), k > 0, k < len(ends) - 1)
        )
    return pieces
