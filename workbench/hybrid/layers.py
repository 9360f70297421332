"""One graph of the layers of all parts, and where each of them came from."""

from __future__ import annotations

from collections.abc import Sequence

from workbench.graph import Graph, Node, TensorSpec
from workbench.hybrid.parts import Part

LayerNames = dict[tuple[str, str], str]
"""(name of the part, name of the layer in it) -> name of the layer in the merged graph."""


def merged(
    name: str,
    parts: Sequence[Part],
    inputs: tuple[TensorSpec, ...],
    outputs: tuple[TensorSpec, ...],
) -> tuple[Graph, LayerNames]:
    """The layers of all parts as one graph.

    Each layer has the attributes ``part`` (``engine 0``) and ``backend``. A layer or an inner
    tensor whose name another part has already used gets its part's name in front.
    """
    names: LayerNames = {}
    nodes: list[Node] = []
    tensors: dict[str, TensorSpec] = {}
    initializers: dict[str, TensorSpec] = {}
    used_layers: set[str] = set()
    used_tensors: set[str] = {spec.name for spec in inputs}
    used_tensors.update(name for part in parts for name in part.subgraph.outputs)
    for part in parts:
        graph = part.engine.layers()
        renamed = _new_tensor_names(part, graph, used_tensors)
        used_tensors.update(renamed.values())
        for node in graph.nodes:
            layer = _unused(node.name, part, used_layers)
            used_layers.add(layer)
            names[part.name, node.name] = layer
            nodes.append(_placed(node, layer, part, renamed))
        for spec in (*graph.tensors, *graph.inputs, *graph.outputs):
            tensors.setdefault(
                renamed.get(spec.name, spec.name),
                TensorSpec(renamed.get(spec.name, spec.name), spec.dtype, spec.shape),
            )
        for spec in graph.initializers:
            new = renamed.get(spec.name, spec.name)
            initializers.setdefault(new, TensorSpec(new, spec.dtype, spec.shape))
    given = {spec.name for spec in (*inputs, *outputs)} | initializers.keys()
    inner = tuple(spec for name, spec in tensors.items() if name not in given)
    return Graph(name, inputs, outputs, tuple(nodes), tuple(initializers.values()), inner), names


def _new_tensor_names(part: Part, graph: Graph, used: set[str]) -> dict[str, str]:
    border = {*part.subgraph.inputs, *part.subgraph.outputs}
    inner = dict.fromkeys(
        name for node in graph.nodes for name in (*node.makes, *node.reads) if name not in border
    )
    inner.update(dict.fromkeys(spec.name for spec in graph.initializers))
    return {name: _unused(name, part, used) for name in inner}


def _unused(name: str, part: Part, used: set[str]) -> str:
    while name in used:
        name = f"{part.name}/{name}"
    return name


def _placed(node: Node, name: str, part: Part, renamed: dict[str, str]) -> Node:
    def new(tensors: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(renamed.get(tensor, tensor) for tensor in tensors)

    attributes = {**node.attributes, "part": part.name, "backend": part.engine.backend}
    return Node(
        name, node.op_type, node.domain, new(node.inputs), new(node.outputs), attributes,
        node.origin, new(node.captured),
    )  # fmt: skip
