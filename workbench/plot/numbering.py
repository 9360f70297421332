"""Numbers beside points, kept apart from one another and from the points."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from workbench.plot.style import GREY, INK

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_AROUND = tuple(
    (radius * math.sin(angle), radius * math.cos(angle))
    for radius in (11, 19, 27, 36, 46, 57, 69)
    for angle in (0.0, math.pi, 0.6, -0.6, 2.5, -2.5, 1.2, -1.2, 1.9, -1.9)
)
"""Where the number of a point may stand, in typographic points from it, best first."""

Point = tuple[float, float]


def numbered(
    ax: Axes, points: Sequence[Point], *, among: Sequence[Point] = (), radii: Sequence[float] = ()
) -> None:
    """Write 1, 2, 3 ... beside points of a plot whose limits are set, each with a line to it.

    Args:
        ax: where.
        points: in data coordinates.
        among: further points that no number is to cover.
        radii: of the marks of `points` and then `among`, in typographic points; 0 if left out.
    """
    dot = ax.figure.dpi / 72
    at = [ax.transData.transform(point) / dot for point in (*points, *among)]
    sizes = [*radii, *[0.0] * (len(at) - len(radii))]
    taken = [(float(x), float(y), size) for (x, y), size in zip(at, sizes, strict=True)]
    for number, (point, (x, y), own) in enumerate(
        zip(points, at[: len(points)], sizes[: len(points)], strict=True), start=1
    ):
        offsets = [(dx + own * _sign(dx), dy + own * _sign(dy)) for dx, dy in _AROUND]
        free = (
            (dx, dy)
            for dx, dy in offsets
            if all(abs(x + dx - a) > 11 + r or abs(y + dy - b) > 9 + r for a, b, r in taken)
        )
        dx, dy = next(free, offsets[-1])
        taken.append((x + dx, y + dy, 0.0))
        ax.annotate(
            str(number), point, (dx, dy), textcoords="offset points", fontsize=7.5, color=INK,
            ha="center", va="center", zorder=5,
            arrowprops={"arrowstyle": "-", "lw": 0.5, "color": GREY, "shrinkA": 0, "shrinkB": 3},
        )  # fmt: skip


def _sign(value: float) -> float:
    return 0.0 if abs(value) < 1e-9 else math.copysign(1.0, value)
