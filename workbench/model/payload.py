"""Where the bytes of a weight are: in memory, or in a data file beside the model.

A model keeps its structure (the skeleton) and its weights apart. In the skeleton a mark stands for
each payload; a store maps marks to payloads. Models made from one another share payloads, so
cutting a subgraph out or fixing a shape copies no weight.
"""

from __future__ import annotations

import dataclasses
import mmap
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto
from onnx.helper import tensor_dtype_to_np_dtype

from workbench.errors import ModelError
from workbench.graph import ITEM_BITS
from workbench.text import shown

Identity = tuple[int, int, int, int]
"""Device, inode, size and modification time in nanoseconds of a data file when it was checked."""


@dataclass(frozen=True, slots=True)
class Held:
    """Bytes in memory, little-endian and packed as ONNX's raw data."""

    buffer: memoryview
    hashes: dict[str, str] = dataclasses.field(default_factory=dict, compare=False, repr=False)
    """What `digest` has computed of it: models made from one another hash their weights once."""

    @property
    def nbytes(self) -> int:
        """Size in bytes."""
        return self.buffer.nbytes

    def view(self) -> memoryview:
        """The bytes, not copied."""
        return self.buffer


@dataclass(frozen=True, slots=True)
class Filed:
    """Bytes of a data file, mapped into memory when they are asked for."""

    path: Path
    offset: int
    nbytes: int
    identity: Identity
    hashes: dict[str, str] = dataclasses.field(default_factory=dict, compare=False, repr=False)
    """As in `Held`."""

    def view(self) -> memoryview:
        """The bytes, mapped; pages are read when they are touched.

        Raises:
            ModelError: the file is gone or was changed since the model was loaded.
        """
        if self.nbytes == 0:
            return memoryview(b"")
        try:
            with self.path.open("rb") as file:
                now = identity_of(os.fstat(file.fileno()))
                start = self.offset // mmap.ALLOCATIONGRANULARITY * mmap.ALLOCATIONGRANULARITY
                if now != self.identity:
                    raise ModelError(
                        f"data file {shown(self.path)} was changed after the model was loaded; "
                        "load the model again"
                    )
                length = self.offset - start + self.nbytes
                mapped = mmap.mmap(file.fileno(), length, access=mmap.ACCESS_READ, offset=start)
        except OSError as error:
            raise ModelError(
                f"data file {shown(self.path)} can no longer be read ({error.strerror}); "
                "put it back beside the model"
            ) from error
        return memoryview(mapped)[self.offset - start :]


Payload = Held | Filed
Store = Mapping[str, Payload]
"""Mark in a skeleton -> payload."""


def identity_of(stat: os.stat_result) -> Identity:
    """What tells a changed data file from an unchanged one."""
    return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns


def dtype_name(code: int) -> str:
    """ONNX's element type as this package spells it, ``""`` where there is none such.

    ONNX calls float32 FLOAT and float64 DOUBLE.
    """
    name = {1: "float32", 11: "float64"}.get(code) or (
        TensorProto.DataType.Name(code).lower() if code in TensorProto.DataType.values() else ""
    )
    return "" if name == "undefined" else name


def raw_bytes_of(dtype: int, elements: int) -> int | None:
    """Bytes of that many elements as raw data, None for a type that has no raw form."""
    bits = ITEM_BITS.get(dtype_name(dtype))
    return None if bits is None else (elements * bits + 7) // 8


def mark_of(tensor: TensorProto) -> str | None:
    """The mark that stands for the tensor's payload, None where the payload is in the tensor."""
    if tensor.data_location != TensorProto.EXTERNAL:
        return None
    return next((pair.value for pair in tensor.external_data if pair.key == "location"), None)


def array_of(tensor: TensorProto, store: Store) -> np.ndarray:
    """The tensor's values, read-only; not copied where the type has eight bits or more."""
    mark = mark_of(tensor)
    if mark is None:
        array = np.asarray(onnx.numpy_helper.to_array(tensor))
    elif ITEM_BITS[dtype_name(tensor.data_type)] < 8:
        whole = TensorProto(dims=tensor.dims, data_type=tensor.data_type)
        whole.raw_data = bytes(store[mark].view())
        array = onnx.numpy_helper.to_array(whole)
    else:
        dtype = tensor_dtype_to_np_dtype(tensor.data_type)
        array = np.frombuffer(store[mark].view(), dtype=dtype).reshape(tuple(tensor.dims))
    if array.flags.writeable:
        array.flags.writeable = False
    return array


def tensors_in(model: onnx.ModelProto) -> Iterator[TensorProto]:
    """Every tensor of a model: initializers, attributes, in bodies and in functions."""
    yield from _of_graph(model.graph)
    for function in model.functions:
        for node in function.node:
            yield from tensors_of_node(node)
        for attribute in function.attribute_proto:
            yield from _of_attribute(attribute)


def _of_graph(graph: onnx.GraphProto) -> Iterator[TensorProto]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield sparse.values
        yield sparse.indices
    for node in graph.node:
        if node.attribute:
            yield from tensors_of_node(node)


def tensors_of_node(node: onnx.NodeProto) -> Iterator[TensorProto]:
    """Every tensor in the attributes of a node, bodies included."""
    for attribute in node.attribute:
        yield from _of_attribute(attribute)


def _of_attribute(attribute: onnx.AttributeProto) -> Iterator[TensorProto]:
    if attribute.HasField("t"):
        yield attribute.t
    if attribute.HasField("g"):
        yield from _of_graph(attribute.g)
    if attribute.HasField("sparse_tensor"):
        yield attribute.sparse_tensor.values
        yield attribute.sparse_tensor.indices
    yield from attribute.tensors
    for graph in attribute.graphs:
        yield from _of_graph(graph)
    for sparse in attribute.sparse_tensors:
        yield sparse.values
        yield sparse.indices


def set_mark(tensor: TensorProto, mark: str) -> None:
    """Let a mark stand for the tensor's payload."""
    for name in (
        "raw_data", "float_data", "int32_data", "int64_data", "double_data", "uint64_data",
        "external_data",
    ):  # fmt: skip
        tensor.ClearField(name)
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=mark)


def put_payload(tensor: TensorProto, store: Store) -> None:
    """The reverse of `set_mark`: copy the payload into the tensor."""
    mark = mark_of(tensor)
    if mark is not None:
        tensor.raw_data = bytes(store[mark].view())
        tensor.ClearField("external_data")
        tensor.ClearField("data_location")
