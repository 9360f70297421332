"""Stored tensors: shape, type and payload must agree before anything is allocated for them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import AttributeProto, TensorProto

from workbench.errors import ModelError
from workbench.model.limits import Limits
from workbench.model.payload import Store, array_of, dtype_name, mark_of, raw_bytes_of
from workbench.text import shown

MOST_AXES = 64
"""More than any library here can hold."""

_FIELD_OF: dict[int, str] = {
    TensorProto.FLOAT: "float_data", TensorProto.COMPLEX64: "float_data",
    TensorProto.DOUBLE: "double_data", TensorProto.COMPLEX128: "double_data",
    TensorProto.INT64: "int64_data",
    TensorProto.UINT32: "uint64_data", TensorProto.UINT64: "uint64_data",
    TensorProto.STRING: "string_data",
}  # fmt: skip
"""Where a type's values go when they are no raw bytes; all others share ``int32_data``."""

_FIELDS = (
    "float_data", "int32_data", "string_data", "int64_data", "double_data", "uint64_data",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Located:
    """A stored tensor and where it is, for messages."""

    tensor: TensorProto
    node: str = ""
    """The node whose attribute holds it; empty for an initializer."""

    @property
    def label(self) -> str:
        """What messages call it."""
        if self.node:
            return f"tensor {shown(self.tensor.name)} in node {shown(self.node)}".replace("  ", " ")
        return f"tensor {shown(self.tensor.name)}"


def located(model: onnx.ModelProto) -> Iterator[Located]:
    """Every stored tensor of a model with the node it belongs to, sparse ones' parts included."""
    yield from _in_graph(model.graph)
    for function in model.functions:
        for node in function.node:
            yield from _in_node(node)
        for item in function.attribute_proto:
            yield from _in_attribute(item, function.name)


def _in_graph(graph: onnx.GraphProto) -> Iterator[Located]:
    for tensor in graph.initializer:
        yield Located(tensor)
    for sparse in graph.sparse_initializer:
        yield Located(sparse.values)
        yield Located(sparse.indices)
    for node in graph.node:
        if node.attribute:
            yield from _in_node(node)


def _in_node(node: onnx.NodeProto) -> Iterator[Located]:
    for item in node.attribute:
        yield from _in_attribute(item, node.name or node.op_type)


def _in_attribute(item: AttributeProto, node: str) -> Iterator[Located]:
    if item.HasField("t"):
        yield Located(item.t, node)
    for tensor in item.tensors:
        yield Located(tensor, node)
    for sparse in (*((item.sparse_tensor,) if item.HasField("sparse_tensor") else ()),
                   *item.sparse_tensors):  # fmt: skip
        yield Located(sparse.values, node)
        yield Located(sparse.indices, node)
    for graph in (*((item.g,) if item.HasField("g") else ()), *item.graphs):
        yield from _in_graph(graph)


def size_of(place: Located, limits: Limits) -> int:
    """Elements of a stored tensor.

    Raises:
        ModelError: an element type or a shape that cannot be.
    """
    tensor = place.tensor
    if not dtype_name(tensor.data_type):
        raise ModelError(
            f"{place.label} has element type {tensor.data_type}, which ONNX {onnx.__version__} "
            "does not have; the file is damaged or newer"
        )
    if len(tensor.dims) > MOST_AXES:
        raise ModelError(f"{place.label} has {len(tensor.dims)} axes; at most {MOST_AXES} can be")
    if any(extent < 0 for extent in tensor.dims):
        raise ModelError(
            f"{place.label} has shape {shown(list(tensor.dims))}; a stored extent cannot be "
            "negative. Export it anew"
        )
    elements = math.prod(tensor.dims)
    need = raw_bytes_of(tensor.data_type, elements) or elements
    if need > limits.tensor_bytes:
        raise ModelError(
            f"{place.label} has shape {shown(list(tensor.dims))}, which needs {need} bytes; the "
            f"limit is {limits.tensor_bytes}. If the file is trusted, allow more with "
            "Limits(tensor_bytes=...)"
        )
    return elements


def check_tensor(place: Located, store: Store, limits: Limits) -> None:
    """Refuse a tensor whose payload is not exactly what its type and shape need.

    External payloads must be in the store already.
    """
    tensor = place.tensor
    elements = size_of(place, limits)
    if tensor.HasField("segment"):
        raise ModelError(f"{place.label} is stored in segments, which nothing reads; export anew")
    filled = [name for name in _FIELDS if len(getattr(tensor, name))]
    raw = len(tensor.raw_data)
    mark = mark_of(tensor)
    if mark is None and tensor.external_data:
        raise ModelError(f"{place.label} names a data file but is said to be inside; export anew")
    if len(filled) + bool(raw) + (mark is not None) > 1:
        found = ", ".join([*filled, *(["raw_data"] if raw else []), *(["a mark"] if mark else [])])
        raise ModelError(
            f"{place.label} has two payloads ({found}); readers would disagree on its values. "
            "Export it anew"
        )
    if mark is not None:
        _check_bytes(place, elements, store[mark].nbytes)
    elif filled:
        _check_values(place, elements, filled[0])
    elif raw or elements:
        _check_bytes(place, elements, raw)


def _check_bytes(place: Located, elements: int, found: int) -> None:
    need = raw_bytes_of(place.tensor.data_type, elements)
    dtype, shape = dtype_name(place.tensor.data_type), shown(list(place.tensor.dims))
    if need is None:
        if found or elements:
            raise ModelError(
                f"{place.label} holds {elements} strings but has {found} raw bytes; strings have "
                "no raw form. Export it anew"
            )
    elif need != found:
        raise ModelError(
            f"{place.label} ({dtype} {shape}) needs {need} bytes but has {found}; the file is "
            "damaged or cut off. Fetch or export it again"
        )


def _check_values(place: Located, elements: int, field: str) -> None:
    tensor = place.tensor
    kind = tensor.data_type
    right = _FIELD_OF.get(kind, "int32_data")
    if field != right:
        raise ModelError(
            f"{place.label} ({dtype_name(kind)}) keeps its values in {field}; expected {right} or "
            "raw_data. Export it anew"
        )
    need = elements
    if kind in (TensorProto.COMPLEX64, TensorProto.COMPLEX128):
        need *= 2
    elif dtype_name(kind).endswith(("int4", "int2", "e2m1")):
        # Packed: one byte of elements to an entry.
        need = raw_bytes_of(kind, elements) or 0
    found = len(getattr(tensor, field))
    if need != found:
        raise ModelError(
            f"{place.label} ({dtype_name(kind)} {shown(list(tensor.dims))}) needs {need} values in "
            f"{field} but has {found}; the file is damaged or cut off. Fetch or export it again"
        )


def check_sparse(model: onnx.ModelProto, store: Store, limits: Limits) -> None:
    """Refuse sparse tensors whose indices do not fit their shape."""
    for sparse in _sparse_in(model.graph):
        label = f"sparse tensor {shown(sparse.values.name)}"
        shape = TensorProto(name=sparse.values.name, data_type=sparse.values.data_type)
        shape.dims.extend(sparse.dims)
        total = size_of(Located(shape), limits)
        need = raw_bytes_of(sparse.values.data_type, total) or total
        _check_dense(label, list(sparse.dims), need, limits)
        count = math.prod(sparse.values.dims)
        if len(sparse.values.dims) != 1 or sparse.indices.data_type != TensorProto.INT64:
            raise ModelError(f"{label} needs a list of values and int64 indices; export it anew")
        if list(sparse.indices.dims) not in ([count], [count, len(sparse.dims)]):
            raise ModelError(
                f"{label} has {count} values but indices of shape "
                f"{shown(list(sparse.indices.dims))}; expected [{count}] or "
                f"[{count}, {len(sparse.dims)}]. Export it anew"
            )
        indices = array_of(sparse.indices, store)
        high = np.array([total] if indices.ndim == 1 else list(sparse.dims), dtype=np.int64)
        table = indices.reshape(count, len(high))
        if np.any((table < 0) | (table >= high)):
            raise ModelError(
                f"{label} has an index outside its shape {shown(list(sparse.dims))}; the file is "
                "damaged, export it anew"
            )


def _check_dense(label: str, dims: list[int], need: int, limits: Limits) -> None:
    if need > limits.allocation_bytes:
        raise ModelError(
            f"{label} has shape {shown(dims)}, which needs {need} bytes when it is written "
            f"out; the limit is {limits.allocation_bytes}. If the file is trusted, allow "
            "more with Limits(allocation_bytes=...)"
        )


def _sparse_in(graph: onnx.GraphProto) -> Iterator[onnx.SparseTensorProto]:
    yield from graph.sparse_initializer
    for node in graph.node:
        for item in node.attribute:
            if item.HasField("sparse_tensor"):
                yield item.sparse_tensor
            yield from item.sparse_tensors
            for body in (*((item.g,) if item.HasField("g") else ()), *item.graphs):
                yield from _sparse_in(body)
