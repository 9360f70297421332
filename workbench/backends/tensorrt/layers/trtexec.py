"""What else a trtexec log tells: options, device, performance summary, problems, verdict."""

from __future__ import annotations

import re
from collections.abc import Mapping

from workbench.backends.tensorrt.layers.oneline import LOG_LINE, lines_of

_TITLE = re.compile(r"=== (.{1,60}?) ===\s*$")
_LAST = re.compile(r"^&&&& (PASSED|FAILED) ", re.M)
_PROBLEM = re.compile(r"(?:^|^\[[^\]]*\] ?|\[TRT\] ?)\[(?:W|E|F|WARNING|ERROR|INTERNAL_ERROR)\] ?")
_DATE = re.compile(r"^\[[\d/:-]+\] ")
_NUMBER = r"(-?\d[\d.]{0,30}(?:e[-+]?\d{1,3})?)"
_STATISTIC = re.compile(rf"([a-z]+(?:\(\d+%\))?) = {_NUMBER} ms")
_SINGLE = re.compile(rf"(Throughput|Total [\w ]+): {_NUMBER} (qps|s)\b")
_SUMMARY = "Performance summary"
_TREX = ("min", "max", "mean", "median", "percentile(99%)")


def sections(text: str) -> dict[str, Mapping[str, str]]:
    """``=== Title ===`` -> its ``key: value`` lines; tables and explanations are left out."""
    found: dict[str, dict[str, str]] = {}
    at: dict[str, str] | None = None
    for line in lines_of(text):
        mark = LOG_LINE.match(line)
        if mark is None:
            continue
        line = line[mark.end() :]
        title = _TITLE.search(line)
        if title:
            plain = not title[1].startswith(("Profile", "Explanations", "Trace", _SUMMARY))
            at = found.setdefault(title[1], {}) if plain else None
        elif not line.strip() or line.startswith("["):
            at = None
        elif at is not None and ":" in line:
            key, _, value = line.partition(":")
            at.setdefault(key.strip(), value.strip())
    return {title: pairs for title, pairs in found.items() if pairs}


def performance_in(text: str) -> dict[str, Mapping[str, float]]:
    """The performance summary: ``Latency`` -> min, max, mean, median, percentiles in seconds.

    ``Throughput`` is queries per second, the totals are seconds.
    """
    _, title, summary = text.rpartition(f"=== {_SUMMARY} ===")
    found: dict[str, Mapping[str, float]] = {}
    for line in lines_of(summary)[:40] if title else ():
        line = LOG_LINE.sub("", line, count=1)
        single = _SINGLE.match(line)
        key, _, rest = line.partition(": ")
        values = {name: _float(value) / 1e3 for name, value in _STATISTIC.findall(rest)}
        if single:
            found.setdefault(single[1], {"value": _float(single[2])})
        elif values:
            found.setdefault(key, values)
    return found


def performance_of(summary: Mapping[str, object]) -> dict[str, Mapping[str, float]]:
    """The same from TREX's ``performance_summary``: lists are min, max, mean, median, 99 %."""
    found: dict[str, Mapping[str, float]] = {}
    for key, value in summary.items():
        if isinstance(value, list) and all(isinstance(one, int | float) for one in value):
            pairs = zip(_TREX, value, strict=False)
            found[str(key)] = {name: float(one) / 1e3 for name, one in pairs}
        elif isinstance(value, int | float):
            found[str(key)] = {"value": float(value)}
    return found


def problems(text: str) -> tuple[str, ...]:
    """Warnings and errors of a log, each once, as they stand after the date."""
    lines = (_DATE.sub("", line) for line in lines_of(text) if _PROBLEM.search(line[:80]))
    return tuple(dict.fromkeys(lines))


def passed(text: str) -> bool | None:
    """What the last ``&&&&`` line says, None where there is none."""
    verdicts = _LAST.findall(text)
    return verdicts[-1] == "PASSED" if verdicts else None


def _float(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
