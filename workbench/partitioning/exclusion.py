"""What the user keeps out of engines: by operator, node, pattern, tensor or whole subgraph."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import translate
from re import compile as compiled

from workbench.errors import PartitionError
from workbench.graph import Graph
from workbench.partitioning.values import Partition, Subgraph
from workbench.text import nearest, shown


@dataclass(frozen=True, slots=True)
class Exclusion:
    """Nodes to keep out of engines; empty excludes nothing.

    Example:
        >>> Exclusion(op_types=("Softmax",), nodes=("/head/*",), tensors=("logits",))
    """

    op_types: tuple[str, ...] = ()
    """Operator types, ``Softmax``; of another domain ``com.microsoft::Gelu`` or just ``Gelu``."""
    nodes: tuple[str, ...] = ()
    """Node names, or patterns with ``*``, ``?`` and ``[...]``; a name that is there is taken as it
    stands."""
    tensors: tuple[str, ...] = ()
    """Tensors whose maker and readers stay out."""
    subgraphs: tuple[Subgraph, ...] = ()
    """Subgraphs of an earlier partition of the same graph, all their nodes."""

    def __post_init__(self) -> None:
        for field in ("op_types", "nodes", "tensors", "subgraphs"):
            value = getattr(self, field)
            if isinstance(value, str | Subgraph):
                value = (value,)
            object.__setattr__(self, field, tuple(value))

    @classmethod
    def of_subgraphs(cls, partition: Partition, indices: Iterable[int]) -> Exclusion:
        """What keeps whole engines of a partition native.

        Raises:
            PartitionError: an index the partition has not.
        """
        known = {part.index: part for part in partition.subgraphs}
        chosen = list(dict.fromkeys(indices))
        for index in chosen:
            if index not in known:
                raise PartitionError(
                    f"there is no engine {shown(index)}; this partition has {len(known)}, from 0"
                )
        return cls(subgraphs=tuple(known[index] for index in chosen))

    def __or__(self, other: Exclusion) -> Exclusion:
        """What either excludes."""
        return Exclusion(
            self.op_types + other.op_types, self.nodes + other.nodes,
            self.tensors + other.tensors, self.subgraphs + other.subgraphs,
        )  # fmt: skip

    def __bool__(self) -> bool:
        return bool(self.op_types or self.nodes or self.tensors or self.subgraphs)

    def matches(self, graph: Graph) -> dict[str, str]:
        """Excluded node name -> the rule that excludes it, in words; in `graph.nodes` order.

        Raises:
            PartitionError: a rule that matches nothing in the graph; names the nearest there is.
        """
        found: dict[int, str] = {}
        for op_type in self.op_types:
            _add(found, _of_type(graph, op_type), f"operator type {shown(op_type)} is excluded")
        for name in self.nodes:
            _add(found, _of_name(graph, name), f"node name {shown(name)} is excluded")
        for tensor in self.tensors:
            _add(found, _of_tensor(graph, tensor), f"tensor {shown(tensor)} is excluded")
        for part in self.subgraphs:
            places = [_of_name(graph, name, glob=False)[0] for name in part.nodes]
            _add(found, places, f"subgraph {part.index} is excluded")
        return {graph.nodes[v].name: found[v] for v in sorted(found)}


def _add(found: dict[int, str], places: Iterable[int], reason: str) -> None:
    for v in places:
        found.setdefault(v, reason)


def _of_type(graph: Graph, op_type: str) -> list[int]:
    domain, _, short = op_type.rpartition("::")
    places = [
        v
        for v, node in enumerate(graph.nodes)
        if node.op_type == short and (not domain or node.domain == domain)
    ]
    if not places:
        known = sorted({node.op_type for node in graph.nodes})
        raise PartitionError(_nothing("operator type", op_type, nearest(short, known), graph))
    return places


def _of_name(graph: Graph, name: str, *, glob: bool = True) -> list[int]:
    if name in graph.position:
        return [graph.position[name]]
    if glob and any(mark in name for mark in "*?["):
        fits = compiled(translate(name)).match
        places = [v for v, node in enumerate(graph.nodes) if fits(node.name)]
        if places:
            return places
    raise PartitionError(_nothing("node", name, nearest(name, graph.position), graph))


def _of_tensor(graph: Graph, tensor: str) -> list[int]:
    places = set(graph.consumers.get(tensor, ()))
    if tensor in graph.producer:
        places.add(graph.producer[tensor])
    if not places:
        known = {*graph.producer, *graph.consumers}
        raise PartitionError(_nothing("tensor", tensor, nearest(tensor, known), graph))
    return sorted(places)


def _nothing(kind: str, what: str, hint: str, graph: Graph) -> str:
    return (
        f"nothing to exclude: graph {shown(graph.name)} has no {kind} {shown(what)}{hint}; "
        f"correct the name or leave the rule out"
    )
