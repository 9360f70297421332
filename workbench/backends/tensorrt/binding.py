"""A run on fixed buffers: a context of its own, addresses set once, one call to start it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from workbench.backends import cuda
from workbench.backends.feeds import numpy_dtype
from workbench.backends.tensorrt.borders import crosses
from workbench.backends.tensorrt.runtime import BACKEND, Opened, Port
from workbench.errors import DataError, RunError
from workbench.graph import TensorSpec
from workbench.text import listed, shown

Step = Callable[[Any], None]
"""Something put on a stream before or after the run."""


class Binding:
    """Buffers, a context that knows them, and what has to be copied on the way."""

    def __init__(
        self,
        opened: Opened,
        lane: cuda.Lane,
        buffers: Mapping[str, Any],
        inputs: Sequence[TensorSpec],
        outputs: Sequence[TensorSpec],
        *,
        graph: bool,
    ) -> None:
        """Bind.

        Raises:
            DataError: an output buffer of the wrong shape.
            RunError: output shapes depend on values, or no graph can be made.
        """
        self._lane: Any = lane
        self._buffers = buffers
        self._runner: Any = opened.context(lane)
        self._before: list[Step] = []
        self._after: list[Step] = []
        self._kept: list[Any] = []
        self._waits = not all(cuda.is_device(array) for array in buffers.values())
        self._bind(opened, inputs, outputs)
        self._graph: Any = None
        self._graph_memory = 0
        self._wants_graph = graph
        if graph:
            self._record()
        simple = not (self._before or self._after or self._waits or graph)
        self.fire: Callable[[], None] = self._fire_simply if simple else self._fire
        """Put a run on the current stream; waits for it if a buffer is a numpy array."""

    def close(self) -> None:
        """Free the context; the buffers belong to the caller."""
        self._runner = self._graph = self._lane = None
        self._kept.clear()

    def _bind(
        self, opened: Opened, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]
    ) -> None:
        ports, buffers = opened.ports, self._buffers
        read = [spec for spec in inputs if spec.name in ports]
        values = {s.name: self._on_host(s, ports[s.name]) for s in read if ports[s.name].on_host}
        shapes = {spec.name: tuple(buffers[spec.name].shape) for spec in read}
        made = self._runner.shaped(shapes, values)
        self._refuse_shapes(made, outputs)
        for spec in read:
            if spec.name not in values:
                self._place(spec, ports[spec.name], self._input)
        for spec in outputs:
            self._place(spec, ports[spec.name], self._output)

    def _refuse_shapes(
        self, made: Mapping[str, tuple[int, ...] | None], outputs: Sequence[TensorSpec]
    ) -> None:
        loose = [spec.name for spec in outputs if made[spec.name] is None]
        if loose:
            raise RunError(
                f"the shape of {listed(loose)} depends on values, so no buffer fits; use run",
                backend=BACKEND,
            )
        for spec in outputs:
            have = tuple(self._buffers[spec.name].shape)
            if made[spec.name] != have:
                raise DataError(
                    f"buffer {shown(spec.name)} has shape {have}; for these inputs it has to be "
                    f"{made[spec.name]}"
                )

    def _on_host(self, spec: TensorSpec, port: Port) -> np.ndarray:
        """Values of a shape; they are read once, here, since they decide all other shapes."""
        array = self._buffers[spec.name]
        array = array.get() if cuda.is_device(array) else array
        return np.ascontiguousarray(array.astype(numpy_dtype(port.dtype)))

    def _place(self, spec: TensorSpec, port: Port, joined: Callable[..., None]) -> None:
        array = self._buffers[spec.name]
        same = crosses(spec, port)
        if cuda.is_device(array) and same:
            self._runner.place(spec.name, cuda.address(array))
            return
        between = cuda.empty(port.dtype, tuple(array.shape))
        self._kept.append(between)
        self._runner.place(spec.name, cuda.address(between))
        joined(array, between)

    def _input(self, array: Any, between: Any) -> None:
        if cuda.is_device(array):
            self._before.append(lambda stream: between.__setitem__(..., array))
        elif array.itemsize != between.itemsize:
            self._before.append(lambda stream: between.set(array.astype(between.dtype), stream))
        elif array.size:
            self._before.append(cuda.copying(between, array))

    def _output(self, array: Any, between: Any) -> None:
        if cuda.is_device(array):
            self._after.append(lambda stream: array.__setitem__(..., between))
        elif array.itemsize != between.itemsize:
            self._after.append(lambda stream: np.copyto(array, between.get(stream=stream)))
        elif array.size:
            self._after.append(cuda.copying(array, between))

    def _fire_simply(self) -> None:
        lane = self._lane
        stream = lane.begin()
        self._runner.enqueue(stream.ptr)
        lane.end(stream)

    def _fire(self) -> None:
        if self._wants_graph and self._graph_memory != self._lane.scratch:
            self._record()
        with self._lane.entered() as stream:
            if self._graph is not None:
                self._graph.launch(stream)
                return
            self._steps(stream)
            if self._waits:
                stream.synchronize()

    def _steps(self, stream: Any) -> None:
        for step in self._before:
            step(stream)
        self._runner.enqueue(stream.ptr)
        for step in self._after:
            step(stream)

    def _record(self) -> None:
        """Make a CUDA graph of one run.

        Raises:
            RunError: TensorRT or CUDA refuses.
        """
        if self._waits:
            raise RunError(
                "a CUDA graph reads and writes on the GPU alone; give every buffer as a CuPy array",
                backend=BACKEND,
            )
        lane = self._lane
        stream = lane.own
        with lane.entered():
            pass
        with stream:
            self._steps(stream)  # The first run after a change of shapes sets things up.
            stream.synchronize()
            self._graph = cuda.captured(stream, lambda: self._steps(stream), BACKEND)
        self._graph_memory = lane.scratch
