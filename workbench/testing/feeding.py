"""Checks of what goes in and comes out: feeds, buffers, and who owns which memory."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import helper, numpy_helper

from workbench.backends.base import Backend
from workbench.errors import DataError
from workbench.testing.expecting import equal, expect, refused
from workbench.testing.networks import network, picture, small_network


def check_memory_layouts(backend: Backend) -> None:
    """Any memory layout and byte order gives the same result and is not written to."""
    with backend.build(small_network()).session() as session:
        x = picture()
        expected = session.run({"x": x})
        frozen, wide = x.copy(), np.zeros((2, 4, 8, 16), np.float32)
        frozen.flags.writeable = False
        wide[..., ::2] = x
        shifted = np.zeros(x.nbytes + 1, np.uint8)[1:].view(np.float32).reshape(x.shape)
        shifted[...] = x
        for kind, array in {
            "read-only": frozen,
            "strided": wide[..., ::2],
            "reversed": x[:, ::-1].copy()[:, ::-1],
            "Fortran-ordered": np.asfortranarray(x),
            "big-endian": x.astype(">f4"),
            "unaligned": shifted,
        }.items():
            before = array.copy()
            got = session.run({"x": array})
            expect(np.array_equal(array, before), f"a run changed its {kind} input")
            expect(equal(got, expected), f"another result for a {kind} input")


def check_bad_feeds(backend: Backend) -> None:
    """Feeds that do not fit are refused by name, and the next good call works."""
    with backend.build(small_network()).session() as session:
        x = picture()
        bad: list[tuple[Any, tuple[str, ...]]] = [
            ({}, ("x", "missing")),
            ({"x": x, "xx": x}, ("xx", "x")),
            ({"x": x.astype(np.float64)}, ("x", "float64", "float32")),
            ({"x": x.astype(np.int32)}, ("x", "int32", "float32")),
            ({"x": x.astype(np.float16)}, ("x", "float16", "float32")),
            ({"x": x.astype(object)}, ("x", "object", "float32")),
            ({"x": np.zeros(x.shape, [("a", "f4")])}, ("x", "float32")),
            ({"x": np.ma.masked_greater(x, 0)}, ("x", "mask")),
            ({"x": x.tolist()}, ("x", "list", "float32")),
            ({"x": None}, ("x", "None")),
            ({"x": x[0]}, ("x", "(4, 8, 8)")),
            ({"x": x[:1]}, ("x", "(1, 4, 8, 8)")),
            ([x], ("mapping",)),
        ]
        for feeds, words in bad:
            refused(DataError, lambda feeds=feeds: session.run(feeds), *words)
        expect(session.run({"x": x})["y"].shape == (2, 5), "no good run after refused feeds")


def check_ownership(backend: Backend) -> None:
    """Outputs belong to the caller: no later run and no other array shares their memory."""
    nodes = [
        helper.make_node("Relu", ["x"], ["y"], "relu"),
        helper.make_node("Identity", ["x"], ["z"], "same"),
        helper.make_node("Reshape", ["y", "flat"], ["w"], "flat"),
    ]
    flat = numpy_helper.from_array(np.array([-1]), "flat")
    outputs = [("y", "float32", [2, 3]), ("z", "float32", [2, 3]), ("w", "float32", [6])]
    model = network(nodes, [("x", "float32", [2, 3])], outputs, [flat])
    with backend.build(model).session() as session:
        x = np.array([[1, -2, 3], [4, 5, -6]], np.float32)
        first = session.run({"x": x})
        kept = {name: value.copy() for name, value in first.items()}
        second = session.run({"x": -x})
        expect(equal(first, kept), "a second run changed the first result")
        arrays = [x, *first.values(), *second.values()]
        for i, one in enumerate(arrays):
            for other in arrays[i + 1 :]:
                expect(not np.may_share_memory(one, other), "two arrays share memory")
        for value in second.values():
            value[...] = 0
        expect(equal(session.run({"x": x}), kept), "writing to a result changed a later run")


def check_binding(backend: Backend) -> None:
    """A bound call reads and writes the caller's buffers, and refuses those that do not fit."""
    with backend.build(small_network()).session() as session:
        x = picture()
        expected = session.run({"x": x})
        buffers = {"x": x.copy(), **{name: np.zeros_like(v) for name, v in expected.items()}}
        call = session.bind(buffers)
        other = session.bind({name: value.copy() for name, value in buffers.items()})
        call()
        expect(equal({n: buffers[n] for n in expected}, expected), "bind differs from run")
        buffers["x"][...] = picture(seed=1)
        other()
        call()
        fresh = session.run({"x": picture(seed=1)})
        expect(equal({n: buffers[n] for n in expected}, fresh), "bind misses a changed input")
        for name, bad in (
            ("x", x.astype(np.float64)),
            ("y", np.zeros((2, 6), np.float32)),
            ("y", np.zeros((5, 2), np.float32).T),
            ("top", np.zeros(2, np.int32)),
        ):
            refused(DataError, lambda n=name, b=bad: session.bind({**buffers, n: b}), name)
        refused(DataError, lambda: session.bind({"x": x}), "y")
