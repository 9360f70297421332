"""An OpenVINO engine and its sessions.

A plan is checked when it is loaded and handed to OpenVINO only when the first session opens. All
sessions of an engine share one compiled model; each has infer requests of its own.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from workbench.backends.base import Feeds, Outputs
from workbench.backends.feeds import checked_buffers, checked_feeds, numpy_dtype
from workbench.backends.gate import Gate
from workbench.backends.openvino.library import DEVICE, NAME, core, library, words
from workbench.backends.plan import pack
from workbench.backends.recorded import RecordedEngine
from workbench.errors import DataError, RunError
from workbench.graph import TensorSpec
from workbench.text import shown

_BLOB = "openvino"
_BORROWED = {"bfloat16": "bf16", "float8e4m3fn": "f8e4m3", "float8e5m2": "f8e5m2"}
_NARROWED = frozenset({"int64", "uint64", "uint32"})
_INT32 = np.iinfo(np.int32)


class OpenVINOEngine(RecordedEngine):
    """A compiled model, or a plan that becomes one at the first session."""

    def __init__(
        self, record: Mapping[str, Any], *, compiled: Any = None, blob: memoryview | None = None
    ) -> None:
        """Exactly one of `compiled` and `blob` is given; `record` is what `serialize` writes."""
        super().__init__(NAME, record)
        self._compiled = compiled
        self._blob = blob
        self._lock = threading.Lock()

    @property
    def fixed_outputs(self) -> bool:
        """Whether the shapes of the inputs alone decide those of the outputs."""
        return self._record["fixed_outputs"]

    def session(self) -> OpenVINOSession:
        """A new session; the first one of a loaded plan imports it.

        Raises:
            RunError: OpenVINO refused the plan.
        """
        return OpenVINOSession(self, self.compiled())

    def serialize(self) -> bytes:
        """The plan: a record, layers among it, and OpenVINO's blob, under one checksum."""
        return pack(NAME, self._record, {_BLOB: self._exported()})

    def compiled(self) -> Any:
        """The compiled model, imported once and kept."""
        with self._lock:
            if self._compiled is None:
                self._compiled = self._imported(self._exported(), {})
            return self._compiled

    def timed(self) -> Any:
        """A second compiled model of the same plan, with timing of each kernel switched on."""
        return self._imported(self._exported(), {"PERF_COUNT": True})

    def _exported(self) -> bytes | memoryview:
        return self._compiled.export_model().getvalue() if self._blob is None else self._blob

    def _imported(self, blob: bytes | memoryview, more: Mapping[str, Any]) -> Any:
        settings = {**self._record["properties"], **more}
        try:
            return core().import_model(bytes(blob), DEVICE, settings)
        except Exception as error:
            raise RunError(
                f"OpenVINO refused the plan of {shown(self._record['model'])}: {words(error)}; "
                "build the engine again",
                backend=NAME,
            ) from error


class OpenVINOSession:
    """One user of an engine; runs from several threads wait for one another."""

    def __init__(self, engine: OpenVINOEngine, compiled: Any) -> None:
        self._engine = engine
        self._compiled: Any = compiled
        self._gate = Gate(NAME)
        self._request: Any = None
        self._last: dict[str, np.ndarray] | None = None
        self._inputs = _ports(compiled.inputs, engine.inputs)
        self._outputs = _ports(compiled.outputs, engine.outputs)

    def __enter__(self) -> OpenVINOSession:
        return self

    def __exit__(self, *args: object) -> None:
        self.close()

    def run(self, feeds: Feeds) -> Outputs:
        """Outputs for the feeds; arrays of their own, never views of OpenVINO's memory.

        Raises:
            DataError: feeds that do not fit; also 64-bit and unsigned 32-bit integers that do not
                fit into int32, which is what OpenVINO computes them in.
            RunError: OpenVINO failed, or the session is closed.
        """
        engine = self._engine
        arrays = checked_feeds(feeds, engine.inputs, engine.ranges)
        _refuse_wide(arrays, engine.inputs)
        with self._gate:
            if self._request is None:
                self._request = self._compiled.create_infer_request()
            self._infer(self._request, arrays)
            self._last = arrays
            return self._results(self._request)

    def bind(self, buffers: Mapping[str, np.ndarray]) -> Callable[[], None]:
        """A call that runs on the buffers themselves, with an infer request of its own.

        Where output shapes depend on the shapes of the inputs, the first call runs into memory of
        OpenVINO and compares shapes: OpenVINO would write past the end of a buffer too small. Where
        they depend on values, every call does. Values of 64-bit integers are not looked at here.

        Raises:
            DataError: a buffer that does not fit.
            RunError: from the call: OpenVINO failed, an output has another shape than its buffer,
                or the session is closed.
        """
        engine = self._engine
        arrays = checked_buffers(buffers, engine.inputs, engine.outputs, engine.ranges)
        with self._gate:
            request = self._compiled.create_infer_request()
            for spec in engine.inputs:
                if (port := self._inputs.get(spec.name)) is not None:
                    request.set_input_tensor(port, _tensor(arrays[spec.name], spec))
        static = all(_is_static(self._compiled.output(port)) for port in self._outputs.values())
        if static:
            self._bind_outputs(request, arrays)
        gate, infer, bound = self._gate, request.infer, static

        def call() -> None:
            nonlocal bound
            with gate:
                try:
                    infer()
                except Exception as error:
                    raise _failed(error) from error
                if not bound:
                    self._copy_out(request, arrays)
                    if engine.fixed_outputs:
                        self._bind_outputs(request, arrays)
                        bound = True

        return call

    def profile(self) -> dict[str, float]:
        """Kernel name -> seconds, from a second run of the last feeds with timing switched on.

        Raises:
            RunError: nothing was run yet, or the session is closed.
        """
        with self._gate:
            if self._last is None:
                raise RunError("nothing was run yet; call run first", backend=NAME)
            request = self._engine.timed().create_infer_request()
            for _ in range(2):
                self._infer(request, self._last)
            return {
                info.node_name: info.real_time.total_seconds()
                for info in request.profiling_info
                if info.status.name == "EXECUTED"
            }

    def close(self) -> None:
        """Free the infer request; the compiled model lives as long as its engine."""
        if self._gate.close():
            self._request = self._compiled = self._last = None

    def _infer(self, request: Any, arrays: Mapping[str, np.ndarray]) -> None:
        try:
            for spec in self._engine.inputs:
                if (port := self._inputs.get(spec.name)) is not None:
                    array = arrays[spec.name]
                    # OpenVINO shares only memory it may write to; it does not write to inputs.
                    array = array if array.flags.writeable else array.copy()
                    request.set_input_tensor(port, _tensor(array, spec))
            request.infer()
        except Exception as error:
            raise _failed(error) from error

    def _results(self, request: Any) -> Outputs:
        return {
            spec.name: np.array(_array(request.get_output_tensor(self._outputs[spec.name]), spec))
            for spec in self._engine.outputs
        }

    def _bind_outputs(self, request: Any, arrays: Mapping[str, np.ndarray]) -> None:
        for spec in self._engine.outputs:
            request.set_output_tensor(self._outputs[spec.name], _tensor(arrays[spec.name], spec))

    def _copy_out(self, request: Any, arrays: Mapping[str, np.ndarray]) -> None:
        for spec in self._engine.outputs:
            got = _array(request.get_output_tensor(self._outputs[spec.name]), spec)
            if got.shape != arrays[spec.name].shape:
                raise RunError(
                    f"output {shown(spec.name)} has shape {got.shape} in this run, its buffer "
                    f"{arrays[spec.name].shape}; bind a buffer of the right shape, or use run",
                    backend=NAME,
                )
            np.copyto(arrays[spec.name], got)


def _ports(ports: Any, specs: tuple[TensorSpec, ...]) -> dict[str, int]:
    """Tensor name -> port; an input that nothing reads has none, OpenVINO drops it."""
    names = {name: i for i, port in enumerate(ports) for name in port.get_names()}
    return {spec.name: names[spec.name] for spec in specs if spec.name in names}


def _is_static(port: Any) -> bool:
    return port.get_partial_shape().is_static


def _tensor(array: np.ndarray, spec: TensorSpec) -> Any:
    """A tensor on the memory of `array`."""
    ov = library()
    if spec.dtype in _BORROWED:
        bits = array.view(np.dtype(f"uint{array.itemsize * 8}"))
        kind = getattr(ov.Type, _BORROWED[spec.dtype])
        return ov.Tensor(bits, ov.Shape(array.shape), kind)
    return ov.Tensor(array, shared_memory=True)


def _array(tensor: Any, spec: TensorSpec) -> np.ndarray:
    """The values of an output, on OpenVINO's memory."""
    expected = numpy_dtype(spec.dtype)
    data = tensor.data
    return data.view(expected) if data.dtype != expected else data


def _refuse_wide(arrays: Mapping[str, np.ndarray], specs: tuple[TensorSpec, ...]) -> None:
    for spec in specs:
        if spec.dtype in _NARROWED and arrays[spec.name].size:
            low, high = int(arrays[spec.name].min()), int(arrays[spec.name].max())
            if low < _INT32.min or high > _INT32.max:
                raise DataError(
                    f"input {shown(spec.name)} holds {low if low < _INT32.min else high}; OpenVINO "
                    f"computes {spec.dtype} as int32, so values must lie in {_INT32.min} to "
                    f"{_INT32.max}; run this part with another backend"
                )


def _failed(error: Exception) -> RunError:
    return RunError(
        f"OpenVINO failed at a run: {words(error)}; check shapes and values of the inputs",
        backend=NAME,
    )
