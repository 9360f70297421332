"""The engine inspector's JSON, in every form from TensorRT 8.2 to 11 and TensorRT-RTX.

8.2 to 8.5 write Layers and Bindings; 8.6 to 10 add StreamId and Metadata; 11 writes ``I/O Tensors``
for Bindings and splits ``Format/Datatype``. With LAYER_NAMES_ONLY a layer is a bare string.
``trtexec --exportLayerInfo`` writes the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from workbench.backends.tensorrt.layers.classify import made, with_profiles
from workbench.backends.tensorrt.layers.formats import dtype_of, layout_of, shape_of
from workbench.backends.tensorrt.layers.oneline import plain_bindings
from workbench.backends.tensorrt.layers.values import Binding, EngineLayers, Layer, LayerTensor
from workbench.errors import ModelError
from workbench.graph import Shape
from workbench.text import listed, shown

_TENSOR_LISTS = ("Inputs", "Outputs", "Constants")
_KNOWN = frozenset({"Layers", "Bindings", "I/O Tensors"})


def is_engine(value: object) -> bool:
    """Whether a JSON value is what the inspector says of an engine."""
    return isinstance(value, dict) and isinstance(value.get("Layers"), list)


def is_layer(value: object) -> bool:
    """Whether a JSON value is what the inspector says of one layer."""
    return isinstance(value, dict) and "Name" in value and "LayerType" in value


def engines_in(values: tuple[Any, ...]) -> Iterator[tuple[str, Any]]:
    """(place, value) of every engine in JSON values: at the top, in a list, or by name.

    Single layers in a row, as ``get_layer_information`` gives them, make one engine.
    """
    loose = [one for value in values for one in (value if isinstance(value, list) else [value])]
    if loose and all(is_layer(one) for one in loose):
        yield "", {"Layers": loose}
        return
    for i, value in enumerate(values):
        place = f"document {i + 1}" if len(values) > 1 else ""
        inside = value.items() if isinstance(value, dict) else ()
        inside = enumerate(value) if isinstance(value, list) else inside
        if is_engine(value):
            yield place, value
        else:
            yield from ((shown(key), one) for key, one in inside if is_engine(one))


def read_engine(value: Mapping[str, Any], *, file: str = "", place: str = "") -> EngineLayers:
    """The engine of the inspector's JSON, already parsed.

    Raises:
        ModelError: a field of the wrong type; names file, layer and field.
    """
    at = _At(f"{shown(file or 'text')}{', ' + place if place else ''}")
    items = at.typed(value.get("Layers"), list, "Layers", "a list of layers")
    layers = with_profiles(_layer(one, at.inside(f"layer {i}")) for i, one in enumerate(items))
    names_only = bool(items) and all(isinstance(one, str) for one in items)
    return EngineLayers(
        "inspector names" if names_only else "inspector",
        layers,
        _bindings(value, layers, at),
        form=_form(value, items),
        file=file,
        facts={str(key): one for key, one in value.items() if key not in _KNOWN},
        warnings=() if layers else (f"{at.where}: the list of layers is empty",),
    )


@dataclass(frozen=True, slots=True)
class _At:
    """A place in a file, to say where a field is wrong."""

    where: str

    def inside(self, more: str) -> _At:
        return _At(f"{self.where}, {more}")

    def typed(self, value: Any, kind: type, key: str, expected: str) -> Any:
        if not isinstance(value, kind):
            raise ModelError(
                f"{self.where}: '{shown(key)}' is {shown(repr(value), 40)}; expected {expected}. "
                "The file is damaged or not TensorRT's: export it again"
            )
        return value


def _form(value: Mapping[str, Any], items: list[Any]) -> str:
    keys = {key for one in items[:8] if isinstance(one, dict) for key in one}
    if "I/O Tensors" in value or "Constants" in keys:
        return "11"
    if not keys:
        return ""
    return "8.6-10" if "Metadata" in keys or "StreamId" in keys else "8.2-8.5"


def _layer(value: Any, at: _At) -> Layer:
    if isinstance(value, str):
        return made(value, "", (), ())
    fields = at.typed(value, dict, "layer", "an object or a name")
    if "Name" not in fields:
        raise ModelError(
            f"{at.where}: no 'Name'; it has {listed(fields) or 'nothing'}. Expected a layer "
            "of TensorRT's engine inspector"
        )
    name = at.typed(fields["Name"], str, "Name", "text")
    at = at.inside(f"'{shown(name, 60)}'")
    kind = at.typed(fields.get("LayerType") or "", str, "LayerType", "text")
    tensors = {key: _tensors(fields.get(key), key, at) for key in _TENSOR_LISTS}
    rest = {
        str(key): one
        for key, one in fields.items()
        if key not in _TENSOR_LISTS and key not in ("Name", "LayerType")
    }
    return made(name, kind, tensors["Inputs"], tensors["Outputs"], tensors["Constants"], rest)


def _tensors(value: Any, key: str, at: _At) -> tuple[LayerTensor, ...]:
    if value is None:
        return ()
    items = at.typed(value, list, key, "a list of tensors")
    return tuple(_tensor(one, at.inside(f"{key}[{i}]")) for i, one in enumerate(items))


def _tensor(value: Any, at: _At) -> LayerTensor:
    if isinstance(value, str):
        return LayerTensor(value)
    fields = at.typed(value, dict, "tensor", "an object")
    name = at.typed(fields.get("Name"), str, "Name", "text")
    both = str(fields.get("Format/Datatype") or "")
    words = str(fields.get("Format") or both)
    dtype = dtype_of(str(fields.get("Datatype") or both))
    location = str(fields.get("Location") or "")
    shape = _shape(fields.get("Dimensions"), at)
    return LayerTensor(name, dtype, shape, words, layout_of(words), location)


def _shape(value: Any, at: _At) -> Shape | None:
    if value is None:
        return None
    extents = at.typed(value, list, "Dimensions", "a list of whole numbers")
    if any(not isinstance(extent, int) or isinstance(extent, bool) for extent in extents):
        at.typed(value, int, "Dimensions", "a list of whole numbers")
    return shape_of(extents)


def _bindings(value: Mapping[str, Any], layers: tuple[Layer, ...], at: _At) -> tuple[Binding, ...]:
    newer = at.typed(value.get("I/O Tensors") or [], list, "I/O Tensors", "a list of tensors")
    if newer:
        return tuple(_binding(one, at.inside(f"I/O tensor {i}")) for i, one in enumerate(newer))
    names = at.typed(value.get("Bindings") or [], list, "Bindings", "a list of names")
    return plain_bindings([at.typed(one, str, "Bindings", "a name") for one in names], layers)


def _binding(value: Any, at: _At) -> Binding:
    fields = at.typed(value, dict, "I/O tensor", "an object")
    name = at.typed(fields.get("Name"), str, "Name", "text")
    return Binding(
        name,
        str(fields.get("IOMode") or "").lower(),
        dtype_of(str(fields.get("DataType") or fields.get("Datatype") or "")),
        _shape(fields.get("Dimensions"), at),
        str(fields.get("Location") or ""),
        _ranges(fields.get("ProfileInfo"), at),
    )


def _ranges(value: Any, at: _At) -> tuple[tuple[Shape, Shape, Shape], ...]:
    found = []
    for one in at.typed(value or [], list, "ProfileInfo", "a list of profiles"):
        fields = at.typed(one, dict, "ProfileInfo", "a list of objects")
        low, best, high = (_shape(fields.get(f"{key}Shape"), at) for key in ("Min", "Opt", "Max"))
        if low is not None and best is not None and high is not None:
            found.append((low, best, high))
    return tuple(found)
