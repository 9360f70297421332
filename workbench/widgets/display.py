"""How values show themselves in a notebook: one function for each type, plain text beside it.

The core knows nothing of this; `hook` tells IPython. A terminal takes the plain text.
"""

from __future__ import annotations

import base64
from collections import Counter
from io import BytesIO
from typing import TYPE_CHECKING, Any

from workbench import markup, model, plot, report
from workbench.graph import TensorSpec
from workbench.model import Model
from workbench.partitioning import Capability, Code, Partition, Plan
from workbench.ranges import CalibrationTable
from workbench.study import Study
from workbench.study.tables import rows as study_rows
from workbench.text import aligned, plural, shown
from workbench.widgets.display_precision import precision_parts
from workbench.widgets.strip import strip

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from workbench.backends.base import Engine
    from workbench.hybrid import Hybrid

Bundle = dict[str, str]

FIGURE_ROWS = 24
"""A study with more configurations shows its table without a figure."""


def model_bundle(value: Model) -> Bundle:
    """Inputs, outputs, size and operators of a model."""
    graph, numbers = value.graph, model.statistics(value)
    head = (
        f"{value.name}: {plural(len(graph.nodes), 'node')}, "
        f"{amount(numbers.parameters)} parameters, {amount(numbers.flops)}FLOPs a run"
    )
    specs = [("input", s) for s in graph.inputs] + [("output", s) for s in graph.outputs]
    tensors = [(kind, s.name, s.dtype, shape(s)) for kind, s in specs]
    operators = list(numbers.operators.items())
    opsets = ", ".join(f"{domain or 'ai.onnx'} {n}" for domain, n in value.opsets.items())
    warnings = [markup.paragraph(f"note: {text}") for text in value.warnings]
    html = markup.block(
        _title(head),
        markup.table(("", "name", "type", "shape"), tensors),
        *warnings,
        markup.folded(
            f"{plural(len(operators), 'operator type')}, opset {opsets}",
            markup.table(("operator", "nodes"), operators),
        ),
    )
    text = "\n".join([shown(head), aligned(("", "name", "type", "shape"), tensors)])
    return {"text/plain": text, "text/html": html}


def capability_bundle(value: Capability) -> Bundle:
    """How many nodes a source takes, and why not the rest."""
    head = f"{value.source} takes {len(value.taken)} of {plural(len(value.verdicts), 'node')}"
    header, lines = _reasons(value.verdicts)
    body = markup.table(header, lines, most=20) if lines else ""
    return {
        "text/plain": _text(head, header, lines),
        "text/html": markup.block(_title(head), body),
    }


def partition_bundle(value: Partition) -> Bundle:
    """Engines in execution order, and why the other nodes are outside."""
    inside = sum(map(len, value.subgraphs))
    folded = sum(verdict.code is Code.FOLDED for verdict in value.verdicts)
    head = (
        f"{plural(len(value.subgraphs), 'engine')} with {inside} of "
        f"{plural(len(value.verdicts) - folded, 'node')}"
    )
    how = f"min_subgraph_size {value.min_subgraph_size}, policy {value.policy}"
    header = ("engine", "nodes", "in", "out", "first node", "last node")
    lines = [
        (p.index, len(p), len(p.inputs), len(p.outputs), p.nodes[0], p.nodes[-1])
        for p in value.subgraphs
    ]
    why, reasons = _reasons(value.verdicts)
    parts = [_title(head), markup.paragraph(f"{value.graph.name}; {how}", quiet=True)]
    parts.append(markup.picture(strip(value), f"{head}, in execution order"))
    parts.append(markup.table(header, lines, most=12))
    if reasons:
        label = f"why {plural(sum(row[0] for row in reasons), 'node')} stay outside"
        parts.append(markup.folded(label, markup.table(why, reasons, most=20)))
    text = _text(f"{shown(head)} ({how})", header, lines[:12])
    return {"text/plain": text, "text/html": markup.block(*parts)}


def plan_bundle(value: Plan) -> Bundle:
    """What every threshold gives, and the recommended one."""
    advice, curve = value.recommended(), value.curve()
    head = f"{plural(len(value.segments), 'segment')} of {value.graph.name}, policy {value.policy}"
    header = ("threshold from", "engines", "nodes in engines", "bytes over the cuts")
    lines = [
        (p.min_subgraph_size, p.totals.engines, p.totals.nodes, amount(p.totals.boundary_bytes))
        for p in curve
    ]
    why = f"recommended threshold: {advice.min_subgraph_size}: {advice.reason}"
    html = markup.block(_title(head), markup.paragraph(why), markup.table(header, lines, most=20))
    return {
        "text/plain": f"{_text(head, header, lines[:20])}\n{shown(why, 500)}",
        "text/html": html,
    }


def hybrid_bundle(value: Hybrid) -> Bundle:
    """Parts of a hybrid, who runs each, and what could not be built."""
    engines = sum(part.kind == "engine" for part in value.parts)
    head = (
        f"Hybrid of {plural(engines, 'engine')} and "
        f"{plural(len(value.parts) - engines, 'native region')}"
    )
    header = ("part", "backend", "nodes", "build s", "from")
    lines = [
        (p.name, p.engine.backend, len(p.subgraph), f"{p.seconds:.2f}", _from(p.cached))
        for p in value.parts
    ]
    failures = [f"{v.node} is native instead: {v.reason}" for v in value.failures]
    words, precisions = precision_parts(value.layers(), value.model.graph)
    html = markup.block(
        _title(head),
        markup.picture(strip(value.partition), f"{head}, in execution order"),
        markup.table(header, lines, most=20),
        *[markup.paragraph(text) for text in failures[:10]],
        *precisions,
    )
    more = [words] if words else []
    return {
        "text/plain": "\n".join([_text(head, header, lines), *more, *map(shown, failures)]),
        "text/html": html,
    }


def engine_bundle(value: Engine) -> Bundle:
    """Layers of an engine."""
    layers = value.layers()
    head = f"{value.backend} engine of {plural(len(layers.nodes), 'layer')}"
    header = ("layer", "kind", "computed in", "stands for")
    lines = [
        (n.name, n.op_type, n.attributes.get("precision", ""), _origin(n.origin))
        for n in layers.nodes
    ]
    html = markup.block(_title(head), markup.table(header, lines, most=20))
    return {"text/plain": _text(head, header, lines[:20]), "text/html": html}


def study_bundle(value: Study) -> Bundle:
    """The table of a study, and its latencies drawn."""
    parts = [_title(f"Study of {plural(len(study_rows(value)), 'configuration')}")]
    for name in value.models:
        for batch in value.batches(name):
            parts.append(markup.paragraph(f"{name}, batch {batch}"))
            parts.append(report.table(value, name, batch))
            numbers = plot.latency_numbers(value, name, batch)
            if 0 < len(numbers) <= FIGURE_ROWS:
                drawn = report.svg(plot.latency(value, name, batch))
                parts.append(markup.folded("latency", markup.picture(drawn, f"latency of {name}")))
    parts.append(markup.paragraph(value.environment, quiet=True))
    return {"text/plain": value.text(), "text/html": markup.block(*parts)}


def table_bundle(value: CalibrationTable) -> Bundle:
    """The ranges of a calibration table."""
    head = (
        f"Calibration table: {plural(len(value.ranges), 'tensor')}, method {value.method}, "
        f"{plural(value.samples or 0, 'sample')}"
    )
    header = ("tensor", "low", "high", "INT8 step")
    lines = [
        (name, f"{r.low:.5g}", f"{r.high:.5g}", f"{r.scale:.4g}")
        for name, r in value.ranges.items()
    ]
    html = markup.block(_title(head), markup.table(header, lines, most=20))
    return {"text/plain": _text(head, header, lines[:20]), "text/html": html}


def figure_bundle(value: Figure) -> Bundle:
    """A figure as PNG: without pyplot, which nothing here uses, IPython would print its size."""
    drawn = BytesIO()
    value.savefig(drawn, format="png")
    picture = base64.b64encode(drawn.getvalue()).decode("ascii")
    return {"text/plain": str(value), "image/png": picture}


def amount(value: float) -> str:
    """A number with a decimal prefix and a space after it: ``4.09 G``."""
    for prefix, factor in (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(value) >= factor:
            return f"{value / factor:.3g} {prefix}"
    return f"{value:g} "


def shape(spec: TensorSpec) -> str:
    """The shape of a tensor as ``N x 3 x 224 x 224``."""
    if spec.shape is None:
        return "unknown"
    return " x ".join(shown(extent, 30) for extent in spec.shape) or "scalar"


def _title(text: str) -> str:
    return f"<p><b>{markup.escaped(text)}</b></p>"


def _text(head: str, header: tuple[str, ...], lines: list[Any]) -> str:
    return "\n".join([shown(head, 400), *([aligned(header, lines)] if lines else [])])


def _from(cached: bool) -> str:
    return "cache" if cached else "built"


def _origin(names: tuple[str, ...]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _reasons(verdicts: tuple[Any, ...]) -> tuple[tuple[str, ...], list[Any]]:
    """How many nodes have each reason to be outside, most frequent first."""
    counted = Counter(
        (str(v.code).replace("_", " "), v.reason)
        for v in verdicts
        if v.code not in (Code.TAKEN, Code.FOLDED)
    )
    lines = [(n, code, reason) for (code, reason), n in counted.most_common()]
    return ("nodes", "why", "in the rule's words"), lines
