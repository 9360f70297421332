"""Pictures with the number of their class, in batches, ready for a network.

`LabelledData` joins a source of pictures, labels and a `Preprocessing`, and is never changed. It
does not know networks: what a model's input is called is the business of who feeds it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import BinaryIO, Unpack

import numpy as np
from numpy.typing import ArrayLike

from workbench.data.preprocessing import IMAGENET, Changes, Channels, Layout, Preprocessing
from workbench.data.sources import ArraySource, FileSource, Source, read_list
from workbench.errors import DataError
from workbench.text import listed, plural, shown


@dataclass(frozen=True, eq=False)
class LabelledData:
    """Labelled pictures; compare two by `digest`.

    Raises:
        DataError: labels that are no whole numbers from 0, or not one for each picture.
    """

    source: Source
    labels: np.ndarray
    """Class numbers, ``int64``, shape (n,); read-only."""
    preprocessing: Preprocessing
    name: str = "data"

    def __post_init__(self) -> None:
        labels = _checked_labels(self.labels, self.name)
        if len(labels) != len(self.source):
            raise DataError(
                f"{shown(self.name)}: {len(self.source)} pictures but {len(labels)} labels; give "
                "one label for each picture"
            )
        object.__setattr__(self, "labels", labels)

    @classmethod
    def from_folder(
        cls,
        folder: str | os.PathLike[str],
        list_file: str | os.PathLike[str] = "val_list.txt",
        *,
        preprocessing: Preprocessing = IMAGENET,
        **changes: Unpack[Changes],
    ) -> LabelledData:
        """Pictures in files, named with their class by a list of ``path label`` lines.

        Every line is checked now; pictures are decoded when a batch needs them, and resized
        bilinearly by Pillow.

        Args:
            folder: where the paths of the list start.
            list_file: the list, relative to the folder or absolute.
            preprocessing: what is done to every picture; ImageNet's usual steps by default.
            changes: fields of `preprocessing` to change, e.g. ``size=None, crop=32``.

        Raises:
            DataError: a wrong list, or a path that leads out of the folder or nowhere; names the
                list's line. A picture that cannot be decoded raises it when its batch is made.
        """
        root = Path(folder)
        if not root.is_dir():
            raise DataError(f"{shown(root)} is no folder; give the one that holds the pictures")
        path = root / list_file
        entries = read_list(root, path)
        labels = np.array([entry.label for entry in entries], np.int64)
        return cls(FileSource(path, entries), labels, preprocessing.but(changes), root.name)

    @classmethod
    def from_npz(
        cls,
        path: str | os.PathLike[str],
        *,
        images: str = "images",
        labels: str = "labels",
        stored: Layout | None = None,
        preprocessing: Preprocessing | None = None,
        **changes: Unpack[Changes],
    ) -> LabelledData:
        """Pictures and labels from two arrays of a NumPy archive; pickled objects are refused.

        Args:
            path: the ``.npz`` file.
            images: name of the array of pictures, as for `from_arrays`.
            labels: name of the array of class numbers.
            stored: as for `from_arrays`.
            preprocessing: as for `from_arrays`.
            changes: as for `from_arrays`.

        Raises:
            DataError: no such file, no archive, or an array that is missing or does not fit.
        """
        arrays = _npz_arrays(Path(path), (images, labels))
        return cls.from_arrays(
            arrays[0], arrays[1], name=Path(path).name, stored=stored,
            preprocessing=preprocessing, **changes,
        )  # fmt: skip

    @classmethod
    def from_arrays(
        cls,
        images: ArrayLike,
        labels: ArrayLike,
        *,
        name: str = "arrays",
        stored: Layout | None = None,
        preprocessing: Preprocessing | None = None,
        **changes: Unpack[Changes],
    ) -> LabelledData:
        """Pictures and labels from arrays.

        Args:
            images: shape (n, height, width) for grey pictures or four axes as `stored` says, with 1
                or 3 channels (RGB); any numeric dtype. Not copied: leave the array alone after.
            labels: class numbers from 0, shape (n,).
            name: said in messages.
            stored: order of the four axes; by default that of the tensors to be made.
            preprocessing: what is done to every picture. Left out: values and channels stay as
                they are, with dtype ``float32``.
            changes: fields of `preprocessing` to change, e.g. ``scale=1 / 255``.

        Raises:
            DataError: an array of another shape or type, or labels that do not fit.
        """
        array = np.asarray(images)
        steps = preprocessing or Preprocessing(channels=_channels(array, stored, changes))
        steps = steps.but(changes)
        pictures = _as_pictures(array, stored or steps.layout, name)
        return cls(ArraySource(pictures, name), np.asarray(labels), steps, name)

    def __repr__(self) -> str:
        """Counts only, not the labels."""
        pictures = plural(len(self), "picture")
        return f"LabelledData({shown(self.name)}: {pictures}, classes: {self.classes})"

    def __len__(self) -> int:
        """Number of pictures."""
        return len(self.source)

    @property
    def classes(self) -> int:
        """Number of classes seen: one more than the largest label; 0 without pictures."""
        return int(self.labels.max()) + 1 if len(self.labels) else 0

    @cached_property
    def digest(self) -> str:
        """SHA-256 in hex of pictures, labels, their order and the preprocessing; not of names.

        Reads every picture once.
        """
        found = hashlib.sha256(repr(self.preprocessing).encode())
        found.update(self.labels.astype("<i8").tobytes())
        for index in range(len(self)):
            found.update(self.source.digest(index))
        return found.hexdigest()

    def head(self, count: int) -> LabelledData:
        """The first `count` pictures, or all if there are fewer.

        Raises:
            ValueError: `count` is below 1.
        """
        if count < 1:
            raise ValueError(f"count is {count}; must be 1 or more")
        count = min(count, len(self))
        source = self.source
        if isinstance(source, ArraySource):
            source = ArraySource(source.images[:count], source.name)
        elif isinstance(source, FileSource):
            source = FileSource(source.list_file, source.entries[:count])
        return LabelledData(source, self.labels[:count], self.preprocessing, self.name)

    def batches(
        self, size: int, *, drop_last: bool = False, start: int = 0
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Tensors and labels, `size` pictures at a time, in order.

        Args:
            size: pictures in a batch.
            drop_last: leave out a last batch that is smaller than `size`.
            start: number of the first picture.

        Yields:
            The tensor, shape (b, channels, height, width) or as the layout says, which belongs to
            the caller, and the labels, ``int64`` of shape (b,).

        Raises:
            ValueError: `size` is below 1 or `start` below 0.
            DataError: a picture that cannot be read, or whose shape differs from the others'.
        """
        if size < 1 or start < 0:
            raise ValueError(f"batch size is {size}, start {start}; must be from 1 and from 0")
        stop = len(self)
        if drop_last:
            stop -= max(0, stop - start) % size
        # A generator of its own, so that a wrong size is an error now and not at the first batch.
        return (self._batch(at, min(at + size, stop)) for at in range(start, stop, size))

    def _batch(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        tensors = [self._tensor(index) for index in range(start, stop)]
        for index, tensor in enumerate(tensors, start):
            if tensor.shape != tensors[0].shape:
                raise DataError(
                    f"{self.source.where(index)}: gives a tensor of shape {tensor.shape}, the "
                    f"pictures before it {tensors[0].shape}; set size and crop to make them equal"
                )
        return np.stack(tensors), self.labels[start:stop].copy()

    def _tensor(self, index: int) -> np.ndarray:
        pixels = self.source.pixels(index)
        try:
            return self.preprocessing(pixels)
        except DataError as error:
            raise DataError(f"{self.source.where(index)}: {error}") from error


def _checked_labels(labels: np.ndarray, name: str) -> np.ndarray:
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise DataError(
            f"{shown(name)}: labels are {labels.dtype} of shape {labels.shape}; they must be whole "
            "numbers of shape (n,), the class of each picture"
        )
    labels = labels.astype(np.int64)
    wrong = np.flatnonzero(labels < 0)
    if len(wrong):
        raise DataError(
            f"{shown(name)}: label {labels[wrong[0]]} of picture {wrong[0]} is below 0; number the "
            "classes from 0"
        )
    labels.setflags(write=False)
    return labels


def _channels(array: np.ndarray, stored: Layout | None, changes: Changes) -> Channels:
    layout = stored or changes.get("layout", "NCHW")
    depth = array.shape[1 if layout == "NCHW" else 3] if array.ndim == 4 else 1
    return "L" if depth == 1 else "RGB"


def _as_pictures(array: np.ndarray, stored: Layout, name: str) -> np.ndarray:
    if array.dtype.kind not in "biuf":
        raise DataError(
            f"{shown(name)}: pictures are of type {array.dtype}; give whole or real numbers"
        )
    if array.ndim == 3:
        return array[..., None]
    if array.ndim == 4 and stored == "NCHW":
        array = array.transpose(0, 2, 3, 1)
    if array.ndim != 4 or array.shape[3] not in (1, 3):
        raise DataError(
            f"{shown(name)}: pictures have shape {array.shape} (four axes read as {stored}); give "
            "(n, height, width), or four axes with 1 or 3 channels and stored='NCHW' or 'NHWC'"
        )
    return array


def _npz_arrays(path: Path, names: Sequence[str]) -> list[np.ndarray]:
    try:
        # Opened here, because numpy leaves a file that it opened and cannot read open.
        with path.open("rb") as file:
            return _arrays_of(file, path, names)
    except DataError:
        raise
    except OSError as error:
        reason = shown(error.strerror or error)
        raise DataError(f"{shown(path)}: cannot be read ({reason}); check the path") from error
    # A damaged archive raises what zip, its decompressors or numpy's header parser happen to raise.
    except Exception as error:
        raise DataError(
            f"{shown(path)}: is no archive of plain arrays ({shown(error)}); write it with "
            "numpy.savez_compressed(path, images=..., labels=...)"
        ) from error


def _arrays_of(file: BinaryIO, path: Path, names: Sequence[str]) -> list[np.ndarray]:
    archive = np.load(file, allow_pickle=False)
    if not isinstance(archive, np.lib.npyio.NpzFile):
        raise ValueError("one array only, no archive")
    with archive:
        missing = [name for name in names if name not in archive]
        if missing:
            raise DataError(
                f"{shown(path)}: holds {listed(archive.files)} but not {listed(missing)}; say with "
                "images= and labels= what the arrays are called"
            )
        return [archive[name] for name in names]
