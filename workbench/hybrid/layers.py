"""One graph of the layers of all parts, and where each of them came from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from workbench.backends.base import FOLDED, LAYER_DOMAIN, REMOVED, executed
from workbench.graph import Graph, Node, TensorSpec, origin_of
from workbench.hybrid.parts import Part
from workbench.partitioning import Code, Partition

LayerNames = dict[tuple[str, str], str]
"""(name of the part, name of the layer in it) -> name of the layer in the merged graph."""


def merged(partition: Partition, parts: Sequence[Part]) -> tuple[Graph, LayerNames]:
    """The layers of all parts as one graph, and the names they got in it.

    Each layer has the attributes ``part`` (``engine 0``) and ``backend``. A layer or an inner
    tensor whose name another part has already used gets its part's name in front. What runs
    nowhere is gathered in one layer `FOLDED` and one `REMOVED`, as `Engine.layers` has them.
    """
    inputs, outputs = partition.graph.inputs, partition.graph.outputs
    merge = _Merge({spec.name for spec in inputs})
    merge.tensors_used.update(name for part in parts for name in part.subgraph.outputs)
    for part in parts:
        merge.add(part)
    nodes = (*merge.nodes, *_unrun(partition, parts, merge.nodes, merge.layers_used))
    given = {spec.name for spec in (*inputs, *outputs)} | merge.initializers.keys()
    inner = tuple(spec for name, spec in merge.tensors.items() if name not in given)
    weights = tuple(merge.initializers.values())
    return Graph(partition.graph.name, inputs, outputs, nodes, weights, inner), merge.names


@dataclass
class _Merge:
    """The graph while it grows."""

    tensors_used: set[str]
    layers_used: set[str] = field(default_factory=set)
    names: LayerNames = field(default_factory=dict)
    nodes: list[Node] = field(default_factory=list)
    tensors: dict[str, TensorSpec] = field(default_factory=dict)
    initializers: dict[str, TensorSpec] = field(default_factory=dict)

    def add(self, part: Part) -> None:
        """Take in the layers of one part."""
        graph = part.engine.layers()
        renamed = self._renamed(part, graph)
        for node in executed(graph):
            layer = _unused(node.name, part, self.layers_used)
            self.layers_used.add(layer)
            self.names[part.name, node.name] = layer
            self.nodes.append(_placed(node, layer, part, renamed))
        for kept, specs in (
            (self.tensors, (*graph.tensors, *graph.inputs, *graph.outputs)),
            (self.initializers, graph.initializers),
        ):
            for spec in specs:
                name = renamed.get(spec.name, spec.name)
                kept.setdefault(name, TensorSpec(name, spec.dtype, spec.shape))

    def _renamed(self, part: Part, graph: Graph) -> dict[str, str]:
        border = {*part.subgraph.inputs, *part.subgraph.outputs}
        inner = [name for node in graph.nodes for name in (*node.makes, *node.reads)]
        inner += [spec.name for spec in (*graph.initializers, *graph.tensors)]
        renamed = {
            name: _unused(name, part, self.tensors_used)
            for name in dict.fromkeys(inner)
            if name not in border
        }
        self.tensors_used.update(renamed.values())
        return renamed


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


def _unrun(
    partition: Partition, parts: Sequence[Part], layers: Iterable[Node], used: set[str]
) -> list[Node]:
    """The layers that stand for nodes of which nothing runs in any part."""
    run = {name for node in layers for name in origin_of(node)}
    removed = {
        name
        for part in parts
        for node in part.engine.layers().nodes
        if node.op_type == REMOVED and node.domain == LAYER_DOMAIN
        for name in node.origin
    }
    held = {name for part in parts for name in (*part.subgraph.nodes, *part.subgraph.folded)}
    origins: dict[str, list[str]] = {FOLDED: [], REMOVED: []}
    for verdict in partition.verdicts:
        if verdict.node not in run:
            # A node in no part and not constant is one whose results nobody wants.
            dead = verdict.node not in held and verdict.code is not Code.FOLDED
            origins[REMOVED if dead or verdict.node in removed else FOLDED].append(verdict.node)
    nodes = []
    for op_type, origin in origins.items():
        name = op_type.lower()
        while name in used:
            name += "_"
        if origin:
            nodes.append(Node(name, op_type, LAYER_DOMAIN, origin=tuple(origin)))
    return nodes
