"""What else the machine was doing while something was measured. Read from Linux where it can be."""

from __future__ import annotations

import os
import platform
import re
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Noise:
    """How busy the machine was during one measuring run."""

    load_before: float | None
    """Load average over one minute at the start: processes that wanted a core."""
    load_after: float | None
    cpus: int
    """Logical processors this process may use."""
    mhz_before: float | None
    """Clock frequency, mean over processors; None where the system does not say."""
    mhz_after: float | None
    stolen: float | None
    """Share of processor time that the hypervisor gave to others; None where unknown."""
    preemptions: int | None
    """How often the system took the processor away from this process during the run."""

    @property
    def busy(self) -> bool:
        """Whether wall-clock numbers are doubtful: more work than cores, or over 2 % stolen."""
        load = max(self.load_before or 0.0, self.load_after or 0.0)
        return load > self.cpus + 0.5 or (self.stolen or 0.0) > 0.02


@dataclass(frozen=True, slots=True)
class Glance:
    """Counters of the machine at one moment; two of them make a `Noise`."""

    seconds: float
    load: float | None
    mhz: float | None
    stolen_ticks: int | None
    all_ticks: int | None
    preemptions: int | None


def glance() -> Glance:
    """The counters now."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    stolen, ticks = _ticks()
    return Glance(time.monotonic(), load, _mhz(), stolen, ticks, _preemptions())


def noise(before: Glance, after: Glance) -> Noise:
    """What happened between two glances."""
    stolen = None
    if before.stolen_ticks is not None and after.stolen_ticks is not None:
        passed = (after.all_ticks or 0) - (before.all_ticks or 0)
        stolen = (after.stolen_ticks - before.stolen_ticks) / passed if passed > 0 else 0.0
    preemptions = None
    if before.preemptions is not None and after.preemptions is not None:
        preemptions = after.preemptions - before.preemptions
    return Noise(
        before.load, after.load, usable_cpus(), before.mhz, after.mhz, stolen, preemptions
    )  # fmt: skip


def usable_cpus() -> int:
    """Logical processors this process may run on, which can be fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def processor() -> str:
    """Model name of the processor."""
    found = re.search(r"^model name\s*:\s*(.*)$", _text("/proc/cpuinfo"), re.MULTILINE)
    named = found[1].strip() if found else ""
    return named or platform.processor() or platform.machine() or "unknown"


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _mhz() -> float | None:
    speeds = re.findall(r"^cpu MHz\s*:\s*([\d.]+)", _text("/proc/cpuinfo"), re.MULTILINE)
    return sum(map(float, speeds)) / len(speeds) if speeds else None


def _ticks() -> tuple[int | None, int | None]:
    """Stolen ticks and all ticks of all processors since boot (proc(5), /proc/stat)."""
    line = _text("/proc/stat").partition("\n")[0].split()
    if len(line) < 9:
        return None, None
    counts = [int(part) for part in line[1:9]]
    return counts[7], sum(counts)


def _preemptions() -> int | None:
    try:
        import resource
    except ImportError:
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw
