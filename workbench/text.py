"""Names from files, made safe to print.

A model file is untrusted text. Everything that puts a name, path or message from a file into a
terminal, a log or an exception calls `shown` first; what turns text into markup escapes it there.
"""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable, Sequence

LIMIT = 120
"""Longest name shown, in characters; the middle of a longer one is left out."""

_UNSAFE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def shown(name: object, limit: int = LIMIT) -> str:
    r"""The text of `name` with control, bidirectional and invisible characters as ``\xNN`` escapes.

    Longer than `limit` characters, the middle is replaced by an ellipsis: both ends of a long
    tensor name usually matter.
    """
    text = str(name)
    if len(text) > limit:
        head = limit * 2 // 3
        text = f"{text[:head]}…{text[-(limit - head - 1) :]}"
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escaped(c) if unicodedata.category(c) in _UNSAFE else c for c in text)


def _escaped(character: str) -> str:
    code = ord(character)
    return (
        f"\\x{code:02x}"
        if code < 0x100
        else f"\\u{code:04x}"
        if code < 0x10000
        else f"\\U{code:08x}"
    )


def listed(names: Iterable[object], most: int = 5) -> str:
    """Names joined by commas for a message; past `most` of them, how many more there are."""
    names = list(names)
    text = ", ".join(shown(name) for name in names[:most])
    return text if len(names) <= most else f"{text} and {len(names) - most} more"


def nearest(name: str, known: Iterable[str]) -> str:
    """`` (did you mean X?)`` for the known name closest to `name` in any case, or nothing."""
    folded: dict[str, str] = {}
    names = list(known)
    for one in names:
        folded.setdefault(one.casefold(), one)
    found = [folded[name.casefold()]] if name.casefold() in folded else []
    found = found or difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if not found:
        alike = difflib.get_close_matches(name.casefold(), folded, n=1, cutoff=0.6)
        found = [folded[one] for one in alike]
    return f" (did you mean {shown(found[0])}?)" if found else ""


def aligned(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table for a terminal: two spaces between columns, numbers to the right, a rule below.

    A column is set to the right when every cell below its head starts with a digit, a sign or a
    dash. Cells are made safe with `shown`, and cut at 400 characters.
    """
    cells = [[shown(cell, 400) for cell in row] for row in rows]
    columns = list(zip(header, *cells, strict=True)) if cells else [(head,) for head in header]
    widths = [max(map(len, column)) for column in columns]
    right = [len(c) > 1 and all(cell[:1] in "0123456789+-–" for cell in c[1:]) for c in columns]

    def line(row: Sequence[str]) -> str:
        parts = zip(row, widths, right, strict=True)
        return "  ".join(c.rjust(w) if r else c.ljust(w) for c, w, r in parts).rstrip()

    rule = "  ".join("-" * width for width in widths)
    return "\n".join([line(header), rule, *(line(row) for row in cells)])


def plural(count: int, noun: str) -> str:
    """``1 engine``, ``2 engines``, ``12,345 nodes``."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
