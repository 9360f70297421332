"""Right values for the inside of a hybrid, and how far others are from them."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack

import numpy as np

from workbench.backends.base import Backend, Session
from workbench.data import LabelledData
from workbench.hybrid import Hybrid, build_engine
from workbench.measure import deviation
from workbench.model import Model
from workbench.progress import Cancel
from workbench.sensitivity.judging import Replay
from workbench.worker import Worker

Values = dict[str, np.ndarray]


def decibels(value: float) -> str:
    """A signal-to-noise ratio as text."""
    return "–" if math.isnan(value) else "identical" if value == math.inf else f"{value:.1f}"


def worst_of(
    names: Sequence[str], values: Sequence[Values], rights: Sequence[Values]
) -> tuple[float, str]:
    """Signal-to-noise ratio in dB of the worst of some tensors over all runs, and which it is."""

    def only(every: Sequence[Values]) -> Replay:
        return Replay([{name: one[name] for name in names} for one in every])

    runs = [{"run": np.empty(1)} for _ in values]
    worst = deviation(only(values), only(rights), runs).worst
    return worst.snr_db, worst.name


class Twin:
    """Native sessions that give the right values of some tensors. A context manager.

    Tensors that only the hybrid's model has, such as those between Q and DQ, are computed by that
    model's own nodes from the nearest tensors of the reference, so no error reaches them from
    further up.
    """

    def __init__(
        self,
        hybrid: Hybrid,
        reference: Model,
        native: Backend | str,
        wanted: set[str],
        cancel: Cancel | None = None,
    ) -> None:
        """Build what computes `wanted`, in a worker process; entering opens it."""
        producer = reference.graph.producer
        own = (hybrid.model.graph.producer.keys() & wanted) - producer.keys()
        nodes, stops = _between(hybrid.model, own, producer.keys())
        known = (wanted | stops) & producer.keys()
        self.comparable = frozenset(wanted & producer.keys())
        pieces: list[Model] = []
        if known:
            every = [node.name for node in reference.graph.nodes]
            pieces.append(reference.extract(every, outputs=sorted(known)))
        if own:
            pieces.append(hybrid.model.extract(nodes, outputs=sorted(own)))
        with Worker() as worker:
            self._engines = [
                build_engine(piece, native, cancel=cancel, worker=worker) for piece in pieces
            ]
        self._stack = ExitStack()
        self._sessions: list[tuple[list[str], Session]] = []

    def __enter__(self) -> Twin:
        for engine in self._engines:
            names = [spec.name for spec in engine.inputs]
            self._sessions.append((names, self._stack.enter_context(engine.session())))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def run(self, feeds: Values) -> Values:
        """The right values, the feeds among them."""
        values = dict(feeds)
        for names, session in self._sessions:
            values.update(session.run({name: values[name] for name in names}))
        return values


def _between(
    model: Model, wanted: Collection[str], known: Collection[str]
) -> tuple[list[str], set[str]]:
    """The nodes that compute `wanted` from `known` tensors, and which of those they read."""
    graph = model.graph
    nodes: set[int] = set()
    stops: set[str] = set()
    todo = list(wanted)
    while todo:
        place = graph.producer.get(todo.pop())
        if place is None or place in nodes:
            continue
        nodes.add(place)
        for name in graph.nodes[place].reads:
            if name in known:
                stops.add(name)
            else:
                todo.append(name)
    return [graph.nodes[place].name for place in sorted(nodes)], stops


def feeds_of(
    hybrid: Hybrid,
    data: LabelledData | Iterable[Mapping[str, np.ndarray]],
    samples: int,
    batch: int,
) -> Iterator[tuple[Values, int]]:
    """Feeds of `samples` samples at most, and how many each holds."""
    if isinstance(data, LabelledData):
        spec = hybrid.inputs[0]
        fixed = spec.shape[0] if spec.shape else None
        size = fixed if isinstance(fixed, int) else batch
        for pictures, _ in data.head(samples).batches(size, drop_last=isinstance(fixed, int)):
            yield {spec.name: pictures}, len(pictures)
        return
    done = 0
    for feeds in data:
        if done >= samples:
            return
        count = max((len(array) for array in feeds.values() if array.ndim), default=1)
        yield dict(feeds), count
        done += count
