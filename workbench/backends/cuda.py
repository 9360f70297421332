"""The GPU through CuPy, for every backend that runs on one: arrays, streams, memory.

CuPy is imported at the first use. Work goes to the caller's stream, the one that is current when a
run begins; where that is CUDA's default stream, on which TensorRT waits needlessly, a stream of our
own stands between two events, so the caller sees the same order.
"""

from __future__ import annotations

import contextlib
import ctypes
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from workbench.backends import gpus
from workbench.backends.base import ShapeRange
from workbench.backends.feeds import (
    checked_buffers,
    numpy_dtype,
    ready_feed,
    refuse_misfit,
    refuse_names,
)  # fmt: skip
from workbench.errors import DataError, MissingDependencyError, RunError
from workbench.graph import TensorSpec
from workbench.text import shown

ALIGNMENT = 256
"""Bytes; TensorRT wants addresses that are a multiple of it, and CuPy's pool gives such."""

_RAW = {1: np.dtype(np.uint8), 2: np.dtype(np.uint16)}
_DEFAULT_STREAMS = (0, 1)  # cudaStreamDefault, cudaStreamLegacy


@lru_cache(maxsize=1)
def library() -> Any:
    """The package ``cupy``.

    Raises:
        MissingDependencyError: it cannot be imported.
    """
    try:
        import cupy  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise MissingDependencyError(
            f"CuPy cannot be imported ({shown(error, 200)}); arrays on the GPU need it: "
            "pip install cupy-cuda13x (or cupy-cuda12x for a driver of CUDA 12)"
        ) from error
    return cupy


def why_not() -> str:
    """Which check of the GPU fails here, or ``""``.

    Starts the driver in this process once there is one.
    """
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return "no NVIDIA driver here (libcuda.so.1 is not found)"
    status = driver.cuInit(0)
    if status:
        return gpus.why_not_started(status)
    try:
        library().cuda.Device(0).use()
        library().zeros(1).get()
    except MissingDependencyError as error:
        return str(error)
    except Exception as error:
        if out_of_memory(error):
            return ""  # It works; what needs the memory says that there is none.
        old = (
            "; the NVIDIA driver is too old for this CuPy: update it, or pip install a CuPy for it"
        )
        hint = old if "nsufficient" in str(error) else ""
        return f"CuPy cannot use it ({shown(error, 200)}){hint}"
    return ""


def require(backend: str) -> Any:
    """CuPy, on a machine whose GPU works.

    Raises:
        RunError: no usable GPU; says which check failed.
    """
    reason = why_not()
    if reason:
        raise RunError(
            f"no usable NVIDIA GPU: {reason}; run this network here with backend openvino or "
            "onnxruntime",
            backend=backend,
        )
    return library()


def is_device(value: object) -> bool:
    """Whether a value is an array on a GPU: CuPy's, PyTorch's or any that says where it lies."""
    return not isinstance(value, np.ndarray) and hasattr(value, "__cuda_array_interface__")


def device_dtype(name: str) -> np.dtype:
    """The type CuPy holds an element type in; those CuPy lacks are held as bits."""
    dtype = numpy_dtype(name)
    if dtype.hasobject:
        raise DataError(f"{shown(name)} cannot lie on a GPU")
    return dtype if dtype.kind in "biufc" else _RAW[dtype.itemsize]


def empty(name: str, shape: tuple[int, ...]) -> Any:
    """An uninitialized array on the GPU of an element type by its name, on the current stream."""
    return library().empty(shape, device_dtype(name))


def to_device(array: np.ndarray, stream: Any = None) -> Any:
    """A copy on the GPU, bits for types CuPy lacks."""
    held = array if array.dtype.kind in "biufc" else array.view(_RAW[array.itemsize])
    fresh = library().empty(held.shape, held.dtype)
    fresh.set(np.ascontiguousarray(held).reshape(held.shape), stream)
    return fresh


def to_host(array: Any, name: str, stream: Any = None) -> np.ndarray:
    """A copy in the memory of the processor; waits for the stream."""
    return array.get(stream=stream).view(numpy_dtype(name))


def on_host(array: Any) -> np.ndarray:
    """The array itself, or a copy of one on the GPU; waits for the current stream."""
    return array.get() if is_device(array) else array


def copied(to: Any, of: Any) -> None:
    """Put the values of one array into another of its type and shape, wherever each lies.

    On the GPU on the current stream; a copy to the processor's memory waits for it.
    """
    if is_device(to) and is_device(of):
        to[...] = of.view(to.dtype)
    elif is_device(to):
        to.set(np.ascontiguousarray(of).view(to.dtype).reshape(to.shape))
    elif is_device(of):
        np.copyto(to, of.get().view(to.dtype), casting="no")
    else:
        np.copyto(to, of, casting="no")


def copying(to: Any, of: Any) -> Callable[[Any], None]:
    """A call that puts a copy of bytes on a stream; one of the arrays lies on the GPU."""
    copy = library().cuda.runtime.memcpyAsync
    inward = is_device(to)
    where = [a.data.ptr if is_device(a) else a.ctypes.data for a in (to, of)]
    size, kind = to.nbytes, 1 if inward else 2  # cudaMemcpyHostToDevice, cudaMemcpyDeviceToHost
    return lambda stream: copy(*where, size, kind, stream.ptr)


def address(array: Any) -> int:
    """Where an array lies; never 0, also where it has no elements."""
    return array.data.ptr or ALIGNMENT


def is_placed(array: Any) -> bool:
    """Whether a GPU library can use it where it lies: one block, at an aligned address."""
    return array.flags.c_contiguous and array.data.ptr % ALIGNMENT == 0


def checked_arrays(
    feeds: Mapping[str, Any], inputs: Sequence[TensorSpec], ranges: Mapping[str, ShapeRange]
) -> dict[str, Any]:
    """As `feeds.checked_feeds`, but arrays on the GPU are taken too, where they lie.

    Raises:
        DataError: names the input, what was expected and what was given.
    """
    refuse_names(feeds, [spec.name for spec in inputs], "input")
    ready: dict[str, Any] = {}
    for spec in inputs:
        value = feeds[spec.name]
        if is_device(value):
            array = library().asarray(value)
            refuse_misfit(_with_type(array, spec), spec, ranges.get(spec.name), "input")
            ready[spec.name] = array
        else:
            ready[spec.name] = ready_feed(value, spec, ranges.get(spec.name))
    return ready


def checked_mixture(
    buffers: Mapping[str, Any],
    inputs: Sequence[TensorSpec],
    outputs: Sequence[TensorSpec],
    ranges: Mapping[str, ShapeRange],
) -> dict[str, Any]:
    """As `feeds.checked_buffers`, where each may lie on the GPU or be a numpy array.

    Raises:
        DataError: names the buffer, what was expected and what was given.
    """
    if not isinstance(buffers, Mapping) or not any(map(is_device, buffers.values())):
        return dict(checked_buffers(buffers, inputs, outputs, ranges))
    specs = (*inputs, *outputs)
    refuse_names(buffers, [spec.name for spec in specs], "buffer")
    placed = _checked_places(buffers, inputs, outputs, ranges)
    rest = {spec.name for spec in specs} - placed.keys()
    here = checked_buffers(
        {name: buffers[name] for name in rest},
        [spec for spec in inputs if spec.name in rest],
        [spec for spec in outputs if spec.name in rest],
        ranges,
    )
    return {**placed, **here}


def _checked_places(
    buffers: Mapping[str, Any],
    inputs: Sequence[TensorSpec],
    outputs: Sequence[TensorSpec],
    ranges: Mapping[str, ShapeRange],
) -> dict[str, Any]:
    """The buffers that lie on the GPU, for a library to use in place; others are not looked at.

    Raises:
        DataError: one does not fit, is no aligned block, or is an output that shares memory.
    """
    given_out = {spec.name for spec in outputs}
    placed: dict[str, Any] = {}
    for spec in (*inputs, *outputs):
        if not is_device(buffers[spec.name]):
            continue
        array = library().asarray(buffers[spec.name])
        refuse_misfit(_with_type(array, spec), spec, ranges.get(spec.name), "buffer")
        if not is_placed(array):
            raise DataError(
                f"buffer {shown(spec.name)} is not one C-contiguous block at a multiple of "
                f"{ALIGNMENT} bytes; allocate it with cupy.empty(shape, dtype)"
            )
        placed[spec.name] = array
    for name in given_out & placed.keys():
        for other, array in placed.items():
            if other != name and library().may_share_memory(placed[name], array):
                raise DataError(
                    f"output buffer {shown(name)} shares memory with buffer {shown(other)}; "
                    "give each its own"
                )
    return placed


class _Typed:
    """What a check of type and shape looks at."""

    def __init__(self, dtype: np.dtype, shape: tuple[int, ...]) -> None:
        self.dtype, self.shape = dtype, shape


def _with_type(array: Any, spec: TensorSpec) -> Any:
    """The array, or for a type CuPy holds as bits, its shape with the type the bits stand for."""
    expected = numpy_dtype(spec.dtype)
    bits = expected.kind not in "biufcO" and array.dtype == _RAW.get(expected.itemsize)
    return _Typed(expected, array.shape) if bits else array


class Lane:
    """Sessions that never run at the same time: they share scratch memory and an order.

    Two runs on different streams wait for one another, whichever streams these are.
    """

    def __init__(self) -> None:
        cupy = library()
        self._current = cupy.cuda.get_current_stream
        self.own = cupy.cuda.Stream(non_blocking=True)
        """The stream of runs that begin on CUDA's default stream."""
        self._events = [cupy.cuda.Event(disable_timing=True) for _ in range(3)]
        self._last: Any = None
        self._memory: Any = None
        self.scratch = 0
        """Address of the memory the sessions share; a new one after `reserve` made it grow."""

    def reserve(self, size: int) -> None:
        """Make the shared memory at least so many bytes."""
        if self._memory is not None and self._memory.nbytes >= size:
            return
        if self._memory is not None:
            library().cuda.runtime.deviceSynchronize()
        self._memory = None
        self._memory = library().empty(max(size, ALIGNMENT), np.uint8)
        self.scratch = self._memory.data.ptr

    def begin(self, *, own: bool = False) -> Any:
        """The stream to put work on, after all that was asked for before.

        Args:
            own: whether it has to be the lane's own one, whatever the current one is.
        """
        current = self._current()
        work = current
        if current.ptr != self.own.ptr and (own or current.ptr in _DEFAULT_STREAMS):
            work = self.own
            self._events[0].record(current)
            work.wait_event(self._events[0])
        last = self._last
        if last is not None and last.ptr not in (work.ptr, current.ptr):
            self._events[1].record(last)
            work.wait_event(self._events[1])
        self._last = work
        return work

    def end(self, work: Any) -> None:
        """Let the caller's stream wait for the work."""
        current = self._current()
        if current.ptr != work.ptr:
            self._events[2].record(work)
            current.wait_event(self._events[2])

    @contextlib.contextmanager
    def entered(self, *, own: bool = False) -> Iterator[Any]:
        """`begin` and `end` around a block in which that stream is the current one."""
        work = self.begin(own=own)
        try:
            with work:
                yield work
        finally:
            self.end(work)


class Sharing:
    """A lane that is made when the first session on a GPU asks for one."""

    def __init__(self) -> None:
        self.lane: Lane | None = None

    def get(self) -> Lane:
        """The lane."""
        if self.lane is None:
            self.lane = Lane()
        return self.lane


_open = threading.local()


@contextlib.contextmanager
def sharing() -> Iterator[Sharing]:
    """Sessions opened inside by this thread share one lane; their runs must not overlap."""
    before, _open.sharing = getattr(_open, "sharing", None), Sharing()
    try:
        yield _open.sharing
    finally:
        _open.sharing = before


def lane() -> Lane:
    """The lane for a session that opens now."""
    shared: Sharing | None = getattr(_open, "sharing", None)
    return Lane() if shared is None else shared.get()


def captured(stream: Any, work: Callable[[], None], backend: str) -> Any:
    """The CUDA graph of work put on a stream.

    Raises:
        RunError: something in it cannot be part of a graph.
    """
    problem: Exception | None = None
    stream.begin_capture()
    try:
        work()
    except Exception as error:
        problem = error
    try:
        graph = stream.end_capture()
    except Exception as error:
        problem = problem or error
        graph = None
    if problem is not None or graph is None:
        raise RunError(
            f"no CUDA graph can be made of this run: {shown(problem, 300)}; bind without "
            "cuda_graph",
            backend=backend,
        ) from problem
    return graph


def memory() -> tuple[int, int]:
    """Bytes of GPU memory that are free, and in all."""
    return library().cuda.runtime.memGetInfo()


def crowded() -> str:
    """Words about GPU memory where it is nearly used up, else none: libraries seldom say so."""
    with contextlib.suppress(Exception):
        free, total = memory()
        if free < total // 20:
            return f" (the GPU is out of memory: {free} bytes are free of {total})"
    return ""


def out_of_memory(error: BaseException | str) -> bool:
    """Whether an error or a library's words are about GPU memory that is not there."""
    words = f"{type(error).__name__} {error}".lower()
    return any(
        mark in words
        for mark in ("outofmemory", "out of memory", "failed to allocate", "memory allocation")
    )


def starved(what: str, words: object, backend: str) -> RunError:
    """The error for a GPU without enough memory; frees what CuPy keeps for later first."""
    library().get_default_memory_pool().free_all_blocks()
    free, total = memory()
    return RunError(
        f"out of GPU memory: {what} ({shown(words, 300)}); {free} bytes are free of {total}; "
        "close other sessions or programs on this GPU, or use smaller shapes",
        backend=backend,
    )
