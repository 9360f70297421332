"""What a layout is asked and what it answers. Lengths are pixels at 100 %, y grows downwards."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

Point = tuple[float, float]

Route = tuple[Point, ...]
"""A chain of cubic Bézier curves: a start, then three points a curve."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Boxes and arrows to lay out.

    Raises:
        ValueError: an edge that names no box, or one from a box to itself.
    """

    sizes: tuple[tuple[float, float], ...]
    """Width and height of each box."""
    edges: tuple[tuple[int, int], ...]
    """Pairs of places in `sizes`, each pair once; together they have no cycle."""

    def __post_init__(self) -> None:
        count = len(self.sizes)
        for tail, head in self.edges:
            if not (0 <= tail < count and 0 <= head < count) or tail == head:
                raise ValueError(
                    f"edge {tail} -> {head} must join two of the {count} boxes; leave it out"
                )


@dataclass(frozen=True, slots=True)
class Placement:
    """Where everything is. The drawing starts at (0, 0)."""

    centers: tuple[Point, ...]
    """Middle of each box."""
    routes: tuple[Route, ...]
    """How each edge runs, from the border of its tail to the border of its head."""
    width: float
    height: float
    engine: str
    """Who laid it out: ``dot``, ``pygraphviz``, ``python``; pieces alike count for what made
    them first."""


def straight(*corners: Point) -> Route:
    """A route of straight lines through these points."""
    route: list[Point] = [corners[0]]
    for (x0, y0), (x1, y1) in pairwise(corners):
        route += [
            (x0 + (x1 - x0) / 3, y0 + (y1 - y0) / 3),
            (x1 - (x1 - x0) / 3, y1 - (y1 - y0) / 3),
            (x1, y1),
        ]
    return tuple(route)


def bent(start: Point, end: Point) -> Route:
    """One curve that leaves downwards and arrives downwards."""
    (x0, y0), (x1, y1) = start, end
    half = (y1 - y0) / 2
    return ((x0, y0), (x0, y0 + half), (x1, y1 - half), (x1, y1))
