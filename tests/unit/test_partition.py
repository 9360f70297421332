"""Partitions of graphs whose right answer is known: folding, exclusion, presets, reasons."""

from __future__ import annotations

import partition_cases as cases
import pytest

from workbench.errors import PartitionError
from workbench.graph import Graph, Node, TensorSpec
from workbench.partitioning import (
    PRESETS,
    Apart,
    Capability,
    Code,
    CostModel,
    Exclusion,
    Verdict,
    explain,
    partition,
    plan,
    plan_preset,
    takes_all,
    what_if,
    why_apart,
)

POLICIES = ("connected", "fewest")


def graph_of(*lines: str, outputs: str = "", weights: str = "w") -> Graph:
    """A graph from lines ``out1 out2 = Op in1 in2``; a node is called like its first output."""
    nodes = []
    for line in lines:
        left, right = line.split("=")
        op_type, *reads = right.split()
        domain, _, op_type = op_type.rpartition("::")
        nodes.append(Node(left.split()[0], op_type, domain, tuple(reads), tuple(left.split())))
    given = outputs.split() or [nodes[-1].outputs[0]]
    return Graph(
        "example",
        (TensorSpec("x", "float32", (2, 3)),),
        tuple(TensorSpec(name) for name in given),
        tuple(nodes),
        tuple(TensorSpec(name, "float32", (4,)) for name in weights.split()),
    )


def all_but(graph: Graph, native: str) -> Capability:
    return cases.capability(graph, {n.name for n in graph.nodes} - set(native.split()))


CHAIN = graph_of("a = Conv x w", "b = Relu a", "c = NMS b", "d = Conv c", "e = Relu d", "f = Add e")


@pytest.mark.parametrize("policy", POLICIES)
def test_a_native_node_cuts_a_chain(policy: str) -> None:
    found = partition(CHAIN, all_but(CHAIN, "c"), 2, policy=policy)
    assert [part.nodes for part in found.subgraphs] == [("a", "b"), ("d", "e", "f")]
    assert [(part.inputs, part.outputs) for part in found.subgraphs] == [
        (("x",), ("b",)),
        (("c",), ("f",)),
    ]
    assert [part.nodes for part in found.native] == [("c",)]
    assert found.order == (("engine", 0), ("native", 0), ("engine", 1))
    assert found.by_node["c"].code is Code.UNSUPPORTED_OP


@pytest.mark.parametrize("policy", POLICIES)
def test_a_dissolved_subgraph_joins_the_native_nodes_around_it(policy: str) -> None:
    found = partition(CHAIN, all_but(CHAIN, "c"), 3, policy=policy)
    assert [part.nodes for part in found.subgraphs] == [("d", "e", "f")]
    assert [part.nodes for part in found.native] == [("a", "b", "c")]
    assert found.by_node["a"] == Verdict(
        "a", Code.BELOW_MIN_SIZE, "its subgraph has 2 nodes, min_subgraph_size is 3"
    )


def test_the_graph_that_breaks_the_adjacency_mode_of_torch() -> None:
    edges = [(0, 1), (2, 3), (0, 4), (2, 4), (3, 5), (1, 6), (5, 6)]
    graph = cases.graph_of(edges, 7)
    taken = cases.capability(graph, {f"n{v}" for v in (0, 1, 2, 4, 6)})
    found = partition(graph, taken, 1)
    assert cases.faults(found, set(taken.taken), whole=True) == []
    assert len(found.subgraphs) == 2
    broken = {"n2": "p", "n4": "p", "n0": "q", "n1": "q", "n6": "q"}
    part = {n.name: broken.get(n.name, n.name) for n in graph.nodes}
    assert cases.has_cycle(cases.quotient(graph, part))


def test_unrelated_branches_share_an_engine_only_under_fewest() -> None:
    graph = graph_of("a = Conv x", "b = Relu a", "c = Conv x", "d = Relu c", outputs="b d")
    connected, fewest = (partition(graph, takes_all(graph), 1, policy=p) for p in POLICIES)
    assert [part.nodes for part in connected.subgraphs] == [("a", "b"), ("c", "d")]
    assert [set(part.nodes) for part in fewest.subgraphs] == [{"a", "b", "c", "d"}]
    witness = why_apart(connected, "a", "d")
    assert witness.kind is Apart.UNCONNECTED
    assert "connected" in witness.text


def test_a_node_with_slack_goes_where_less_crosses() -> None:
    # s could be in the first engine or in the last; only beside its reader does nothing cross.
    graph = graph_of("a = Conv x", "n = NMS a", "s = Conv x", "b = Add n s", outputs="b")
    found = partition(graph, all_but(graph, "n"), 1, policy="fewest")
    assert [set(part.nodes) for part in found.subgraphs] == [{"a"}, {"s", "b"}]


def test_bytes_decide_between_equal_numbers_of_tensors() -> None:
    lines = ("a m = Split x", "n = NMS m", "s = Conv a", "b = Add n s")
    for small, together in (("a", {"s", "b"}), ("s", {"a", "s"})):
        graph = graph_of(*lines)
        sizes = {"a": 100, "s": 100, small: 1}
        tensors = tuple(TensorSpec(t, "float32", (n,)) for t, n in sizes.items())
        graph = Graph("sized", graph.inputs, graph.outputs, graph.nodes, (), tensors)
        found = partition(graph, all_but(graph, "n"), 1, policy="fewest")
        assert together in [set(part.nodes) for part in found.subgraphs]


# ------------------------------------------------------------------------------------ folding


def test_what_constants_feed_is_copied_and_never_counted() -> None:
    graph = graph_of(
        "k = Constant", "q = QuantizeLinear w k", "dq = DequantizeLinear q k",
        "a = Conv x dq", "n = NMS a", "b = Conv n dq",
    )  # fmt: skip
    found = partition(graph, all_but(graph, "n"), 1)
    assert [(p.nodes, p.inputs, p.outputs, p.folded) for p in found.subgraphs] == [
        (("a",), ("x",), ("a",), ("k", "q", "dq")),
        (("b",), ("n",), ("b",), ("k", "q", "dq")),
    ]
    assert {name for name, v in found.by_node.items() if v.code is Code.FOLDED} == {"k", "q", "dq"}
    assert plan(graph, all_but(graph, "n")).totals(1).nodes == 2


@pytest.mark.parametrize(
    "line", ["r = RandomNormal", "r = RandomUniformLike w", "r = custom::Thing w", "r = Dropout w"]
)
def test_what_may_change_from_run_to_run_is_not_folded(line: str) -> None:
    graph = graph_of(line, "a = Add x r", "b = Add a r")
    found = partition(graph, all_but(graph, "r"), 1)
    assert [part.nodes for part in found.native] == [("r",)]
    assert found.subgraphs[0].inputs == ("x", "r")


def test_a_random_generator_in_a_body_is_not_folded() -> None:
    body = Graph("body", (), (TensorSpec("z"),), (Node("z", "RandomNormal", outputs=("z",)),))
    inner = Node("i", "If", inputs=("w",), outputs=("i",), attributes={"then_branch": body})
    graph = graph_of("a = Add x i", "b = Relu a", outputs="b")
    graph = Graph("outer", graph.inputs, graph.outputs, (inner, *graph.nodes), graph.initializers)
    assert partition(graph, all_but(graph, ""), 1).engine_of["i"] == 0


def test_an_initializer_that_can_be_fed_is_an_input() -> None:
    graph = graph_of("f = Cast w", "a = Add x f")
    graph = Graph(
        "fed", (*graph.inputs, TensorSpec("w")), graph.outputs, graph.nodes, graph.initializers
    )
    found = partition(graph, takes_all(graph), 1)
    assert found.subgraphs[0].nodes == ("f", "a")
    assert found.subgraphs[0].inputs == ("w", "x")


@pytest.mark.parametrize("policy", POLICIES)
def test_a_constant_that_is_an_output_is_still_made(policy: str) -> None:
    graph = graph_of("k = Constant", "f = Cast k", "a = Add x f", outputs="a f")
    found = partition(graph, takes_all(graph), 1, policy=policy)
    assert found.subgraphs[0].nodes == ("a",)
    assert found.subgraphs[0].folded == ("k", "f")
    region = found.native[0]
    assert (region.nodes, region.inputs, region.outputs, region.folded) == (
        ("f",), (), ("f",), ("k",),
    )  # fmt: skip
    assert found.order == (("native", 0), ("engine", 0))
    assert found.by_node["f"].code is Code.FOLDED


def test_captured_tensors_are_inputs() -> None:
    loop = Node("l", "Loop", inputs=("a",), outputs=("l",), captured=("b", "x"))
    graph = graph_of("a = Conv x", "b = Conv x")
    graph = Graph("g", graph.inputs, (TensorSpec("l"),), (*graph.nodes, loop))
    found = partition(graph, all_but(graph, "l"), 1, policy="fewest")
    assert found.native[0].inputs == ("a", "b", "x")
    assert found.subgraphs[0].outputs == ("a", "b")


def test_outputs_that_nobody_takes_are_no_boundary() -> None:
    graph = graph_of("a spare = Split x", "b = Relu a", "dead = Relu a", outputs="b")
    found = partition(graph, takes_all(graph), 1)
    assert found.subgraphs[0].outputs == ("b",)


# ---------------------------------------------------------------------------------- exclusion


@pytest.mark.parametrize(
    ("exclude", "out"),
    [
        (Exclusion(op_types=("Relu",)), {"b", "e"}),
        (Exclusion(nodes=("d",)), {"d"}),
        (Exclusion(nodes=("[de]",)), {"d", "e"}),
        (Exclusion(tensors=("d",)), {"d", "e"}),
        (Exclusion(tensors=("x",)), {"a"}),
        (Exclusion(op_types=("Relu",)) | Exclusion(nodes=("f",)), {"b", "e", "f"}),
        (Exclusion(op_types="Add"), {"f"}),
    ],
)
def test_exclusion(exclude: Exclusion, out: set[str]) -> None:
    found = partition(CHAIN, takes_all(CHAIN), 1, exclude=exclude)
    assert {n for n, v in found.by_node.items() if v.code is Code.EXCLUDED} == out
    assert found.engine_of.keys() == {n.name for n in CHAIN.nodes} - out


def test_a_whole_engine_can_be_excluded() -> None:
    capability = all_but(CHAIN, "c")
    first = partition(CHAIN, capability, 1)
    found = partition(CHAIN, capability, 1, exclude=Exclusion.of_subgraphs(first, {0}))
    assert [part.nodes for part in found.subgraphs] == [("d", "e", "f")]
    assert found.by_node["a"].reason == "subgraph 0 is excluded"
    with pytest.raises(PartitionError, match="no engine 7"):
        Exclusion.of_subgraphs(first, [7])


def test_a_name_with_brackets_is_a_name_first() -> None:
    graph = graph_of("layer[0] = Conv x", "layer0 = Conv layer[0]")
    found = partition(graph, takes_all(graph), 1, exclude=Exclusion(nodes=("layer[0]",)))
    assert found.engine_of.keys() == {"layer0"}


def test_an_operator_of_another_domain() -> None:
    graph = graph_of("a = com.microsoft::Gelu x", "b = Gelu a")
    for rule, out in (("com.microsoft::Gelu", {"a"}), ("Gelu", {"a", "b"})):
        found = partition(graph, takes_all(graph), 1, exclude=Exclusion(op_types=(rule,)))
        assert found.engine_of.keys() == {"a", "b"} - out


@pytest.mark.parametrize(
    ("exclude", "words"),
    [
        (Exclusion(op_types=("Convv",)), r"operator type Convv \(did you mean Conv\?\)"),
        (Exclusion(nodes=("zzz*",)), r"node zzz\*"),
        (Exclusion(tensors=("nowhere",)), "tensor nowhere"),
        (Exclusion(nodes=("a\x1b[2J",)), r"a\\x1b\[2J"),
    ],
)
def test_a_rule_that_matches_nothing_is_an_error(exclude: Exclusion, words: str) -> None:
    with pytest.raises(PartitionError, match=words):
        plan(CHAIN, takes_all(CHAIN), exclude=exclude)


def test_a_replan_equals_a_new_plan() -> None:
    capability, exclude = all_but(CHAIN, "c"), Exclusion(nodes=("e",))
    again = plan(CHAIN, takes_all(CHAIN)).replan(capability=capability, exclude=exclude)
    assert again.at(1) == partition(CHAIN, capability, 1, exclude=exclude)
    other = again.replan(policy="fewest")
    assert (other.policy, other.exclude) == ("fewest", exclude)
    with pytest.raises(ValueError, match="policy is best"):
        again.replan(policy="best")


# ------------------------------------------------------------------------- arguments, presets


def test_wrong_arguments() -> None:
    with pytest.raises(ValueError, match="connected, fewest"):
        plan(CHAIN, takes_all(CHAIN), policy="most")
    found = plan(CHAIN, takes_all(CHAIN))
    for threshold in (0, -1, 2.5):
        with pytest.raises(ValueError, match="whole number from 1"):
            found.at(threshold)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="max_engines is -1"):
        found.totals(1, max_engines=-1)
    stranger = graph_of("zz = Conv x")
    with pytest.raises(PartitionError, match=r"not for graph example.*zz"):
        plan(CHAIN, takes_all(stranger))


def test_a_node_the_source_says_nothing_about() -> None:
    found = partition(CHAIN, Capability("half a parser", (Verdict("a", Code.TAKEN),)), 1)
    assert found.engine_of == {"a": 0}
    assert found.by_node["b"].code is Code.UNKNOWN
    assert "half a parser" in found.by_node["b"].reason


def test_an_empty_graph_and_nothing_supported() -> None:
    empty = Graph("empty", (), (), ())
    assert partition(empty, takes_all(empty)).order == ()
    assert plan(empty, takes_all(empty)).codes(1) == ()
    none = plan(CHAIN, cases.capability(CHAIN, ()))
    assert none.at(1).order == (("native", 0),)
    assert (none.minimum, none.certificate(), none.totals(1).engines) == (0, (), 0)


def test_the_largest_engines_are_kept() -> None:
    found = plan(CHAIN, all_but(CHAIN, "c"))
    limited = found.at(1, max_engines=1)
    assert [part.nodes for part in limited.subgraphs] == [("d", "e", "f")]
    assert limited.by_node["a"].code is Code.ENGINE_LIMIT
    assert found.codes(1, max_engines=1) == tuple(v.code for v in limited.verdicts)
    assert found.totals(1, max_engines=1).engines == 1


def test_a_rule_of_the_caller() -> None:
    found = plan(CHAIN, all_but(CHAIN, "c"))
    kept = found.at(1, keep=lambda segment: found.segments.sizes[segment] < 3)
    assert [part.nodes for part in kept.subgraphs] == [("a", "b")]
    assert kept.by_node["d"].code is Code.EXCLUDED


@pytest.mark.parametrize(
    ("preset", "value", "engines"),
    [
        ("paddle", None, []),
        ("paddle", 2, [("d", "e", "f")]),
        ("paddle_pir", None, [("d", "e", "f")]),
        ("paddle_pir", 2, [("a", "b"), ("d", "e", "f")]),
        ("onnxruntime", None, [("a", "b"), ("d", "e", "f")]),
        ("tf_trt", None, [("d", "e", "f")]),
        ("torch_tensorrt", None, []),
        ("torch_tensorrt", 3, [("d", "e", "f")]),
    ],
)
def test_presets(preset: str, value: int | None, engines: list[tuple[str, ...]]) -> None:
    found = plan_preset(CHAIN, all_but(CHAIN, "c"), preset, value)
    assert [part.nodes for part in found.subgraphs] == engines
    assert found.policy == PRESETS[preset].policy
    assert PRESETS[preset].source


def test_tf_trt_does_not_count_identities_and_keeps_twenty() -> None:
    graph = graph_of("a = Conv x", "b = Identity a", "c = Relu b")
    assert plan_preset(graph, takes_all(graph), "tf_trt").subgraphs == ()
    assert plan_preset(graph, takes_all(graph), "tf_trt", 2).subgraphs[0].nodes == ("a", "b", "c")
    lines = [f"t{i} = Conv t{i - 1}" if i else "t0 = Conv x" for i in range(50)]
    chain = graph_of(*lines)
    odd = all_but(chain, " ".join(f"t{i}" for i in range(0, 50, 2)))
    assert len(plan_preset(chain, odd, "tf_trt", 1).subgraphs) == 20
    assert len(plan_preset(chain, odd, "onnxruntime").subgraphs) == 25


def test_an_unknown_preset() -> None:
    with pytest.raises(PartitionError, match=r"no preset padle \(did you mean paddle\?\)"):
        plan_preset(CHAIN, takes_all(CHAIN), "padle")


# ---------------------------------------------------------------------------- reasons, advice


def test_explanations() -> None:
    found = partition(CHAIN, all_but(CHAIN, "c"), 3)
    taken, small, native = (explain(found, name) for name in "dac")
    assert (taken.engine, taken.text) == (0, "d is in engine 0, with 2 other nodes")
    assert small.fence == ("c",)
    assert small.text.endswith("(its subgraph has 2 nodes, min_subgraph_size is 3); bounded by c")
    assert native.text == "c is native: its operator is not supported (no)"
    with pytest.raises(PartitionError, match="no node q"):
        explain(found, "q")


def test_a_witness_goes_through_what_keeps_two_nodes_apart() -> None:
    graph = graph_of("a = Conv x", "n = NMS a", "b = Add a n")
    found = partition(graph, all_but(graph, "n"), 1)
    for pair in (("a", "b"), ("b", "a")):
        witness = why_apart(found, *pair)
        assert (witness.kind, witness.path) == (Apart.CYCLE, ("a", "n", "b"))
        assert "n (native, unsupported_op)" in witness.text
    assert why_apart(found, "a", "n").kind is Apart.NATIVE
    assert why_apart(found, "a", "a").kind is Apart.TOGETHER
    with pytest.raises(PartitionError, match="no node q"):
        why_apart(found, "a", "q")


def test_what_one_more_operator_would_be_worth() -> None:
    graph = graph_of(
        "a = Conv x", "b = Conv a", "n = NMS b", "c = Conv n", "m = NMS c", "d = Conv m",
        "t = TopK d",
    )  # fmt: skip
    first, second = what_if(plan(graph, all_but(graph, "n m t")), 1)
    assert (first.op_type, first.nodes, first.engines_fewer, first.nodes_gained) == ("NMS", 2, 2, 2)
    assert (second.op_type, second.engines_fewer, second.engines) == ("TopK", 0, 3)
    at_two = what_if(plan(graph, all_but(graph, "n m t")), 2)
    assert [(w.op_type, w.engines_fewer) for w in at_two] == [("NMS", 0), ("TopK", -1)]


def test_what_if_leaves_out_what_the_user_excluded_and_obeys_its_bound() -> None:
    capability = all_but(CHAIN, "c e")
    excluded = plan(CHAIN, capability, exclude=Exclusion(nodes=("c",)))
    assert [w.op_type for w in what_if(excluded, 1)] == ["Relu"]
    assert len(what_if(plan(CHAIN, capability), 1, most=1)) == 1


def test_the_recommended_threshold_saves_most() -> None:
    found = plan(CHAIN, all_but(CHAIN, "c"))
    cheap = CostModel(engine_seconds=0, tensor_seconds=0, saved_seconds=1)
    assert found.recommended(cheap).min_subgraph_size == 1
    dear = CostModel(engine_seconds=2.5, tensor_seconds=0, saved_seconds=1)
    chosen = found.recommended(dear)
    assert chosen.min_subgraph_size == 3
    assert chosen.saved_seconds == pytest.approx(0.5)
    assert "1 engines with 3 nodes" in chosen.reason
    assert "not measured" in chosen.reason
    never = found.recommended(CostModel(engine_seconds=9, saved_seconds=1))
    assert never.min_subgraph_size == 4
    assert found.totals(never.min_subgraph_size).engines == 0


def test_costs_of_nodes_are_summed() -> None:
    flops = {"a": 1.0, "b": 2.0, "d": 4.0, "c": 100.0}
    found = plan(CHAIN, all_but(CHAIN, "c"), flops=flops)
    assert found.totals(1).flops == 7
    assert found.totals(3).flops == 4
    assert found.replan(policy="fewest").totals(3).flops == 4


def test_reprs_are_counts_only() -> None:
    made = plan(CHAIN, all_but(CHAIN, "c"))
    assert repr(made) == "Plan(example: 6 nodes, 2 segments, policy connected, asked test)"
    assert repr(made.at(3)) == (
        "Partition(example: 6 nodes, 1 engine with 3 nodes, threshold 3, policy connected)"
    )


def test_what_is_no_graph_or_capability_is_refused_in_words() -> None:
    with pytest.raises(TypeError, match=r"not a str; give model\.graph"):
        plan("model.onnx", takes_all(CHAIN))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"capability is a Graph; give what"):
        plan(CHAIN, CHAIN)  # type: ignore[arg-type]
