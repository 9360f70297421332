"""The layer at which an engine goes wrong, found by building and running parts of it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from workbench.backends.base import Backend
from workbench.data import LabelledData
from workbench.errors import DataError, PartitionError
from workbench.hybrid import Hybrid, build_engine
from workbench.hybrid.parts import Part
from workbench.model import Model
from workbench.progress import Cancel, Event, Progress, silent
from workbench.sensitivity.twin import Twin, Values, decibels, feeds_of, worst_of
from workbench.text import listed, nearest, plural, shown
from workbench.worker import Worker


@dataclass(frozen=True)
class Culprit:
    """Where an engine goes wrong."""

    part: str
    nodes: tuple[str, ...]
    """The nodes that make the difference, in graph order: one product with its Q/DQ, or one
    layer."""
    before_db: float
    """Signal-to-noise ratio of what the nodes before them give out; infinite at the beginning."""
    after_db: float
    """The same with them."""
    builds: int
    """Engines built to find it."""

    def __str__(self) -> str:
        return (
            f"{self.part} goes wrong at {listed(self.nodes)}: {decibels(self.before_db)} dB "
            f"before, {decibels(self.after_db)} dB after"
        )


def bisect(
    hybrid: Hybrid,
    data: LabelledData | Iterable[Mapping[str, np.ndarray]],
    part: str,
    *,
    snr_db: float = 20.0,
    reference: Model | None = None,
    native: Backend | str = "onnxruntime",
    samples: int = 8,
    batch: int = 8,
    progress: Progress = silent,
    cancel: Cancel | None = None,
) -> Culprit:
    """The layer at which an engine goes wrong, by halving.

    Engines of the first half of the nodes, then of a quarter and so on are built and run on the
    twin's inputs: the first nodes after which an output is worse than `snr_db` are the culprit.

    Args:
        hybrid: what to look into.
        data: as for `shadow`.
        part: name of the part, such as ``engine 0``; `Shadow.worst` has it.
        snr_db: signal-to-noise ratio below which values count as wrong.
        reference: as for `shadow`.
        native: as for `shadow`.
        samples: how many to run.
        batch: samples in a run of labelled pictures.
        progress: told of each build.
        cancel: stops the work within two seconds.

    Raises:
        PartitionError: there is no such part.
        DataError: the part is not worse than `snr_db`, or has no tensor in common with the
            reference.
        BackendError: an engine cannot be built or run.
    """
    one = _part_named(hybrid, part)
    right = reference or hybrid.model
    with _PrefixProbe(hybrid, one, right, native, progress, cancel or Cancel()) as probe:
        probe.learn([feeds for feeds, _ in feeds_of(hybrid, data, samples, batch)])
        ends = probe.ends()
        last = probe.snr(ends[-1]) if ends else math.nan
        if not ends or last >= snr_db:
            raise DataError(
                f"{shown(part)} is not worse than {snr_db:g} dB on these samples "
                f"({decibels(last)} dB); look at another part, or raise snr_db"
            )
        low, high = -1, len(ends) - 1
        while high - low > 1:
            middle = (low + high) // 2
            # What is no number is wrong too.
            low, high = (middle, high) if probe.snr(ends[middle]) >= snr_db else (low, middle)
        first = ends[low] if low >= 0 else 0
        before = probe.snr(ends[low]) if low >= 0 else math.inf
        nodes = tuple(probe.nodes[first : ends[high]])
        return Culprit(part, nodes, before, probe.snr(ends[high]), probe.builds)


def _part_named(hybrid: Hybrid, name: str) -> Part:
    names = [part.name for part in hybrid.parts]
    if name not in names:
        raise PartitionError(
            f"the hybrid has no part {shown(name)}{nearest(name, names)}; it has {listed(names)}"
        )
    return hybrid.parts[names.index(name)]


class _PrefixProbe:
    """Engines of the first nodes of a part, on the twin's inputs. A context manager."""

    def __init__(
        self,
        hybrid: Hybrid,
        part: Part,
        reference: Model,
        native: Backend | str,
        progress: Progress,
        cancel: Cancel,
    ) -> None:
        graph = hybrid.model.graph
        inside = set(part.subgraph.nodes)
        self.nodes = [graph.nodes[i].name for i in graph.order if graph.nodes[i].name in inside]
        self.builds = 0
        self._hybrid = hybrid
        self._reference = reference
        self._native = native
        self._part = part
        self._progress = progress
        self._cancel = cancel
        self._known: set[str] = set()
        self._found: dict[int, float] = {}
        self._rights: list[Values] = []
        self._worker = Worker()

    def __enter__(self) -> _PrefixProbe:
        return self

    def __exit__(self, *_: object) -> None:
        self._worker.close()

    def learn(self, runs: Sequence[Values]) -> None:
        """Run the twin for the inputs of the part and every tensor inside that it has."""
        graph = self._hybrid.model.graph
        inside = {name for node in self.nodes for name in graph.node(node).makes}
        self._known = inside & self._reference.graph.producer.keys()
        wanted = self._known | set(self._part.subgraph.inputs)
        with Twin(self._hybrid, self._reference, self._native, wanted, self._cancel) as twin:
            self._rights = [twin.run(feeds) for feeds in runs]

    def ends(self) -> list[int]:
        """Numbers of nodes of which the last gives out something that can be compared."""
        graph = self._hybrid.model.graph
        return [
            count
            for count, node in enumerate(self.nodes, start=1)
            if self._known.intersection(graph.node(node).makes).intersection(self._crossing(count))
        ]

    def _crossing(self, count: int) -> list[str]:
        """Tensors that the first nodes give to anything after them."""
        graph = self._hybrid.model.graph
        inside = {graph.position[name] for name in self.nodes[:count]}
        out = {spec.name for spec in graph.outputs}
        return [
            name
            for i in sorted(inside)
            for name in graph.nodes[i].makes
            if name in out or not inside.issuperset(graph.consumers.get(name, ()))
        ]

    def snr(self, count: int) -> float:
        """Signal-to-noise ratio of what the first `count` nodes give out; NaN is no number."""
        if count not in self._found:
            self._cancel.check()
            self._progress(Event("bisect", f"first {plural(count, 'node')}", self.builds))
            self.builds += 1
            names = self._crossing(count)
            common = [name for name in names if name in self._known]
            piece = self._hybrid.model.extract(self.nodes[:count], outputs=names)
            engine = build_engine(
                piece, self._part.engine.backend, cancel=self._cancel, worker=self._worker
            )
            inputs = [spec.name for spec in engine.inputs]
            with engine.session() as session:
                values = [
                    dict(session.run({name: right[name] for name in inputs}))
                    for right in self._rights
                ]
            self._found[count], _ = worst_of(common, values, self._rights)
        return self._found[count]
