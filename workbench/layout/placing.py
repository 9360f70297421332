"""`place`: cut, lay out each kind of piece once, glue, and route what goes around."""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from collections.abc import Sequence
from dataclasses import replace

from workbench.layout.cutting import Piece, cut
from workbench.layout.drawing import problem_of, read_plain, source_of, trivial
from workbench.layout.engines import LayoutEngine, drawn, engine_in_use
from workbench.layout.layered import layered
from workbench.layout.values import Placement, Point, Problem, Route, straight
from workbench.progress import Cancel

HUGE = 4000
"""A piece of more boxes than this is never given to Graphviz: it would take minutes."""
_KEPT = 20_000
_GUTTER, _LANE = 24.0, 7.0

_Key = tuple[Problem, bool, bool]
_Span = tuple[float, float, float, float]


class _Memory:
    """Layouts of pieces by what they look like; the least used are forgotten."""

    def __init__(self) -> None:
        self._found: OrderedDict[tuple[LayoutEngine, _Key], Placement] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, engine: LayoutEngine, key: _Key) -> Placement | None:
        with self._lock:
            found = self._found.get((engine, key))
            if found:
                self._found.move_to_end((engine, key))
            return found

    def put(self, engine: LayoutEngine, key: _Key, placement: Placement) -> None:
        with self._lock:
            self._found[engine, key] = placement
            while len(self._found) > _KEPT:
                self._found.popitem(last=False)


_MEMORY = _Memory()


def place(
    problem: Problem,
    *,
    engine: LayoutEngine | None = None,
    timeout: float = 30.0,
    cancel: Cancel | None = None,
) -> Placement:
    """Where every box goes and how every edge runs.

    Args:
        problem: boxes and arrows without a cycle.
        engine: who lays out the pieces; default the best there is, see `engine_in_use`.
        timeout: seconds for Graphviz; pieces it has not finished by then get a plainer layout.
        cancel: ends the layout within a tenth of a second.

    Raises:
        CancelledError: asked to stop.
    """
    if not problem.sizes:
        return Placement((), (), 0.0, 0.0, "python")
    pieces, far = cut(problem)
    keys = [(problem_of(piece, problem.sizes), piece.top, piece.bottom) for piece in pieces]
    laid = _laid(keys, engine or engine_in_use(), timeout, cancel)
    made = Counter(laid[key].engine for key in keys if not trivial(key[0]))
    glued = _glued(problem, pieces, [laid[key] for key in keys])
    name = made.most_common(1)[0][0] if made else "python"
    return replace(_with_gutter(problem, glued, far), engine=name)


def _laid(
    keys: Sequence[_Key], engine: LayoutEngine, timeout: float, cancel: Cancel | None
) -> dict[_Key, Placement]:
    laid: dict[_Key, Placement] = {}
    asked: list[_Key] = []
    for key in dict.fromkeys(keys):
        known = trivial(key[0]) or _MEMORY.get(engine, key)
        if known:
            laid[key] = known
        elif len(key[0].sizes) > HUGE:
            laid[key] = layered(key[0], top=key[1], bottom=key[2])
        else:
            asked.append(key)
    answers = drawn([source_of(*key) for key in asked], engine, timeout, cancel)
    for key, text in zip(asked, answers, strict=True):
        if cancel:
            cancel.check()
        found = read_plain(text, key[0], engine) if text else None
        laid[key] = found or layered(key[0], top=key[1], bottom=key[2])
        if found or engine == "python":
            _MEMORY.put(engine, key, laid[key])
    return laid


def _glued(problem: Problem, pieces: Sequence[Piece], laid: Sequence[Placement]) -> Placement:
    """The pieces below one another, each hung on the cut it shares with the one above."""
    moves: list[tuple[float, float, float]] = []
    spans: dict[int, _Span] = {}
    edges: list[_Span] = []
    anchor: Point = (0.0, 0.0)
    for piece, placed in zip(pieces, laid, strict=True):
        first, last = placed.centers[0], placed.centers[-1]
        x, y = anchor if piece.top else (0.0, first[1])
        drift = last[0] - first[0] if piece.bottom else 0.0
        # A mirrored piece is as good a drawing, and keeps a long graph from leaning to one side.
        side = -1.0 if abs(x - drift) < abs(x + drift) else 1.0
        dx, dy = x - side * first[0], y - first[1]
        moves.append((side, dx, dy))
        anchor = (side * last[0] + dx, last[1] + dy)
        if id(placed) not in spans:
            spans[id(placed)] = _span(placed, [problem.sizes[box] for box in piece.boxes])
        left, top, right, low = spans[id(placed)]
        left, right = (left + dx, right + dx) if side > 0 else (dx - right, dx - left)
        edges.append((left, top + dy, right, low + dy))
    left, top = min([e[0] for e in edges]), min([e[1] for e in edges])
    right, low = max([e[2] for e in edges]), max([e[3] for e in edges])
    centers: list[Point] = [(0.0, 0.0)] * len(problem.sizes)
    routes: list[Route] = [()] * len(problem.edges)
    for piece, placed, (side, dx, dy) in zip(pieces, laid, moves, strict=True):
        dx, dy = dx - left, dy - top
        for box, (x, y) in zip(piece.boxes, placed.centers, strict=True):
            centers[box] = (side * x + dx, y + dy)
        for number, route in zip(piece.numbers, placed.routes, strict=True):
            routes[number] = tuple([(side * x + dx, y + dy) for x, y in route])
    return Placement(tuple(centers), tuple(routes), right - left, low - top, "")


def _span(placed: Placement, sizes: Sequence[tuple[float, float]]) -> _Span:
    """Left, top, right and bottom of boxes and routes."""
    boxes = list(zip(placed.centers, sizes, strict=True))
    bends = [point for route in placed.routes for point in route]
    return (
        min([*(x - w / 2 for (x, _), (w, _) in boxes), *(x for x, _ in bends)]),
        min([*(y - h / 2 for (_, y), (_, h) in boxes), *(y for _, y in bends)]),
        max([*(x + w / 2 for (x, _), (w, _) in boxes), *(x for x, _ in bends)]),
        max([*(y + h / 2 for (_, y), (_, h) in boxes), *(y for _, y in bends)]),
    )


def _with_gutter(problem: Problem, glued: Placement, far: Sequence[int]) -> Placement:
    """The drawing with far edges run on its right, each in a free lane."""
    if not far:
        return glued
    centers, routes = glued.centers, list(glued.routes)
    lanes: list[float] = []
    for number in sorted(far, key=lambda e: centers[problem.edges[e][0]][1]):
        tail, head = problem.edges[number]
        start, end = centers[tail], centers[head]
        lane = next((i for i, free in enumerate(lanes) if free < start[1]), len(lanes))
        lanes[lane : lane + 1] = [end[1]]
        across = glued.width + _GUTTER + lane * _LANE
        routes[number] = _around(problem, start, end, tail, head, across)
    wide = glued.width + _GUTTER * 1.5 + len(lanes) * _LANE
    return replace(glued, routes=tuple(routes), width=wide)


def _around(problem: Problem, start: Point, end: Point, tail: int, head: int, lane: float) -> Route:
    below = start[1] + problem.sizes[tail][1] / 2
    above = end[1] - problem.sizes[head][1] / 2
    return straight(
        (start[0], below), (start[0], below + 8), (lane, below + 8), (lane, above - 8),
        (end[0], above - 8), (end[0], above),
    )  # fmt: skip
