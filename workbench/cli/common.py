"""What several commands share: opening the model, asking the source, partitioning, printing."""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from workbench import backends, zoo
from workbench import model as models
from workbench.backends.tensorrt import adapter
from workbench.cache import Cache
from workbench.errors import MissingDependencyError, ModelError
from workbench.model import Model
from workbench.partitioning import PRESETS, Capability, Exclusion, Plan, Preset, plan
from workbench.progress import Event, Progress
from workbench.text import nearest, shown

DEFAULT_THRESHOLD = 3
FALLBACK_SOURCE = "tensorrt-11.1"


def open_model(name: str, *, seed: int | None = None) -> Model:
    """The model of a file, or of the zoo where there is no such file.

    Raises:
        ModelError: no file and no zoo network of that name, or a file that cannot be read.
    """
    known = (*zoo.names(), *zoo.aliases())
    if Path(name).exists() or Path(name).suffix or "/" in name:
        return models.load(name)
    if name not in known:
        raise ModelError(
            f"no file and no zoo network is called {shown(name)}{nearest(name, known)}; "
            "`workbench inspect --zoo` lists the networks"
        )
    return zoo.load(name) if seed is None else zoo.load(name, seed=seed)


def fixed(model: Model, batch: int, shapes: list[str]) -> Model:
    """The model with concrete input shapes: `shapes` as given, else the batch put first.

    Raises:
        ValueError: a shape that is not ``INPUT=1x3x224x224``, or an extent left open.
    """
    wanted = dict(_parsed_shape(text) for text in shapes)
    for spec in model.graph.inputs:
        if spec.name in wanted or spec.shape is None:
            continue
        open_dims = [dim for dim in spec.shape if isinstance(dim, str)]
        if not open_dims:
            continue
        if open_dims != [spec.shape[0]]:
            raise ValueError(
                f"input {shown(spec.name)} has shape {shown(list(spec.shape))}; "
                f"give all of it: --shape {shown(spec.name)}=1x3x224x224"
            )
        wanted[spec.name] = (batch, *(dim for dim in spec.shape[1:] if isinstance(dim, int)))
    return model.with_shapes(wanted) if wanted else model


def _parsed_shape(text: str) -> tuple[str, tuple[int, ...]]:
    name, _, extents = text.rpartition("=")
    try:
        return name, tuple(int(extent) for extent in extents.split("x"))
    except ValueError:
        raise ValueError(f"--shape {shown(text)}: expected INPUT=1x3x224x224") from None


def ask(model: Model, source: str | None) -> Capability:
    """Who takes what; without a source, the TensorRT parser or else the newest table."""
    if source:
        return backends.source(source).capability(model)
    try:
        return backends.source("tensorrt").capability(model)
    except MissingDependencyError as error:
        reason = error if adapter.installed() else "no TensorRT here"
        note(f"{reason}; planning with the table of {FALLBACK_SOURCE} instead")
        return backends.source(FALLBACK_SOURCE).capability(model)


def planned(model: Model, given: argparse.Namespace) -> Plan:
    """The plan the partition options ask for.

    Raises:
        ValueError: both a policy and a preset, which has its own.
    """
    exclude = Exclusion(given.exclude_op, given.exclude_node, given.exclude_tensor)
    capability = ask(model, given.source)
    if not given.preset:
        return plan(model.graph, capability, policy=given.policy or "connected", exclude=exclude)
    if given.policy:
        raise ValueError("--preset has a policy of its own; leave --policy out")
    return preset(given.preset).plan(model.graph, capability, exclude=exclude)


def preset(name: str) -> Preset:
    """The preset of this name.

    Raises:
        ValueError: there is none.
    """
    if name not in PRESETS:
        raise ValueError(
            f"no preset {shown(name)}{nearest(name, PRESETS)}; presets are {', '.join(PRESETS)}"
        )
    return PRESETS[name]


def cache_of(given: argparse.Namespace) -> Cache | None:
    """The plan cache, unless it was declined."""
    return None if given.no_cache else Cache()


def note(text: str) -> None:
    """A remark on standard error, apart from the answer."""
    print(f"workbench: {text}", file=sys.stderr)


def print_json(value: Any) -> None:
    """A value as JSON on standard output: dataclasses as objects, NaN and infinity as null."""
    json.dump(plain(value), sys.stdout, indent=2, ensure_ascii=True)
    print()


def plain(value: Any) -> Any:
    """A value as dicts, lists, strings and numbers."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, str | int | float | bool | None) else str(value)


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """Progress on standard error: one line, rewritten; nothing where that is no terminal."""
    from tqdm import tqdm

    bar = tqdm(bar_format="{desc}{postfix}", disable=not sys.stderr.isatty(), leave=False)

    def show(event: Event) -> None:
        steps = f" {event.done}/{event.total}" if event.total else ""
        bar.set_description_str(f"{event.phase}{steps} {shown(event.detail, 60)}")

    try:
        yield show
    finally:
        bar.close()


def duration(seconds: float) -> str:
    """Seconds in the unit that reads best: ``12.3 µs``, ``4.56 ms``, ``1.20 s``."""
    for unit, factor in (("s", 1.0), ("ms", 1e3), ("µs", 1e6)):
        if seconds * factor >= 1 or unit == "µs":
            return f"{seconds * factor:.3g} {unit}"
    raise AssertionError


def amount(value: float, unit: str = "") -> str:
    """A number with a decimal prefix: ``4.09 G``, ``25.6 M``."""
    for prefix, factor in (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(value) >= factor:
            return f"{value / factor:.3g} {prefix}{unit}"
    return f"{value:g} {unit}".rstrip()
