"""A network as it is run: its shapes, what is fed to it, and the outputs that count as right."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

import numpy as np

from workbench import hybrid
from workbench.backends.base import BuildConfig, Engine, Feeds, Outputs, ShapeRange
from workbench.cache import Cache
from workbench.data import LabelledData
from workbench.model import Model
from workbench.progress import Cancel, Event, Progress
from workbench.study.judging import filled, random_feeds
from workbench.widgets.choices import Choices

REFERENCE_SAMPLES = 16

Shapes = tuple[tuple[str, tuple[int, ...]], ...]


@dataclass(frozen=True, eq=False)
class Subject:
    """The network as opened, and what it is run on."""

    model: Model
    data: LabelledData | None
    profiles: Mapping[str, ShapeRange]

    @property
    def shapes(self) -> Shapes:
        """The shapes dynamic inputs are run with."""
        return tuple((name, one.opt) for name, one in sorted(self.profiles.items()))

    @property
    def fixed(self) -> Model:
        """The network as opened, at these shapes."""
        return self.model.with_shapes(dict(self.shapes)) if self.shapes else self.model

    @property
    def batch(self) -> int:
        """First extent of the first input."""
        graph = self.model.graph
        first = graph.inputs[0] if graph.inputs else None
        if first is None or not first.shape:
            return 1
        return dict(self.shapes).get(first.name, first.shape)[0]  # type: ignore[return-value]

    @property
    def name(self) -> str:
        """What tables call it: with the extents of its inputs where the file leaves them open."""
        free = [
            "x".join(map(str, extents[1:]))
            for name, extents in self.shapes
            if any(isinstance(d, str) for d in (self.model.graph.spec(name).shape or ())[1:])
        ]
        return f"{self.model.name} at {', '.join(free)}" if free else self.model.name


@dataclass
class Reference:
    """Outputs that count as right, given again in order."""

    name: str
    feeds: list[dict[str, np.ndarray]]
    outputs: list[Outputs]
    at: int = 0

    def run(self, feeds: Feeds, /) -> Outputs:
        """The outputs for the next feeds."""
        self.at += 1
        return self.outputs[self.at - 1]


@dataclass
class Work:
    """One build under way: what every step needs."""

    subject: Subject
    choices: Choices
    cache: Cache | None
    progress: Progress
    cancel: Cancel
    source: str = ""
    """Who said which nodes can go into engines."""

    def whole(self, level: int | None = None, backend: str | None = None) -> Engine:
        """The network as opened, run whole by one backend."""
        return hybrid.build_engine(
            self.subject.fixed,
            backend or self.choices.native,
            config=BuildConfig(threads=self.choices.threads, optimization_level=level),
            cache=self.cache,
            progress=self.progress,
            cancel=self.cancel,
            timeout=self.choices.timeout,
        )

    def feeds(self) -> Iterator[dict[str, np.ndarray]]:
        """Input to run: the data, or seeded random numbers."""
        inputs, data = self.subject.fixed.graph.inputs, self.subject.data
        if data is None or len(inputs) != 1:
            yield from random_feeds(inputs, 4, 0)
            return
        for pictures, _ in data.batches(self.subject.batch):
            yield {inputs[0].name: filled(pictures, self.subject.batch)}

    def reference(self) -> Reference:
        """Outputs of the network as opened, by ONNX Runtime with nothing fused."""
        runs = -(-REFERENCE_SAMPLES // self.subject.batch)
        feeds = list(islice(self.feeds(), runs))
        name = "onnxruntime, unoptimised"
        self.progress(Event("reference", name))
        outputs = []
        with self.whole(0, "onnxruntime").session() as session:
            for one in feeds:
                self.cancel.check()
                outputs.append(session.run(one))
        return Reference(name, feeds, outputs)
