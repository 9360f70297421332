"""`census`: where every node of a network is in a hybrid, in numbers."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from workbench.backends.base import FOLDED, LAYER_DOMAIN, REMOVED, UNEXPLAINED, executed
from workbench.graph import Node
from workbench.hybrid.engine import Hybrid


@dataclass(frozen=True, slots=True)
class Census:
    """Every node is in exactly one of `in_layers`, `folded`, `removed`, `native` and `missing`."""

    nodes: int
    engines: int
    kernels: int
    """Layers of the engines that run a node of the network, alone or with others."""
    helpers: int
    """Layers the backend put in for itself: copies, changes of layout, waiting for one another."""
    in_layers: int
    """Nodes in a kernel of an engine."""
    folded: int
    """Nodes computed at build time."""
    removed: int
    """Nodes that run nowhere because they change nothing, or only shapes, or nothing needs them."""
    native: int
    """Nodes outside the engines."""
    missing: tuple[str, ...]
    """Nodes for which neither the backend nor a rule says where they went."""
    failures: tuple[str, ...]
    """Why engines could not be built; their nodes are native."""
    seconds: float
    """Wall time of building the engines, or of finding them in the cache."""
    plan_bytes: int
    """All plans of the engines together."""


def census(built: Hybrid) -> Census:
    """Count the nodes and kernels of a hybrid.

    A node in several places counts once: as missing where it is doubtful anywhere, else in a
    kernel, else native, else as what runs nowhere.
    """
    engines = [part for part in built.parts if part.kind == "engine"]
    layers = [node for part in engines for node in part.engine.layers().nodes]
    runs = [node for part in engines for node in executed(part.engine.layers())]
    helpers = [node for node in runs if _is_helper(node)]
    doubtful = [name for node in layers for name in node.attributes.get(UNEXPLAINED, ())]
    places = dict.fromkeys((node.name for node in built.partition.graph.nodes), "missing")
    for place, names in (
        *((node.op_type, node.origin) for node in built.layers().nodes if _is_gone(node)),
        *(("native", part.subgraph.nodes) for part in built.parts if part.kind == "native"),
        *(("layer", node.origin) for node in runs),
        ("missing", doubtful),
    ):
        places.update((name, place) for name in names if name in places)
    count = Counter(places.values())
    return Census(
        nodes=len(places),
        engines=len(engines),
        kernels=len(runs) - len(helpers),
        helpers=len(helpers),
        in_layers=count["layer"],
        folded=count[FOLDED],
        removed=count[REMOVED],
        native=count["native"],
        missing=tuple(name for name, place in places.items() if place == "missing"),
        failures=tuple(dict.fromkeys(verdict.reason for verdict in built.failures)),
        seconds=sum(part.seconds for part in engines),
        plan_bytes=sum(len(part.engine.serialize()) for part in engines),
    )


def _is_helper(node: Node) -> bool:
    return bool(node.attributes.get("helper")) or node.domain == LAYER_DOMAIN


def _is_gone(node: Node) -> bool:
    return node.domain == LAYER_DOMAIN and node.op_type in (FOLDED, REMOVED)
