"""The handwritten digits that ship with the package: held-out pictures, plain and noisy.

The pictures are scikit-learn's `load_digits` (E. Alpaydin and C. Kaynak, Optical Recognition of
Handwritten Digits, UCI, CC BY 4.0), resized from 8 x 8 to 16 x 16 pixels. None of them was used in
training. Noise is made from a seed, by whole numbers only, so it is the same everywhere.
"""

from __future__ import annotations

from importlib import resources
from typing import Literal

import numpy as np

from workbench.data import LabelledData

Part = Literal["test", "calibration"]

NOISE = 0.55
"""Standard deviation of the noise, as a part of the range from black to white."""

NOISY_COPIES = 8
"""Noisy versions of each test picture: enough that 0.1 % of accuracy is more than one picture."""

_SEEDS = {"test": 1, "calibration": 2}


def digits(noisy: bool = False, part: Part = "test") -> LabelledData:
    """Pictures of digits with their labels, held out from training.

    Tensors have the shape (b, 1, 16, 16), ``float32``, black 0 and white 1 before noise, for the
    input ``image`` of ``digits_inception`` and ``digits_resnet``.

    Args:
        noisy: add noise of deviation 0.55, which ``digits_resnet`` was trained to read through.
        part: ``test`` (450 pictures; noisy: 3600, eight versions of each) or ``calibration``
            (150 pictures that are in neither training nor test).

    Raises:
        ValueError: another part.
    """
    if part not in _SEEDS:
        raise ValueError(f"part is {part!r}; must be 'test' or 'calibration'")
    with (
        resources.files("workbench.zoo").joinpath("data/digits.npz").open("rb") as file,
        np.load(file, allow_pickle=False) as archive,
    ):
        images, labels = archive[f"{part}_images"], archive[f"{part}_labels"]
    if noisy:
        copies = NOISY_COPIES if part == "test" else 1
        images, labels = np.tile(images, (copies, 1, 1)), np.tile(labels, copies)
        images = with_noise(images, np.random.PCG64(_SEEDS[part]))
    name = f"digits, {'noisy' if noisy else 'plain'} {part} pictures"
    return LabelledData.from_arrays(images, labels, name=name, scale=1 / 255)


def with_noise(images: np.ndarray, stream: np.random.PCG64) -> np.ndarray:
    """Pictures with noise added, not clipped: ``int16`` of the same shape.

    The noise is a sum of four uniform numbers, near to normal, of deviation `NOISE` * 255.
    """
    raw = stream.random_raw(images.size).astype("<u8", copy=False).view("<i2")
    total = raw.reshape(-1, 4).sum(axis=1, dtype=np.int32)
    # Four uniform numbers of 16 bits sum to a deviation of 2**16 / sqrt(3).
    noise = np.rint(total * (NOISE * 255 * 3**0.5 / 2**16)).astype(np.int16)
    return images.astype(np.int16) + noise.reshape(images.shape)
