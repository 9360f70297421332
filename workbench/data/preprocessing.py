"""How one picture becomes one tensor: resize, crop, channel order, scale, mean, deviation, layout.

A `Preprocessing` is a value, so two data sets prepared alike compare equal and calibration,
accuracy and a saved study can say exactly what the network was fed. It knows pixels only, no files.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, SupportsFloat, TypedDict

import numpy as np

from workbench.errors import DataError
from workbench.text import shown

Layout = Literal["NCHW", "NHWC"]
Channels = Literal["RGB", "BGR", "L"]


class Changes(TypedDict, total=False):
    """Keyword arguments that stand for the fields of `Preprocessing` of the same name."""

    size: int | None
    crop: int | tuple[int, int] | None
    channels: Channels
    scale: float
    mean: float | Sequence[float]
    std: float | Sequence[float]
    layout: Layout
    dtype: str


@dataclass(frozen=True)
class Preprocessing:
    """The steps from pixels to a tensor: ``(pixel * scale - mean) / std``, after resize and crop.

    Raises:
        ValueError: a field outside its range; the message names it.
    """

    size: int | None = None
    """Length in pixels the short side is resized to, keeping the aspect; None leaves it."""
    crop: int | tuple[int, int] | None = None
    """Height and width cut from the centre; one number is a square and is kept as two. None leaves
    the picture whole."""
    channels: Channels = "RGB"
    """Order of the colour channels, or ``L`` for one grey channel (ITU-R 601 luma)."""
    scale: float = 1.0
    """Factor on pixel values (0 to 255 for 8-bit pictures), applied before mean and std."""
    mean: float | Sequence[float] = 0.0
    """Subtracted after scaling; one number, or one for each channel in the order of `channels`."""
    std: float | Sequence[float] = 1.0
    """Divided by after the mean; one number, or one for each channel in the order of `channels`."""
    layout: Layout = "NCHW"
    """Axes of a batch: number, channels, height, width."""
    dtype: str = "float32"
    """Type of the tensor. An integer type is rounded and clipped to its range."""

    def __post_init__(self) -> None:
        for name in ("mean", "std"):
            object.__setattr__(self, name, _per_channel(name, getattr(self, name), self.depth))
        if self.layout not in ("NCHW", "NHWC"):
            raise ValueError(f"layout is {shown(self.layout)}; must be NCHW or NHWC")
        if any(value == 0 for value in np.atleast_1d(self.std)):
            raise ValueError("std holds a 0; every channel needs a deviation other than 0")
        if self.size is not None and not _natural(self.size):
            raise ValueError(f"size is {shown(self.size)}; must be a whole number above 0 or None")
        if self.crop is not None:
            object.__setattr__(self, "crop", _sides(self.crop))
        if not np.isfinite(self.scale):
            raise ValueError(f"scale is {self.scale}; must be a finite number")
        object.__setattr__(self, "scale", float(self.scale))
        if np.dtype(self.dtype).kind not in "fiu":
            raise ValueError(f"dtype is {shown(self.dtype)}; must be a float or integer type")
        object.__setattr__(self, "dtype", np.dtype(self.dtype).name)

    @property
    def depth(self) -> int:
        """Number of channels of the tensor."""
        try:
            return {"RGB": 3, "BGR": 3, "L": 1}[self.channels]
        except (KeyError, TypeError):
            raise ValueError(
                f"channels is {shown(self.channels)}; must be RGB, BGR or L (grey)"
            ) from None

    def but(self, changes: Changes) -> Preprocessing:
        """A copy with these fields changed.

        Raises:
            TypeError: a field that does not exist.
        """
        return dataclasses.replace(self, **changes)

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """The tensor of one picture.

        Args:
            pixels: shape (height, width, channels), channels as RGB or one grey channel, any
                numeric dtype; `size` needs ``uint8``.

        Returns:
            An array of `dtype`, shape (channels, height, width) or (height, width, channels).

        Raises:
            DataError: the picture cannot be resized or is smaller than the crop.
        """
        pixels = self._cropped(self._resized(_coloured(pixels, self.channels)))
        values = pixels.astype(np.float32) * np.float32(self.scale)
        values = (values - np.asarray(self.mean, np.float32)) / np.asarray(self.std, np.float32)
        if self.layout == "NCHW":
            values = values.transpose(2, 0, 1)
        return np.ascontiguousarray(_cast(values, np.dtype(self.dtype)))

    def _resized(self, pixels: np.ndarray) -> np.ndarray:
        if self.size is None or min(pixels.shape[:2]) == self.size:
            return pixels
        if pixels.dtype != np.uint8:
            raise DataError(
                f"pictures of {pixels.dtype} cannot be resized; give uint8, or size=None and "
                "pictures that already have the right size"
            )
        from PIL import Image

        height, width = pixels.shape[:2]
        short = min(height, width)
        # Truncated as torchvision does, so that accuracies can be compared with published ones.
        target = (int(self.size * width / short), int(self.size * height / short))
        image = Image.fromarray(pixels.squeeze(2) if pixels.shape[2] == 1 else pixels)
        resized = np.asarray(image.resize(target, Image.Resampling.BILINEAR))
        return resized.reshape(target[1], target[0], pixels.shape[2])

    def _cropped(self, pixels: np.ndarray) -> np.ndarray:
        if self.crop is None:
            return pixels
        (height, width), (high, wide) = pixels.shape[:2], _sides(self.crop)
        if height < high or width < wide:
            raise DataError(
                f"a picture of {height} x {width} pixels is smaller than the crop of {high} x "
                f"{wide}; resize first (size={max(high, wide)} or more) or crop less"
            )
        top, left = round((height - high) / 2), round((width - wide) / 2)
        return pixels[top : top + high, left : left + wide]


def _natural(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _sides(crop: int | Sequence[int]) -> tuple[int, int]:
    sides = tuple(crop) if isinstance(crop, Sequence) else (crop, crop)
    if len(sides) != 2 or not all(_natural(side) for side in sides):
        raise ValueError(
            f"crop is {shown(crop)}; must be one or two whole numbers above 0, or None"
        )
    return sides[0], sides[1]


def _per_channel(
    name: str, value: float | Sequence[float], depth: int
) -> float | tuple[float, ...]:
    values = float(value) if isinstance(value, SupportsFloat) else tuple(map(float, value))
    if isinstance(values, tuple) and len(values) != depth:
        raise ValueError(f"{name} has {len(values)} values; the pictures have {depth} channels")
    if not np.all(np.isfinite(values)):
        raise ValueError(f"{name} is {values}; must be finite")
    return values


def _coloured(pixels: np.ndarray, channels: Channels) -> np.ndarray:
    depth = pixels.shape[2]
    if channels == "L":
        if depth == 1:
            return pixels
        grey = pixels[..., :3].astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
        return _cast(grey[..., None], pixels.dtype)
    if depth == 1:
        return np.repeat(pixels, 3, axis=2)
    return np.ascontiguousarray(pixels[..., ::-1]) if channels == "BGR" else pixels


def _cast(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        values = np.clip(np.rint(values), limits.min, limits.max)
    return values.astype(dtype, copy=False)


IMAGENET = Preprocessing(
    size=256, crop=224, scale=1 / 255, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)
)
"""What networks trained by Paddle's and PyTorch's model collections expect."""
