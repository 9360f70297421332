"""ONNX's protobuf messages as plain values: `TensorSpec`, `Node` and `Graph`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import onnx
from onnx import AttributeProto

from workbench.graph import NOTHING, Dim, Graph, Node, TensorSpec
from workbench.model.payload import dtype_name


def graph_of(proto: onnx.GraphProto, name: str = "") -> Graph:
    """A graph as a value; the body of an If, Loop or Scan is a graph in its attributes."""
    weights = (*map(tensor_spec, proto.initializer), *map(_sparse_spec, proto.sparse_initializer))
    known = {spec.name for spec in weights}
    return Graph(
        name or proto.name,
        tuple(value_spec(info) for info in proto.input if info.name not in known),
        tuple(map(value_spec, proto.output)),
        tuple(map(node_of, proto.node)),
        weights,
        tuple(map(value_spec, proto.value_info)),
    )


def node_of(proto: onnx.NodeProto) -> Node:
    """A node as a value."""
    attributes = (
        {item.name: attribute_value(item) for item in proto.attribute}
        if proto.attribute
        else NOTHING
    )
    bodies = tuple(bodies_of(proto)) if proto.attribute else ()
    return Node(
        proto.name,
        proto.op_type,
        "" if proto.domain == "ai.onnx" else proto.domain,
        tuple(proto.input),
        tuple(proto.output),
        attributes,
        (),
        tuple(dict.fromkeys(t for body in bodies for t in captured_by(body))) if bodies else (),
    )


def bodies_of(proto: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    """The graphs in a node's attributes."""
    for item in proto.attribute:
        if item.type == AttributeProto.GRAPH:
            yield item.g
        elif item.type == AttributeProto.GRAPHS:
            yield from item.graphs


def captured_by(body: onnx.GraphProto) -> list[str]:
    """Tensors a body uses from the graphs around it, in order of first use."""
    own = {item.name for item in (*body.input, *body.initializer)}
    own.update(item.values.name for item in body.sparse_initializer)
    found: dict[str, None] = {}
    for node in body.node:
        inner = (t for nested in bodies_of(node) for t in captured_by(nested))
        for tensor in (*node.input, *inner):
            if tensor and tensor not in own:
                found[tensor] = None
        own.update(node.output)
    found.update((item.name, None) for item in body.output if item.name not in own)
    return list(found)


_SIMPLE: dict[int, str] = {AttributeProto.FLOAT: "f", AttributeProto.INT: "i"}
_TUPLES: dict[int, str] = {AttributeProto.FLOATS: "floats", AttributeProto.INTS: "ints"}


def attribute_value(proto: AttributeProto) -> Any:
    """An attribute as a plain value; a tensor as its spec, a body as a graph."""
    kind = proto.type
    if kind in _SIMPLE:
        return getattr(proto, _SIMPLE[kind])
    if kind in _TUPLES:
        return tuple(getattr(proto, _TUPLES[kind]))
    match kind:
        case AttributeProto.STRING:
            return _text(proto.s)
        case AttributeProto.STRINGS:
            return tuple(map(_text, proto.strings))
        case AttributeProto.TENSOR:
            return tensor_spec(proto.t)
        case AttributeProto.TENSORS:
            return tuple(map(tensor_spec, proto.tensors))
        case AttributeProto.GRAPH:
            return graph_of(proto.g)
        case AttributeProto.GRAPHS:
            return tuple(map(graph_of, proto.graphs))
        case AttributeProto.SPARSE_TENSOR:
            return _sparse_spec(proto.sparse_tensor)
        case AttributeProto.SPARSE_TENSORS:
            return tuple(map(_sparse_spec, proto.sparse_tensors))
        case AttributeProto.TYPE_PROTO:
            return type_spec("", proto.tp)
        case AttributeProto.TYPE_PROTOS:
            return tuple(type_spec("", item) for item in proto.type_protos)
    return None


def _text(value: bytes) -> str | bytes:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value


def tensor_spec(proto: onnx.TensorProto) -> TensorSpec:
    """Name, element type and shape of a stored tensor."""
    return TensorSpec(proto.name, dtype_name(proto.data_type), tuple(proto.dims))


def _sparse_spec(proto: onnx.SparseTensorProto) -> TensorSpec:
    return TensorSpec(proto.values.name, dtype_name(proto.values.data_type), tuple(proto.dims))


def value_spec(proto: onnx.ValueInfoProto) -> TensorSpec:
    """What a value-info entry says of a tensor."""
    return type_spec(proto.name, proto.type)


def type_spec(name: str, proto: onnx.TypeProto) -> TensorSpec:
    """A type as a spec; a sequence, map or optional has its kind as dtype and no shape."""
    kind = proto.WhichOneof("value") or ""
    if kind != "tensor_type":
        return TensorSpec(name, kind.removesuffix("_type"))
    tensor = proto.tensor_type
    shape = _dims(name, tensor.shape.dim) if tensor.HasField("shape") else None
    return TensorSpec(name, dtype_name(tensor.elem_type), shape)


def _dims(name: str, dims: Iterable[onnx.TensorShapeProto.Dimension]) -> tuple[Dim, ...]:
    """Extents; one that is neither a number nor named gets a name of its own."""
    return tuple(
        dim.dim_value if dim.HasField("dim_value") else dim.dim_param or f"{name}.{axis}"
        for axis, dim in enumerate(dims)
    )
