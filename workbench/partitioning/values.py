"""What a division of a graph says: verdicts, capabilities, subgraphs, partitions. Plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from itertools import chain

from workbench.errors import PartitionError
from workbench.graph import Graph
from workbench.partitioning.dag import Dag, Quotient, quotient
from workbench.text import listed, plural, shown


class Code(StrEnum):
    """Why a node is where it is."""

    TAKEN = "taken"
    """A backend takes it; in a partition: it is in an engine."""
    UNSUPPORTED_OP = "unsupported_op"
    UNSUPPORTED_TYPE = "unsupported_type"
    UNSUPPORTED_ATTRIBUTE = "unsupported_attribute"
    DYNAMIC_SHAPE = "dynamic_shape"
    DATA_DEPENDENT_SHAPE = "data_dependent_shape"
    EXCLUDED = "excluded"
    """The user kept it out."""
    BELOW_MIN_SIZE = "below_min_size"
    """Its subgraph has fewer nodes than the threshold."""
    WOULD_FORM_CYCLE = "would_form_cycle"
    ENGINE_LIMIT = "engine_limit"
    """More subgraphs than engines are allowed."""
    FOLDED = "folded"
    """Computed from constants alone; copied to each consumer and never counted."""
    BUILD_FAILED = "build_failed"
    UNKNOWN = "unknown"
    """The source could not be asked about this node."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was decided about one node, and in whose words."""

    node: str
    code: Code
    reason: str = ""
    """The rule's own words and its source, safe to print; may be empty where the code says all."""

    @property
    def taken(self) -> bool:
        """Whether the node can be, or is, in an engine."""
        return self.code is Code.TAKEN


@dataclass(frozen=True)
class Capability:
    """Which nodes a backend takes, and why not the rest.

    Raises:
        PartitionError: two verdicts for one node.
    """

    source: str
    """Who said so, with its version: ``TensorRT-RTX 1.7.1 parser``, ``support table 11.1``."""
    verdicts: tuple[Verdict, ...]
    """One for each node of the graph that was asked about, in its order."""

    def __post_init__(self) -> None:
        if len(self.by_node) != len(self.verdicts):
            raise PartitionError(
                f"capability of {shown(self.source)} has two verdicts for one node"
            )

    @cached_property
    def by_node(self) -> Mapping[str, Verdict]:
        """Node name -> verdict."""
        return {verdict.node: verdict for verdict in self.verdicts}

    @cached_property
    def taken(self) -> frozenset[str]:
        """Names of the nodes the backend takes."""
        taken = Code.TAKEN
        return frozenset([verdict.node for verdict in self.verdicts if verdict.code is taken])


def takes_all(graph: Graph, source: str = "everything taken") -> Capability:
    """The capability of a backend that takes every node."""
    return Capability(source, tuple(Verdict(node.name, Code.TAKEN) for node in graph.nodes))


@dataclass(frozen=True, slots=True)
class Subgraph:
    """Nodes that go into one engine."""

    index: int
    """Place among the subgraphs of its partition, in execution order, from 0."""
    nodes: tuple[str, ...]
    """Operator nodes in execution order; these are counted against the threshold."""
    inputs: tuple[str, ...]
    """Tensors it needs from outside, weights and folded constants not among them."""
    outputs: tuple[str, ...]
    """Tensors somebody outside needs, or that the graph gives out."""
    folded: tuple[str, ...] = ()
    """Constant-fed nodes copied into it; another subgraph may have copies of the same ones."""

    def __len__(self) -> int:
        return len(self.nodes)


@dataclass(frozen=True)
class Partition:
    """A graph divided into engine subgraphs and native regions.

    Raises:
        PartitionError: a subgraph that overlaps another or names unknown nodes, or a node with no
            verdict or two.
    """

    graph: Graph
    subgraphs: tuple[Subgraph, ...]
    """What goes into engines, in execution order."""
    verdicts: tuple[Verdict, ...]
    """One for each node, in `graph.nodes` order."""
    min_subgraph_size: int = 3
    policy: str = "connected"
    native: tuple[Subgraph, ...] = ()
    """What stays outside engines, grouped by the same rules; `index` counts on its own."""
    order: tuple[tuple[str, int], ...] = ()
    """Execution order of the quotient graph: pairs of ``"engine"`` or ``"native"`` and an index."""

    def __post_init__(self) -> None:
        known = self.graph.position
        if [verdict.node for verdict in self.verdicts] != list(known):
            raise PartitionError(
                "a partition needs exactly one verdict a node, in the graph's order"
            )
        parts = [part.nodes for part in (*self.subgraphs, *self.native)]
        held = set(chain.from_iterable(parts))
        if not held <= known.keys():
            unknown = [name for name in chain.from_iterable(parts) if name not in known]
            raise PartitionError(f"subgraphs name nodes the graph has not: {listed(unknown)}")
        if len(held) != sum(map(len, parts)):
            raise PartitionError("two parts of a partition hold the same node")

    def __repr__(self) -> str:
        """Counts only; all of it can be millions of characters."""
        inside = sum(len(part) for part in self.subgraphs)
        return (
            f"Partition({shown(self.graph.name)}: {plural(len(self.verdicts), 'node')}, "
            f"{plural(len(self.subgraphs), 'engine')} with {plural(inside, 'node')}, "
            f"threshold {self.min_subgraph_size}, policy {shown(self.policy)})"
        )

    @cached_property
    def by_node(self) -> Mapping[str, Verdict]:
        """Node name -> verdict."""
        return {verdict.node: verdict for verdict in self.verdicts}

    @cached_property
    def engine_of(self) -> Mapping[str, int]:
        """Node name -> index of the subgraph that holds it; native and folded nodes are not in."""
        return {name: part.index for part in self.subgraphs for name in part.nodes}

    @cached_property
    def quotient(self) -> Quotient:
        """The graph with each engine contracted to one unit and every native node on its own.

        Folded nodes are left out: they belong to whoever reads them. Prepared on first use.
        """
        graph, count = self.graph, len(self.subgraphs)
        engines = self.engine_of
        label = [
            -1 if verdict.code is Code.FOLDED else engines.get(verdict.node, count + v)
            for v, verdict in enumerate(self.verdicts)
        ]
        dag = Dag(graph.predecessors, graph.successors, graph.order)
        return quotient(dag, label, [node.name for node in graph.nodes])
