"""How wide a text is and how it is shortened, the same on every machine.

Widths are those of Helvetica in thousandths of the size, rounded up to a few groups: the browser's
font may be narrower, never so much wider that a text leaves its box.
"""

from __future__ import annotations

from functools import lru_cache

from workbench.text import shown

_NARROW = frozenset("iljI|!.,:;'`/\\()[]tf -")
_WIDE = frozenset("mwMWGOQ@%&")


@lru_cache(maxsize=65_536)
def width_of(text: str, size: float) -> float:
    """Pixels of a text at a font size, rather too many than too few."""
    total = 0.0
    for c in text:
        if c in _NARROW:
            total += 0.36
        elif c in _WIDE:
            total += 0.92
        elif c.isupper():
            total += 0.74
        elif c < "\u2000":
            total += 0.59
        else:
            total += 1.05
    return total * size


@lru_cache(maxsize=65_536)
def short_name(name: str, most: int = 24) -> str:
    """A name for a box, safe to show: its end if it is too long, from a `/`, `.` or `_` on."""
    text = shown(name, 400)
    if len(text) <= most:
        return text
    tail = text[-(most - 1) :]
    for mark in "/._":
        at = tail.find(mark)
        if 0 <= at < most // 2:
            return "…" + tail[at:]
    return "…" + tail


def quantity(value: float, unit: str) -> str:
    """A number with its unit, three digits: ``1.23 ms``, ``4.5 MB``, ``0.012``."""
    if unit == "s":
        for scale, name in ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs")):
            if abs(value) >= scale:
                return f"{value / scale:.3g} {name}"
        return f"{value * 1e9:.3g} ns" if value else "0 s"
    if unit == "B":
        for scale, name in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
            if abs(value) >= scale:
                return f"{value / scale:.3g} {name}"
        return f"{value:.0f} B"
    text = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return f"{text} {shown(unit, 20)}" if unit else text
