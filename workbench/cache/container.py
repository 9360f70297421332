"""One file that holds a record and named blobs and notices any change to either.

Layout: 8 bytes of magic, the format version, the length of the record, a SHA-256 over all of that
and the record; then the record (JSON: fields, and name, size and SHA-256 sums of each blob), then
the blobs. The first 48 bytes mean the same in every version, so that a newer file is told from a
damaged one. What the blobs are, this module does not know.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from workbench.errors import CacheError
from workbench.text import shown

MAGIC = b"\x89WBKEPT\n"
VERSION = 1

_PREFIX = struct.Struct("<8sII")
_DIGEST_BYTES = 32
_START = _PREFIX.size + _DIGEST_BYTES
_CHUNK = 1 << 20
_SECTION = 8 << 20
_THREADS = 4

Buffer = bytes | bytearray | memoryview


@dataclass(frozen=True, slots=True)
class BlobRecord:
    """Where a blob lies in its container, and its checksum."""

    name: str
    offset: int
    """Bytes from the start of the container."""
    size: int
    sha256: tuple[str, ...]
    """One for each section of 8 MiB, so that several cores can check them."""


@dataclass(frozen=True, slots=True)
class Record:
    """The checked beginning of a container; the blobs are not read yet."""

    version: int
    fields: Mapping[str, Any]
    blobs: tuple[BlobRecord, ...]
    size: int
    """Bytes of the whole container."""


def canonical(value: object) -> bytes:
    """JSON of a plain value that is the same for equal values on every machine and locale.

    Raises:
        TypeError: a value that JSON cannot hold, or a key that is no string.
        ValueError: NaN or an infinity.
    """
    _check_keys(value)
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False
    ).encode()


def _check_keys(value: object) -> None:
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise TypeError(f"key {shown(repr(key))} is no string; JSON would confuse it")
            _check_keys(item)
    elif isinstance(value, list | tuple):
        for item in value:
            _check_keys(item)


def pack(fields: Mapping[str, Any], blobs: Mapping[str, Buffer]) -> Iterator[Buffer]:
    """The bytes of a container, piece by piece, blobs not copied."""
    table = [
        {"name": name, "size": len(data), "sha256": _sums(data)} for name, data in blobs.items()
    ]
    record = canonical({"fields": dict(fields), "blobs": table})
    prefix = _PREFIX.pack(MAGIC, VERSION, len(record))
    yield prefix + hashlib.sha256(prefix + record).digest() + record
    yield from blobs.values()


def read_record(descriptor: int) -> Record:
    """The record of an open container, checked; the sizes are compared with the file's.

    Raises:
        CacheError: empty, cut, longer than it says, no container, or changed.
    """
    size = os.fstat(descriptor).st_size
    start = os.pread(descriptor, _START, 0)
    if len(start) < _START:
        raise CacheError(f"it has {size} bytes and a header needs {_START}")
    magic, version, length = _PREFIX.unpack_from(start)
    if magic != MAGIC:
        raise CacheError(f"it starts with {start[:8]!r}, not with {MAGIC!r}")
    if _START + length > size:
        raise CacheError(f"it has {size} bytes and its record alone ends at {_START + length}")
    text = os.pread(descriptor, length, _START)
    if hashlib.sha256(start[: _PREFIX.size] + text).digest() != start[_PREFIX.size :]:
        raise CacheError("its record does not match the checksum")
    if version != VERSION:
        return Record(version, {}, (), size)
    try:
        record = json.loads(text)
    except ValueError as error:
        raise CacheError("its record is none of ours") from error
    return _parsed(record, _START + length, size)


def _parsed(record: Any, offset: int, size: int) -> Record:
    blobs = []
    try:
        for item in record["blobs"]:
            length = int(item["size"])
            if length < 0:
                raise ValueError(f"a blob of {length} bytes")
            blobs.append(BlobRecord(item["name"], offset, length, tuple(item["sha256"])))
            offset += length
        fields = dict(record["fields"])
    except (KeyError, TypeError, ValueError) as error:
        raise CacheError("its record is none of ours") from error
    if offset != size:
        raise CacheError(f"it has {size} bytes and its record says {offset}")
    return Record(VERSION, fields, tuple(blobs), size)


def check_blob(descriptor: int, blob: BlobRecord) -> None:
    """Compare a blob with its checksums, in small pieces.

    Raises:
        CacheError: the blob was changed or cut.
    """
    sums = _each(blob.size, lambda at, size: _sum_in_file(descriptor, blob.offset + at, size))
    _compare(blob, sums)


def read_blob(descriptor: int, blob: BlobRecord) -> bytes:
    """The bytes of a blob, checked.

    Raises:
        CacheError: the blob was changed or cut.
    """
    pieces, at = [], blob.offset
    while at < blob.offset + blob.size:
        # One call moves at most 2 GiB on Linux.
        piece = os.pread(descriptor, blob.offset + blob.size - at, at)
        if not piece:
            break
        pieces.append(piece)
        at += len(piece)
    data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
    _compare(blob, _sums(data))
    return data


def _sums(data: Buffer) -> list[str]:
    view = memoryview(data)
    return _each(len(view), lambda at, size: hashlib.sha256(view[at : at + size]).hexdigest())


def _each(size: int, work: Callable[[int, int], str]) -> list[str]:
    """`work` on start and length of each section, on several threads: hashing lets them run."""
    sections = [(at, min(_SECTION, size - at)) for at in range(0, size, _SECTION)]
    if len(sections) < 2:
        return [work(at, length) for at, length in sections]
    with ThreadPoolExecutor(min(_THREADS, os.cpu_count() or 1)) as pool:
        return list(pool.map(lambda section: work(*section), sections))


def _sum_in_file(descriptor: int, start: int, size: int) -> str:
    # Reading into one small buffer that stays in the processor's cache costs 6 % over the hash
    # alone; a buffer of the blob's size costs 90 %, all of it page faults.
    buffer = memoryview(bytearray(min(_CHUNK, size)))
    digest = hashlib.sha256()
    at, end = start, start + size
    while at < end:
        read = os.preadv(descriptor, [buffer[: min(len(buffer), end - at)]], at)
        if read == 0:
            break
        digest.update(buffer[:read])
        at += read
    return digest.hexdigest()


def _compare(blob: BlobRecord, sums: list[str]) -> None:
    if tuple(sums) != blob.sha256:
        raise CacheError(f"its blob {shown(blob.name)} does not match the checksum")
