"""A partition as one line: nodes in execution order, engines as bars, native regions between."""

from __future__ import annotations

from workbench import markup
from workbench.partitioning import Partition

COLOURS = ("#77AADD", "#EE8866", "#EEDD88", "#FFAABB", "#99DDFF", "#44BB99", "#BBCC33", "#AAAA00")
"""Paul Tol's light scheme: black text is readable on each, colour-blind people tell them apart."""

WIDTH, HEIGHT = 760, 34
_LABEL_ROOM = 16


def strip(partition: Partition) -> str:
    """The line as SVG, on a white ground. Engines are filled and numbered, the rest is hatched."""
    held = {"engine": partition.subgraphs, "native": partition.native}
    parts = [(kind, held[kind][index]) for kind, index in partition.order]
    total = sum(len(part) for _, part in parts) or 1
    drawn, x = [], 0.0
    for kind, part in parts:
        width = WIDTH * len(part) / total
        drawn.append(_bar(kind, part.index, len(part), x, width))
        x += width
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" '
        f'viewBox="0 0 {WIDTH} {HEIGHT}"><defs><pattern id="h" width="6" height="6" '
        'patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><path d="M0 0V6" '
        'stroke="#999" stroke-width="1.5"/></pattern></defs>'
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>{"".join(drawn)}</svg>'
    )


def _bar(kind: str, index: int, nodes: int, x: float, width: float) -> str:
    engine = kind == "engine"
    fill = COLOURS[index % len(COLOURS)] if engine else "url(#h)"
    top, height = (2, HEIGHT - 4) if engine else (9, HEIGHT - 18)
    outline = ' stroke="#333" stroke-width=".8"' if engine else ' stroke="#999" stroke-width=".5"'
    title = markup.escaped(f"{kind} {index}: {nodes} nodes")
    bar = (
        f'<rect x="{x:.1f}" y="{top}" width="{max(width, 0.5):.1f}" height="{height}" '
        f'fill="{fill}"{outline}><title>{title}</title></rect>'
    )
    if engine and width >= _LABEL_ROOM:
        bar += (
            f'<text x="{x + width / 2:.1f}" y="{HEIGHT / 2 + 4}" text-anchor="middle" '
            f'font-family="sans-serif" font-size="11" fill="#111">{index}</text>'
        )
    return bar
