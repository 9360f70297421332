"""One door for every file: look at what it holds, and give it to the reader for that.

The kind is told by content, never by the file's name.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from workbench.backends.tensorrt.layers.inspector import engines_in, read_engine
from workbench.backends.tensorrt.layers.log import read_log_engines, version_in
from workbench.backends.tensorrt.layers.loose import decoded, documents, text_of
from workbench.backends.tensorrt.layers.oneline import LOG_LINE, lines_of
from workbench.backends.tensorrt.layers.times import (
    is_profile,
    is_timing,
    read_profile,
    read_profile_table,
    read_timing,
)
from workbench.backends.tensorrt.layers.trtexec import (
    passed,
    performance_in,
    performance_of,
    problems,
    sections,
)
from workbench.backends.tensorrt.layers.values import (
    Bundle,
    EngineLayers,
    Profile,
    Timing,
)
from workbench.errors import ModelError
from workbench.text import listed, shown

Source = str | os.PathLike[str] | bytes
_EMBEDDED = re.compile(r"\{\s*\"Layers\"\s*:\s*\[")
_JSON = re.compile(r"[\ufeff\s]*(?:\{|\[\s*(?:[\[{\"\]\-\d]|true|false|null|$))")
# The first bracket is the one around a date or a severity.
_LOG = re.compile(r"[\ufeff\s]*\[(?:\d\d/\d\d/\d{4}-|[A-Z][A-Z_]*\])")
_CALIBRATION = re.compile(r"TRT-\d+-\w*Calibration")
_MOST_EMBEDDED = 64
_WANTED = (
    "the inspector's JSON (--exportLayerInfo), --exportProfile, --exportTimes, a verbose build "
    "log, a trtexec log or a TREX folder"
)


def read(source: Source, *, name: str = "") -> EngineLayers | Profile | Timing | Bundle:
    """What a file, a folder or a text of TensorRT's holds.

    Args:
        source: a path, or the text itself: text has a line break or starts with a bracket.
        name: what to call a text in messages.

    Returns:
        The one engine, profile or timing in it; a `Bundle` for a folder, a log with more in it, or
        a file with several engines.

    Raises:
        ModelError: unknown, empty or damaged; names the file, the place in it and what was
            expected.
    """
    bundle = gather([source], name=name)
    found = (*bundle.engines, *bundle.profiles, *bundle.timings)
    if len(found) != 1 or bundle.facts or bundle.performance:
        return bundle
    one = found[0]
    return one if isinstance(one, Timing) else replace(one, warnings=bundle.warnings)


def gather(sources: Iterable[Source], *, name: str = "") -> Bundle:
    """Everything that several files, folders or texts hold, in the order given.

    Raises:
        ModelError: one of them cannot be read, as in `read`.
    """
    bundles = [part for source in sources for part in _parts(source, name)]
    facts: dict[str, Mapping[str, str]] = {}
    numbers: dict[str, Mapping[str, float]] = {}
    for one in bundles:
        facts.update(one.facts)
        numbers.update(one.performance)
    return Bundle(
        tuple(engine for one in bundles for engine in one.engines),
        tuple(profile for one in bundles for profile in one.profiles),
        tuple(timing for one in bundles for timing in one.timings),
        numbers,
        facts,
        next((one.version for one in bundles if one.version), ""),
        next((one.passed for one in bundles if one.passed is not None), None),
        tuple(line for one in bundles for line in one.problems),
        tuple(line for one in bundles for line in one.warnings),
    )


def _parts(source: Source, name: str) -> list[Bundle]:
    if isinstance(source, bytes):
        return [_text(*decoded(source, name or "text"), "", name or "text")]
    if isinstance(source, str) and _is_text(source):
        return [_text(source, (), "", name or "text")]
    path = Path(source)
    if _is_folder(path):
        return _folder(path)
    return [_text(*text_of(path), str(path), str(path))]


def _is_text(source: str) -> bool:
    return "\n" in source or "\0" in source or source.lstrip()[:1] in ("{", "[") or not source


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def _folder(path: Path) -> list[Bundle]:
    """A TREX folder, or any folder of engine files: what is none of ours is passed over.

    TREX writes ``X.graph.json``, ``X.profile.json``, ``X.metadata.json``,
    ``X.build.metadata.json`` and ``X.profile.metadata.json``.
    """
    found, refused = [], []
    for file in sorted(path.iterdir()):
        if file.suffix not in (".json", ".log", ".txt") or not file.is_file():
            continue
        try:
            found.append(_text(*text_of(file), str(file), str(file)))
        except ModelError as error:
            refused.append(str(error))
    if not any(one.engines or one.profiles or one.timings for one in found):
        reasons = "; ".join(refused[:3]) or "it has no .json, .log or .txt file"
        raise ModelError(f"{shown(path)}: no engine file in this folder: {reasons}")
    return [*found, Bundle(warnings=tuple(refused))]


def _text(text: str, notes: tuple[str, ...], file: str, where: str) -> Bundle:
    try:
        if _JSON.match(text) and not _LOG.match(text):
            bundle = _json(documents(text.lstrip("\ufeff"), where), file, where)
        else:
            bundle = _log(text, file, where)
    except RecursionError as error:
        raise ModelError(f"{shown(where)}: nested too deep; expected {_WANTED}") from error
    own = tuple(line for engine in bundle.engines for line in engine.warnings)
    return replace(bundle, warnings=(*notes, *own))


def _json(values: tuple[Any, ...], file: str, where: str) -> Bundle:
    engines = tuple(read_engine(one, file=file, place=place) for place, one in engines_in(values))
    profiles = tuple(read_profile(one, file=file) for one in values if is_profile(one))
    timings = tuple(read_timing(one, file=file) for one in values if is_timing(one))
    facts, numbers = _metadata(values)
    if not (engines or profiles or timings or facts or numbers):
        raise ModelError(f"{shown(where)}: JSON, but {_what(values)}; expected {_WANTED}")
    return Bundle(engines, profiles, timings, numbers, facts)


def _what(values: tuple[Any, ...]) -> str:
    value = values[0] if values else None
    if isinstance(value, dict):
        return f"an object with {listed(value)}" if value else "an empty object"
    if isinstance(value, list) and value and isinstance(value[0], dict):
        keys = set(value[0])
        known = "values of outputs (--exportOutput)" if {"values", "dimensions"} <= keys else ""
        return known or f"a list of objects with {listed(value[0]) or 'nothing'}"
    return f"a list of {len(value)} values" if isinstance(value, list) else "a single value"


def _metadata(
    values: tuple[Any, ...],
) -> tuple[dict[str, Mapping[str, str]], dict[str, Mapping[str, float]]]:
    """TREX's metadata files: sections of facts, and trtexec's performance summary."""
    facts: dict[str, Mapping[str, str]] = {}
    numbers: dict[str, Mapping[str, float]] = {}
    for value in values:
        for key, one in value.items() if isinstance(value, dict) else ():
            if key == "performance_summary" and isinstance(one, dict):
                numbers.update(performance_of(one))
            elif key.endswith(("_options", "_information")) and isinstance(one, dict):
                title = key.replace("_", " ").title()
                facts[title] = {str(name): str(each) for name, each in one.items()}
        device = value[0] if isinstance(value, list) and value else None
        if isinstance(device, dict) and "ComputeCapability" in device:
            facts["Device"] = {str(name): str(each) for name, each in device.items()}
    return facts, numbers


def _log(text: str, file: str, where: str) -> Bundle:
    engines = read_log_engines(text, file=file)
    if not engines:
        # Programs print the inspector's JSON among their own lines.
        starts = [found.start() for found in _EMBEDDED.finditer(text)][:_MOST_EMBEDDED]
        embedded = [one for start in starts for one in _embedded(text, start, file)]
        engines = tuple(embedded)
    table = read_profile_table(text, file=file)
    bundle = Bundle(
        engines,
        (table,) if table else (),
        (),
        performance_in(text),
        sections(text),
        version_in(text),
        passed(text),
        problems(text),
    )
    if not (engines or table or bundle.facts or bundle.performance or bundle.passed is not None):
        if any(LOG_LINE.match(line) for line in lines_of(text[:20_000])):
            raise ModelError(
                f"{shown(where)}: a log, but it lists no layers, profile or results. Log at "
                "VERBOSE severity, and build with profiling_verbosity DETAILED"
            )
        if _CALIBRATION.match(text):
            raise ModelError(
                f"{shown(where)}: an INT8 calibration table, which workbench.calibrate.read takes; "
                f"expected {_WANTED}"
            )
        start = shown(text.strip()[:40])
        raise ModelError(f"{shown(where)}: starts with '{start}'; expected {_WANTED}")
    return bundle


def _embedded(text: str, start: int, file: str) -> list[EngineLayers]:
    try:
        value, _ = json.JSONDecoder(strict=False).raw_decode(text, start)
    except ValueError:
        return []
    return [read_engine(value, file=file)]
