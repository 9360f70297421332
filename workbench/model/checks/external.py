"""External data: which file a tensor's bytes are in, and that the model may have them.

The rule, for every loader of ours: the location is a plain relative path; what it leads to is a
regular file inside the folder of the model, symbolic links followed. One layout with links to the
outside is accepted: that of the Hugging Face cache, where ``snapshots/REVISION/FILE`` links into
``blobs`` of the same repository. Hard links cannot be told from files and are accepted.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from workbench.errors import ModelError
from workbench.model.checks.tensors import Located, size_of
from workbench.model.limits import Limits
from workbench.model.payload import Filed, identity_of, raw_bytes_of, set_mark
from workbench.text import shown

_KEYS = ("location", "offset", "length", "checksum")


@dataclass
class DataFiles:
    """Finds the data files of one model; each is looked at once."""

    folder: Path | None
    limits: Limits

    def __post_init__(self) -> None:
        self._seen: dict[str, Filed] = {}
        self._hashes: dict[str, str] = {}

    def payload(self, place: Located) -> Filed:
        """Where the bytes of an external tensor are.

        Raises:
            ModelError: see the module.
        """
        entries = self._entries(place)
        location = entries.get("location", "")
        whole = self._file(place, location)
        offset = _whole_number(place, "offset", entries.get("offset", "0"))
        need = raw_bytes_of(place.tensor.data_type, size_of(place, self.limits))
        if need is None:
            raise ModelError(f"{place.label} keeps strings in a data file; ONNX has no such form")
        length = _whole_number(place, "length", entries.get("length", str(need)))
        if length != need:
            raise ModelError(
                f"{place.label} needs {need} bytes but says that {length} are in "
                f"{shown(location)}; export the model anew"
            )
        if offset + length > whole.nbytes:
            raise ModelError(
                f"{place.label} lies at bytes {offset} to {offset + length} of {shown(location)}, "
                f"which has only {whole.nbytes}; fetch the data file again"
            )
        self._check_sum(place, entries.get("checksum"), location, whole)
        return Filed(whole.path, offset, length, whole.identity)

    def _entries(self, place: Located) -> dict[str, str]:
        entries: dict[str, str] = {}
        for pair in place.tensor.external_data:
            if pair.key in entries and pair.key in _KEYS:
                raise ModelError(
                    f"{place.label} has two external-data entries {shown(pair.key)}; readers would "
                    "disagree. Export the model anew"
                )
            entries[pair.key] = pair.value
        return entries

    def _file(self, place: Located, location: str) -> Filed:
        if location not in self._seen:
            if self.folder is None:
                raise ModelError(
                    f"{place.label} keeps its values in the data file {shown(location)}, but the "
                    "model was not given as a path; load it by path"
                )
            _check_location(place, location, self.folder)
            self._seen[location] = _regular(place, location, self.folder)
        return self._seen[location]

    def _check_sum(self, place: Located, wanted: str | None, location: str, whole: Filed) -> None:
        if not wanted:
            return
        if location not in self._hashes:
            with whole.path.open("rb") as file:
                self._hashes[location] = hashlib.file_digest(file, "sha1").hexdigest()
        if self._hashes[location] != wanted.lower():
            raise ModelError(
                f"{place.label}: data file {shown(location)} has SHA-1 {self._hashes[location]}, "
                f"the model wants {shown(wanted)}; fetch the data file again"
            )


def mark_external(place: Located, files: DataFiles, mark: str) -> Filed:
    """Let a mark stand for an external tensor; its payload."""
    if place.tensor.raw_data:
        raise ModelError(f"{place.label} has two payloads, inside and in a data file; export anew")
    payload = files.payload(place)
    set_mark(place.tensor, mark)
    return payload


def _whole_number(place: Located, key: str, text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,19}", text, re.ASCII):
        raise ModelError(
            f"{place.label}: external-data {key} is {shown(text) or 'empty'}; expected a whole "
            "number of bytes, 0 or more. Export the model anew"
        )
    return int(text)


def _check_location(place: Located, location: str, folder: Path) -> None:
    """Refuse a location that is no plain relative path, before the file system is asked."""
    parts = PurePosixPath(location).parts
    bad = (
        not location
        or any(c in location for c in "\0\\%*?")
        or location.startswith(("/", "~"))
        or "://" in location
        or location[1:2] == ":"
        or ".." in parts
        or not parts
        or "_ORT_MEM_ADDR_" in location
        or len(location) > 1024
    )
    if bad:
        raise _outside(place, location, folder)


def _outside(place: Located, location: str, folder: Path) -> ModelError:
    return ModelError(
        f"{place.label}: external-data location {shown(location) or '(empty)'} is not allowed; it "
        f"must stay inside {shown(folder)} and be a plain relative path. If the file is yours, "
        "export it anew"
    )


def _regular(place: Located, location: str, folder: Path) -> Filed:
    path = folder / location
    try:
        real = path.resolve(strict=True)
        found = real.stat()
    except (OSError, RuntimeError) as error:
        reason = (getattr(error, "strerror", None) or str(error)).lower()
        raise ModelError(
            f"{place.label}: data file {shown(path)} cannot be read ({reason}); put it beside the "
            "model"
        ) from error
    home = folder.resolve()
    if not real.is_relative_to(home) and not _in_hub_cache(real, folder):
        raise _outside(place, location, folder)
    if not stat.S_ISREG(found.st_mode):
        raise ModelError(
            f"{place.label}: external-data location {shown(location)} is no regular file; it must "
            f"be one and stay inside {shown(folder)}"
        )
    if not os.access(real, os.R_OK):
        raise ModelError(
            f"{place.label}: data file {shown(path)} cannot be read (permission denied); make it "
            "readable"
        )
    return Filed(real, 0, found.st_size, identity_of(found))


def _in_hub_cache(real: Path, folder: Path) -> bool:
    """Whether a link leads from ``REPO/snapshots/REVISION/...`` to ``REPO/blobs/NAME``."""
    for parent in folder.resolve().parents:
        if parent.name == "snapshots":
            return real.parent == parent.parent / "blobs"
    return False
