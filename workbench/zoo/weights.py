"""Seeded weights, the same bytes on every machine, in a range that keeps activations sane.

A weight is described first (`Weight`) and made only when it is asked for, so that counting the
parameters of VGG-16 costs nothing. Values are 16-bit integers from PCG64's raw stream, which NumPy
keeps stable, times one step: no logarithm, no sum, nothing that depends on a math library or on the
order of additions. Each tensor has its own stream, keyed by its name: another number of classes
changes the last layer only.

`Spread` follows mean and variance through a network by formula, so that layers can be scaled
without a data pass. The formulas treat values as independent and normal; they are good enough for
"within a few times", which is all that is promised.
"""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Weight:
    """A tensor to be: uniform in ``centre ± reach``, or given values."""

    name: str
    shape: tuple[int, ...]
    centre: float = 0.0
    reach: float = 0.0
    trainable: bool = True
    """Whether papers count it; running statistics and shapes are not."""
    values: np.ndarray | None = None
    """The values themselves, for constants such as shapes."""

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    def make(self, seed: int) -> np.ndarray:
        """The values: a new array of `shape`, ``float32`` unless given otherwise."""
        if self.values is not None:
            return self.values
        stream = np.random.PCG64([seed, zlib.crc32(self.name.encode())])
        raw = stream.random_raw((self.size + 3) // 4).astype("<u8", copy=False)
        made = raw.view("<i2")[: self.size].astype(np.float32)
        made *= np.float32(self.reach / 32768)
        if self.centre:
            made += np.float32(self.centre)
        return made.reshape(self.shape)


@dataclass(frozen=True)
class Spread:
    """Expected mean and variance of the elements of a tensor."""

    mean: float = 0.0
    variance: float = 1.0

    @property
    def power(self) -> float:
        """Expected square."""
        return self.mean**2 + self.variance

    def reach(self, terms: float, target: float) -> float:
        """Half-width of uniform weights that make a weighted sum of `terms` such elements.

        Args:
            terms: how many elements are summed, on average.
            target: standard deviation the sum shall have.

        Returns:
            The half-width, rounded to four digits so that the last bits of a math library's square
            root or exponential never reach the weights.
        """
        return float(f"{target * math.sqrt(3 / (terms * self.power)):.4g}")

    def scaled(self, factor: float) -> Spread:
        """After multiplying by a number."""
        return Spread(self.mean * factor, self.variance * factor**2)

    def plus(self, other: Spread) -> Spread:
        """After adding an independent tensor."""
        return Spread(self.mean + other.mean, self.variance + other.variance)

    def rectified(self) -> Spread:
        """After ReLU: the moments of a rectified normal distribution."""
        deviation = math.sqrt(self.variance)
        ratio = self.mean / deviation
        above = 0.5 * (1 + math.erf(ratio / math.sqrt(2)))
        density = math.exp(-(ratio**2) / 2) / math.sqrt(2 * math.pi)
        mean = self.mean * above + deviation * density
        power = self.power * above + self.mean * deviation * density
        return Spread(mean, power - mean**2)

    def normalized(self, gain: float) -> Spread:
        """After a batch normalization near the identity, whose four parameters vary by channel.

        Gamma and variance in 1 ± 0.2 make the power 2.7 % larger on average, beta and mean in
        ± 0.1 add 0.007.
        """
        return Spread(self.mean * gain, (self.variance * 1.027 + 0.007) * gain**2)

    def largest(self) -> Spread:
        """After max pooling; neighbours are alike, so less than of independent elements."""
        return Spread(self.mean + 0.5 * math.sqrt(self.variance), self.variance)

    def averaged(self) -> Spread:
        """After average pooling; most of the variance is between channels, which stays."""
        return Spread(self.mean, 0.85 * self.variance)


def mixed(parts: list[tuple[int, Spread]]) -> Spread:
    """Spread of a concatenation of parts, each with its number of channels."""
    total = sum(channels for channels, _ in parts)
    mean = sum(channels * spread.mean for channels, spread in parts) / total
    power = sum(channels * spread.power for channels, spread in parts) / total
    return Spread(mean, power - mean**2)
