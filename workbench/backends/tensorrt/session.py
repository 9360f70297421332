"""Sessions on a GPU: numpy or device arrays in, the same kind out, on the caller's stream."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.backends import cuda
from workbench.backends.base import Feeds, Outputs
from workbench.backends.feeds import numpy_dtype
from workbench.backends.gate import Gate
from workbench.backends.tensorrt.binding import Binding
from workbench.backends.tensorrt.borders import narrowed, widened
from workbench.backends.tensorrt.layers.graphs import unique_names
from workbench.backends.tensorrt.runtime import BACKEND, Opened, Runner, profiler
from workbench.errors import RunError, WorkbenchError
from workbench.graph import TensorSpec
from workbench.text import shown

if TYPE_CHECKING:
    from workbench.backends.tensorrt.engine import PlanEngine

_PROFILED_RUNS = 3


class TensorRTSession:
    """One user of an engine; runs from several threads wait for one another.

    Sessions opened inside `cuda.sharing` share the memory their engines work in.
    """

    device = "cuda"
    """Where its tensors lie; who runs several sessions keeps what crosses between them there."""

    def __init__(self, engine: PlanEngine, opened: Opened) -> None:
        """Open a session.

        Raises:
            RunError: not enough GPU memory, or TensorRT refuses.
        """
        self._engine = engine
        self._opened: Any = opened
        self._gate = Gate(BACKEND)
        self._lane: Any = cuda.lane()
        self._runner: Any = opened.context(self._lane)
        self._last: dict[str, Any] | None = None
        self._bindings: list[Binding] = []

    def __enter__(self) -> TensorRTSession:
        return self

    def __exit__(self, *args: object) -> None:
        self.close()

    def run(self, feeds: Feeds) -> Outputs:
        """Outputs for the feeds: on the GPU if one of the feeds is, else numpy arrays.

        Device arrays are read on the stream that is current when the call is made, and the outputs
        are ready for work that is put on that stream after it.

        Raises:
            DataError: feeds that do not fit; also 64-bit integers past 32 bits where this
                TensorRT computes them so.
            RunError: TensorRT failed, out of GPU memory, or the session is closed.
        """
        ready = cuda.checked_arrays(feeds, self._engine.inputs, self._engine.ranges)
        on_device = any(cuda.is_device(array) for array in ready.values())
        with self._gate, self._lane.entered() as stream:
            outputs = self._guarded(lambda: self._ran(self._runner, ready, stream))
            self._last = ready
            if on_device:
                return outputs
            return self._guarded(
                lambda: {
                    spec.name: cuda.to_host(outputs[spec.name], spec.dtype, stream)
                    for spec in self._engine.outputs
                }
            )

    def bind(self, buffers: Mapping[str, Any], *, cuda_graph: bool = False) -> Callable[[], None]:
        """A call that runs on the buffers themselves, each on the GPU or a numpy array.

        With all of them on the GPU the call only puts work on the current stream and returns; with
        a numpy array among them it waits until that is done. The call has a context of its own.
        Values of 64-bit integers are not looked at on the GPU.

        Args:
            buffers: one for every input and output, of the concrete shapes of this run.
            cuda_graph: replay the run as a CUDA graph; all buffers have to be on the GPU.

        Raises:
            DataError: a buffer that does not fit.
            RunError: output shapes depend on values; or no graph can be made of the run.
        """
        engine = self._engine
        placed = cuda.checked_mixture(buffers, engine.inputs, engine.outputs, engine.ranges)
        with self._gate:
            binding = self._guarded(
                lambda: Binding(
                    self._opened,
                    self._lane,
                    placed,
                    engine.inputs,
                    engine.outputs,
                    graph=cuda_graph,
                )
            )
            self._bindings.append(binding)
        gate, fire = self._gate, binding.fire

        def call() -> None:
            with gate:
                try:
                    fire()
                except Exception as error:
                    raise _translated(error) from error

        return call

    def profile(self) -> dict[str, float]:
        """Layer name -> seconds, from further runs of the last feeds with TensorRT's profiler on.

        It waits between layers, so the sum is more than a run takes.

        Raises:
            RunError: nothing was run yet, or the session is closed.
        """
        with self._gate:
            if self._last is None:
                raise RunError("nothing was run yet; call run first", backend=BACKEND)
            known = {node.name for node in self._engine.layers().nodes}
            return {n: s for n, s in self._guarded(self._timed).items() if n in known}

    def close(self) -> None:
        """Free the contexts; the engine lives as long as something uses it."""
        if self._gate.close():
            for binding in self._bindings:
                binding.close()
            self._bindings.clear()
            self._last = self._runner = self._opened = self._lane = None

    def _timed(self) -> dict[str, float]:
        assert self._last is not None
        runner = self._opened.context(self._lane)
        told = profiler(self._opened.trt)
        runner.context.profiler = told
        with self._lane.entered() as stream:
            for _ in range(_PROFILED_RUNS):
                told.rows.clear()
                self._ran(runner, self._last, stream)
                stream.synchronize()
        rows = list(told.rows)
        names = unique_names([name for name, _ in rows])
        return dict(zip(names, (seconds for _, seconds in rows), strict=True))

    def _ran(self, runner: Runner, ready: Mapping[str, Any], stream: Any) -> dict[str, Any]:
        """Put one run on the stream; outputs on the GPU in the model's types."""
        ports, engine = self._opened.ports, self._engine
        held = {
            spec.name: narrowed(ready[spec.name], spec, ports[spec.name], stream)
            for spec in engine.inputs
            if spec.name in ports
        }
        values = {name: array for name, array in held.items() if ports[name].on_host}
        shapes = runner.shaped({name: tuple(a.shape) for name, a in held.items()}, values)
        for name, array in held.items():
            if name not in values:
                runner.place(name, cuda.address(array))
        made: dict[str, Callable[[], Any]] = {}
        for spec in engine.outputs:
            made[spec.name] = self._output(runner, spec, shapes[spec.name])
        runner.enqueue(stream.ptr)
        return {
            spec.name: widened(made[spec.name](), spec, ports[spec.name]) for spec in engine.outputs
        }

    def _output(
        self, runner: Runner, spec: TensorSpec, shape: tuple[int, ...] | None
    ) -> Callable[[], Any]:
        port = self._opened.ports[spec.name]
        if port.on_host:
            array = np.empty(shape or (), numpy_dtype(port.dtype))
            runner.place(spec.name, array.ctypes.data)
            return lambda: cuda.library().asarray(array)
        if shape is None:
            return runner.allocate(spec.name)
        fresh = cuda.empty(port.dtype, shape)
        runner.place(spec.name, cuda.address(fresh))
        return lambda: fresh

    def _guarded(self, work: Callable[[], Any]) -> Any:
        try:
            return work()
        except Exception as error:
            raise _translated(error) from error


def _translated(error: Exception) -> Exception:
    if isinstance(error, WorkbenchError):
        return error
    if cuda.out_of_memory(error):
        return cuda.starved("a run", error, BACKEND)
    return RunError(
        f"a run on the GPU failed: {shown(error, 400)}; open the engine again in a new process",
        backend=BACKEND,
    )
