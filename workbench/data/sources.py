"""Where labelled pictures come from: an array in memory, or files named by a list.

A source gives picture number i as pixels and a digest of its content. It does not know labels or
preprocessing. Files are opened when their picture is asked for, never all at once.
"""

from __future__ import annotations

import hashlib
import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from workbench.errors import DataError
from workbench.text import shown


class Source(Protocol):
    """Pictures by number."""

    def __len__(self) -> int: ...

    def pixels(self, index: int) -> np.ndarray:
        """Picture number `index`, shape (height, width, channels)."""
        ...

    def where(self, index: int) -> str:
        """Words that say which picture this is, safe to print."""
        ...

    def digest(self, index: int) -> bytes:
        """SHA-256 of the picture's content."""
        ...


@dataclass(frozen=True, eq=False)
class ArraySource:
    """Pictures in one array of shape (n, height, width, channels)."""

    images: np.ndarray
    name: str

    def __len__(self) -> int:
        return len(self.images)

    def pixels(self, index: int) -> np.ndarray:
        """Picture number `index`, a view."""
        return self.images[index]

    def where(self, index: int) -> str:
        """Number of the picture and name of its array."""
        return f"picture {index} of {shown(self.name)}"

    def digest(self, index: int) -> bytes:
        """SHA-256 of type, shape and values."""
        image = self.images[index]
        start = hashlib.sha256(f"{image.dtype.str}{image.shape}".encode())
        start.update(np.ascontiguousarray(image).tobytes())
        return start.digest()


@dataclass(frozen=True)
class Entry:
    """One line of a list of pictures."""

    path: Path
    label: int
    line: int


@dataclass(frozen=True, eq=False)
class FileSource:
    """Pictures in files, decoded by Pillow as RGB or grey; EXIF rotation is not applied."""

    list_file: Path
    entries: tuple[Entry, ...]

    def __len__(self) -> int:
        return len(self.entries)

    def pixels(self, index: int) -> np.ndarray:
        """Picture number `index`, decoded now; `DataError` where that fails."""
        from PIL import Image

        path = self.entries[index].path
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", Image.DecompressionBombWarning)
                with Image.open(path) as image:
                    if image.mode[0] in "IF":
                        raise ValueError(f"pixels of mode {image.mode} have no 8-bit range")
                    grey = image.mode in ("1", "L", "LA")
                    pixels = np.asarray(image.convert("L" if grey else "RGB"))
        # Pillow's decoders raise whatever their format's code raises (also struct.error, EOFError).
        except Exception as error:
            raise DataError(
                f"{self.where(index)}: cannot be read as a picture ({shown(error)}); replace the "
                "file by an 8-bit JPEG or PNG, or take its line out of the list"
            ) from error
        return pixels.reshape(*pixels.shape[:2], -1)

    def where(self, index: int) -> str:
        """List, line and path of the picture."""
        entry = self.entries[index]
        return f"{shown(self.list_file)}, line {entry.line}: {shown(entry.path)}"

    def digest(self, index: int) -> bytes:
        """SHA-256 of the file."""
        try:
            with self.entries[index].path.open("rb") as file:
                return hashlib.file_digest(file, "sha256").digest()
        except OSError as error:
            raise DataError(
                f"{self.where(index)}: cannot be read ({shown(error.strerror)}); restore the file"
            ) from error


def read_list(folder: Path, list_file: Path) -> tuple[Entry, ...]:
    """The pictures a list of ``path label`` lines names, each checked to exist in the folder.

    The label is the last field, so paths may hold spaces. Blank lines, lines that start with ``#``,
    a byte order mark and either kind of line end are fine. Paths are relative to the folder.

    Raises:
        DataError: no list, not text, no pictures, or a line that is wrong; names file and line.
    """
    try:
        text = list_file.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise DataError(
            f"{shown(list_file)}: cannot be read ({shown(error.strerror)}); it should hold one "
            "`path label` line for each picture; name another with list_file= "
            "(on the command line --list-file)"
        ) from error
    except UnicodeDecodeError as error:
        raise DataError(
            f"{shown(list_file)}: is not UTF-8 text (byte {error.start}); save it as UTF-8"
        ) from error
    root = folder.resolve()
    # Only real line ends: splitlines() would also cut at characters that a file name may hold.
    lines = enumerate(re.split(r"\r\n|\n|\r", text), start=1)
    entries = tuple(
        _entry(root, line.strip(" \t"), f"{shown(list_file)}, line {number}", number)
        for number, line in lines
        if line.strip() and not line.lstrip().startswith("#")
    )
    if not entries:
        raise DataError(f"{shown(list_file)}: names no pictures; add `path label` lines")
    return entries


def _entry(root: Path, line: str, where: str, number: int) -> Entry:
    fields = re.split(r"[ \t]+(?=[^ \t]*$)", line, maxsplit=1)
    if len(fields) != 2:
        raise DataError(f"{where}: {shown(line)} has no label; write `path label`")
    name, label = fields
    if not re.fullmatch(r"[0-9]{1,9}", label):
        raise DataError(
            f"{where}: label {shown(label)} is no whole number from 0; the last field of a line is "
            "the number of the class"
        )
    path = _inside(root, name)
    if path is None:
        raise DataError(
            f"{where}: {shown(name)} leads out of {shown(root)}, by its name or by a symbolic "
            "link; write paths relative to the folder, or open the one that really holds them all"
        )
    if not path.is_file():
        raise DataError(
            f"{where}: there is no file {shown(path)}; add it, take the line out, or check that "
            "the folder is the one the list was written for"
        )
    return Entry(path, int(label), number)


def _inside(root: Path, name: str) -> Path | None:
    """The real path of a file named relative to `root`, or None if it lies elsewhere."""
    try:
        path = (root / name).resolve()
    except (OSError, ValueError, RuntimeError):
        return None
    return path if path.is_relative_to(root) and not Path(name).is_absolute() else None
