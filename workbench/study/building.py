"""From a network and a way to run it to an engine, and the facts about both."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from workbench import backends, hybrid
from workbench.backends.base import BuildConfig, Engine
from workbench.cache import Cache
from workbench.errors import (
    BackendError,
    MissingDependencyError,
    ModelError,
    StudyError,
    WorkerError,
)
from workbench.model import Model
from workbench.partitioning import Capability, Exclusion, Partition, Plan, Subgraph, plan
from workbench.precision import uses_tf32
from workbench.progress import Cancel, Progress
from workbench.study.design import Design, Subject, Variant
from workbench.study.precisions import Networks, Typed, verdict
from workbench.study.results import Configuration
from workbench.text import shown

FALLBACK_SOURCE = "tensorrt-11.1"
"""Support table that is asked where no TensorRT parser is installed."""

_ON_CPU = frozenset({"reference", "onnxruntime", "openvino"})

FAILURES = (BackendError, WorkerError, ModelError)
"""What costs one configuration and not the study."""


@dataclass(frozen=True)
class Group:
    """One network at one batch: everything its configurations share."""

    networks: Networks
    batch: int
    cache: Cache | None

    @property
    def subject(self) -> Subject:
        """The network as it was given."""
        return self.networks.subject

    @property
    def design(self) -> Design:
        """What is compared."""
        return self.networks.design

    @property
    def progress(self) -> Progress:
        """Told of each step."""
        return self.networks.progress

    @property
    def cancel(self) -> Cancel:
        """Stops the study."""
        return self.networks.cancel

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
            BackendError, WorkerError, ModelError: it could not be built.
        """
        typed = self._typed(variant)
        model = self._shaped(typed)
        divided = self._divided(model, variant, typed) if variant.threshold is not None else None
        begun = time.perf_counter()
        if divided is None:
            engine = self._whole(model, variant, typed)
        else:
            engine = self._hybrid(model, divided, variant, typed)
        seconds = time.perf_counter() - begun
        facts = self._partition_facts(variant, divided, getattr(engine, "partition", None), typed)
        if typed is not None:
            facts |= verdict(engine, typed, self.model.graph, self._inside(variant))
        return self._described(variant, facts, seconds), engine

    def _shaped(self, typed: Typed | None) -> Model:
        """The network that is built, with concrete shapes."""
        if typed is None or typed.transformed is None:
            return self.model
        return at_batch(typed.transformed.model, self.batch)

    def _typed(self, variant: Variant) -> Typed | None:
        """The network in the precision of a variant; None where it has none."""
        if not variant.precision:
            return None
        inside = self._inside(variant)
        outside = [n.name for n in self.model.graph.nodes if n.name not in inside]
        return self.networks.typed(variant.precision, variant.backend, outside)

    def _inside(self, variant: Variant) -> frozenset[str]:
        """Nodes that are to go into engines: those of the network as it was given."""
        if variant.threshold is None:
            return frozenset(node.name for node in self.model.graph.nodes)
        parts = self.partition(variant).subgraphs
        return frozenset(name for part in parts for name in (*part.nodes, *part.folded))

    def _whole(self, model: Model, variant: Variant, typed: Typed | None) -> Engine:
        return hybrid.build_engine(
            model,
            variant.backend,
            config=self._config(typed, variant.level),
            cache=self.cache,
            progress=self.progress,
            cancel=self.cancel,
            timeout=self.design.build_timeout,
        )

    def _config(self, typed: Typed | None, level: int | None = None) -> BuildConfig:
        tf32 = typed is None or uses_tf32(typed.wanted)
        return BuildConfig(threads=self.design.threads, optimization_level=level, tf32=tf32)

    def _hybrid(
        self, model: Model, divided: Partition, variant: Variant, typed: Typed | None
    ) -> Engine:
        return hybrid.build(
            model,
            divided,
            variant.backend,
            native=self.design.native,
            config=self._config(typed),
            cache=self.cache,
            progress=self.progress,
            cancel=self.cancel,
            timeout=self.design.build_timeout,
        )

    def _divided(self, model: Model, variant: Variant, typed: Typed | None) -> Partition:
        """The partition that is built: of a typed network, with the nodes that were chosen before
        its types.
        """
        if typed is None or typed.transformed is None:
            return self.partition(variant)
        inside, before = self._inside(variant), self.model.graph.position
        outside = [
            node.name
            for node in model.graph.nodes
            if node.name in before and node.name not in inside
        ]
        capability = ask(model, self.design.source)
        exclude = Exclusion(nodes=tuple(outside))
        return plan(model.graph, capability, policy=self.design.policy, exclude=exclude).at(1)

    def partition(self, variant: Variant) -> Partition:
        """The partition at the threshold of a variant."""
        assert variant.threshold is not None
        return self.plan.at(variant.threshold)

    def division(self, variant: Variant) -> tuple[object, ...] | None:
        """What two variants share if they are the same; None for a whole network."""
        if variant.threshold is None:
            return None
        parts = self.partition(variant).subgraphs
        return variant.backend, variant.precision, tuple(sorted(part.nodes for part in parts))

    def configuration(self, variant: Variant, *, failed: str = "") -> Configuration:
        """A variant that was not built: with what is planned, and why it failed."""
        planned = self.partition(variant) if variant.threshold is not None else None
        facts = self._partition_facts(variant, planned, None, None)
        return self._described(variant, facts, None, failed=failed)

    def _partition_facts(
        self,
        variant: Variant,
        planned: Partition | None,
        built: Partition | None,
        typed: Typed | None,
    ) -> dict[str, Any]:
        """What tables say of a partition; nodes are counted as the user has them."""
        if planned is None:
            return {}
        now = built or planned
        return {
            "policy": self.design.policy,
            "source": self.plan.capability.source,
            "native": self.design.native,
            "native_version": version(self.design.native),
            "engines": len(now.subgraphs),
            "engine_nodes": self._count(now.subgraphs, typed),
            "native_nodes": self._count(now.native, typed),
            "build_failures": len(planned.subgraphs) - len(now.subgraphs),
        }

    def _count(self, parts: Iterable[Subgraph], typed: Typed | None) -> int:
        """The user's nodes in parts: those a transform put in count nothing, merged ones each."""
        names = [name for part in parts for name in part.nodes]
        if typed is None or typed.transformed is None:
            return len(names)
        origin, known = typed.transformed.origin, self.model.graph.position
        return len({far for name in names if name in known for far in origin[name]})

    def _described(
        self,
        variant: Variant,
        facts: Mapping[str, Any],
        seconds: float | None,
        *,
        failed: str = "",
    ) -> Configuration:
        return Configuration(
            model=self.subject.name,
            batch=self.batch,
            variant=variant.label,
            backend=variant.backend,
            backend_version=version(variant.backend),
            device=device(variant.backend),
            threshold=variant.threshold,
            level=variant.level,
            precision=variant.precision,
            weights=self.subject.weights,
            build_seconds=seconds,
            failed=failed,
            **facts,
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
