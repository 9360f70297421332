"""`PlanEngine`: an engine that TensorRT built, as it lies on disk: its layers, and its bytes.

It says what the engine runs on any machine. Running it takes a GPU of the kind it was built for;
TensorRT sees the bytes only after everything that can be checked without it was checked.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from workbench.backends.base import LAYER_DOMAIN, UNEXPLAINED, ShapeRange
from workbench.backends.origin import attributed
from workbench.backends.plan import pack, refuse_other, unpack
from workbench.backends.records import (
    layers_from_json,
    layers_to_json,
    ranges_from_json,
    ranges_to_json,
    specs_from_json,
    specs_to_json,
    unrun_layers,
)
from workbench.backends.tensorrt import adapter, sealing
from workbench.backends.tensorrt.building import Built
from workbench.backends.tensorrt.layers.accounting import account
from workbench.backends.tensorrt.layers.graphs import to_graph
from workbench.backends.tensorrt.layers.inspector import read_engine
from workbench.backends.tensorrt.layers.log import read_build_log
from workbench.backends.tensorrt.places import Made, refuse_elsewhere, why_not_here
from workbench.errors import ModelError, RunError
from workbench.graph import Graph, Node, TensorSpec
from workbench.text import shown

if TYPE_CHECKING:
    from workbench.backends.tensorrt.runtime import Opened
    from workbench.backends.tensorrt.session import TensorRTSession
    from workbench.model import Model

BACKEND = "tensorrt"
_SIGNED = "signature"


class _Once:
    """The loaded engine that all sessions share; loaded by the first of them."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.opened: Opened | None = None

    def __reduce__(self) -> tuple[type[_Once], tuple[()]]:
        return _Once, ()


@dataclass(frozen=True)
class PlanEngine:
    """An engine in TensorRT's serialized form, with what is known of it."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    ranges: Mapping[str, ShapeRange] = field(hash=False)
    """The profile it was built with, by input; empty where every extent is fixed."""
    made: Made
    """By which TensorRT, on which GPU, for which others."""
    plan: bytes = field(repr=False)
    """TensorRT's own bytes."""
    graph: Graph = field(repr=False)
    """Its layers, see `layers`."""
    notes: tuple[str, ...] = ()
    """What TensorRT warned of while it built."""
    weight_bytes: int | None = None
    """GPU memory for weights where they stream in; None where all stay on the GPU."""
    _once: _Once = field(default_factory=_Once, repr=False, compare=False)

    @property
    def backend(self) -> str:
        """``tensorrt``."""
        return BACKEND

    @property
    def made_with(self) -> str:
        """Product and version, e.g. ``TensorRT-RTX 1.7.1.116``."""
        return self.made.title

    @property
    def targets(self) -> tuple[str, ...]:
        """GPU architectures it runs on; empty where it is for the GPU it was built on."""
        return self.made.targets

    def layers(self) -> Graph:
        """The kernels it runs, each with its origin in the model.

        As TensorRT's inspector tells them where it was built on a GPU, else from the build log.
        """
        return self.graph

    def session(self) -> TensorRTSession:
        """A new session on the GPU; the first one loads the plan.

        Raises:
            RunError: no GPU here that it runs on, too little memory, or TensorRT refuses the plan;
                says what is missing and what to do.
        """
        from workbench.backends.tensorrt.session import TensorRTSession

        return TensorRTSession(self, self._opened())

    def serialize(self) -> bytes:
        """The plan with its layers, a checksum and your signature; `TensorRT.load` takes it."""
        record = {
            **self.made.record(),
            "inputs": specs_to_json(self.inputs),
            "outputs": specs_to_json(self.outputs),
            "ranges": ranges_to_json(self.ranges),
            "layers": layers_to_json(self.graph),
            "constants": specs_to_json(self.graph.initializers),
            "notes": list(self.notes),
            "weight_bytes": self.weight_bytes,
        }
        signed = sealing.signature(record, self.plan)
        return pack(BACKEND, {**record, _SIGNED: signed}, {"plan": self.plan})

    def refit(self, model: Model) -> PlanEngine:
        """This engine with the weights of another model of the same structure; nothing is built.

        Args:
            model: differs from what the engine was built from in values of weights alone.

        Raises:
            RunError: the engine was not built with the option ``refit``, a weight is missing or
                does not fit, or no GPU.
        """
        from workbench.backends.tensorrt.refitting import refitted

        return replace(self, plan=refitted(self._opened(), model), _once=_Once())

    def _opened(self) -> Opened:
        reason = why_not_here(self.made)
        if reason:
            raise RunError(
                f"this {self.made_with} engine cannot run here: {reason}", backend=BACKEND
            )
        from workbench.backends.tensorrt.runtime import Opened

        with self._once.lock:
            if self._once.opened is None:
                self._once.opened = Opened(self.made.package, self.plan, self.weight_bytes)
            return self._once.opened


def engine_of(
    original: Graph,
    ranges: Mapping[str, ShapeRange],
    made: Made,
    built: Built,
    weight_bytes: int | None = None,
) -> PlanEngine:
    """The engine of a finished build.

    Args:
        original: the graph of the model it was built from.
        ranges: the profile.
        made: by what and for what.
        built: plan and log.
        weight_bytes: see `PlanEngine`.
    """
    return PlanEngine(
        original.inputs, original.outputs, dict(ranges), replace(made, targets=built.targets),
        built.plan, layers_of(built, original), tuple(shown(note, 400) for note in built.notes),
        weight_bytes,
    )  # fmt: skip


def layers_of(built: Built, original: Graph) -> Graph:
    """The layers of a build, accounting for every node of the original.

    A node that no layer names was computed at build time, dropped as a no-op, or merged into the
    layer of a neighbour.
    """
    return accounted(to_graph(_read(built), original), original)


def accounted(graph: Graph, original: Graph) -> Graph:
    """Layers read from a file or a log, as `PlanEngine.layers` gives them.

    A layer that holds nodes for which neither its name nor a rule speaks lists them in the
    attribute `UNEXPLAINED`: they are somewhere, and this is the likeliest place.

    Args:
        graph: made by `layers.to_graph` with the original.
        original: what the engine was built from.
    """
    doubtful = frozenset(account(original, graph).missing)
    claims = {node.name: node.origin for node in graph.nodes}
    reads = {
        node.name: [graph.nodes[place].name for place in graph.predecessors[i]]
        for i, node in enumerate(graph.nodes)
    }
    found = attributed(original, claims, reads)
    nodes = [_layer(node, found.origin.get(node.name, ()), graph) for node in graph.nodes]
    unrun = unrun_layers(found, (node.name for node in nodes))
    marked = tuple(_marked(node, doubtful) for node in (*nodes, *unrun))
    return replace(graph, name=original.name, nodes=marked)


def _marked(node: Node, doubtful: frozenset[str]) -> Node:
    here = tuple(name for name in node.origin if name in doubtful)
    return replace(node, attributes={**node.attributes, UNEXPLAINED: here}) if here else node


def engine_from(plan: bytes, package: str, *, trust: bool = False) -> PlanEngine:
    """The engine of what `PlanEngine.serialize` gave.

    Args:
        plan: the sealed plan.
        package: importable name of the TensorRT that is to run it.
        trust: take also what somebody else wrote.

    Raises:
        BackendError: not such a plan, damaged, made by another version or for another GPU, or not
            signed by this user; says what differs.
    """
    record, blobs = unpack(plan, BACKEND)
    refuse_other(record, {"product": adapter.product(package)}, BACKEND)
    made = Made.of(record, package)
    refuse_elsewhere(made)
    if not trust:
        signed = record.pop(_SIGNED, None)
        sealing.refuse_foreign(signed, record, blobs["plan"])
    graph = layers_from_json(record["layers"])
    nodes = tuple(replace(node, attributes=_plain(node.attributes)) for node in graph.nodes)
    graph = replace(graph, nodes=nodes, initializers=specs_from_json(record["constants"]))
    return PlanEngine(
        specs_from_json(record["inputs"]), specs_from_json(record["outputs"]),
        ranges_from_json(record["ranges"]), made, bytes(blobs["plan"]), graph,
        tuple(record["notes"]), record["weight_bytes"],
    )  # fmt: skip


def _read(built: Built) -> Any:
    """The layers as the inspector tells them, or where it could not, as the log does."""
    if built.inspected:
        try:
            # Its texts hold control characters as they are.
            return read_engine(json.loads(built.inspected, strict=False))
        except (ModelError, ValueError):
            pass
    return read_build_log(built.log)


def _layer(node: Node, origin: tuple[str, ...], graph: Graph) -> Node:
    """A layer as `Engine.layers` gives it: its precision is said, and what has no origin is ours.

    The inspector of 8.6 tells no precision of a change of layout; it has that of what it changes.
    """
    attributes = dict(node.attributes)
    if not attributes.get("precision"):
        types = [graph.spec(name).dtype for name in (*node.makes, *node.reads)]
        attributes["precision"] = next(filter(None, types), "unknown")
    domain = node.domain if origin else LAYER_DOMAIN
    return replace(node, domain=domain, origin=origin, attributes=attributes)


def _plain(attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {k: tuple(v) if isinstance(v, list) else v for k, v in attributes.items()}
