"""How one run goes through the parts: bound to buffers where shapes allow it, else by value.

A `Route` is for one combination of input shapes. Every tensor at a cut whose shape is known has one
buffer, given to the part that makes it and to all that read it, so nothing is copied between two
bound parts. A part with a tensor of unknown shape runs on values, between copies.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from workbench.backends import cuda
from workbench.backends.base import Session
from workbench.errors import DataError, RunError
from workbench.text import listed, shown

Values = dict[str, np.ndarray]


@dataclass(frozen=True, slots=True)
class Leg:
    """One part with its session, as a route sees it."""

    name: str
    session: Session
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    @property
    def tensors(self) -> tuple[str, ...]:
        """Every tensor at its border."""
        return self.inputs + self.outputs

    @property
    def on_gpu(self) -> bool:
        """Whether it takes arrays on the GPU where they lie."""
        return getattr(self.session, "device", "cpu").startswith("cuda")

    def run(self, values: Mapping[str, np.ndarray]) -> Values:
        """Its outputs, by value."""
        feeds = {name: values[name] for name in self.inputs}
        if not self.on_gpu:
            feeds = {name: cuda.on_host(array) for name, array in feeds.items()}
        return self.session.run(feeds)


class Route:
    """A way through all parts on fixed buffers."""

    def __init__(self, legs: Sequence[Leg], buffers: Mapping[str, np.ndarray]) -> None:
        """Bind every part whose tensors all have a buffer.

        Args:
            legs: the parts in execution order.
            buffers: tensor name -> its buffer. Kept alive as long as the route.
        """
        self.buffers = buffers
        self._values: Values = {}
        self.bound: list[str] = []
        """Names of the parts that run on buffers."""
        self._graph: Any = None
        self._legs = legs
        self._steps = [self._step(leg) for leg in legs]

    def _step(self, leg: Leg) -> Callable[[], None]:
        if all(name in self.buffers for name in leg.tensors):
            try:
                step = leg.session.bind({name: self.buffers[name] for name in leg.tensors})
            except (RunError, DataError):
                # The part says it cannot run on buffers; by value it can.
                return lambda: self._by_value(leg)
            self.bound.append(leg.name)
            return step
        return lambda: self._by_value(leg)

    def _by_value(self, leg: Leg) -> None:
        for name, value in leg.run({name: self._at(name) for name in leg.inputs}).items():
            if name not in self.buffers:
                self._values[name] = value
            elif value.shape == self.buffers[name].shape:
                cuda.copied(self.buffers[name], value)
            else:
                raise RunError(
                    f"{leg.name} gave {shown(name)} as {value.shape}, bound were "
                    f"{self.buffers[name].shape}; use run instead of bind for such inputs"
                )

    def _at(self, name: str) -> np.ndarray:
        return self.buffers[name] if name in self.buffers else self._values[name]

    def __call__(self) -> None:
        """Run all parts on what the input buffers hold."""
        if self._graph is not None:
            self._graph.launch()
            return
        for step in self._steps:
            step()

    def record(self, lane: cuda.Lane | None) -> None:
        """Make one CUDA graph of all parts, replayed from now on; they run twice for it.

        Raises:
            RunError: a part is not bound to buffers on the GPU, or cannot be part of a graph.
        """
        loose = [leg.name for leg in self._legs if leg.name not in self.bound or not leg.on_gpu]
        away = [name for name, array in self.buffers.items() if not cuda.is_device(array)]
        if lane is None or loose or away:
            raise RunError(
                "no CUDA graph can be made of this hybrid, not all of it is on the GPU: "
                f"{listed([*loose, *away])}; bind without cuda_graph"
            )
        with lane.entered(own=True) as stream:
            self()
            stream.synchronize()
            self._graph = cuda.captured(stream, self, "hybrid")

    def taken(self, name: str) -> np.ndarray:
        """The value of a tensor after a run, as an array of the caller's own."""
        if name in self.buffers:
            return self.buffers[name].copy()
        return self._values.pop(name)


def by_value(legs: Sequence[Leg], values: Values) -> Values:
    """`values` and every tensor the parts make of them, no buffer bound."""
    for leg in legs:
        values.update(leg.run(values))
    return values
