"""Attribution of nodes to layers, on graphs small enough to see the answer."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from workbench.backends.origin import attributed, constant_nodes
from workbench.backends.twins import twins
from workbench.graph import Graph, Node, TensorSpec


def graph(*nodes: Node, outputs: tuple[str, ...], shape: tuple[int | str, ...] = (1,)) -> Graph:
    given = (TensorSpec("x", "float32", shape),)
    weights = tuple(TensorSpec(name, "float32", (1,)) for name in ("w", "v"))
    return Graph("g", given, tuple(TensorSpec(n, "float32") for n in outputs), nodes, weights)


def node(name: str, op_type: str, *inputs: str) -> Node:
    """A node that makes a tensor of its own name."""
    return Node(name, op_type, inputs=inputs, outputs=(name,))


def held(found: Graph, claims: dict[str, list[str]], reads: dict[str, list[str]]) -> dict:
    return dict(attributed(found, claims, reads).origin)


def test_lost_convolution_joins_the_normalization_that_swallowed_it() -> None:
    g = graph(
        node("c1", "Conv", "x", "w"), node("r1", "Relu", "c1"),
        node("c2", "Conv", "r1", "w"), node("b2", "BatchNormalization", "c2", "v"),
        outputs=("b2",),
    )  # fmt: skip
    assert held(g, {"A": ["c1", "r1"], "B": ["b2"]}, {"B": ["A"]}) == {
        "A": ("c1", "r1"), "B": ("c2", "b2"),
    }  # fmt: skip


def test_lost_sum_is_where_both_its_inputs_are_read() -> None:
    """The residual pattern: the sum runs in the last convolution, though the next one is known."""
    g = graph(
        node("c1", "Conv", "x", "w"), node("c2", "Conv", "x", "v"),
        node("s", "Sum", "c1", "c2"), node("r", "Relu", "s"), node("c3", "Conv", "r", "w"),
        outputs=("c3",),
    )  # fmt: skip
    claims = {"A": ["c1"], "B": ["c2"], "C": ["c3"]}
    first = held(g, claims, {"A": ["B"], "C": ["A"]})
    assert first == {"A": ("c1", "s", "r"), "B": ("c2",), "C": ("c3",)}
    second = held(g, claims, {"B": ["A"], "C": ["B"]})
    assert second == {"A": ("c1",), "B": ("c2", "s", "r"), "C": ("c3",)}
    third = held(g, claims, {"C": ["A", "B"]})
    assert third["C"] == ("s", "r", "c3")


def test_activation_before_a_product_stays_with_what_is_before() -> None:
    g = graph(
        node("c1", "Conv", "x", "w"), node("r", "Relu", "c1"), node("c2", "Conv", "r", "v"),
        outputs=("c2",),
    )  # fmt: skip
    assert held(g, {"A": ["c1"], "B": ["c2"]}, {"B": ["A"]})["A"] == ("c1", "r")


def test_layers_of_the_backend_are_looked_through() -> None:
    g = graph(node("c1", "Conv", "x", "w"), node("c2", "Conv", "c1", "v"),
              node("b", "Relu", "c2"), outputs=("b",))  # fmt: skip
    claims = {"A": ["c1"], "reorder": [], "B": ["b"]}
    found = held(g, claims, {"B": ["reorder"], "reorder": ["A"]})
    assert found == {"A": ("c1",), "reorder": (), "B": ("c2", "b")}


def test_end_of_the_graph_joins_what_made_its_input() -> None:
    g = graph(node("c", "Conv", "x", "w"), node("f", "Flatten", "c"), outputs=("f",))
    assert held(g, {"A": ["c"]}, {}) == {"A": ("c", "f")}


def test_constants_no_ops_and_dead_ends() -> None:
    g = graph(
        node("half", "Mul", "w", "v"), node("same", "Identity", "x"),
        node("a", "Add", "same", "half"), node("dead", "Neg", "x"),
        node("size", "Shape", "x"), node("shaped", "Reshape", "a", "size"),
        outputs=("shaped",),
    )  # fmt: skip
    found = attributed(g, {"A": ["a"], "B": ["shaped"]}, {"B": ["A"]})
    assert found.folded == ("half", "size")
    assert found.removed == ("same", "dead")
    assert found.origin == {"A": ("a",), "B": ("shaped",)}
    dynamic = Graph("g", (TensorSpec("x", "float32", ("N",)),), g.outputs, g.nodes, g.initializers)
    assert constant_nodes(dynamic) == {0}


def test_no_op_counts_only_where_nothing_else_is_claimed() -> None:
    g = graph(node("p", "Relu", "x"), node("d", "Dropout", "p"), outputs=("d",))
    both = attributed(g, {"A": ["p", "d"]}, {})
    assert (both.origin, both.removed) == ({"A": ("p",)}, ("d",))
    runs = attributed(g, {"A": ["p"], "B": ["d"]}, {"B": ["A"]})
    assert (runs.origin, runs.removed) == ({"A": ("p",), "B": ("d",)}, ())


def test_equal_nodes_share_the_layer_that_is_left() -> None:
    g = graph(
        node("c1", "Conv", "x", "w"), node("r1", "Relu", "c1"),
        node("c2", "Conv", "x", "w"), node("r2", "Relu", "c2"),
        node("d1", "Conv", "r1", "w"), node("d2", "Conv", "r2", "v"),
        outputs=("d1", "d2"),
    )  # fmt: skip
    claims = {"A": ["c2"], "B": ["d1"], "C": ["d2"]}
    found = held(g, claims, {"B": ["A"], "C": ["A"]})
    assert found == {"A": ("c1", "r1", "c2", "r2"), "B": ("d1",), "C": ("d2",)}


def test_twins_need_equal_attributes_inputs_and_content() -> None:
    nodes = (
        Node("a", "Clip", inputs=("x",), outputs=("a",), attributes={"max": 1.0}),
        Node("b", "Clip", inputs=("x",), outputs=("b",), attributes={"max": 2.0}),
        Node("c", "Clip", inputs=("x",), outputs=("c",), attributes={"max": 1.0}),
        node("d", "Add", "a", "w"), node("e", "Add", "c", "v"), node("f", "Add", "b", "w"),
        Node("g", "RandomNormal", outputs=("g",)), Node("h", "RandomNormal", outputs=("h",)),
    )  # fmt: skip
    found = graph(*nodes, outputs=("d",))
    assert twins(found, {}) == {0: 0, 1: 1, 2: 0, 3: 3, 4: 4, 5: 5, 6: 6, 7: 7}
    assert twins(found, {"w": 1, "v": 1})[4] == 3


@st.composite
def fused(draw: st.DrawFn) -> tuple[Graph, dict[str, list[str]], dict[str, list[str]]]:
    """A random graph, cut into layers along its order, of which some nodes' names are lost."""
    count = draw(st.integers(1, 25))
    kinds = st.sampled_from(["Conv", "Relu", "Add", "Identity", "MaxPool", "Shape"])
    nodes, layer_of = [], []
    for i in range(count):
        known = st.sampled_from(["x", "w", *(f"n{j}" for j in range(i))])
        inputs = draw(st.lists(known, min_size=1, max_size=3))
        nodes.append(node(f"n{i}", draw(kinds), *inputs))
        last = layer_of[-1] if layer_of else 0
        layer_of.append(last + draw(st.booleans()))
    g = graph(*nodes, outputs=tuple(draw(st.sets(st.sampled_from([n.name for n in nodes])))))
    claims: dict[str, list[str]] = {f"L{layer}": [] for layer in layer_of}
    reads: dict[str, set[str]] = {layer: set() for layer in claims}
    for i, layer in enumerate(layer_of):
        if draw(st.booleans()):
            claims[f"L{layer}"].append(f"n{i}")
        reads[f"L{layer}"] |= {f"L{layer_of[j]}" for j in g.predecessors[i]} - {f"L{layer}"}
    return g, claims, {layer: sorted(sources) for layer, sources in reads.items()}


@given(fused())
def test_every_node_has_exactly_one_kind_of_place(case: tuple) -> None:
    g, claims, reads = case
    found = attributed(g, claims, reads)
    behind = {name for names in found.origin.values() for name in names}
    places = [behind, set(found.folded), set(found.removed)]
    assert set.union(*places) == set(g.position)
    assert sum(map(len, places)) == len(g.nodes)
    assert list(found.origin) == list(claims)
    for layer, names in claims.items():
        working = [n for n in names if g.nodes[g.position[n]].op_type != "Identity"]
        assert set(working or names) <= set(found.origin[layer])
    assert attributed(g, claims, reads) == found
