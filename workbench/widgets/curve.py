"""The curve behind the threshold slider, as a small picture with one place for each stop."""

from __future__ import annotations

from collections.abc import Sequence

from workbench import markup
from workbench.partitioning import CurvePoint
from workbench.widgets.display import amount

WIDTH, ROW, EDGE = 310, 37, 10
_ROWS = ("engines", "nodes in engines", "bytes over borders")


def curve_svg(curve: Sequence[CurvePoint], nodes: int, now: int, advice: int) -> str:
    """Engines, coverage and boundary at every stop; where we are, and where it is advised to be.

    Args:
        curve: `Plan.curve()`.
        nodes: nodes of the graph.
        now: first threshold of the present step.
        advice: the recommended threshold.
    """
    places = [_x(i, len(curve)) for i in range(len(curve))]
    at = next(i for i, p in enumerate(curve) if p.min_subgraph_size == now)
    best = max(i for i, p in enumerate(curve) if p.min_subgraph_size <= advice)
    values = (
        [float(p.totals.engines) for p in curve],
        [float(p.totals.nodes) for p in curve],
        [float(p.totals.boundary_bytes) for p in curve],
    )
    said = (
        f"{curve[at].totals.engines}",
        f"{100 * curve[at].totals.nodes / max(nodes, 1):.0f} %",
        f"{amount(curve[at].totals.boundary_bytes)}B",
    )
    height = ROW * len(_ROWS) + 14
    parts = [_marker(places[at], height - 13, "now"), _marker(places[best], height - 13, "best")]
    for row, (name, numbers) in enumerate(zip(_ROWS, values, strict=True)):
        parts += _line(row, name, numbers, places, said[row], at)
    parts += _axis(curve, places, height, best)
    words = f"threshold {now}: {said[0]} engines, {said[1]} of the nodes, {said[2]}"
    return (
        f'<svg viewBox="0 0 {WIDTH} {height}" width="100%" role="img" class="workbench-curve" '
        f'aria-label="{markup.escaped(words)}" font-family="sans-serif" font-size="10.5">'
        f"{''.join(parts)}</svg>"
    )


def _x(place: int, count: int) -> float:
    return EDGE + (WIDTH - 2 * EDGE) * (place / (count - 1) if count > 1 else 0.0)


def _marker(x: float, bottom: float, kind: str) -> str:
    return f'<path d="M{x:.1f} 0V{bottom}" class="{kind}"/>'


def _line(
    row: int,
    name: str,
    numbers: Sequence[float],
    places: Sequence[float],
    said: str,
    at: int,
) -> list[str]:
    top, most = row * ROW, max(*numbers, 1e-9)
    heights = [top + ROW - 4 - (ROW - 17) * value / most for value in numbers]
    path = f"M{places[0]:.1f} {heights[0]:.1f}" + "".join(
        f"H{x:.1f}V{y:.1f}" for x, y in zip(places[1:], heights[1:], strict=True)
    )
    dots = "".join(
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{3.4 if i == at else 1.6}" class="dot r{row}"/>'
        for i, (x, y) in enumerate(zip(places, heights, strict=True))
    )
    return [
        f'<path d="{path}" class="line r{row}"/>',
        dots,
        f'<text x="{WIDTH - EDGE}" y="{top + 10}" text-anchor="end">'
        f'{name}: <tspan font-weight="bold">{markup.escaped(said)}</tspan></text>',
    ]


def _axis(
    curve: Sequence[CurvePoint], places: Sequence[float], height: float, best: int
) -> list[str]:
    """Thresholds under the stops, as many as there is room for; the recommended one always."""
    shown, last = [], -100.0
    for i, (point, x) in enumerate(zip(curve, places, strict=True)):
        if i == best or (x - last > 24 and abs(x - places[best]) > 24):
            kind = ' class="advised"' if i == best else ""
            shown.append(
                f'<text x="{x:.1f}" y="{height - 2}" text-anchor="middle"{kind}>'
                f"{point.min_subgraph_size}</text>"
            )
            last = x
    return shown
