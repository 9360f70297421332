"""Which NVIDIA GPUs are here, asked of the driver itself: libraries differ in what they say."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from workbench.text import shown
from workbench.worker import Worker

_LARGEST_GPU_NAME = 256
_CUDA_MAJOR, _CUDA_MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, _MINOR
_CUDA_PROCESSORS = 16  # CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT
_LOOK_SECONDS = 60.0
_STATUS = {
    100: "the NVIDIA driver shows no GPU",
    101: "the NVIDIA driver shows no GPU of that number",
    803: "the NVIDIA driver's library and kernel module are of different versions; restart",
    804: "the NVIDIA driver is too old for the CUDA libraries here; update it",
}  # CUDA_ERROR_NO_DEVICE, INVALID_DEVICE, SYSTEM_DRIVER_MISMATCH, COMPAT_NOT_SUPPORTED_ON_DEVICE


@dataclass(frozen=True, slots=True)
class Gpu:
    """An NVIDIA GPU as the driver names it."""

    name: str
    compute_capability: tuple[int, int]
    """Major and minor, e.g. ``(9, 0)``."""
    processors: int = 0
    """Streaming multiprocessors; 0 where not asked for."""
    driver: int = 0
    """CUDA version the driver has, e.g. ``13000``; 0 where not asked for."""

    def __str__(self) -> str:
        major, minor = self.compute_capability
        return f"{self.name} {major}.{minor} {self.processors} SM"


@cache
def devices() -> tuple[Gpu, ...]:
    """GPUs that the driver has, found in a child process once for the life of this process."""
    with Worker() as worker:
        return worker.call(gpus, timeout=_LOOK_SECONDS)[0]


def gpus() -> tuple[tuple[Gpu, ...], str]:
    """GPUs that the driver has, and why there are none.

    Starts the driver in this process: call it in a child.
    """
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return (), "no NVIDIA driver here (libcuda.so.1 is not found)"
    status = driver.cuInit(0)
    if status:
        return (), why_not_started(status)
    found = tuple(_gpus_of(driver))
    return found, "" if found else "the NVIDIA driver sees no GPU"


def why_not_started(status: int) -> str:
    """What it means that the driver answers `status`, other than 0, to ``cuInit``."""
    words = _STATUS.get(status, "the NVIDIA driver does not start")
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    hint = "" if visible is None else f"; CUDA_VISIBLE_DEVICES is {shown(repr(visible))}"
    return f"{words} (cuInit answers {status}{hint})"


def _gpus_of(driver: Any) -> Iterator[Gpu]:
    count, cuda = ctypes.c_int(), ctypes.c_int()
    driver.cuDeviceGetCount(ctypes.byref(count))
    driver.cuDriverGetVersion(ctypes.byref(cuda))
    for index in range(count.value):
        device, major, minor, processors = (ctypes.c_int() for _ in range(4))
        text = ctypes.create_string_buffer(_LARGEST_GPU_NAME)
        driver.cuDeviceGet(ctypes.byref(device), index)
        driver.cuDeviceGetName(text, _LARGEST_GPU_NAME, device)
        driver.cuDeviceGetAttribute(ctypes.byref(major), _CUDA_MAJOR, device)
        driver.cuDeviceGetAttribute(ctypes.byref(minor), _CUDA_MINOR, device)
        driver.cuDeviceGetAttribute(ctypes.byref(processors), _CUDA_PROCESSORS, device)
        name = text.value.decode("utf-8", "replace")
        yield Gpu(name, (major.value, minor.value), processors.value, cuda.value)
