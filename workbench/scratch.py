"""Temporary folders that are removed also when their process was killed: by the next one to start.

Each folder holds a file that its process keeps locked, and the kernel frees the lock of a dead
process whatever killed it. So a folder whose lock can be had belongs to nobody. Standard library
only.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import stat
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

PREFIX = "workbench-"
_OWNER = ".owner"
_YOUNG_SECONDS = 60.0
_once = threading.Lock()
_swept: set[str] = set()
_inside: list[Path] = []


@contextlib.contextmanager
def folder(purpose: str = "") -> Iterator[Path]:
    """A new folder for this user alone, gone at the end of the context.

    The first one of a process also removes what dead processes of this user left behind.

    Args:
        purpose: a word in its name.
    """
    place = str(_inside[-1]) if _inside else tempfile.gettempdir()
    _sweep_once(place)
    name = PREFIX + (f"{purpose}-" if purpose else "")
    with tempfile.TemporaryDirectory(prefix=name, dir=place, ignore_cleanup_errors=True) as made:
        owner = os.open(Path(made, _OWNER), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            with contextlib.suppress(OSError):  # A file system without locks: never swept.
                fcntl.flock(owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield Path(made)
        finally:
            os.close(owner)


@contextlib.contextmanager
def inside(place: str | Path) -> Iterator[None]:
    """Make the folders of this process in `place`, for a child that may be killed by its parent."""
    _inside.append(Path(place))
    try:
        yield
    finally:
        _inside.pop()


def _sweep_once(place: str) -> None:
    with _once:
        if place not in _swept:
            _swept.add(place)
            sweep(Path(place))


def sweep(place: Path) -> tuple[Path, ...]:
    """Remove the folders in `place` whose process is dead; those that were removed.

    Folders of other users, links, folders that this module did not make, and those of the last
    minute are left alone.
    """
    removed = []
    with contextlib.suppress(OSError):
        for path in sorted(place.glob(f"{PREFIX}*")):
            with contextlib.suppress(OSError):
                if _is_orphan(path):
                    shutil.rmtree(path, ignore_errors=True)
                    removed.append(path)
    return tuple(removed)


def _is_orphan(path: Path) -> bool:
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        return False
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    descriptor = os.open(path / _OWNER, flags)
    try:
        status = os.fstat(descriptor)
        # Between the making of the file and its lock it looks like that of a dead process.
        if not stat.S_ISREG(status.st_mode) or time.time() - status.st_mtime < _YOUNG_SECONDS:
            return False
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True
