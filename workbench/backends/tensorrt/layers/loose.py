r"""JSON as TensorRT and trtexec really write it.

Both print names into JSON without escaping: raw control characters (U+001E in metadata), quotes,
backslashes; trtexec also prints ``-nan``. Files come with byte order marks, from shells that write
UTF-16, and with several engines one after the other. `documents` reads all of that and refuses
the rest with the place of the fault.
"""

from __future__ import annotations

import json
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from workbench.errors import ModelError
from workbench.text import shown

LARGEST = 256 << 20
"""Bytes above which a file is refused: the inspector's JSON of a 100,000-layer engine is below."""

_MARKS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
_BINARY = re.compile(rb"[\0-\x08]")
_SPACE = re.compile(r"[\s,]*")
_AFTER = re.compile(r"\s*(?:$|[:}\]]|,\s*(?:$|[\"{\[\d\-tfn]))")
_LINE_END = re.compile(r"\s*,?[ \t]*\r?\n")
_BACKSLASH = re.compile(r"\\(?![\"\\/bfnrt]|u[0-9a-fA-F]{4})")
_NOT_A_NUMBER = re.compile(
    r"(?<=[:\[,])(\s*)[+-]?(?:nan(?:\(\w*\))?|inf(?:inity)?)(?=\s*[,}\]])", re.I
)


def text_of(path: Path) -> tuple[str, tuple[str, ...]]:
    """A file's text and what had to be mended to decode it.

    Raises:
        ModelError: not a regular file, empty, larger than `LARGEST`, unreadable, or binary; says
            what it is.
    """
    where = shown(path)
    try:
        status = path.stat()
        regular = stat.S_ISREG(status.st_mode)
        data = path.read_bytes() if regular and status.st_size <= LARGEST else b""
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a path"
        raise ModelError(f"{where}: cannot be read: {reason}") from error
    if not regular:
        raise ModelError(f"{where}: not a regular file; give a file that TensorRT wrote")
    if status.st_size > LARGEST:
        raise ModelError(
            f"{where}: {status.st_size:,} bytes; engine files are read up to {LARGEST:,}. "
            "Is it a plan or a model?"
        )
    return decoded(data, str(path))


def decoded(data: bytes, where: str) -> tuple[str, tuple[str, ...]]:
    """Text of bytes: UTF-8, or UTF-16 with its mark; bad UTF-8 is replaced, with a warning.

    Raises:
        ModelError: empty or binary.
    """
    if not data.strip():
        raise ModelError(
            f"{shown(where)}: empty; a file that TensorRT or trtexec wrote is expected"
        )
    coding = next((coding for mark, coding in _MARKS if data.startswith(mark)), "utf-8")
    if coding != "utf-16" and _BINARY.search(data[:4096]):
        raise ModelError(
            f"{shown(where)}: binary data ({_kind(data)}); expected the inspector's JSON, a "
            "profile, times or a log. A plan is read by building or loading its engine"
        )
    try:
        return data.decode(coding), ()
    except UnicodeDecodeError as error:
        note = f"{shown(where)}: byte {error.start} is not {coding}; read with replacement marks"
        return data.decode(coding, "replace"), (note,)


def _kind(data: bytes) -> str:
    if data.startswith((b"ptrt", b"ftrt")):
        return "a TensorRT plan"
    if data.startswith(b"PK\x03\x04"):
        return "a zip archive"
    kind = "perhaps an ONNX model, " if data[:1] == b"\x08" else ""
    return f"{kind}starts with {data[:8].hex(' ')}"


def documents(text: str, where: str) -> tuple[Any, ...]:
    """Every JSON value of a text, one after the other, mended where TensorRT does not escape.

    Raises:
        ModelError: damaged or cut; names line, byte, and what was expected there.
    """
    try:
        return tuple(_values(text))
    except (ValueError, RecursionError) as first:
        mended = repaired(text)
        if mended != text:
            try:
                return tuple(_values(mended))
            except (ValueError, RecursionError):
                pass
        raise _refusal(first, text, where) from first


def _values(text: str) -> Iterator[Any]:
    decoder = json.JSONDecoder(strict=False, parse_constant=lambda _: None)
    at = _end_of(_SPACE, text, 0)
    while at < len(text):
        value, at = decoder.raw_decode(text, at)
        yield value
        at = _end_of(_SPACE, text, at)


def _end_of(pattern: re.Pattern[str], text: str, at: int) -> int:
    found = pattern.match(text, at)
    return found.end() if found else at


def _refusal(error: Exception, text: str, where: str) -> ModelError:
    if isinstance(error, json.JSONDecodeError):
        byte = len(text[: error.pos].encode("utf-8", "replace"))
        cut = error.pos >= len(text.rstrip()) or "Unterminated" in error.msg
        return ModelError(
            f"{shown(where)}, line {error.lineno}, byte {byte}: {error.msg}, found "
            f"'{shown(text[error.pos : error.pos + 40])}'; "
            + ("the file is cut: copy or export it again" if cut else "not JSON: export it again")
        )
    what = "nested too deep" if isinstance(error, RecursionError) else shown(error)
    return ModelError(f"{shown(where)}: {what}; no engine file is like that: export it again")


def repaired(text: str) -> str:
    """The text with quotes and backslashes inside strings escaped and ``nan`` made null.

    A quote ends a string only where what follows can follow a string.
    """
    parts: list[str] = []
    at = 0
    while True:
        start = text.find('"', at)
        if start < 0:
            return "".join([*parts, _without_nan(text[at:])])
        end = _closing(text, start + 1)
        parts.append(_without_nan(text[at:start]))
        inner = _BACKSLASH.sub(r"\\\\", text[start + 1 : end])
        parts.append('"' + re.sub(r'(?<!\\)((?:\\\\)*)"', r'\1\\"', inner) + '"')
        at = end + 1
        if end >= len(text):
            return "".join(parts)


def _without_nan(text: str) -> str:
    return _NOT_A_NUMBER.sub(r"\1null", text)


def _closing(text: str, at: int) -> int:
    """Place of the quote that ends the string from `at`; the end of the text if none does."""
    while True:
        at = text.find('"', at)
        if at < 0:
            return len(text)
        back = at
        while back and text[back - 1] == "\\":
            back -= 1
        # After a lone backslash only the end of a line can show that the quote is no escaped one.
        ending = _AFTER if (at - back) % 2 == 0 else _LINE_END
        if ending.match(text, at + 1):
            return at
        at += 1
