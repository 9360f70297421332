"""Names from files, made safe to print.

A model file is untrusted text. Everything that puts a name, path or message from a file into a
terminal, a log or an exception calls `shown` first; what turns text into markup escapes it there.
"""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable

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
    """`` (did you mean X?)`` for the known name closest to `name`, or nothing."""
    found = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f" (did you mean {shown(found[0])}?)" if found else ""
