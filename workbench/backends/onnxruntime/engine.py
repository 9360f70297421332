"""An ONNX Runtime engine and its sessions."""

from __future__ import annotations

import ctypes
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from workbench import scratch
from workbench.backends.base import Feeds, Outputs
from workbench.backends.feeds import checked_buffers, checked_feeds, numpy_dtype
from workbench.backends.gate import Gate
from workbench.backends.onnxruntime.crossing import failed, memory
from workbench.backends.onnxruntime.gpu import CudaSession
from workbench.backends.onnxruntime.library import (
    NAME,
    PROVIDERS,
    library,
    session_options,
    words,
)  # fmt: skip
from workbench.backends.plan import pack
from workbench.backends.recorded import RecordedEngine
from workbench.errors import RunError
from workbench.graph import TensorSpec
from workbench.text import shown

_FOREIGN = frozenset({"bfloat16", "float8e4m3fn", "float8e4m3fnuz", "float8e5m2", "float8e5m2fnuz"})
"""Element types ONNX Runtime's Python side cannot turn into arrays; they cross as memory."""


class OnnxRuntimeEngine(RecordedEngine):
    """An optimized model; each session of it is an ``InferenceSession`` of its own."""

    def __init__(self, record: Mapping[str, Any], model: bytes | memoryview) -> None:
        """`record` is what `serialize` writes, `model` the optimized model."""
        super().__init__(NAME, record)
        self._model = model

    def session(self) -> OnnxRuntimeSession | CudaSession:
        """A new session.

        Raises:
            RunError: ONNX Runtime refused the model, or there is no GPU that it is for.
        """
        if self._record.get("device", "cpu") == "cpu":
            return OnnxRuntimeSession(self, self.opened())
        return CudaSession(self._record, bytes(self._model), self.inputs, self.outputs, self.ranges)

    def serialize(self) -> bytes:
        """The plan: a record, layers among it, and the optimized model, under one checksum."""
        return pack(NAME, self._record, {"model": bytes(self._model)})

    def opened(self, trace: str = "") -> Any:
        """A new ``InferenceSession``; with `trace`, one that writes its times to files so named."""
        options = session_options(self._record["threads"], "disable_all", self._record["options"])
        if trace:
            options.enable_profiling = True
            options.profile_file_prefix = trace
        try:
            return library().InferenceSession(
                bytes(self._model), options, providers=list(PROVIDERS)
            )
        except Exception as error:
            raise RunError(
                f"ONNX Runtime cannot open {shown(self._record['model'])}: {words(error)}; "
                "build the engine again",
                backend=NAME,
            ) from error


class OnnxRuntimeSession:
    """One ``InferenceSession``; runs from several threads wait for one another."""

    def __init__(self, engine: OnnxRuntimeEngine, opened: Any) -> None:
        self._engine = engine
        self._opened: Any = opened
        self._gate = Gate(NAME)
        self._last: dict[str, np.ndarray] | None = None
        self._names = [spec.name for spec in engine.outputs]
        specs = (*engine.inputs, *engine.outputs)
        self._plain = not any(spec.dtype in _FOREIGN for spec in specs)

    def __enter__(self) -> OnnxRuntimeSession:
        return self

    def __exit__(self, *args: object) -> None:
        self.close()

    def run(self, feeds: Feeds) -> Outputs:
        """Outputs for the feeds.

        Raises:
            DataError: feeds that do not fit.
            RunError: ONNX Runtime failed, or the session is closed.
        """
        arrays = checked_feeds(feeds, self._engine.inputs, self._engine.ranges)
        with self._gate:
            outputs = self._run(self._opened, arrays)
            self._last = arrays
        return outputs

    def bind(self, buffers: Mapping[str, np.ndarray]) -> Callable[[], None]:
        """A call that runs on the buffers themselves.

        ONNX Runtime does not keep bound memory alive; the call does.

        Raises:
            DataError: a buffer that does not fit.
            RunError: an element type without a memory layout; or from the call: ONNX Runtime
                failed, an output has another shape than its buffer, or the session is closed.
        """
        engine = self._engine
        arrays = checked_buffers(buffers, engine.inputs, engine.outputs, engine.ranges)
        with self._gate:
            binding = self._opened.io_binding()
            for specs, attach in (
                (engine.inputs, binding.bind_input),
                (engine.outputs, binding.bind_output),
            ):
                for spec in specs:
                    attach(spec.name, "cpu", 0, *memory(arrays[spec.name], spec))
        gate, run = self._gate, self._opened.run_with_iobinding

        def call(_alive: object = arrays) -> None:
            with gate:
                try:
                    run(binding)
                except Exception as error:
                    raise failed(error) from error

        return call

    def profile(self) -> dict[str, float]:
        """Layer name -> seconds, from a second run of the last feeds with the profiler on.

        Raises:
            RunError: nothing was run yet, or the session is closed.
        """
        with self._gate, scratch.folder() as folder:
            if self._last is None:
                raise RunError("nothing was run yet; call run first", backend=NAME)
            opened = self._engine.opened(str(folder / "trace"))
            for _ in range(2):
                self._run(opened, self._last)
            events = json.loads(Path(opened.end_profiling()).read_text(encoding="utf-8"))
        known = {node.name for node in self._engine.layers().nodes}
        # Later events overwrite earlier ones: the first run, which allocates, is not counted.
        times: dict[str, float] = {}
        for event in events:
            name = event["name"].removesuffix("_kernel_time")
            if event.get("cat") == "Node" and name != event["name"] and name in known:
                times[name] = event["dur"] * 1e-6
        return times

    def close(self) -> None:
        """Free the ``InferenceSession``."""
        if self._gate.close():
            self._opened = self._last = None

    def _run(self, opened: Any, arrays: Mapping[str, np.ndarray]) -> Outputs:
        try:
            if self._plain:
                results = opened.run(self._names, arrays)
                return dict(zip(self._names, results, strict=True))
            return self._run_foreign(opened, arrays)
        except Exception as error:
            raise failed(error) from error

    def _run_foreign(self, opened: Any, arrays: Mapping[str, np.ndarray]) -> Outputs:
        binding = opened.io_binding()
        for spec in self._engine.inputs:
            binding.bind_input(spec.name, "cpu", 0, *memory(arrays[spec.name], spec))
        for name in self._names:
            binding.bind_output(name, "cpu")
        opened.run_with_iobinding(binding)
        return {
            spec.name: _copied(value, spec)
            for spec, value in zip(self._engine.outputs, binding.get_outputs(), strict=True)
        }


def _copied(value: Any, spec: TensorSpec) -> np.ndarray:
    """The values of an output that ONNX Runtime will not turn into an array."""
    dtype, shape = numpy_dtype(spec.dtype), tuple(value.shape())
    size = dtype.itemsize * int(np.prod(shape, dtype=np.int64))
    memory = ctypes.string_at(value.data_ptr(), size) if size else b""
    return np.frombuffer(bytearray(memory), dtype).reshape(shape)
