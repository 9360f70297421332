"""Any graph, any capability: what a partition must be, under both policies and every threshold."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import pairwise

import partition_cases as cases
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.graph import Graph, Node
from workbench.partitioning import (
    Apart,
    Capability,
    Code,
    Exclusion,
    partition,
    plan,
    why_apart,
)

POLICIES = ("connected", "fewest")


@st.composite
def graphs(draw: st.DrawFn, most: int = 10) -> tuple[Graph, Capability]:
    """A small graph by edges, any nodes of it constants, random or of two outputs; a capability."""
    count = draw(st.integers(1, most))
    edges = draw(
        st.sets(st.tuples(st.integers(0, count - 1), st.integers(0, count - 1)), max_size=3 * count)
    )
    sources = draw(st.lists(st.sampled_from(("x", "w", "y")), min_size=count, max_size=count))
    kinds = draw(
        st.lists(
            st.sampled_from(("Conv", "Relu", "Split", "RandomNormal")),
            min_size=count,
            max_size=count,
        )
    )
    nodes = []
    for v in range(count):
        reads = tuple(f"t{a}" for a, b in sorted(edges) if b == v and a < v) or (sources[v],)
        outputs = (f"t{v}", f"s{v}") if kinds[v] == "Split" else (f"t{v}",)
        nodes.append(Node(f"n{v}", kinds[v], inputs=reads, outputs=outputs))
    base = cases.graph_of((), 1)
    outputs = draw(st.sets(st.integers(0, count - 1), min_size=1))
    graph = Graph(
        "g",
        (*base.inputs, cases.TensorSpec("y")),
        tuple(cases.TensorSpec(f"t{v}") for v in sorted(outputs)),
        tuple(draw(st.permutations(nodes))),
        base.initializers,
    )
    taken = draw(st.sets(st.sampled_from([n.name for n in nodes])))
    return graph, cases.capability(graph, taken)


def sets_of(graph: Graph, parts) -> set[frozenset[str]]:
    """Parts as sets of output names: the same whatever nodes are called and however they lie."""
    return {frozenset(graph.node(name).outputs[0] for name in part.nodes) for part in parts}


@pytest.mark.parametrize("policy", POLICIES)
@given(graphs())
@settings(max_examples=150, deadline=None)
def test_a_partition_breaks_no_rule(policy: str, case: tuple[Graph, Capability]) -> None:
    graph, capability = case
    found = partition(graph, capability, 1, policy=policy)
    assert cases.faults(found, set(capability.taken), whole=True) == []
    assert cases.not_maximal(found, adjacent=policy == "connected") == []


@given(graphs())
@settings(max_examples=150, deadline=None)
def test_fewest_is_the_longest_alternation(case: tuple[Graph, Capability]) -> None:
    graph, capability = case
    found = plan(graph, capability, policy="fewest")
    taken = set(capability.taken) - cases.constants_of(graph)
    assert len(found.segments) == found.minimum == cases.longest_alternation(graph, taken)
    path = found.certificate()
    assert sum(name in taken for name in path) == found.minimum
    assert all((a in taken) != (b in taken) for a, b in pairwise(path))
    edges = cases.edges_of(graph)
    assert all(b in cases.reaches(edges, [a]) for a, b in pairwise(path))


@pytest.mark.parametrize("policy", POLICIES)
@given(graphs(), st.integers(1, 6))
@settings(max_examples=100, deadline=None)
def test_a_threshold_only_filters(
    policy: str, case: tuple[Graph, Capability], threshold: int
) -> None:
    graph, capability = case
    found = plan(graph, capability, policy=policy)
    everything, kept = found.at(1), found.at(threshold)
    assert cases.faults(kept, set(capability.taken), whole=False) == []
    large = {frozenset(s.nodes) for s in everything.subgraphs if len(s) >= threshold}
    assert {frozenset(s.nodes) for s in kept.subgraphs} == large
    assert found.codes(threshold) == tuple(verdict.code for verdict in kept.verdicts)
    totals = found.totals(threshold)
    assert (totals.engines, totals.nodes) == (len(large), sum(map(len, large)))
    assert totals.boundary_tensors == sum(len(s.inputs) + len(s.outputs) for s in kept.subgraphs)
    tensors = [t for s in kept.subgraphs for t in (*s.inputs, *s.outputs)]
    assert totals.boundary_bytes == sum(graph.spec(t).nbytes or 1 for t in tensors)


@pytest.mark.parametrize("policy", POLICIES)
@given(graphs())
@settings(max_examples=60, deadline=None)
def test_the_curve_is_exact_at_every_threshold(policy: str, case: tuple[Graph, Capability]) -> None:
    found = plan(*case, policy=policy)
    curve = found.curve()
    assert curve[0].min_subgraph_size == 1
    assert curve[-1].until is None
    for point in curve:
        last = point.until if point.until is not None else point.min_subgraph_size + 3
        for threshold in range(point.min_subgraph_size, last + 1):
            assert found.totals(threshold) == point.totals
    assert all(b.min_subgraph_size == (a.until or 0) + 1 for a, b in pairwise(curve))


@pytest.mark.parametrize("policy", POLICIES)
@given(graphs(), st.randoms(use_true_random=False))
@settings(max_examples=100, deadline=None)
def test_neither_order_nor_names_of_nodes_matter(
    policy: str, case: tuple[Graph, Capability], rng: random.Random
) -> None:
    graph, capability = case
    names = [f"m{i}" for i in range(len(graph.nodes))]
    rng.shuffle(names)
    other = {n.name: name for n, name in zip(graph.nodes, names, strict=True)}
    nodes = [Node(other[n.name], n.op_type, n.domain, n.inputs, n.outputs) for n in graph.nodes]
    rng.shuffle(nodes)
    twin = Graph(
        "twin", graph.inputs, graph.outputs, tuple(nodes), graph.initializers, graph.tensors
    )
    there = cases.capability(twin, {other[name] for name in capability.taken})
    for threshold in (1, 2):
        one = partition(graph, capability, threshold, policy=policy)
        two = partition(twin, there, threshold, policy=policy)
        assert sets_of(graph, one.subgraphs) == sets_of(twin, two.subgraphs)
        assert sets_of(graph, one.native) == sets_of(twin, two.native)
        assert one.order == two.order


@pytest.mark.parametrize("policy", POLICIES)
@given(graphs(), st.data())
@settings(max_examples=60, deadline=None)
def test_excluding_is_like_not_supporting(
    policy: str, case: tuple[Graph, Capability], data: st.DataObject
) -> None:
    graph, capability = case
    out = data.draw(st.sets(st.sampled_from([n.name for n in graph.nodes]), min_size=1))
    one = partition(graph, capability, 1, policy=policy, exclude=Exclusion(nodes=tuple(out)))
    two = partition(graph, cases.capability(graph, capability.taken - out), 1, policy=policy)
    assert [s.nodes for s in one.subgraphs] == [s.nodes for s in two.subgraphs]
    assert not out & one.engine_of.keys()
    folded = cases.constants_of(graph)
    assert all(one.by_node[name].code is Code.EXCLUDED for name in out - folded)
    if not out & capability.taken:
        assert one.subgraphs == partition(graph, capability, 1, policy=policy).subgraphs


@given(graphs(), st.data())
@settings(max_examples=100, deadline=None)
def test_one_node_more_or_less_moves_the_minimum_by_at_most_one(
    case: tuple[Graph, Capability], data: st.DataObject
) -> None:
    graph, capability = case
    name = data.draw(st.sampled_from([n.name for n in graph.nodes]))
    toggled = cases.capability(graph, capability.taken ^ {name})
    before, after = (plan(graph, c, policy="fewest").minimum for c in (capability, toggled))
    assert abs(before - after) <= 1


def renamed(graph: Graph, prefix: str) -> Graph:
    def new(names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(prefix + name if name else "" for name in names)

    def specs(values):
        return tuple(cases.TensorSpec(prefix + s.name, s.dtype, s.shape) for s in values)

    nodes = tuple(
        Node(prefix + n.name, n.op_type, n.domain, new(n.inputs), new(n.outputs))
        for n in graph.nodes
    )
    return Graph(
        prefix,
        specs(graph.inputs),
        specs(graph.outputs),
        nodes,
        specs(graph.initializers),
        specs(graph.tensors),
    )


@given(graphs(), graphs())
@settings(max_examples=100, deadline=None)
def test_two_graphs_side_by_side_are_planned_as_each_alone(
    one: tuple[Graph, Capability], two: tuple[Graph, Capability]
) -> None:
    left, right = renamed(one[0], "a."), renamed(two[0], "b.")
    both = Graph(
        "both",
        left.inputs + right.inputs,
        left.outputs + right.outputs,
        left.nodes + right.nodes,
        left.initializers + right.initializers,
    )
    taken = {f"a.{n}" for n in one[1].taken} | {f"b.{n}" for n in two[1].taken}
    alone = set()
    for graph in (left, right):
        names = {n.name for n in graph.nodes}
        alone |= sets_of(
            graph, partition(graph, cases.capability(graph, taken & names), 1).subgraphs
        )
    assert sets_of(both, partition(both, cases.capability(both, taken), 1).subgraphs) == alone


@pytest.mark.parametrize("policy", POLICIES)
@given(graphs(), st.integers(1, 4))
@settings(max_examples=100, deadline=None)
def test_every_witness_holds(policy: str, case: tuple[Graph, Capability], threshold: int) -> None:
    graph, capability = case
    found = partition(graph, capability, threshold, policy=policy)
    names = list(found.by_node)
    part = {n: found.engine_of.get(n, n) for n in names if n not in cases.constants_of(graph)}
    between = cases.quotient(graph, part)
    for a in names:
        for b in names:
            witness = why_apart(found, a, b)
            both = a in found.engine_of and b in found.engine_of
            assert (witness.kind is Apart.NATIVE) == (not both)
            if not both:
                continue
            one, two = part[a], part[b]
            assert (witness.kind is Apart.TOGETHER) == (one == two)
            if witness.kind is Apart.CYCLE:
                steps = [part[name] for name in witness.path]
                assert {steps[0], steps[-1]} == {one, two}
                assert len(steps) > 2
                assert all(step in between for step in pairwise(steps))
            elif witness.kind is Apart.UNCONNECTED:
                assert policy == "connected"
                assert (one, two) not in between
                assert (two, one) not in between
            elif witness.kind is Apart.THRESHOLD:
                assert threshold > 1


def exhaustive_minimum(graph: Graph, taken: list[str]) -> int:
    """Fewest groups over all ways to divide the nodes, tried one by one."""
    best = [len(taken)]
    edges = cases.edges_of(graph)

    def place(index: int, groups: dict[str, int], count: int) -> None:
        if count >= best[0]:
            return
        if index == len(taken):
            part = {n.name: groups.get(n.name, n.name) for n in graph.nodes}
            if not cases.has_cycle({(part[a], part[b]) for a, b in edges if part[a] != part[b]}):
                best[0] = count
            return
        for group in range(count + 1):
            place(index + 1, {**groups, taken[index]: group}, max(count, group + 1))

    place(0, {}, 0)
    return best[0]


def small_cases(count: int, most: int) -> list[tuple[Graph, Capability]]:
    found = []
    for seed in range(count):
        rng = random.Random(seed)
        size = rng.randint(3, most)
        edges = [(a, b) for b in range(size) for a in range(b) if rng.random() < 0.35]
        graph = cases.graph_of(edges, size)
        found.append(
            (graph, cases.capability(graph, {n.name for n in graph.nodes if rng.random() < 0.6}))
        )
    return found


def test_fewest_is_the_exhaustive_optimum() -> None:
    for graph, capability in small_cases(120, 8):
        taken = sorted(capability.taken)
        assert plan(graph, capability, policy="fewest").minimum == exhaustive_minimum(graph, taken)


@pytest.mark.parametrize("policy", POLICIES)
def test_a_thousand_random_graphs(policy: str) -> None:
    for seed in range(1000):
        rng = random.Random(seed)
        graph = cases.random_graph(rng)
        capability = cases.random_capability(rng, graph)
        found = partition(graph, capability, rng.randint(1, 4), policy=policy)
        assert cases.faults(found, set(capability.taken), whole=False) == [], seed


def checks() -> list[tuple[str, Callable[[], bool]]]:
    """The checker must see what is wrong: one fault each."""
    graph = cases.graph_of([(0, 1), (1, 2), (0, 2)], 3)
    good = partition(graph, cases.capability(graph, {"n0", "n2"}), 1)
    one, two = good.subgraphs
    merged = type(one)(0, ("n0", "n2"), ("x", "t1"), ("t0", "t2"))
    cyclic = type(good)(graph, (merged,), good.verdicts, 1, "fewest", good.native)
    lost = type(good)(graph, (one,), good.verdicts, 1, "fewest", good.native)
    wrong = type(two)(1, two.nodes, two.inputs[:1], two.outputs)
    short = type(good)(graph, (one, wrong), good.verdicts, 1, "fewest", good.native, good.order)
    taken = {"n0", "n2"}
    return [
        ("good", lambda: cases.faults(good, taken, whole=True) == []),
        ("cycle", lambda: any("P5" in f for f in cases.faults(cyclic, taken, whole=True))),
        ("coverage", lambda: "P2 coverage" in cases.faults(lost, taken, whole=True)),
        ("inputs", lambda: any("inputs" in f for f in cases.faults(short, taken, whole=True))),
        ("maximal", lambda: cases.not_maximal(good, adjacent=False) == []),
    ]


@pytest.mark.parametrize(("fault", "seen"), checks(), ids=[name for name, _ in checks()])
def test_the_checker_sees_faults(fault: str, seen: Callable[[], bool]) -> None:
    assert seen(), fault
