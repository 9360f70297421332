"""A plain layered layout: longest paths for rows, a few sweeps of medians for the order in them.

The last resort where Graphviz is missing or takes too long: linear time, readable, with edges that
may cross boxes.
"""

from __future__ import annotations

from collections.abc import Sequence

from workbench.layout.values import Placement, Point, Problem, bent

ROW_GAP, BOX_GAP = 30.0, 18.0
_SWEEPS = 6


def layered(problem: Problem, *, top: bool = False, bottom: bool = False) -> Placement:
    """The problem in rows.

    Args:
        problem: boxes and arrows without a cycle.
        top: box 0 gets the first row for itself.
        bottom: the last box gets the last row for itself.
    """
    before, after = _neighbours(problem)
    rows = _rows(problem, before, after, top, bottom)
    middles = _middles(problem, rows, before, after)
    centers: list[Point] = [(0.0, 0.0)] * len(problem.sizes)
    y = 0.0
    for row in rows:
        tall = max(problem.sizes[box][1] for box in row)
        for box in row:
            centers[box] = (middles[box], y + tall / 2)
        y += tall + ROW_GAP
    left = min(
        (x - w / 2 for (x, _), (w, _) in zip(centers, problem.sizes, strict=True)), default=0
    )
    centers = [(x - left, cy) for x, cy in centers]
    right = max(
        (x + w / 2 for (x, _), (w, _) in zip(centers, problem.sizes, strict=True)), default=0
    )
    routes = tuple(
        bent(
            (centers[a][0], centers[a][1] + problem.sizes[a][1] / 2),
            (centers[b][0], centers[b][1] - problem.sizes[b][1] / 2),
        )
        for a, b in problem.edges
    )
    return Placement(tuple(centers), routes, right, max(0.0, y - ROW_GAP), "python")


def _neighbours(problem: Problem) -> tuple[list[list[int]], list[list[int]]]:
    before: list[list[int]] = [[] for _ in problem.sizes]
    after: list[list[int]] = [[] for _ in problem.sizes]
    for tail, head in problem.edges:
        before[head].append(tail)
        after[tail].append(head)
    return before, after


def _rows(
    problem: Problem,
    before: Sequence[Sequence[int]],
    after: Sequence[Sequence[int]],
    top: bool,
    bottom: bool,
) -> list[list[int]]:
    count = len(problem.sizes)
    missing = [len(found) for found in before]
    ready = [box for box in range(count) if not missing[box]]
    level = [0] * count
    order = []
    while ready:
        box = ready.pop()
        order.append(box)
        for head in after[box]:
            level[head] = max(level[head], level[box] + 1)
            missing[head] -= 1
            if not missing[head]:
                ready.append(head)
    if top:
        level = [0 if box == 0 else max(1, row) for box, row in enumerate(level)]
        for box in order:
            for head in after[box]:
                level[head] = max(level[head], level[box] + 1)
    for box in reversed(order):
        if not before[box] and after[box] and not (top and box == 0):
            level[box] = max(level[box], min(level[head] for head in after[box]) - 1)
    if bottom:
        level[count - 1] = max(level[:-1], default=-1) + 1
    rows: list[list[int]] = [[] for _ in range(max(level, default=-1) + 1)]
    for box in range(count):
        rows[level[box]].append(box)
    return [row for row in rows if row]


def _middles(
    problem: Problem,
    rows: list[list[int]],
    before: Sequence[Sequence[int]],
    after: Sequence[Sequence[int]],
) -> list[float]:
    """The x of each box: rows ordered by the mean of their neighbours, then packed around it."""
    middle = [0.0] * len(problem.sizes)
    for row in rows:
        _pack(problem, row, middle, dict.fromkeys(row, 0.0))
    for sweep in range(_SWEEPS):
        down = sweep % 2 == 0
        near = before if down else after
        for row in rows if down else reversed(rows):
            wish = {
                box: sum(middle[n] for n in near[box]) / len(near[box])
                if near[box]
                else middle[box]
                for box in row
            }
            row.sort(key=wish.__getitem__)
            _pack(problem, row, middle, wish)
    return middle


def _pack(problem: Problem, row: list[int], middle: list[float], wish: dict[int, float]) -> None:
    edge = float("-inf")
    shift = 0.0
    for box in row:
        width = problem.sizes[box][0]
        middle[box] = max(wish[box], edge + width / 2)
        edge = middle[box] + width / 2 + BOX_GAP
        shift += middle[box] - wish[box]
    for box in row:
        middle[box] -= shift / len(row)
