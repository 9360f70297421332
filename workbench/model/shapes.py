"""Fixing dynamic extents of a model's inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import onnx

from workbench.errors import ModelError
from workbench.model.child import call
from workbench.model.core import Model
from workbench.model.infer import inferred
from workbench.model.plain import bodies_of
from workbench.text import nearest, shown


def with_shapes(model: Model, shapes: Mapping[str, Sequence[int]]) -> Model:
    """See `Model.with_shapes`."""
    proto = onnx.ModelProto()
    proto.CopyFrom(model._proto)
    names = _bind(proto, shapes)
    if proto.graph.input == model._proto.graph.input:
        return model
    if names:
        _substitute(proto.graph, names)
    if model._guarded:
        proto, warnings = call(infer_bytes, proto.SerializeToString())
        proto = onnx.ModelProto.FromString(proto)
    else:
        proto, warnings = inferred(proto)
    new = [*model.warnings, *(text for text in warnings if text not in model.warnings)]
    return Model(
        proto, model._store, path=model.path, name=model.name, warnings=new, guarded=model._guarded
    )


def infer_bytes(skeleton: bytes) -> tuple[bytes, list[str]]:
    """Shape inference on a serialized skeleton, for the child process."""
    proto, warnings = inferred(onnx.ModelProto.FromString(skeleton))
    return proto.SerializeToString(), warnings


def _bind(proto: onnx.ModelProto, shapes: Mapping[str, Sequence[int]]) -> dict[str, int]:
    """Set the extents of the inputs; the value of each named extent.

    Raises:
        ModelError: see `Model.with_shapes`.
    """
    entries = {info.name: info for info in proto.graph.input}
    bound: dict[str, int] = {}
    for name, shape in shapes.items():
        if name not in entries:
            raise ModelError(
                f"no input {shown(name)}{nearest(name, entries)}; cannot fix its shape"
            )
        tensor = entries[name].type.tensor_type
        if not tensor.HasField("shape"):
            for _ in shape:
                tensor.shape.dim.add()
        if len(tensor.shape.dim) != len(shape):
            raise ModelError(
                f"input {shown(name)} has rank {len(tensor.shape.dim)}, not {len(shape)}; "
                "give an extent for every axis"
            )
        for axis, (dim, extent) in enumerate(zip(tensor.shape.dim, shape, strict=True)):
            _fix(f"input {shown(name)}, axis {axis}", dim, extent, bound)
    return bound


def _fix(
    where: str, dim: onnx.TensorShapeProto.Dimension, extent: int, bound: dict[str, int]
) -> None:
    if isinstance(extent, bool) or not isinstance(extent, int) or not 0 < extent < 1 << 40:
        raise ModelError(f"{where}: extent {shown(extent)}; must be a whole number above 0")
    if dim.HasField("dim_value") and dim.dim_value != extent:
        raise ModelError(f"{where}: fixed at {dim.dim_value} in the model, cannot become {extent}")
    if dim.dim_param and bound.setdefault(dim.dim_param, extent) != extent:
        raise ModelError(
            f"{where}: extent {shown(dim.dim_param)} would be both {bound[dim.dim_param]} and "
            f"{extent}; the model uses one name for both"
        )
    dim.dim_value = extent


def _substitute(graph: onnx.GraphProto, names: Mapping[str, int]) -> None:
    for info in (*graph.input, *graph.output, *graph.value_info):
        for dim in info.type.tensor_type.shape.dim if info.type.HasField("tensor_type") else ():
            if dim.dim_param in names:
                dim.dim_value = names[dim.dim_param]
    for node in graph.node:
        for body in bodies_of(node) if node.attribute else ():
            _substitute(body, names)
