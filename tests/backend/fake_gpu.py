"""A fake GPU for machines without one: CuPy's arrays in the processor's memory, and TensorRT's
deserialize and execute by ONNX Runtime. Everything else of TensorRT is the real library.

It shows that sessions call what they should in the right order; whether TensorRT then does what is
expected of it only the suite in tests/gpu can show.
"""

from __future__ import annotations

import contextlib
import ctypes
import math
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import onnxruntime
import pytest

from workbench.backends import cuda, gpus
from workbench.backends.feeds import numpy_dtype
from workbench.backends.tensorrt import building, inspecting, places, runtime
from workbench.graph import Graph

_ALIGNED = 512
_TYPES = {
    "float32": "FLOAT", "float16": "HALF", "int8": "INT8", "int32": "INT32", "bool": "BOOL",
    "uint8": "UINT8", "int64": "INT64", "bfloat16": "BF16",
}  # fmt: skip


class FakeArray:
    """A CuPy array, as far as the backends use one."""

    def __init__(self, held: np.ndarray) -> None:
        self.held = held

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return self.held.__array_interface__

    dtype = property(lambda self: self.held.dtype)
    shape = property(lambda self: self.held.shape)
    nbytes = property(lambda self: self.held.nbytes)
    size = property(lambda self: self.held.size)
    itemsize = property(lambda self: self.held.itemsize)
    flags = property(lambda self: self.held.flags)
    data = property(lambda self: SimpleNamespace(ptr=self.held.ctypes.data))

    def get(self, stream: Any = None) -> np.ndarray:
        return self.held.copy()

    def set(self, values: np.ndarray, stream: Any = None) -> None:
        assert values.dtype == self.held.dtype
        assert values.shape == self.held.shape
        self.held[...] = values

    def astype(self, dtype: Any) -> FakeArray:
        return _held(self.held.astype(dtype))

    def view(self, dtype: Any) -> FakeArray:
        return FakeArray(self.held.view(dtype))

    def reshape(self, *shape: Any) -> FakeArray:
        return FakeArray(self.held.reshape(*shape))

    def copy(self) -> FakeArray:
        return _held(self.held)

    def min(self) -> Any:
        return self.held.min()

    def max(self) -> Any:
        return self.held.max()

    def __getitem__(self, key: Any) -> FakeArray:
        return FakeArray(self.held[key])

    def __setitem__(self, key: Any, value: Any) -> None:
        self.held[key] = value.held if isinstance(value, FakeArray) else value


def _held(values: Any) -> FakeArray:
    values = np.asarray(values.held if isinstance(values, FakeArray) else values)
    fresh = _empty(values.shape, values.dtype)
    fresh.held[...] = values
    return fresh


def _empty(shape: Any, dtype: Any = float) -> FakeArray:
    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    size = math.prod(shape) * np.dtype(dtype).itemsize
    raw = np.zeros(size + _ALIGNED, np.uint8)
    start = -raw.ctypes.data % _ALIGNED
    return FakeArray(raw[start : start + size].view(dtype).reshape(shape))


class FakeStream:
    """A stream that does everything at once."""

    current: ClassVar[list[FakeStream]] = []
    made = 2

    def __init__(self, non_blocking: bool = False) -> None:
        FakeStream.made += 1
        self.ptr = FakeStream.made
        self.capturing: list[str] | None = None

    def __enter__(self) -> FakeStream:
        FakeStream.current.append(self)
        return self

    def __exit__(self, *_: object) -> None:
        FakeStream.current.pop()

    def wait_event(self, event: Any) -> None:
        assert event.recorded

    def synchronize(self) -> None:
        assert self.capturing is None, "a capture must not wait"

    def begin_capture(self) -> None:
        self.capturing = []

    def end_capture(self) -> Any:
        work, self.capturing = self.capturing or [], None
        return SimpleNamespace(launch=lambda stream=None: [again() for again in work])


class FakeEvent:
    def __init__(self, disable_timing: bool = False) -> None:
        self.recorded = False

    def record(self, stream: Any = None) -> None:
        self.recorded = True


_DEFAULT = FakeStream()
_DEFAULT.ptr = 0


def _memcpy(to: int, of: int, size: int, kind: int, stream: int) -> None:
    ctypes.memmove(to, of, size)


def fake_cupy() -> Any:
    """The module ``cupy``."""
    none = SimpleNamespace(free_all_blocks=lambda: None)
    return SimpleNamespace(
        empty=_empty,
        zeros=_empty,
        asarray=lambda value: value if isinstance(value, FakeArray) else _held(value),
        ndarray=FakeArray,
        may_share_memory=lambda a, b: np.may_share_memory(a.held, b.held),
        get_default_memory_pool=lambda: none,
        cuda=SimpleNamespace(
            Stream=FakeStream,
            Event=FakeEvent,
            get_current_stream=lambda: FakeStream.current[-1] if FakeStream.current else _DEFAULT,
            runtime=SimpleNamespace(
                memGetInfo=lambda: (1 << 30, 1 << 34),
                deviceSynchronize=lambda: None,
                memcpyAsync=_memcpy,
            ),
        ),
    )


class FakeEngine:
    """`ICudaEngine` that runs the model its plan was built from."""

    def __init__(self, trt: Any, model: bytes, graph: Graph) -> None:
        self._trt, self._graph = trt, graph
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        self._session = onnxruntime.InferenceSession(model, options)
        self._specs = {spec.name: spec for spec in (*graph.inputs, *graph.outputs)}
        self.num_io_tensors = len(self._specs)
        self.device_memory_size_v2 = 4096
        self.refittable = False

    def get_tensor_name(self, index: int) -> str:
        return list(self._specs)[index]

    def get_tensor_mode(self, name: str) -> Any:
        ends = {spec.name for spec in self._graph.inputs}
        return self._trt.TensorIOMode.__members__["INPUT" if name in ends else "OUTPUT"]

    def get_tensor_dtype(self, name: str) -> Any:
        return self._trt.DataType.__members__[_TYPES[self._specs[name].dtype]]

    def get_tensor_location(self, name: str) -> Any:
        return self._trt.TensorLocation.__members__["DEVICE"]

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return tuple(d if isinstance(d, int) else -1 for d in self._specs[name].shape or ())

    def create_execution_context(self, strategy: Any) -> FakeContext:
        assert strategy.name == "USER_MANAGED"
        return FakeContext(self)


class FakeContext:
    """`IExecutionContext` of a `FakeEngine`."""

    def __init__(self, engine: FakeEngine) -> None:
        self._engine = engine
        fixed = {s.name: engine.get_tensor_shape(s.name) for s in engine._graph.inputs}
        self._shapes = {n: shape for n, shape in fixed.items() if min(shape, default=0) >= 0}
        self._where: dict[str, int] = {}
        self._allocators: dict[str, Any] = {}
        self._memory = 0
        self.profiler: Any = None
        self.active_optimization_profile = 0

    def set_device_memory(self, memory: int, size: int) -> None:
        assert memory
        assert size >= self._engine.device_memory_size_v2
        self._memory = memory

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self._shapes[name] = tuple(shape)
        return True

    def infer_shapes(self) -> list[str]:
        return [s.name for s in self._engine._graph.inputs if s.name not in self._shapes]

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        spec = self._engine._specs[name]
        return tuple(self._extent(dim) for dim in spec.shape or ())

    def _extent(self, dim: int | str) -> int:
        for spec in self._engine._graph.inputs:
            for own, extent in zip(spec.shape or (), self._shapes[spec.name], strict=True):
                if own == dim:
                    return extent
        return dim if isinstance(dim, int) else -1

    def set_tensor_address(self, name: str, memory: int) -> bool:
        assert memory, "an address is never 0"
        self._where[name] = memory
        return True

    def set_output_allocator(self, name: str, output_allocator: Any) -> bool:
        self._allocators[name] = output_allocator
        return True

    def execute_async_v3(self, stream_handle: int) -> bool:
        assert stream_handle not in (0, 1), "TensorRT waits on the default stream"
        assert self._memory, "no memory to work in"
        stream = FakeStream.current[-1] if FakeStream.current else _DEFAULT
        if stream.capturing is not None:
            stream.capturing.append(self._work)
            return True
        return self._work()

    def _work(self) -> bool:
        engine = self._engine
        feeds = {s.name: self._at(s.name, self._shapes[s.name]) for s in engine._graph.inputs}
        names = [spec.name for spec in engine._graph.outputs]
        found = engine._session.run(names, {n: v.copy() for n, v in feeds.items()})
        for name, value in zip(names, found, strict=True):
            if name in self._allocators:
                self._where[name] = self._given(name, value)
            self._at(name, value.shape)[...] = value
        if self.profiler is not None:
            for node in engine._graph.nodes:
                self.profiler.report_layer_time(node.name, 0.5)
        return True

    def _given(self, name: str, value: np.ndarray) -> int:
        made = self._allocators[name]
        memory = made.reallocate_output_async(name, 0, max(value.nbytes, 1), 256, None)
        made.notify_shape(name, value.shape)
        return memory

    def _at(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        dtype = numpy_dtype(self._engine._specs[name].dtype)
        size = math.prod(shape) * dtype.itemsize
        block = (ctypes.c_char * size).from_address(self._where[name])
        return np.frombuffer(block, dtype).reshape(shape)


@contextlib.contextmanager
def fake_gpu() -> Iterator[None]:
    """A machine with a GPU that TensorRT-RTX runs on, as far as sessions see it."""
    models: dict[bytes, tuple[bytes, Graph]] = {}
    build, cupy = building.build_plan, fake_cupy()

    def remembered(package: str, model: Any, *rest: Any) -> Any:
        built = build(package, model, *rest)
        models[built.plan] = (model.serialize(), model.graph)
        return built

    def loaded(trt: Any, log: Any, plan: bytes) -> tuple[Any, Any]:
        log.lines.append(("ERROR", "the fake was not there when this plan was built"))
        held = models.get(bytes(plan))
        return object(), None if held is None else FakeEngine(trt, *held)

    card = gpus.Gpu("Fake GPU", (8, 9), 1, 13000)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("workbench.backends.tensorrt.backend.build_plan", remembered)
        patch.setattr(runtime, "deserialized", loaded)
        patch.setattr(inspecting, "deserialized", lambda *_: (None, None))
        patch.setattr(cuda, "library", lambda: cupy)
        patch.setattr(cuda, "why_not", lambda: "")
        patch.setattr(gpus, "devices", lambda: (card,))
        patch.setattr(places.gpus, "devices", lambda: (card,))
        yield
