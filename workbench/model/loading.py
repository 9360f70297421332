"""From a file, bytes or a message in memory to a `Model`."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

import onnx

from workbench import scratch
from workbench.errors import ModelError
from workbench.model.child import call
from workbench.model.core import Model
from workbench.model.judge import Judged, checked, judged
from workbench.model.limits import Limits
from workbench.model.payload import Held, Payload
from workbench.model.source import Source, source_of
from workbench.model.wire import skeleton_of
from workbench.text import shown

if TYPE_CHECKING:
    import onnx_ir


_PIPE_BYTES = 1 << 20


def load(
    source: str | os.PathLike[str] | bytes,
    *,
    name: str | None = None,
    limits: Limits = Limits(),
    check: bool = True,
) -> Model:
    """The model of an ONNX file, checked, with nodes named uniquely and shapes inferred.

    The file is read and checked in a child process with limits on time and memory, so a hostile
    or damaged file costs an error and nothing else. It is never changed. External data stays in
    its files and is mapped when it is needed; each must lie in the model's own folder.

    Args:
        source: path of an ``.onnx`` file, or the bytes of one (then without external data).
        name: what to call the model; the file's stem if left out.
        limits: budgets.
        check: False reads in this process and leaves out ONNX's checker and the look through the
            weights: faster, for files of your own making only.

    Raises:
        ModelError: the file cannot be read, is no ONNX model (the message says what it is), is
            damaged, or says something impossible; it names the file and the object in it.

    Example:
        >>> model = load("resnet50.onnx")  # doctest: +SKIP
        >>> len(model.graph.nodes)  # doctest: +SKIP
        122
    """
    found = source_of(source, limits)
    try:
        verdict = _judged(found, limits) if check else judged(*_given(found), limits, False)
    except ModelError as error:
        raise ModelError(f"{found.label}: {error}") from None
    if name is None:
        name = found.path.stem if found.path else "model"
    proto = onnx.ModelProto.FromString(verdict.skeleton)
    return Model(
        proto, _store(found, verdict), path=found.path, name=name,
        warnings=verdict.warnings, guarded=check,
    )  # fmt: skip


def _given(source: Source) -> tuple[str | bytes, Path | None]:
    return (str(source.path), source.path.parent) if source.path else (source.data, None)


def _judged(source: Source, limits: Limits) -> Judged:
    """The child's verdict. Many bytes reach it through a file: pipes are slow."""
    if source.path or len(source.data) < _PIPE_BYTES:
        return call(judged, *_given(source), limits, limits=limits)
    try:
        with scratch.folder("load") as folder:
            file = folder / "model.onnx"
            file.write_bytes(source.data)
            return call(judged, str(file), None, limits, limits=limits)
    except OSError:  # no room for it there
        return call(judged, source.data, None, limits, limits=limits)


def _store(source: Source, verdict: Judged) -> dict[str, Payload]:
    store: dict[str, Payload] = dict(verdict.files)
    store.update((mark, Held(memoryview(data))) for mark, data in verdict.held.items())
    pieces = source.pieces((cut.offset, cut.length) for cut in verdict.cuts)
    store.update((cut.mark, Held(piece)) for cut, piece in zip(verdict.cuts, pieces, strict=True))
    return store


def from_proto(
    proto: onnx.ModelProto | onnx_ir.Model,
    *,
    name: str | None = None,
    folder: str | os.PathLike[str] | None = None,
    limits: Limits = Limits(),
) -> Model:
    """The model of a message made in this process; it is copied, so the caller may go on with it.

    It gets the same checks of structure as a file, but in this process and without ONNX's checker:
    what makes models in memory is trusted.

    Args:
        proto: an `onnx.ModelProto`, or an `onnx_ir.Model`.
        name: what to call it; the graph's name if left out.
        folder: where its external data lies, if it has any.
        limits: budgets.

    Raises:
        ModelError: it says something impossible; the message names the object.
    """
    if not isinstance(proto, onnx.ModelProto):
        from workbench.model.bridge import from_ir

        skeleton, store = from_ir(proto)
    else:
        skeleton, store = _lifted(proto)
    label = name if name is not None else skeleton.graph.name or "model"
    skeleton, warnings = checked(skeleton, store, Path(folder) if folder else None, limits, False)
    return Model(skeleton, store, name=label, warnings=warnings)


def _lifted(proto: onnx.ModelProto) -> tuple[onnx.ModelProto, dict[str, Payload]]:
    """The message without its large payloads, and a store that has them."""
    try:
        data = memoryview(proto.SerializeToString())
    except Exception as error:
        raise ModelError(
            f"the message cannot be written ({shown(error)}); one larger than 2 GiB has to keep "
            "its weights in external data, or come as an onnx_ir.Model"
        ) from error
    skeleton, cuts = skeleton_of(data, secrets.token_hex(8))
    store: dict[str, Payload] = {
        cut.mark: Held(data[cut.offset : cut.offset + cut.length]) for cut in cuts
    }
    return onnx.ModelProto.FromString(skeleton), store
