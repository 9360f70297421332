"""One graph type for all three pictures: the original, the partitioned and the fused network.

A graph is a value: operators (`Node`) joined by named tensors. A node of a fused graph lists its
`origin`, the original nodes behind it, and that is all that linking two graphs needs. Latency,
precision, partition or error are overlays keyed by node name and never fields here. This module
knows no file format, no backend and no weights: standard library only.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import MappingProxyType
from typing import Any

from workbench.errors import GraphError
from workbench.text import listed, shown

Dim = int | str
"""One extent of a shape: a number, or the name of an extent known only at run time."""

Shape = tuple[Dim, ...]

NOTHING: Mapping[str, Any] = MappingProxyType({})

ITEM_BITS = MappingProxyType(
    {
        "float32": 32, "float64": 64, "float16": 16, "bfloat16": 16, "float8e4m3fn": 8,
        "float8e4m3fnuz": 8, "float8e5m2": 8, "float8e5m2fnuz": 8, "float8e8m0": 8,
        "float4e2m1": 4, "int2": 2, "uint2": 2, "int4": 4, "uint4": 4, "int8": 8, "uint8": 8,
        "int16": 16, "uint16": 16, "int32": 32, "uint32": 32, "int64": 64, "uint64": 64,
        "bool": 8, "complex64": 64, "complex128": 128,
    }
)  # fmt: skip
"""Bits of one element by dtype name; strings, sequences and optionals have none."""


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """Name, element type and shape of a tensor; never its values."""

    name: str
    dtype: str = ""
    """ONNX's name in lower case (``float32``, ``bfloat16`` ...); ``""`` where unknown."""
    shape: Shape | None = None
    """Extents, a string for one known only at run time; ``None`` where the rank is unknown."""

    @property
    def elements(self) -> int | None:
        """Number of elements, or None while an extent is unknown."""
        if self.shape is None or any(isinstance(dim, str) for dim in self.shape):
            return None
        return math.prod(dim for dim in self.shape if isinstance(dim, int))

    @property
    def nbytes(self) -> int | None:
        """Size in bytes, or None while the shape or the element size is unknown."""
        elements, bits = self.elements, ITEM_BITS.get(self.dtype)
        return None if elements is None or bits is None else (elements * bits + 7) // 8


@dataclass(frozen=True, slots=True)
class Node:
    """One operator of a graph, or one fused layer or engine."""

    name: str
    """Identity of the node in this and every derived graph; unique in its graph, never empty."""
    op_type: str
    domain: str = ""
    """Operator set; ``""`` is ONNX's own."""
    inputs: tuple[str, ...] = ()
    """Tensor names by position; ``""`` is an optional input left out."""
    outputs: tuple[str, ...] = ()
    """Tensor names by position; ``""`` is an optional output nobody takes."""
    attributes: Mapping[str, Any] = field(default_factory=lambda: NOTHING, hash=False)
    """Plain values: int, float, str, bytes, tuples of them; a tensor as its `TensorSpec`; the body
    of an If or Loop as a `Graph`."""
    origin: tuple[str, ...] = ()
    """Names of the original nodes behind this one; empty for a node that is an original itself."""
    captured: tuple[str, ...] = ()
    """Tensors that the bodies of this node use from the graph around it; inputs like the others."""

    @property
    def reads(self) -> tuple[str, ...]:
        """Every tensor the node needs: inputs that are there, then captured ones."""
        return tuple(name for name in self.inputs if name) + self.captured

    @property
    def makes(self) -> tuple[str, ...]:
        """Every tensor the node produces, optional ones that nobody takes left out."""
        return tuple(name for name in self.outputs if name)


@dataclass(frozen=True)
class Graph:
    """Operators joined by tensors; a directed acyclic graph.

    Raises:
        GraphError: a node without a name, two nodes or two producers with one name, or a cycle.
            The message lists the names.
    """

    name: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    nodes: tuple[Node, ...]
    initializers: tuple[TensorSpec, ...] = ()
    """Weights and constants stored with the graph; specs only."""
    tensors: tuple[TensorSpec, ...] = ()
    """What is known of intermediate tensors, e.g. from shape inference."""

    def __post_init__(self) -> None:
        _refuse_twins((node.name for node in self.nodes), "node name")
        _refuse_twins((spec.name for spec in self.inputs), "graph input")
        _refuse_twins((spec.name for spec in self.initializers), "initializer")
        if any(not node.name for node in self.nodes):
            raise GraphError("a node has no name; give every node a unique one")
        if len(self.order) != len(self.nodes):
            cycle = " -> ".join(shown(name) for name in find_cycle(self))
            raise GraphError(f"graph {shown(self.name)} has a cycle: {cycle}; break it to go on")

    @cached_property
    def position(self) -> Mapping[str, int]:
        """Node name -> place in `nodes`."""
        return {node.name: i for i, node in enumerate(self.nodes)}

    @cached_property
    def producer(self) -> Mapping[str, int]:
        """Tensor name -> place of the node that makes it; inputs and initializers are not in."""
        made: dict[str, int] = {}
        for i, node in enumerate(self.nodes):
            for tensor in node.outputs:
                if tensor and made.setdefault(tensor, i) != i:
                    first, second = self.nodes[made[tensor]].name, node.name
                    raise GraphError(
                        f"tensor {shown(tensor)} has two producers: nodes {shown(first)} and "
                        f"{shown(second)}; rename one of the outputs"
                    )
        for spec in (*self.inputs, *self.initializers):
            if spec.name in made:
                raise GraphError(
                    f"tensor {shown(spec.name)} is given to the graph and also made by node "
                    f"{shown(self.nodes[made[spec.name]].name)}; rename one of them"
                )
        return made

    @cached_property
    def consumers(self) -> Mapping[str, tuple[int, ...]]:
        """Tensor name -> places of the nodes that read it, each once, in `nodes` order."""
        found: dict[str, list[int]] = {}
        for i, node in enumerate(self.nodes):
            for tensor in dict.fromkeys(node.reads):
                found.setdefault(tensor, []).append(i)
        return {tensor: tuple(places) for tensor, places in found.items()}

    @cached_property
    def predecessors(self) -> Sequence[tuple[int, ...]]:
        """For each node the places of the nodes it reads from, each once, ascending."""
        producer = self.producer
        return [
            tuple(sorted({producer[name] for name in node.reads if name in producer}))
            for node in self.nodes
        ]

    @cached_property
    def successors(self) -> Sequence[tuple[int, ...]]:
        """For each node the places of the nodes that read from it, each once, ascending."""
        found: list[list[int]] = [[] for _ in self.nodes]
        for i, before in enumerate(self.predecessors):
            for j in before:
                found[j].append(i)
        return [tuple(places) for places in found]

    @cached_property
    def order(self) -> tuple[int, ...]:
        """Places of the nodes in topological order, as near to `nodes` order as there is."""
        missing = [len(before) for before in self.predecessors]
        ready = [i for i, count in enumerate(missing) if count == 0]
        order: list[int] = []
        while ready:
            i = heapq.heappop(ready)
            order.append(i)
            for j in self.successors[i]:
                missing[j] -= 1
                if missing[j] == 0:
                    heapq.heappush(ready, j)
        return tuple(order)

    @cached_property
    def specs(self) -> Mapping[str, TensorSpec]:
        """Tensor name -> what is known of it: inputs, initializers, outputs, intermediates."""
        found = {spec.name: spec for spec in (*self.tensors, *self.outputs)}
        found.update((spec.name, spec) for spec in (*self.initializers, *self.inputs))
        return found

    def node(self, name: str) -> Node:
        """The node of this name.

        Raises:
            GraphError: there is none.
        """
        try:
            return self.nodes[self.position[name]]
        except KeyError:
            raise GraphError(f"graph {shown(self.name)} has no node {shown(name)}") from None

    def spec(self, tensor: str) -> TensorSpec:
        """What is known of a tensor; a spec with neither type nor shape where nothing is."""
        return self.specs.get(tensor) or TensorSpec(tensor)


def _refuse_twins(names: Iterable[str], kind: str) -> None:
    seen: set[str] = set()
    twins = [name for name in names if name in seen or seen.add(name)]
    if twins:
        raise GraphError(f"{kind} used twice: {listed(twins)}; names must be unique in a graph")


def find_cycle(graph: Graph) -> tuple[str, ...]:
    """Names of the nodes on one cycle, the first repeated at the end; empty if there is none."""
    left = set(range(len(graph.nodes))) - set(graph.order)
    if not left:
        return ()
    # Every node left over has a predecessor that is left over too: walking back must close a ring.
    at, path, seen = min(left), [], {}
    while at not in seen:
        seen[at] = len(path)
        path.append(at)
        at = next(i for i in graph.predecessors[at] if i in left)
    ring = [*path[seen[at] :], at]
    return tuple(graph.nodes[i].name for i in reversed(ring))


def origin_of(node: Node) -> tuple[str, ...]:
    """Names of the original nodes a node stands for: its `origin`, or itself."""
    return node.origin or (node.name,)


def counterparts(graph: Graph) -> dict[str, tuple[str, ...]]:
    """Original node name -> names of the nodes of `graph` that stand for it (many to many)."""
    found: dict[str, list[str]] = {}
    for node in graph.nodes:
        for name in origin_of(node):
            found.setdefault(name, []).append(node.name)
    return {name: tuple(nodes) for name, nodes in found.items()}


def traced(graph: Graph, through: Graph) -> Graph:
    """`graph` with origins followed one step further back, through the graph it was made from.

    If `through` was itself derived from an original, the result's origins name nodes of that
    original. An origin that `through` does not know is kept as it is.
    """
    back = {node.name: origin_of(node) for node in through.nodes}
    nodes = []
    for node in graph.nodes:
        far = (name for near in origin_of(node) for name in back.get(near, (near,)))
        nodes.append(replace(node, origin=tuple(dict.fromkeys(far))))
    return replace(graph, nodes=tuple(nodes))
