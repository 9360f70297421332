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
_UNKNOWN_WIDTH = 4


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
    AROUND = "around"
    """Scales, casts and activations around a product that another layer computes."""
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

        A node in several layers shows the widest, layers around a product only if there is no
        other; a node that is computed at build time is not in.
        """
        found: dict[str, Precision] = {}
        for around in (False, True):
            seen = set(found)
            for one in self.layers:
                if (one.outcome is Outcome.AROUND) is not around or one.achieved is None:
                    continue
                for node in set(one.origin) - seen:
                    widest = _WIDTH.get(found.get(node, Precision.INT8), 0)
                    if node not in found or _WIDTH[one.achieved] > widest:
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
    judge = _Judge(requested, graph, origin or {}, kept or {})
    audit = Audit(tuple(judge.rows(layers)))
    if strict and audit.departures:
        _refuse(audit)
    return audit


@dataclass(slots=True)
class _Judge:
    requested: Resolution
    graph: Graph
    origin: Mapping[str, tuple[str, ...]]
    kept: Mapping[str, str]

    def rows(self, layers: Graph) -> list[Achieved]:
        held = {layer.name: self._own(layer) for layer in layers.nodes}
        running = [n for n in layers.nodes if held[n.name] and "precision" in n.attributes]
        narrowest: dict[str, int] = {}
        for layer in running:
            for near in held[layer.name]:
                width = _width(_real(layer))
                narrowest[near] = min(width, narrowest.get(near, width))
        return [self._judged(layer, held[layer.name], narrowest) for layer in running]

    def _own(self, layer: Node) -> list[str]:
        """The nodes that do the user's work; those a transform put in have new names."""
        position = self.graph.position
        return sorted({n for n in layer.origin if n in position}, key=position.__getitem__)

    def _users(self, near: str) -> list[str]:
        return [name for name in self.origin.get(near, (near,)) if name in self.graph.position]

    def _judged(self, layer: Node, held: list[str], narrowest: Mapping[str, int]) -> Achieved:
        real = _real(layer)
        # A product split over several layers is computed in the narrowest of them; the others scale
        # and cast for it, and take in what follows.
        here = [
            near for near in held if not (self._is_product(near) and narrowest[near] < _width(real))
        ]
        users = tuple(dict.fromkeys(name for near in held for name in self._users(near)))
        products = [near for near in here if self._is_product(near)]
        chief = min(
            products or here or held, key=lambda near: _width(self.requested[self._users(near)[0]])
        )
        wanted = self.requested[self._users(chief)[0]]
        outcome = _outcome(wanted, real)
        why = next((self.kept[name] for name in self._users(chief) if name in self.kept), "")
        if outcome in _SILENT and not products and len(here) < len(held):
            outcome = Outcome.AROUND
        elif outcome in _SILENT and why:
            outcome = Outcome.KEPT
        return Achieved(
            layer.name, users, wanted, real, outcome, why or _words(outcome, wanted, real)
        )

    def _is_product(self, near: str) -> bool:
        return self.graph.node(near).op_type in _WEIGHTED


def _real(layer: Node) -> Precision | None:
    return _BY_DTYPE.get(str(layer.attributes["precision"]))


def _width(precision: Precision | None) -> int:
    return _WIDTH[precision] if precision else _UNKNOWN_WIDTH


def _words(outcome: Outcome, wanted: Precision, real: Precision | None) -> str:
    if real is None:
        return "the engine names no float or INT8 type for this layer"
    if outcome is Outcome.MET:
        return f"computed in {real.value} as asked"
    if outcome is Outcome.AROUND:
        return f"scales and casts in {real.value} around a product that another layer computes"
    if outcome is Outcome.REPLACED:
        return f"asked for {wanted.value}, runs as {real.value}, which this engine has instead"
    lack = "its Q/DQ did not fuse" if wanted is Precision.INT8 else "this engine has no kernel"
    more = f": {lack}, or prefers another" if outcome is Outcome.WIDER else ""
    return f"asked for {wanted.value}, runs as {real.value}{more}"


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
