"""What planning needs of a `Graph`, as integers: edges, folded nodes, tensors from outside."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from workbench.graph import Graph, Node
from workbench.partitioning.dag import Dag

STANDARD = frozenset({"", "ai.onnx", "ai.onnx.ml"})
"""Domains whose operators are known to compute the same from the same."""

RANDOM = frozenset(
    {
        "Bernoulli", "Dropout", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform",
        "RandomUniformLike",
    }
)  # fmt: skip
"""Standard operators that may give something else every time: never folded."""


@dataclass(frozen=True)
class Layout:
    """A graph as the planner sees it. Node ids are places in `graph.nodes`."""

    graph: Graph
    dag: Dag
    folded: frozenset[int]
    """Nodes fed by constants alone."""
    names: list[str]
    """For every node a text that does not depend on its place or name: its first output."""
    external: dict[str, list[int]]
    """Tensor from outside the graph -> nodes that read it, each once."""

    @cached_property
    def given(self) -> dict[str, int]:
        """Output of the graph -> node that makes it; those no node makes are not in."""
        producer = self.graph.producer
        return {s.name: producer[s.name] for s in self.graph.outputs if s.name in producer}

    @cached_property
    def readers(self) -> frozenset[int]:
        """Nodes that read a tensor from outside the graph."""
        return frozenset(v for nodes in self.external.values() for v in nodes)

    @cached_property
    def pinned(self) -> tuple[int, ...]:
        """Folded nodes that make an output of the graph; somebody must still compute them."""
        return tuple(sorted({v for v in self.given.values() if v in self.folded}))

    def folded_for(self, nodes: Iterable[int]) -> list[int]:
        """Folded nodes that `nodes` need, directly or through others, in execution order."""
        if not self.folded:
            return []
        found: set[int] = set()
        stack = list(nodes)
        while stack:
            for p in self.dag.before[stack.pop()]:
                if p in self.folded and p not in found:
                    found.add(p)
                    stack.append(p)
        return sorted(found, key=self._rank.__getitem__)

    @cached_property
    def _rank(self) -> dict[int, int]:
        return {v: i for i, v in enumerate(self.dag.order) if v in self.folded}


def layout(graph: Graph) -> Layout:
    """The graph as integers; O(V + E)."""
    dag = Dag(graph.predecessors, graph.successors, graph.order)
    inputs = {spec.name for spec in graph.inputs}
    weights = [spec.name for spec in graph.initializers if spec.name not in inputs]
    # Tensors that no feed decides on its own.
    inside = frozenset(("", *graph.producer, *weights))
    names, external = _scanned(graph, inside)
    return Layout(graph, dag, _foldable(graph, inside), names, external)


def _scanned(graph: Graph, inside: frozenset[str]) -> tuple[list[str], dict[str, list[int]]]:
    """Names and external tensors in one pass: at 100,000 nodes fetching a node is what costs."""
    known = inside.issuperset
    names: list[str] = []
    external: dict[str, list[int]] = {}
    for v, (node, above) in enumerate(zip(graph.nodes, graph.predecessors, strict=True)):
        outputs, inputs = node.outputs, node.inputs
        names.append(outputs[0] if outputs and outputs[0] else _key(node))
        # As many nodes above as inputs: each input is made by one of them.
        if (len(inputs) != len(above) and not known(inputs)) or node.captured:
            for tensor in dict.fromkeys(node.reads):
                if tensor not in inside:
                    external.setdefault(tensor, []).append(v)
    return names, external


def _key(node: Node) -> str:
    return next((name for name in node.outputs if name), "\0".join(("", node.op_type, *node.reads)))


def _foldable(graph: Graph, inside: frozenset[str]) -> frozenset[int]:
    producer = graph.producer
    found: set[int] = set()
    stack = [v for v, above in enumerate(graph.predecessors) if not above]
    while stack:
        v = stack.pop()
        node = graph.nodes[v]
        if not is_deterministic(node):
            continue
        if all(
            tensor in inside and (tensor not in producer or producer[tensor] in found)
            for tensor in node.reads
        ):
            found.add(v)
            stack += [s for s in graph.successors[v] if found.issuperset(graph.predecessors[s])]
    return frozenset(found)


def is_deterministic(node: Node) -> bool:
    """Whether equal inputs give equal outputs, bodies of control flow included.

    Operators outside the standard domains count as no: they may do anything.
    """
    if node.domain not in STANDARD or node.op_type in RANDOM:
        return False
    return all(
        is_deterministic(inner)
        for value in node.attributes.values()
        if isinstance(value, Graph)
        for inner in value.nodes
    )
