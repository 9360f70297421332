"""One entry of the cache: how it is opened, checked and read, and which one is nearest to a key."""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import weakref
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.cache import container
from workbench.errors import CacheError
from workbench.text import shown

_EAGER_BYTES = 1 << 20


def key_of(fields: Mapping[str, Any]) -> str:
    """SHA-256, in hexadecimal, of the fields as JSON; the order of keys does not matter.

    Raises:
        TypeError: a value that JSON cannot hold, or a key that is no string.
        ValueError: NaN or an infinity.
    """
    return hashlib.sha256(container.canonical(dict(fields))).hexdigest()


@dataclass(frozen=True, slots=True)
class Entry:
    """A plan that was found, or was just written."""

    key: str
    fields: Mapping[str, Any]
    """What the key was made of."""
    blobs: Mapping[str, bytes]
    """Name -> bytes. Large ones of an entry found on disk are read, and checked again, at each
    access (`CacheError` if the file changed since), and outlive the removal of the entry."""


class _Blobs(Mapping[str, bytes]):
    """Blobs of an open entry, each read and checked when it is asked for."""

    def __init__(self, descriptor: int, blobs: tuple[container.BlobRecord, ...]) -> None:
        self._descriptor = descriptor
        self._blobs = {blob.name: blob for blob in blobs}
        weakref.finalize(self, os.close, descriptor)

    def __getitem__(self, name: str) -> bytes:
        return container.read_blob(self._descriptor, self._blobs[name])

    def __contains__(self, name: object) -> bool:
        return name in self._blobs  # the inherited one would read the blob

    def __iter__(self) -> Iterator[str]:
        return iter(self._blobs)

    def __len__(self) -> int:
        return len(self._blobs)


def open_entry(path: Path) -> int:
    """A descriptor of the file, never of what a link leads to; a pipe does not block.

    Raises:
        OSError: it cannot be opened; `errno.ELOOP` for a link.
    """
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)


def not_ours(descriptor: int) -> str | None:
    """Why a file that may be in order is not ours to use, or None."""
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        return None
    if status.st_uid != os.geteuid():
        return f"it belongs to user {status.st_uid}"
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return "other users may write to it"
    return None


def read_entry(descriptor: int, key: str) -> Entry | str:
    """The entry, every byte of it checked, or why it is to be left alone.

    The descriptor belongs to the caller, who may close it at once.

    Raises:
        CacheError: it is damaged, or is not the entry of this key.
    """
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        raise CacheError("it is no regular file")
    record = container.read_record(descriptor)
    if record.version != container.VERSION:
        return f"its format is {record.version}, this version reads {container.VERSION}"
    if key_of(record.fields) != key:
        raise CacheError("it holds the entry of another key")
    if record.size <= _EAGER_BYTES:
        blobs = {blob.name: container.read_blob(descriptor, blob) for blob in record.blobs}
        return Entry(key, record.fields, blobs)
    for blob in record.blobs:
        container.check_blob(descriptor, blob)
    return Entry(key, record.fields, _Blobs(os.dup(descriptor), record.blobs))


def nearest_difference(fields: Mapping[str, Any], paths: Iterable[Path]) -> list[str] | None:
    """How the entry most like `fields` differs, one line a field; None if there is no entry."""
    wanted = _flat(fields)
    best: dict[str, Any] | None = None
    fewest: list[str] = []
    for path in paths:
        with contextlib.suppress(OSError, CacheError):
            found = _flat(_fields_of(path))
            names = sorted(wanted.keys() | found.keys())
            differing = [name for name in names if wanted.get(name) != found.get(name)]
            if best is None or len(differing) < len(fewest):
                best, fewest = found, differing
    if best is None:
        return None
    return [
        f"{shown(name)} is {shown(repr(wanted.get(name)), 40)}, "
        f"cached is {shown(repr(best.get(name)), 40)}"
        for name in fewest
    ]


def _fields_of(path: Path) -> Mapping[str, Any]:
    descriptor = open_entry(path)
    try:
        record = container.read_record(descriptor)
        if record.version != container.VERSION:
            raise CacheError("it is of another format")
        return record.fields
    finally:
        os.close(descriptor)


def _flat(fields: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in fields.items():
        if isinstance(value, Mapping):
            found.update(_flat(value, f"{prefix}{name}."))
        else:
            found[prefix + name] = list(value) if isinstance(value, tuple) else value
    return found
