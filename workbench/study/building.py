"""From a network and a way to run it to an engine, and the facts about both."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cached_property

from workbench import backends, hybrid
from workbench.backends.base import BuildConfig, Engine
from workbench.cache import Cache
from workbench.errors import BackendError, MissingDependencyError, StudyError, WorkerError
from workbench.model import Model
from workbench.partitioning import Capability, Partition, Plan, plan
from workbench.progress import Cancel, Progress
from workbench.study.design import Design, Subject, Variant
from workbench.study.results import Configuration
from workbench.text import shown

FALLBACK_SOURCE = "tensorrt-11.1"
"""Support table that is asked where no TensorRT parser is installed."""

_ON_CPU = frozenset({"reference", "onnxruntime", "openvino"})

FAILURES = (BackendError, WorkerError)
"""What costs one configuration and not the study."""


@dataclass(frozen=True)
class Group:
    """One network at one batch: everything its configurations share."""

    subject: Subject
    batch: int
    design: Design
    cache: Cache | None
    progress: Progress
    cancel: Cancel

    @cached_property
    def model(self) -> Model:
        """The network with concrete shapes."""
        return at_batch(self.subject.model, self.batch)

    @property
    def input(self) -> str:
        """Name of the input that labelled data go to."""
        return self.subject.input or self.model.graph.inputs[0].name

    @cached_property
    def plan(self) -> Plan:
        """Its plan for every threshold."""
        capability = ask(self.model, self.design.source)
        exclude = self.design.exclude | self.subject.exclude
        return plan(self.model.graph, capability, policy=self.design.policy, exclude=exclude)

    def built(self, variant: Variant) -> tuple[Configuration, Engine]:
        """The engine of a variant and what is known of it.

        Raises:
            BackendError, WorkerError: it could not be built.
        """
        begun = time.perf_counter()
        engine = self._whole(variant) if variant.threshold is None else self._hybrid(variant)
        seconds = time.perf_counter() - begun
        return self._described(variant, getattr(engine, "partition", None), seconds), engine

    def _whole(self, variant: Variant) -> Engine:
        return hybrid.build_engine(
            self.model,
            variant.backend,
            config=BuildConfig(threads=self.design.threads, optimization_level=variant.level),
            cache=self.cache,
            progress=self.progress,
            cancel=self.cancel,
            timeout=self.design.build_timeout,
        )

    def _hybrid(self, variant: Variant) -> Engine:
        return hybrid.build(
            self.model,
            self.partition(variant),
            variant.backend,
            native=self.design.native,
            config=BuildConfig(threads=self.design.threads),
            cache=self.cache,
            progress=self.progress,
            cancel=self.cancel,
            timeout=self.design.build_timeout,
        )

    def partition(self, variant: Variant) -> Partition:
        """The partition at the threshold of a variant."""
        assert variant.threshold is not None
        return self.plan.at(variant.threshold)

    def division(self, variant: Variant) -> tuple[object, ...] | None:
        """What two variants share if they are the same; None for a whole network."""
        if variant.threshold is None:
            return None
        parts = self.partition(variant).subgraphs
        return variant.backend, tuple(sorted(part.nodes for part in parts))

    def configuration(self, variant: Variant, *, failed: str = "") -> Configuration:
        """A variant that was not built: with what is planned, and why it failed."""
        return self._described(variant, None, None, failed=failed)

    def _described(
        self,
        variant: Variant,
        partition: Partition | None,
        seconds: float | None,
        *,
        failed: str = "",
    ) -> Configuration:
        facts: dict[str, object] = {}
        if variant.threshold is not None:
            planned = self.partition(variant)
            now = partition or planned
            facts = {
                "policy": self.design.policy,
                "source": self.plan.capability.source,
                "native": self.design.native,
                "native_version": version(self.design.native),
                "engines": len(now.subgraphs),
                "engine_nodes": sum(map(len, now.subgraphs)),
                "native_nodes": sum(map(len, now.native)),
                "build_failures": len(planned.subgraphs) - len(now.subgraphs),
            }
        return Configuration(
            model=self.subject.name,
            batch=self.batch,
            variant=variant.label,
            backend=variant.backend,
            backend_version=version(variant.backend),
            device=device(variant.backend),
            threshold=variant.threshold,
            level=variant.level,
            weights=self.subject.weights,
            build_seconds=seconds,
            failed=failed,
            **facts,  # type: ignore[arg-type]
        )


def version(backend: str) -> str:
    """Version of a backend, or nothing where it is not installed."""
    try:
        return backends.get(backend).version
    except MissingDependencyError:
        return ""


def device(backend: str) -> str:
    """What a backend runs on: its own words, or the processor of every backend that has none."""
    try:
        return getattr(backends.get(backend), "device", "cpu" if backend in _ON_CPU else "").upper()
    except MissingDependencyError:
        return ""


def ask(model: Model, source: str | None) -> Capability:
    """Who takes what; without a source, the TensorRT parser or else the newest table."""
    if source is not None:
        return backends.source(source).capability(model)
    try:
        return backends.source("tensorrt").capability(model)
    except MissingDependencyError:
        return backends.source(FALLBACK_SOURCE).capability(model)


def at_batch(model: Model, batch: int) -> Model:
    """The network with this batch as the first extent of every input that leaves it open.

    Raises:
        StudyError: an input with another fixed batch, or with further extents left open.
    """
    wanted: dict[str, tuple[int, ...]] = {}
    for spec in model.graph.inputs:
        if not spec.shape:
            raise StudyError(
                f"{shown(model.name)}: input {shown(spec.name)} has no shape to set a batch in; "
                "fix its shape with with_shapes"
            )
        first, *rest = spec.shape
        if isinstance(first, int) and first != batch:
            raise StudyError(
                f"{shown(model.name)}: input {shown(spec.name)} has the fixed batch {first}, the "
                f"study asks for {batch}; export it with an open batch or study batch {first}"
            )
        extents = tuple(extent for extent in rest if isinstance(extent, int))
        if len(extents) != len(rest):
            raise StudyError(
                f"{shown(model.name)}: input {shown(spec.name)} has shape "
                f"{shown(list(spec.shape))}; fix all but the first extent with with_shapes"
            )
        wanted[spec.name] = (batch, *extents)
    known = {spec.name: spec.shape for spec in model.graph.inputs}
    return model if wanted == known else model.with_shapes(wanted)
