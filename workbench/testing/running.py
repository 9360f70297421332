"""Checks of results: right, repeatable, of the right types, for every shape of a range."""

from __future__ import annotations

import numpy as np
from onnx import helper, numpy_helper

from workbench.backends.base import Backend, BuildConfig, ShapeRange
from workbench.backends.reference import Reference
from workbench.errors import DataError
from workbench.testing.expecting import agrees, equal, expect, outputs_of, refused, same
from workbench.testing.networks import network, picture, small_network


def check_results(backend: Backend) -> None:
    """Outputs, several and in order, agree with the reference."""
    model = small_network()
    engine = backend.build(model)
    for ours, theirs in (
        (engine.inputs, model.graph.inputs),
        (engine.outputs, model.graph.outputs),
    ):
        expect(
            [(s.name, s.dtype) for s in ours] == [(s.name, s.dtype) for s in theirs],
            f"engine has {ours}, the model {theirs}",
        )
    expect(engine.backend == backend.name, f"engine of {backend.name} says {engine.backend}")
    agrees(backend, model, {"x": picture()}, "small network")


def check_types(backend: Backend) -> None:
    """Whole numbers, truth values and scalars come back in the declared dtype."""
    nodes = [
        helper.make_node("Add", ["i", "j"], ["sum"], "sum"),
        helper.make_node("Greater", ["x", "zero"], ["positive"], "greater"),
        helper.make_node("And", ["positive", "mask"], ["both"], "and"),
        helper.make_node("ReduceMax", ["x"], ["most"], "most", keepdims=0),
        helper.make_node("Mul", ["most", "scale"], ["scaled"], "scaled"),
        helper.make_node("Identity", ["mask"], ["copy"], "copy"),
    ]
    zero = numpy_helper.from_array(np.array(0, np.float32), "zero")
    inputs = [
        ("i", "int64", [3]), ("j", "int64", []), ("x", "float32", [3]), ("mask", "bool", [3]),
        ("scale", "float32", []),
    ]  # fmt: skip
    outputs = [("sum", "int64", [3]), ("both", "bool", [3]), ("scaled", "float32", [])]
    model = network(nodes, inputs, [*outputs, ("copy", "bool", [3])], [zero])
    feeds = {
        "i": np.array([1, -2, 2**31 - 10]),
        "j": np.array(3),
        "x": np.array([-1, 0, 2], np.float32),
        "mask": np.array([True, True, False]),
        "scale": np.array(1.5, np.float32),
    }
    agrees(backend, model, feeds, "mixed types")


def check_special_values(backend: Backend) -> None:
    """NaN and infinities come through."""
    nodes = [helper.make_node("Add", ["x", "x"], ["y"], "double")]
    model = network(nodes, [("x", "float32", [4])], [("y", "float32", [4])])
    x = np.array([np.nan, np.inf, -np.inf, 1], np.float32)
    got = outputs_of(backend, model, {"x": x})["y"]
    expect(np.array_equal(got, x + x, equal_nan=True), f"{x + x} came back as {got}")


def check_dynamic_batch(backend: Backend) -> None:
    """Every shape of a range works; one outside is refused with its axis and limits."""
    model = small_network("N")
    tail = (4, 8, 8)
    limits = ShapeRange((1, *tail), (2, *tail), (4, *tail))
    engine = backend.build(model, BuildConfig(shapes={"x": limits}))
    for built in (engine, backend.load(engine.serialize())):
        with built.session() as session, Reference().build(model).session() as reference:
            for batch in (1, 4, 2, 1):
                x = picture(batch)
                right = reference.run({"x": x})
                same(session.run({"x": x}), right, f"batch {batch}")
                bound = {"x": x, **{name: np.zeros_like(v) for name, v in right.items()}}
                call = session.bind(bound)
                call()
                call()
                same({name: bound[name] for name in right}, right, f"bound batch {batch}")
            for batch in (0, 5):
                feeds = {"x": picture(batch)}
                refused(DataError, lambda f=feeds: session.run(f), "x", str(batch), "1", "4")


def check_reload(backend: Backend) -> None:
    """An engine from its plan gives the same bits."""
    engine = backend.build(small_network())
    feeds = {"x": picture()}
    with engine.session() as one, backend.load(engine.serialize()).session() as other:
        expect(equal(one.run(feeds), other.run(feeds)), "a loaded plan gives another result")


def check_repeatable(backend: Backend) -> None:
    """Two runs, two sessions: the same bits."""
    engine = backend.build(small_network())
    feeds = {"x": picture()}
    with engine.session() as one, engine.session() as other:
        first = one.run(feeds)
        expect(equal(first, one.run(feeds)), "a second run gives another result")
        expect(equal(first, other.run(feeds)), "a second session gives another result")
