"""What was counted so far, in a file, so that a stopped calibration goes on.

The file is replaced whole and bound to what was asked. The archive's own checksums find damage.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from workbench.calibrate.histogram import Tally
from workbench.errors import CacheError, DataError
from workbench.text import listed, shown

FORMAT = "workbench calibration journal 1"


class Journal:
    """The file `path` for a run that is described by `identity`, plain JSON values."""

    def __init__(self, path: Path, identity: Mapping[str, Any]) -> None:
        """Nothing is read or written yet."""
        self.path = path
        self._identity = json.loads(json.dumps(dict(identity)))

    def read(self, tensors: Sequence[str], bins: int) -> tuple[dict[str, Tally], int, str] | None:
        """Tallies, samples in them and the data's digest so far; None if there is no file.

        Raises:
            DataError: the file is damaged, is something else, or of another run; says what differs.
        """
        if not self.path.exists():
            return None
        try:
            with self.path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
                head = json.loads(str(archive["head"]))
                arrays = {name: archive[name] for name in ("counts", "ends", "sums")}
            if head["format"] != FORMAT or head["sum"] != _sum(arrays, head["done"]):
                raise ValueError("its checksum does not fit")
        except Exception as error:
            raise DataError(
                f"{shown(self.path)} is no journal of a calibration, or is damaged "
                f"({shown(error)}); delete it to start over, or choose another file"
            ) from error
        other = head["identity"]
        differing = [key for key in self._identity if self._identity[key] != other.get(key)]
        if differing:
            raise DataError(
                f"{shown(self.path)} was begun with another {listed(differing)}; delete it to start"
                " over, or choose another file"
            )
        return _tallies(arrays, tensors, bins), head["done"], head["digest"]

    def write(self, tallies: Mapping[str, Tally], done: int, digest: str) -> None:
        """Replace the file.

        Raises:
            CacheError: it cannot be written; what was there is unchanged.
        """
        arrays = _arrays(tallies)
        head = {
            "format": FORMAT, "identity": self._identity, "done": done, "digest": digest,
            "sum": _sum(arrays, done),
        }  # fmt: skip
        half = self.path.with_name(f"{self.path.name}.{os.getpid()}.part")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with half.open("wb") as file:
                np.savez(file, allow_pickle=False, head=np.array(json.dumps(head)), **arrays)
                file.flush()
                os.fsync(file.fileno())
            half.replace(self.path)
        except OSError as error:
            raise CacheError(
                f"{shown(self.path)} cannot be written ({shown(error.strerror)}); make room, or "
                "choose another file"
            ) from error
        finally:
            half.unlink(missing_ok=True)

    def delete(self) -> None:
        """Remove the file, if it is there and is of this run."""
        self.path.unlink(missing_ok=True)


def _arrays(tallies: Mapping[str, Tally]) -> dict[str, np.ndarray]:
    found = list(tallies.values())
    sums = [
        (one.total, one.zeros, one.nonfinite, one.exponent is not None, one.exponent or 0)
        for one in found
    ]
    return {
        "counts": np.stack([one.counts for one in found]),
        "ends": np.array([(one.minimum, one.maximum) for one in found], np.float64),
        "sums": np.array(sums, np.int64),
    }


def _tallies(
    arrays: Mapping[str, np.ndarray], tensors: Sequence[str], bins: int
) -> dict[str, Tally]:
    rows = zip(tensors, arrays["counts"], arrays["ends"], arrays["sums"], strict=True)
    return {
        name: Tally(
            bins, float(ends[0]), float(ends[1]), int(sums[0]), int(sums[1]), int(sums[2]),
            int(sums[4]) if sums[3] else None, counts.copy(),
        )
        for name, counts, ends, sums in rows
    }  # fmt: skip


def _sum(arrays: Mapping[str, np.ndarray], done: int) -> str:
    state = hashlib.sha256(str(done).encode())
    for array in arrays.values():
        state.update(np.ascontiguousarray(array).tobytes())
    return state.hexdigest()
