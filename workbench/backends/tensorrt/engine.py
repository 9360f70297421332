"""`PlanEngine`: an engine that TensorRT built, as it lies on disk: its layers, and its bytes.

It says what the engine runs on any machine. Running it takes a GPU of the kind it was built for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from workbench.backends.base import Session, ShapeRange
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
from workbench.backends.tensorrt import adapter
from workbench.backends.tensorrt.building import Built
from workbench.backends.tensorrt.layers.graphs import to_graph
from workbench.backends.tensorrt.layers.log import read_build_log
from workbench.errors import RunError
from workbench.graph import Graph, TensorSpec
from workbench.text import shown

BACKEND = "tensorrt"


@dataclass(frozen=True)
class PlanEngine:
    """An engine in TensorRT's serialized form, with what is known of it."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    ranges: Mapping[str, ShapeRange] = field(hash=False)
    """The profile it was built with, by input; empty where every extent is fixed."""
    made_with: str
    """Product and version, e.g. ``TensorRT-RTX 1.7.1.116``."""
    targets: tuple[str, ...]
    """GPU architectures it runs on; empty where it is for the GPU it was built on."""
    plan: bytes = field(repr=False)
    """TensorRT's own bytes."""
    graph: Graph = field(repr=False)
    """Its layers, see `layers`."""
    notes: tuple[str, ...] = ()
    """What TensorRT warned of while it built."""

    @property
    def backend(self) -> str:
        """``tensorrt``."""
        return BACKEND

    def layers(self) -> Graph:
        """The kernels it runs, from the verbose build log, each with its origin in the model."""
        return self.graph

    def session(self) -> Session:
        """Refused: what a session needs is not here.

        Raises:
            RunError: always; says what is missing and what to do.
        """
        raise RunError(f"this {self.made_with} engine cannot run here: {_why()}", backend=BACKEND)

    def serialize(self) -> bytes:
        """The plan with its layers and a checksum; `TensorRT.load` takes it."""
        record = {
            "made_with": self.made_with,
            "targets": list(self.targets),
            "inputs": specs_to_json(self.inputs),
            "outputs": specs_to_json(self.outputs),
            "ranges": ranges_to_json(self.ranges),
            "layers": layers_to_json(self.graph),
            "constants": specs_to_json(self.graph.initializers),
            "notes": list(self.notes),
        }
        return pack(BACKEND, record, {"plan": self.plan})


def engine_of(
    original: Graph, ranges: Mapping[str, ShapeRange], made_with: str, built: Built
) -> PlanEngine:
    """The engine of a finished build.

    Args:
        original: the graph of the model it was built from.
        ranges: the profile.
        made_with: product and version.
        built: plan and log.
    """
    return PlanEngine(
        original.inputs, original.outputs, dict(ranges), made_with, built.targets, built.plan,
        layers_of(built.log, original), tuple(shown(note, 400) for note in built.notes),
    )  # fmt: skip


def layers_of(log: str, original: Graph) -> Graph:
    """The layers that a verbose build log lists, accounting for every node of the original.

    A node that no layer names was computed at build time, dropped as a no-op, or merged into the
    layer of a neighbour.
    """
    graph = to_graph(read_build_log(log), original)
    claims = {node.name: node.origin for node in graph.nodes}
    reads = {
        node.name: [graph.nodes[place].name for place in graph.predecessors[i]]
        for i, node in enumerate(graph.nodes)
    }
    found = attributed(original, claims, reads)
    nodes = [replace(node, origin=found.origin.get(node.name, ())) for node in graph.nodes]
    unrun = unrun_layers(found, (node.name for node in nodes))
    return replace(graph, name=original.name, nodes=(*nodes, *unrun))


def engine_from(plan: bytes, here: str) -> PlanEngine:
    """The engine of what `PlanEngine.serialize` gave.

    Args:
        plan: the sealed plan.
        here: product and version that must have made it.

    Raises:
        BackendError: not such a plan, damaged, or made by another version; says what differs.
    """
    record, blobs = unpack(plan, BACKEND)
    refuse_other(record, {"made_with": here}, BACKEND)
    graph = layers_from_json(record["layers"])
    nodes = tuple(replace(node, attributes=_plain(node.attributes)) for node in graph.nodes)
    graph = replace(graph, nodes=nodes, initializers=specs_from_json(record["constants"]))
    return PlanEngine(
        specs_from_json(record["inputs"]), specs_from_json(record["outputs"]),
        ranges_from_json(record["ranges"]), record["made_with"], tuple(record["targets"]),
        bytes(blobs["plan"]), graph, tuple(record["notes"]),
    )  # fmt: skip


def _plain(attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {k: tuple(v) if isinstance(v, list) else v for k, v in attributes.items()}


def _why() -> str:
    for abilities in adapter.survey():
        if abilities.why_not:
            return f"{abilities.why_not}; {_ELSEWHERE}"
    return f"running TensorRT engines is not part of this version of the workbench; {_ELSEWHERE}"


_ELSEWHERE = (
    "its plan and layers are complete. Run this network here with backend openvino or "
    "onnxruntime, or take the plan to a machine with a GPU it was built for"
)
