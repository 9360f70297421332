"""The file a running study writes to: one line for each finished step, safe against any cut.

The first line says which study it is. A line holds a checksum and is written by one call and synced
before the next step begins, so a kill can only cut the last one; that one is dropped when the file
is opened again. A line damaged anywhere else is an error, because numbers would be missing.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import zlib
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from workbench.errors import StudyError
from workbench.study.codec import decoded, encoded
from workbench.study.design import StudyPlan
from workbench.text import shown

FORMAT = "workbench study journal 1"
MOST_DIFFERENCES = 5
"""How many differences to another study a message names."""


_HEAD = encoded({"format": FORMAT})[:-1]
_BEGUN = re.compile(
    rb"[0-9a-f]{0,8}|[0-9a-f]{8} ("
    + b"|".join(re.escape(_HEAD[:end].encode()) for end in range(len(_HEAD)))
    + rb"|" + re.escape(_HEAD.encode()) + rb".*)",
    re.DOTALL,
)  # fmt: skip
"""What a journal cut in its first line looks like; anything else is someone's own file."""


def packed(record: Mapping[str, Any]) -> bytes:
    """A record as one line with its checksum."""
    text = encoded(record)
    return f"{zlib.crc32(text.encode()):08x} {text}\n".encode()


def records(path: Path) -> tuple[list[dict[str, Any]], int]:
    """The records of a journal, and how many bytes of the file they take.

    Less than the file's size means that a cut line stands at the end.

    Raises:
        StudyError: no such file, not a journal, or a damaged line that is not the last one.
    """
    raw = content(path)
    lines = raw.splitlines(keepends=True)
    found: list[dict[str, Any]] = []
    used = 0
    for number, line in enumerate(lines, start=1):
        record = _unpacked(line)
        if record is None:
            if number < len(lines):
                raise StudyError(
                    f"{shown(path)}, line {number}: damaged (its checksum does not fit); measure "
                    "again into a new file"
                )
            break
        found.append(record)
        used += len(line)
    ours = found[0].get("format") == FORMAT if found else bool(_BEGUN.fullmatch(raw[:60]))
    if not ours:
        raise StudyError(f"{shown(path)}: is not the journal of a study; choose another file")
    return found, used


def content(path: Path) -> bytes:
    """The bytes of a regular file.

    Raises:
        StudyError: it is something else, such as a device that never ends, or cannot be read.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise StudyError(f"{shown(path)}: cannot be read (it is no regular file)")
        return path.read_bytes()
    except OSError as error:
        raise StudyError(
            f"{shown(path)}: cannot be read ({shown(error.strerror)}); check the path"
        ) from error


def _unpacked(line: bytes) -> dict[str, Any] | None:
    check, _, text = line.partition(b" ")
    if not line.endswith(b"\n") or check != b"%08x" % zlib.crc32(text[:-1]):
        return None
    record = decoded(text)
    return record if isinstance(record, dict) else None


class Journal:
    """An open journal: what earlier runs finished, and a way to add to it. A context manager.

    Raises:
        StudyError: the file holds another study, is damaged, is being written by another process,
            or cannot be written.
    """

    def __init__(self, path: Path, plan: StudyPlan, head: Mapping[str, Any]) -> None:
        self.path = path
        self.earlier: list[dict[str, Any]] = []
        """Records of earlier runs, without the first line."""
        self.head: Mapping[str, Any] | None = None
        """First line of an earlier run; None in a new journal."""
        self._descriptor = _opened(path)
        try:
            self._begin(plan, head)
        except BaseException:
            self.close()
            raise

    def _begin(self, plan: StudyPlan, head: Mapping[str, Any]) -> None:
        _lock(self._descriptor, self.path)
        found, used = records(self.path)
        if not _measured(found):  # so nothing is lost
            os.ftruncate(self._descriptor, 0)
            self.add({"format": FORMAT, "plan": plan.fields, **head})
            return
        differences = StudyPlan(found[0].get("plan", {})).differences(plan)
        if differences:
            what = "; ".join(differences[:MOST_DIFFERENCES])
            raise StudyError(
                f"{shown(self.path)} holds another study ({what}); choose another "
                "file (on the command line: another folder with --out), or start over with "
                "fresh=True (--fresh)"
            )
        # A cut last line would join the next one.
        os.ftruncate(self._descriptor, used)
        self.head = found[0]
        self.earlier = found[1:]

    def add(self, record: Mapping[str, Any]) -> None:
        """Append a record and wait until the disk has it.

        Raises:
            StudyError: it cannot be written; the file stays as it was.
        """
        line = packed(record)
        size = os.fstat(self._descriptor).st_size
        try:
            if os.write(self._descriptor, line) != len(line):
                raise OSError(errno.ENOSPC, "no space left")
            os.fsync(self._descriptor)
        except OSError as error:
            os.ftruncate(self._descriptor, size)
            raise StudyError(
                f"{shown(self.path)}: cannot be written ({shown(error.strerror)}); make room and "
                "run again, finished steps are kept"
            ) from error

    def close(self) -> None:
        """Close the file and let others write to it."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()


def _measured(found: list[dict[str, Any]]) -> bool:
    """Whether a configuration ran: a study of nothing but failures is tried again."""
    return any(not step["configuration"].get("failed") for step in found if "configuration" in step)


def _opened(path: Path) -> int:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and not path.is_file():
            raise OSError(errno.EINVAL, "it is no regular file")
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise StudyError(
            f"{shown(path)}: cannot be written ({shown(error.strerror)}); choose another file"
        ) from error


def _lock(descriptor: int, path: Path) -> None:
    try:
        import fcntl
    except ImportError:
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise StudyError(
            f"{shown(path)} is being written by another process; wait for it or choose another file"
        ) from None
    except OSError:
        # A file system without locks: two writers there are the user's own doing.
        return
