"""A model's identity by content."""

from __future__ import annotations

import hashlib
import json
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import onnx
from onnx import AttributeProto

from workbench.model.payload import Store, array_of, mark_of, tensors_in

_CHUNK = 1 << 22
_LARGE = 1 << 18


def digest_of(model: onnx.ModelProto, store: Store) -> str:
    """SHA-256 in hex of structure, attributes, edges, names, interface types and weights."""
    _hash_large(model, store)
    content = {
        "ir": model.ir_version,
        "opsets": sorted((item.domain or "", item.version) for item in model.opset_import),
        "graph": _graph(model.graph, store),
        "functions": sorted(_function(item, store) for item in model.functions),
    }
    return _hash(content)


def _hash_large(model: onnx.ModelProto, store: Store) -> None:
    """Hash large weights on several threads; the rest of the digest finds the results."""
    marked = [(tensor, mark_of(tensor)) for tensor in tensors_in(model)]
    large = [tensor for tensor, mark in marked if mark and store[mark].nbytes > _LARGE]
    if len(large) > 1:
        with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
            for _ in pool.map(lambda tensor: _tensor(tensor, store), large):
                pass


def _hash(content: Any) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _graph(graph: onnx.GraphProto, store: Store) -> dict[str, Any]:
    return {
        "inputs": [_info(info) for info in graph.input],
        "outputs": [_info(info) for info in graph.output],
        "nodes": sorted(_node(node, store) for node in graph.node),
        "weights": sorted([t.name, _tensor(t, store)] for t in graph.initializer),
        "sparse": sorted([t.values.name, _sparse(t, store)] for t in graph.sparse_initializer),
    }


def _function(function: onnx.FunctionProto, store: Store) -> str:
    return _hash(
        {
            "id": [function.domain, function.name, function.overload],
            "inputs": list(function.input),
            "outputs": list(function.output),
            "attributes": sorted(function.attribute),
            "defaults": sorted(_attribute(item, store) for item in function.attribute_proto),
            "opsets": sorted((item.domain, item.version) for item in function.opset_import),
            "nodes": [_node(node, store) for node in function.node],
        }
    )


def _node(node: onnx.NodeProto, store: Store) -> str:
    """JSON of a node rather than its hash: most nodes are shorter than that."""
    return json.dumps(
        [
            node.name, node.op_type, node.domain, node.overload, list(node.input),
            list(node.output), sorted(_attribute(item, store) for item in node.attribute),
        ]
    )  # fmt: skip


def _attribute(item: AttributeProto, store: Store) -> list[Any]:
    match item.type:
        case AttributeProto.GRAPH:
            value: Any = _hash(_graph(item.g, store))
        case AttributeProto.GRAPHS:
            value = [_hash(_graph(graph, store)) for graph in item.graphs]
        case AttributeProto.TENSOR:
            value = _tensor(item.t, store)
        case AttributeProto.TENSORS:
            value = [_tensor(tensor, store) for tensor in item.tensors]
        case AttributeProto.SPARSE_TENSOR:
            value = _sparse(item.sparse_tensor, store)
        case AttributeProto.SPARSE_TENSORS:
            value = [_sparse(tensor, store) for tensor in item.sparse_tensors]
        case _:
            bare = AttributeProto()
            bare.CopyFrom(item)
            bare.ClearField("doc_string")
            value = bare.SerializeToString(deterministic=True).hex()
    return [item.name, int(item.type), item.ref_attr_name, value]


def _info(info: onnx.ValueInfoProto) -> list[str]:
    return [info.name, info.type.SerializeToString(deterministic=True).hex()]


def _sparse(tensor: onnx.SparseTensorProto, store: Store) -> str:
    return _hash([list(tensor.dims), _tensor(tensor.values, store), _tensor(tensor.indices, store)])


def _tensor(tensor: onnx.TensorProto, store: Store) -> str:
    """Hash of type, shape and raw bytes: equal for equal values however the file holds them."""
    head = f"{tensor.data_type}:{list(tensor.dims)}:"
    mark = mark_of(tensor)
    if mark is not None:
        payload = store[mark]
        view = payload.view()  # refuses a data file that was changed, hashed before or not
        if head not in payload.hashes:
            payload.hashes[head] = _hash_of(head, view)
        return payload.hashes[head]
    if tensor.data_type == onnx.TensorProto.STRING:
        raw = b"".join(len(text).to_bytes(8, "little") + text for text in tensor.string_data)
    elif tensor.HasField("raw_data"):
        raw = tensor.raw_data
    else:
        raw = onnx.numpy_helper.from_array(array_of(tensor, store)).raw_data
    return _hash_of(head, memoryview(raw))


def _hash_of(head: str, view: memoryview) -> str:
    state = hashlib.sha256(head.encode())
    for at in range(0, len(view), _CHUNK):
        state.update(view[at : at + _CHUNK])
    return state.hexdigest()
