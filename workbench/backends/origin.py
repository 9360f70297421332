"""Which original nodes stand behind which layer, when a backend remembers only some of them.

Backends lose names: OpenVINO folds a batch normalization into the convolution before it and calls
the result ``Multiply_7563``. What is lost is found again from the two graphs. A node without a
layer was computed at build time if nothing but constants feeds it. Otherwise it was merged into the
layer of what consumes its result, or of what made its input. Which of the two follows from the
layers' own edges, for a layer that holds a node must read every layer the node's inputs come from,
and where that leaves a choice, from how kernels are made: a product first, pointwise steps after.
Pure: no backend is known here.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from workbench.backends.twins import twins
from workbench.graph import NOTHING, Graph, Node

_NO_OPS = frozenset({"Identity", "Dropout"})
_PRODUCTS = frozenset(
    {"Conv", "ConvTranspose", "ConvInteger", "QLinearConv", "Gemm", "MatMul", "MatMulInteger",
     "QLinearMatMul"}
)  # fmt: skip
_STEPS_AFTER = frozenset(
    {"Add", "BatchNormalization", "Clip", "Div", "Elu", "Gelu", "HardSigmoid", "HardSwish",
     "LeakyRelu", "Mish", "Mul", "PRelu", "Relu", "Selu", "Sigmoid", "Softplus", "Sub", "Sum",
     "Swish", "Tanh"}
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Attribution:
    """Every node of a graph exactly in `folded`, in `removed`, or behind one layer or more."""

    origin: Mapping[str, tuple[str, ...]]
    """Layer name -> its nodes, in graph order; empty for a layer nothing stands behind."""
    folded: tuple[str, ...]
    """Nodes computed at build time."""
    removed: tuple[str, ...]
    """Nodes that change nothing, or whose result nobody needs."""


def attributed(
    graph: Graph,
    claims: Mapping[str, Iterable[str]],
    reads: Mapping[str, Iterable[str]],
    values: Mapping[str, Hashable] = NOTHING,
) -> Attribution:
    """The layers of every node of `graph`.

    Args:
        graph: the network the layers were made from.
        claims: for each layer the nodes it is known to hold; names `graph` has not are ignored.
        reads: for each layer the layers it gets its inputs from.
        values: content of stored tensors, as far as it tells nodes of equal value apart.
    """
    owners = _claimed(graph, claims)
    folded = constant_nodes(graph) - owners.keys()
    removed = _useless(graph) - owners.keys() - folded
    gone = folded | removed
    leaders = _leaders(graph, owners, gone, values)
    search = _Search(_Merged(graph, leaders), owners, gone, _sources(claims, owners, reads))
    search.join_only_fit()
    search.join_consumers(certain=True)
    search.join_producers(certain=True)
    search.join_consumers(certain=False)
    search.join_producers(certain=False)
    for i, leader in leaders.items():
        if leader in owners and i not in gone:
            owners.setdefault(i, owners[leader])
    removed |= set(range(len(graph.nodes))) - owners.keys() - folded
    held: dict[str, list[str]] = {layer: [] for layer in claims}
    for i, node in enumerate(graph.nodes):
        for layer in sorted(owners.get(i, ())):
            held[layer].append(node.name)
    return Attribution(
        {layer: tuple(names) for layer, names in held.items()},
        tuple(node.name for i, node in enumerate(graph.nodes) if i in folded),
        tuple(node.name for i, node in enumerate(graph.nodes) if i in removed),
    )


def _claimed(graph: Graph, claims: Mapping[str, Iterable[str]]) -> dict[int, frozenset[str]]:
    """Place of a node -> the layers that claim it; no-ops only where nothing else is claimed."""
    owners: dict[int, frozenset[str]] = {}
    for layer, names in claims.items():
        places = {graph.position[name] for name in names if name in graph.position}
        working = {i for i in places if not _is_no_op(graph.nodes[i])}
        for i in working or places:
            owners[i] = owners.get(i, frozenset()) | {layer}
    return owners


def _sources(
    claims: Mapping[str, Iterable[str]],
    owners: Mapping[int, frozenset[str]],
    reads: Mapping[str, Iterable[str]],
) -> dict[str, set[str]]:
    """Layer -> the owning layers it reads, directly or through layers that own nothing."""
    owning = frozenset[str]().union(*owners.values())
    found: dict[str, set[str]] = {}
    for layer in claims:
        seen: set[str] = set()
        todo = list(reads.get(layer, ()))
        while todo:
            source = todo.pop()
            if source not in seen:
                seen.add(source)
                todo += [] if source in owning else reads.get(source, ())
        found[layer] = seen & owning
    return found


def _leaders(
    graph: Graph,
    owners: Mapping[int, frozenset[str]],
    gone: set[int],
    values: Mapping[str, Hashable],
) -> dict[int, int]:
    """Place of a node without a layer -> the node of the same value that stands for it.

    That is one with a layer if there is one, else the first; nodes that stand alone are left out.
    """
    first = twins(graph, values)
    known: dict[int, int] = {}
    for i in graph.order:
        if i in owners:
            known.setdefault(first[i], i)
    lost = (i for i in graph.order if i not in owners and i not in gone)
    pairs = ((i, known.get(first[i], first[i])) for i in lost)
    return {i: leader for i, leader in pairs if leader != i}


class _Merged:
    """The edges of a graph once a node's leader stands in its place."""

    def __init__(self, graph: Graph, leaders: Mapping[int, int]) -> None:
        places = [i for i in graph.order if i not in leaders]
        self.nodes = graph.nodes
        self.predecessors = {
            i: tuple({leaders.get(j, j): None for j in graph.predecessors[i]}) for i in places
        }
        self.successors: dict[int, list[int]] = {i: [] for i in places}
        for i in places:
            for j in self.predecessors[i]:
                self.successors[j].append(i)
        self.order = _ordered(self.predecessors, places)


def _ordered(predecessors: Mapping[int, Sequence[int]], places: Sequence[int]) -> list[int]:
    """`places` in topological order; a leader may come late in the graph's own."""
    order: dict[int, None] = {}
    todo = list(reversed(places))
    while todo:
        i = todo[-1]
        waiting = [j for j in predecessors[i] if j not in order]
        if waiting and i not in order:
            todo += waiting
        else:
            order.setdefault(todo.pop())
    return list(order)


@dataclass(slots=True)
class _Search:
    """Joins nodes without a layer to a layer next to them, the surest first."""

    graph: _Merged
    owners: dict[int, frozenset[str]]
    gone: set[int]
    """Folded and removed nodes; a search looks through them."""
    sources: Mapping[str, set[str]]

    def join_only_fit(self) -> None:
        """Give nodes the one layer, of producers and consumers, whose edges allow it."""
        graph = self.graph
        after = self._near(reversed(graph.order), graph.successors)
        near: dict[int, frozenset[str]] = {}
        for i in graph.order:
            before = frozenset[str]().union(*(near[j] for j in graph.predecessors[i]))
            if i not in self.owners and i not in self.gone:
                fitting = [x for x in before | after[i] if self._fits(x, before)]
                if len(fitting) == 1:
                    self.owners[i] = frozenset(fitting)
            near[i] = self.owners.get(i, before)

    def join_consumers(self, *, certain: bool) -> None:
        """Give nodes the layers of their consumers; if `certain`, only where one layer fits."""
        graph = self.graph
        before = self._near(graph.order, graph.predecessors)
        near: dict[int, frozenset[str]] = {}
        for i in reversed(graph.order):
            after = frozenset[str]().union(*(near[j] for j in graph.successors[i]))
            if i not in self.owners and i not in self.gone and after:
                fits = all(self._fits(layer, before[i]) for layer in after)
                if not certain or (len(after) == 1 and fits and not self._ends_kernel(i)):
                    self.owners[i] = after
            near[i] = self.owners.get(i, after)

    def join_producers(self, *, certain: bool) -> None:
        """Give nodes the layers of their producers; if `certain`, only the one that fits."""
        near: dict[int, frozenset[str]] = {}
        for i in self.graph.order:
            before = frozenset[str]().union(*(near[j] for j in self.graph.predecessors[i]))
            if i not in self.owners and i not in self.gone and before:
                fitting = [layer for layer in before if self._fits(layer, before)]
                if not certain or len(fitting) == 1:
                    self.owners[i] = frozenset(fitting) or before
            near[i] = self.owners.get(i, before)

    def _near(
        self, order: Iterable[int], neighbours: Mapping[int, Sequence[int]]
    ) -> dict[int, frozenset[str]]:
        """For each node the layers first met on the ways back from it, itself left out."""
        found: dict[int, frozenset[str]] = {}
        for i in order:
            found[i] = frozenset[str]().union(
                *(self.owners.get(j) or found[j] for j in neighbours[i])
            )
        return found

    def _ends_kernel(self, i: int) -> bool:
        """Whether node `i` is a pointwise step and a product follows, which starts a new kernel."""
        nodes = self.graph.nodes
        return nodes[i].op_type in _STEPS_AFTER and any(
            nodes[j].op_type in _PRODUCTS for j in self.graph.successors[i]
        )

    def _fits(self, layer: str, others: frozenset[str]) -> bool:
        return all(other == layer or other in self.sources[layer] for other in others)


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
        if wanted.intersection(graph.nodes[i].makes) or any(
            j in alive for j in graph.successors[i]
        ):
            alive.add(i)
    return {i for i, node in enumerate(graph.nodes) if i not in alive or _is_no_op(node)}


def _is_no_op(node: Node) -> bool:
    return node.op_type in _NO_OPS and not node.domain
