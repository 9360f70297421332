"""What engine files say, as plain values.

Every reader of this package ends in one of these types. Nothing here knows a file format or
TensorRT itself. Times are seconds, sizes bytes; element types are ONNX's names in lower case.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from workbench.graph import Shape

EMPTY: Mapping[str, Any] = MappingProxyType({})


def _empty() -> Mapping[str, Any]:
    return EMPTY


@dataclass(frozen=True, slots=True)
class LayerTensor:
    """A tensor as a layer reads or writes it."""

    name: str
    dtype: str = ""
    """ONNX's name in lower case (``float16``, ``int8`` ...); ``""`` where the file says nothing."""
    shape: Shape | None = None
    """Extents, ``"?"`` for one fixed only at run time; None where the file says nothing."""
    format: str = ""
    """How it lies in memory, in the file's own words."""
    layout: str = ""
    """The same as TensorRT's `TensorFormat` name without the k: ``LINEAR``, ``HWC8``, ``CHW32``."""
    location: str = ""
    """``Device`` or ``Host``; ``""`` where the file says nothing."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer or kernel of an engine, in the order the engine runs them."""

    name: str
    type: str = ""
    """TensorRT's LayerType: ``CaskConvolution``, ``kgen``, ``Reformat`` ...; ``""`` if unknown."""
    inputs: tuple[LayerTensor, ...] = ()
    outputs: tuple[LayerTensor, ...] = ()
    constants: tuple[LayerTensor, ...] = ()
    """Weights and constants it reads; only the newer forms list them."""
    precision: str = ""
    """Element type it computes in, as far as types and weights tell; ``""`` if they do not."""
    tactic: str = ""
    """Name of the kernel, or the tactic's number where there is no name."""
    metadata: str = ""
    """The ``[ONNX Layer: ...]`` text as stored, control characters included."""
    stream: int | None = None
    origin: tuple[str, ...] = ()
    """ONNX node names by metadata or name syntax alone; `resolved` checks them against a graph."""
    helper: str = ""
    """What TensorRT made it for: ``reformat``, ``copy``, ``noop``, ``shape``, ``constant``,
    ``control`` (jumps of If and Loop) or ``bookkeeping``; ``""`` for a layer that does the model's
    own work."""
    profile: int = 0
    """Optimization profile it belongs to."""
    attributes: Mapping[str, Any] = field(default_factory=_empty, hash=False)
    """Everything else the file says of it, under the file's own keys."""


@dataclass(frozen=True, slots=True)
class Binding:
    """An input or output of an engine."""

    name: str
    mode: str = ""
    """``input`` or ``output``; ``""`` where the file does not tell and the layers do not show."""
    dtype: str = ""
    shape: Shape | None = None
    location: str = ""
    ranges: tuple[tuple[Shape, Shape, Shape], ...] = ()
    """(min, opt, max) of each optimization profile; empty for outputs and older forms."""


@dataclass(frozen=True)
class EngineLayers:
    """The layers of one engine, whichever file they were read from."""

    source: str
    """Kind of file: ``inspector``, ``inspector names``, ``inspector text`` or ``build summary``."""
    layers: tuple[Layer, ...]
    bindings: tuple[Binding, ...] = ()
    """Inputs and outputs of the engine; of the first profile where there are several."""
    form: str = ""
    """TensorRT versions that write this form: ``8.2-8.5``, ``8.6-10``, ``11``; ``""`` unknown."""
    version: str = ""
    """TensorRT's version where the file states it, e.g. ``10.16.1``."""
    file: str = ""
    """Where it was read from; ``""`` for text."""
    facts: Mapping[str, Any] = field(default_factory=_empty, hash=False)
    """What else the file says of the engine, e.g. ``Engine Metadata``."""
    warnings: tuple[str, ...] = ()

    @property
    def profiles(self) -> int:
        """Number of optimization profiles the layers belong to, at least 1."""
        return 1 + max((layer.profile for layer in self.layers), default=0)


@dataclass(frozen=True, slots=True)
class ProfileRow:
    """Time of one layer."""

    name: str
    total: float
    """Seconds over all iterations."""
    average: float
    """Seconds per iteration."""
    median: float | None = None
    """Seconds; None before TensorRT 8.4, which did not write it."""


@dataclass(frozen=True)
class Profile:
    """Per-layer times as trtexec's ``--exportProfile`` or ``--dumpProfile`` gives them."""

    rows: tuple[ProfileRow, ...]
    count: int = 0
    """Iterations; 0 where the file does not say."""
    file: str = ""
    warnings: tuple[str, ...] = ()

    @property
    def total(self) -> float:
        """Seconds of one iteration: the sum of the averages."""
        return sum(row.average for row in self.rows)


@dataclass(frozen=True)
class Timing:
    """Per-iteration times as trtexec's ``--exportTimes`` gives them; every tuple in run order."""

    samples: Mapping[str, tuple[float, ...]] = field(hash=False)
    """Quantity -> seconds: ``latency``, ``compute``, ``h2d``, ``d2h``, ``enqueue``, where known."""
    file: str = ""


@dataclass(frozen=True)
class Bundle:
    """Everything read from a folder, a log or several files."""

    engines: tuple[EngineLayers, ...] = ()
    profiles: tuple[Profile, ...] = ()
    timings: tuple[Timing, ...] = ()
    performance: Mapping[str, Mapping[str, float]] = field(default_factory=_empty, hash=False)
    """trtexec's summary: quantity -> statistic -> value, seconds or queries per second."""
    facts: Mapping[str, Mapping[str, str]] = field(default_factory=_empty, hash=False)
    """Section (``Build Options``, ``Device Information`` ...) -> key -> value, as written."""
    version: str = ""
    passed: bool | None = None
    """What trtexec's last line says; None where there is none."""
    problems: tuple[str, ...] = ()
    """Warning and error lines of a log, in order."""
    warnings: tuple[str, ...] = ()
