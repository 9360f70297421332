"""One piece laid out: DOT source for it, and Graphviz's answer read back."""

from __future__ import annotations

from collections.abc import Sequence

from workbench.layout.cutting import Piece
from workbench.layout.layered import ROW_GAP
from workbench.layout.values import Placement, Point, Problem, Route, straight

LARGE = 700
"""From this many boxes on a piece is laid out with fewer iterations and straight edges."""


def problem_of(piece: Piece, sizes: Sequence[tuple[float, float]]) -> Problem:
    """The piece as a problem of its own."""
    return Problem(tuple(sizes[box] for box in piece.boxes), piece.edges)


def source_of(problem: Problem, top: bool, bottom: bool) -> str:
    """DOT text for a piece: fixed sizes and no labels, so that no font is ever looked up."""
    count = len(problem.sizes)
    limits = "nslimit=3 nslimit1=3 mclimit=0.4 splines=line" if count > LARGE else "splines=true"
    lines = [
        f"digraph{{graph[nodesep=0.22 ranksep={ROW_GAP / 72:.3f} {limits}]",
        'node[shape=box fixedsize=true label=""]edge[dir=none]',
    ]
    lines += [
        f"{i}[width={w / 72:.4f} height={h / 72:.4f}]" for i, (w, h) in enumerate(problem.sizes)
    ]
    lines += [f"{a}->{b}" for a, b in problem.edges]
    if top:
        lines.append("{rank=source;0}")
    if bottom and count > 1:
        lines.append(f"{{rank=sink;{count - 1}}}")
    return "\n".join(lines) + "}"


def trivial(problem: Problem) -> Placement | None:
    """The layout of one box, or of two joined by an edge; None for anything else."""
    sizes = problem.sizes
    width = max((w for w, _ in sizes), default=0.0)
    if len(sizes) == 1 and not problem.edges:
        return Placement(((width / 2, sizes[0][1] / 2),), (), width, sizes[0][1], "python")
    if len(sizes) != 2 or problem.edges != ((0, 1),):
        return None
    (_, h0), (_, h1) = sizes
    height, x = h0 + ROW_GAP + h1, width / 2
    route = straight((x, h0), (x, h0 + ROW_GAP))
    return Placement(((x, h0 / 2), (x, height - h1 / 2)), (route,), width, height, "python")


def read_plain(text: str, problem: Problem, engine: str) -> Placement | None:
    """Graphviz's plain format as a placement; None where a box or an edge is missing in it."""
    centers: list[Point | None] = [None] * len(problem.sizes)
    routes: dict[tuple[int, int], Route] = {}
    width = height = 0.0
    for line in text.replace("\\\n", "").splitlines():
        words = line.split()
        if words[:1] == ["graph"]:
            width, height = float(words[2]) * 72, float(words[3]) * 72
        elif words[:1] == ["node"]:
            centers[int(words[1])] = (float(words[2]) * 72, height - float(words[3]) * 72)
        elif words[:1] == ["edge"]:
            numbers = [float(word) * 72 for word in words[4 : 4 + 2 * int(words[3])]]
            points = zip(numbers[::2], numbers[1::2], strict=True)
            routes[int(words[1]), int(words[2])] = tuple((x, height - y) for x, y in points)
    placed = [center for center in centers if center is not None]
    if len(placed) != len(centers) or any(edge not in routes for edge in problem.edges):
        return None
    ways = tuple(_downwards(routes[edge], placed[edge[0]]) for edge in problem.edges)
    return Placement(tuple(placed), ways, width, height, engine)


def _downwards(route: Route, tail: Point) -> Route:
    """The route from its tail on; Graphviz may run an edge of equal ranks the other way."""

    def away(point: Point) -> float:
        return (point[0] - tail[0]) ** 2 + (point[1] - tail[1]) ** 2

    return route if away(route[0]) <= away(route[-1]) else route[::-1]
