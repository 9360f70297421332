"""The operator tables of TensorRT versions that are not here."""

from importlib import resources

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from workbench.backends.tensorrt import SupportTable
from workbench.backends.tensorrt.checks import CHECKS
from workbench.backends.tensorrt.table import versions
from workbench.model import Model, from_proto
from workbench.partitioning import Code, Verdict

FLOAT, HALF, INT64, BOOL = (
    TensorProto.FLOAT,
    TensorProto.FLOAT16,
    TensorProto.INT64,
    TensorProto.BOOL,
)
# Operators supported by each table, as counted in the documents themselves.
SUPPORTED = {"8.6": 145, "9.3": 147, "10.0": 149, "10.1": 150, "10.16": 158, "11.1": 159}
# Words of the tables that a graph does not show, or that only inform.
NOT_CHECKED = (
    "branch outputs: broadcastable shapes, different names",
    "branch outputs: same rank, different names",
    "scan output length static",
    "loop-carried shapes constant over iterations",
    "seed ignored",
    "real input",
    "head counts only through the second dim of Q and K/V",
    "no qk_matmul_output_mode",
    "Broadcasting between inputs is not supported",
    "nearest: floor, ceil, round_prefer_floor, round_prefer_ceil",
)


def value(name, dtype=FLOAT, shape=("N", 3, 8, 8)):
    return helper.make_tensor_value_info(name, dtype, shape)


def model(*nodes, inputs=None, outputs=("y",), consts=None, opset=17) -> Model:
    consts = [numpy_helper.from_array(np.asarray(v), k) for k, v in (consts or {}).items()]
    graph = helper.make_graph(
        list(nodes), "g", inputs or [value("x")],
        [helper.make_tensor_value_info(name, FLOAT, None) for name in outputs], consts,
    )  # fmt: skip
    opsets = [helper.make_opsetid("", opset)]
    if any(node.domain for node in nodes):
        opsets += [helper.make_opsetid(n.domain, 1) for n in nodes if n.domain]
    proto = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    for output in proto.graph.output:
        output.type.tensor_type.ClearField("elem_type")
    inferred = onnx.shape_inference.infer_shapes(proto)
    known = {v.name: v for v in inferred.graph.output if v.type.tensor_type.elem_type}
    for output in proto.graph.output:
        output.CopyFrom(known.get(output.name, helper.make_tensor_value_info(output.name, 1, None)))
    return from_proto(proto)


def node(op, inputs=("x",), outputs=("y",), name="n", **attributes):
    return helper.make_node(op, list(inputs), list(outputs), name=name, **attributes)


def only(version: str, asked: Model, name: str = "n") -> Verdict:
    return SupportTable(version).capability(asked).by_node[name]


def test_the_data_is_small_and_says_where_it_is_from():
    file = resources.files("workbench.backends.tensorrt") / "support.json"
    assert len(file.read_bytes()) < 100_000
    assert "docs/operators.md" in SupportTable("8.6").provenance
    assert "6ba67d3428e05f690145373ca87fb8d32f98df45" in SupportTable("8.6").provenance


@pytest.mark.parametrize("version", SUPPORTED)
def test_each_version_supports_as_many_operators_as_its_document(version):
    table = SupportTable(version)
    assert len(table.operators) == SUPPORTED[version]
    assert all(table.row(name).types for name in table.operators)


def test_a_version_without_a_table_is_refused_with_those_there_are():
    with pytest.raises(ValueError, match=r"no support table for TensorRT 7\.0.*8\.6.*11\.1"):
        SupportTable("7.0")
    assert versions() == tuple(SUPPORTED)


def test_name_and_source():
    table = SupportTable("10.16")
    assert table.name == "tensorrt-10.16"
    assert table.capability(model(node("Relu"))).source == "support table TensorRT 10.16"
    assert SupportTable.newest().version == "11.1"


def test_an_operator_that_came_later():
    asked = model(node("Gelu"), opset=20)
    assert only("8.6", asked).code is Code.UNSUPPORTED_OP
    assert "operator Gelu is not supported" in only("8.6", asked).reason
    assert only("10.16", asked).taken


def test_an_operator_that_no_version_has():
    verdict = only("11.1", model(node("Det"), inputs=[value("x", shape=(3, 3))]))
    assert verdict.code is Code.UNSUPPORTED_OP


def test_a_domain_of_its_own_needs_a_plugin():
    verdict = only("11.1", model(node("Relu", domain="acme")))
    assert verdict.code is Code.UNSUPPORTED_OP
    assert "domain acme" in verdict.reason


def test_the_words_of_the_table_name_the_types():
    asked = model(node("Relu"), inputs=[value("x", TensorProto.BFLOAT16)], opset=14)
    assert only("11.1", asked).taken
    verdict = only("8.6", asked)
    assert verdict.code is Code.UNSUPPORTED_TYPE
    assert verdict.reason == (
        "support table TensorRT 8.6: Relu takes FP16, FP32, INT8; x is bfloat16"
    )


def test_int64_counts_as_int32_before_it_was_native():
    asked = model(node("Abs"), inputs=[value("x", INT64)])
    assert only("8.6", asked).taken
    sliced = model(node("Erf"), inputs=[value("x", INT64)])
    assert only("8.6", sliced).code is Code.UNSUPPORTED_TYPE


def test_double_is_narrowed_and_so_taken():
    assert only("11.1", model(node("Relu"), inputs=[value("x", TensorProto.DOUBLE)])).taken


def test_sizes_and_indices_are_not_what_the_types_are_about():
    asked = model(node("Gather", ("x", "i")), inputs=[value("x"), value("i", INT64, (2,))])
    assert all(only(version, asked).taken for version in versions())


def test_a_type_nobody_knows_is_let_pass():
    asked = model(node("Foo", ("x",), ("a",), name="foo", domain="acme"), node("Relu", ("a",)))
    assert asked.graph.spec("a").dtype == ""
    assert only("11.1", asked).taken


@pytest.mark.parametrize(
    ("version", "opset", "words"),
    [
        ("8.6", 18, "opset 18 is above 17, the newest the table documents"),
        ("11.1", 8, "opset 8 is below 9, the oldest the table documents"),
        ("11.1", 17, ""),
    ],
)
def test_an_opset_outside_the_documented_ones_is_said(version, opset, words):
    verdict = only(version, model(node("Relu"), opset=opset))
    assert verdict.taken
    assert verdict.reason == words


def test_what_could_not_be_checked_is_told_with_the_verdict():
    asked = model(node("RandomNormalLike"))
    assert only("11.1", asked).reason == "support table TensorRT 11.1: seed ignored"


def test_a_fault_in_a_body_is_reported_at_the_outer_node():
    body = helper.make_graph(
        [node("Det", ("x",), ("d",), name="inner")], "b", [], [value("d", shape=())]
    )
    other = helper.make_graph(
        [node("ReduceSum", ("x",), ("e",), name="sum", keepdims=0)], "o", [], [value("e", shape=())]
    )
    asked = model(
        node("If", ("c",), then_branch=body, else_branch=other),
        inputs=[value("x", shape=(3, 3)), value("c", BOOL, ())],
    )
    verdict = only("11.1", asked)
    assert verdict.code is Code.UNSUPPORTED_OP
    assert "node inner inside then_branch: operator Det is not supported" in verdict.reason


def test_a_fault_in_a_function_is_reported_at_the_call():
    function = helper.make_function(
        "acme", "Twice", ["a"], ["c"],
        [node("Relu", ("a",), ("b",), name="r"), node("Det", ("b",), ("c",), name="d")],
        [helper.make_opsetid("", 17)],
    )  # fmt: skip
    graph = helper.make_graph(
        [node("Twice", domain="acme")], "g", [value("x", shape=(3, 3))], [value("y", shape=())]
    )
    proto = helper.make_model(
        graph, functions=[function], ir_version=10,
        opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("acme", 1)],
    )  # fmt: skip
    verdict = only("11.1", from_proto(proto))
    assert verdict.code is Code.UNSUPPORTED_OP
    assert "operator Det is not supported" in verdict.reason


def test_quantized_types_that_are_not_int8():
    scale = {"s": np.float32(0.1), "z": np.uint16(0)}
    asked = model(node("QuantizeLinear", ("x", "s", "z")), consts=scale, opset=21)
    assert only("11.1", asked).code is Code.UNSUPPORTED_TYPE
    fine = model(
        node("QuantizeLinear", ("x", "s", "z")), consts=scale | {"z": np.int8(0)}, opset=21
    )
    assert only("11.1", fine).taken


VIDEO = [value("x", shape=("N", 3, 8, 8, 8))]
LINE = [value("x", shape=("N", 3, 8))]
MATRIX = [value("x", shape=("N", 8))]
SPARSE = helper.make_sparse_tensor(
    numpy_helper.from_array(np.ones(1, np.float32), "v"),
    numpy_helper.from_array(np.array([2]), "i"),
    [4],
)
AXES = {"a": np.array([1], np.int64)}
AT_RUN = [value("x"), value("a", INT64, (1,))]
# version, phrase of the table, a model that keeps to it, one that does not
RULES = [
    ("8.6", "pooling over 2 or 3 spatial dims only",
     model(node("AveragePool", kernel_shape=[2, 2, 2]), inputs=VIDEO),
     model(node("AveragePool", kernel_shape=[2]), inputs=LINE)),
    ("11.1", "no Indices output",
     model(node("MaxPool", ("x",), ("y", ""), kernel_shape=[2, 2])),
     model(node("MaxPool", ("x",), ("y", "i"), kernel_shape=[2, 2]))),
    ("11.1", "dilations: none or all 1",
     model(node("MaxPool", kernel_shape=[2, 2], dilations=[1, 1])),
     model(node("MaxPool", kernel_shape=[2, 2], dilations=[2, 2]))),
    ("11.1", "zero point must be 0",
     model(node("QuantizeLinear", ("x", "s", "z")), consts={"s": np.float32(1), "z": np.int8(0)}),
     model(node("QuantizeLinear", ("x", "s", "z")), consts={"s": np.float32(1), "z": np.int8(3)})),
    ("11.1", "axis must be constant",
     model(node("CumSum", ("x", "a")), consts={"a": np.int64(1)}),
     model(node("CumSum", ("x", "a")), inputs=[value("x"), value("a", INT64, ())])),
    ("11.1", "axes must be constant",
     model(node("ReduceMean", ("x", "a")), consts=AXES, opset=18),
     model(node("ReduceMean", ("x", "a")), inputs=AT_RUN, opset=18)),
    ("11.1", "axes must resolve to a constant",
     model(node("Unsqueeze", ("x", "a")), consts=AXES),
     model(node("Unsqueeze", ("x", "a")), inputs=AT_RUN)),
    ("11.1", "depth constant at build time",
     model(node("OneHot", ("x", "d", "v")), inputs=[value("x", INT64, (4,))],
           consts={"d": np.int64(3), "v": np.array([0, 1], np.float32)}),
     model(node("OneHot", ("x", "d", "v")), inputs=[value("x", INT64, (4,)), value("d", INT64, ())],
           consts={"v": np.array([0, 1], np.float32)})),
    ("11.1", "training mode must be a constant False",
     model(node("Dropout", ("x", "", "t")), consts={"t": np.bool_(False)}),
     model(node("Dropout", ("x", "", "t")), consts={"t": np.bool_(True)})),
    ("10.1", "must be an initializer and evaluate to False",
     model(node("Dropout", ("x", "", "t")), consts={"t": np.bool_(False)}),
     model(node("Dropout", ("x", "", "t")), inputs=[value("x"), value("t", BOOL, ())])),
    ("11.1", "size of the axis dim constant at build time",
     model(node("Hardmax", axis=1)), model(node("Hardmax", axis=0))),
    ("11.1", "static input dims",
     model(node("EyeLike"), inputs=[value("x", shape=(4, 4))]),
     model(node("EyeLike"), inputs=[value("x", shape=("N", 4))])),
    ("11.1", "4-D input only",
     model(node("GridSample", ("x", "g")), inputs=[value("x"), value("g", shape=("N", 4, 4, 2))]),
     model(node("GridSample", ("x", "g"), mode="linear"), opset=20,
           inputs=[*VIDEO, value("g", shape=("N", 4, 4, 4, 3))])),
    ("8.6", "coordinate modes: half_pixel",
     model(node("Resize", ("x", "", "s")), consts={"s": np.ones(4, np.float32)}),
     model(node("Resize", ("x", "r", "s"), coordinate_transformation_mode="tf_crop_and_resize"),
           consts={"s": np.ones(4, np.float32), "r": np.ones(8, np.float32)})),
    ("8.6", "modes: nearest, linear",
     model(node("Resize", ("x", "", "s"), mode="linear"), consts={"s": np.ones(4, np.float32)}),
     model(node("Resize", ("x", "", "s"), mode="cubic"), consts={"s": np.ones(4, np.float32)})),
    ("11.1", "aspect policy stretch only",
     model(node("Resize", ("x", "", "", "s")), consts={"s": np.full(4, 8)}, opset=18),
     model(node("Resize", ("x", "", "", "s"), keep_aspect_ratio_policy="not_larger"),
           consts={"s": np.full(4, 8)}, opset=18)),
    ("11.1", "scales as tensor input needs axes 0..rank-1",
     model(node("Resize", ("x", "", "s"), axes=[0, 1, 2, 3]),
           consts={"s": np.ones(4, np.float32)}, opset=18),
     model(node("Resize", ("x", "", "s"), axes=[2, 3]),
           consts={"s": np.ones(2, np.float32)}, opset=18)),
    ("11.1", "no antialias",
     model(node("Resize", ("x", "", "s"), antialias=0),
           consts={"s": np.ones(4, np.float32)}, opset=18),
     model(node("Resize", ("x", "", "s"), antialias=1, mode="linear"),
           consts={"s": np.ones(4, np.float32)}, opset=18)),
    ("10.1", "no reduction",
     model(node("ScatterND", ("x", "i", "u")), inputs=[*MATRIX, value("u", shape=(1, 8))],
           consts={"i": np.array([[0]])}),
     model(node("ScatterND", ("x", "i", "u"), reduction="add"),
           inputs=[*MATRIX, value("u", shape=(1, 8))], consts={"i": np.array([[0]])})),
    ("11.1", "reduction: none only",
     model(node("ScatterND", ("x", "i", "u"), reduction="none"),
           inputs=[*MATRIX, value("u", shape=(1, 8))], consts={"i": np.array([[0]])}),
     model(node("ScatterND", ("x", "i", "u"), reduction="mul"),
           inputs=[*MATRIX, value("u", shape=(1, 8))], consts={"i": np.array([[0]])})),
    ("8.6", "same activations in both directions",
     model(node("RNN", ("x", "w", "r"), hidden_size=4, direction="bidirectional",
                activations=["Tanh", "Tanh"]), inputs=LINE,
           consts={"w": np.ones((2, 4, 8), np.float32), "r": np.ones((2, 4, 4), np.float32)}),
     model(node("RNN", ("x", "w", "r"), hidden_size=4, direction="bidirectional",
                activations=["Tanh", "Relu"]), inputs=LINE,
           consts={"w": np.ones((2, 4, 8), np.float32), "r": np.ones((2, 4, 4), np.float32)})),
    ("11.1", "input_forget 0",
     model(node("LSTM", ("x", "w", "r"), hidden_size=4), inputs=LINE,
           consts={"w": np.ones((1, 16, 8), np.float32), "r": np.ones((1, 16, 4), np.float32)}),
     model(node("LSTM", ("x", "w", "r"), hidden_size=4, input_forget=1), inputs=LINE,
           consts={"w": np.ones((1, 16, 8), np.float32), "r": np.ones((1, 16, 4), np.float32)})),
    ("11.1", "layout 0",
     model(node("LSTM", ("x", "w", "r"), hidden_size=4, layout=0), inputs=LINE,
           consts={"w": np.ones((1, 16, 8), np.float32), "r": np.ones((1, 16, 4), np.float32)}),
     model(node("LSTM", ("x", "w", "r"), hidden_size=4, layout=1), inputs=LINE,
           consts={"w": np.ones((1, 16, 8), np.float32), "r": np.ones((1, 16, 4), np.float32)})),
    ("11.1", "only output Y",
     model(node("LayerNormalization", ("x", "w")), consts={"w": np.ones(8, np.float32)}),
     model(node("LayerNormalization", ("x", "w"), ("y", "m")),
           consts={"w": np.ones(8, np.float32)})),
    ("11.1", "no sparse_value, value_string, value_strings",
     model(node("Constant", (), value_float=1.0)),
     model(node("Constant", (), sparse_value=SPARSE))),
    ("11.1", "sorted must be 1",
     model(node("TopK", ("x", "k"), ("y", "i")), consts={"k": np.array([2])}),
     model(node("TopK", ("x", "k"), ("y", "i"), sorted=0), consts={"k": np.array([2])})),
    ("11.1", "K < 3840",
     model(node("TopK", ("x", "k"), ("y", "i")), consts={"k": np.array([3839])}),
     model(node("TopK", ("x", "k"), ("y", "i")), consts={"k": np.array([3840])})),
    ("8.6", "Ellipsis and diagonal operations are not supported",
     model(node("Einsum", equation="ij->ji"), inputs=MATRIX),
     model(node("Einsum", equation="ii->i"), inputs=[value("x", shape=(8, 8))])),
    ("11.1", "position_ids must be INT64",
     model(node("RotaryEmbedding", ("x", "c", "s", "p")), opset=23,
           inputs=[value("x", shape=(2, 3, 4, 8)), value("p", INT64, (2, 4))],
           consts={"c": np.ones((9, 4), np.float32), "s": np.ones((9, 4), np.float32)}),
     model(node("RotaryEmbedding", ("x", "c", "s", "p")), opset=23,
           inputs=[value("x", shape=(2, 3, 4, 8)), value("p", TensorProto.INT32, (2, 4))],
           consts={"c": np.ones((9, 4), np.float32), "s": np.ones((9, 4), np.float32)})),
    ("11.1", "no past_key/past_value/nonpad_kv_seqlen",
     model(node("Attention", ("x", "x", "x")), opset=23),
     model(node("Attention", ("x", "x", "x", "", "x", "x")), opset=23)),
    ("11.1", "Q, K, V, attn_mask 4-D",
     model(node("Attention", ("x", "x", "x")), opset=23),
     model(node("Attention", ("x", "x", "x"), q_num_heads=2, kv_num_heads=2), inputs=LINE,
           opset=23)),
    ("11.1", "only the first output",
     model(node("Attention", ("x", "x", "x")), opset=23),
     model(node("Attention", ("x", "x", "x"), ("y", "p", "q")), opset=23)),
    ("11.1", "no softcap",
     model(node("Attention", ("x", "x", "x"), softcap=0.0), opset=23),
     model(node("Attention", ("x", "x", "x"), softcap=2.0), opset=23)),
    ("11.1", "past_cache, update 4-D",
     model(node("TensorScatter", ("x", "x")), opset=24),
     model(node("TensorScatter", ("x", "x")), inputs=LINE, opset=24)),
    ("11.1", "axis -2",
     model(node("TensorScatter", ("x", "x"), axis=-2), opset=24),
     model(node("TensorScatter", ("x", "x"), axis=1), opset=24)),
    ("11.1", "frame_step and window constant",
     model(node("STFT", ("x", "f", "w")), inputs=[value("x", shape=(1, 64, 1))],
           consts={"f": np.int64(8), "w": np.ones(16, np.float32)}),
     model(node("STFT", ("x", "f", "w")),
           inputs=[value("x", shape=(1, 64, 1)), value("f", INT64, ())],
           consts={"w": np.ones(16, np.float32)})),
    ("11.1", "1 or 2 spatial dims",
     model(node("DeformConv", ("x", "w", "o")), opset=19,
           inputs=[value("x"), value("o", shape=("N", 18, 6, 6))],
           consts={"w": np.ones((4, 3, 3, 3), np.float32)}),
     model(node("DeformConv", ("x", "w", "o")), opset=19,
           inputs=[*VIDEO, value("o", shape=("N", 81, 6, 6, 6))],
           consts={"w": np.ones((4, 3, 3, 3, 3), np.float32)})),
    ("11.1", "symmetric pads",
     model(node("DeformConv", ("x", "w", "o"), pads=[1, 1, 1, 1]), opset=19,
           inputs=[value("x"), value("o", shape=("N", 18, 8, 8))],
           consts={"w": np.ones((4, 3, 3, 3), np.float32)}),
     model(node("DeformConv", ("x", "w", "o"), pads=[1, 0, 0, 1]), opset=19,
           inputs=[value("x"), value("o", shape=("N", 18, 7, 7))],
           consts={"w": np.ones((4, 3, 3, 3), np.float32)})),
]  # fmt: skip


@pytest.mark.parametrize(("version", "phrase", "good", "bad"), RULES, ids=[r[1] for r in RULES])
def test_a_restriction_takes_what_keeps_to_it_and_quotes_itself_to_what_does_not(
    version, phrase, good, bad
):
    assert only(version, good).taken, only(version, good).reason
    verdict = only(version, bad)
    assert not verdict.taken
    assert phrase in verdict.reason


def test_every_restriction_that_is_checked_has_an_example():
    assert {check.phrase for check in CHECKS} == {rule[1] for rule in RULES}


def test_every_restriction_of_the_tables_is_checked_or_known_not_to_be():
    for version in versions():
        table = SupportTable(version)
        for name in table.operators:
            row = table.row(name)
            for words in filter(None, row.restriction.split("; ")):
                known = any(phrase in words for phrase in NOT_CHECKED) or any(
                    check.phrase in row.restriction
                    and any(part in words for part in check.phrase.split("; "))
                    and (not check.operators or name in check.operators)
                    for check in CHECKS
                )
                assert known, (version, name, words)


def test_a_note_is_what_the_table_adds_to_a_parser_that_says_nothing():
    table = SupportTable.newest()
    assert table.note("Det") == "the support table TensorRT 11.1 lists Det as not supported"
    assert "no Indices output" in table.note("MaxPool")
    assert table.note("Relu") == ""
