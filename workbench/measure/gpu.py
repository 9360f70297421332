"""Latency on an NVIDIA GPU by CUDA events, with what the GPU's clocks did meanwhile.

Events are put on the stream around each call, so a time is what the GPU took from the end of the
work before to the end of this call's: neither the start of kernels by the processor nor the reading
of a clock is in it, except where the GPU waited for the processor; `launch` tells whether it did.
The GPU's clocks are not locked; readings before and after, and reasons for throttling, go with it.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

from workbench.errors import WorkbenchError
from workbench.measure.statistics import median_interval
from workbench.progress import Cancel
from workbench.text import shown

Call = Callable[[], None]

_REASONS = {
    0x2: "application clocks", 0x4: "power cap", 0x8: "hardware slowdown",
    0x20: "software thermal", 0x40: "hardware thermal", 0x80: "power brake",
}  # fmt: skip
"""Bits of NVML's ``nvmlDeviceGetCurrentClocksEventReasons`` that mean the GPU is held back."""


@dataclass(frozen=True, slots=True)
class GpuState:
    """One look at a GPU; None where NVML does not say."""

    sm_mhz: int | None = None
    memory_mhz: int | None = None
    celsius: int | None = None
    watts: float | None = None
    held_back: tuple[str, ...] = ()
    """Reasons for which the clocks were lower than they could be."""
    problem: str = ""
    """Why there are no readings."""


@dataclass(frozen=True)
class GpuLatency:
    """How long the GPU took for one call, each sample kept; seconds."""

    name: str
    samples: tuple[float, ...]
    """By events on the stream, a call; one for each round."""
    launch: tuple[float, ...]
    """What the processor took to put the calls of a sample on the stream, a call."""
    calls: int
    """Calls that one sample is the mean of."""
    before: GpuState
    after: GpuState

    @property
    def median(self) -> float:
        """Seconds."""
        return median(self.samples)

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the median in seconds (`median_interval`)."""
        return median_interval(self.samples)

    @property
    def waits_for_cpu(self) -> bool:
        """Whether the GPU had to wait for the processor: then a CUDA graph would be faster."""
        return median(self.launch) > 0.95 * self.median


def gpu_latency(
    calls: Mapping[str, Call],
    *,
    seconds: float = 1.0,
    min_rounds: int = 20,
    max_rounds: int = 300,
    warmup_seconds: float = 0.3,
    seed: int = 0,
    cancel: Cancel | None = None,
) -> tuple[GpuLatency, ...]:
    """The latency of each call by CUDA events on one stream, taken in turns in random order.

    Args:
        calls: name -> what puts work on the current stream, e.g. `Session.bind`'s result on arrays
            that lie on the GPU.
        seconds: time for the rounds of each call.
        min_rounds: rounds taken even if that needs longer.
        max_rounds: rounds at most.
        warmup_seconds: each call is repeated so long before the first sample.
        seed: of the order within rounds.
        cancel: looked at before every sample.

    Raises:
        ValueError: nothing to time, or a number outside its range.
        MissingDependencyError: CuPy is not installed.
        CancelledError: stopped by `cancel`.
    """
    if not calls or not seconds > 0 or not 6 <= min_rounds <= max_rounds:
        raise ValueError(
            "give at least one call, seconds above 0 and 6 <= min_rounds <= max_rounds"
        )
    from workbench.backends import cuda

    cupy = cuda.library()
    stop, order = cancel or Cancel(), random.Random(seed)
    with cupy.cuda.Stream(non_blocking=True) as stream:
        timed = [_Timed(name, call, cupy, stream) for name, call in calls.items()]
        for one in timed:
            stop.check()
            one.warm_up(warmup_seconds)
        before, begun = look(), time.perf_counter()
        for done in range(max_rounds):
            if done >= min_rounds and time.perf_counter() - begun > seconds * len(timed):
                break
            for one in order.sample(timed, len(timed)):
                stop.check()
                one.sample()
        after = look()
        stream.synchronize()
    return tuple(
        GpuLatency(one.name, tuple(one.times), tuple(one.launches), one.count, before, after)
        for one in timed
    )


class _Timed:
    """One call while it is measured."""

    def __init__(self, name: str, call: Call, cupy: Any, stream: Any) -> None:
        self.name, self.call, self.stream = name, call, stream
        self.times: list[float] = []
        self.launches: list[float] = []
        self.count = 1
        self._elapsed = cupy.cuda.get_elapsed_time
        self._events = (cupy.cuda.Event(), cupy.cuda.Event())

    def warm_up(self, seconds: float) -> None:
        begun = time.perf_counter()
        calls = 0
        while time.perf_counter() - begun < seconds or calls < 3:
            self.call()
            self.stream.synchronize()
            calls += 1
        # A sample of many short calls, so that the events' own half a microsecond does not count.
        self.count = max(1, min(50, round(calls / seconds * 2e-3)))

    def sample(self) -> None:
        first, last = self._events
        call, count = self.call, self.count
        self.stream.synchronize()
        call()
        first.record(self.stream)
        begun = time.perf_counter()
        for _ in range(count):
            call()
        launched = time.perf_counter() - begun
        last.record(self.stream)
        last.synchronize()
        self.times.append(self._elapsed(first, last) * 1e-3 / count)
        self.launches.append(launched / count)


def look(index: int = 0) -> GpuState:
    """Clocks, temperature and power of a GPU now; needs nvidia-ml-py."""
    try:
        return _readings(index)
    except ImportError:
        return GpuState(problem="nvidia-ml-py is not installed")
    except WorkbenchError:
        raise
    except Exception as error:
        return GpuState(problem=shown(error, 200))


def _readings(index: int) -> GpuState:
    import pynvml  # pyright: ignore[reportMissingImports]

    pynvml.nvmlInit()
    try:
        gpu = pynvml.nvmlDeviceGetHandleByIndex(index)

        def read(name: str, *args: Any) -> Any:
            try:
                return getattr(pynvml, name)(gpu, *args)
            except (AttributeError, pynvml.NVMLError):
                return None

        reasons = read("nvmlDeviceGetCurrentClocksEventReasons")
        if reasons is None:
            reasons = read("nvmlDeviceGetCurrentClocksThrottleReasons") or 0
        milliwatts = read("nvmlDeviceGetPowerUsage")
        return GpuState(
            read("nvmlDeviceGetClockInfo", pynvml.NVML_CLOCK_SM),
            read("nvmlDeviceGetClockInfo", pynvml.NVML_CLOCK_MEM),
            read("nvmlDeviceGetTemperature", pynvml.NVML_TEMPERATURE_GPU),
            None if milliwatts is None else milliwatts / 1000,
            tuple(words for bit, words in _REASONS.items() if reasons & bit),
        )
    finally:
        pynvml.nvmlShutdown()
