"""Per-layer and per-iteration times, and joining them to layers. Milliseconds become seconds."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from workbench.backends.tensorrt.layers.graphs import unique_names
from workbench.backends.tensorrt.layers.oneline import LOG_LINE, lines_of
from workbench.backends.tensorrt.layers.values import EngineLayers, Profile, ProfileRow, Timing
from workbench.errors import ModelError
from workbench.graph import Graph
from workbench.text import listed, shown

Statistic = Literal["average", "median"]

_SAMPLES = {"latency": "latencyMs", "compute": "computeMs", "h2d": "h2dMs", "d2h": "d2hMs"}
# Up to TensorRT 7.2 the copies were called in and out.
_OLDER = {"h2d": "inMs", "d2h": "outMs", "end to end": "endToEndMs"}
_DECIMAL = re.compile(r"-?\d{1,30}(?:\.\d{0,30})?(?:e[-+]?\d{1,2})?")
_TABLE = re.compile(r"=== Profile \((\d+) iterations ?\) ===")


def is_profile(value: object) -> bool:
    """Whether a JSON value is trtexec's ``--exportProfile``."""
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(one, dict) for one in value)
        and any("averageMs" in one or "timeMs" in one or set(one) == {"count"} for one in value)
    )


def is_timing(value: object) -> bool:
    """Whether a JSON value is trtexec's ``--exportTimes``."""
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(one, dict) for one in value)
        and any("latencyMs" in one or "computeMs" in one for one in value)
    )


def read_profile(value: list[Any], *, file: str = "") -> Profile:
    """A profile from trtexec's JSON, already parsed.

    Raises:
        ModelError: a row without name or time; names file and row.
    """
    where = shown(file or "text")
    count, rows = 0, []
    for i, one in enumerate(value):
        at = f"{where}, row {i}"
        if "name" not in one:
            if "count" not in one:
                raise ModelError(f"{at}: neither 'name' nor 'count', but {listed(one)}")
            count = int(_number(one["count"], "count", at))
            continue
        name = one["name"]
        if not isinstance(name, str):
            raise ModelError(f"{at}: 'name' is {shown(repr(name), 40)}; expected text")
        average = one.get("averageMs")
        total = one.get("timeMs", average)
        total = _number(total, "timeMs", at)
        average = total / max(count, 1) if average is None else _number(average, "averageMs", at)
        median = one.get("medianMs")
        median = None if median is None else _number(median, "medianMs", at) / 1e3
        rows.append(ProfileRow(name, total / 1e3, average / 1e3, median))
    return Profile(tuple(rows), count, file)


def read_timing(value: list[Any], *, file: str = "") -> Timing:
    """Samples from trtexec's JSON, already parsed.

    Raises:
        ModelError: a record that lacks a quantity which others have, or has no number there.
    """
    where = shown(file or "text")
    found: dict[str, tuple[float, ...]] = {}
    for keys in (_SAMPLES, _OLDER):
        for quantity, key in keys.items():
            if quantity not in found and any(key in one for one in value):
                found[quantity] = tuple(
                    _number(one.get(key), key, f"{where}, record {i}") / 1e3
                    for i, one in enumerate(value)
                )
    if all("startEnqMs" in one and "endEnqMs" in one for one in value):
        found["enqueue"] = tuple(
            (
                _number(one["endEnqMs"], "endEnqMs", f"{where}, record {i}")
                - _number(one["startEnqMs"], "startEnqMs", f"{where}, record {i}")
            )
            / 1e3
            for i, one in enumerate(value)
        )
    return Timing(found, file)


def _number(value: Any, key: str, at: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ModelError(
            f"{at}: '{key}' is {shown(repr(value), 40)}; expected a number. "
            "The file is damaged: export it again"
        )
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ModelError(f"{at}: '{key}' is not finite; export the file again")
    return number


def read_profile_table(text: str, *, file: str = "") -> Profile | None:
    """The table of ``trtexec --dumpProfile`` in a log, or None where the log has none.

    The average column has 4 digits after the point, so averages are taken from the total. TensorRT
    10 puts the layer last, 8 puts it first.
    """
    head = _TABLE.search(text)
    if head is None:
        return None
    lines = [LOG_LINE.sub("", line, count=1) for line in lines_of(text[head.end() :])[1:]]
    titles = lines[0].replace(" (", "(") if lines else ""
    columns = titles.count("(ms)") + 1
    name_last = titles.rstrip().endswith("Layer")
    count, rows = int(head[1][:15]), []
    for line in lines[1:]:
        cells = line.split(None, columns) if name_last else line.rsplit(None, columns)
        name = cells.pop(-1 if name_last else 0).strip() if len(cells) == columns + 1 else "Total"
        numbers = [float(cell) for cell in cells if _DECIMAL.fullmatch(cell)]
        if name == "Total" or len(numbers) != columns:
            break
        median = numbers[2] / 1e3 if columns == 4 else None
        rows.append(ProfileRow(name, numbers[0] / 1e3, numbers[0] / max(count, 1) / 1e3, median))
    return Profile(tuple(rows), count, file)


@dataclass(frozen=True, slots=True)
class Joined:
    """Times put on layers."""

    seconds: Mapping[str, float]
    """Layer name, as `to_graph` names it, -> seconds of one run: an overlay."""
    unmatched: tuple[str, ...] = ()
    """Rows of the profile that no layer has."""
    untimed: tuple[str, ...] = ()
    """Layers that no row times."""


def join(
    engine: EngineLayers,
    profile: Profile,
    statistic: Statistic = "average",
    *,
    of_profile: int | None = 0,
) -> Joined:
    """Times of a profile by layer name; rows of one name go to its layers in order.

    Args:
        engine: the layers.
        profile: the times.
        statistic: which of a row's times; the average stands in where there is no median.
        of_profile: the optimization profile whose layers are timed; None for all.
    """
    chosen = [layer for layer in engine.layers if of_profile in (None, layer.profile)]
    names = unique_names([layer.name for layer in chosen])
    waiting: dict[str, list[str]] = defaultdict(list)
    for layer, name in zip(chosen, names, strict=True):
        waiting[layer.name].append(name)
    seconds: dict[str, float] = {}
    unmatched = []
    for row in profile.rows:
        if waiting[row.name]:
            median = row.median if statistic == "median" else None
            seconds[waiting[row.name].pop(0)] = row.average if median is None else median
        else:
            unmatched.append(row.name)
    return Joined(seconds, tuple(unmatched), tuple(name for name in names if name not in seconds))


def spread(engine_graph: Graph, seconds: Mapping[str, float]) -> dict[str, float]:
    """Seconds per ONNX node: each layer's time in equal parts to the nodes behind it.

    A fused kernel has one time for all its nodes, so the split is a convention; the sum over the
    nodes is the sum over the layers that have an origin.

    Args:
        engine_graph: the layers, made by `to_graph`.
        seconds: layer name -> seconds, e.g. `Joined.seconds`.
    """
    found: dict[str, float] = defaultdict(float)
    for node in engine_graph.nodes:
        for name in node.origin:
            found[name] += seconds.get(node.name, 0.0) / len(node.origin)
    return dict(found)
