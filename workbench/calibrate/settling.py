"""How many samples are enough: ranges and what they clip, against the number of samples.

Tallies add up exactly, so one pass over the data gives the histograms after 1, 2, 4, 8 ... samples,
and those of samples kept out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from workbench.backends.base import Backend
from workbench.calibrate.collecting import Tallies, Work, merge_all
from workbench.calibrate.histogram import Histogram
from workbench.calibrate.histograms import SMALLEST
from workbench.calibrate.items import Data, Items
from workbench.calibrate.methods import METHODS, clip
from workbench.calibrate.watching import checked
from workbench.errors import DataError
from workbench.model import Model
from workbench.progress import Cancel, Progress, silent
from workbench.text import aligned, nearest, plural, shown

SETTLED = 0.02
"""Median change of the clips up to which they count as settled."""

SETTLED_WORST = 0.10
"""Change of the worst but one in twenty tensors up to which they count as settled."""


@dataclass(frozen=True, slots=True)
class Step:
    """Clips after some samples, against those after all of them."""

    samples: int
    change: float
    """Median over the tensors of the relative change to the final clip."""
    change_worst: float
    """95th percentile of the same."""
    saturation: float
    """Mean over the tensors of the share of held-out values beyond the clip."""
    saturation_worst: float
    """The largest such share of a tensor."""
    worst: str
    """Tensor with the largest share."""


@dataclass(frozen=True)
class Convergence:
    """How ranges settle as samples come in."""

    method: str
    steps: tuple[Step, ...]
    """By samples, ascending; the last one has all that are not held out."""
    held_out: int
    """Samples, the last of the data, that clips were judged on and not made from."""
    tensors: int
    """Tensors with a value other than zero."""

    @property
    def enough(self) -> int | None:
        """The smallest number of samples tried from which on the clips had settled.

        None if those of the step before the last had not.
        """
        found = None
        for step in reversed(self.steps[:-1]):
            if step.change > SETTLED or step.change_worst > SETTLED_WORST:
                break
            found = step.samples
        return found

    @property
    def recommendation(self) -> str:
        """What to do, in words."""
        last = self.steps[-1]
        beyond = (
            f"On {plural(self.held_out, 'held-out sample')} the final ranges clip "
            f"{100 * last.saturation:.2g} % of the values, at most "
            f"{100 * last.saturation_worst:.2g} % of a tensor ({shown(last.worst)})."
        )
        if self.enough is None:
            before = self.steps[-2] if len(self.steps) > 1 else last
            return (
                f"{plural(last.samples, 'sample')} are not shown to be enough for {self.method}: "
                f"from {before.samples} to {last.samples} half of the clips still moved by "
                f"{100 * before.change:.1f} % or more, one in twenty by "
                f"{100 * before.change_worst:.0f} % or more. Use more samples. {beyond}"
            )
        step = next(step for step in self.steps if step.samples == self.enough)
        return (
            f"{plural(self.enough, 'sample')} are enough for {self.method}: up to all "
            f"{last.samples} half of the clips move by {100 * step.change:.1f} % or less, all but "
            f"one in twenty by {100 * step.change_worst:.0f} % or less. {beyond}"
        )

    def __str__(self) -> str:
        rows = [
            (step.samples, f"{100 * step.change:.2f} %", f"{100 * step.change_worst:.1f} %",
             f"{100 * step.saturation:.3g} %", f"{100 * step.saturation_worst:.3g} %", step.worst)
            for step in self.steps
        ]  # fmt: skip
        head = ("samples", "median change", "1 in 20", "held-out clipped", "most", "tensor")
        return f"{aligned(head, rows)}\n{self.recommendation}"


def convergence(
    model: Model,
    data: Data,
    *,
    methods: Sequence[str] = ("minmax", "percentile", "entropy", "mse", "aciq"),
    held_out: float = 0.25,
    tensors: Sequence[str] | None = None,
    input: str | None = None,
    samples: int | None = None,
    bins: int = 2048,
    backend: Backend | str = "onnxruntime",
    threads: int | None = None,
    progress: Progress = silent,
    cancel: Cancel | None = None,
) -> Mapping[str, Convergence]:
    """For each method how its ranges settle with the number of samples, in one pass.

    The network runs one sample at a time; clips are taken after 1, 2, 4, 8 ... samples, so give the
    data in random order.

    Args:
        model: the network.
        data: as for `collect`; its length must be known, or `samples` be given.
        methods: names of methods.
        held_out: share of the samples, the last ones, that is kept to judge clips on.
        tensors: as for `collect`.
        input: as for `collect`.
        samples: as for `collect`.
        bins: as for `collect`.
        backend: as for `collect`.
        threads: as for `collect`.
        progress: told of each run.
        cancel: looked at before each run.

    Raises:
        DataError: fewer than four samples, data of unknown length, or a sample that does not fit.
        ValueError: no such method, or a share outside 0 to 1.
    """
    _refuse(methods, held_out)
    watched = checked(model, tensors)
    items = Items(model.graph.inputs, data, input, samples, 1)
    total = items.total if items.total is not None else samples
    if total is None or total < 4:
        raise DataError(
            f"{'data of unknown length' if total is None else plural(total, 'sample')}: how ranges "
            "settle needs at least four samples, and to know how many there are; give samples="
        )
    kept = total - max(1, round(total * held_out))
    ends = [2**i for i in range(kept.bit_length()) if 2**i < kept] + [kept]
    work = Work(
        model, watched, items, bins=bins, backend=backend, threads=threads, progress=progress,
        cancel=cancel,
    )  # fmt: skip
    with work:
        segments = list(work.segments(ends))
    if len(segments) != len(ends) + 1:
        raise DataError(
            f"the data gave {plural(work.done, 'sample')}, not {total}; say with samples= how many "
            "there are"
        )
    out = {name: tally.result() for name, tally in segments[-1].items()}
    sums = [merge_all(segments[: i + 1]) for i in range(len(ends))]
    return {method: _settling(method, ends, sums, out, work.done - kept) for method in methods}


def _refuse(methods: Sequence[str], held_out: float) -> None:
    for method in methods:
        if method not in METHODS:
            raise ValueError(
                f"there is no method {shown(method)}{nearest(str(method), METHODS)}; methods are "
                f"{', '.join(METHODS)}"
            )
    if not 0 < held_out < 1:
        raise ValueError(f"held_out is {shown(held_out)}; must be a share between 0 and 1")


def _settling(
    method: str,
    ends: Sequence[int],
    sums: Sequence[Tallies],
    out: Mapping[str, Histogram],
    held_out: int,
) -> Convergence:
    final = {
        name: clip(one, method, {})
        for name, one in ((name, tally.result()) for name, tally in sums[-1].items())
        if one.amax > SMALLEST
    }
    if not final:
        raise DataError(
            "every tensor is zero for all samples; calibrate on data the network is meant for"
        )
    steps = [
        _step(end, _clips(method, tallies, final), final, out)
        for end, tallies in zip(ends, sums, strict=True)
    ]
    return Convergence(method, tuple(steps), held_out, len(final))


def _clips(method: str, tallies: Tallies, final: Mapping[str, float]) -> dict[str, float]:
    """The clips of the tensors that ever held a value; 0 where there is none yet."""
    found = {name: tallies[name].result() for name in final}
    return {
        name: clip(one, method, {}) if one.amax > SMALLEST else 0.0 for name, one in found.items()
    }


def _step(
    samples: int,
    clips: Mapping[str, float],
    final: Mapping[str, float],
    out: Mapping[str, Histogram],
) -> Step:
    changes = np.array([abs(clips[name] - final[name]) / final[name] for name in final])
    beyond = {name: out[name].share_beyond(clips[name]) if clips[name] else 1.0 for name in final}
    worst = max(beyond, key=lambda name: beyond[name])
    return Step(
        samples, float(np.median(changes)), float(np.quantile(changes, 0.95)),
        math.fsum(beyond.values()) / len(beyond), beyond[worst], worst,
    )  # fmt: skip
