"""Divisions of whole numbers made safe to run.

The lowest number of a signed type divided by -1 does not fit that type. ONNX Runtime leaves it to
the processor, which stops the process with a signal (SIGFPE). Dividing by -1 is therefore done as
a change of sign, which wraps around as numpy's does; the nodes for it have no origin.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from workbench.backends.records import unique
from workbench.graph import Graph, Node

_OPERATORS = frozenset({"Div", "Mod"})
_TYPES: Mapping[int, type] = {TensorProto.INT32: np.int32, TensorProto.INT64: np.int64}
"""Narrower ones are computed in 32 bits, where their lowest number is nothing special."""
_NEEDED_OPSET = 9
"""The first that has Where."""


def guarded(model: bytes, graph: Graph) -> bytes:
    """The model with its divisions of whole numbers made safe; the same bytes if it has none.

    Args:
        model: a self-contained ONNX model.
        graph: its graph, which tells quickly whether there is anything to do.
    """
    if not any(node.op_type in _OPERATORS for node in _nodes(graph)):
        return model
    proto = onnx.load_model_from_string(model)
    opset = max((i.version for i in proto.opset_import if i.domain in ("", "ai.onnx")), default=0)
    if opset < _NEEDED_OPSET:
        return model
    taken = {name for node in _nodes(graph) for name in (node.name, *node.makes)}
    changed = _guard(proto.graph, {}, {}, taken)
    return proto.SerializeToString() if changed else model


def _nodes(graph: Graph) -> Iterator[Node]:
    for node in graph.nodes:
        yield node
        for value in node.attributes.values():
            if isinstance(value, Graph):
                yield from _nodes(value)


def _guard(
    graph: onnx.GraphProto,
    outer_types: Mapping[str, int],
    outer_stored: Mapping[str, TensorProto],
    taken: set[str],
) -> bool:
    """Guard the divisions of a graph and of the bodies in it, in place; whether there were any."""
    stored = {**outer_stored, **{tensor.name: tensor for tensor in graph.initializer}}
    infos = (*graph.input, *graph.value_info, *graph.output)
    types = {**outer_types, **{info.name: info.type.tensor_type.elem_type for info in infos}}
    types.update((name, tensor.data_type) for name, tensor in stored.items())
    nodes: list[onnx.NodeProto] = []
    changed = False
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute and node.attribute[0].name == "value":
            stored[node.output[0]] = node.attribute[0].t
            types[node.output[0]] = node.attribute[0].t.data_type
        for attribute in node.attribute:
            for body in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                changed |= _guard(body, types, stored, taken)
        if _traps(node, types, stored):
            nodes += _before(node, types[node.input[1]], taken)
            changed = True
        nodes.append(node)
    if len(nodes) > len(graph.node):
        kept = onnx.GraphProto(node=nodes)
        del graph.node[:]
        graph.node.extend(kept.node)
    return changed


def _traps(
    node: onnx.NodeProto, types: Mapping[str, int], stored: Mapping[str, TensorProto]
) -> bool:
    if node.op_type not in _OPERATORS or node.domain not in ("", "ai.onnx"):
        return False
    divisor = node.input[1]
    if types.get(divisor) not in _TYPES:
        return False
    return divisor not in stored or bool(np.any(numpy_helper.to_array(stored[divisor]) == -1))


def _before(node: onnx.NodeProto, kind: int, taken: set[str]) -> Iterable[onnx.NodeProto]:
    """Nodes that go before a division, which from then on reads what they make."""

    def made(operator: str, *inputs: str, **attributes: Any) -> str:
        name = unique(f"{node.name or node.op_type}/{operator}", taken)
        new.append(helper.make_node(operator, inputs, [name], name, **attributes))
        return name

    def constant(value: int) -> str:
        return made("Constant", value=numpy_helper.from_array(np.array(value, _TYPES[kind])))

    new: list[onnx.NodeProto] = []
    dividend, divisor = node.input
    flips = made("Equal", divisor, constant(-1))
    if node.op_type == "Div":
        node.input[0] = made("Where", flips, made("Neg", dividend), dividend)
    node.input[1] = made("Where", flips, constant(1), divisor)
    return new
