import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transform_nets import residual

from workbench.errors import BuildError, PrecisionError
from workbench.graph import Graph, Node, TensorSpec
from workbench.partitioning import Subgraph
from workbench.precision import (
    Outcome,
    Precision,
    PrecisionPlan,
    Resolution,
    Rule,
    achieved,
    builder_flags,
    uses_tf32,
)


@pytest.fixture(scope="module")
def graph() -> Graph:
    return residual().graph


def test_a_plan_gives_every_node_a_precision_and_the_reason(graph: Graph):
    plan = PrecisionPlan("int8", (Rule("fp16", op_types=("Relu",)), Rule("fp32", nodes=("soft",))))
    found = plan.resolve(graph)
    assert list(found.precisions) == [node.name for node in graph.nodes]
    assert found["relu1"] is Precision.FP16
    assert "operator type Relu" in found.reasons["relu1"]
    assert "default" in found.reasons["conv1"]
    assert found.explicit == {"relu1", "relu2", "soft"}
    assert found.counts == {Precision.FP32: 1, Precision.FP16: 2, Precision.INT8: 8}
    assert found.overlay()["soft"] == "fp32"


def test_the_last_rule_that_fits_decides(graph: Graph):
    plan = PrecisionPlan().but("bf16", nodes=("*conv*", "conv1")).but("int8", op_types=("Conv",))
    assert plan.resolve(graph)["conv1"] is Precision.INT8
    assert plan.but("fp32", nodes=("conv1",)).resolve(graph)["conv1"] is Precision.FP32
    assert plan.but("fp32", nodes=("conv1",)).resolve(graph)["conv2"] is Precision.INT8


def test_a_subgraph_is_a_rule(graph: Graph):
    part = Subgraph(3, ("conv1", "bn1", "relu1"), ("x",), ("r1",))
    found = PrecisionPlan("fp32", (Rule.of_subgraph("fp16", part),)).resolve(graph)
    assert {name for name, p in found.precisions.items() if p is Precision.FP16} == {*part.nodes}
    assert "subgraph 3" in found.reasons["bn1"]


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (Rule("int8", op_types=("Convv",)), r"no operator type Convv \(did you mean Conv\?\)"),
        (Rule("int8", nodes=("conv3",)), r"no node conv3 \(did you mean conv"),
        (Rule("int8", nodes=("layer_*",)), r"no node layer_\*"),
        (Rule("int8", op_types=("com.x::Conv",)), "no operator type com.x::Conv"),
    ],
)
def test_a_rule_that_fits_nothing_is_an_error(graph: Graph, rule: Rule, words: str):
    with pytest.raises(PrecisionError, match=words):
        PrecisionPlan("fp32", (rule,)).resolve(graph)


def test_a_name_with_pattern_characters_is_first_a_name():
    graph = Graph("g", (TensorSpec("x"),), (), (Node("a[1]", "Relu"), Node("a1", "Relu")))
    found = PrecisionPlan("fp32", (Rule("int8", nodes=("a[1]",)),)).resolve(graph)
    assert found["a[1]"] is Precision.INT8
    assert found["a1"] is Precision.FP32


def test_wrong_precisions_and_empty_rules_are_refused():
    with pytest.raises(PrecisionError, match=r"no precision fp61 \(did you mean fp16\?\)"):
        PrecisionPlan("fp61")  # pyright: ignore[reportArgumentType]
    with pytest.raises(PrecisionError, match="names no operator type and no node"):
        Rule("int8")  # pyright: ignore[reportArgumentType]


_names = st.text(min_size=1, max_size=8)
_rules = st.builds(
    Rule, st.sampled_from(list(Precision)), st.tuples(_names), st.lists(_names).map(tuple),
    st.text(max_size=8),
)  # fmt: skip


@given(st.builds(PrecisionPlan, st.sampled_from(list(Precision)), st.lists(_rules, max_size=4)))
def test_a_plan_survives_its_json(plan: PrecisionPlan):
    assert PrecisionPlan.from_json(plan.to_json()) == plan


def test_a_plan_survives_its_file(tmp_path):
    plan = PrecisionPlan("int8", (Rule("fp32", op_types=("Gemm",), label="the head"),))
    assert PrecisionPlan.load(plan.save(tmp_path / "plan.json")) == plan
    with pytest.raises(PrecisionError, match="cannot be read"):
        PrecisionPlan.load(tmp_path / "none.json")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"default": "fp8"}, "no precision fp8"),
        ({"version": 2}, "version 2"),
        ({"format": "x"}, "no precision plan"),
        ({"rulez": []}, r"field rulez \(did you mean rules\?\)"),
        ({"rules": [{"op_types": ["Conv"]}]}, "rule 0 has no precision"),
        ({"rules": [{"precision": "int8", "op_types": "Conv"}]}, "no list of names"),
        ({"rules": [{"precision": "int8", "nodes": [3]}]}, "what is no name"),
        ({"rules": [{"precision": "int8"}]}, "names no operator type"),
        ({"rules": 3}, "rules is no list"),
    ],
)
def test_a_damaged_plan_says_where(change: dict, words: str):
    fields = {**json.loads(PrecisionPlan().to_json()), **change}
    with pytest.raises(PrecisionError, match=words):
        PrecisionPlan.from_json(json.dumps(fields), source="plan.json")


def test_text_that_is_no_json_is_refused():
    with pytest.raises(PrecisionError, match="no JSON"):
        PrecisionPlan.from_json("{")


def test_two_plans_are_compared_on_a_graph(graph: Graph):
    changes = PrecisionPlan("int8").diff(PrecisionPlan("int8").but("fp16", nodes=("fc",)), graph)
    assert [(c.node, c.before, c.after) for c in changes] == [
        ("fc", Precision.INT8, Precision.FP16)
    ]


def test_tf32_is_on_only_if_nobody_asks_for_strict_fp32(graph: Graph):
    assert uses_tf32(PrecisionPlan("tf32").resolve(graph))
    assert not uses_tf32(PrecisionPlan("fp16").resolve(graph))
    assert not uses_tf32(PrecisionPlan("tf32").but("fp32", nodes=("fc",)).resolve(graph))
    assert Precision.TF32.dtype == "float32"


def test_builder_flags_follow_the_types():
    tensors = (TensorSpec("a", "float16"), TensorSpec("q", "int8"))
    nodes = (Node("n", "QuantizeLinear", inputs=("x",), outputs=("q",)),)
    assert builder_flags(Graph("g", (TensorSpec("x"),), (), nodes, tensors=tensors)) == (
        "FP16", "INT8",
    )  # fmt: skip
    assert builder_flags(Graph("g", (TensorSpec("x", "float32"),), (), ())) == ()


def layers(*rows: tuple[str, str, tuple[str, ...]]) -> Graph:
    nodes = tuple(
        Node(name, "Kernel", "some", attributes={"precision": dtype}, origin=origin)
        for name, dtype, origin in rows
    )
    return Graph("engine", (), (), nodes)


@pytest.mark.parametrize(
    ("asked", "dtype", "outcome"),
    [
        ("int8", "uint8", Outcome.MET),
        ("int8", "float32", Outcome.WIDER),
        ("fp16", "bfloat16", Outcome.REPLACED),
        ("fp16", "float32", Outcome.WIDER),
        ("fp32", "bfloat16", Outcome.NARROWER),
        ("fp32", "int8", Outcome.NARROWER),
        ("tf32", "float32", Outcome.MET),
        ("bf16", "int64", Outcome.UNKNOWN),
    ],
)
def test_what_a_layer_computes_in_is_judged(graph: Graph, asked: str, dtype: str, outcome: Outcome):
    wanted = PrecisionPlan(asked).resolve(graph)  # pyright: ignore[reportArgumentType]
    audit = achieved(layers(("k", dtype, ("conv1", "bn1", "relu1"))), wanted, graph)
    (row,) = audit.layers
    assert row.outcome is outcome
    assert row.silent == (outcome in (Outcome.WIDER, Outcome.NARROWER, Outcome.REPLACED))
    assert row.silent == row.reason.startswith(f"asked for {asked}, runs as ")
    assert audit.counts == {outcome: 1}


def test_strict_makes_a_silent_downgrade_an_error(graph: Graph):
    wanted = PrecisionPlan("fp16").resolve(graph)
    engine = layers(("good", "float16", ("fc",)), ("bad", "bfloat16", ("conv1", "relu1")))
    with pytest.raises(BuildError, match=r"1 layer of 2 .* first bad \(conv1, relu1\).*bf16") as e:
        achieved(engine, wanted, graph, strict=True)
    assert e.value.subgraph == ("conv1", "relu1")
    assert len(achieved(engine, wanted, graph).departures) == 1


def test_the_product_of_a_fused_layer_counts(graph: Graph):
    wanted = PrecisionPlan("fp32").but("int8", op_types=("Conv",)).resolve(graph)
    (row,) = achieved(layers(("k", "int8", ("conv1", "relu1"))), wanted, graph).layers
    assert row.outcome is Outcome.MET
    assert row.requested is Precision.INT8


def test_a_product_split_over_layers_is_judged_where_it_is_computed(graph: Graph):
    wanted = PrecisionPlan("int8").resolve(graph)
    audit = achieved(
        layers(("conv", "int8", ("conv1",)), ("after", "float32", ("conv1", "relu1"))),
        wanted,
        graph,
    )
    assert [row.outcome for row in audit.layers] == [Outcome.MET, Outcome.AROUND]
    assert audit.overlay() == {"conv1": "int8", "relu1": "fp32"}
    assert not audit.departures


def test_origins_lead_through_a_transform(graph: Graph):
    wanted = PrecisionPlan("int8").resolve(graph)
    engine = layers(("k", "int8", ("conv1", "x/quantize")), ("q", "float32", ("x/quantize",)))
    origin = {"conv1": ("conv1", "bn1"), "x/quantize": ("conv1",)}
    (row,) = achieved(engine, wanted, graph, origin=origin).layers
    assert row.origin == ("conv1", "bn1")


def test_what_a_transform_kept_is_no_departure(graph: Graph):
    wanted = PrecisionPlan("int8").resolve(graph)
    audit = achieved(
        layers(("k", "float32", ("soft",))), wanted, graph, kept={"soft": "no INT8 form"},
        strict=True,
    )  # fmt: skip
    assert audit.layers[0].outcome is Outcome.KEPT
    assert audit.layers[0].reason == "no INT8 form"
    assert audit.of(["soft"]) == audit.layers


def test_layers_that_do_not_run_are_left_out(graph: Graph):
    folded = Node("folded", "Folded", "workbench", origin=("conv1",))
    assert not achieved(Graph("e", (), (), (folded,)), PrecisionPlan().resolve(graph), graph).layers


def test_a_resolution_cannot_be_changed():
    found = Resolution({"a": Precision.INT8}, {"a": "why"})
    with pytest.raises(TypeError):
        found.precisions["a"] = Precision.FP32  # pyright: ignore[reportIndexIssue]
