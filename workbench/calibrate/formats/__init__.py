"""Calibration tables in the files of others: TensorRT, Paddle2ONNX, ONNX Runtime.

A file is used whole or not at all: anything wrong in it is an error with file and line. TensorRT's
format has no room for what a table is bound to, so `write` puts a note beside the file,
``NAME.bound.json``, and `read` believes it while the file's checksum is the noted one.
"""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from pathlib import Path
from typing import Literal

from workbench.calibrate.checking import check
from workbench.calibrate.formats import lines, ort
from workbench.calibrate.formats.ort import ZERO
from workbench.calibrate.formats.qdq import from_quantized
from workbench.calibrate.formats.signs import signed
from workbench.errors import DataError
from workbench.model import Model
from workbench.ranges import FORMAT, CalibrationTable
from workbench.text import shown

__all__ = ["FORMS", "Form", "from_quantized", "note_of", "read", "write"]

Form = Literal["tensorrt", "paddle", "onnxruntime", "workbench"]

FORMS: tuple[Form, ...] = ("tensorrt", "paddle", "onnxruntime", "workbench")

_LARGEST = 1 << 28


def read(
    path: str | os.PathLike[str], *, model: Model | None = None, leave_out: bool = False
) -> CalibrationTable:
    """The table of a file of any of the forms, told apart by its content.

    Args:
        path: the file.
        model: the network it should be for; then a table of another network, and one with tensors
            that the network has not, is refused. It also tells which ranges begin at 0, which
            TensorRT's file does not.
        leave_out: skip entries that no scale can be made of (zero, negative, no number) instead of
            refusing the file, and with `model` also those of tensors that it has not.

    Raises:
        DataError: the file cannot be read, is none of these, is damaged, or is of another network;
            names file and line or tensor.
    """
    file = Path(path)
    where = shown(file)
    text = _text(file, where)
    table = _table(text, where, file, leave_out)
    table = _bound(table, file, text)
    if model is None:
        return table
    if leave_out:
        known = {*model.graph.producer, *(spec.name for spec in model.graph.inputs)}
        table = table.but({name: None for name in table.ranges if name not in known})
    try:
        check(table, model)
    except DataError as error:
        raise DataError(f"{where}: {error}") from error
    return signed(table, model) if table.details.get("format") == "tensorrt" else table


def _text(file: Path, where: str) -> str:
    try:
        if not file.is_file():
            raise DataError(f"{where}: there is no such file; check the path")
        if file.stat().st_size > _LARGEST:
            raise DataError(f"{where}: is larger than any calibration table; check the path")
        return file.read_bytes().decode("utf-8")
    except OSError as error:
        raise DataError(
            f"{where}: cannot be read ({shown(error.strerror)}); check the path"
        ) from error
    except UnicodeDecodeError as error:
        raise DataError(
            f"{where}: is no text (byte {error.start}); it is no calibration table, or damaged"
        ) from error


def _table(text: str, where: str, file: Path, leave_out: bool) -> CalibrationTable:
    if not text:
        raise DataError(f"{where}, line 1: the file is empty; calibrate again")
    if text.lstrip()[:1] != "{":
        return lines.read(text, where, leave_out=leave_out)
    fields = ort.parsed(text, where)
    if ort.is_ranges(fields):
        return ort.read(fields, where, leave_out=leave_out)
    if isinstance(fields, dict) and fields.get("format") == FORMAT:
        return CalibrationTable.from_json(text, source=str(file))
    raise DataError(
        f"{where}: is JSON, but no calibration table of ONNX Runtime or the workbench; check the "
        "path"
    )


def write(
    table: CalibrationTable,
    path: str | os.PathLike[str],
    form: Form = "tensorrt",
    *,
    version: str = "8601",
) -> Path:
    """Write a table to a file, whole or not at all.

    Args:
        table: what to write. TensorRT's and Paddle's files keep the larger end of a range only.
        path: the file; replaced if it is there.
        form: ``tensorrt`` (calibration cache), ``paddle`` (the same as Paddle2ONNX writes it),
            ``onnxruntime`` (JSON of `save_tensors_data`), ``workbench`` (everything).
        version: of TensorRT for ``tensorrt``, as its cache has it: 8601 for 8.6.1, 101601 for
            10.16.1.

    Raises:
        DataError: the file cannot be written, or cannot hold a tensor's name.
        ValueError: no such form.
    """
    if form not in FORMS:
        raise ValueError(f"form is {shown(form)}; must be one of {', '.join(FORMS)}")
    file = Path(path)
    if form == "workbench":
        return _replaced(file, table.to_json())
    if form == "onnxruntime":
        return _replaced(file, ort.write(table))
    text = lines.write(table, version, form == "paddle")
    _replaced(file, text)
    note = {
        "sha256": _sum(text),
        ZERO: list(table.details.get(ZERO, ())),
        **{key: getattr(table, key) for key in ort.BOUND},
    }
    _replaced(note_of(file), json.dumps(note, indent=1) + "\n")
    return file


def note_of(file: Path) -> Path:
    """Where the note that says what a calibration cache is bound to lies."""
    return file.with_name(f"{file.name}.bound.json")


def _bound(table: CalibrationTable, file: Path, text: str) -> CalibrationTable:
    """The table with the digests of the note beside its file, if there is one that is right."""
    note = note_of(file)
    if table.details.get("format") != "tensorrt" or not note.is_file():
        return table
    said = ort.parsed(_text(note, shown(note)), shown(note))
    if not isinstance(said, dict) or said.get("sha256") != _sum(text):
        warnings.warn(
            f"{shown(note)} is not about {shown(file.name)} as it is now: the table was changed "
            "after it was written, and is taken as one of unknown origin",
            RuntimeWarning,
            stacklevel=3,
        )
        return table
    return ort.bound(table, said, shown(note))


def _sum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _replaced(file: Path, text: str) -> Path:
    half = file.with_name(f"{file.name}.{os.getpid()}.part")
    try:
        half.write_bytes(text.encode())
        half.replace(file)
    except OSError as error:
        raise DataError(
            f"{shown(file)}: cannot be written ({shown(error.strerror)}); choose another place"
        ) from error
    finally:
        half.unlink(missing_ok=True)
    return file
