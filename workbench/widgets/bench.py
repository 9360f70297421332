"""What was built and measured in one session of the Explorer, kept as a `Study` in the making.

Every build times all configurations of the same input shapes again, in turns, because only times
of one run can be compared.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass

from workbench import backends, hybrid, measure
from workbench.backends.base import BuildConfig, Engine, Feeds, Session, ShapeRange
from workbench.cache import Cache
from workbench.graph import Graph
from workbench.measure import Measurement, Roofs
from workbench.measure.roofs import PRECISIONS as ROOF_PRECISIONS
from workbench.model import Model
from workbench.partitioning import Partition
from workbench.progress import Cancel, Progress, silent
from workbench.study import Configuration, Study, describe
from workbench.study.building import device, version
from workbench.study.judging import (
    accuracies,
    deviations,
    latencies,
    timed_calls,
)
from workbench.study.tables import rows as table_rows
from workbench.widgets.choices import Choices
from workbench.widgets.work import Reference, Shapes, Subject, Work

MOST = 8
"""Configurations that are timed together at most, the newest ones; the baseline comes on top."""


@dataclass(frozen=True, eq=False)
class Built:
    """One configuration that was built."""

    choices: Choices | None
    """None for the network run whole, which others are compared with."""
    configuration: Configuration
    engine: Engine
    shapes: Shapes
    layers: Graph
    """Layers it runs; origins name nodes of the graph that was divided."""
    partition: Partition | None
    """As it was built: with verdicts of engines that failed."""
    times: Mapping[str, float]
    """Layer -> seconds in one run; empty where the backends cannot tell."""
    model: Model
    """What it was built from, at the shapes it is run with."""


class Bench:
    """Configurations that were built, their measurements, and the study they make."""

    def __init__(self) -> None:
        """Begin empty."""
        self._lock = threading.RLock()
        self._epoch = 0
        self._built: list[Built] = []
        self._quality: dict[int, list[Measurement]] = {}
        self._latency: dict[int, list[Measurement]] = {}
        self._references: dict[Shapes, Reference] = {}
        self._roofs: dict[tuple[str, int, tuple[str, ...]], Roofs] = {}

    @property
    def built(self) -> tuple[Built, ...]:
        """Everything built so far, in order; what is compared with comes first."""
        with self._lock:
            return tuple(self._built)

    def clear(self) -> None:
        """Forget everything; what is under way is forgotten when it comes."""
        with self._lock:
            self._epoch += 1
            for kept in (self._built, self._quality, self._latency, self._references):
                kept.clear()

    def find(self, choices: Choices) -> Built | None:
        """What was built for exactly these choices."""
        found = [one for one in self.built if one.choices == choices]
        return found[-1] if found else None

    def remove(self, variants: set[str]) -> None:
        """Forget configurations; the network run whole stays."""
        with self._lock:
            self._built = [
                one
                for one in self._built
                if one.choices is None or one.configuration.variant not in variants
            ]

    def roofs(self, one: Built) -> Roofs | None:
        """What the backend of a configuration can do on this machine; None before `find_roofs`."""
        return self._roofs.get(_machine(one))

    def find_roofs(
        self, one: Built, progress: Progress = silent, cancel: Cancel | None = None
    ) -> Roofs:
        """Measure what the backend of a configuration can do here; a few seconds.

        Raises:
            BackendError: it cannot run what is measured.
            CancelledError: stopped by `cancel`.
        """
        name, threads, precisions = machine = _machine(one)
        config = BuildConfig(threads=threads)
        found = measure.roofs(
            backends.get(name), precisions=precisions, config=config, progress=progress,
            cancel=cancel,
        )  # fmt: skip
        self._roofs[machine] = found
        return found

    def study(self) -> Study | None:
        """Everything measured so far; None before the first."""
        with self._lock:
            built = [one for one in self._built if id(one) in self._latency]
            if not built:
                return None
            found = [m for one in built for m in self._quality[id(one)] + self._latency[id(one)]]
            whole = {
                one.configuration.model: one.configuration.variant
                for one in reversed(built)
                if one.choices is None
            }
        threads = {one.choices.threads for one in built if one.choices}
        environment = describe(threads.pop() if len(threads) == 1 else None)
        return Study(tuple(found), environment, tuple(b.configuration for b in built), whole)

    def rows(self) -> list[dict[str, object]]:
        """The rows of the study's table, one for each configuration; see `study.tables`."""
        study = self.study()
        return table_rows(study) if study else []

    def run(
        self,
        subject: Subject,
        choices: Choices,
        model: Model,
        partition: Partition,
        ranges: Mapping[str, ShapeRange],
        *,
        source: str = "",
        cache: Cache | None = None,
        progress: Progress = silent,
        cancel: Cancel,
    ) -> Built:
        """Build one configuration, judge it, and time it in turns with the earlier ones.

        Args:
            subject: the network as opened, which deviation is taken from.
            choices: how it is built.
            model: the network in its precision and shapes: what was divided.
            partition: how.
            ranges: profiles of the inputs that are still dynamic in it.
            source: who said what can go into engines.
            cache: where engines are kept.
            progress: told of each step.
            cancel: stops it; what was finished before is kept.

        Raises:
            BuildError: it cannot be built.
            CancelledError: stopped.
        """
        epoch = self._epoch
        work = Work(subject, choices, cache, progress, cancel, source)
        known = self.find(choices)
        self._baseline(work, epoch)
        if known is None:
            begun = time.perf_counter()
            engine = hybrid.build(
                model, partition, choices.backend, native=choices.native,
                config=choices.config(ranges), cache=cache, progress=progress, cancel=cancel,
                timeout=choices.timeout, strict=choices.strict,
            )  # fmt: skip
            known = self._add(
                work,
                engine,
                _described(
                    work,
                    self._unused(subject, choices.label()),
                    partition,
                    engine.partition,
                    time.perf_counter() - begun,
                ),
                choices,
                epoch,
                model,
            )
        self._time(work, known)
        return known

    def _unused(self, subject: Subject, label: str) -> str:
        """A name no other configuration of this network and batch has."""
        used = {
            one.configuration.variant
            for one in self.built
            if one.configuration.key[:2] == (subject.name, subject.batch)
        }
        name, number = label, 2
        while name in used:
            name, number = f"{label} #{number}", number + 1
        return name

    def _baseline(self, work: Work, epoch: int) -> None:
        subject, native = work.subject, work.choices.native
        known = [b for b in self.built if b.choices is None and b.shapes == subject.shapes]
        if any(one.configuration.backend == native for one in known):
            return
        begun = time.perf_counter()
        engine = work.whole()
        configuration = Configuration(
            model=subject.name, batch=subject.batch, variant=f"{native}, whole", backend=native,
            backend_version=version(native), device=device(native),
            build_seconds=time.perf_counter() - begun,
        )  # fmt: skip
        self._add(work, engine, configuration, None, epoch, subject.fixed)

    def _add(
        self,
        work: Work,
        engine: Engine,
        configuration: Configuration,
        choices: Choices | None,
        epoch: int,
        model: Model,
    ) -> Built:
        """Judge an engine and keep it."""
        with engine.session() as session:
            times = _profiled(session, next(work.feeds()))
            quality = self._judged(work, configuration, session)
        partition = engine.partition if isinstance(engine, hybrid.Hybrid) else None
        shapes = work.subject.shapes
        made = Built(
            choices, configuration, engine, shapes, engine.layers(), partition, times,
            model.with_shapes(dict(shapes)) if shapes else model,
        )  # fmt: skip
        with self._lock:
            if epoch == self._epoch:
                self._built.append(made)
                self._quality[id(made)] = quality
        return made

    def _judged(
        self, work: Work, configuration: Configuration, session: Session
    ) -> list[Measurement]:
        subject, found = work.subject, []
        inputs = subject.fixed.graph.inputs
        if subject.data is not None and len(inputs) == 1:
            count = work.choices.samples
            data = subject.data.head(count) if count else subject.data
            found += accuracies(
                configuration,
                measure.accuracy(
                    session,
                    data,
                    batch=subject.batch,
                    input=inputs[0].name,
                    progress=work.progress,
                    cancel=work.cancel,
                ),
            )
        reference = self._reference(work)
        reference.at = 0
        difference = measure.deviation(
            session, reference, reference.feeds, batch=subject.batch, cancel=work.cancel
        )
        return found + deviations(configuration, difference, reference.name)

    def _reference(self, work: Work) -> Reference:
        shapes = work.subject.shapes
        if shapes not in self._references:
            self._references[shapes] = work.reference()
        return self._references[shapes]

    def _time(self, work: Work, newest: Built) -> None:
        """Time everything of the same shapes in one run."""
        alike = [one for one in self.built if one.shapes == newest.shapes]
        wholes = [one for one in alike if one.choices is None]
        chosen = [*wholes, *[one for one in alike if one.choices is not None][-MOST:]]
        by_name = {one.configuration.variant: one for one in chosen}
        with ExitStack() as stack:
            sessions = {
                name: stack.enter_context(one.engine.session()) for name, one in by_name.items()
            }
            calls, bound = timed_calls(sessions, next(work.feeds()))
            found = measure.latency(
                calls, seconds=work.choices.seconds, progress=work.progress, cancel=work.cancel
            )
        with self._lock:
            for one in found:
                made = by_name[one.name]
                self._latency[id(made)] = latencies(made.configuration, one, bound=bound)


def _described(
    work: Work, variant: str, planned: Partition, made: Partition, seconds: float
) -> Configuration:
    """The facts about a hybrid."""
    choices, subject = work.choices, work.subject
    return Configuration(
        model=subject.name,
        batch=subject.batch,
        variant=variant,
        backend=choices.backend,
        backend_version=version(choices.backend),
        device=device(choices.backend),
        native=choices.native,
        native_version=version(choices.native),
        threshold=choices.threshold,
        level=choices.optimization_level,
        policy=choices.policy,
        source=work.source,
        engines=len(made.subgraphs),
        engine_nodes=sum(map(len, made.subgraphs)),
        native_nodes=sum(map(len, made.native)),
        build_failures=len(planned.subgraphs) - len(made.subgraphs),
        build_seconds=seconds,
    )


def _machine(one: Built) -> tuple[str, int, tuple[str, ...]]:
    """What roofs depend on: backend, threads, and the precisions layers compute in."""
    computed = {str(node.attributes.get("precision")) for node in one.layers.nodes}
    computed |= {"int8"} if "uint8" in computed else set()
    precisions = tuple(name for name in ROOF_PRECISIONS if name in computed)
    return one.configuration.backend, one.choices.threads if one.choices else 1, precisions


def _profiled(session: Session, feeds: Feeds) -> dict[str, float]:
    session.run(feeds)
    return session.profile()


def times_by_origin(built: Built) -> dict[str, float]:
    """Node of the divided graph -> seconds of the layers it is in, shared evenly."""
    found: dict[str, float] = {}
    for layer in built.layers.nodes:
        seconds = built.times.get(layer.name)
        if seconds is not None:
            for name in layer.origin:
                found[name] = found.get(name, 0.0) + seconds / len(layer.origin)
    return found
