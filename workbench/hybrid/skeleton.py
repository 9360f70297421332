"""The network with one ``EPContext`` node, as ONNX Runtime has them, in the place of each engine.

Native nodes stay as they are, weights and all; what only engines needed is left out. The attribute
names are those of ``com.microsoft::EPContext``: https://onnxruntime.ai/docs/execution-providers/
EP-Context-Design.html
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx_ir as ir

from workbench.graph import Graph
from workbench.hybrid.parts import Part
from workbench.model import Model, from_proto

DOMAIN = "com.microsoft"
OPERATOR = "EPContext"
SOURCE = "workbench"


def skeleton(
    model: Model,
    parts: Sequence[Part],
    plans: Mapping[str, str],
    constants: Mapping[str, np.ndarray],
) -> Model:
    """The model that is saved.

    Args:
        model: the original.
        parts: all parts in execution order.
        plans: name of an engine part -> where its plan lies, relative to the model's file.
        constants: outputs of the graph that no part makes; they become weights.
    """
    whole = model.ir.clone()
    graph = whole.graph
    values = _values(graph)
    _fix_constants(graph, values, constants)
    taken = set(model.graph.position)
    for part in parts:
        if part.kind == "engine":
            node = _context_node(part, plans[part.name], values, taken)
            _stand_in(graph, node, part, values)
    kept = _needed(model.graph, parts)
    gone = [n for n in graph if n.name not in kept and n.op_type != OPERATOR]
    _empty_bodies(gone)
    graph.remove(gone, safe=True)
    for name, value in list(graph.initializers.items()):
        if not value.uses() and not value.is_graph_output():
            del graph.initializers[name]
    graph.opset_imports.setdefault(DOMAIN, 1)
    graph.sort()
    return from_proto(whole, name=model.name)


def _values(graph: ir.Graph) -> dict[str, ir.Value]:
    values = {value.name: value for value in (*graph.inputs, *graph.initializers.values())}
    values.update((value.name, value) for node in graph for value in node.outputs)
    return {name: value for name, value in values.items() if name}


def _fix_constants(
    graph: ir.Graph, values: dict[str, ir.Value], constants: Mapping[str, np.ndarray]
) -> None:
    for name, array in constants.items():
        if name in graph.initializers:
            continue
        old = values[name]
        new = ir.Value(name=name, type=old.type, shape=ir.Shape(array.shape))
        new.const_value = ir.tensor(array, name=name)
        ir.convenience.replace_all_uses_with(old, new, replace_graph_outputs=True)
        old.name = f"{name}/replaced"
        graph.register_initializer(new)
        values[name] = new


def _context_node(
    part: Part, place: str, values: Mapping[str, ir.Value], taken: set[str]
) -> ir.Node:
    name = f"workbench/{part.name}".replace(" ", "_")
    while name in taken:
        name += "_"
    taken.add(name)
    outputs = [
        ir.Value(name=tensor, type=values[tensor].type, shape=values[tensor].shape)
        for tensor in part.subgraph.outputs
    ]
    return ir.Node(
        DOMAIN,
        OPERATOR,
        [values[tensor] for tensor in part.subgraph.inputs],
        [
            ir.AttrInt64("main_context", 1),
            ir.AttrInt64("embed_mode", 0),
            ir.AttrString("ep_cache_context", place),
            ir.AttrString("ep_sdk_version", part.engine.version),
            ir.AttrString("hardware_architecture", part.engine.fingerprint),
            ir.AttrString("partition_name", part.name),
            ir.AttrString("source", f"{SOURCE}:{part.engine.backend}"),
        ],
        outputs=outputs,
        name=name,
    )


def _stand_in(graph: ir.Graph, node: ir.Node, part: Part, values: dict[str, ir.Value]) -> None:
    """Put the node into the graph and let every reader of the engine's outputs read its."""
    graph.append(node)
    for new in node.outputs:
        assert new.name is not None
        old = values[new.name]
        ir.convenience.replace_all_uses_with(old, new, replace_graph_outputs=True)
        old.name = f"{new.name}/replaced"
        values[new.name] = new


def _empty_bodies(nodes: Sequence[ir.Node]) -> None:
    """Let go of what bodies of these nodes read, which else counts as in use without them."""
    for node in nodes:
        for attribute in node.attributes.values():
            for body in _bodies(attribute):
                for inner in body.all_nodes():
                    for place in range(len(inner.inputs)):
                        inner.replace_input_with(place, None)
                body.outputs.clear()


def _bodies(attribute: ir.Attr) -> Sequence[ir.Graph]:
    if attribute.type == ir.AttributeType.GRAPH:
        return [attribute.as_graph()]
    return attribute.as_graphs() if attribute.type == ir.AttributeType.GRAPHS else []


def _needed(graph: Graph, parts: Sequence[Part]) -> set[str]:
    """Native nodes, and the nodes in no part from which they get constants."""
    held = {name for part in parts for name in part.subgraph.nodes}
    native = [name for part in parts if part.kind == "native" for name in part.subgraph.nodes]
    kept, todo = set(native), [graph.position[name] for name in native]
    while todo:
        for i in graph.predecessors[todo.pop()]:
            name = graph.nodes[i].name
            if name not in held and name not in kept:
                kept.add(name)
                todo.append(i)
    return kept
