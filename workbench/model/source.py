"""Where a model comes from, looked at before anything in it is read."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from workbench.errors import ModelError
from workbench.model.limits import Limits
from workbench.model.payload import Identity, identity_of
from workbench.model.sniff import HEAD_BYTES, kind_of
from workbench.text import shown


@dataclass(frozen=True, slots=True)
class Source:
    """A regular file of a size that can be read, or bytes in memory."""

    path: Path | None
    """The file as it was named, made absolute but with links kept: data files lie beside it."""
    data: bytes
    """The model's bytes where there is no file."""
    identity: Identity | None

    @property
    def label(self) -> str:
        """What messages call it."""
        return shown(self.path) if self.path else "the model given as bytes"

    def pieces(self, places: Iterable[tuple[int, int]]) -> Iterator[memoryview]:
        """The bytes at some places, given by offset and length.

        Those of a file are read one by one, so each begins where memory is aligned.

        Raises:
            ModelError: the file is not the one that was checked any more.
        """
        if self.path is None:
            data = memoryview(self.data)
            yield from (data[offset : offset + length] for offset, length in places)
            return
        try:
            with self.path.open("rb") as file:
                same = identity_of(os.fstat(file.fileno())) == self.identity
                for offset, length in places:
                    piece = bytearray(length)
                    file.seek(offset)
                    if not same or file.readinto(piece) != length:
                        raise ModelError(
                            f"{self.label}: the file changed while it was read; load it again"
                        )
                    yield memoryview(piece).toreadonly()
        except OSError as error:
            raise ModelError(f"{self.label}: {_reason(error)}; load it again") from error


def source_of(given: str | os.PathLike[str] | bytes, limits: Limits) -> Source:
    """The source, once it is known to be a file of sensible kind and size.

    Raises:
        ModelError: not there, no regular file, too large, empty, or a known other kind of file;
            the message says which and what to do. Nothing in it was parsed.
    """
    if isinstance(given, bytes | bytearray | memoryview):
        data = bytes(given)
        _check_head("the model given as bytes", data[:HEAD_BYTES], "", len(data), limits)
        return Source(None, data, None)
    text = os.fspath(given)
    label = shown(text)
    if not text or "\0" in text:
        raise ModelError(f"{label or 'the empty path'}: no path of a file; give the .onnx file")
    path = Path(text).expanduser().absolute()
    try:
        found = path.stat()
    except OSError as error:
        raise ModelError(f"{label}: {_reason(error)}; give the path of an .onnx file") from error
    except RuntimeError as error:
        raise ModelError(f"{label}: {shown(error)}; give the path of an .onnx file") from error
    _check_kind(label, found)
    try:
        head = _head(path)
    except OSError as error:
        raise ModelError(f"{label}: {_reason(error)}; make it readable") from error
    _check_head(label, head, path.suffix, found.st_size, limits)
    return Source(path, b"", identity_of(found))


def _head(path: Path) -> bytes:
    # Not blocking: between the look and the opening a pipe may have taken the file's place.
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        return os.read(handle, HEAD_BYTES)
    finally:
        os.close(handle)


def _check_kind(label: str, found: os.stat_result) -> None:
    kinds = {
        stat.S_IFDIR: "a folder; give the .onnx file in it",
        stat.S_IFIFO: "a named pipe; copy what comes out of it to a file first",
        stat.S_IFCHR: "a device; give a regular file",
        stat.S_IFBLK: "a device; give a regular file",
        stat.S_IFSOCK: "a socket; give a regular file",
    }
    if not stat.S_ISREG(found.st_mode):
        kind = kinds.get(stat.S_IFMT(found.st_mode), "no regular file")
        raise ModelError(f"{label}: this is {kind}")


def _check_head(label: str, head: bytes, suffix: str, size: int, limits: Limits) -> None:
    if size == 0:
        raise ModelError(f"{label}: not an ONNX model, the file is empty; fetch or export it again")
    if size > limits.file_bytes:
        raise ModelError(
            f"{label}: the file has {size} bytes, more than the {limits.file_bytes} that are read; "
            "models this large keep their weights in external data "
            "(onnx.save(model, path, save_as_external_data=True))"
        )
    other = kind_of(head, suffix)
    if other:
        kind, remedy = other
        raise ModelError(f"{label}: not an ONNX model but {kind}; {remedy}")


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
