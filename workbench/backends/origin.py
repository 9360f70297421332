"""Which original nodes stand behind which layer, when a backend remembers only some of them.

Backends lose names: OpenVINO folds a batch normalization into the convolution before it and calls
the result ``Multiply_7563``. What is lost is found again from the graph. A node without a layer was
computed at build time if nothing but constants feeds it; otherwise it was merged into what consumes
its result, or, at the end of the graph, into what produced its input. Pure: it knows no backend.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from workbench.graph import Graph, Node

_NO_OPS = frozenset({"Identity", "Dropout"})


@dataclass(frozen=True, slots=True)
class Attribution:
    """Every node of a graph exactly in `folded`, in `removed`, or behind one layer or more."""

    origin: Mapping[str, tuple[str, ...]]
    """Layer name -> its nodes, in graph order; empty for a layer nothing stands behind."""
    folded: tuple[str, ...]
    """Nodes computed at build time."""
    removed: tuple[str, ...]
    """Nodes that change nothing, or whose result nobody needs."""


def attributed(graph: Graph, claims: Mapping[str, Iterable[str]]) -> Attribution:
    """The layers of every node of `graph`.

    Args:
        graph: the network the layers were made from.
        claims: for each layer the nodes it is known to hold; names `graph` has not are ignored.
    """
    owners: dict[int, frozenset[str]] = {}
    for layer, names in claims.items():
        for name in names:
            if (i := graph.position.get(name)) is not None:
                owners[i] = owners.get(i, frozenset()) | {layer}
    folded = constant_nodes(graph) - owners.keys()
    removed = _useless(graph) - owners.keys() - folded
    gone = folded | removed
    _join_consumers(graph, owners, gone)
    _join_producers(graph, owners, gone)
    removed |= set(range(len(graph.nodes))) - owners.keys() - folded
    held: dict[str, list[str]] = {layer: [] for layer in claims}
    for i, node in enumerate(graph.nodes):
        for layer in owners.get(i, ()):
            held[layer].append(node.name)
    return Attribution(
        {layer: tuple(names) for layer, names in held.items()},
        tuple(node.name for i, node in enumerate(graph.nodes) if i in folded),
        tuple(node.name for i, node in enumerate(graph.nodes) if i in removed),
    )


def constant_nodes(graph: Graph) -> set[int]:
    """Places of the nodes whose result is known without any input.

    That is what initializers alone feed, and the shape of a tensor whose shape is fixed.
    """
    fed = {spec.name for spec in graph.inputs} - {spec.name for spec in graph.initializers}
    specs = {spec.name: spec for spec in (*graph.inputs, *graph.tensors, *graph.outputs)}
    found: set[int] = set()
    constant: set[str] = set()
    for i in graph.order:
        node = graph.nodes[i]
        fixed = node.op_type in ("Shape", "Size") and not node.domain and _fixed(node, specs)
        if fixed or not any(
            name in fed or (name in graph.producer and name not in constant) for name in node.reads
        ):
            found.add(i)
            constant.update(node.makes)
    return found


def _fixed(node: Node, specs: Mapping[str, object]) -> bool:
    spec = specs.get(node.inputs[0]) if node.inputs else None
    return spec is not None and getattr(spec, "elements", None) is not None


def _useless(graph: Graph) -> set[int]:
    """Places of no-ops, and of nodes from which no way leads to an output of the graph."""
    wanted = {spec.name for spec in graph.outputs}
    alive: set[int] = set()
    for i in reversed(graph.order):
        node = graph.nodes[i]
        if wanted.intersection(node.makes) or any(j in alive for j in graph.successors[i]):
            alive.add(i)
    dead = set(range(len(graph.nodes))) - alive
    no_ops = {
        i for i, node in enumerate(graph.nodes) if node.op_type in _NO_OPS and not node.domain
    }
    return dead | no_ops


def _join_consumers(graph: Graph, owners: dict[int, frozenset[str]], gone: set[int]) -> None:
    reached: dict[int, frozenset[str]] = {}
    for i in reversed(graph.order):
        after = [reached[j] for j in graph.successors[i]]
        near: frozenset[str] = frozenset().union(*after)
        if i not in owners and i not in gone and near:
            owners[i] = _one_before(graph, i, owners) if len(near) > 1 else near
            owners[i] = owners[i] or near
        # A removed node hands on what comes after it: its own producers may have been merged there.
        reached[i] = near if i in gone else owners.get(i, frozenset())


def _one_before(graph: Graph, i: int, owners: dict[int, frozenset[str]]) -> frozenset[str]:
    """The layer all producers of node `i` are known to be in, empty where it is not one layer."""
    before = frozenset().union(*(owners.get(j, frozenset()) for j in graph.predecessors[i]))
    return before if len(before) == 1 else frozenset()


def _join_producers(graph: Graph, owners: dict[int, frozenset[str]], gone: set[int]) -> None:
    reached: dict[int, frozenset[str]] = {}
    for i in graph.order:
        near: frozenset[str] = frozenset().union(*(reached[j] for j in graph.predecessors[i]))
        if i not in owners and i not in gone and near:
            owners[i] = near
        reached[i] = near if i in gone else owners.get(i, frozenset())
