"""Histograms of all tensors of a network, and the tables that follow from them."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from workbench.calibrate.histogram import Histogram
from workbench.calibrate.methods import METHODS, clip
from workbench.errors import DataError
from workbench.ranges import CalibrationTable, Range
from workbench.text import listed, nearest, shown

SMALLEST = 2e-36
"""Tensors that never exceed this have no usable INT8 scale; they count as all zero."""


@dataclass(frozen=True, eq=False)
class Histograms:
    """How the values of a network's tensors are spread over some data. Made by `collect`."""

    tensors: Mapping[str, Histogram]
    """By tensor name, in the network's order; read-only."""
    model_digest: str
    """`Model.digest` of what was run."""
    data_digest: str
    """Digest of what it was run on."""
    samples: int
    """How many samples were run."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """JSON values that end up in the tables: backend, number of bins."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "tensors", MappingProxyType(dict(self.tensors)))
        object.__setattr__(self, "details", MappingProxyType(dict(self.details)))

    def __getitem__(self, tensor: str) -> Histogram:
        """The histogram of a tensor.

        Raises:
            DataError: it was not collected.
        """
        if tensor not in self.tensors:
            raise DataError(
                f"no histogram of tensor {shown(tensor)} was collected"
                f"{nearest(tensor, self.tensors)}; collect again with tensors=[...]"
            )
        return self.tensors[tensor]

    def __len__(self) -> int:
        return len(self.tensors)

    def __iter__(self) -> Iterator[str]:
        return iter(self.tensors)

    @property
    def all_zero(self) -> tuple[str, ...]:
        """Tensors that held nothing but zeros; no table has a range for them."""
        return tuple(name for name, one in self.tensors.items() if one.amax <= SMALLEST)

    def table(self, method: str = "entropy", **options: Any) -> CalibrationTable:
        """Ranges by one rule; nothing is run again.

        A range ends at the clip on the side, or sides, where values reach it, holds zero, and stops
        at the smallest or largest value on the other: 0 to the clip after a ReLU. Tensors that were
        always zero have no range and are left out, with a warning.

        Args:
            method: ``minmax``, ``percentile``, ``entropy``, ``mse`` or ``aciq``; see
                `workbench.calibrate.methods`.
            options: of the method: ``percent`` of percentile, ``levels`` of entropy,
                ``distribution`` of aciq.

        Raises:
            ValueError: no such method or option, or histograms without bins and a method that
                needs them.
            DataError: every tensor was always zero.
        """
        zero = self.all_zero
        kept = {name: one for name, one in self.tensors.items() if name not in set(zero)}
        ranges = {name: _range(one, clip(one, method, options)) for name, one in kept.items()}
        if method not in METHODS or not ranges:
            raise DataError(
                "every tensor is zero for all samples; calibrate on data the network is meant for"
            )
        if zero:
            warnings.warn(
                f"{len(zero)} of {len(self.tensors)} tensors are zero for all samples and get no "
                f"range: {listed(zero)}; calibrate on data the network is meant for",
                RuntimeWarning,
                stacklevel=2,
            )
        return CalibrationTable(
            method,
            ranges,
            model_digest=self.model_digest,
            data_digest=self.data_digest,
            samples=self.samples,
            # Quantization leaves readers of these in float instead of asking for their ranges.
            details={**self.details, **options, **({"always_zero": list(zero)} if zero else {})},
        )

    def only(self, tensors: list[str] | tuple[str, ...]) -> Histograms:
        """The histograms of some of the tensors.

        Raises:
            DataError: one of them was not collected.
        """
        return replace(self, tensors={name: self[name] for name in tensors})


def _range(histogram: Histogram, amax: float) -> Range:
    low, high = min(histogram.minimum, 0.0), max(histogram.maximum, 0.0)
    return Range(max(low, -amax), min(high, amax))
