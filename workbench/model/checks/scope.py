"""Every node of a model with the constants it can see: through bodies and functions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto

from workbench.model.payload import Store, array_of, mark_of
from workbench.model.plain import bodies_of

Tensors = Mapping[str, TensorProto]

_MOST_VALUES = 4096


@dataclass(frozen=True, slots=True)
class Seen:
    """A node, and the stored tensors its inputs may name."""

    node: onnx.NodeProto
    tensors: Tensors
    store: Store
    opset: int
    """Version of ONNX's own operator set where the node is."""

    @property
    def native(self) -> bool:
        """Whether the node is one of ONNX's own operators."""
        return self.node.domain in ("", "ai.onnx")

    def stored(self, place: int) -> TensorProto | None:
        """The stored tensor behind an input, None where there is none."""
        if place >= len(self.node.input):
            return None
        return self.tensors.get(self.node.input[place])

    def values(self, place: int) -> np.ndarray | None:
        """The constant values of an input, None where they are not constant or too many."""
        tensor = self.stored(place)
        if tensor is None or mark_of(tensor) is not None:
            return None
        if int(np.prod(tensor.dims, dtype=np.float64)) > _MOST_VALUES:
            return None
        return array_of(tensor, self.store)


def nodes_seen(model: onnx.ModelProto, store: Store) -> Iterator[Seen]:
    """Every node, those of bodies and functions included, parents before their bodies."""
    yield from _walk(model.graph.node, _tensors(model.graph, {}), store, _opset(model.opset_import))
    for function in model.functions:
        tensors = _constants(function.node)
        opset = _opset(function.opset_import or model.opset_import)
        yield from _walk(function.node, tensors, store, opset)


def _walk(nodes, tensors: dict[str, TensorProto], store: Store, opset: int) -> Iterator[Seen]:
    for node in nodes:
        yield Seen(node, tensors, store, opset)
        for body in bodies_of(node) if node.attribute else ():
            yield from _walk(body.node, _tensors(body, tensors), store, opset)


def _tensors(graph: onnx.GraphProto, outer: Tensors) -> dict[str, TensorProto]:
    found = {**outer, **{tensor.name: tensor for tensor in graph.initializer}}
    found.update(_constants(graph.node))
    return found


def _constants(nodes) -> dict[str, TensorProto]:
    return {
        node.output[0]: item.t
        for node in nodes
        if node.op_type == "Constant" and node.output
        for item in node.attribute
        if item.name == "value"
    }


def _opset(imports) -> int:
    return next((item.version for item in imports if item.domain in ("", "ai.onnx")), 0)
