"""Times of kernels measured in earlier builds, kept for each TensorRT, GPU and driver.

They are a hint: they make later builds faster and more alike, and nothing is lost with them.
TensorRT checks little of what it is given, so only what this user signed is given to it.
"""

from __future__ import annotations

from typing import Any

from workbench.backends import gpus
from workbench.backends.tensorrt import adapter, sealing
from workbench.backends.tensorrt.api import Config
from workbench.cache import Cache, key_of
from workbench.errors import BackendError

_BLOB = "times"
_SIGNED = "signature"


class TimingCache:
    """What is kept for one TensorRT on the GPU that is here; see the module."""

    def __init__(self, package: str, cache: Cache | None = None) -> None:
        """Name it; nothing is read yet."""
        self._cache = cache or Cache()
        self._fields = {
            "kind": "tensorrt timing cache",
            "made_with": adapter.title(package),
            "devices": [str(gpu) for gpu in gpus.devices()],
            "drivers": [gpu.driver for gpu in gpus.devices()],
        }
        self._key = key_of(self._fields)
        self.given = False
        """Whether the build that runs was given times of earlier ones."""
        self._used: list[Any] = []

    def give(self, config: Config) -> None:
        """Let a build use what is kept; it starts afresh where TensorRT takes it not."""
        kept = self._kept()
        self.given = self._set(config, kept) and bool(kept)
        if kept and not self.given:
            self._set(config, b"")

    def withdraw(self, config: Config) -> None:
        """Make a build that failed with the kept times start afresh."""
        self.given = False
        self._set(config, b"")

    def take(self, config: Config) -> None:
        """Keep what a build measured, together with what others kept meanwhile."""
        times = self._used[-1]
        with self._cache.lock(self._key):
            others = self._kept()
            if others:
                times.combine(config.create_timing_cache(memoryview(others)), False)
            blob = bytes(times.serialize())
            if blob and blob != others:
                signed = sealing.signature(self._fields, blob).encode()
                self._cache.put(self._key, self._fields, {_BLOB: blob, _SIGNED: signed})

    def close(self) -> None:
        """Free TensorRT's objects: after the config that points to them, before the builder."""
        self._used.clear()

    def _set(self, config: Config, blob: bytes) -> bool:
        times = config.create_timing_cache(memoryview(blob))
        # The config holds but a pointer to it.
        self._used.append(times)
        return bool(config.set_timing_cache(times, False))

    def _kept(self) -> bytes:
        entry = self._cache.get(self._key)
        if entry is None:
            return b""
        blob, signed = entry.blobs[_BLOB], entry.blobs[_SIGNED].decode("ascii", "replace")
        try:
            sealing.refuse_foreign(signed, self._fields, blob)
        except BackendError:
            return b""
        return blob
