"""Writing a model: the file appears whole or not at all, and nobody's data file is written over."""

from __future__ import annotations

import contextlib
import filecmp
import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator
from io import FileIO
from pathlib import Path
from typing import IO

import onnx

from workbench.errors import ModelError
from workbench.model.core import TWO_GIB, Model
from workbench.model.payload import mark_of, tensors_in
from workbench.text import shown

_ALIGN = 4096
_CHUNK = 1 << 24


def save(model: Model, path: Path, external_data: bool | None) -> Path:
    """See `Model.save`."""
    path = path.expanduser().absolute()
    if path.is_dir() or not path.parent.is_dir():
        what = "is a folder; give a file name" if path.is_dir() else "lies in no folder; make it"
        raise ModelError(f"cannot save to {shown(path)}: it {what} first")
    if external_data is None:
        external_data = model.weight_bytes + model._proto.ByteSize() > TWO_GIB
    try:
        proto = _outside(model, path) if external_data else model.to_proto()
        with _appearing(path, replace=True) as file:
            file.write(proto.SerializeToString())
    except OSError as error:
        raise ModelError(
            f"cannot save to {shown(path)}: {(error.strerror or str(error)).lower()}; "
            "nothing was left behind"
        ) from error
    return path


def _outside(model: Model, path: Path) -> onnx.ModelProto:
    """The model with its large payloads written to a data file beside `path`.

    The data file is named after its content, so that models in one folder never write over one
    another's and equal weights are stored once.
    """
    proto = onnx.ModelProto()
    proto.CopyFrom(model._proto)
    tensors = [tensor for tensor in tensors_in(proto) if mark_of(tensor) is not None]
    if not tensors:
        return proto
    places, digest = _layout(model, tensors)
    data = path.with_name(f"{path.stem}.{digest[:16]}.data")
    with _appearing(data, replace=False) as file:
        for mark, (offset, _) in places.items():
            file.seek(offset)
            view = model._store[mark].view()
            for at in range(0, len(view), _CHUNK):
                file.write(view[at : at + _CHUNK])
    for tensor in tensors:
        _point(tensor, data.name, *places[mark_of(tensor) or ""])
    return proto


def _point(tensor: onnx.TensorProto, file: str, offset: int, length: int) -> None:
    tensor.ClearField("external_data")
    for key, value in (("location", file), ("offset", offset), ("length", length)):
        tensor.external_data.add(key=key, value=str(value))


def write_apart(model: Model, path: Path, check: Callable[[], None]) -> None:
    """Write a model with its large weights in a file beside it, for a reader in the same moment.

    Unlike `Model.save` it need not survive a power cut, and it can be stopped on the way.

    Args:
        model: of any size.
        path: where to, in a folder of its own.
        check: called every 16 MB; what it raises comes through.

    Raises:
        OSError: the disk refuses.
    """
    proto = onnx.ModelProto()
    proto.CopyFrom(model._proto)
    places: dict[str, tuple[int, int]] = {}
    data = path.with_name(f"{path.stem}.data")
    with open(data, "xb", buffering=0) as file:
        for tensor in tensors_in(proto):
            mark = mark_of(tensor)
            if mark is not None:
                if mark not in places:
                    places[mark] = _appended(file, model._store[mark].view(), check)
                _point(tensor, data.name, *places[mark])
    check()
    path.write_bytes(proto.SerializeToString())


def _appended(file: FileIO, view: memoryview, check: Callable[[], None]) -> tuple[int, int]:
    """Offset and length of a payload put at the end of a file."""
    offset = file.seek(-(-file.tell() // _ALIGN) * _ALIGN)
    at = 0
    while at < len(view):
        check()
        at += file.write(view[at : at + _CHUNK])
    return offset, len(view)


def _layout(
    model: Model, tensors: list[onnx.TensorProto]
) -> tuple[dict[str, tuple[int, int]], str]:
    """Offset and length of each payload in the data file, and the hash of its content."""
    places: dict[str, tuple[int, int]] = {}
    state = hashlib.sha256()
    end = 0
    for tensor in tensors:
        mark = mark_of(tensor) or ""
        if mark in places:
            continue
        view = model._store[mark].view()
        offset = -(-end // _ALIGN) * _ALIGN
        places[mark] = offset, len(view)
        end = offset + len(view)
        state.update(f"{offset}:{len(view)}:".encode())
        for at in range(0, len(view), _CHUNK):
            state.update(view[at : at + _CHUNK])
    return places, state.hexdigest()


@contextlib.contextmanager
def _appearing(path: Path, *, replace: bool) -> Iterator[IO[bytes]]:
    """A file to write to that takes its name only when it is complete.

    Raises:
        ModelError: without `replace`, another file of that name with other content is there.
    """
    handle, name = tempfile.mkstemp(prefix=f".{path.name[:80]}.", suffix=".part", dir=path.parent)
    part = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        mask = os.umask(0)
        os.umask(mask)
        part.chmod(0o666 & ~mask)
        if replace or not os.path.lexists(path):
            part.replace(path)
        elif path.is_symlink() or not path.is_file() or not filecmp.cmp(part, path, shallow=False):
            raise ModelError(
                f"{shown(path)} is there already with other content; move it away or save the "
                "model under another name"
            )
    finally:
        part.unlink(missing_ok=True)
