"""What an engine's layers really compute in, against what was asked for.

Engines fall back without a word: a Q/DQ pair that does not fuse means float arithmetic, a CPU
without float16 computes in bfloat16. The layers know, so they are asked. Names lead back to the
user's nodes through the layers' own origins and, where a transform changed the model in between,
through that transform's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from workbench.errors import BuildError
from workbench.graph import Graph, Node
from workbench.precision.resolution import Precision, Resolution
from workbench.text import listed, plural, shown

_BY_DTYPE = {
    "float32": Precision.FP32, "tf32": Precision.TF32, "float16": Precision.FP16,
    "bfloat16": Precision.BF16, "int8": Precision.INT8, "uint8": Precision.INT8,
}  # fmt: skip
_WEIGHTED = frozenset(
    {"Conv", "ConvTranspose", "Gemm", "MatMul", "ConvInteger", "QLinearConv", "QLinearMatMul"}
)
_WIDTH = {
    Precision.FP32: 3, Precision.TF32: 3, Precision.FP16: 2, Precision.BF16: 2, Precision.INT8: 1,
}  # fmt: skip


class Outcome(StrEnum):
    """What became of a request."""

    MET = "met"
    WIDER = "wider"
    """Computed in more bits than asked for: the speed that was hoped for is not there."""
    NARROWER = "narrower"
    """Computed in fewer bits than asked for: the accuracy may not be there."""
    REPLACED = "replaced"
    """Computed in another type of the same width: bfloat16 for float16."""
    KEPT = "kept"
    """The transform left it in another precision, and said why."""
    UNKNOWN = "unknown"
    """The engine does not say what the layer computes in, or computes no floats in it."""


_SILENT = frozenset({Outcome.WIDER, Outcome.NARROWER, Outcome.REPLACED})


@dataclass(frozen=True, slots=True)
class Achieved:
    """One layer of an engine: what it was to compute in, and what it does."""

    layer: str
    origin: tuple[str, ...]
    """The user's nodes in it, in graph order."""
    requested: Precision
    """That of the node that counts most: a product if there is one, else the narrowest."""
    achieved: Precision | None
    """None where the engine does not say, or computes no floats."""
    outcome: Outcome
    reason: str
    """In words, safe to print."""

    @property
    def silent(self) -> bool:
        """Whether the engine departed from the model's types without being asked to."""
        return self.outcome in _SILENT


@dataclass(frozen=True)
class Audit:
    """Every layer of an engine that has nodes of the user in it."""

    layers: tuple[Achieved, ...]

    @property
    def departures(self) -> tuple[Achieved, ...]:
        """The layers in which the engine departed from the model's types."""
        return tuple(one for one in self.layers if one.silent)

    @property
    def counts(self) -> dict[Outcome, int]:
        """How many layers there are of each outcome that occurs."""
        found = Counter(one.outcome for one in self.layers)
        return {outcome: found[outcome] for outcome in Outcome if outcome in found}

    def overlay(self) -> dict[str, str]:
        """The user's node -> what it is computed in, to colour a graph with.

        A node in several layers shows the widest; one that is computed at build time is not in.
        """
        found: dict[str, Precision] = {}
        for one in self.layers:
            for node in one.origin:
                seen = found.get(node)
                if one.achieved and (seen is None or _WIDTH[one.achieved] > _WIDTH[seen]):
                    found[node] = one.achieved
        return {node: precision.value for node, precision in found.items()}

    def of(self, nodes: Iterable[str]) -> tuple[Achieved, ...]:
        """The layers with any of these nodes in them."""
        wanted = set(nodes)
        return tuple(one for one in self.layers if wanted.intersection(one.origin))


class HasLayers(Protocol):
    """An engine, as far as it matters here."""

    def layers(self) -> Graph:
        """The kernels or layers it runs."""
        ...


def achieved(
    engine: HasLayers | Graph,
    requested: Resolution,
    graph: Graph,
    *,
    origin: Mapping[str, tuple[str, ...]] | None = None,
    kept: Mapping[str, str] | None = None,
    strict: bool = False,
) -> Audit:
    """What every layer computes in, against what was asked for.

    Args:
        engine: an engine, or its layers; origins name nodes of the model it was built from.
        requested: a plan resolved for `graph`.
        graph: the user's graph.
        origin: where a transform lies between: node of the built model -> nodes of `graph`.
        kept: node of `graph` -> why the transform left it in another precision.
        strict: whether a layer that departs from the model's types is an error.

    Raises:
        BuildError: `strict`, and some layer does; names the first of them and says what to do.
    """
    layers = engine if isinstance(engine, Graph) else engine.layers()
    back, kept = origin or {}, kept or {}
    rows = []
    for layer in layers.nodes:
        # Nodes that a transform put in have new names: they do none of the user's work.
        own = (near for near in layer.origin if near in graph.position)
        names = dict.fromkeys(user for near in own for user in back.get(near, (near,)))
        known = sorted((n for n in names if n in graph.position), key=graph.position.__getitem__)
        if known and "precision" in layer.attributes:
            rows.append(_judged(layer, tuple(known), requested, graph, kept))
    audit = Audit(tuple(rows))
    if strict and audit.departures:
        _refuse(audit)
    return audit


def _judged(
    layer: Node, nodes: tuple[str, ...], requested: Resolution, graph: Graph,
    kept: Mapping[str, str],
) -> Achieved:  # fmt: skip
    chief = _chief(nodes, requested, graph)
    wanted = requested[chief]
    real = _BY_DTYPE.get(str(layer.attributes["precision"]))
    outcome = _outcome(wanted, real)
    if outcome in _SILENT and chief in kept:
        outcome = Outcome.KEPT
    reason = {
        Outcome.MET: f"computed in {wanted.value} as asked",
        Outcome.KEPT: kept.get(chief, ""),
        Outcome.UNKNOWN: "the engine names no float or INT8 type for this layer",
        Outcome.REPLACED: f"asked for {wanted.value}, computed in {real}: the device has no "
        f"{wanted.value} arithmetic for it, or the engine prefers {real}",
        Outcome.WIDER: f"asked for {wanted.value}, computed in {real}",
        Outcome.NARROWER: f"asked for {wanted.value}, computed in {real}",
    }[outcome]
    return Achieved(layer.name, nodes, wanted, real, outcome, reason)


def _chief(nodes: tuple[str, ...], requested: Resolution, graph: Graph) -> str:
    """The node whose precision a fused layer is judged by."""
    products = [name for name in nodes if graph.node(name).op_type in _WEIGHTED]
    return min(products or nodes, key=lambda name: _WIDTH[requested[name]])


def _outcome(wanted: Precision, real: Precision | None) -> Outcome:
    if real is None:
        return Outcome.UNKNOWN
    if real is wanted or {real, wanted} == {Precision.FP32, Precision.TF32}:
        return Outcome.MET
    if _WIDTH[real] == _WIDTH[wanted]:
        return Outcome.REPLACED
    return Outcome.WIDER if _WIDTH[real] > _WIDTH[wanted] else Outcome.NARROWER


def _refuse(audit: Audit) -> None:
    first = audit.departures[0]
    nodes = tuple(dict.fromkeys(node for one in audit.departures for node in one.origin))
    raise BuildError(
        f"{plural(len(audit.departures), 'layer')} of {len(audit.layers)} do not compute in what "
        f"was asked for; first {shown(first.layer)} ({listed(first.origin, 3)}): {first.reason}. "
        "Ask for what the device has, keep these nodes out of the rule, or build without strict",
        subgraph=nodes,
    )
