"""A plan that TensorRT has loaded, and contexts to run it. Only what needs a GPU is here.

TensorRT answers False or None and says why in its log; each such answer becomes an error with these
words here, and nowhere else.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, SupportsFloat

import numpy as np

from workbench.backends import cuda
from workbench.backends.tensorrt import adapter
from workbench.backends.tensorrt.api import Context, Library
from workbench.backends.tensorrt.inspecting import context_of, deserialized
from workbench.errors import RunError
from workbench.text import listed, shown

BACKEND = "tensorrt"
DTYPES: Mapping[str, str] = {
    "FLOAT": "float32", "HALF": "float16", "INT8": "int8", "INT32": "int32", "BOOL": "bool",
    "UINT8": "uint8", "FP8": "float8e4m3fn", "BF16": "bfloat16", "INT64": "int64", "INT4": "int4",
    "FP4": "float4e2m1", "E8M0": "float8e8m0",
}  # fmt: skip
"""TensorRT's element types by the names of their members, in ONNX's names."""

Extents = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Port:
    """An input or output of an engine as TensorRT has it."""

    name: str
    is_input: bool
    dtype: str
    """ONNX's name; may differ from the model's, as INT32 for int64 before version 10."""
    on_host: bool
    """Whether its values lie in the memory of the processor: shapes do."""
    fixed: bool = False
    """Whether the engine takes but one shape here."""


class Opened:
    """An engine on the GPU. Any number of sessions, of any thread, may share it."""

    def __init__(self, package: str, plan: bytes, budget: int | None = None) -> None:
        """Load a plan that is known to be good.

        Args:
            package: importable name of the TensorRT.
            plan: TensorRT's own bytes.
            budget: GPU memory for weights where the plan streams them.

        Raises:
            RunError: no GPU, not enough memory, or TensorRT refuses the plan.
        """
        cuda.require(BACKEND)
        self.trt: Library = adapter.module(package)
        self.log = adapter.logger(self.trt)
        self._lock = threading.Lock()
        self._runtime, engine = deserialized(self.trt, self.log, plan)
        if engine is None:
            raise self.failed(f"loading an engine of {len(plan)} bytes")
        self.engine: Any = engine
        if budget is not None:
            self._set_budget(budget)
        self.ports = {port.name: port for port in self._ports()}

    @property
    def scratch_bytes(self) -> int:
        """Memory a context needs while it runs."""
        for name in ("device_memory_size_v2", "device_memory_size"):
            if hasattr(self.engine, name):
                return int(getattr(self.engine, name))
        return 0

    def context(self, lane: cuda.Lane) -> Runner:
        """A context of its own, which borrows the lane's memory while it runs.

        Raises:
            RunError: not enough GPU memory, or TensorRT refuses.
        """
        with self._lock:
            self.log.lines.clear()
            try:
                lane.reserve(self.scratch_bytes)
                context = context_of(self.trt, self.engine)
            except Exception as error:
                if cuda.out_of_memory(error):
                    raise cuda.starved("opening a session", error, BACKEND) from error
                raise
            if context is None:
                raise self.failed("opening a session")
            return Runner(self, context, lane)

    def failed(self, what: str) -> RunError:
        """The error for what TensorRT refused, in the words of its log."""
        said = [text for severity, text in self.log.lines if severity.endswith("ERROR")]
        words = " ".join("; ".join(said[:3]).split()) or "it does not say why"
        self.log.lines.clear()
        if cuda.out_of_memory(words):
            return cuda.starved(what, words, BACKEND)
        words = shown(words, 600) + cuda.crowded()
        return RunError(
            f"TensorRT failed at {what}: {words}; build the engine again on this machine, or run "
            "this part with another backend",
            backend=BACKEND,
        )

    def _set_budget(self, budget: int) -> None:
        if hasattr(self.engine, "weight_streaming_budget_v2"):
            self.engine.weight_streaming_budget_v2 = min(
                budget, self.engine.streamable_weights_size
            )

    def _ports(self) -> list[Port]:
        trt, engine = self.trt, self.engine
        modes, places = trt.TensorIOMode.__members__, trt.TensorLocation.__members__
        found = []
        for i in range(engine.num_io_tensors):
            name = engine.get_tensor_name(i)
            on_host = engine.get_tensor_location(name) == places["HOST"]
            is_input = engine.get_tensor_mode(name) == modes["INPUT"]
            dtype = DTYPES[engine.get_tensor_dtype(name).name]
            found.append(Port(name, is_input, dtype, on_host, self._is_fixed(name)))
        return found

    def _is_fixed(self, name: str) -> bool:
        """Whether the engine takes but one shape here; 8.6 has ones whose rank it cannot tell."""
        try:
            return all(extent >= 0 for extent in tuple(self.engine.get_tensor_shape(name)))
        except ValueError:
            return False


class Runner:
    """One context: its shapes, its addresses, its runs."""

    def __init__(self, opened: Opened, context: Context, lane: cuda.Lane) -> None:
        self._opened = opened
        self._lane = lane
        self.context: Any = context
        self._shapes: dict[str, Extents] = {}
        self._scratch = 0
        self._kept: dict[str, Any] = {}
        self._allocators: dict[str, Any] = {}
        if getattr(context, "active_optimization_profile", 0) < 0:
            context.set_optimization_profile_async(0, lane.own.ptr)
            lane.own.synchronize()

    def shaped(
        self, shapes: Mapping[str, Extents], values: Mapping[str, np.ndarray]
    ) -> dict[str, Extents | None]:
        """Set the shapes of the inputs; those of the outputs, None where they depend on values.

        Args:
            shapes: of every input.
            values: of inputs that are shapes themselves; they stay alive here.

        Raises:
            RunError: TensorRT refuses a shape.
        """
        opened, context = self._opened, self.context
        for name, shape in shapes.items():
            if name not in opened.ports or self._shapes.get(name) == shape:
                continue
            if opened.ports[name].fixed:  # 8.6 refuses to be told where no shape is dynamic.
                continue
            if not context.set_input_shape(name, shape):
                raise opened.failed(f"shape {shape} of input {shown(name)}")
            self._shapes[name] = shape
        for name, array in values.items():
            self._kept[name] = array
            context.set_tensor_address(name, array.ctypes.data)
        missing = context.infer_shapes()
        if missing:
            raise opened.failed(f"the shapes at {listed(missing)}")
        return {
            port.name: self._known(context.get_tensor_shape(port.name))
            for port in opened.ports.values()
            if not port.is_input
        }

    def place(self, name: str, address: int) -> None:
        """Where a tensor lies.

        Raises:
            RunError: TensorRT refuses the address.
        """
        if not self.context.set_tensor_address(name, address):
            raise self._opened.failed(f"the address of {shown(name)}")

    def allocate(self, name: str) -> Callable[[], Any]:
        """Let TensorRT ask for the memory of an output whose shape depends on values.

        Returns:
            The array after a run.

        Raises:
            RunError: TensorRT refuses.
        """
        if name not in self._allocators:
            self._allocators[name] = allocator(self._opened.trt, self._opened.ports[name].dtype)
        made = self._allocators[name]
        if not self.context.set_output_allocator(name, made):
            raise self._opened.failed(f"memory for output {shown(name)}")
        return made.taken

    def enqueue(self, stream: int) -> None:
        """Put a run on a stream; errors of kernels come when somebody waits for it.

        Raises:
            RunError: TensorRT refuses.
        """
        if self._scratch != self._lane.scratch:
            self._borrow()
        if not self.context.execute_async_v3(stream):
            raise self._opened.failed("a run")

    def _borrow(self) -> None:
        lane, context, size = self._lane, self.context, self._opened.scratch_bytes
        if size:
            if hasattr(context, "set_device_memory"):
                context.set_device_memory(lane.scratch, size)
            else:
                context.device_memory = lane.scratch
        self._scratch = lane.scratch

    @staticmethod
    def _known(dims: Any) -> Extents | None:
        try:
            shape = tuple(dims)
        except ValueError:  # Not even the rank is known.
            return None
        return None if any(extent < 0 for extent in shape) else shape


def allocator(trt: Library, dtype: str) -> Any:
    """What TensorRT asks for the memory of one output, whichever method this version calls."""

    class Allocator(trt.IOutputAllocator):
        def __init__(self) -> None:
            trt.IOutputAllocator.__init__(self)
            self.memory: Any = None
            self.shape: Extents = ()

        def reallocate(self, size: int) -> int:
            # Called on TensorRT's way through a run, where an exception would be lost.
            with contextlib.suppress(Exception):
                if self.memory is None or self.memory.nbytes < size:
                    self.memory = None
                    self.memory = cuda.library().empty(max(size, 1), np.uint8)
                return self.memory.data.ptr
            return 0

        def notify_shape(self, tensor_name: str, shape: Any) -> None:
            self.shape = tuple(shape)

        def taken(self) -> Any:
            """The values, in memory of their own."""
            held = cuda.device_dtype(dtype)
            size = int(np.prod(self.shape, dtype=np.int64)) * held.itemsize
            if not size:
                return cuda.library().empty(self.shape, held)
            return self.memory[:size].view(held).reshape(self.shape).copy()

    def old(self: Any, tensor_name: str, memory: Any, size: int, alignment: int) -> int:
        return self.reallocate(size)

    def new(
        self: Any, tensor_name: str, memory: Any, size: int, alignment: int, stream: Any
    ) -> int:
        return self.reallocate(size)

    # From 10 on only the newer one is called; both at once are refused there.
    if _major(trt) < 10 and not hasattr(trt, "ComputeCapability"):
        setattr(Allocator, "reallocate_output", old)  # noqa: B010
    else:
        setattr(Allocator, "reallocate_output_async", new)  # noqa: B010
    return Allocator()


def profiler(trt: Library) -> Any:
    """What TensorRT tells the time of each layer of a run; its `rows` are (name, seconds)."""

    class Profiler(trt.IProfiler):
        def __init__(self) -> None:
            trt.IProfiler.__init__(self)
            self.rows: list[tuple[str, float]] = []

        def report_layer_time(self, layer_name: str, ms: SupportsFloat) -> None:
            self.rows.append((layer_name, float(ms) * 1e-3))

    return Profiler()


def _major(trt: Library) -> int:
    return int(str(trt.__version__).partition(".")[0])
