"""What a build with TensorRT was asked for, checked before TensorRT sees any of it.

TensorRT takes much silently (a profile with min above max, a misspelt input name, a level of 9) and
tells it, if at all, at the end of a long build.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from workbench.backends.base import BuildConfig, ShapeRange
from workbench.backends.records import checked_ranges
from workbench.backends.tensorrt.adapter import TARGETS
from workbench.graph import TensorSpec
from workbench.text import listed, nearest, shown


@dataclass(frozen=True, slots=True)
class Options:
    """`BuildConfig.options` of this backend."""

    compute_capabilities: tuple[str, ...] = TARGETS
    """TensorRT-RTX: GPU architectures the plan is for, by its own names (``SM89``)."""
    shape_values: Mapping[str, ShapeRange] = field(default_factory=dict, hash=False)
    """Values, not extents, of inputs that are shapes themselves, by tensor name."""
    hardware: str = ""
    """GPUs the plan shall run on beside the one it is built on, by the name of the member of
    TensorRT's `HardwareCompatibilityLevel`: ``AMPERE_PLUS``, ``SAME_COMPUTE_CAPABILITY``."""
    version_compatible: bool = False
    """Whether later versions of TensorRT shall load the plan; it then holds a lean runtime."""
    refit: bool = False
    """Whether `PlanEngine.refit` shall put other weights in without a build; some fusions go."""
    weight_streaming_bytes: int | None = None
    """GPU memory for weights, the rest streams in at each run; None keeps all on the GPU."""
    half: bool = False
    """Before TensorRT 10: whether what the model computes in FP32 may run in FP16 where that is
    faster, as between INT8 layers; later versions keep the types of the model."""
    timing_cache: bool | None = None
    """Whether times of kernels from earlier builds on this GPU are used, and kept; None is yes from
    TensorRT 10 on. 8.6 was seen to crash on a cache of its own."""


_KNOWN = tuple(one.name for one in fields(Options))
_YES_OR_NO = ("version_compatible", "refit", "half", "timing_cache")


def options_of(config: BuildConfig) -> Options:
    """The options of a config.

    Raises:
        ValueError: an unknown option or a value it cannot have; lists what there is.
    """
    given = dict(config.options)
    for name in given:
        if name not in _KNOWN:
            raise ValueError(
                f"TensorRT has no option {shown(name)}{nearest(str(name), _KNOWN)}; "
                f"options are {', '.join(_KNOWN)}"
            )
    for name in _YES_OR_NO:
        if not isinstance(given.get(name, False), bool | None):
            raise ValueError(f"{name} is {shown(given[name])}; must be True or False")
    given["compute_capabilities"] = _targets(given.get("compute_capabilities", TARGETS))
    given["shape_values"] = _values(given.get("shape_values", {}))
    given["hardware"] = _hardware(given.get("hardware", ""))
    _refuse_budget(given.get("weight_streaming_bytes"))
    return Options(**given)


def profile_of(
    inputs: Sequence[TensorSpec], config: BuildConfig, backend: str = "tensorrt"
) -> dict[str, ShapeRange]:
    """A range for each input with an extent that is not fixed.

    Raises:
        ValueError: a range that does not fit, or none for a dynamic input; names the input and
            what to do.
    """
    ranges = checked_ranges(inputs, config.shapes)
    for spec in inputs:
        if spec.shape is None:
            raise ValueError(
                f"{backend}: the rank of input {shown(spec.name)} is not known; "
                "fix it with Model.with_shapes, or raise min_subgraph_size past this subgraph"
            )
        if spec.name not in ranges and any(isinstance(dim, str) for dim in spec.shape):
            raise ValueError(
                f"{backend}: input {shown(spec.name)} of shape ({listed(spec.shape, 16)}) has no "
                f"range; give BuildConfig(shapes={{{shown(spec.name)!r}: ShapeRange(min, opt, "
                "max)}), fix it with Model.with_shapes, or raise min_subgraph_size past this "
                "subgraph"
            )
    return ranges


def _targets(value: Any) -> tuple[str, ...]:
    names = (value,) if isinstance(value, str) else tuple(value)
    if not names or not all(isinstance(name, str) for name in names):
        raise ValueError(
            f"compute_capabilities is {shown(value)}; must be one or more names such as 'SM89'"
        )
    return names


def _hardware(value: Any) -> str:
    levels = ("AMPERE_PLUS", "SAME_COMPUTE_CAPABILITY")
    if value not in ("", "NONE", *levels):
        raise ValueError(
            f"hardware is {shown(value)}; must be one of {', '.join(levels)}, or '' for the GPU "
            "it is built on"
        )
    return "" if value == "NONE" else value


def _refuse_budget(value: Any) -> None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 0):
        raise ValueError(
            f"weight_streaming_bytes is {shown(value)}; must be a whole number of bytes, or None "
            "to keep all weights on the GPU"
        )


def _values(value: Any) -> dict[str, ShapeRange]:
    if not isinstance(value, Mapping) or not all(
        isinstance(one, ShapeRange) for one in value.values()
    ):
        raise ValueError("shape_values must map input names to ShapeRange(min, opt, max) of values")
    return dict(value)
