"""What files about an engine say, as text for a terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from workbench.backends.base import FOLDED, LAYER_DOMAIN, REMOVED, UNEXPLAINED, executed
from workbench.backends.tensorrt import layers
from workbench.cli import common
from workbench.graph import Graph, Node, TensorSpec
from workbench.text import aligned, listed, plural, shown

_MOST_ROWS = 24
_MOST_ORIGINS = 3
_MOST_FACTS = 10


@dataclass(frozen=True)
class View:
    """One engine as it is shown."""

    engine: layers.EngineLayers
    graph: Graph
    """Its layers; with the ONNX graph at hand every node of that is behind one."""
    original: Graph | None
    joined: layers.Joined | None
    """Times of the layers, where a file has them."""

    @property
    def title(self) -> str:
        """File and kind."""
        return self.engine.file or "engine"


def described(view: View, every: bool) -> str:
    """One engine: what it is, its borders, its layers.

    Args:
        view: the engine.
        every: whether to list all layers, in the order they run, rather than the first or slowest.
    """
    engine, runs = view.engine, executed(view.graph)
    helpers = sum(_is_helper(node) for node in runs)
    form = f" as TensorRT {engine.form} writes it" if engine.form else ""
    version = f", TensorRT {shown(engine.version)}" if engine.version else ""
    profiles = f", {plural(engine.profiles, 'profile')}" if engine.profiles > 1 else ""
    lines = [
        f"{shown(view.title, 400)}: {engine.source}{form}{version}",
        f"{plural(len(runs), 'layer')}, {helpers} of them TensorRT's own{profiles}",
        *_borders("inputs ", view.graph.inputs), *_borders("outputs", view.graph.outputs),
        *_ranges(engine),
    ]  # fmt: skip
    if view.original is not None:
        lines.append(_account(view, view.original))
    kinds = Counter(
        (n.op_type, n.attributes.get("precision", ""), n.attributes.get("helper", ""))
        for n in runs
    )  # fmt: skip
    rows = [(count, *kind) for kind, count in kinds.most_common()]
    lines += ["", aligned(("layers", "type", "precision", "TensorRT's own"), rows)]
    return "\n".join([*lines, "", _layer_table(view, runs, every)])


def _borders(word: str, specs: Sequence[TensorSpec]) -> list[str]:
    texts = [
        f"{spec.name} {spec.dtype}[{'?' if spec.shape is None else 'x'.join(map(str, spec.shape))}]"
        for spec in specs
    ]
    return [f"{word} {listed(texts, 8)}"] if texts else []


def _ranges(engine: layers.EngineLayers) -> list[str]:
    lines = []
    for binding in engine.bindings:
        for number, (low, best, high) in enumerate(binding.ranges):
            if low != high:
                ends = ", ".join(
                    f"{word} {'x'.join(map(str, ends))}"
                    for word, ends in (("min", low), ("opt", best), ("max", high))
                )
                lines.append(f"profile {number}: {shown(binding.name)} {ends}")
    return lines


def _account(view: View, original: Graph) -> str:
    """Where the nodes of the ONNX model are, in one line."""
    gone = {kind: _origins(view, kind) for kind in (FOLDED, REMOVED)}
    doubtful = {n for node in view.graph.nodes for n in node.attributes.get(UNEXPLAINED, ())}
    inside = {name for node in executed(view.graph) for name in node.origin} - doubtful
    lost = [node.name for node in original.nodes if node.name in doubtful]
    words = (
        f"ONNX    {plural(len(original.nodes), 'node')} of {shown(original.name)}: {len(inside)} "
        f"in layers, {len(gone[FOLDED] - doubtful)} folded, {len(gone[REMOVED] - doubtful)} removed"
    )
    return f"{words}, {len(lost)} without a trace" + (f": {listed(lost)}" if lost else "")


def _origins(view: View, kind: str) -> set[str]:
    return {
        name
        for node in view.graph.nodes
        if node.domain == LAYER_DOMAIN and node.op_type == kind
        for name in node.origin
    }


def _layer_table(view: View, runs: Sequence[Node], every: bool) -> str:
    """The layers in the order they run; with times and not all asked for, the slowest."""
    seconds = view.joined.seconds if view.joined else {}
    chosen = list(enumerate(runs))
    if seconds and not every:
        chosen.sort(key=lambda one: -seconds.get(one[1].name, 0.0))
    cut = chosen if every else chosen[:_MOST_ROWS]
    total = sum(seconds.values())
    header = ["#", "layer", "type", "precision", "kernel", "ONNX nodes"]
    rows = [[i, *_row(node)] for i, node in cut]
    if seconds:
        header[1:1] = ["time", "share"]
        for row, (_, node) in zip(rows, cut, strict=True):
            row[1:1] = _time(seconds.get(node.name), total)
    text = aligned(header, rows)
    left = len(chosen) - len(cut)
    return text + (f"\nand {plural(left, 'layer')} more; --all shows them" if left else "")


def _row(node: Node) -> list[object]:
    origin = ", ".join(shown(name, 60) for name in node.origin[:_MOST_ORIGINS])
    more = len(node.origin) - _MOST_ORIGINS
    return [
        shown(node.name, 60), node.op_type, node.attributes.get("precision", ""),
        shown(node.attributes.get("kernel", ""), 50),
        f"{origin} and {more} more" if more > 0 else origin or _purpose(node),
    ]  # fmt: skip


def _purpose(node: Node) -> str:
    return f"({node.attributes.get('helper') or 'none named'})"


def _time(seconds: float | None, total: float) -> list[object]:
    if seconds is None:
        return ["–", "–"]
    return [common.duration(seconds), f"{seconds / total:.1%}" if total else "–"]


def _is_helper(node: Node) -> bool:
    return bool(node.attributes.get("helper")) or node.domain == LAYER_DOMAIN


def beside(found: layers.Bundle, views: Sequence[View], every: bool) -> list[str]:
    """What the files say beside the layers."""
    blocks = [_times_of(view) for view in views if view.joined is not None]
    if not views:
        blocks += [_profile_text(one) for one in found.profiles]
    blocks += [_timing_text(one) for one in found.timings]
    if found.version or found.passed is not None:
        verdict = {True: "passed", False: "FAILED", None: "has no last line"}[found.passed]
        blocks.append(f"trtexec {shown(found.version)} {verdict}".replace("  ", " "))
    if found.performance:
        blocks.append(_performance(found.performance))
    blocks += [
        aligned((title, ""), list(pairs.items())[: None if every else _MOST_FACTS])
        for title, pairs in found.facts.items()
    ]
    if found.problems:
        lines = [shown(line, 300) for line in found.problems[:12]]
        blocks.append("\n".join([f"{plural(len(found.problems), 'warning and error')}:", *lines]))
    return blocks


def _times_of(view: View) -> str:
    joined = view.joined
    assert joined is not None
    text = f"{shown(view.title, 400)}: {common.duration(sum(joined.seconds.values()))} for a run"
    for words, names in (
        ("rows of the profile without a layer", joined.unmatched),
        ("layers without a time", joined.untimed),
    ):
        text += f"\n{len(names)} {words}: {listed(names, 3)}" if names else ""
    return text


def _profile_text(profile: layers.Profile) -> str:
    rows = sorted(profile.rows, key=lambda row: -row.average)[:_MOST_ROWS]
    table = aligned(
        ("time", "share", "layer"), [(*_time(r.average, profile.total), r.name) for r in rows]
    )
    head = f"{shown(profile.file or 'profile', 400)}: {common.duration(profile.total)} for a run"
    return f"{head}\n\n{table}"


def _timing_text(timing: layers.Timing) -> str:
    rows = [
        (name, len(values), *(common.duration(v) for v in _spread(values)))
        for name, values in timing.samples.items()
        if values
    ]
    table = aligned(("quantity", "runs", "smallest", "median", "largest"), rows)
    return f"{shown(timing.file or 'times', 400)}\n\n{table}"


def _spread(values: Sequence[float]) -> tuple[float, float, float]:
    ordered = sorted(values)
    return ordered[0], ordered[len(ordered) // 2], ordered[-1]


def _performance(summary: Mapping[str, Mapping[str, float]]) -> str:
    rows = []
    for quantity, numbers in summary.items():
        said = (
            f"{value:.6g}" if quantity == "Throughput" else f"{name} {common.duration(value)}"
            for name, value in numbers.items()
        )  # fmt: skip
        rows.append((quantity, ", ".join(said).replace("value ", "")))
    return aligned(("performance", ""), rows)
