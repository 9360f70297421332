"""What a study ran on: machine, system and versions. Read once, kept with the numbers."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from workbench.measure import processor, usable_cpus

LIBRARIES = (
    "workbench", "numpy", "onnx", "onnx-ir", "onnxruntime", "onnxruntime-gpu", "openvino",
    "tensorrt", "tensorrt-rtx", "cupy-cuda13x",
)  # fmt: skip
"""Distributions whose versions are recorded where they are installed."""

FLAGS = (
    "avx2", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16", "avx_vnni", "amx_tile",
    "amx_int8", "amx_bf16", "asimd", "asimddp", "bf16", "i8mm", "sve",
)  # fmt: skip
"""Processor features that decide which kernels a backend has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """A machine and its software, as far as they decide how fast and how exact a network runs."""

    processor: str
    """Model name of the processor."""
    architecture: str
    flags: tuple[str, ...]
    """Those of `FLAGS` that the processor has."""
    cores: int
    """Logical processors of the machine."""
    usable_cores: int
    """Those that this process may use."""
    memory_bytes: int | None
    system: str
    python: str
    versions: Mapping[str, str] = field(hash=False)
    """Distribution -> version."""
    threads: int | None = None
    """Threads an engine was given; None where the study does not say."""
    load: float | None = None
    """Load average over one minute at the start."""
    date: str = ""
    """Start, in UTC, ISO 8601."""

    def identity(self) -> dict[str, Any]:
        """What must be the same for numbers of two runs to stand in one table."""
        known = asdict(self)
        return {key: known[key] for key in known if key not in ("load", "date", "memory_bytes")}

    def __str__(self) -> str:
        parts = (f"{name} {version}" for name, version in self.versions.items())
        threads = f", {self.threads} a network" if self.threads else ""
        return (
            f"{self.processor}, {self.usable_cores} of {self.cores} cores{threads}; "
            f"{self.system}; Python {self.python}; {', '.join(parts)}"
        )


def describe(threads: int | None = None) -> Environment:
    """This machine, now."""
    return Environment(
        processor=processor(),
        architecture=platform.machine(),
        flags=_flags(),
        cores=os.cpu_count() or 1,
        usable_cores=usable_cpus(),
        memory_bytes=_memory(),
        system=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        versions=_versions(),
        threads=threads,
        load=os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        date=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    )


def _cpuinfo(key: str) -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    found = re.search(rf"^{key}\s*:\s*(.*)$", text, re.MULTILINE | re.IGNORECASE)
    return found[1].strip() if found else ""


def _flags() -> tuple[str, ...]:
    have = set((_cpuinfo("flags") or _cpuinfo("features")).split())
    return tuple(flag for flag in FLAGS if flag in have)


def _memory() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


def _versions() -> dict[str, str]:
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
