"""One owner at a time for a name, over threads and processes, without ever waiting for a corpse.

Where the file system has `flock`, the kernel frees the lock of a dead process. Where it has not
(some network file systems), the lock is a file that names its owner by process id, start time and
host, and an owner that no longer exists on this host loses it. An owner on another host cannot be
looked at, so every wait has a limit. Standard library only.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import socket
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from workbench.progress import Cancel, Event, Progress, silent
from workbench.text import shown

_POLL_SECONDS = 0.05
_UNSIGNED_SECONDS = 60
_NO_FLOCK = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL}


@dataclass(frozen=True, slots=True)
class Owner:
    """The process that holds a lock."""

    pid: int
    started: str
    """When the process started, in the system's own clock; tells a reused process id apart."""
    host: str

    @property
    def gone(self) -> bool:
        """Whether the process is known to exist no longer; False for one on another host."""
        return self.host == socket.gethostname() and _start_of(self.pid) != self.started

    def __str__(self) -> str:
        return f"pid {self.pid} on host {shown(self.host)}"


def this_process() -> Owner:
    """The owner that this process is."""
    return Owner(os.getpid(), _start_of(os.getpid()), socket.gethostname())


def _start_of(pid: int) -> str:
    """When a process started, ``""`` if there is none, ``"?"`` if the system cannot say."""
    if not sys.platform.startswith("linux"):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return ""
        except OSError:
            return "?"
        return "?"
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    state, *fields = stat.rpartition(")")[2].split()
    return "" if state == "Z" else fields[18]


class Lock:
    """A lock on one path. Not reentrant."""

    def __init__(self, path: Path, *, flock: bool = True) -> None:
        """Make a lock, not yet taken.

        Args:
            path: the lock file; removed again when the lock is given back.
            flock: False uses a file that names the owner, `path` with ``.owner`` at the end.
        """
        self._path = path
        self.flock = flock
        """Whether the kernel's lock is used; turns False when the file system has none."""
        self._descriptor: int | None = None

    @property
    def path(self) -> Path:
        """The file that exists while somebody has the lock."""
        return self._path if self.flock else self._path.with_name(f"{self._path.name}.owner")

    @property
    def exists(self) -> bool:
        """Whether somebody has the lock, or died with it."""
        return any(Lock(self._path, flock=kind).path.exists() for kind in (True, False))

    def try_acquire(self) -> bool:
        """Take the lock if nobody has it.

        Raises:
            OSError: the lock file cannot be made.
        """
        if self.flock:
            try:
                return self._try_flock()
            except OSError as error:
                if error.errno not in _NO_FLOCK:
                    raise
                self.flock = False
                self._path.unlink(missing_ok=True)
        return self._try_owner_file()

    def acquire(
        self, *, timeout: float, cancel: Cancel | None = None, progress: Progress = silent
    ) -> bool:
        """Take the lock, waiting up to `timeout` seconds; False if the wait ran out.

        Raises:
            CancelledError: `cancel` was set during the wait.
            OSError: the lock file cannot be made.
        """
        deadline, told = time.monotonic() + timeout, ""
        while not self.try_acquire():
            if cancel is not None:
                cancel.check()
            if time.monotonic() > deadline:
                return False
            waiting = f"waiting for {owner_of(self.path) or 'another process'}"
            if waiting != told:
                told = waiting
                progress(Event("wait for another build", waiting))
            time.sleep(_POLL_SECONDS)
        return True

    def release(self) -> None:
        """Give the lock back; nothing happens if it is not held."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            # Removed while still held: whoever opened the file before sees that it is gone.
            with contextlib.suppress(OSError):
                self.path.unlink()
            os.close(descriptor)

    def _try_flock(self) -> bool:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(self.path, flags, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if self._is_current(descriptor):
                self._descriptor = descriptor
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, _signature(), 0)
                return True
        except BlockingIOError:
            pass
        except BaseException:
            if self._descriptor is None:
                os.close(descriptor)
            self.release()
            raise
        os.close(descriptor)
        return False

    def _is_current(self, descriptor: int) -> bool:
        """Whether the path still leads to the open file; its last owner may have removed it."""
        try:
            return os.path.samestat(os.fstat(descriptor), self.path.lstat())
        except FileNotFoundError:
            return False

    def _try_owner_file(self) -> bool:
        try:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            self.break_stale()
            return False
        self._descriptor = descriptor
        os.write(descriptor, _signature())
        return True

    def break_stale(self) -> None:
        """Remove the lock file of an owner that is gone.

        The file is moved aside first and looked at again: between the look and the removal,
        somebody else may have broken it and taken the lock.
        """
        aside = self.path.with_name(f"{self.path.name}.{os.getpid()}.tmp")
        with contextlib.suppress(FileNotFoundError):
            if not _stale(self.path):
                return
            self.path.rename(aside)
            if not _stale(aside):
                with contextlib.suppress(FileExistsError):
                    os.link(aside, self.path)
            aside.unlink()


def owner_of(path: Path) -> Owner | None:
    """Who holds the lock of this file, where the file says so."""
    try:
        return Owner(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        return None


def _stale(path: Path) -> bool:
    owner = owner_of(path)
    if owner is None:
        # Killed between making the file and signing it.
        return time.time() - path.lstat().st_mtime > _UNSIGNED_SECONDS
    return owner.gone


def _signature() -> bytes:
    return json.dumps(asdict(this_process())).encode()
