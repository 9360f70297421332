"""What is measured of a built engine: is it right, and a call to time it by."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict
from functools import cached_property
from itertools import islice
from typing import Any

import numpy as np

from workbench.backends.base import Engine, Feeds, Outputs, Session
from workbench.data import LabelledData
from workbench.errors import RunError
from workbench.graph import TensorSpec
from workbench.measure import Accuracy, Deviation, Latency, Measurement, accuracy, deviation
from workbench.progress import Event
from workbench.study.building import FAILURES, Group
from workbench.study.design import Variant
from workbench.study.results import Configuration


class Reference:
    """Outputs that count as right, computed once and given again for every configuration."""

    def __init__(self, group: Group) -> None:
        self._group = group
        self._kept: list[Outputs] = []
        self._at = 0
        self._session: Session | None = None
        self.name = ""
        """Who computed them."""

    @cached_property
    def data(self) -> LabelledData | list[dict[str, np.ndarray]]:
        """What deviation is taken on: as much as there was time to compute outputs for."""
        group, design = self._group, self._group.design
        runs = -(-design.deviation_samples // group.batch)
        feeds = list(islice(self._feeds(runs), runs))
        self._session = self._engine().session()
        begun = time.perf_counter()
        for done, one in enumerate(feeds):
            if done and time.perf_counter() - begun >= design.reference_seconds:
                break
            group.cancel.check()
            group.progress(Event("reference", self.name, done, len(feeds)))
            self._kept.append(self._session.run(one))
        self.close()
        labelled = group.subject.data
        if labelled is None:
            return feeds[: len(self._kept)]
        return labelled.head(min(len(self._kept) * group.batch, design.deviation_samples))

    def _feeds(self, runs: int) -> Iterator[dict[str, np.ndarray]]:
        group = self._group
        if group.subject.data is None:
            yield from random_feeds(group.model.graph.inputs, runs, group.design.seed)
            return
        for pictures, _ in group.subject.data.batches(group.batch):
            yield {group.input: filled(pictures, group.batch)}

    def again(self) -> Reference:
        """The same outputs from the first one on."""
        self._at = 0
        return self

    def run(self, feeds: Feeds, /) -> Outputs:
        """The outputs for the next feeds of `data`."""
        self._at += 1
        return self._kept[self._at - 1]

    def close(self) -> None:
        """Free the session."""
        if self._session is not None:
            self._session.close()
            self._session = None

    def _engine(self) -> Engine:
        name = self._group.design.reference
        wanted = Variant(name, name)
        try:
            configuration, engine = self._group.built(wanted)
        except FAILURES:
            # Some operators have no evaluator: then the framework with nothing fused stands in.
            plain = self._group.design.native
            configuration, engine = self._group.built(
                Variant(f"{plain}, unoptimised", plain, level=0)
            )
        self.name = f"{configuration.variant} {configuration.backend_version}".strip()
        return engine


def judged(
    group: Group, configuration: Configuration, session: Session, reference: Reference
) -> list[Measurement]:
    """Accuracy where there are labels, and deviation from the reference."""
    design, subject = group.design, group.subject
    found: list[Measurement] = []
    if subject.data is not None:
        count = design.accuracy_samples
        found += accuracies(
            configuration,
            accuracy(
                session,
                subject.data.head(count) if count else subject.data,
                batch=group.batch,
                input=group.input,
                output=subject.output,
                progress=group.progress,
                cancel=group.cancel,
            ),
        )
    data = reference.data
    differences = deviation(
        session, reference.again(), data, batch=group.batch, input=group.input, cancel=group.cancel
    )
    return found + deviations(configuration, differences, reference.name)


def _measured(of: Configuration, metric: str, unit: str, samples: Iterable[float], **details: Any):
    return Measurement(
        of.model, of.variant, metric, unit, tuple(samples),
        {"batch": of.batch, "measured_by": of.measured_by, **details},
    )  # fmt: skip


def accuracies(of: Configuration, found: Accuracy) -> list[Measurement]:
    """An accuracy as a measurement for each k, with the outcome of every sample."""
    return [
        _measured(
            of, f"top{k}", "share", map(int, hits), k=k, data=found.data, classes=found.classes,
            nonfinite=found.nonfinite, ties=found.ties,
        )
        for k, hits in found.hits.items()
    ]  # fmt: skip


def deviations(of: Configuration, found: Deviation, reference: str) -> list[Measurement]:
    """A deviation as a measurement for each output."""
    return [
        _measured(
            of, "snr", "dB", [one.snr_db], output=one.name, verdict=one.verdict,
            elements=one.elements, nonfinite=one.nonfinite,
            reference_nonfinite=one.reference_nonfinite, max_abs=one.max_abs,
            relative_max=one.relative_max, relative_l2=one.relative_l2, cosine=one.cosine,
            agreement=one.agreement.value if one.agreement else None,
            count=found.samples, reference=reference,
        )
        for one in found.outputs
    ]  # fmt: skip


def latencies(of: Configuration, found: Latency, *, bound: bool) -> list[Measurement]:
    """A latency as two measurements, one for each clock."""
    details: dict[str, Any] = {
        "calls": found.calls, "run": found.run, "warmup_calls": found.warmup_calls,
        "warm": found.warm, "noise": asdict(found.noise) if found.noise else None,
        "buffers": "bound" if bound else "copied",
    }  # fmt: skip
    return [
        _measured(of, "latency", "s", found.wall, **details),
        _measured(of, "cpu_time", "s", found.cpu, **details),
    ]


def first_feeds(group: Group) -> Feeds:
    """Input to time with: the first batch of the data, or seeded random numbers."""
    inputs, data = group.model.graph.inputs, group.subject.data
    if data is None or len(inputs) != 1:
        return random_feeds(inputs, 1, group.design.seed)[0]
    pictures, _ = next(data.batches(group.batch))
    return {inputs[0].name: filled(pictures, group.batch)}


def filled(pictures: np.ndarray, batch: int) -> np.ndarray:
    """A batch of the full size: what is missing are copies of the last picture."""
    missing = batch - len(pictures)
    return np.concatenate([pictures, np.repeat(pictures[-1:], missing, axis=0)])


def random_feeds(inputs: Iterable[TensorSpec], count: int, seed: int) -> list[dict[str, Any]]:
    """Standard normal numbers for real inputs, zeros and ones for others; the same for a seed."""
    rng = np.random.default_rng(seed)
    return [{spec.name: _random(rng, spec) for spec in inputs} for _ in range(count)]


def _random(rng: np.random.Generator, spec: TensorSpec) -> np.ndarray:
    shape = tuple(extent for extent in spec.shape or () if isinstance(extent, int))
    if spec.dtype in ("float32", "float64", "float16"):
        return rng.standard_normal(shape).astype(spec.dtype)
    if spec.dtype == "bfloat16":
        import ml_dtypes

        return rng.standard_normal(shape).astype(ml_dtypes.bfloat16)
    return rng.integers(0, 2, shape).astype(spec.dtype)


def timed_calls(
    sessions: Mapping[str, Session], feeds: Feeds
) -> tuple[dict[str, Callable[[], None]], bool]:
    """A call to time each session by, and whether they run on fixed buffers.

    Fixed buffers if every session can; else all of them are timed with their copies, so that none
    has an advantage.
    """
    try:
        return {name: _bound(session, feeds) for name, session in sessions.items()}, True
    except RunError:
        return {name: _plain(session, feeds) for name, session in sessions.items()}, False


def _bound(session: Session, feeds: Feeds) -> Callable[[], None]:
    outputs = {name: np.empty_like(value) for name, value in session.run(feeds).items()}
    inputs = {name: np.array(value, order="C") for name, value in feeds.items()}
    return session.bind({**inputs, **outputs})


def _plain(session: Session, feeds: Feeds) -> Callable[[], None]:
    def call() -> None:
        session.run(feeds)

    return call
