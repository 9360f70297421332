"""A partition as one line: nodes in execution order, engines as bars, native regions between."""

from __future__ import annotations

from workbench import markup
from workbench.partitioning import Partition
from workbench.widgets.scene_palette import LIGHT, Paint, engine_colors

WIDTH, HEIGHT = 760, 34
_LABEL_ROOM = 16


def strip(partition: Partition) -> str:
    """The line as SVG, on a white ground.

    Engines are numbered and filled as in the graph view, the rest is hatched.
    """
    colors = engine_colors(part.nodes[0] for part in partition.subgraphs)
    held = {"engine": partition.subgraphs, "native": partition.native}
    parts = [(kind, held[kind][index]) for kind, index in partition.order]
    total = sum(len(part) for _, part in parts) or 1
    drawn, x = [], 0.0
    for kind, part in parts:
        width = WIDTH * len(part) / total
        paint = LIGHT[f"e{colors[part.index]}"] if kind == "engine" else None
        drawn.append(_bar(part.index, len(part), paint, x, width))
        x += width
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" '
        f'viewBox="0 0 {WIDTH} {HEIGHT}"><defs><pattern id="h" width="6" height="6" '
        'patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><path d="M0 0V6" '
        'stroke="#999" stroke-width="1.5"/></pattern></defs>'
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>{"".join(drawn)}</svg>'
    )


def _bar(index: int, nodes: int, paint: Paint | None, x: float, width: float) -> str:
    """A bar; without a paint that of a native region."""
    fill, line, thick = (paint.fill, paint.line, 0.8) if paint else ("url(#h)", "#999", 0.5)
    top, height = (2, HEIGHT - 4) if paint else (9, HEIGHT - 18)
    outline = f' stroke="{line}" stroke-width="{thick}"'
    title = markup.escaped(f"{'engine' if paint else 'native'} {index}: {nodes} nodes")
    bar = (
        f'<rect x="{x:.1f}" y="{top}" width="{max(width, 0.5):.1f}" height="{height}" '
        f'fill="{fill}"{outline}><title>{title}</title></rect>'
    )
    if paint and width >= _LABEL_ROOM:
        bar += (
            f'<text x="{x + width / 2:.1f}" y="{HEIGHT / 2 + 4}" text-anchor="middle" '
            f'font-family="sans-serif" font-size="11" fill="#111">{index}</text>'
        )
    return bar
