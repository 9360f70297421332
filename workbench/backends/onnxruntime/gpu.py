"""Sessions with ONNX Runtime's CUDA provider: arrays on the GPU are bound where they lie.

A provider that is listed proves nothing: where its libraries are missing ONNX Runtime runs on the
CPU and only logs it. So every session is looked at, and one that is not on the GPU is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from workbench.backends import cuda
from workbench.backends.base import Feeds, Outputs, ShapeRange
from workbench.backends.feeds import numpy_dtype
from workbench.backends.gate import Gate
from workbench.backends.onnxruntime.crossing import failed, memory
from workbench.backends.onnxruntime.library import NAME, library, session_options, words
from workbench.errors import RunError
from workbench.graph import TensorSpec
from workbench.text import shown

PROVIDER = "CUDAExecutionProvider"
_NO_FALLBACK = "session.disable_cpu_ep_fallback"
_NO_WAIT = "disable_synchronize_execution_providers"


def providers(settings: Mapping[str, str]) -> list[Any]:
    """The CUDA provider with settings by its own names."""
    return [(PROVIDER, dict(settings)), "CPUExecutionProvider"]


def refuse_other(opened: Any, device: str) -> Any:
    """The session, if it is on the device it was asked for.

    Raises:
        RunError: it is on the CPU instead.
    """
    if device == "cuda" and PROVIDER not in opened.get_providers():
        raise RunError(
            "ONNX Runtime cannot use its CUDA provider here and would run on the CPU; install "
            "onnxruntime-gpu with the CUDA and cuDNN libraries it names in its log "
            "(pip install onnxruntime-gpu[cuda,cudnn])",
            backend=NAME,
        )
    return opened


class CudaSession:
    """One ``InferenceSession`` on the GPU; runs from several threads wait for one another."""

    def __init__(
        self,
        record: Mapping[str, Any],
        model: bytes,
        inputs: tuple[TensorSpec, ...],
        outputs: tuple[TensorSpec, ...],
        ranges: Mapping[str, ShapeRange],
    ) -> None:
        """Open a session.

        Raises:
            RunError: no GPU, the CUDA provider does not start, or ONNX Runtime refuses the model.
        """
        cuda.require(NAME)
        self._inputs, self._outputs, self._ranges = inputs, outputs, ranges
        self._gate = Gate(NAME)
        self._lane: Any = cuda.lane()
        self._ran = False
        self.on_cpu_too = False
        """Whether some operators have no kernel on the GPU and run on the CPU."""
        self._opened: Any = self._open(record, model)
        self._unwaited = library().RunOptions()
        self._unwaited.add_run_config_entry(_NO_WAIT, "1")

    @property
    def device(self) -> str:
        """``cuda``, or ``cuda+cpu`` where some operators run on the CPU."""
        return "cuda+cpu" if self.on_cpu_too else "cuda"

    def __enter__(self) -> CudaSession:
        return self

    def __exit__(self, *args: object) -> None:
        self.close()

    def run(self, feeds: Feeds) -> Outputs:
        """Outputs for the feeds: on the GPU if one of the feeds is, else numpy arrays.

        Raises:
            DataError: feeds that do not fit.
            RunError: ONNX Runtime failed, or the session is closed.
        """
        ready = cuda.checked_arrays(feeds, self._inputs, self._ranges)
        on_device = any(cuda.is_device(array) for array in ready.values())
        with self._gate, self._lane.entered(own=True) as stream:
            try:
                outputs = self._outputs_of(ready, stream, on_device)
            except Exception as error:
                raise _translated(error) from error
            self._ran = True
        return outputs

    def bind(self, buffers: Mapping[str, Any]) -> Callable[[], None]:
        """A call that runs on the buffers themselves, each on the GPU or a numpy array.

        With all of them on the GPU the call only puts work on the current stream and returns.

        Raises:
            DataError: a buffer that does not fit.
            RunError: an element type without a memory layout; or from the call: ONNX Runtime
                failed, an output has another shape than its buffer, or the session is closed.
        """
        placed = cuda.checked_mixture(buffers, self._inputs, self._outputs, self._ranges)
        before: list[Callable[[Any], None]] = []
        after: list[Callable[[Any], None]] = []
        with self._gate:
            binding = self._opened.io_binding()
            for spec in self._inputs:
                array = _on_gpu(placed[spec.name], spec)
                binding.bind_input(spec.name, "cuda", 0, *memory(array, spec))
                if array is not placed[spec.name]:
                    # ONNX Runtime would read the processor's memory once, when it is bound.
                    before.append(cuda.copying(array, placed[spec.name]))
                    placed[f"{spec.name} on the GPU"] = array
            for spec in self._outputs:
                array = _on_gpu(placed[spec.name], spec)
                binding.bind_output(spec.name, "cuda", 0, *memory(array, spec))
                if array is not placed[spec.name]:
                    after.append(cuda.copying(placed[spec.name], array))
                    placed[f"{spec.name} on the GPU"] = array
            options, run = self._unwaited, self._opened.run_with_iobinding
        gate, lane = self._gate, self._lane

        def call(_alive: object = placed) -> None:
            with gate:
                stream = lane.begin(own=True)
                try:
                    for copy in before:
                        copy(stream)
                    run(binding, options)
                    for copy in after:
                        copy(stream)
                    if before or after:
                        stream.synchronize()
                except Exception as error:
                    raise _translated(error) from error
                finally:
                    lane.end(stream)

        return call

    def profile(self) -> dict[str, float]:
        """Nothing: ONNX Runtime times the start of kernels on a GPU, not the kernels.

        Raises:
            RunError: nothing was run yet, or the session is closed.
        """
        with self._gate:
            if not self._ran:
                raise RunError("nothing was run yet; call run first", backend=NAME)
            return {}

    def close(self) -> None:
        """Free the ``InferenceSession``."""
        if self._gate.close():
            self._opened = self._lane = None

    def _open(self, record: Mapping[str, Any], model: bytes) -> Any:
        settings = {
            "device_id": "0",
            "user_compute_stream": str(self._lane.own.ptr),
            "use_tf32": "1" if record["tf32"] else "0",
        }
        try:
            return self._made(record, model, settings, "1")
        except RunError:
            raise
        except Exception:
            self.on_cpu_too = True
        try:
            return self._made(record, model, settings, "0")
        except RunError:
            raise
        except Exception as error:
            if cuda.out_of_memory(error):
                raise cuda.starved("opening a session", words(error), NAME) from error
            raise RunError(
                f"ONNX Runtime cannot open {shown(record['model'])} on the GPU: {words(error)}; "
                "build it for the CPU",
                backend=NAME,
            ) from error

    @staticmethod
    def _made(
        record: Mapping[str, Any], model: bytes, settings: Mapping[str, str], alone: str
    ) -> Any:
        level = record["options"]["graph_optimization_level"]
        options = session_options(record["threads"], level, record["options"])
        options.add_session_config_entry(_NO_FALLBACK, alone)
        # ONNX Runtime refuses to be alone with the GPU where the CPU is named beside it.
        named = providers(settings)[: 1 if alone == "1" else None]
        opened = library().InferenceSession(model, options, providers=named)
        return refuse_other(opened, "cuda")

    def _outputs_of(self, ready: Mapping[str, Any], stream: Any, on_device: bool) -> Outputs:
        binding = self._opened.io_binding()
        held = {}
        for spec in self._inputs:
            array = ready[spec.name]
            if cuda.is_device(array):
                array = array if cuda.is_placed(array) else array.copy()
            elif spec.dtype != "string":
                array = cuda.to_device(array, stream)
            held[spec.name] = array
            binding.bind_input(spec.name, "cuda", 0, *memory(array, spec))
        for spec in self._outputs:
            binding.bind_output(spec.name, "cuda", 0)
        self._opened.run_with_iobinding(binding, self._unwaited)
        found = {
            spec.name: _taken(value, spec)
            for spec, value in zip(self._outputs, binding.get_outputs(), strict=True)
        }
        if on_device:
            return found
        return {s.name: cuda.to_host(found[s.name], s.dtype, stream) for s in self._outputs}


def _on_gpu(array: Any, spec: TensorSpec) -> Any:
    """The array itself, or room for it on the GPU."""
    return array if cuda.is_device(array) else cuda.empty(spec.dtype, array.shape)


def _taken(value: Any, spec: TensorSpec) -> Any:
    """An output in memory of its own; ONNX Runtime's is freed with the value."""
    held, shape = cuda.device_dtype(spec.dtype), tuple(value.shape())
    size = held.itemsize * int(np.prod(shape, dtype=np.int64))
    cupy = cuda.library()
    if not size:
        return cupy.empty(shape, held)
    block = cupy.cuda.UnownedMemory(value.data_ptr(), size, value)
    fresh = cupy.ndarray(shape, held, cupy.cuda.MemoryPointer(block, 0)).copy()
    return fresh.view(numpy_dtype(spec.dtype)) if spec.dtype == "bool" else fresh


def _translated(error: Exception) -> Exception:
    if isinstance(error, RunError):
        return error
    if cuda.out_of_memory(error):
        return cuda.starved("a run", words(error), NAME)
    return failed(error)
