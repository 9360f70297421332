"""Whose plans these are: a signature with a key that only this user can read.

A plan is code of a kind: TensorRT does not defend itself against one made to harm. So a plan says
by a signature (HMAC-SHA256) that it was written here, by this user, and has not changed since.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import secrets
import stat
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from workbench.cache import CacheWarning, container, default_folder
from workbench.errors import BackendError
from workbench.text import shown

_FILE = "plan.key"
_BYTES = 32


def signature(record: Mapping[str, Any], plan: bytes | memoryview) -> str:
    """The signature of a plan with its record, in hexadecimal."""
    content = container.canonical(dict(record)) + hashlib.sha256(plan).digest()
    return hmac.new(_key(str(default_folder())), content, hashlib.sha256).hexdigest()


def refuse_foreign(signed: object, record: Mapping[str, Any], plan: bytes | memoryview) -> None:
    """Refuse a plan that this user did not write, or that was edited since.

    Raises:
        BackendError: always says how to load a plan of somebody who is trusted.
    """
    if isinstance(signed, str) and hmac.compare_digest(
        signed.encode(), signature(record, plan).encode()
    ):
        return
    what = "has no signature" if not signed else "is not signed with your key"
    raise BackendError(
        f"the plan {what}: somebody else wrote it, or it was edited. A plan can run code; build "
        "the engine again, or give trust=True if you trust where it comes from",
        backend="tensorrt",
    )


@cache
def _key(folder: str) -> bytes:
    """The key of this user: of the cache folder, or where that cannot be had, of the system's."""
    reasons = []
    for place in _places(Path(folder)):
        try:
            return _kept(place)
        except OSError as error:
            reasons.append(f"{shown(place)}: {error.strerror or shown(error)}")
    warnings.warn(
        f"no place for the key of your TensorRT plans ({'; '.join(reasons)}); plans made now can "
        "be loaded by this process alone. Set WORKBENCH_CACHE to a folder of your own",
        CacheWarning,
        stacklevel=2,
    )
    return secrets.token_bytes(_BYTES)


def _places(folder: Path) -> Iterator[Path]:
    yield folder
    user = os.getuid() if hasattr(os, "getuid") else "user"
    yield Path(tempfile.gettempdir()) / f"workbench-{user}"


def _kept(folder: Path) -> bytes:
    """The key in a folder, made if there is none.

    Raises:
        OSError: it cannot be read or made, or others could read or change it.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / _FILE
    with contextlib.suppress(FileExistsError):
        return _made(path)
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
    with os.fdopen(handle, "rb") as file:
        found = os.fstat(file.fileno())
        if hasattr(os, "getuid") and found.st_uid != os.getuid():
            raise PermissionError(1, f"{_FILE} belongs to another user")
        if stat.S_IMODE(found.st_mode) & 0o077 and os.name == "posix":
            raise PermissionError(1, f"{_FILE} can be read by others; delete it")
        key = file.read(_BYTES + 1)
    if len(key) != _BYTES:
        raise OSError(5, f"{_FILE} is damaged; delete it")
    return key


def _made(path: Path) -> bytes:
    """A new key, there with all its bytes or not at all.

    Raises:
        FileExistsError: another process was faster, or there is one.
    """
    if path.exists():
        raise FileExistsError(17, "there is a key", str(path))
    key = secrets.token_bytes(_BYTES)
    handle, name = tempfile.mkstemp(prefix=".key.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(key)
        os.link(name, path)
    finally:
        Path(name).unlink(missing_ok=True)
    return key
