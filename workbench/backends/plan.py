"""The file format of plans: what an engine needs to run again, sealed by a checksum.

A backend's own blob is not enough: OpenVINO's takes flipped weights without a word and forgets the
precision it was compiled for. So every plan is magic, format version, lengths, SHA-256 over all
the rest, a JSON record and blobs. No library sees any of a plan before `unpack` has checked it.

Layout, little-endian: magic (8 bytes), format version (u32), length of the record (u64), length of
the whole plan (u64), SHA-256 (32 bytes) over all bytes but itself, record (JSON), blobs.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping
from typing import Any

from workbench.errors import BackendError
from workbench.text import shown

MAGIC = b"\x89WBPLAN\n"
FORMAT = 1
_HEAD = struct.Struct("<8sIQQ")
_DIGEST = 32
_AGAIN = "build the engine again"


def pack(backend: str, record: Mapping[str, Any], blobs: Mapping[str, bytes | memoryview]) -> bytes:
    """A plan of `backend`: a record of JSON values and named blobs."""
    sizes = [[name, len(blob)] for name, blob in blobs.items()]
    header = json.dumps(
        {"backend": backend, "record": dict(record), "blobs": sizes}, sort_keys=True
    ).encode()
    total = _HEAD.size + _DIGEST + len(header) + sum(size for _, size in sizes)
    head = _HEAD.pack(MAGIC, FORMAT, len(header), total)
    digest = hashlib.sha256(head)
    digest.update(header)
    for blob in blobs.values():
        digest.update(blob)
    return b"".join([head, digest.digest(), header, *blobs.values()])


def unpack(plan: bytes, backend: str) -> tuple[dict[str, Any], dict[str, memoryview]]:
    """The record and the blobs (views of `plan`) of a plan that `backend` made.

    Raises:
        BackendError: not a plan, of another format or backend, or damaged.
    """

    def refuse(what: str, then: str = _AGAIN) -> BackendError:
        return BackendError(f"{what}; {then}", backend=backend)

    view = memoryview(plan)
    if len(view) < _HEAD.size + _DIGEST or view[:8] != MAGIC:
        raise refuse("this is not a plan of the workbench", "give what Engine.serialize() returned")
    _, version, header_size, total = _HEAD.unpack(view[: _HEAD.size])
    if version != FORMAT:
        raise refuse(f"the plan has format version {version}; this workbench reads {FORMAT}")
    if total != len(view):
        raise refuse(f"the plan is damaged: it should have {total} bytes and has {len(view)}")
    start = _HEAD.size + _DIGEST
    digest = hashlib.sha256(view[: _HEAD.size])
    digest.update(view[start:])
    if digest.digest() != view[_HEAD.size : start]:
        raise refuse("the plan is damaged: its checksum does not match its content")
    header = json.loads(bytes(view[start : start + header_size]))
    if header["backend"] != backend:
        owner = shown(header["backend"])
        raise refuse(f"the plan was made by backend {owner}", f"load it with backend {owner}")
    blobs, at = {}, start + header_size
    for name, size in header["blobs"]:
        blobs[name] = view[at : at + size]
        at += size
    return header["record"], blobs


def refuse_other(record: Mapping[str, Any], here: Mapping[str, str], backend: str) -> None:
    """Refuse a plan whose record differs from `here` in one of its fields.

    Raises:
        BackendError: lists each field that differs, as it is in the plan and as it is here.
    """
    different = [
        f"{field}: plan has {shown(record.get(field))}, here is {shown(value)}"
        for field, value in here.items()
        if record.get(field) != value
    ]
    if different:
        raise BackendError(
            f"the plan was built for something else ({'; '.join(different)}); {_AGAIN} here",
            backend=backend,
        )
