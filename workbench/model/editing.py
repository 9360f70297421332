"""`Draft`: a model taken apart into nodes and weights, to be changed and put together as a new one.

Transforms work on plain `Node` values and arrays; only this module turns them back into ONNX.
Weights that stay are shared with the model the draft was made from, never copied.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from workbench.errors import ModelError
from workbench.graph import Graph, Node
from workbench.model.child import call
from workbench.model.core import Model
from workbench.model.infer import inferred
from workbench.model.payload import Held, Payload, mark_of, set_mark, tensors_in
from workbench.model.shapes import infer_bytes
from workbench.model.wire import INLINE_BYTES
from workbench.text import nearest, shown


class Draft:
    """A changeable copy of a model's nodes; `build` makes the new model.

    Attributes:
        model: what it was made from.
        nodes: node name -> node, in order; replace, add and delete freely. Attributes of a node
            that is there already stay as they are in the model; those of a new one must be plain
            values. Order does not matter: `build` sorts.
    """

    def __init__(self, model: Model) -> None:
        self.model = model
        self.nodes: dict[str, Node] = {node.name: node for node in model.graph.nodes}
        self._sources = {node.name: node for node in model._proto.graph.node}
        self._weights: dict[str, np.ndarray] = {}
        self._taken = {*model.graph.specs, *model.graph.producer, *self.nodes}
        self._taken.update(name for node in model.graph.nodes for name in node.captured)

    @property
    def graph(self) -> Graph:
        """The graph of the model the draft was made from."""
        return self.model.graph

    def unused(self, wish: str) -> str:
        """`wish`, or `wish` with a number where a node or tensor is called that; taken from now."""
        name, count = wish, 1
        while name in self._taken:
            count += 1
            name = f"{wish}_{count}"
        self._taken.add(name)
        return name

    def values(self, tensor: str) -> np.ndarray | None:
        """Values of a stored tensor, or None for one that is computed or given."""
        if tensor in self._weights:
            return self._weights[tensor]
        return self.model.weights(tensor) if tensor in self.model._stored else None

    def store(self, wish: str, array: np.ndarray) -> str:
        """Add a weight; its name, which is `wish` if that is free."""
        name = self.unused(wish)
        self._weights[name] = np.ascontiguousarray(array).reshape(array.shape)
        return name

    def add(
        self, op_type: str, wish: str, inputs: Iterable[str], outputs: Iterable[str],
        **attributes: Any,
    ) -> Node:  # fmt: skip
        """Add a node; its name is `wish` if that is free."""
        node = Node(
            self.unused(wish), op_type, "", tuple(inputs), tuple(outputs),
            {key: value for key, value in attributes.items() if value is not None},
        )  # fmt: skip
        self.nodes[node.name] = node
        return node

    def rewire(self, name: str, **changes: Any) -> None:
        """Replace `inputs` or `outputs` of a node, or other fields."""
        self.nodes[name] = replace(self.nodes[name], **changes)

    def build(self) -> Model:
        """The changed model, types and shapes inferred anew.

        Inputs and outputs of the model keep names and types. Weights nobody reads are left out.

        Raises:
            ModelError: the nodes are no graph any more, or inference refuses them.
        """
        source = self.model._proto
        proto = onnx.ModelProto()
        proto.CopyFrom(source)
        for field in ("node", "initializer", "value_info", "quantization_annotation"):
            proto.graph.ClearField(field)
        ordered = self._ordered()
        proto.graph.node.extend(self._node(node) for node in ordered)
        store = self._fill_weights(proto, ordered)
        custom = {name for node in ordered if node.domain for name in node.makes}
        kept = (info for info in source.graph.value_info if info.name in custom)
        proto.graph.value_info.extend(kept)
        proto, warnings = _inferred(proto, self.model._guarded)
        new = [*self.model.warnings, *(w for w in warnings if w not in self.model.warnings)]
        marks = {mark_of(tensor) for tensor in tensors_in(proto)} - {None}
        return Model(
            proto, {mark: store[mark] for mark in marks if mark}, name=self.model.name,
            warnings=new, guarded=self.model._guarded,
        )  # fmt: skip

    def _ordered(self) -> tuple[Node, ...]:
        graph = self.model.graph
        nodes = tuple(self.nodes.values())
        whole = Graph(graph.name, graph.inputs, graph.outputs, nodes)
        made = {name for node in nodes for name in node.makes}
        given = {spec.name for spec in (*graph.inputs, *graph.initializers)} | {*self._weights}
        for spec in graph.outputs:
            if spec.name not in made and spec.name not in given:
                raise ModelError(f"nothing makes output {shown(spec.name)} any more; keep its node")
        for node in nodes:
            for name in node.reads:
                if name not in made and name not in given:
                    raise ModelError(
                        f"node {shown(node.name)} reads {shown(name)}, which nothing makes"
                        f"{nearest(name, made)}; rewire it"
                    )
        return tuple(nodes[i] for i in whole.order)

    def _node(self, node: Node) -> onnx.NodeProto:
        source = self._sources.get(node.name)
        if source is not None and source.op_type == node.op_type:
            proto = onnx.NodeProto()
            proto.CopyFrom(source)
            del proto.input[:], proto.output[:]
            proto.input.extend(node.inputs)
            proto.output.extend(node.outputs)
            for key, value in node.attributes.items():
                if key not in {item.name for item in source.attribute}:
                    proto.attribute.append(helper.make_attribute(key, value))
            return proto
        return helper.make_node(
            node.op_type, node.inputs, node.outputs, node.name, domain=node.domain or None,
            **node.attributes,
        )  # fmt: skip

    def _fill_weights(self, proto: onnx.ModelProto, nodes: Iterable[Node]) -> Mapping[str, Payload]:
        used = {name for node in nodes for name in node.reads}
        used |= {info.name for info in proto.graph.output}
        store: dict[str, Payload] = dict(self.model._store)
        source = self.model._proto.graph
        kept = [tensor for tensor in source.initializer if tensor.name in used]
        proto.graph.initializer.extend(kept)
        names = {tensor.name for tensor in source.initializer}
        inputs = [i for i in proto.graph.input if i.name not in names or i.name in used]
        del proto.graph.input[:]
        proto.graph.input.extend(inputs)
        token = secrets.token_hex(8)
        for name, array in self._weights.items():
            if name in used:
                proto.graph.initializer.append(_tensor(name, array, store, token))
        return store


def _tensor(name: str, array: np.ndarray, store: dict[str, Payload], token: str) -> TensorProto:
    kind = helper.np_dtype_to_tensor_dtype(array.dtype)
    tensor = TensorProto(name=name, data_type=kind, dims=array.shape)
    data = array.reshape(-1).view(np.uint8).data
    if data.nbytes <= INLINE_BYTES:
        tensor.raw_data = bytes(data)
    else:
        mark = f"#{token}/{len(store)}"
        store[mark] = Held(data)
        set_mark(tensor, mark)
    return tensor


def _inferred(proto: onnx.ModelProto, guarded: bool) -> tuple[onnx.ModelProto, list[str]]:
    if not guarded:
        return inferred(proto)
    skeleton, warnings = call(infer_bytes, proto.SerializeToString())
    return onnx.ModelProto.FromString(skeleton), warnings


def with_opset(model: Model, version: int) -> Model:
    """The model in a newer version of ONNX's own operator set; itself if it has that already.

    Source of the conversion: ``onnx.version_converter``. Weights are kept out of it.

    Raises:
        ModelError: the converter refuses; says its words.
    """
    have = model.opsets.get("", 0)
    if have >= version:
        return model
    bare = onnx.ModelProto()
    bare.CopyFrom(model._proto)
    large = [tensor for tensor in bare.graph.initializer if mark_of(tensor) is not None]
    listed = {info.name for info in bare.graph.input}
    for tensor in large:
        if tensor.name not in listed:
            bare.graph.input.append(
                helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims))
            )
    small = [tensor for tensor in bare.graph.initializer if mark_of(tensor) is None]
    del bare.graph.initializer[:]
    bare.graph.initializer.extend(small)
    pair = helper.make_opsetid("", version)
    needed = helper.find_min_ir_version_for([pair], ignore_unknown=True)
    bare.ir_version = max(bare.ir_version, needed)
    try:
        made = onnx.version_converter.convert_version(bare, version)
    except Exception as error:
        raise ModelError(
            f"model {shown(model.name)} cannot be raised from operator set {have} to {version}: "
            f"{shown(str(error).strip().splitlines()[0] if str(error).strip() else error, 300)}; "
            f"export it with operator set {version}"
        ) from error
    names = {tensor.name for tensor in large} - listed
    inputs = [info for info in made.graph.input if info.name not in names]
    del made.graph.input[:]
    made.graph.input.extend(inputs)
    made.graph.initializer.extend(large)
    proto, warnings = _inferred(made, model._guarded)
    new = [*model.warnings, *(w for w in warnings if w not in model.warnings)]
    return Model(
        proto, model._store, path=model.path, name=model.name, warnings=new, guarded=model._guarded
    )
