"""Overlays: values by node, and which class of colour each box of a picture gets from them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from workbench.graph import Graph
from workbench.partitioning import Code, Partition
from workbench.text import plural, shown
from workbench.widgets.scene_groups import Homes
from workbench.widgets.scene_palette import engine_colors
from workbench.widgets.scene_pane import Item, Pane
from workbench.widgets.scene_text import quantity, short_name

STEPS = 6
"""Classes of a ramp."""

CODES: Mapping[Code, tuple[str, str, str]] = {
    Code.TAKEN: ("k5", "", "in an engine"),
    Code.UNSUPPORTED_OP: ("k1", "op", "operator not supported"),
    Code.UNSUPPORTED_TYPE: ("k4", "type", "element type not supported"),
    Code.UNSUPPORTED_ATTRIBUTE: ("k2", "attr", "attribute or input not supported"),
    Code.DYNAMIC_SHAPE: ("k6", "dyn", "shape not known at build"),
    Code.DATA_DEPENDENT_SHAPE: ("k6", "data", "shape depends on values"),
    Code.EXCLUDED: ("k7", "out", "excluded by the user"),
    Code.BELOW_MIN_SIZE: ("k0", "small", "subgraph below min_subgraph_size"),
    Code.WOULD_FORM_CYCLE: ("k3", "cycle", "would close a cycle"),
    Code.ENGINE_LIMIT: ("k3", "limit", "over the limit of engines"),
    Code.FOLDED: ("folded", "const", "computed from constants"),
    Code.BUILD_FAILED: ("k4", "failed", "its engine could not be built"),
    Code.UNKNOWN: ("none", "?", "nobody could say"),
}
"""Verdict -> class of colour, tag in the box, words of the legend."""

_PRECISIONS = {
    "float32": "none", "float16": "k0", "bfloat16": "k3", "int8": "k1", "uint8": "k1",
    "float64": "k7", "float8e4m3fn": "k6", "int4": "k4", "float4e2m1": "k4", "bool": "folded",
    "int64": "folded", "int32": "folded",
}  # fmt: skip
_KINDS = tuple(f"k{i}" for i in range(8))


@dataclass(frozen=True)
class Overlay:
    """Something known of nodes: numbers (time, bytes, deviation) or words (precision).

    Raises:
        ValueError: numbers and words in one overlay, or a way to combine that is not known.
    """

    title: str
    values: Mapping[str, float | str]
    """By name of a node of the original or of the derived graph; not every node needs one."""
    unit: str = ""
    """``s``, ``B`` or any other word; empty for none."""
    combine: Literal["sum", "max"] = "sum"
    """How the numbers of several nodes drawn as one box become one."""
    note: str = ""
    """Where it comes from, for the legend."""

    def __post_init__(self) -> None:
        if len({isinstance(value, str) for value in self.values.values()}) > 1:
            raise ValueError(
                f"overlay {shown(self.title)} has numbers and words; make two overlays of it"
            )
        if self.combine not in ("sum", "max"):
            raise ValueError(f"combine is {shown(self.combine)}; must be `sum` or `max`")

    @property
    def words(self) -> bool:
        """Whether the values are words, not numbers."""
        return isinstance(next(iter(self.values.values()), None), str)


@dataclass(frozen=True, slots=True)
class Painted:
    """How the boxes of one picture look under one overlay."""

    classes: tuple[str, ...]
    """Name in the palette for each box."""
    badges: tuple[str, ...]
    """What stands in the corner of each box; safe to show."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the legend."""

    paint: str
    """Name in the palette; empty for words about all of it."""
    text: str
    """Safe to show."""


def region_of(item: Item, homes: Homes) -> int:
    """The engine all originals of a box are in; -1 for none, -2 for several or only some."""
    places = item.origins
    if homes.folded:
        places = [i for i in places if i not in homes.folded]
    found = set(map(homes.engine.__getitem__, places))
    if len(found) == 1:
        return found.pop()
    return -2 if found and found != {-1} else -1


def regions_of(pane: Pane, homes: Homes) -> list[int]:
    """`region_of` for each box of a picture."""
    return [region_of(item, homes) for item in pane.items]


def paint_engines(pane: Pane, homes: Homes, regions: Sequence[int]) -> Painted:
    """The overlay ``partition``: a colour and a number for each engine; `region_of` is known."""
    colors = engine_colors(homes.keys)
    classes, badges = [], []
    for item, region in zip(pane.items, regions, strict=True):
        if not item.members:
            classes.append("io")
            badges.append("")
            continue
        if region >= 0:
            classes.append(f"e{colors[region]}")
        else:
            only_folded = bool(item.origins) and homes.folded.issuperset(item.origins)
            classes.append("mixed" if region == -2 else "folded" if only_folded else "native")
        badges.append(_engine_badge(item, region, homes))
    return Painted(tuple(classes), tuple(badges))


def _engine_badge(item: Item, region: int, homes: Homes) -> str:
    if item.kind == "engine":
        return ""
    if region >= 0:
        return f"E{region}"
    if region == -2:
        found = sorted({homes.engine[i] for i in item.origins if homes.engine[i] >= 0})
        return f"E{found[0]}+" if found else ""
    return ""


def legend_engines(homes: Homes, regions: Iterable[int]) -> list[Entry]:
    """What the colours of ``partition`` mean on boxes of these regions."""
    if not homes.keys:
        return [Entry("native", "no engines: everything is native")]
    inside = sum(1 for e in homes.engine if e >= 0)
    native = len(homes.engine) - inside - len(homes.folded)
    marks = {1: "E0", 2: "E0, E1"}.get(len(homes.keys), "E0, E1 …")
    entries = [
        Entry("e0", f"{plural(inside, 'node')} in {plural(len(homes), 'engine')} ({marks})"),
        Entry("native", f"{plural(native, 'node')} native"),
    ]
    if homes.folded:
        entries.append(Entry("folded", f"{len(homes.folded):,} from constants"))
    if -2 in regions:
        entries.append(Entry("mixed", "partly in engines (E0+)"))
    return entries


def paint_reasons(pane: Pane, partition: Partition) -> tuple[Painted, list[Entry]]:
    """The overlay ``reason``: a colour and a tag for each verdict."""
    verdicts = partition.verdicts

    def look(item: Item) -> tuple[str, str]:
        codes = Counter(verdicts[i].code for i in item.origins)
        if not codes:
            return ("none", "") if item.members else ("io", "")
        code, count = codes.most_common(1)[0]
        paint, tag, _ = CODES[code]
        return (paint, tag) if count == len(item.origins) else ("mixed", f"{len(codes)} kinds")

    counted = Counter(verdict.code for verdict in verdicts)
    entries = [
        Entry(CODES[code][0], _legend_line(code, count)) for code, count in counted.most_common()
    ]
    return _painted(pane, look), entries


def _legend_line(code: Code, count: int) -> str:
    _, tag, words = CODES[code]
    return f"{tag}: {words} ({count:,})" if tag else f"{words} ({count:,})"


def paint_values(
    panes: Sequence[Pane], overlay: Overlay, original: Graph, derived: Graph | None
) -> tuple[list[Painted], list[Entry]]:
    """The boxes of all pictures by an overlay's values, and the legend.

    An original that has no value of its own shows that of the layer it went into, as ``≤``: the
    share of one node in a fused layer is not known.
    """
    wider = _by_origin(overlay, derived) if derived is not None else {}
    found = [_values_of(pane, overlay, original, wider) for pane in panes]
    look, entries = (_word_look if overlay.words else _number_look)(overlay, found)
    values_of = zip(panes, found, strict=True)
    if any(
        item.members and value is None
        for pane, values in values_of
        for item, (value, _) in zip(pane.items, values, strict=True)
    ):
        entries.append(Entry("none", "no value"))
    if overlay.note:
        entries.append(Entry("", f"({shown(overlay.note, 80)})"))
    painted = []
    for pane, values in zip(panes, found, strict=True):
        answers = iter(values)
        painted.append(_painted(pane, lambda _, answers=answers: look(*next(answers))))
    return painted, entries


_Value = float | str | None
_Found = list[tuple[_Value, bool]]
"""For each box its value, and whether it is that of a larger thing it is part of."""

_Look = Callable[[_Value, bool], tuple[str, str]]


def _by_origin(overlay: Overlay, derived: Graph) -> dict[str, float | str]:
    found: dict[str, float | str] = {}
    for node in derived.nodes:
        if node.name in overlay.values:
            for name in node.origin:
                found.setdefault(name, overlay.values[node.name])
    return found


def _values_of(
    pane: Pane, overlay: Overlay, original: Graph, wider: Mapping[str, float | str]
) -> _Found:
    found: _Found = []
    values = overlay.values
    for item in pane.items:
        own = [pane.graph.nodes[i].name for i in item.members]
        known = [values[name] for name in own if name in values]
        part = False
        if not known and item.origins:
            names = [original.nodes[i].name for i in item.origins]
            known = [values[name] for name in names if name in values]
            if not known and pane.graph is original:
                known = list(dict.fromkeys(wider[name] for name in names if name in wider))
                part = bool(known) and not overlay.words
        found.append((_combined(known, overlay), part))
    return found


def _combined(values: Sequence[float | str], overlay: Overlay) -> _Value:
    if not values:
        return None
    if overlay.words:
        words = list(dict.fromkeys(str(value) for value in values))
        return words[0] if len(words) == 1 else "mixed"
    numbers = [float(value) for value in values if not isinstance(value, str)]
    return max(numbers) if overlay.combine == "max" else math.fsum(numbers)


def _word_look(overlay: Overlay, found: Sequence[_Found]) -> tuple[_Look, list[Entry]]:
    words = [str(v) for v in dict.fromkeys(overlay.values.values())]
    paints = {"mixed": "mixed"}
    free = [k for k in _KINDS if k not in {_PRECISIONS.get(w.lower()) for w in words}] or [*_KINDS]
    for number, word in enumerate(words):
        known = _PRECISIONS.get(word.rpartition("→")[2].strip().lower())
        paints[word] = known or free[number % len(free)]
    counted = Counter(v for values in found[:1] for v, _ in values if v is not None)
    entries = [
        Entry(paints[str(word)], f"{short_name(str(word))} ({count:,})")
        for word, count in counted.most_common(10)
    ]
    if "mixed" not in counted and any(v == "mixed" for values in found for v, _ in values):
        entries.append(Entry("mixed", "several in one box"))

    def look(value: _Value, part: bool) -> tuple[str, str]:
        return ("none", "") if value is None else (paints[str(value)], short_name(str(value), 12))

    return look, entries


def _number_look(overlay: Overlay, found: Sequence[_Found]) -> tuple[_Look, list[Entry]]:
    limits = _limits([v for values in found for v, _ in values if isinstance(v, float)])
    entries = [
        Entry(f"s{i}", f"up to {quantity(limit, overlay.unit)}") for i, limit in enumerate(limits)
    ]

    def look(value: _Value, part: bool) -> tuple[str, str]:
        if not isinstance(value, float):
            return "none", ""
        if not math.isfinite(value):
            return "mixed", str(value)
        step = next((i for i, limit in enumerate(limits) if value <= limit), len(limits) - 1)
        return f"s{step}", ("≤ " if part else "") + quantity(value, overlay.unit)

    return look, entries


def _limits(values: Iterable[float]) -> list[float]:
    """Upper ends of the classes: even in ratio over what there is, at most three decades."""
    known = [v for v in values if math.isfinite(v)]
    high = max(known, default=0.0)
    if high <= 0:
        return [high] if known else []
    low = max(min((v for v in known if v > 0), default=high), high / 1000)
    steps = 1 if low == high else STEPS
    ratio = (high / low) ** (1 / steps)
    return [high / ratio ** (steps - 1 - i) for i in range(steps)]


def _painted(pane: Pane, look: Callable[[Item], tuple[str, str]]) -> Painted:
    looks = [look(item) for item in pane.items]
    classes = [
        paint if item.members else "io" for (paint, _), item in zip(looks, pane.items, strict=True)
    ]
    return Painted(tuple(classes), tuple(badge for _, badge in looks))


def precision_of(*graphs: Graph) -> Overlay:
    """The element type of each node's first result, as far as it is known."""
    return Overlay("Precision", {k: v for g in graphs for k, v in _dtypes(g)}, note="result type")


def _dtypes(graph: Graph) -> Iterable[tuple[str, str]]:
    for node in graph.nodes:
        dtype = next((graph.spec(t).dtype for t in node.makes), "")
        if dtype:
            yield node.name, dtype


def bytes_of(*graphs: Graph) -> Overlay:
    """Bytes each node writes, where all its results have a known size."""
    values = {}
    for graph in graphs:
        for node in graph.nodes:
            sizes = [graph.spec(t).nbytes for t in node.makes]
            if sizes and None not in sizes:
                values[node.name] = float(sum(size for size in sizes if size is not None))
    return Overlay("Bytes written", values, "B", note="sizes of results; dynamic ones left out")
