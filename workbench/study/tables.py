"""A study as one flat table, for files and for a terminal."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from workbench.measure import Accuracy, Comparison, Latency
from workbench.study.results import Configuration, Study
from workbench.text import aligned, plural, shown

if TYPE_CHECKING:
    import pyarrow

COLUMNS: Mapping[str, type] = {
    "model": str, "weights": str, "batch": int, "variant": str, "threshold": int, "policy": str,
    "backend": str, "backend_version": str, "native": str, "native_version": str, "device": str,
    "threads": int, "capability": str, "engines": int, "engine_nodes": int, "native_nodes": int,
    "build_failures": int, "build_seconds": float, "same_as": str, "failed": str,
    "latency_seconds": float, "latency_low": float, "latency_high": float,
    "latency_p5": float, "latency_p95": float, "samples": int, "calls_per_sample": int,
    "warm": bool, "load": float,
    "ratio": float, "ratio_low": float, "ratio_high": float, "verdict": str, "baseline": str,
    "cpu_seconds": float, "cpu_low": float, "cpu_high": float,
    "cpu_ratio": float, "cpu_ratio_low": float, "cpu_ratio_high": float, "cpu_verdict": str,
    "top1": float, "top1_low": float, "top1_high": float,
    "top5": float, "top5_low": float, "top5_high": float, "accuracy_samples": int,
    "output": str, "deviation": str, "snr_db": float, "relative_l2": float, "relative_max": float,
    "cosine": float, "top1_agreement": float, "nonfinite": int, "deviation_samples": int,
    "reference": str, "precision": str, "achieved": str, "met": float, "wider": float,
    "replaced": float, "kept": float, "around": float, "instead": str,
}  # fmt: skip
"""Column -> type. Times are seconds a run of the whole batch, shares lie between 0 and 1.

Ratios are this latency over the baseline's, below 1 is faster, with a 95 % interval and a verdict.
Deviation is that of the worst output. A cell is null where there is nothing to say.
"""


def rows(study: Study) -> list[dict[str, Any]]:
    """A mapping of every column for each configuration, in the study's order."""
    return [_row(study, one) for one in study.configurations]


def _row(study: Study, one: Configuration) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(COLUMNS)
    for name in (
        "model", "weights", "batch", "variant", "threshold", "policy", "backend",
        "backend_version", "native", "native_version", "device", "engines", "engine_nodes",
        "native_nodes", "build_failures", "build_seconds", "same_as", "failed", "met", "wider",
        "replaced", "kept", "around",
    ):  # fmt: skip
        row[name] = getattr(one, name)
    for name in ("precision", "achieved", "instead"):
        row[name] = getattr(one, name) or None
    row["threads"], row["capability"] = study.environment.threads, one.source
    latency = study.latency(one)
    if latency:
        row |= _latency_cells(latency)
    for prefix, clock in (("", "wall"), ("cpu_", "cpu")):
        against = study.against_baseline(one, clock)
        if against:
            row |= _ratio_cells(against, prefix)
            row["baseline"] = study.baselines.get(one.model)
    accuracy = study.accuracy(one)
    if accuracy:
        row |= _accuracy_cells(accuracy)
    return row | _deviation_cells(study, one)


def _latency_cells(latency: Latency) -> dict[str, Any]:
    cpu = latency.by("cpu")
    return {
        "latency_seconds": latency.median,
        "latency_low": latency.interval[0],
        "latency_high": latency.interval[1],
        "latency_p5": latency.percentile(5),
        "latency_p95": latency.percentile(95),
        "samples": len(latency.wall),
        "calls_per_sample": latency.calls,
        "warm": latency.warm,
        "load": latency.noise.load_after if latency.noise else None,
        "cpu_seconds": cpu.median,
        "cpu_low": cpu.interval[0],
        "cpu_high": cpu.interval[1],
    }


def _ratio_cells(found: Comparison, prefix: str) -> dict[str, Any]:
    return {
        f"{prefix}ratio": found.ratio,
        f"{prefix}ratio_low": found.low,
        f"{prefix}ratio_high": found.high,
        f"{prefix}verdict": found.verdict,
    }


def _accuracy_cells(accuracy: Accuracy) -> dict[str, Any]:
    cells: dict[str, Any] = {"accuracy_samples": accuracy.count}
    for k in accuracy.hits:
        share = accuracy.top(k)
        cells |= {f"top{k}": share.value}
        cells |= {f"top{k}_low": share.interval[0], f"top{k}_high": share.interval[1]}
    return cells


def _deviation_cells(study: Study, one: Configuration) -> dict[str, Any]:
    found = study.deviations(one)
    if not found:
        return {}
    worst = min(found, key=lambda m: -math.inf if math.isnan(m.samples[0]) else m.samples[0])
    details = worst.details
    return {
        "output": details["output"],
        "deviation": details["verdict"],
        "snr_db": worst.samples[0],
        "relative_l2": details["relative_l2"],
        "relative_max": details["relative_max"],
        "cosine": details["cosine"],
        "top1_agreement": details["agreement"],
        "nonfinite": details["nonfinite"],
        "deviation_samples": details["count"],
        "reference": details["reference"],
    }


def table(study: Study) -> pyarrow.Table:
    """The rows as an Arrow table."""
    import pyarrow

    kinds = {
        str: pyarrow.string(), int: pyarrow.int64(), float: pyarrow.float64(), bool: pyarrow.bool_()
    }  # fmt: skip
    schema = pyarrow.schema([(name, kinds[kind]) for name, kind in COLUMNS.items()])
    return pyarrow.Table.from_pylist(rows(study), schema=schema)


NOTHING = "–"


def text(study: Study, *, width: int = 120) -> str:
    """The table for a terminal: one block for each network and batch, then what measured it."""
    blocks = [
        _block(study, model, batch, width)
        for model in study.models
        for batch in study.batches(model)
    ]
    return "\n\n".join([*blocks, _footer(study, width)])


def _block(study: Study, model: str, batch: int, width: int) -> str:
    configurations = study.select(model, batch)
    found = [_row(study, one) for one in configurations]
    columns = [(head, make) for head, make in PRINTED if any(make(row) != NOTHING for row in found)]
    cells = [[make(row) for _, make in columns] for row in found]
    others = zip(*([head for head, _ in columns[1:]], *(line[1:] for line in cells)), strict=True)
    room = width - sum(2 + max(map(len, column)) for column in others)
    # Names that end in a precision say nothing without their end.
    least = 34 if any(row["precision"] for row in found) else 12
    cells = [[shown(line[0], max(least, room)), *line[1:]] for line in cells]
    lines = [_title(study, configurations, batch), aligned([head for head, _ in columns], cells)]
    lines += _wrapped(
        [f"{row['variant']}: {row['failed']}" for row in found if row["failed"]], width
    )
    return "\n".join(lines)


def _title(study: Study, configurations: tuple[Configuration, ...], batch: int) -> str:
    first = configurations[0]
    parts = [shown(first.model, 40), f"batch {batch}"]
    if first.weights != "unknown":
        parts.append(f"{first.weights} weights")
    accuracy = next(filter(None, map(study.accuracy, configurations)), None)
    if accuracy:
        parts.append(plural(accuracy.count, "labelled picture"))
    return " · ".join(parts)


def _milliseconds(row: Mapping[str, Any], name: str) -> str:
    low = row.get(f"{name}_low")
    if low is None:
        return NOTHING
    middle = row["latency_seconds" if name == "latency" else "cpu_seconds"]
    places = max(0, min(4, 2 - math.floor(math.log10(max(middle * 1e3, 1e-9)))))
    low, high = (f"{row[f'{name}_{end}'] * 1e3:.{places}f}" for end in ("low", "high"))
    return f"{middle * 1e3:.{places}f} ({low}–{high})"


def _ratio(row: Mapping[str, Any]) -> str:
    if row["ratio"] is None:
        return NOTHING
    if row["baseline"] in (row["variant"], row["same_as"]):
        return "1 (baseline)"
    if row["verdict"] == "no difference":
        return "no difference"
    fast, slow = 1 / row["ratio"], row["ratio"]
    return f"{fast:.2f}x faster" if row["verdict"] == "faster" else f"{slow:.2f}x slower"


def _percent(value: float | None, places: int = 2) -> str:
    return NOTHING if value is None else f"{100 * value:.{places}f}"


def _accuracy(row: Mapping[str, Any]) -> str:
    if row["top1"] is None:
        return NOTHING
    ends = "–".join(_percent(row[f"top1_{end}"], 1) for end in ("low", "high"))
    return f"{_percent(row['top1'])} ({ends})"


def _deviation(row: Mapping[str, Any]) -> str:
    if row["deviation"] is None:
        return NOTHING
    if row["deviation"] == "differs":
        return f"{row['snr_db']:.1f}"
    return row["deviation"]


def _achieved(row: Mapping[str, Any]) -> str:
    if row["met"] is None:
        return NOTHING
    others = [f"{name} {_percent(row[name], 0)}" for name in ("wider", "replaced") if row[name]]
    words = ", ".join([_percent(row["met"], 0), *others])
    return f"{words}: {row['instead']}" if row["instead"] else words


def _nodes(row: Mapping[str, Any]) -> str:
    if row["engine_nodes"] is None:
        return NOTHING
    return f"{row['engine_nodes']}/{row['engine_nodes'] + row['native_nodes']}"


def _number(name: str) -> Callable[[Mapping[str, Any]], str]:
    return lambda row: NOTHING if row[name] is None else str(row[name])


def _variant(row: Mapping[str, Any]) -> str:
    return f"{row['variant']} *" if row["same_as"] else row["variant"]


PRINTED: tuple[tuple[str, Callable[[Mapping[str, Any]], str]], ...] = (
    ("configuration", _variant),
    ("engines", _number("engines")),
    ("nodes", _nodes),
    ("latency ms", lambda row: _milliseconds(row, "latency")),
    ("CPU ms", lambda row: NOTHING if row["cpu_seconds"] is None else _short(row["cpu_seconds"])),
    ("to baseline", _ratio),
    ("top-1 %", _accuracy),
    ("SNR dB", _deviation),
    ("agree", lambda row: _percent(row["top1_agreement"], 1)),
    ("achieved %", lambda row: _achieved(row)),
)
"""Head and text of each printed column, made from one of `rows`."""


def _short(seconds: float) -> str:
    return f"{seconds * 1e3:.3g}"


def _footer(study: Study, width: int) -> str:
    lines = [
        "Latency is the median wall time of a run of the batch, with its 95 % interval. Nodes: in "
        f"engines / all. SNR and top-1 agreement (%) are against {_reference(study)}."
    ]
    if any(one.same_as for one in study.configurations):
        lines.append(
            "* the same engines as at an earlier threshold; built and measured once for both."
        )
    if any(one.achieved for one in study.configurations):
        lines.append(
            "Achieved: nodes in engines that compute in what was asked for; wider, replaced: in "
            "another type; the rest was left out by the transform, or scales and casts."
        )
    baselines = sorted(set(study.baselines.values()))
    if baselines:
        lines.append(f"Baseline: {', '.join(map(shown, baselines))}.")
    sources = sorted({one.source for one in study.configurations if one.source})
    if sources:
        lines.append(f"What engines may hold: {', '.join(map(shown, sources))}.")
    by = dict.fromkeys(one.measured_by for one in study.configurations if not one.failed)
    lines += [f"Measured by {'; '.join(by)}.", f"On {study.environment}."]
    lines += _noisy(study)
    return "\n".join(_wrapped(lines, width))


def _reference(study: Study) -> str:
    names = {m.details["reference"] for m in study.measurements if m.metric == "snr"}
    return ", ".join(sorted(map(shown, names))) or "no reference"


def _noisy(study: Study) -> list[str]:
    found = [study.latency(one) for one in study.configurations]
    if any(one and one.noise and one.noise.busy for one in found):
        return ["The machine was busy with other work: trust ratios and CPU time more than times."]
    return []


def _wrapped(lines: Iterable[str], width: int) -> list[str]:
    import textwrap

    return [
        part
        for line in lines
        for part in textwrap.wrap(shown(line, 4000), width, subsequent_indent="  ")
    ]
