"""TensorRT's calibration cache, and the one of Paddle2ONNX, which is the same but for its head.

Text: a head line, then ``tensor: hex``, where hex is the tensor's scale (amax / 127) as a
big-endian float32. Tensor names may hold colons and spaces, so a line is split at its last colon.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from typing import Any

from workbench.errors import DataError
from workbench.ranges import LEVELS, CalibrationTable, Range
from workbench.text import shown

_HEAD = re.compile(r"TRT-(?P<version>[0-9]+|[0-9]+X+)-(?P<kind>[A-Za-z0-9]+) ?")
_LEGACY = re.compile(r"[0-9]+ [0-9a-f]{1,16} [0-9a-f]{1,16}")
_KINDS = {
    "EntropyCalibration2": "entropy",
    "EntropyCalibration": "entropy",
    "MinMaxCalibration": "minmax",
    "LegacyCalibration": "percentile",
}
_DIGITS = 8
PADDLE_VERSION = "8XXX"


def is_cache(head: str) -> bool:
    """Whether a file's first line is that of a calibration cache."""
    line = head.rstrip("\r")
    return bool(_HEAD.fullmatch(line) or _LEGACY.fullmatch(line))


def read(text: str, where: str, *, leave_out: bool = False) -> CalibrationTable:
    """The table of a calibration cache; its digests are empty, the file has none.

    Args:
        text: of the whole file.
        where: the file, safe to print.
        leave_out: skip scales that are zero, negative or no number, which TensorRT writes for
            tensors that it did not see, instead of refusing the file.

    Raises:
        DataError: anything is wrong; names file and line, and nothing of the file is used.
    """
    lines = text.split("\n")
    details = _head(lines[0], where)
    ranges: dict[str, Range] = {}
    seen: dict[str, int] = {}
    for number, line, cut in _entries(lines, where):
        tensor, scale = _entry(line, f"{where}, line {number}", cut)
        if tensor in seen:
            raise DataError(
                f"{where}, line {number}: tensor {shown(tensor)} is in line {seen[tensor]} too; "
                "keep the right one of the two"
            )
        seen[tensor] = number
        try:
            ranges[tensor] = _range(tensor, scale, f"{where}, line {number}")
        except DataError:
            if not leave_out:
                raise
    if not ranges:
        raise DataError(f"{where} holds no tensor; the file was cut, or nothing was calibrated")
    return CalibrationTable(_KINDS.get(details["kind"], "unknown"), ranges, details=details)


def _head(line: str, where: str) -> dict[str, Any]:
    if line.endswith("\r"):
        raise DataError(
            f"{where}, line 1: ends in CR LF, TensorRT ends lines in LF; the file was changed on "
            "its way: copy it again as binary, or convert it"
        )
    if found := _HEAD.fullmatch(line):
        return {"format": "tensorrt", "version": found["version"], "kind": found["kind"]}
    if _LEGACY.fullmatch(line):
        return {"format": "tensorrt", "version": "", "kind": "LegacyCalibration"}
    raise DataError(
        f"{where}, line 1: {shown(line, 60)} is no head of a calibration cache; it should look "
        "like TRT-8601-EntropyCalibration2"
    )


def _entries(lines: list[str], where: str) -> Iterator[tuple[int, str, bool]]:
    """Number and text of each line with an entry, and whether the file ends within it."""
    last = len(lines)
    for number, line in enumerate(lines[1:], start=2):
        if line.endswith("\r"):
            raise DataError(
                f"{where}, line {number}: ends in CR LF; copy the file again as binary, or convert "
                "it"
            )
        if not line and number == last:
            return
        if not line:
            raise DataError(f"{where}, line {number}: is empty; take it out")
        yield number, line, number == last


def _entry(line: str, where: str, cut: bool) -> tuple[str, float]:
    tensor, colon, digits = line.rpartition(": ")
    if not colon or not tensor:
        raise DataError(
            f"{where}: {shown(line, 60)} is no `tensor: scale`; "
            + ("the file is cut: write it again" if cut else "take the line out")
        )
    if not re.fullmatch(r"[0-9a-fA-F]{1,8}", digits):
        raise DataError(
            f"{where}: scale {shown(digits, 40) or 'missing'} of tensor {shown(tensor)} is no "
            "number of up to 8 hexadecimal digits; calibrate again"
        )
    if cut and len(digits) < _DIGITS:
        raise DataError(
            f"{where}: the file ends within the scale of tensor {shown(tensor)}; it is cut: write "
            "it again"
        )
    # Leading zeros are left out by some writers.
    return tensor, struct.unpack(">f", bytes.fromhex(digits.zfill(_DIGITS)))[0]


def _range(tensor: str, scale: float, where: str) -> Range:
    try:
        if not scale > 0:
            raise DataError("a scale must be above 0")
        return Range.symmetric(scale * LEVELS)
    except DataError as error:
        raise DataError(
            f"{where}: tensor {shown(tensor)} has scale {scale:g} ({error}); calibrate it again, "
            "or leave such tensors out (leave_out=True), which keeps them in floating point"
        ) from error


def write(table: CalibrationTable, version: str, paddle: bool) -> str:
    """The text of a cache.

    Args:
        table: its ranges are written as scales, ``amax / 127``.
        version: of TensorRT as its head has it: 8601 is 8.6.1, 101601 is 10.16.1.
        paddle: as Paddle2ONNX writes it: its head, and tensors in reverse order of their names.

    Raises:
        DataError: a name that cannot be in such a file, or a scale too large for float32.
        ValueError: no version.
    """
    kind = "MinMaxCalibration" if table.method == "minmax" else "EntropyCalibration2"
    # Paddle2ONNX knows one kind, and ends the line in a blank (its GenerateCache).
    head = f"TRT-{PADDLE_VERSION}-EntropyCalibration2 " if paddle else f"TRT-{version}-{kind}"
    if not _HEAD.fullmatch(head):
        raise ValueError(f"version is {shown(version)}; must be digits such as 8601 or 101601")
    names = sorted(table.ranges, reverse=True) if paddle else list(table.ranges)
    lines = [f"{_writable(name)}: {_hex(table.ranges[name].scale)}" for name in names]
    return "\n".join([head, *lines, ""])


def _writable(name: str) -> str:
    if "\n" in name or "\r" in name:
        raise DataError(
            f"tensor {shown(name)} has a line break in its name, which a calibration cache cannot "
            "hold; rename the tensor, or save the table as JSON"
        )
    return name


def _hex(scale: float) -> str:
    return struct.pack(">f", scale).hex()
