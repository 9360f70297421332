"""Plans kept on disk, found again by what they were made from.

An entry is one file, named by the SHA-256 of the fields of its key, with those fields and checksums
inside (`container`). It is checked every time it is found: a damaged one is removed with a warning
and its maker makes it again. Nothing that goes wrong with the folder stops the work the plan is
for: a full disk, a folder that cannot be written or is not ours mean a warning and no cache.
What the fields and blobs mean, this package does not know. Standard library only.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
import time
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from workbench.cache import container
from workbench.cache.entry import (
    Entry,
    key_of,
    nearest_difference,
    not_ours,
    open_entry,
    read_entry,
)
from workbench.cache.lock import Lock
from workbench.errors import CacheError
from workbench.progress import Cancel, Progress, silent
from workbench.text import shown

__all__ = ["Cache", "CacheWarning", "Entry", "default_folder", "key_of"]

_SUFFIX = ".plan"
_TEMPORARY = ".tmp"
_SWEEP_SECONDS = 24 * 3600
_EXPLAINED_ENTRIES = 2000


class CacheWarning(UserWarning):
    """The cache could not be used for something, or threw a damaged entry away."""


def default_folder() -> Path:
    """`$WORKBENCH_CACHE`, or ``~/.cache/workbench``."""
    named = os.environ.get("WORKBENCH_CACHE", "").strip()
    return Path(named).expanduser() if named else Path.home() / ".cache" / "workbench"


class Cache:
    """A folder of plans. Any number of processes and threads may use one folder at a time."""

    def __init__(self, folder: str | Path | None = None, *, limit_bytes: int = 10 << 30) -> None:
        """Name the folder; it is made, for this user alone, when something is first kept.

        Args:
            folder: where the entries are; None is `default_folder()`.
            limit_bytes: when all entries together are larger, those not used for longest go.

        Raises:
            ValueError: a limit below 1.
        """
        if not limit_bytes >= 1:
            raise ValueError(f"limit_bytes is {limit_bytes}; must be at least 1")
        self.folder = Path(folder) if folder is not None else default_folder()
        """Where the entries are."""
        self.limit_bytes = limit_bytes
        """Most bytes of all entries together."""
        self._swept = False

    def __repr__(self) -> str:
        return f"Cache({str(self.folder)!r}, limit_bytes={self.limit_bytes})"

    def get(self, key: str) -> Entry | None:
        """The entry of a key, every byte of it checked, or None.

        A damaged entry is removed and one that is not ours is left alone, each with a
        `CacheWarning`; both give None.
        """
        path = self._path(key)
        try:
            descriptor = open_entry(path)
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno == errno.ELOOP:
                self._discard(path, "it is a symbolic link")
            else:
                self._warn(f"cannot read {path.name}: {error.strerror}")
            return None
        try:
            found = self._unsafe() or not_ours(descriptor) or read_entry(descriptor, key)
            if isinstance(found, Entry):
                with contextlib.suppress(OSError):
                    os.utime(descriptor)
                return found
            self._warn(f"{path.name} is ignored: {found}")
        except CacheError as error:
            self._discard(path, str(error))
        except OSError as error:
            self._warn(f"cannot read {path.name}: {error.strerror}")
        finally:
            os.close(descriptor)
        return None

    def put(self, key: str, fields: Mapping[str, Any], blobs: Mapping[str, bytes]) -> Entry | None:
        """Keep blobs under a key, all or nothing; None, with a `CacheWarning`, if that fails.

        Raises:
            ValueError: the key is not that of the fields.
        """
        if key_of(fields) != key:
            raise ValueError(f"key {shown(key)} is not the key of its fields; use key_of(fields)")
        size = sum(len(data) for data in blobs.values())
        if size > self.limit_bytes:
            self._warn(f"a plan of {size} bytes is not kept: the limit is {self.limit_bytes} bytes")
            return None
        problem = ""
        try:
            problem = self._prepare() or ""
            if not problem:
                self._write(self._path(key), container.pack(fields, blobs))
                self._sweep()
                self._evict(key)
        except OSError as error:
            problem = error.strerror or str(error)
        if problem:
            self._warn(f"a plan of {size} bytes is not kept: {problem}")
            return None
        return Entry(key, dict(fields), dict(blobs))

    @contextlib.contextmanager
    def lock(
        self,
        key: str,
        cancel: Cancel | None = None,
        *,
        progress: Progress = silent,
        timeout: float = 600.0,
    ) -> Iterator[None]:
        """Hold the right to make the entry of a key, so that it is made once over all processes.

        The lock of a process that died is free. After `timeout` seconds, or where the folder
        cannot hold a lock, the work goes on without it, with a `CacheWarning`: two processes may
        then make the same entry, which costs time and harms nothing.

        Raises:
            CancelledError: `cancel` was set while waiting.
        """
        lock = Lock(self.folder / f"{_checked(key)}.lock")
        problem = None
        try:
            try:
                problem = self._prepare()
                if not problem and not lock.acquire(
                    timeout=timeout, cancel=cancel, progress=progress
                ):
                    problem = f"its lock was not free within {timeout:g} s"
            except OSError as error:
                problem = error.strerror or str(error)
            if problem:
                self._warn(f"work goes on without a lock on {key[:12]}: {problem}")
            elif not lock.flock:
                self._warn("its file system has no flock; locks are files that name their owner")
            yield
        finally:
            lock.release()

    def explain_miss(self, fields: Mapping[str, Any]) -> str:
        """Why there is no entry for these fields: what the nearest entry has instead."""
        differing = nearest_difference(fields, self._newest_entries()[:_EXPLAINED_ENTRIES])
        if differing is None:
            return f"nothing is cached in {shown(self.folder)} yet"
        if not differing:
            return "an entry with exactly these fields is cached"
        more = f"; and {len(differing) - 5} fields more" if len(differing) > 5 else ""
        return f"the nearest of the cached entries differs: {'; '.join(differing[:5])}{more}"

    def _path(self, key: str) -> Path:
        return self.folder / f"{_checked(key)}{_SUFFIX}"

    def _warn(self, text: str) -> None:
        warnings.warn(f"cache {shown(self.folder)}: {text}", CacheWarning, stacklevel=3)

    def _discard(self, path: Path, reason: str) -> None:
        """Remove what lies where an entry should; a folder is moved aside, not emptied."""
        done = "removed"
        try:
            if stat.S_ISDIR(path.lstat().st_mode):
                path.rename(path.with_name(f"{path.name}.{secrets.token_hex(4)}.aside"))
                done = "moved aside"
            else:
                path.unlink()
        except FileNotFoundError:
            pass
        except OSError as error:
            done = f"could not be removed ({error.strerror})"
        self._warn(f"entry {path.name} is damaged and was {done}: {reason}")

    def _prepare(self) -> str | None:
        """Make the folder where there is none; what is wrong with it, or None.

        Raises:
            OSError: it cannot be made or looked at.
        """
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            self.folder.mkdir(mode=0o700)
        return self._unsafe()

    def _unsafe(self) -> str | None:
        status = self.folder.stat()
        if not stat.S_ISDIR(status.st_mode):
            return "this is no folder; remove it or choose another with WORKBENCH_CACHE"
        if status.st_mode & stat.S_IWOTH:
            return "every user may write to this folder; run chmod o-w on it or choose another"
        return None

    def _write(self, path: Path, pieces: Iterator[container.Buffer]) -> None:
        name = f"{path.stem}.{os.getpid()}.{secrets.token_hex(4)}{_TEMPORARY}"
        temporary = self.folder / name
        try:
            with open(temporary, "xb", buffering=0, opener=_private) as file:
                for piece in pieces:
                    left = memoryview(piece)
                    while left:
                        left = left[file.write(left) :]
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
        _sync_folder(self.folder)

    def _sweep(self) -> None:
        """Once, remove what killed processes left more than a day ago."""
        if self._swept:
            return
        self._swept = True
        for path in self.folder.iterdir():
            with contextlib.suppress(OSError):
                if time.time() - path.lstat().st_mtime < _SWEEP_SECONDS:
                    continue
                if path.suffix == _TEMPORARY:
                    path.unlink()
                elif path.suffix == ".owner":
                    Lock(path.with_suffix(""), flock=False).break_stale()
                elif path.suffix == ".lock" and (lock := Lock(path)).try_acquire():
                    lock.release()

    def _evict(self, just_written: str) -> None:
        """Remove the entries unused for longest until all fit; none that is locked, nor the new."""
        entries = self._newest_entries()
        sizes = {path: _size(path) for path in entries}
        total = sum(sizes.values())
        for path in reversed(entries):
            if total <= self.limit_bytes:
                return
            if path.stem != just_written and not Lock(path.with_suffix(".lock")).exists:
                with contextlib.suppress(OSError):
                    path.unlink()
                    total -= sizes[path]

    def _newest_entries(self) -> list[Path]:
        found: list[tuple[int, Path]] = []
        with contextlib.suppress(OSError):
            for path in self.folder.glob(f"*{_SUFFIX}"):
                with contextlib.suppress(OSError):
                    found.append((path.lstat().st_mtime_ns, path))
        return [path for _, path in sorted(found, reverse=True)]


def _checked(key: str) -> str:
    if len(key) != 64 or set(key) - set("0123456789abcdef"):
        raise ValueError(f"{shown(key)} is no key; key_of(fields) makes one")
    return key


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:
        return 0


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _sync_folder(folder: Path) -> None:
    """Make a rename survive a power cut, on the file systems that can."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
