"""Checks that need no run: what a backend says, builds and saves."""

from __future__ import annotations

from onnx import helper

from workbench.backends.base import (
    LAYER_DOMAIN,
    Backend,
    BuildConfig,
    Engine,
    ShapeRange,
    executed,
)
from workbench.backends.plan import pack
from workbench.errors import BackendError, BuildError
from workbench.graph import counterparts
from workbench.model import Model
from workbench.testing.expecting import expect, refused
from workbench.testing.networks import network, small_network
from workbench.text import listed

_DAMAGED_PLACES = 97


def check_identity(backend: Backend) -> None:
    """Name, version and fingerprint are there and do not change."""
    expect(isinstance(backend, Backend), f"{backend!r} lacks a member of the protocol Backend")
    for text in (backend.name, backend.version, backend.fingerprint()):
        expect(
            isinstance(text, str) and bool(text), f"empty name, version or fingerprint: {text!r}"
        )
    expect(backend.fingerprint() == backend.fingerprint(), "the fingerprint changes between calls")


def check_capability(backend: Backend) -> None:
    """A verdict for every node in order, and a reason in words for each that is refused."""
    nodes = [
        helper.make_node("Relu", ["x"], ["a"], "first"),
        helper.make_node("NoSuchThing", ["a"], ["b"], "strange", domain="example.unknown"),
        helper.make_node("Relu", ["b"], ["y"], "last"),
    ]
    model = network(nodes, [("x", "float32", [2, 3])], [("y", "float32", [2, 3])])
    capability = backend.capability(model)
    named = [verdict.node for verdict in capability.verdicts]
    expect(named == ["first", "strange", "last"], f"verdicts for {named}")
    strange = capability.by_node["strange"]
    expect(not strange.taken and bool(strange.reason), f"an unknown operator got {strange}")
    expect("first" in capability.taken, f"Relu got {capability.by_node['first']}")
    refused(BuildError, lambda: backend.build(model))
    whole = backend.capability(small_network())
    untaken = [verdict for verdict in whole.verdicts if not verdict.taken and not verdict.reason]
    expect(not untaken, f"refused without a reason: {untaken}")


def check_arguments(backend: Backend) -> None:
    """Unknown options and shape ranges that do not fit are refused before any work."""
    model = small_network("N")
    shape = (1, 4, 8, 8)
    for config, word in (
        (BuildConfig(options={"no_such_option": 1}), "no_such_option"),
        (BuildConfig(shapes={"z": ShapeRange(shape, shape, shape)}), "z"),
        (BuildConfig(shapes={"x": ShapeRange((1,), (1,), (1,))}), "x"),
        (BuildConfig(shapes={"x": ShapeRange(shape, shape, (1, 4, 8, 9))}), "x"),
    ):
        refused(ValueError, lambda config=config: backend.build(model, config), word)


def check_layers(backend: Backend) -> None:
    """Layers have an origin for every node and nothing else, and say their precision."""
    model = small_network()
    accounts_for(backend.build(model), model)


def accounts_for(engine: Engine, model: Model) -> None:
    """Expect the layers of `engine` to stand for every node of the model it was built from."""
    layers = engine.layers()
    names = {node.name for node in model.graph.nodes}
    origins = {name for node in layers.nodes for name in node.origin}
    expect(origins <= names, f"origins the model has not: {listed(origins - names)}")
    lost = names - counterparts(layers).keys()
    expect(not lost, f"nodes behind no layer: {listed(lost)}")
    for node in executed(layers):
        expect(bool(node.attributes.get("precision")), f"layer {node.name} has no precision")
        expect(bool(node.origin) or node.domain == LAYER_DOMAIN, f"layer {node.name} has no origin")


def check_plan(backend: Backend) -> None:
    """A plan gives an equal engine; a damaged or foreign one is refused."""
    engine = backend.build(small_network())
    plan = engine.serialize()
    again = backend.load(plan)
    for one, other in (
        (engine.inputs, again.inputs),
        (engine.outputs, again.outputs),
        (engine.layers(), again.layers()),
        (plan, again.serialize()),
    ):
        expect(one == other, f"after load {other!r:.200}, before {one!r:.200}")
    damaged = [b"", b"\0" * 64, plan[:-1], plan + b"\0", plan[: len(plan) // 2], plan[:16]]
    damaged += [_flipped(plan, at) for at in range(min(64, len(plan)))]
    step = max(1, len(plan) // _DAMAGED_PLACES)
    damaged += [_flipped(plan, at) for at in range(0, len(plan), step)]
    damaged += [_flipped(plan, len(plan) - 1), pack("example", {}, {})]
    for bad in damaged:
        refused(BackendError, lambda bad=bad: backend.load(bad))


def _flipped(plan: bytes, at: int) -> bytes:
    changed = bytearray(plan)
    changed[at] ^= 1 << (at % 8)
    return bytes(changed)
