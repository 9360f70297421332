"""The processor, as far as plans depend on it."""

from __future__ import annotations

import hashlib
import platform
from functools import lru_cache
from pathlib import Path


@lru_cache(maxsize=1)
def cpu() -> str:
    """Architecture, model name and a digest of the instruction set extensions.

    Source: ``/proc/cpuinfo`` where there is one, else what ``platform`` knows.
    """
    fields: dict[str, str] = {}
    try:
        for line in (
            Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        ):
            key, _, value = line.partition(":")
            fields.setdefault(key.strip().lower(), value.strip())
    except OSError:
        pass
    flags = sorted((fields.get("flags") or fields.get("features") or "").split())
    model = fields.get("model name") or platform.processor() or "unknown processor"
    digest = hashlib.sha256(" ".join(flags).encode()).hexdigest()[:12]
    return f"{platform.machine()} {model} {digest}"
