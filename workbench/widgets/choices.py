"""What a user of the Explorer can choose, as one value; and what a configuration is then called."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any

from workbench.backends.base import BuildConfig, ShapeRange
from workbench.partitioning import PRESETS, Exclusion
from workbench.partitioning.grouping import POLICIES
from workbench.precision import Precision
from workbench.text import listed, nearest, shown

PRECISIONS = ("fp32", "fp16", "bf16", "int8")

_NO_RANGES: Mapping[str, ShapeRange] = MappingProxyType({})


@dataclass(frozen=True, kw_only=True)
class Choices:
    """Everything that decides what is planned, built and measured of one network.

    Raises:
        ValueError: a field outside its range; the message names it.
    """

    source: str | None = None
    """Who says which nodes an engine takes; None asks the TensorRT parser, or the newest support
    table where none is installed."""
    backend: str = "openvino"
    """Builds the engines."""
    native: str = "onnxruntime"
    """Runs what stays outside engines."""
    threshold: int = 3
    """Smallest number of nodes worth an engine."""
    policy: str = "connected"
    preset: str | None = None
    """Framework whose counting and limit on engines hold; its policy and threshold are fields."""
    exclude: Exclusion = field(default_factory=Exclusion)
    precision: str = "fp32"
    """What nodes are computed in."""
    exact: tuple[str, ...] = ()
    """Operator types, node names or patterns that stay in FP32."""
    profiles: Mapping[str, ShapeRange] = field(default_factory=lambda: _NO_RANGES, hash=False)
    """Ranges of dynamic inputs, every one of them; equal min and max fix the input."""
    threads: int = 1
    workspace_bytes: int | None = None
    optimization_level: int | None = None
    tf32: bool = True
    timeout: float | None = 600.0
    """Seconds one engine may take to build."""
    strict: bool = False
    """Whether an engine that cannot be built is an error."""
    seconds: float = 1.0
    """Time for measuring each configuration."""
    samples: int | None = 500
    """Labelled samples accuracy is taken on, from the first; None takes all."""

    def __post_init__(self) -> None:
        _one_of("policy", self.policy, POLICIES)
        _one_of("precision", self.precision, PRECISIONS)
        if self.preset is not None:
            _one_of("preset", self.preset, tuple(PRESETS))
        _whole("threshold", self.threshold)
        if self.samples is not None:
            _whole("samples", self.samples)
        for name in ("seconds", "timeout"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise ValueError(f"{name} is {shown(value)}; must be above 0 and finite")
        object.__setattr__(self, "exact", tuple(self.exact))
        object.__setattr__(self, "profiles", MappingProxyType(dict(self.profiles)))
        self.config()

    def config(self, ranges: Mapping[str, ShapeRange] = _NO_RANGES) -> BuildConfig:
        """How engines are built, with the ranges of the inputs that stay dynamic."""
        return BuildConfig(
            shapes=ranges,
            workspace_bytes=self.workspace_bytes,
            optimization_level=self.optimization_level,
            threads=self.threads,
            tf32=self.tf32,
        )

    def label(self) -> str:
        """A short name: ``openvino, min 3, fp16, no Concat and 1 more``."""
        how = f"min {self.threshold}"
        if self.preset:
            how = f"{self.preset} {how}"
        elif self.policy != "connected":
            how = f"{how}, {self.policy}"
        parts = [self.backend, how]
        if self.precision != Precision.FP32.value:
            parts.append(self.precision)
        kept = (*self.exclude.op_types, *self.exclude.nodes, *self.exclude.tensors)
        if kept:
            first, *others = kept
            parts.append(f"no {shown(first, 30)}" + (f" and {len(others)} more" if others else ""))
        return ", ".join(parts)

    def changed(self, other: Choices) -> frozenset[str]:
        """Names of the fields that differ."""
        names = (one.name for one in fields(self))
        return frozenset(name for name in names if getattr(self, name) != getattr(other, name))

    def departures(self) -> dict[str, Any]:
        """The fields that are not as they are by default."""
        usual = Choices()
        return {
            one.name: getattr(self, one.name)
            for one in fields(self)
            if getattr(self, one.name) != getattr(usual, one.name)
        }


def _one_of(name: str, value: object, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ValueError(
            f"{name} is {shown(value)}{nearest(str(value), known)}; must be one of "
            f"{listed(known, len(known))}"
        )


def _whole(name: str, value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{name} is {shown(value)}; must be a whole number from 1")
