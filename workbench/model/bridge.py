"""A model as `onnx_ir` sees it, without copying weights."""

from __future__ import annotations

import secrets
from typing import Any

import numpy as np
import onnx
import onnx_ir

from workbench.model.payload import Filed, Held, Payload, Store, array_of, mark_of, tensors_in
from workbench.model.wire import INLINE_BYTES


def to_ir(proto: onnx.ModelProto, store: Store) -> onnx_ir.Model:
    """The model with its payloads shared: views of memory, or external tensors of their files."""
    model = onnx_ir.serde.deserialize_model(proto)
    tensors: dict[str, Any] = {}
    for tensor in tensors_in(proto):
        mark = mark_of(tensor)
        if mark is not None:
            tensors[mark] = _tensor(tensor, store, mark)
    graphs = [model.graph, *model.graph.subgraphs()]
    for graph in graphs:
        for value in graph.initializers.values():
            if isinstance(value.const_value, onnx_ir.ExternalTensor):
                value.const_value = tensors[str(value.const_value.location)]
    for graph in (*graphs, *model.functions.values()):
        for node in graph:
            _replace_attributes(node, tensors)
    return model


def _tensor(tensor: onnx.TensorProto, store: Store, mark: str) -> Any:
    payload = store[mark]
    dtype = onnx_ir.DataType(tensor.data_type)
    shape = onnx_ir.Shape(tensor.dims)
    if isinstance(payload, Filed):
        return onnx_ir.ExternalTensor(
            payload.path.name, payload.offset, payload.nbytes, dtype,
            shape=shape, name=tensor.name, base_dir=payload.path.parent,
        )  # fmt: skip
    return onnx_ir.Tensor(array_of(tensor, store), dtype=dtype, shape=shape, name=tensor.name)


def _replace_attributes(node: onnx_ir.Node, tensors: dict[str, Any]) -> None:
    for name, item in list(node.attributes.items()):
        if item.type == onnx_ir.AttributeType.TENSOR and isinstance(
            item.value, onnx_ir.ExternalTensor
        ):
            node.attributes[name] = onnx_ir.AttrTensor(name, tensors[str(item.value.location)])


def from_ir(model: onnx_ir.Model) -> tuple[onnx.ModelProto, dict[str, Payload]]:
    """The skeleton of an `onnx_ir` model and its large initializers, which are shared with it."""
    store: dict[str, Payload] = {}
    swapped: list[tuple[onnx_ir.Value, Any]] = []
    token = secrets.token_hex(8)
    try:
        for value in model.graph.initializers.values():
            tensor = value.const_value
            if tensor is None or tensor.nbytes <= INLINE_BYTES:
                continue
            if tensor.dtype == onnx_ir.DataType.STRING:
                continue
            mark = f"#{token}/{len(store)}"
            store[mark] = Held(_view(tensor))
            # While it is written out, a mark stands in for each weight: nothing is copied.
            swapped.append((value, tensor))
            value.const_value = onnx_ir.ExternalTensor(
                mark, None, None, tensor.dtype,
                shape=onnx_ir.Shape(tensor.shape.numpy()), name=value.name or "", base_dir="",
            )  # fmt: skip
        return onnx_ir.serde.serialize_model(model), store
    finally:
        for value, tensor in swapped:
            value.const_value = tensor


def _view(tensor: Any) -> memoryview:
    """The tensor's raw bytes, not copied where it is a contiguous array of whole bytes."""
    if tensor.dtype.bitwidth < 8:
        return memoryview(tensor.tobytes())
    array = np.ascontiguousarray(tensor.numpy())
    return array.reshape(-1).view(np.uint8).data
