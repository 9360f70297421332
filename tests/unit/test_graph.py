"""The graph type: what it refuses, what it derives, and tracing through fused graphs."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.errors import GraphError
from workbench.graph import (
    Graph,
    Node,
    TensorSpec,
    counterparts,
    find_cycle,
    origin_of,
    traced,
)


def node(name: str, reads: str = "", makes: str = "", **more: object) -> Node:
    return Node(name, "Op", "", tuple(reads.split()), tuple(makes.split()), **more)  # type: ignore[arg-type]


def graph(*nodes: Node, inputs: str = "x", weights: str = "") -> Graph:
    return Graph(
        "g",
        tuple(TensorSpec(name) for name in inputs.split()),
        (),
        nodes,
        tuple(TensorSpec(name) for name in weights.split()),
    )


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: graph(node("a"), node("a"), node("b"), node("b")), "node name used twice: a, b"),
        (lambda: graph(inputs="x x"), "graph input used twice: x"),
        (lambda: graph(weights="w w"), "initializer used twice: w"),
        (lambda: graph(node("")), "has no name"),
        (
            lambda: graph(node("a", "x", "t"), node("b", "x", "t")),
            "t has two producers: .* a and b",
        ),
        (lambda: graph(node("a", "", "x")), "x is given to the graph and also made by node a"),
        (lambda: graph(node("a", "", "w"), weights="w"), "w is given to the graph"),
        (lambda: graph(node("a", "t", "t")), "cycle: a -> a"),
        (
            lambda: graph(node("a", "u", "t"), node("b", "t", "u")),
            "cycle: (a -> b -> a|b -> a -> b)",
        ),
        (lambda: graph(node("a\x07", "t", "t")), r"a\\x07"),
    ],
)
def test_what_is_no_graph(make, words: str) -> None:
    with pytest.raises(GraphError, match=words):
        make()


def test_a_cycle_through_a_captured_tensor_is_one() -> None:
    with pytest.raises(GraphError, match="cycle"):
        graph(node("a", "u", "t"), node("b", "x", "u", captured=("t",)))


def test_edges_are_places_each_once_and_ascending() -> None:
    found = graph(
        node("c", "t u t x", "v"), node("a", "x", "t"), node("b", "x t", "u"), weights="w"
    )
    assert found.predecessors == [(1, 2), (), (1,)]
    assert found.successors == [(), (0, 2), (0,)]
    assert found.order == (1, 2, 0)
    assert found.producer == {"v": 0, "t": 1, "u": 2}
    assert found.consumers == {"t": (0, 2), "u": (0,), "x": (0, 1, 2)}
    assert found.position == {"c": 0, "a": 1, "b": 2}
    assert find_cycle(found) == ()


def test_optional_inputs_and_outputs_are_no_tensors() -> None:
    one = Node("a", "Op", "", ("x", "", "t"), ("", "u"), captured=("y",))
    assert one.reads == ("x", "t", "y")
    assert one.makes == ("u",)
    two = Node("b", "Op", "", ("",), ("", "v"))
    assert graph(one, two).predecessors == [(), ()]


def test_lookups() -> None:
    found = Graph(
        "g",
        (TensorSpec("x", "float32", (2, "N")),),
        (TensorSpec("t"),),
        (node("a", "x w", "t"),),
        (TensorSpec("w", "int4", (3,)),),
        (TensorSpec("t", "float16", (5,)),),
    )
    assert found.node("a") is found.nodes[0]
    with pytest.raises(GraphError, match="no node b"):
        found.node("b")
    assert found.spec("x").elements is None
    assert found.spec("w").nbytes == 2
    assert found.spec("nowhere") == TensorSpec("nowhere")
    assert TensorSpec("s", "float32", ()).nbytes == 4
    assert TensorSpec("s", "string", (2,)).nbytes is None
    assert TensorSpec("s", "float32").nbytes is None


@given(st.sets(st.tuples(st.integers(0, 7), st.integers(0, 7))))
def test_order_or_a_cycle(edges: set[tuple[int, int]]) -> None:
    nodes = [node(f"n{v}", " ".join(f"t{a}" for a, b in sorted(edges) if b == v), f"t{v}")
             for v in range(8)]  # fmt: skip
    try:
        found = graph(*nodes)
    except GraphError as error:
        names = str(error).split("cycle: ")[1].split(";")[0].split(" -> ")
        ring = [int(name[1:]) for name in names]
        assert ring[0] == ring[-1]
        assert all((a, b) in edges for a, b in pairwise(ring))
        return
    rank = {v: i for i, v in enumerate(found.order)}
    assert sorted(found.order) == list(range(8))
    assert all(rank[a] < rank[b] for a, b in edges)


def test_tracing_goes_back_to_the_originals() -> None:
    fused = graph(
        node("ab", "x", "t", origin=("a", "b")),
        node("c", "t", "u"),
        node("b2", "x", "v", origin=("b",)),
    )
    assert origin_of(fused.node("c")) == ("c",)
    assert counterparts(fused) == {"a": ("ab",), "b": ("ab", "b2"), "c": ("c",)}
    engine = graph(
        node("all", "x", "z", origin=("ab", "c", "b2")), node("new", "z", "y", origin=("other",))
    )
    far = traced(engine, fused)
    assert far.node("all").origin == ("a", "b", "c")
    assert far.node("new").origin == ("other",)
    assert [n.name for n in far.nodes] == ["all", "new"]
    assert traced(fused, graph(node("a"), node("b"), node("c"))).node("ab").origin == ("a", "b")
