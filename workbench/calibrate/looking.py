"""Calibration tables as lists that one can read: what is clipped, what differs, what is missing."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from workbench.calibrate.checking import extra, missing
from workbench.calibrate.histograms import Histograms
from workbench.errors import DataError
from workbench.model import Model
from workbench.ranges import CalibrationTable, Range
from workbench.text import aligned, listed, plural, shown

HEAVY = 0.01
"""Share of clipped values above which a tensor is pointed out."""

LOOSE = 16.0
"""A clip so many times beyond the largest value seen wastes four of eight bits."""


@dataclass(frozen=True, slots=True)
class Row:
    """One tensor of a table."""

    tensor: str
    range: Range
    seen: float
    """Largest magnitude in the histogram; NaN without one."""
    saturation: float
    """Share of the values beyond the clip, 0 to 1; NaN without a histogram."""
    remark: str = ""
    """What is odd about it, safe to print; empty where nothing is."""


@dataclass(frozen=True)
class Description:
    """A table as rows, in the table's order, and what is missing or too much."""

    table: CalibrationTable
    rows: tuple[Row, ...]
    missing: tuple[str, ...] = ()
    """Tensors that the model needs, or the histograms have, and the table has not."""
    extra: tuple[str, ...] = ()
    """Tensors of the table that the model, or the histograms, have not."""

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    @property
    def worst(self) -> Row | None:
        """The tensor with the largest share of clipped values; None without histograms."""
        known = [row for row in self.rows if not math.isnan(row.saturation)]
        return max(known, key=lambda row: row.saturation, default=None)

    def __str__(self) -> str:
        table = self.table
        head = f"{shown(table.method)}, {plural(len(table), 'tensor')}"
        if table.samples:
            head += f", {plural(table.samples, 'sample')}"
        rows = [
            (row.tensor, f"{row.range.low:.4g}", f"{row.range.high:.4g}", f"{row.range.scale:.3g}",
             _percent(row.saturation), row.remark)
            for row in self.rows
        ]  # fmt: skip
        parts = [head, aligned(("tensor", "low", "high", "scale", "clipped", "remark"), rows)]
        for words, names in (("no range for", self.missing), ("unknown", self.extra)):
            if names:
                parts.append(f"{words}: {listed(names)}")
        return "\n".join(parts)


def describe(
    table: CalibrationTable,
    histograms: Histograms | None = None,
    *,
    model: Model | None = None,
) -> Description:
    """A table as a list: ranges, scales, how much is clipped, what is odd.

    Args:
        table: the table.
        histograms: how the tensors are spread; they may be of other data than the table was made
            from, such as held-out pictures.
        model: the network, to say which tensors are missing or unknown.

    Raises:
        DataError: the table or the histograms are of another model; has both digests.
    """
    digests = [table.model_digest, *([] if histograms is None else [histograms.model_digest])]
    digests += [] if model is None else [model.digest]
    known = [digest for digest in digests if digest]
    if any(digest != known[0] for digest in known):
        raise DataError(
            f"table, histograms and model do not belong together: their model digests are "
            f"{', '.join(known)}; calibrate this model"
        )
    rows = tuple(_row(name, one, histograms) for name, one in table.ranges.items())
    gone: Sequence[str] = ()
    strange: Sequence[str] = ()
    if model is not None:
        gone, strange = missing(table, model), extra(table, model)
    elif histograms is not None:
        gone = table.missing(histograms)
        strange = [name for name in table.ranges if name not in histograms.tensors]
    return Description(table, rows, tuple(gone), tuple(strange))


def _row(name: str, one: Range, histograms: Histograms | None) -> Row:
    if histograms is None or name not in histograms.tensors:
        return Row(name, one, math.nan, math.nan)
    histogram = histograms[name]
    seen, beyond = histogram.amax, histogram.share_beyond(one.amax)
    remark = ""
    if seen == 0:
        remark = "always zero here"
    elif beyond > HEAVY:
        remark = f"clips {_percent(beyond)} of the values"
    elif one.amax > LOOSE * seen:
        remark = f"range {one.amax / seen:.0f} times what is seen: steps too coarse"
    if histogram.nonfinite:
        remark = f"{plural(histogram.nonfinite, 'value')} NaN or infinite" + (
            f"; {remark}" if remark else ""
        )
    return Row(name, one, seen, beyond, remark)


def _percent(share: float) -> str:
    return "–" if math.isnan(share) else f"{100 * share:.3g} %"


@dataclass(frozen=True, slots=True)
class Difference:
    """One tensor in two tables."""

    tensor: str
    kind: Literal["changed", "added", "removed"]
    before: Range | None
    after: Range | None

    @property
    def factor(self) -> float:
        """The clip after over the clip before; NaN where one table lacks the tensor."""
        if self.before is None or self.after is None:
            return math.nan
        return self.after.amax / self.before.amax


@dataclass(frozen=True)
class TableDiff:
    """What one has to change in a table to get another."""

    differences: tuple[Difference, ...]
    """Changed tensors first, the largest change first; then added and removed ones."""
    equal: int
    """Tensors with the same range in both."""
    notes: tuple[str, ...] = ()
    """What else differs: method, model, data, samples; safe to print."""

    def __len__(self) -> int:
        return len(self.differences)

    def __iter__(self) -> Iterator[Difference]:
        return iter(self.differences)

    def __str__(self) -> str:
        rows = [
            (d.tensor, d.kind, _end(d.before), _end(d.after),
             "–" if math.isnan(d.factor) else f"{d.factor:.3f}")
            for d in self.differences
        ]  # fmt: skip
        head = f"{plural(len(rows), 'tensor')} of {len(rows) + self.equal} differ"
        table = (
            [aligned(("tensor", "what", "clip before", "after", "factor"), rows)] if rows else []
        )
        return "\n".join([head, *self.notes, *table])


def diff(before: CalibrationTable, after: CalibrationTable, *, tolerance: float = 0.0) -> TableDiff:
    """What differs between two tables.

    Args:
        before: one table.
        after: the other.
        tolerance: relative change of an end of a range, measured by the larger clip, that still
            counts as equal.

    Raises:
        ValueError: the tolerance is below 0.
    """
    if not tolerance >= 0:
        raise ValueError(f"tolerance is {shown(tolerance)}; must be 0 or more")
    changed, lonely, equal = [], [], 0
    for name in dict.fromkeys((*before.ranges, *after.ranges)):
        a, b = before.ranges.get(name), after.ranges.get(name)
        if a is None or b is None:
            lonely.append(Difference(name, "added" if a is None else "removed", a, b))
        elif _differ(a, b, tolerance):
            changed.append(Difference(name, "changed", a, b))
        else:
            equal += 1
    changed.sort(key=lambda one: -abs(math.log(one.factor)))
    lonely.sort(key=lambda one: one.kind)
    return TableDiff((*changed, *lonely), equal, tuple(_notes(before, after)))


def _differ(a: Range, b: Range, tolerance: float) -> bool:
    return max(abs(a.low - b.low), abs(a.high - b.high)) > tolerance * max(a.amax, b.amax)


def _notes(before: CalibrationTable, after: CalibrationTable) -> Iterator[str]:
    for name, words in (
        ("method", "method"), ("model_digest", "model"), ("data_digest", "data"),
        ("samples", "samples"),
    ):  # fmt: skip
        a, b = getattr(before, name), getattr(after, name)
        if a != b:
            cut = slice(12 if name.endswith("digest") else None)
            a, b = str(a or "unknown")[cut], str(b or "unknown")[cut]
            yield f"{words}: {shown(a)} -> {shown(b)}"


def _end(one: Range | None) -> str:
    return "–" if one is None else f"{one.amax:.4g}"
