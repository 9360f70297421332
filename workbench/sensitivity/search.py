"""Automatic mixed precision: the fastest plan that keeps within a budget, by measured latency."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

import numpy as np

from workbench.backends.base import Backend, BuildConfig
from workbench.data import LabelledData
from workbench.errors import DataError
from workbench.measure import Clock, Latency, compare, latency
from workbench.model import Model
from workbench.precision import Precision, PrecisionPlan
from workbench.progress import Cancel, Event, Progress, silent
from workbench.ranges import CalibrationTable
from workbench.sensitivity.judging import Judge, Score
from workbench.sensitivity.ranking import (
    Groups,
    Sensitivity,
    plan_of,
    product_groups,
    sensitivity_of,
)
from workbench.text import aligned, listed, plural, shown
from workbench.transform import Form, lower


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What a plan may cost; every limit that is given must hold.

    Raises:
        ValueError: no limit, or one outside its range.
    """

    top1_drop: float | None = None
    """Share of right answers that may be lost against float32: 0.002 is 0.2 points."""
    agreement: float | None = None
    """Least share of samples with the same class as in float32."""
    snr_db: float | None = None
    """Least signal-to-noise ratio of the worst output, dB."""

    def __post_init__(self) -> None:
        limits = (self.top1_drop, self.agreement, self.snr_db)
        if all(limit is None for limit in limits):
            raise ValueError("a budget needs a limit; give top1_drop, agreement or snr_db")
        for name in ("top1_drop", "agreement"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise ValueError(f"{name} is {shown(value)}; must be a share from 0 to 1")
        if self.snr_db is not None and math.isnan(self.snr_db):
            raise ValueError("snr_db is NaN; must be a number")

    def holds(self, score: Score, reference: Score) -> bool:
        """Whether a score keeps within the budget.

        Raises:
            DataError: a limit on classes, for a network whose outputs are none.
        """
        if self.snr_db is not None and score.snr_db < self.snr_db:
            return False
        if self.top1_drop is None and self.agreement is None:
            return True
        if score.top1 is None or score.agreement is None or reference.top1 is None:
            raise DataError(
                "the network's outputs are no classes; give a budget of snr_db instead of "
                "top1_drop or agreement"
            )
        # Shares of the same number of samples: half a sample of room for rounding.
        room = 0.5 / score.top1.count
        lost = reference.top1.value - score.top1.value
        return (self.top1_drop is None or lost <= self.top1_drop + room) and (
            self.agreement is None or score.agreement.value >= self.agreement - room
        )

    def __str__(self) -> str:
        parts = []
        if self.top1_drop is not None:
            parts.append(f"top-1 at most {100 * self.top1_drop:.2g} points lower")
        if self.agreement is not None:
            parts.append(f"agreement at least {100 * self.agreement:.4g} %")
        if self.snr_db is not None:
            parts.append(f"SNR at least {self.snr_db:.4g} dB")
        return ", ".join(parts)


@dataclass(frozen=True)
class Candidate:
    """One plan that was tried."""

    name: str
    plan: PrecisionPlan
    excluded: tuple[str, ...]
    """Groups kept out of INT8."""
    score: Score
    within: bool
    """Whether it keeps within the budget."""
    latency: Latency | None = None
    """Measured with the others in one run; None where it was not worth it."""


@dataclass(frozen=True)
class MixedPrecision:
    """The plan that was chosen, and why."""

    chosen: Candidate
    candidates: tuple[Candidate, ...]
    """Every plan that was tried, in the order of trial; the first is float32, the second INT8."""
    budget: Budget
    sensitivity: Sensitivity
    batch: int
    """Samples in a run that was timed."""
    steps: tuple[str, ...] = field(default=())
    """What was done and why, one sentence each, safe to print."""

    @property
    def plan(self) -> PrecisionPlan:
        """The precision plan to use."""
        return self.chosen.plan

    @property
    def speedup(self) -> float:
        """Latency of float32 over that of the chosen plan."""
        return self._over(self.chosen)

    @property
    def kept(self) -> float:
        """The speed-up of the chosen plan over that of INT8 everywhere."""
        return self.speedup / self._over(self.candidates[1])

    def _over(self, one: Candidate) -> float:
        mine, base = one.latency, self.candidates[0].latency
        return math.nan if mine is None or base is None else base.median / mine.median

    def __str__(self) -> str:
        rows = [
            (one.name, len(one.excluded), str(one.score), "yes" if one.within else "no",
             "–" if one.latency is None else f"{1e3 * one.latency.median:.3f}",
             "–" if one.latency is None else f"{self._over(one):.2f}")
            for one in self.candidates
        ]  # fmt: skip
        head = ("plan", "kept out", "score", "within", "ms", "times float32")
        return "\n".join([*self.steps, aligned(head, rows)])


def mixed_precision(
    model: Model,
    table: CalibrationTable,
    data: LabelledData,
    budget: Budget,
    *,
    groups: Groups | None = None,
    found: Sensitivity | None = None,
    fallbacks: Sequence[Precision | str] = (Precision.FP32,),
    backend: Backend | str = "openvino",
    form: Form | str = Form.TENSORRT,
    batch: int = 32,
    seconds: float = 1.0,
    clock: Clock = "wall",
    config: BuildConfig = BuildConfig(),
    progress: Progress = silent,
    cancel: Cancel | None = None,
) -> MixedPrecision:
    """The fastest plan within a budget of accuracy, by measured latency.

    Groups are kept out of INT8 from the most harmful on until the budget holds; then each of them,
    the least harmful first, is let back in where the budget still holds. All plans within the
    budget that this finds are timed together with float32 and INT8 in one run, and the fastest is
    chosen; it may be float32.

    Args:
        model: the float32 network, of one input.
        table: ranges of its tensors.
        data: what to judge on; the best is data that calibration has not seen.
        budget: what a plan may cost.
        groups: nodes that stay together; by default each product alone.
        found: sensitivity of the same groups; measured if left out.
        fallbacks: precisions to try for what is kept out of INT8. The search is done with the
            first; its result is tried with the others too, such as FP16 or BF16 where they are
            fast.
        backend: what builds and runs.
        form: form of quantization.
        batch: samples in a run, judged and timed.
        seconds: time to measure each latency for.
        clock: ``wall``; or ``cpu``, which other work on the machine disturbs less, for engines on
            the processor.
        config: how to build.
        progress: told of each plan.
        cancel: stops the work within two seconds.

    Raises:
        DataError: table or data do not fit, or a budget on classes for a network without.
        BackendError: an engine cannot be built or run.
        CancelledError: stopped by `cancel`.
        ValueError: no fallback.
    """
    if not fallbacks:
        raise ValueError("no fallback; name a precision for what is kept out of INT8")
    asked = dict(product_groups(model) if groups is None else groups)
    judge = Judge(model, data, backend=backend, batch=batch, config=config, cancel=cancel)
    found = found or sensitivity_of(
        model, table, data, groups=asked, without=False, form=form, judge=judge, progress=progress,
        cancel=cancel,
    )  # fmt: skip
    search = _Search(
        model, table, budget, asked, found, judge, tuple(map(Precision, fallbacks)), form, progress,
        cancel or Cancel(),
    )  # fmt: skip
    search.run()
    timed = search.timed(data, batch, seconds, clock)
    chosen = _fastest(timed)
    steps = (*search.steps, _reason(chosen, timed))
    return MixedPrecision(chosen, timed, budget, found, batch, steps)


_Key = tuple[frozenset[str], Precision]
"""Groups kept out of INT8, and what they are computed in."""


@dataclass
class _Search:
    """Plans tried so far, each once."""

    model: Model
    table: CalibrationTable
    budget: Budget
    groups: Groups
    found: Sensitivity
    judge: Judge
    fallbacks: tuple[Precision, ...]
    form: Form | str
    progress: Progress
    cancel: Cancel
    tried: dict[_Key, Candidate] = field(default_factory=dict)
    lowered: dict[_Key, Model] = field(default_factory=dict)
    steps: list[str] = field(default_factory=list)

    def run(self) -> None:
        """Exclude from the worst on until the budget holds, then let back in what may be."""
        ranked = self.found.ranked
        reference = Candidate(
            "float32", PrecisionPlan(), ranked, self.judge.reference,
            self.budget.holds(self.judge.reference, self.judge.reference),
        )  # fmt: skip
        key = frozenset(ranked), self.fallbacks[0]
        self.tried[key], self.lowered[key] = reference, self.model
        full = self.candidate((), "INT8")
        self.steps.append(f"The budget is: {self.budget}. INT8 everywhere: {full.score}.")
        if full.within:
            self.steps.append("INT8 everywhere keeps within it.")
            return
        count = next(n for n in range(1, len(ranked) + 1) if self.candidate(ranked[:n]).within)
        out = list(ranked[:count])
        self.steps.append(
            f"It holds when the {plural(count, 'most harmful group')} of {len(ranked)} "
            f"{'is' if count == 1 else 'are'} kept out of INT8: {listed(out)}."
        )
        for name in reversed(out[:-1]):
            fewer = [other for other in out if other != name]
            if self.candidate(fewer).within:
                out = fewer
                self.steps.append(f"{shown(name)} can stay in INT8: its error alone is harmless.")

        for fallback in self.fallbacks[1:]:
            self.candidate(out, fallback=fallback)

    def candidate(
        self, excluded: Sequence[str], name: str = "", fallback: Precision | None = None
    ) -> Candidate:
        """The plan without these groups, judged; from memory if it was tried before."""
        instead = fallback or self.fallbacks[0]
        key = frozenset(excluded), instead
        if key not in self.tried:
            self.cancel.check()
            label = name or f"without {listed(excluded, 2)}"
            if fallback:
                label += f", {fallback} instead"
            self.progress(Event("search mixed precision", label, len(self.tried)))
            inside = [group for group in self.groups if group not in key[0]]
            plan = plan_of(self.groups, inside, instead)
            lowered = lower(self.model, plan, self.table, form=self.form).model
            score = self.judge.score(lowered)
            within = self.budget.holds(score, self.judge.reference)
            self.tried[key] = Candidate(label, plan, tuple(excluded), score, within)
            self.lowered[key] = lowered
        return self.tried[key]

    def timed(
        self, data: LabelledData, batch: int, seconds: float, clock: Clock
    ) -> tuple[Candidate, ...]:
        """All plans; float32, INT8 and those within the budget with their latency."""
        pictures = next(data.batches(min(batch, len(data))))[0]
        calls: dict[str, Callable[[], None]] = {}
        keys = [key for i, (key, one) in enumerate(self.tried.items()) if i < 2 or one.within]
        with ExitStack() as stack:
            for key in keys:
                self.cancel.check()
                call = self._call(key, pictures, stack)
                calls[str(len(calls))] = call
            measured = latency(
                calls, clock=clock, seconds=seconds, progress=self.progress, cancel=self.cancel
            )
        times: Mapping[_Key, Latency] = dict(zip(keys, measured, strict=True))
        return tuple(
            Candidate(one.name, one.plan, one.excluded, one.score, one.within, times.get(key))
            for key, one in self.tried.items()
        )

    def _call(self, key: _Key, pictures: np.ndarray, stack: ExitStack) -> Callable[[], None]:
        model = self.lowered[key]
        spec = model.graph.inputs[0]
        fixed = spec.shape is not None and isinstance(spec.shape[0], int)
        shaped = model if fixed else model.with_shapes({spec.name: pictures.shape})
        session = stack.enter_context(self.judge.engine(shaped).session())
        feeds = {spec.name: np.ascontiguousarray(pictures)}
        outputs = session.run(feeds)
        return session.bind({**feeds, **outputs})


def _fastest(timed: Sequence[Candidate]) -> Candidate:
    within = [one for one in timed if one.within and one.latency is not None]
    return min(within, key=lambda one: one.latency.median if one.latency else math.inf)


def _reason(chosen: Candidate, timed: Sequence[Candidate]) -> str:
    base, full = timed[0], timed[1]
    if chosen is base or not (chosen.latency and base.latency and full.latency):
        return "Float32 is the fastest of the plans within the budget: INT8 gains nothing here."
    gained = base.latency.median / chosen.latency.median
    whole = base.latency.median / full.latency.median
    words = compare(chosen.latency, base.latency).verdict
    return (
        f"Chosen: {chosen.name}, {gained:.2f} times float32 ({words}); INT8 everywhere has "
        f"{whole:.2f} times."
    )
