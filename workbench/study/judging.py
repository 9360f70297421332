"""What is measured of a built engine: is it right, and a call to time it by."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from workbench.backends.base import Engine, Feeds, Outputs, Session
from workbench.errors import RunError
from workbench.graph import TensorSpec
from workbench.measure import Accuracy, Deviation, Latency, Measurement, accuracy, deviation
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

    def again(self) -> Reference:
        """The same outputs from the first one on."""
        self._at = 0
        return self

    def run(self, feeds: Feeds, /) -> Outputs:
        """The outputs for the next feeds, which must come in the same order every time."""
        if self._at == len(self._kept):
            if self._session is None:
                self._session = self._engine().session()
            self._kept.append(self._session.run(feeds))
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
    options: dict[str, Any] = {"batch": group.batch, "cancel": group.cancel}
    found: list[Measurement] = []
    name = subject.input or group.model.graph.inputs[0].name
    data = subject.data
    if data is not None:
        labelled = data.head(design.accuracy_samples) if design.accuracy_samples else data
        found += _accuracies(
            configuration,
            accuracy(
                session, labelled, input=name, output=subject.output, progress=group.progress,
                **options,
            ),
        )  # fmt: skip
    compared = (
        data.head(design.deviation_samples)
        if data is not None
        else random_feeds(
            group.model.graph.inputs, -(-design.deviation_samples // group.batch), design.seed
        )
    )
    deviations = deviation(session, reference.again(), compared, input=name, **options)
    return found + _deviations(configuration, deviations, reference.name)


def _measured(of: Configuration, metric: str, unit: str, samples: Iterable[float], **details: Any):
    return Measurement(
        of.model, of.variant, metric, unit, tuple(samples),
        {"batch": of.batch, "measured_by": of.measured_by, **details},
    )  # fmt: skip


def _accuracies(of: Configuration, found: Accuracy) -> list[Measurement]:
    return [
        _measured(
            of, f"top{k}", "share", map(int, hits), k=k, data=found.data, classes=found.classes,
            nonfinite=found.nonfinite, ties=found.ties,
        )
        for k, hits in found.hits.items()
    ]  # fmt: skip


def _deviations(of: Configuration, found: Deviation, reference: str) -> list[Measurement]:
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
    missing = group.batch - len(pictures)
    return {inputs[0].name: np.concatenate([pictures, np.repeat(pictures[-1:], missing, axis=0)])}


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
