"""Text made into HTML, in one place. Names from files are escaped here and nowhere else.

Static pieces only: no script, nothing that is fetched, and no style that reaches beyond an element
with the class `CLASS`.
"""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Sequence

from workbench.text import shown

CLASS = "workbench-out"

STYLE = f"""
.{CLASS}{{font:13px/1.45 system-ui,sans-serif;color:var(--jp-content-font-color1,#111);
max-width:72em}}
.{CLASS} table{{border-collapse:collapse;margin:.4em 0;font-size:12px}}
.{CLASS} table th,.{CLASS} table td{{text-align:left;padding:.2em .8em .2em 0;vertical-align:top;
background:none;border:0;border-bottom:1px solid var(--jp-border-color2,#ddd);white-space:normal;
overflow-wrap:anywhere}}
.{CLASS} table th{{font-weight:600;overflow-wrap:normal}}
.{CLASS} table td.n,.{CLASS} table th.n{{text-align:right;font-variant-numeric:tabular-nums;
white-space:nowrap}}
.{CLASS} p{{margin:.3em 0}} .{CLASS} .g{{color:var(--jp-content-font-color2,#555)}}
.{CLASS} summary{{cursor:pointer}} .{CLASS} img{{max-width:100%;background:#fff}}
.{CLASS} h2{{font-size:1.25em;margin:1.2em 0 .3em}} .{CLASS} pre{{overflow:auto;font-size:12px}}
"""

CSP = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
"""What a stand-alone page may load: nothing but its own styles and pictures."""


def escaped(value: object, limit: int = 400) -> str:
    """Text for HTML, invisible characters as escapes, its middle left out beyond `limit`."""
    return html.escape(shown(value, limit), quote=True)


def table(header: Sequence[str], rows: Iterable[Sequence[object]], *, most: int = 50) -> str:
    """A table of plain cells; columns of numbers are set to the right, rows beyond `most` left out.

    Args:
        header: names of the columns.
        rows: cells, all of them escaped.
        most: rows shown; how many more there are is said beneath.
    """
    rows = list(rows)
    cells = [[escaped(cell) for cell in row] for row in rows[:most]]
    right = [
        bool(cells) and all(row[i][:1] in "0123456789+-–" for row in cells)
        for i in range(len(header))
    ]
    lines = [_row("th", [escaped(head) for head in header], right)]
    lines += [_row("td", row, right) for row in cells]
    more = f'<p class="g">and {len(rows) - most:,} more</p>' if len(rows) > most else ""
    return f"<table>{''.join(lines)}</table>{more}"


def _row(tag: str, cells: Sequence[str], right: Sequence[bool]) -> str:
    parts = (
        f"<{tag}{' class=n' if number else ''}>{cell}</{tag}>"
        for cell, number in zip(cells, right, strict=True)
    )
    return f"<tr>{''.join(parts)}</tr>"


def paragraph(text: object, *, quiet: bool = False) -> str:
    """A paragraph of plain text, in grey if `quiet`."""
    return f"<p{' class=g' if quiet else ''}>{escaped(text, 2000)}</p>"


def folded(summary: str, body: str) -> str:
    """HTML that a reader can unfold."""
    return f"<details><summary>{escaped(summary)}</summary>{body}</details>"


def picture(svg: bytes | str, alt: str) -> str:
    """An SVG as an image, in which no script runs."""
    data = svg.encode() if isinstance(svg, str) else svg
    source = base64.b64encode(data).decode()
    return f'<img alt="{escaped(alt)}" src="data:image/svg+xml;base64,{source}">'


def block(*parts: str) -> str:
    """Pieces of HTML with their style, to be shown in a notebook."""
    return f"<style>{STYLE}</style><div class={CLASS}>{''.join(parts)}</div>"


def page(title: str, *parts: str) -> str:
    """A stand-alone page that loads nothing and runs nothing."""
    style = f"body{{margin:2em auto;padding:0 1em;max-width:76em}}{STYLE}"
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{CSP}">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escaped(title)}</title><style>{style}</style></head>"
        f"<body class={CLASS}>{''.join(parts)}</body></html>\n"
    )
