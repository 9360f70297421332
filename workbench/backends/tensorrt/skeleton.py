"""A model without its big weights, cut into pieces that a parser can be asked about.

The parser looks at types, shapes and small values (axes, sizes, scales, zero points), never at the
values of big weights. Those are declared as external data in one sparse file of zeros, so that a
piece of a network of any size is some kilobytes and can be asked about many times. Each has its own
place in the file: TensorRT takes weights at one address for the same ones, and refuses two sizes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import onnx
import onnx_ir as ir

from workbench.graph import Graph, Node

ZEROS = "zeros.bin"
"""Name of the file that stands for all big weights, beside the model."""

KEEP_BYTES = 16 * 1024
"""Constants up to this size keep their values."""
_KEEP_WHOLE_BYTES = 8 * 1024 * 1024
_WHOLE_TYPES = frozenset({"INT64", "INT32", "BOOL"})
_QUANTIZERS = frozenset({"QuantizeLinear", "DequantizeLinear"})
_PAGE = 4096
_PLACEHOLDER = onnx.TensorProto.FLOAT


class Skeleton:
    """Everything of a model but the values of its big weights, ready to be cut.

    Nodes are named by their place in `graph.nodes`.
    """

    def __init__(self, graph: Graph, model: ir.Model) -> None:
        """Read a model; weights on disk stay there.

        Args:
            graph: the model's graph, for its structure.
            model: the same model, for attributes, types and small constants; not kept.
        """
        self.graph = graph
        self.left_out = 0
        """Bytes of the constants whose values were left out so far."""
        self._exact = _scales_and_zero_points(graph)
        self._nodes = {
            node.name: _field(1, self._node(node).SerializeToString()) for node in model.graph
        }
        self._values = {value.name: value for value in _values(model.graph) if value.name}
        self._encoded: dict[tuple[str, str], bytes] = {}
        self._weights = dict(model.graph.initializers)
        self._outputs = frozenset(spec.name for spec in graph.outputs)
        self._foot = _foot(model)

    @cached_property
    def folded(self) -> frozenset[int]:
        """Places of the nodes computed from constants alone."""
        known = set(self._weights)
        found: list[int] = []
        for place in self.graph.order:
            node = self.graph.nodes[place]
            if (node.reads or node.op_type == "Constant") and known.issuperset(node.reads):
                known.update(node.makes)
                found.append(place)
        return frozenset(found)

    def with_folded(self, places: Iterable[int]) -> tuple[int, ...]:
        """The places and those of the folded nodes they need, in execution order."""
        need = set(places)
        queue = list(need)
        while queue:
            for before in self.graph.predecessors[queue.pop()]:
                if before in self.folded and before not in need:
                    need.add(before)
                    queue.append(before)
        return tuple(sorted(need, key=self._rank.__getitem__))

    def border(self, places: Sequence[int]) -> tuple[str, ...]:
        """Tensors that the nodes need from outside, weights not among them, each once."""
        made = {name for place in places for name in self.graph.nodes[place].makes}
        read = dict.fromkeys(name for place in places for name in self.graph.nodes[place].reads)
        return tuple(name for name in read if name not in made and name not in self._weights)

    def piece(self, places: Sequence[int]) -> bytes:
        """A serialized model of these nodes, in this order, and what they need.

        Args:
            places: nodes with the folded ones they need, see `with_folded`.
        """
        nodes = [self.graph.nodes[place] for place in places]
        read = dict.fromkeys(name for node in nodes for name in node.reads)
        parts = [self._nodes[node.name] for node in nodes]
        parts.append(_field(2, b"piece"))
        parts += [self._weight(name) for name in read if name in self._weights]
        parts += [self._value(name, 11) for name in self.border(places)]
        parts += [self._value(name, 12) for name in self._given(places, nodes)]
        return _field(7, b"".join(parts)) + self._foot

    def knows(self, tensor: str) -> bool:
        """Whether type and rank of a tensor are known, so that it can be declared as an input."""
        value = self._values.get(tensor)
        if value is None or value.type is None:
            return False
        return not isinstance(value.type, ir.TensorType) or value.shape is not None

    @cached_property
    def _rank(self) -> dict[int, int]:
        return {place: rank for rank, place in enumerate(self.graph.order)}

    def _given(self, places: Sequence[int], nodes: Sequence[Node]) -> list[str]:
        inside = set(places)
        given = [
            name
            for node in nodes
            for name in node.makes
            if name in self._outputs
            or any(user not in inside for user in self.graph.consumers.get(name, ()))
        ]
        return given or [name for node in nodes[-1:] for name in node.makes[:1]]

    def _value(self, name: str, number: int) -> bytes:
        key = (name, str(number))
        if key not in self._encoded:
            self._encoded[key] = _field(number, self._declared(name).SerializeToString())
        return self._encoded[key]

    def _declared(self, name: str) -> onnx.ValueInfoProto:
        value = self._values.get(name)
        if value is not None and value.type is not None:
            proto = ir.serde.serialize_value(value)
            proto.name = name
            return proto
        # The parser wants some type for an output; what it makes of the node decides.
        return onnx.helper.make_tensor_value_info(name, _PLACEHOLDER, None)

    def _node(self, node: ir.Node) -> onnx.NodeProto:
        value = node.attributes.get("value")
        if node.op_type != "Constant" or value is None or value.type != ir.AttributeType.TENSOR:
            return _plain(ir.serde.serialize_node(node))
        name = str(node.outputs[0].name)
        if self._keeps(name, value.value):
            return _plain(ir.serde.serialize_node(node))
        proto = onnx.NodeProto(op_type="Constant", name=node.name or "", output=[name])
        tensor = self._hollow(value.value)
        proto.attribute.add(name="value", type=onnx.AttributeProto.TENSOR, t=tensor)
        return proto

    def _weight(self, name: str) -> bytes:
        key = (name, "weight")
        if key not in self._encoded:
            tensor = self._weights[name].const_value
            assert tensor is not None
            if self._keeps(name, tensor):
                proto = _plain(ir.serde.serialize_tensor(tensor))
                if proto.data_location == onnx.TensorProto.EXTERNAL:
                    proto = onnx.helper.make_tensor(
                        name, proto.data_type, proto.dims, tensor.tobytes(), raw=True
                    )
            else:
                proto = self._hollow(tensor)
            proto.name = name
            self._encoded[key] = _field(5, proto.SerializeToString())
        return self._encoded[key]

    def _keeps(self, name: str, tensor: ir.TensorProtocol) -> bool:
        if tensor.nbytes <= KEEP_BYTES or name in self._exact:
            return True
        return tensor.dtype == ir.DataType.STRING or (
            tensor.dtype.name in _WHOLE_TYPES and tensor.nbytes <= _KEEP_WHOLE_BYTES
        )

    def _hollow(self, tensor: ir.TensorProtocol) -> onnx.TensorProto:
        offset = self.left_out
        self.left_out += -(-tensor.nbytes // _PAGE) * _PAGE
        proto = onnx.TensorProto(
            dims=tensor.shape.numpy(),
            data_type=int(tensor.dtype),
            data_location=onnx.TensorProto.EXTERNAL,
        )
        entries = {"location": ZEROS, "offset": str(offset), "length": str(tensor.nbytes)}
        for key, value in entries.items():
            proto.external_data.add(key=key, value=value)
        return proto


def write_zeros(folder: str, size: int) -> None:
    """Make the file of zeros in a folder at least `size` bytes long; it takes no room on disk."""
    with Path(folder, ZEROS).open("ab") as file:
        if file.tell() < size:
            file.truncate(size)


def _values(graph: ir.Graph) -> Iterable[ir.Value]:
    yield from graph.inputs
    yield from graph.initializers.values()
    for node in graph:
        yield from node.outputs


def _scales_and_zero_points(graph: Graph) -> frozenset[str]:
    """Constants whose values the parser checks, however big they are."""
    return frozenset(
        name
        for node in graph.nodes
        if node.op_type in _QUANTIZERS
        for name in node.inputs[1:]
        if name
    )


def _foot(model: ir.Model) -> bytes:
    foot = onnx.ModelProto(ir_version=model.ir_version)
    for domain, version in model.opset_imports.items():
        foot.opset_import.add(domain=domain, version=version)
    for function in model.functions.values():
        foot.functions.append(ir.serde.serialize_function(function))
    return foot.SerializeToString()


def _plain(proto: Any) -> Any:
    """The message without the notes that take room and say nothing to a parser."""
    proto.ClearField("doc_string")
    proto.ClearField("metadata_props")
    return proto


def _field(number: int, payload: bytes) -> bytes:
    """A length-delimited field of a protobuf message; joining these beats making messages."""
    return _varint(number << 3 | 2) + _varint(len(payload)) + payload


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
