"""`build`: a partition becomes a hybrid, part by part, in a worker process.

An engine that cannot be built leaves its nodes native, with the reason in their verdicts. Whatever
was built before something went wrong stays in the cache.
"""

from __future__ import annotations

import contextlib
import pickle
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from workbench import backends
from workbench.backends.base import Backend, BuildConfig
from workbench.cache import Cache
from workbench.errors import BuildError, PartitionError
from workbench.hybrid.arrays import has_arrays
from workbench.hybrid.engine import Hybrid
from workbench.hybrid.making import Workshop
from workbench.hybrid.parts import Part, PlannedEngine
from workbench.hybrid.recipe import recipe
from workbench.hybrid.shapes import CutShapes, cut_shapes
from workbench.model import Model
from workbench.partitioning import Code, Partition, Subgraph, Verdict
from workbench.progress import Cancel, Event, Progress, silent
from workbench.text import listed, shown
from workbench.worker import Worker

PATIENCE_SECONDS = 1800.0
"""Default time limit of one part: far beyond any build seen, and short of a hang for ever, which
one hostile loop is enough for."""


def build(
    model: Model,
    partition: Partition,
    backend: Backend | str = "openvino",
    *,
    native: Backend | str = "onnxruntime",
    config: BuildConfig = BuildConfig(),
    cache: Cache | None = None,
    progress: Progress = silent,
    cancel: Cancel | None = None,
    timeout: float | None = PATIENCE_SECONDS,
    strict: bool = False,
) -> Hybrid:
    """The hybrid of a partitioned model.

    Every part is built and run once on made-up values in a worker process; nothing a backend does
    there can harm this one. Plans are opened by the first session, not here.

    Args:
        model: what was partitioned.
        partition: what goes where.
        backend: builds the engines; a name, or a picklable backend.
        native: builds what stays outside.
        config: how to build; `options` are for `backend` alone.
        cache: where plans are kept and found; None keeps nothing.
        progress: told each phase of each part.
        cancel: stops the work within two seconds; parts finished before stay in the cache.
        timeout: seconds for each part; None waits for ever.
        strict: raise when an engine cannot be built, instead of leaving its nodes native.

    Raises:
        BuildError: a native region cannot be built, or an engine with `strict`; names the part
            and its first and last node.
        PartitionError: the partition is of another model, or cuts a tensor no array can hold.
        ModelError: a part cannot be cut out of the model.
        ValueError: the config has shapes for an input that is not there, or an option that the
            backend does not know.
        TypeError: a backend that cannot be sent to the worker process, or something else than a
            model or a partition.
        CancelledError: `cancel` was set.
    """
    _check_types(model, partition)
    _check(model, partition)
    maker, outside = _backend(backend), _backend(native)
    read = {name for _, subgraph in _steps(partition) for name in subgraph.inputs}
    shapes = cut_shapes(model, _cut_tensors(partition), config, read)
    with Worker() as worker:
        job = _Job(
            model, partition, maker, outside, config, shapes,
            Workshop(worker, cache, progress, cancel, timeout), strict,
        )  # fmt: skip
        parts = job.parts()
        constants = job.constants()
    return Hybrid(
        model,
        job.outcome(),
        parts,
        config=config,
        decided=shapes.decided,
        constants=constants,
    )


def build_engine(
    model: Model,
    backend: Backend | str = "openvino",
    *,
    config: BuildConfig = BuildConfig(),
    cache: Cache | None = None,
    progress: Progress = silent,
    cancel: Cancel | None = None,
    timeout: float | None = PATIENCE_SECONDS,
    worker: Worker | None = None,
) -> PlannedEngine:
    """The engine of a whole model by one backend, built in a worker process or found in the cache.

    Args:
        model: what to build.
        backend: builds it; a name, or a picklable backend.
        config: how.
        cache: where plans are kept and found; None keeps nothing.
        progress: told each phase.
        cancel: stops the work within two seconds.
        timeout: seconds; None waits for ever.
        worker: the caller's, for many engines in a row; by default one is started for this engine.

    Raises:
        BuildError: it cannot be built, ran past its time limit, or took the builder down.
        ValueError: the config has shapes for an input that is not there, or an option that the
            backend does not know.
        TypeError: something else than a model.
        CancelledError: `cancel` was set.
    """
    _check_types(model)
    graph = model.graph
    whole = Subgraph(
        0,
        tuple(graph.nodes[i].name for i in graph.order),
        tuple(spec.name for spec in graph.inputs),
        tuple(spec.name for spec in graph.outputs),
    )
    shapes = cut_shapes(model, whole.inputs, config)
    with Worker() if worker is None else contextlib.nullcontext(worker) as builder:
        workshop = Workshop(builder, cache, progress, cancel, timeout)
        return workshop.part(
            recipe(model, "engine", whole, _backend(backend), config, shapes)
        ).engine


def _check_types(model: object, *partition: object) -> None:
    if not isinstance(model, Model):
        raise TypeError(
            f"a model is built, not a {shown(type(model).__name__)}; give workbench.load(path)"
        )
    for one in partition:
        if not isinstance(one, Partition):
            raise TypeError(
                f"partition is a {shown(type(one).__name__)}; give a Partition: "
                "workbench.plan(model.graph, capability).at(threshold)"
            )


@dataclass
class _Job:
    """One build: what it was asked, the parts made so far, and the engines that failed."""

    model: Model
    partition: Partition
    maker: Backend
    outside: Backend
    config: BuildConfig
    shapes: CutShapes
    workshop: Workshop
    strict: bool
    made: list[Part] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    """Node -> why its engine could not be built."""

    def parts(self) -> tuple[Part, ...]:
        """All parts in execution order; a region whose results nobody needs is none."""
        steps = [step for step in _steps(self.partition) if step[1].outputs]
        for done, (kind, subgraph) in enumerate(steps):
            self.workshop.progress(
                Event("build parts", f"{kind} {subgraph.index}", done=done, total=len(steps))
            )
            self.made.append(self._engine(subgraph) if kind == "engine" else self._native(subgraph))
        self.workshop.progress(Event("build parts", done=len(steps), total=len(steps)))
        return _numbered(self.made, self.outcome())

    def _engine(self, subgraph: Subgraph) -> Part:
        try:
            return self._part("engine", subgraph, self.maker)
        except BuildError as error:
            if self.strict:
                raise
            self.failed.update(dict.fromkeys(subgraph.nodes, str(error)))
            self.workshop.progress(Event("engine failed", str(error)))
            return self._native(subgraph)

    def _native(self, subgraph: Subgraph) -> Part:
        return self._part("native", subgraph, self.outside)

    def _part(self, kind: str, subgraph: Subgraph, backend: Backend) -> Part:
        return self.workshop.part(
            recipe(self.model, kind, subgraph, backend, self.config, self.shapes)
        )

    def outcome(self) -> Partition:
        """The partition as it was built: failed engines are native regions."""
        if not self.failed:
            return self.partition
        steps = [
            ("native" if kind == "engine" and subgraph.nodes[0] in self.failed else kind, subgraph)
            for kind, subgraph in _steps(self.partition)
        ]
        placed = _counted(steps)
        verdicts = tuple(
            Verdict(verdict.node, Code.BUILD_FAILED, self.failed[verdict.node])
            if verdict.node in self.failed
            else verdict
            for verdict in self.partition.verdicts
        )
        return replace(
            self.partition,
            verdicts=verdicts,
            subgraphs=tuple(subgraph for kind, subgraph in placed if kind == "engine"),
            native=tuple(subgraph for kind, subgraph in placed if kind == "native"),
            order=tuple((kind, subgraph.index) for kind, subgraph in placed),
        )

    def constants(self) -> dict[str, np.ndarray]:
        """Values of the outputs that no part makes: weights, and what follows from weights."""
        graph = self.model.graph
        made = {name for part in self.made for name in part.subgraph.outputs}
        made.update(spec.name for spec in graph.inputs)
        left = [spec.name for spec in graph.outputs if spec.name not in made]
        stored = {spec.name for spec in graph.initializers}
        values = {name: self.model.weights(name) for name in left if name in stored}
        folded = [name for name in left if name not in stored]
        return values | self.workshop.values(self.model, folded, self.outside)


def _counted(steps: Sequence[tuple[str, Subgraph]]) -> list[tuple[str, Subgraph]]:
    """The same steps, subgraphs numbered by kind in this order."""
    count = {"engine": 0, "native": 0}
    placed = []
    for kind, subgraph in steps:
        placed.append((kind, replace(subgraph, index=count[kind])))
        count[kind] += 1
    return placed


def _numbered(parts: Sequence[Part], outcome: Partition) -> tuple[Part, ...]:
    """The parts with the indices of the partition, where regions nobody needs count too."""
    placed = {subgraph.nodes: subgraph for _, subgraph in _steps(outcome)}
    return tuple(replace(part, subgraph=placed[part.subgraph.nodes]) for part in parts)


def _steps(partition: Partition) -> list[tuple[str, Subgraph]]:
    """Kind and subgraph of every part in execution order."""
    held = {"engine": partition.subgraphs, "native": partition.native}
    return [(kind, held[kind][index]) for kind, index in partition.order]


def _backend(asked: Backend | str) -> Backend:
    if isinstance(asked, str):
        return backends.get(asked)
    try:
        pickle.dumps(asked)
    except Exception as error:
        raise TypeError(
            f"backend {shown(asked.name)} cannot be sent to the builder process ({shown(error)}); "
            "give one that pickles, or its name"
        ) from error
    return asked


def _check(model: Model, partition: Partition) -> None:
    """Refuse a partition of another model, and cuts through what no array can hold."""
    here, there = model.graph.position.keys(), partition.graph.position.keys()
    if here != there:
        strange = sorted(here ^ there)
        raise PartitionError(
            f"the partition is not of model {shown(model.name)}: they differ in nodes "
            f"{listed(strange)}; partition the graph of the model that is built"
        )
    if len(partition.order) != len(partition.subgraphs) + len(partition.native):
        raise PartitionError("the partition does not say in which order all its parts run")
    for name in _cut_tensors(partition):
        dtype = model.graph.spec(name).dtype
        if not has_arrays(dtype):
            maker = model.graph.producer.get(name)
            source = "the graph's inputs" if maker is None else shown(model.graph.nodes[maker].name)
            raise PartitionError(
                f"tensor {shown(name)} from {source} is {shown(dtype) or 'of unknown type'} and "
                "crosses between parts, where only arrays can; exclude its maker and its readers, "
                "so that one native region holds them all"
            )


def _cut_tensors(partition: Partition) -> tuple[str, ...]:
    """Tensors at the border of any part, and inputs and outputs of the graph."""
    names = [spec.name for spec in (*partition.graph.inputs, *partition.graph.outputs)]
    for _, subgraph in _steps(partition):
        names += [*subgraph.inputs, *subgraph.outputs]
    return tuple(dict.fromkeys(names))
