"""`Model`: a network with its weights, never changed after it was made.

It keeps the structure (an ONNX model whose large payloads are marks) apart from the weights, so
that graphs, subgraphs and shape changes cost what the structure costs. Everything that knows the
file format is in this package; the rest of the workbench sees `Model.graph`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
import onnx

from workbench.errors import ModelError
from workbench.graph import Graph
from workbench.model.payload import Store, array_of, mark_of, put_payload, tensors_in
from workbench.model.plain import graph_of
from workbench.text import nearest, shown

if TYPE_CHECKING:
    import onnx_ir

    from workbench.partitioning import Subgraph

TWO_GIB = (1 << 31) - 1
"""Largest protobuf message."""


class Model:
    """A network: its graph, its weights, and what was noticed when it was read.

    Made by `load`, `from_proto`, or from another model; it shares weights with that one.

    Attributes:
        path: the file it came from, None for one made in memory.
        name: what to call it in tables and messages; the file's stem if nothing else was given.
        warnings: what was odd and how it was settled, one sentence each, safe to print.
    """

    def __init__(
        self,
        proto: onnx.ModelProto,
        store: Store,
        *,
        path: Path | None = None,
        name: str = "",
        warnings: Sequence[str] = (),
        guarded: bool = False,
    ) -> None:
        """Wrap a checked skeleton; use `load` or `from_proto` instead.

        Args:
            proto: nodes named uniquely and sorted, types inferred; owned by this model from now on.
            store: payload of each mark in it.
            path: where it came from.
            name: what to call it.
            warnings: sentences for the user.
            guarded: whether it came from an untrusted file, so that inference runs in a child.
        """
        self._proto = proto
        self._store = store
        self.path = path
        self.name = name
        self.warnings = tuple(warnings)
        self._guarded = guarded

    def __repr__(self) -> str:
        return f"<Model {shown(self.name)}: {len(self._proto.graph.node)} nodes>"

    @cached_property
    def graph(self) -> Graph:
        """The network as a value; node names are those of `serialize`'s ONNX."""
        return graph_of(self._proto.graph)

    @cached_property
    def opsets(self) -> Mapping[str, int]:
        """Operator set version by domain; ``""`` is ONNX's own."""
        pairs = ((item.domain, item.version) for item in self._proto.opset_import)
        return MappingProxyType({"" if d == "ai.onnx" else d: version for d, version in pairs})

    @property
    def ir_version(self) -> int:
        """Version of the ONNX file format."""
        return self._proto.ir_version

    @cached_property
    def folded(self) -> frozenset[int]:
        """Places of the nodes whose outputs are fixed by stored constants alone."""
        from workbench.partitioning.layout import layout

        return layout(self.graph).folded

    @cached_property
    def _infos(self) -> Mapping[str, onnx.ValueInfoProto]:
        """Type entries by tensor name, initializers among them."""
        graph = self._proto.graph
        found = {
            tensor.name: onnx.helper.make_tensor_value_info(
                tensor.name, tensor.data_type, list(tensor.dims)
            )
            for tensor in graph.initializer
        }
        for info in (*graph.value_info, *graph.output, *graph.input):
            found[info.name] = info
        return found

    @cached_property
    def functions(self) -> tuple[tuple[str, str], ...]:
        """Domain and name of the functions that the model brings along."""
        return tuple((item.domain, item.name) for item in self._proto.functions)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the content in hex: structure, attributes, edges, names and weights.

        Independent of path, file layout, documentation and the order of the nodes. Reads every
        weight once, external ones from their files.
        """
        from workbench.model.digest import digest_of

        return digest_of(self._proto, self._store)

    @cached_property
    def weight_bytes(self) -> int:
        """Bytes of all stored tensors together."""
        marks = {mark_of(tensor) for tensor in tensors_in(self._proto)} - {None}
        inline = sum(t.ByteSize() for t in tensors_in(self._proto) if mark_of(t) is None)
        return inline + sum(self._store[mark].nbytes for mark in marks if mark)

    def weights(self, name: str) -> np.ndarray:
        """Values of an initializer or of a Constant node's output, read-only, not copied.

        Raises:
            ModelError: no stored tensor has this name.
        """
        tensor = self._stored.get(name)
        if tensor is None:
            raise ModelError(
                f"model {shown(self.name)} stores no tensor {shown(name)}"
                f"{nearest(name, self._stored)}; initializers and outputs of Constant nodes are"
            )
        return array_of(tensor, self._store)

    @cached_property
    def _stored(self) -> Mapping[str, onnx.TensorProto]:
        found = {tensor.name: tensor for tensor in self._proto.graph.initializer}
        for node in self._proto.graph.node:
            if node.op_type == "Constant" and node.domain in ("", "ai.onnx"):
                tensor = _constant(node)
                if tensor is not None:
                    found[node.output[0]] = tensor
        return found

    def extract(
        self,
        subgraph: Subgraph | Sequence[str],
        *,
        inputs: Sequence[str] | None = None,
        outputs: Sequence[str] | None = None,
    ) -> Model:
        """The model of some of the nodes, with the weights and folded constants they need.

        Weights are shared, not copied. Node and tensor names stay. The inputs and outputs are
        those of the subgraph, or the tensors that cross the cut, in graph order.

        Args:
            subgraph: nodes by name, in any order.
            inputs: tensors to make inputs, in this order; all that cross the cut must be there.
                A constant named here becomes an input too.
            outputs: tensors to give out, in this order; any that the nodes make.

        Raises:
            ModelError: an unknown node or tensor, or nodes that cannot run in one go because a
                path leaves them and comes back; the message names the path.
        """
        from workbench.model.extraction import extract

        return extract(self, subgraph, inputs, outputs)

    def with_shapes(self, shapes: Mapping[str, Sequence[int]]) -> Model:
        """The model with some inputs fixed to these shapes and all shapes inferred anew.

        An extent with a name is fixed wherever that name is used.

        Raises:
            ModelError: no such input, another rank, or a fixed extent that would change.
        """
        from workbench.model.shapes import with_shapes

        return with_shapes(self, shapes)

    def serialize(self) -> bytes:
        """The model as one self-contained ONNX file.

        Raises:
            ModelError: it would be larger than 2 GB, which protobuf cannot hold; use `save`.
        """
        return self.to_proto().SerializeToString()

    def to_proto(self) -> onnx.ModelProto:
        """The model as a new protobuf message of the caller's, weights copied into it.

        Raises:
            ModelError: it would be larger than 2 GB; use `save`.
        """
        size = self.weight_bytes + self._proto.ByteSize()
        if size > TWO_GIB:
            raise ModelError(
                f"model {shown(self.name)} has {size} bytes, more than one protobuf message can "
                "hold (2 GiB); use save(path), which keeps the weights in a data file"
            )
        whole = onnx.ModelProto()
        whole.CopyFrom(self._proto)
        for tensor in tensors_in(whole):
            put_payload(tensor, self._store)
        return whole

    def save(self, path: str | os.PathLike[str], *, external_data: bool | None = None) -> Path:
        """Write the model as ONNX; the path written.

        The file appears whole or not at all. Weights go into ``NAME.data`` beside it when they do
        not fit into one file, or when asked to.

        Args:
            path: where to; an existing model file there is replaced.
            external_data: whether to keep weights in a data file; None decides by size.

        Raises:
            ModelError: the data file is there already and not this model's earlier one, or the
                place cannot be written.
        """
        from workbench.model.saving import save

        return save(self, Path(path), external_data)

    @cached_property
    def ir(self) -> onnx_ir.Model:
        """The model as `onnx_ir` sees it, weights shared. Read-only by convention: clone first."""
        from workbench.model.bridge import to_ir

        return to_ir(self._proto, self._store)


_CONSTANTS: Mapping[str, tuple[str, type]] = {
    "value_float": ("f", np.float32),
    "value_int": ("i", np.int64),
    "value_string": ("s", np.object_),
    "value_floats": ("floats", np.float32),
    "value_ints": ("ints", np.int64),
    "value_strings": ("strings", np.object_),
}
"""Attributes of Constant beside ``value``: the field that has it, and its type."""


def _constant(node: onnx.NodeProto) -> onnx.TensorProto | None:
    """The value of a Constant node, whichever attribute holds it; None for a sparse one."""
    for item in node.attribute:
        if item.name == "value":
            return item.t
        if item.name in _CONSTANTS:
            field, dtype = _CONSTANTS[item.name]
            value = getattr(item, field)
            plain = list(value) if len(field) > 1 else value
            return onnx.numpy_helper.from_array(np.array(plain, dtype), node.output[0])
    return None
