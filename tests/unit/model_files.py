"""Small ONNX files, right and wrong, made when a test asks for them."""

from __future__ import annotations

import gzip
import io
import pickle
import zipfile
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FLOAT, INT64, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL


def value(name: str, shape: Sequence[int | str] | None, dtype: int = FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, dtype, shape)


def node(
    op: str, inputs: Sequence[str], outputs: Sequence[str], name: str = "n", **attributes: Any
):
    return helper.make_node(op, inputs, outputs, name=name, **attributes)


def stored(name: str, array: Any) -> TensorProto:
    return numpy_helper.from_array(np.asarray(array), name)


def ints(name: str, *values: int) -> TensorProto:
    return stored(name, np.array(values, np.int64))


def proto(
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[onnx.ValueInfoProto] | None = None,
    outputs: Sequence[onnx.ValueInfoProto] | None = None,
    weights: Sequence[TensorProto] = (),
    *,
    opset: int = 17,
    ir: int = 8,
    functions: Sequence[onnx.FunctionProto] = (),
    domains: Sequence[str] = (),
) -> onnx.ModelProto:
    """A model; by default of one input ``x`` [N, 3, 8, 8] and one output ``y``."""
    graph = helper.make_graph(
        nodes,
        "graph",
        [value("x", ["N", 3, 8, 8])] if inputs is None else inputs,
        [value("y", None)] if outputs is None else outputs,
        list(weights),
    )
    opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(d, 1) for d in domains)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=ir, functions=functions)


def relu() -> onnx.ModelProto:
    return proto([node("Relu", ["x"], ["y"])])


def conv(seed: int = 0, **attributes: Any) -> onnx.ModelProto:
    """A convolution whose weight is large enough to be kept out of the skeleton."""
    weight = np.random.default_rng(seed).standard_normal((64, 3, 7, 7)).astype(np.float32)
    return proto([node("Conv", ["x", "w"], ["y"], **attributes)], weights=[stored("w", weight)])


def with_weight(**fields: Any) -> bytes:
    """A model with one initializer ``w``, float32 [2, 2] without values unless fields say so."""
    tensor = TensorProto(name="w", data_type=FLOAT, dims=[2, 2])
    for name, content in fields.items():
        if name == "external":
            tensor.data_location = TensorProto.EXTERNAL
            for key, text in content:
                tensor.external_data.add(key=key, value=text)
        elif name == "segment":
            tensor.segment.begin, tensor.segment.end = content
        elif isinstance(content, list):
            tensor.ClearField(name)
            getattr(tensor, name).extend(content)
        else:
            setattr(tensor, name, content)
    model = proto([node("MatMul", ["x", "w"], ["y"])], [value("x", [1, 2])], weights=[tensor])
    return model.SerializeToString()


def of_constants(
    op: str, constants: Sequence[TensorProto], dtype: int = FLOAT, **attributes
) -> bytes:
    """A model of one node that reads constants only."""
    names = [tensor.name for tensor in constants]
    nodes = [node(op, names, ["y"], **attributes)]
    return proto(nodes, [], [value("y", None, dtype)], constants).SerializeToString()


def of_input(op: str, constants: Sequence[TensorProto | None] = (), **attributes: Any) -> bytes:
    """A model of one node that reads ``x`` and constants."""
    names = ["x", *(tensor.name if tensor is not None else "" for tensor in constants)]
    weights = [tensor for tensor in constants if tensor is not None]
    return proto([node(op, names, ["y"], **attributes)], weights=weights).SerializeToString()


def function(name: str, calls: Sequence[str]) -> onnx.FunctionProto:
    """A function of domain ``loc`` that calls others, or ONNX's Relu, one after the other."""
    nodes = [
        helper.make_node(
            call,
            ["a" if i == 0 else f"t{i}"],
            ["b" if i == len(calls) - 1 else f"t{i + 1}"],
            domain="" if call == "Relu" else "loc",
        )
        for i, call in enumerate(calls)
    ]
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("loc", 1)]
    return helper.make_function("loc", name, ["a"], ["b"], nodes, opsets)


def calling(functions: Sequence[onnx.FunctionProto]) -> bytes:
    """A model that calls the first of these functions."""
    nodes = [node(functions[0].name, ["x"], ["y"], domain="loc")]
    return proto(nodes, functions=functions, domains=["loc"]).SerializeToString()


def constant_function(change: Callable[[onnx.NodeProto], None]) -> onnx.FunctionProto:
    """A function that adds a constant; `change` spoils the Constant node."""
    nodes = [
        helper.make_node("Constant", [], ["k"], value=stored("k", np.float32([1.0]))),
        helper.make_node("Add", ["a", "k"], ["b"]),
    ]
    made = helper.make_function("loc", "F", ["a"], ["b"], nodes, [helper.make_opsetid("", 17)])
    change(made.node[0])
    return made


def sparse(values: Sequence[float], indices: Any, shape: Sequence[int]) -> bytes:
    tensor = onnx.SparseTensorProto()
    tensor.values.CopyFrom(stored("w", np.array(values, np.float32)))
    tensor.indices.CopyFrom(stored("w_indices", np.array(indices, np.int64)))
    tensor.dims.extend(shape)
    model = proto([node("MatMul", ["x", "w"], ["y"])], [value("x", [1, 2])])
    model.graph.sparse_initializer.append(tensor)
    return model.SerializeToString()


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def field(number: int, content: bytes) -> bytes:
    """A length-delimited protobuf field."""
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def nested_ifs(depth: int) -> bytes:
    """Ifs in one another, deeper than the protobuf package would write."""
    graph = helper.make_graph([node("Identity", ["x"], ["o"])], "b", [], [value("o", [1])])
    inner = graph.SerializeToString()
    output = field(12, value("o", [1]).SerializeToString())
    for i in range(depth):
        branch = field(1, b"then_branch") + field(6, inner) + b"\xa0\x01\x05"
        parts = field(1, b"c") + field(2, b"o") + field(3, b"if%d" % i) + field(4, b"If")
        inner = field(1, parts + field(5, branch)) + field(2, b"b") + output
    for given in (value("x", [1]), value("c", [], BOOL)):
        inner += field(11, given.SerializeToString())
    return b"\x08\x08" + field(7, inner) + field(8, b"\x10\x11")


def pickled() -> bytes:
    return pickle.dumps({"weights": [1, 2]})


def zipped(member: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(member, b"content")
    return buffer.getvalue()


def gzipped() -> bytes:
    return gzip.compress(relu().SerializeToString())


def changed(change: Callable[[onnx.ModelProto], Any]) -> bytes:
    """The Relu model after `change`."""
    model = relu()
    change(model)
    return model.SerializeToString()
