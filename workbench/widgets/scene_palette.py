"""Colours of the graph view, for the light and the dark ground; the one place that has them.

Fills of engines are Paul Tol's light scheme (SRON technical note, 2021), told apart by every kind
of colour vision; on the dark ground they are the same hues, deeper, with light text. Ramps are
ColorBrewer's YlOrBr. Every text on a fill has a contrast of at least 4.5:1 (a test computes it),
and nothing is told by colour alone: engines carry their number, native nodes a broken outline.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

ENGINE_COLORS = 8
_HUES = (0, 1, 2, 1, 0, 3, 2, 2)
"""For each colour of an engine its family: blue, red, yellow or green."""


@dataclass(frozen=True, slots=True)
class Paint:
    """How a class of boxes looks on one ground."""

    fill: str
    ink: str
    """Text on the fill."""
    line: str
    """Outline of the box, and of the region of an engine."""
    region: str
    """Ground of an engine's region in the original."""


def _engines(fills: str, lines: str, regions: str, ink: str) -> dict[str, Paint]:
    rows = zip(fills.split(), lines.split(), regions.split(), strict=True)
    return {f"e{i}": Paint(fill, ink, line, region) for i, (fill, line, region) in enumerate(rows)}


def _ramp(fills: str, inks: str, line: str) -> dict[str, Paint]:
    rows = zip(fills.split(), inks.split(), strict=True)
    return {f"s{i}": Paint(fill, ink, line, fill) for i, (fill, ink) in enumerate(rows)}


def _kinds(rows: Mapping[str, tuple[str, str]], ink: str) -> dict[str, Paint]:
    return {name: Paint(fill, ink, line, fill) for name, (fill, line) in rows.items()}


LIGHT: Mapping[str, Paint] = MappingProxyType(
    _engines(
        "#9cc3ea #f4a88c #efe08f #ffbccb #a9e2ff #74cfb3 #ced665 #c9c46b",
        "#24588f #9c3d1b #7a6a00 #a8395a #12688f #0f6b50 #5f6800 #5c5800",
        "#dcebf9 #fce3da #faf5d6 #ffe6ec #def4ff #d3f0e7 #f0f3cf #eeecd0",
        "#111111",
    )
    | _ramp(
        "#ffffe0 #fee8a8 #fec95c #fe9f35 #e0701a #993404",
        "#111111 #111111 #111111 #111111 #111111 #ffffff",
        "#7a4a12",
    )
    | _kinds(
        {
            "native": ("#ffffff", "#5f6368"), "folded": ("#eceff1", "#78909c"),
            "mixed": ("#dadce0", "#3c4043"), "none": ("#ffffff", "#9aa0a6"),
            "io": ("#e8eaed", "#3c4043"), "k0": ("#9cc3ea", "#24588f"),
            "k1": ("#f4a88c", "#9c3d1b"), "k2": ("#efe08f", "#7a6a00"),
            "k3": ("#a9e2ff", "#12688f"), "k4": ("#ffbccb", "#a8395a"),
            "k5": ("#74cfb3", "#0f6b50"), "k6": ("#d7c5ee", "#5f3d91"),
            "k7": ("#d5d0c4", "#5b5544"),
        },
        "#111111",
    )
)  # fmt: skip

DARK: Mapping[str, Paint] = MappingProxyType(
    _engines(
        "#2d5680 #7d3b22 #665a14 #7c3a4d #1d5f7d #1d6650 #575e17 #545020",
        "#8fbdea #f2a386 #e6d679 #f7afc0 #8fd8f8 #6ccbb0 #cbd45c #c6c065",
        "#1b2a3a #38211a #2f2b15 #382029 #17303b #163029 #2a2d14 #292815",
        "#f5f5f5",
    )
    | _ramp(
        "#ffffe0 #fee8a8 #fec95c #fe9f35 #e0701a #993404",
        "#111111 #111111 #111111 #111111 #111111 #ffffff",
        "#f3d9b1",
    )
    | _kinds(
        {
            "native": ("#26282b", "#a8adb3"), "folded": ("#33393d", "#90a4ae"),
            "mixed": ("#46494d", "#d0d3d6"), "none": ("#26282b", "#7c8187"),
            "io": ("#3a3d41", "#d0d3d6"), "k0": ("#2d5680", "#8fbdea"),
            "k1": ("#7d3b22", "#f2a386"), "k2": ("#665a14", "#e6d679"),
            "k3": ("#1d5f7d", "#8fd8f8"), "k4": ("#7c3a4d", "#f7afc0"),
            "k5": ("#1d6650", "#6ccbb0"), "k6": ("#533b78", "#cdb6ec"),
            "k7": ("#55513f", "#cfc8b3"),
        },
        "#f5f5f5",
    )
)  # fmt: skip


def css_text() -> str:
    """The palette as CSS: each class sets four variables, by the theme of the view around it."""
    rules = []
    for theme, paints in (("light", LIGHT), ("dark", DARK)):
        for name, one in paints.items():
            rules.append(
                f".wbg[data-theme={theme}] .c-{name}{{--fill:{one.fill};--ink:{one.ink};"
                f"--line:{one.line};--region:{one.region}}}"
            )
    return "\n".join(rules)


def engine_colors(keys: Iterable[str]) -> tuple[int, ...]:
    """For each engine the number of its colour: by its name, never like the two before it.

    Args:
        keys: name of the first node of each engine; with it the colour stays while others move.
    """
    colors: list[int] = []
    for key in keys:
        color = zlib.crc32(key.encode("utf-8", "replace")) % ENGINE_COLORS
        while _HUES[color] in [_HUES[before] for before in colors[-2:]]:
            color = (color + 1) % ENGINE_COLORS
        colors.append(color)
    return tuple(colors)
