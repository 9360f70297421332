"""Precisions side by side: one row for each network, as quantization tables in papers are.

Accuracy and latency of each precision stand beside those of the first one. Top-1 has its 95 %
interval behind it, a gain that of the ratio from one run; where it holds 1 the table says ``no
difference``, and so it does for an accuracy whose difference McNemar's test does not find.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from workbench.errors import StudyError
from workbench.measure import (
    Accuracy,
    AccuracyComparison,
    Comparison,
    Latency,
    compare,
    compare_accuracy,
)
from workbench.study.results import Configuration, Study
from workbench.text import aligned, shown

_NOTHING = "–"


@dataclass(frozen=True)
class Beside:
    """One network at one batch, run by one backend in one precision and in the first one."""

    configuration: Configuration
    first: Configuration
    accuracy: Accuracy | None
    """None without labels, or where it could not be run."""
    latency: Latency | None
    snr_db: float | None
    """Of the worst output against the study's reference."""
    gain: Comparison | None
    """Its latency over that of the first precision; None for the first itself."""
    change: AccuracyComparison | None
    """Its top-1 against that of the first precision."""

    @property
    def is_first(self) -> bool:
        """Whether the others are compared with it."""
        return self.configuration == self.first


def beside(study: Study) -> tuple[tuple[Beside, ...], ...]:
    """For each network, batch and way to run it, its precisions in order.

    Raises:
        StudyError: a study without precisions.
    """
    groups: dict[tuple[str, int, str], list[Configuration]] = {}
    for one in study.configurations:
        if one.precision and one.level != 0:
            way = one.variant.removesuffix(f", {one.precision}")
            groups.setdefault((one.model, one.batch, way), []).append(one)
    if not groups:
        raise StudyError("the study has no precisions; give its design some")
    return tuple(tuple(_beside(study, one, group[0]) for one in group) for group in groups.values())


def _beside(study: Study, one: Configuration, first: Configuration) -> Beside:
    latency, base = study.latency(one), study.latency(first)
    accuracy, right = study.accuracy(one), study.accuracy(first)
    snr = [m.samples[0] for m in study.deviations(one)]
    other = one != first
    return Beside(
        one, first, accuracy, latency, min(snr, default=None),
        compare(latency, base) if other and latency and base else None,
        compare_accuracy(accuracy, right) if other and accuracy and right else None,
    )  # fmt: skip


def text(study: Study, *, markdown: bool = False) -> str:
    """The table for a terminal, or in Markdown.

    Raises:
        StudyError: a study without precisions.
    """
    groups = beside(study)
    names = tuple(dict.fromkeys(one.configuration.precision for group in groups for one in group))
    header = ["model", "batch", "run by"]
    header += [f"{name.upper()} top-1/top-5" for name in names]
    header += [f"{name.upper()} ms" for name in names]
    several = len(names) > 2
    for name in names[1:]:
        of = f"{name.upper()} " if several else ""
        header += [f"{of}gain", f"{of}top-1 change", f"{of}achieved"]
    rows = [_row(group, names) for group in groups]
    if not markdown:
        return aligned(header, rows)
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines) + "\n"


def _cell(text: str) -> str:
    return shown(text, 400).replace("|", "\\|")


def _row(group: tuple[Beside, ...], names: tuple[str, ...]) -> list[str]:
    by = {one.configuration.precision: one for one in group}
    first = group[0].configuration
    way = first.variant.removesuffix(f", {first.precision}")
    random = " (random weights)" if first.weights == "random" else ""
    row = [f"{first.model}{random}", str(first.batch), way.removesuffix(", whole")]
    row += [_accuracy(by.get(name)) for name in names]
    row += [_milliseconds(by.get(name)) for name in names]
    return row + [cell for name in names[1:] for cell in _against(by.get(name))]


def _against(one: Beside | None) -> Iterator[str]:
    yield _gain(one.gain) if one and one.gain else _NOTHING
    yield _change(one.change) if one and one.change else _NOTHING
    yield (one.configuration.achieved if one else "") or _NOTHING


def _accuracy(one: Beside | None) -> str:
    if one is None or one.accuracy is None:
        return _NOTHING
    first, *others = (one.accuracy.top(k) for k in sorted(one.accuracy.hits))
    low, high = first.interval
    top1 = f"{100 * first.value:.2f} ({100 * low:.1f}–{100 * high:.1f})"
    return " / ".join([top1, *(f"{100 * share.value:.2f}" for share in others)])


def _milliseconds(one: Beside | None) -> str:
    return _NOTHING if one is None or one.latency is None else f"{1e3 * one.latency.median:.3g}"


def _gain(found: Comparison) -> str:
    if found.verdict == "no difference":
        return f"no difference ({1 / found.high:.2f}–{1 / found.low:.2f})"
    return f"{1 / found.ratio:.2f}x ({1 / found.high:.2f}–{1 / found.low:.2f})"


def _change(found: AccuracyComparison) -> str:
    points = f"{100 * found.difference:+.2f}"
    return f"{points}, no difference" if found.verdict == "no difference" else points
