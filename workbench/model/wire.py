"""The protobuf wire format of an ONNX file, walked without trusting it and without copying weights.

`skeleton_of` gives the model's bytes with every large tensor payload cut out and replaced by a
mark, and where in the file each payload lies. Parsing, checking and shape inference then work on
kilobytes where the file has gigabytes, and a damaged file is refused with the place of the damage.
Field numbers are those of onnx.proto3; standard library only.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

INLINE_BYTES = 4096
"""Payloads up to this size stay in the skeleton: shape inference wants to see shapes and axes."""

_DEPTH = 100
"""Nesting protobuf itself allows."""

_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5

_INTO = {
    "model": {7: "graph", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "function": {7: "node", 11: "attribute"},
}
"""Which fields of a message lead to tensors."""

_KNOWN = {
    "model": {1: _VARINT, 5: _VARINT} | dict.fromkeys((2, 3, 4, 6, 7, 8, 14, 20, 25, 26), _LENGTH),
    "graph": dict.fromkeys((1, 2, 5, 10, 11, 12, 13, 14, 15, 16), _LENGTH),
}
"""Every field these messages may have and its wire type; another one means damage, garbage behind
the end, or a message of something else."""

_RAW_DATA, _DATA_LOCATION, _EXTERNAL_DATA = 9, 14, 13
_VALUE_FIELDS = frozenset({4, 5, 6, 7, _RAW_DATA, 10, 11})


class WireError(ValueError):
    """Bytes that are no protobuf message; `at` is the offset in the file."""

    def __init__(self, at: int, what: str) -> None:
        super().__init__(f"unreadable at byte {at}: {what}")
        self.at = at


class Field(NamedTuple):
    """One field of a message: its number, wire type, and where its tag and its value lie."""

    number: int
    wire: int
    tag: int
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Cut:
    """A payload left out of the skeleton."""

    mark: str
    """What stands for it there: the `location` of an external-data entry, beginning with ``#``."""
    offset: int
    """First byte in the file."""
    length: int
    """Bytes."""


def varint(data: memoryview, at: int, end: int) -> tuple[int, int]:
    """A base-128 number and the offset behind it."""
    value = shift = 0
    start = at
    while at < end:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise WireError(start, "a number longer than 10 bytes")
    raise WireError(start, "the data ends inside a number; the file is cut off or damaged")


def fields(data: memoryview, at: int, end: int) -> Iterator[Field]:
    """The fields of the message that lies from `at` to `end`.

    Raises:
        WireError: they do not fill that range exactly, or a tag is impossible.
    """
    while at < end:
        tag = at
        key, at = varint(data, at, end)
        number, wire = key >> 3, key & 7
        if wire == _LENGTH:
            length, start = varint(data, at, end)
            at = start + length
        elif wire == _VARINT:
            start = at
            _, at = varint(data, at, end)
        elif wire in (_FIXED64, _FIXED32):
            start, at = at, at + (8 if wire == _FIXED64 else 4)
        else:
            raise WireError(tag, f"wire type {wire} does not exist in ONNX files")
        if not 0 < number < 1 << 29:
            raise WireError(tag, f"field number {number}")
        if at > end:
            raise WireError(
                tag,
                f"field {number} needs {at - end} bytes more than there are; "
                "the file is cut off or damaged",
            )
        yield Field(number, wire, tag, start, at)


def skeleton_of(data: memoryview, token: str) -> tuple[bytes, list[Cut]]:
    """The model with large payloads cut out, and where they are.

    Args:
        data: the whole file.
        token: what marks begin with after their ``#``; something the file cannot guess.

    Raises:
        WireError: the bytes are no ONNX model, cut off, damaged, or followed by garbage.
    """
    walk = _Walk(data, token)
    whole = walk.message("model", 0, len(data), 0)
    return (bytes(data) if whole is None else whole), walk.cuts


class _Walk:
    def __init__(self, data: memoryview, token: str) -> None:
        self.data = data
        self.token = token
        self.cuts: list[Cut] = []

    def message(self, kind: str, at: int, end: int, depth: int) -> bytes | None:
        """The message rewritten, or None where nothing in it was cut."""
        if depth > _DEPTH:
            raise WireError(at, f"messages nested deeper than {_DEPTH}")
        if kind == "tensor":
            return self.tensor(at, end)
        data, into, known = self.data, _INTO[kind], _KNOWN.get(kind)
        pieces: list[bytes | memoryview] = []
        kept, seen_graph = at, False
        for number, wire, tag, start, stop in fields(data, at, end):
            if known is not None and known.get(number) != wire:
                raise WireError(
                    tag, f"field {number}, which a {kind} has not; the file is damaged, has "
                    "something behind its end, or is no ONNX model"
                )  # fmt: skip
            if kind == "model" and number == 7:
                if seen_graph:
                    raise WireError(tag, "a second graph")
                seen_graph = True
            if number not in into or wire != _LENGTH:
                continue
            if stop - start <= INLINE_BYTES and into[number] != "graph":
                continue
            new = self.message(into[number], start, stop, depth + 1)
            if new is not None:
                pieces += [data[kept:tag], _tag(number, _LENGTH), _number(len(new)), new]
                kept = stop
        if not pieces:
            return None
        pieces.append(data[kept:end])
        return b"".join(pieces)

    def tensor(self, at: int, end: int) -> bytes | None:
        found = list(fields(self.data, at, end)) if self._few(at, end) else []
        raw = [field for field in found if field.number == _RAW_DATA and field.wire == _LENGTH]
        if len(raw) > 1:
            raise WireError(raw[1].tag, "a tensor with two payloads")
        if not raw or raw[0].stop - raw[0].start <= INLINE_BYTES:
            return None
        if any(field.number == _EXTERNAL_DATA for field in found) or any(
            field.number in _VALUE_FIELDS and field is not raw[0] and field.stop > field.start
            for field in found
        ):
            raise WireError(raw[0].tag, "a tensor with two payloads")
        mark = f"#{self.token}/{len(self.cuts)}"
        self.cuts.append(Cut(mark, raw[0].start, raw[0].stop - raw[0].start))
        entry = b"".join(_text(1, b"location") + _text(2, mark.encode()))
        kept = (
            self.data[f.tag : f.stop] for f in found if f.number not in (_RAW_DATA, _DATA_LOCATION)
        )
        location = [_tag(_DATA_LOCATION, _VARINT), b"\x01"]
        return b"".join([*kept, *_text(_EXTERNAL_DATA, entry), *location])

    def _few(self, at: int, end: int) -> bool:
        """Whether a tensor is worth walking: one with unpacked values has a field an element."""
        for count, field in enumerate(fields(self.data, at, end)):
            if field.number == _RAW_DATA and field.stop - field.start > INLINE_BYTES:
                return True
            if count > 10_000:
                return False
        return False


def _number(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _tag(number: int, wire: int) -> bytes:
    return _number(number << 3 | wire)


def _text(number: int, value: bytes) -> list[bytes]:
    return [_tag(number, _LENGTH), _number(len(value)), value]
