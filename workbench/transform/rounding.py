"""What becomes of numbers when they are rounded to 16 bits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import ml_dtypes
import numpy as np

from workbench.graph import Graph
from workbench.ranges import CalibrationTable


@dataclass(frozen=True, slots=True)
class CastWeight:
    """One weight that was converted, and what was lost."""

    tensor: str
    nodes: tuple[str, ...]
    """Nodes that read it in the new type."""
    dtype: str
    """``float16`` or ``bfloat16``."""
    elements: int
    overflow: int
    """Elements beyond the largest number of the type; they became that number."""
    underflow: int
    """Elements that were not zero and became it."""
    denormal: int
    """Elements that became denormal, which have fewer digits."""
    nonfinite: int
    """Elements that were NaN or infinite before; they stay what they are."""
    largest: float
    """Largest finite magnitude before."""

    @property
    def harmless(self) -> bool:
        """Whether nothing overflowed, and less than one element in a hundred became zero."""
        return not self.overflow and not self.nonfinite and self.underflow * 100 < self.elements


@dataclass(frozen=True)
class CastReport:
    """What a cast did."""

    weights: tuple[CastWeight, ...]
    casts: int
    """Cast nodes that were put in."""
    activations: tuple[tuple[str, float], ...] = ()
    """Tensors that calibration saw beyond the largest number of their new type: name and largest
    magnitude; empty without a calibration table."""

    @property
    def problems(self) -> tuple[CastWeight, ...]:
        """The weights that leave the range of their new type."""
        return tuple(weight for weight in self.weights if not weight.harmless)

    def totals(self) -> dict[str, int]:
        """Sums over all weights: elements, overflow, underflow, denormal, nonfinite."""
        names = ("elements", "overflow", "underflow", "denormal", "nonfinite")
        return {name: sum(getattr(weight, name) for weight in self.weights) for name in names}

    def by_node(self) -> dict[str, dict[str, int]]:
        """Node -> overflow, underflow and denormal of all its weights."""
        found: dict[str, dict[str, int]] = {}
        for weight in self.weights:
            for node in weight.nodes:
                row = found.setdefault(node, {"overflow": 0, "underflow": 0, "denormal": 0})
                for name in row:
                    row[name] += getattr(weight, name)
        return found


def rounded(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """The values in `dtype`, to nearest even; beyond its range the largest number it has.

    Infinities and NaN stay.
    """
    most = float(ml_dtypes.finfo(dtype).max)
    clipped = np.where(np.isfinite(values), np.clip(values, -most, most), values)
    return clipped.astype(dtype)


def counted(tensor: str, nodes: tuple[str, ...], values: np.ndarray, dtype: np.dtype) -> CastWeight:
    """What is lost when a weight is converted.

    Args:
        tensor: its name.
        nodes: who reads it in the new type.
        values: before.
        dtype: ``float16`` or ``bfloat16``.
    """
    limits = ml_dtypes.finfo(dtype)
    finite = np.isfinite(values)
    magnitude = np.abs(np.where(finite, values, 0))
    after = np.abs(rounded(magnitude, dtype).astype(np.float32))
    small = (after < float(limits.smallest_normal)) & (after > 0)
    with np.errstate(over="ignore"):
        over = np.isinf(magnitude.astype(dtype).astype(np.float32))
    return CastWeight(
        tensor, nodes, str(dtype), int(values.size), int(over.sum()),
        int(((after == 0) & (magnitude != 0)).sum()), int(small.sum()), int((~finite).sum()),
        float(magnitude.max(initial=0.0)),
    )  # fmt: skip


def exceeding(
    table: CalibrationTable | None, targets: Mapping[str, str], graph: Graph
) -> Iterator[tuple[str, float]]:
    """Tensors that retyped nodes make whose range does not fit their new type."""
    if table is None:
        return
    for name, dtype in targets.items():
        most = float(ml_dtypes.finfo(dtype).max)
        for tensor in graph.node(name).makes:
            if tensor in table.ranges and table.ranges[tensor].amax > most:
                yield tensor, table.ranges[tensor].amax
