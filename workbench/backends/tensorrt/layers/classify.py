"""From the raw fields of a layer to a `Layer`: origin, precision, helper and profile."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from workbench.backends.tensorrt.layers.formats import dtype_of
from workbench.backends.tensorrt.layers.names import (
    base_name,
    metadata_names,
    name_parts,
    profile_of,
)
from workbench.backends.tensorrt.layers.values import Layer, LayerTensor

_FLOATING = ("float", "bfloat")
_WEIGHTED = frozenset({"correlation", "gemm", "runtime_fusion", "fusion"})
_MOVE = re.compile(r"__myl_(?:Move|Tran|Cast|Resh|Repl|Conc|Slic)+_")
_HELPERS: Mapping[str, str] = {
    "NoOp": "noop", "MyelinReformat": "reformat", "copy": "copy", "Memcpy": "copy",
    "shape_call": "shape", "ShapeHostToDevice": "shape", "HostToDeviceCopy": "shape",
    "Constant": "constant", "memset": "constant", "jmp": "control", "cjmp": "control",
    "signal": "bookkeeping", "wait": "bookkeeping",
}  # fmt: skip
_COMPILER_UNIT = re.compile(r"_(myl\d+)_\d+$")


def made(
    name: str,
    kind: str,
    inputs: tuple[LayerTensor, ...],
    outputs: tuple[LayerTensor, ...],
    constants: tuple[LayerTensor, ...] = (),
    attributes: Mapping[str, Any] | None = None,
) -> Layer:
    """A layer from the fields every form has; `attributes` is everything else by the file's keys.

    TacticName, TacticValue, StreamId and Metadata are taken from `attributes`.
    """
    raw = dict(attributes or {})
    metadata = raw.pop("Metadata", "")
    metadata = metadata if isinstance(metadata, str) else str(metadata)
    stream = raw.pop("StreamId", None)
    tactic = raw.pop("TacticName", "") or raw.get("TacticValue", "") or ""
    layer = Layer(
        name,
        kind,
        inputs,
        outputs,
        constants,
        tactic=str(tactic),
        metadata=metadata,
        stream=stream if isinstance(stream, int) else None,
        origin=metadata_names(metadata) or name_parts(name),
        profile=max(map(profile_of, (name, *(t.name for t in (*inputs, *outputs)))), default=0),
        attributes=raw,
    )
    return replace(layer, precision=_precision(layer), helper=_helper(layer))


def with_profiles(layers: Iterable[Layer]) -> tuple[Layer, ...]:
    """The layers with the profile spread over each compiled unit.

    Only some layers of a compiled unit (``..._myl11_3``) carry `` [profile 1]`` in a name; all of
    them belong to that profile.
    """
    layers = tuple(layers)
    units: dict[str, int] = {}
    for layer in layers:
        unit = _unit(layer)
        if unit and layer.profile:
            units[unit] = layer.profile
    return tuple(
        replace(layer, profile=units[unit]) if (unit := _unit(layer)) in units else layer
        for layer in layers
    )


def _unit(layer: Layer) -> str:
    found = _COMPILER_UNIT.search(base_name(layer.name))
    return found[1] if found else ""


def _precision(layer: Layer) -> str:
    """The type of the weights, else of the first floating input, input or output.

    A matrix or convolution kernel computes in the type of its first input: both operands agree.
    """
    weights = layer.attributes.get("Weights") or layer.attributes.get("ConvWeights")
    if isinstance(weights, Mapping) and weights.get("Count"):
        found = dtype_of(str(weights.get("Type", "")))
        if found:
            return found
    inputs = [tensor.dtype for tensor in layer.inputs if tensor.dtype]
    if inputs and (layer.type in _WEIGHTED or "onvolution" in layer.type):
        return inputs[0]
    dtypes = inputs + [tensor.dtype for tensor in layer.outputs if tensor.dtype]
    floating = [dtype for dtype in dtypes if dtype.startswith(_FLOATING)]
    return (floating or dtypes or [""])[0]


def _helper(layer: Layer) -> str:
    name, kind = layer.name, layer.type
    if name.startswith("Reformatting CopyNode") and kind != "NoOp":
        return "reformat"
    if kind == "Reformat":
        return "" if layer.attributes.get("Origin") == "QDQ" or layer.metadata else "reformat"
    if kind in _HELPERS:
        return _HELPERS[kind]
    if kind == "custom_layer" and not layer.metadata and not layer.outputs:
        return "bookkeeping"
    if name.startswith("copied_") or name.endswith(" copy"):
        return "copy"
    return "copy" if not layer.metadata and _MOVE.match(name) else ""
