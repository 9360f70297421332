"""Latency: callables timed against each other in one run, so that what disturbs one disturbs all.

On a machine that is shared with others a time by itself says little; the ratio of two times taken
in turns says much. So configurations are interleaved: every round takes one sample of each, in an
order drawn anew, and a comparison pairs the samples of a round.
"""

from __future__ import annotations

import gc
import math
import random
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from statistics import median

from workbench.measure.machine import glance, noise
from workbench.measure.values import Clock, Latency
from workbench.progress import Cancel, Event, Progress, silent
from workbench.text import listed, plural, shown

Call = Callable[[], None]

FEWEST = 6
"""Rounds below which no 95 % interval of a median exists."""

STEPS = 200
"""A sample lasts at least this many steps of the coarser timer, so reading the clocks costs it at
most half a percent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Warmup:
    """When a callable counts as warm.

    Calls are made in windows; it is warm when the medians of the last `windows` windows lie within
    `tolerance` of each other by wall time or by processor time. On a machine that never gets quiet
    the limits end it, and the latency then says `warm` is False.

    Raises:
        ValueError: a number outside its range.
    """

    calls: int = 5
    """Calls in a window."""
    windows: int = 3
    tolerance: float = 0.05
    """Largest median over smallest, minus one."""
    limit_seconds: float = 2.0
    """Time after which no further window is begun; two calls are made in any case."""
    limit_calls: int = 2000

    def __post_init__(self) -> None:
        if self.calls < 1 or self.windows < 2 or self.limit_calls < 2:
            raise ValueError("warm-up needs calls >= 1, windows >= 2 and limit_calls >= 2")
        if not self.tolerance > 0 or not 0 <= self.limit_seconds < math.inf:
            raise ValueError("warm-up needs tolerance > 0 and a finite limit_seconds >= 0")


@dataclass(slots=True)
class _Timed:
    """One callable while it is measured."""

    name: str
    call: Call
    wall: list[float]
    cpu: list[float]
    calls: int = 1
    warmup_calls: int = 0
    warm: bool = False

    def sample(self) -> tuple[float, float]:
        """Wall and processor seconds a call, over `calls` calls."""
        call, calls = self.call, self.calls
        cpu, wall = time.process_time_ns(), time.perf_counter_ns()
        for _ in range(calls):
            call()
        wall, cpu = time.perf_counter_ns() - wall, time.process_time_ns() - cpu
        return wall / calls / 1e9, cpu / calls / 1e9


def latency(
    calls: Mapping[str, Call],
    *,
    seconds: float = 2.0,
    min_rounds: int = 20,
    max_rounds: int = 500,
    warmup: Warmup = Warmup(),
    clock: Clock = "wall",
    seed: int = 0,
    progress: Progress = silent,
    cancel: Cancel | None = None,
) -> tuple[Latency, ...]:
    """The latency of each callable, all measured in turns in one run.

    First each is called until its times have settled (`Warmup`). Then every round takes one sample
    of each, in random order. A sample is one call, or as many as it takes to last 200 steps of the
    timer; one untimed call goes before it, so that neither caches nor threads still spinning from
    the configuration before count. Both clocks are read around every sample. The garbage collector
    runs between rounds, never inside a sample. Outliers are kept.

    Args:
        calls: name -> what to time; e.g. `Session.bind`'s result.
        seconds: time for all rounds together, for each callable; rounds end when it is used up.
        min_rounds: rounds taken even if that needs longer.
        max_rounds: rounds at most.
        warmup: when a callable counts as warm.
        clock: which samples the summaries are of; both are kept.
        seed: of the order within rounds.
        progress: told of each warm-up and round.
        cancel: looked at before every sample.

    Returns:
        One latency for each callable, in the order given, all with the same `run`.

    Raises:
        ValueError: nothing to time, or a number outside its range.
        CancelledError: stopped by `cancel`.
    """
    _check(calls, seconds, min_rounds, max_rounds, clock)
    timed = [_Timed(name, call, [], []) for name, call in calls.items()]
    stop, run = cancel or Cancel(), uuid.uuid4().hex
    with _collector_off():
        for i, one in enumerate(timed):
            progress(Event("warm up", shown(one.name), i, len(timed)))
            _warm_up(one, warmup, clock, stop)
        before = glance()
        _take_rounds(
            timed, seconds * len(timed), min_rounds, max_rounds, random.Random(seed), progress, stop
        )
        quiet = noise(before, glance())
    return tuple(
        Latency(
            one.name, tuple(one.wall), tuple(one.cpu), one.calls, run, clock,
            one.warmup_calls, one.warm, quiet,
        )
        for one in timed
    )  # fmt: skip


def _check(
    calls: Mapping[str, Call], seconds: float, min_rounds: int, max_rounds: int, clock: str
) -> None:
    if not calls:
        raise ValueError("nothing to time; give at least one callable")
    wrong = [name for name, call in calls.items() if not callable(call)]
    if wrong:
        raise ValueError(f"not callable: {listed(wrong)}; give functions without arguments")
    if not 0 < seconds < math.inf:
        raise ValueError(f"seconds is {seconds}; must be above 0 and finite")
    if not FEWEST <= min_rounds <= max_rounds:
        raise ValueError(
            f"min_rounds is {min_rounds} and max_rounds {max_rounds}; must be {FEWEST} <= "
            f"min_rounds <= max_rounds (below {FEWEST} there is no 95 % interval of a median)"
        )
    if clock not in ("wall", "cpu"):
        raise ValueError(f"clock is {shown(clock)}; must be wall or cpu")


@contextmanager
def _collector_off() -> Iterator[None]:
    gc.collect()
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _warm_up(one: _Timed, rule: Warmup, clock: Clock, stop: Cancel) -> None:
    begun = time.perf_counter()
    stop.check()
    one.sample()  # The first call often allocates or compiles: never a guide to the next ones.
    stop.check()
    one.calls = _calls_for(one.sample()[0])
    one.warmup_calls = 2
    walls: list[float] = []
    cpus: list[float] = []
    while not one.warm and one.warmup_calls < rule.limit_calls:
        window = []
        for _ in range(rule.calls):
            if time.perf_counter() - begun >= rule.limit_seconds:
                break
            stop.check()
            window.append(one.sample())
            one.warmup_calls += one.calls
        if len(window) < rule.calls:
            break
        walls.append(median(wall for wall, _ in window))
        cpus.append(median(cpu for _, cpu in window))
        one.calls = _calls_for(walls[-1])
        one.warm = any(_settled(medians, rule) for medians in (walls, cpus))


def _settled(medians: list[float], rule: Warmup) -> bool:
    last = medians[-rule.windows :]
    return len(last) == rule.windows and max(last) <= min(last) * (1 + rule.tolerance)


def _calls_for(seconds: float) -> int:
    """Calls of this length that together last `STEPS` steps of the coarser timer.

    By wall time for both clocks: a call that waits for a GPU uses little processor time and must
    not be repeated for that.
    """
    return max(1, math.ceil(STEPS * timer_step() / max(seconds, 1e-9)))


@cache
def timer_step() -> float:
    """Seconds between two readings that differ, of the coarser of both clocks, measured here."""
    return max(_step(time.perf_counter_ns), _step(time.process_time_ns)) / 1e9


def _step(clock: Callable[[], int]) -> int:
    steps = []
    for _ in range(200):
        first = clock()
        while (second := clock()) == first:
            pass
        steps.append(second - first)
    return int(median(steps))


def _take_rounds(
    timed: list[_Timed],
    seconds: float,
    min_rounds: int,
    max_rounds: int,
    order: random.Random,
    progress: Progress,
    stop: Cancel,
) -> None:
    begun, told = time.perf_counter(), -math.inf
    for done in range(max_rounds):
        now = time.perf_counter()
        if done >= min_rounds and now - begun >= seconds:
            return
        if now - told > 0.2:
            progress(Event("measure latency", plural(len(timed), "configuration"), done))
            told = now
        gc.collect(0)
        for one in order.sample(timed, len(timed)):
            stop.check()
            one.call()
            wall, cpu = one.sample()
            one.wall.append(wall)
            one.cpu.append(cpu)
