"""What the installed TensorRT says it takes: real parser, child process, no GPU needed."""

import time
import warnings

import numpy as np
import onnx
import onnx_ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from workbench import zoo
from workbench.backends.tensorrt import SupportTable, TensorRT, adapter
from workbench.backends.tensorrt.live import Asker, Inquiry
from workbench.backends.tensorrt.skeleton import Skeleton
from workbench.errors import CancelledError, MissingDependencyError, ModelError
from workbench.graph import Graph, Node, TensorSpec
from workbench.model import Model, from_proto
from workbench.partitioning import Code
from workbench.progress import Cancel

pytestmark = pytest.mark.skipif(
    "tensorrt_rtx" not in adapter.installed(), reason="tensorrt_rtx is not installed"
)

FLOAT, HALF, STRING, BOOL, INT64 = (
    TensorProto.FLOAT,
    TensorProto.FLOAT16,
    TensorProto.STRING,
    TensorProto.BOOL,
    TensorProto.INT64,
)


@pytest.fixture(scope="module")
def rtx():
    backend = TensorRT("tensorrt_rtx", timeout=60)
    yield backend
    backend.close()


def value(name, shape=(3, 3), dtype=FLOAT):
    return helper.make_tensor_value_info(name, dtype, shape)


def node(op, inputs, outputs, name, **attributes):
    return helper.make_node(op, inputs, outputs, name=name, **attributes)


def message(nodes, inputs, outputs, consts=None, functions=(), known=()) -> onnx.ModelProto:
    consts = [numpy_helper.from_array(np.asarray(v), k) for k, v in (consts or {}).items()]
    graph = helper.make_graph(nodes, "g", inputs, outputs, consts, value_info=list(known))
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("acme", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10, functions=list(functions))


def model(*args, **kwargs) -> Model:
    return from_proto(message(*args, **kwargs))


def codes(capability) -> dict[str, str]:
    return {verdict.node: str(verdict.code) for verdict in capability.verdicts}


def test_the_source_names_product_and_version(rtx):
    asked = rtx.capability(model([node("Relu", ["x"], ["y"], "r")], [value("x")], [value("y")]))
    assert asked.source == f"TensorRT-RTX {rtx.version} parser"
    assert rtx.name == "tensorrt"
    assert codes(asked) == {"r": "taken"}


def test_nothing_to_ask_about(rtx):
    assert rtx.capability(model([], [value("x")], [value("x")])).verdicts == ()


def test_runs_between_failing_nodes_are_confirmed_and_the_words_kept(rtx):
    chain = [
        node("Relu", ["x"], ["a"], "first"),
        node("Unique", ["a"], ["b"], "unique"),
        node("Sigmoid", ["x"], ["c"], "second"),
        node("Foo", ["c"], ["d"], "foo", domain="acme"),
        node("Add", ["c", "x"], ["e"], "third"),
    ]
    outputs = [value("b", ("K",)), value("d"), value("e")]
    asked = rtx.capability(model(chain, [value("x")], outputs))
    assert codes(asked) == {
        "first": "taken", "unique": "unsupported_op", "second": "taken",
        "foo": "unsupported_op", "third": "taken",
    }  # fmt: skip
    assert "UNSUPPORTED_NODE: false" in asked.by_node["unique"].reason
    assert "table TensorRT 11.1 lists Unique as not supported" in asked.by_node["unique"].reason
    words = asked.by_node["unique"].reason
    assert words.startswith("TensorRT has no layer or plugin for operator Unique; ")
    assert "no layer or plugin for operator Foo of domain acme" in asked.by_node["foo"].reason
    assert "table" not in asked.by_node["foo"].reason


def test_an_error_while_importing_hides_none_of_the_later_ones(rtx):
    mixed = [
        node("Add", ["x", "h"], ["a"], "one"),
        node("Relu", ["x"], ["b"], "between"),
        node("Mul", ["b", "h"], ["c"], "two"),
        node("Exp", ["b"], ["d"], "after"),
        node("Sub", ["h", "d"], ["e"], "three"),
    ]
    asked = rtx.capability(
        model(
            mixed,
            [value("x"), value("h", dtype=HALF)],
            [value("a"), value("c"), value("e")],
            known=[value("b"), value("d")],
        )
    )
    assert codes(asked) == {
        "one": "unsupported_type", "between": "taken", "two": "unsupported_type",
        "after": "taken", "three": "unsupported_type",
    }  # fmt: skip
    assert "must have same input types" in asked.by_node["two"].reason
    assert "cudaError" not in asked.by_node["two"].reason


def test_an_attribute_it_cannot_take(rtx):
    pool = node("MaxPool", ["x"], ["y", "i"], "pool", kernel_shape=[2, 2])
    image = value("x", (1, 3, 8, 8))
    verdict = rtx.capability(
        model([pool], [image], [value("y", (1, 3, 7, 7)), value("i", (1, 3, 7, 7), INT64)])
    ).by_node["pool"]
    assert verdict.code is Code.UNSUPPORTED_ATTRIBUTE
    assert "no Indices output" in verdict.reason


@pytest.mark.parametrize(("zero", "taken"), [(0, True), (3, False)])
def test_values_of_small_constants_are_looked_at(rtx, zero, taken):
    quantize = node("QuantizeLinear", ["x", "s", "z"], ["q"], "q")
    back = node("DequantizeLinear", ["q", "s", "z"], ["y"], "dq")
    consts = {"s": np.float32(0.1), "z": np.int8(zero)}
    asked = rtx.capability(model([quantize, back], [value("x")], [value("y")], consts))
    assert asked.by_node["q"].taken is taken
    assert asked.by_node["dq"].taken is taken


def test_an_input_of_a_type_it_lacks_costs_its_readers_only(rtx):
    nodes = [
        node("Relu", ["x"], ["y"], "relu"),
        node("Identity", ["s"], ["t"], "text"),
        node("Exp", ["y"], ["z"], "exp"),
    ]
    inputs = [value("x"), value("s", (1,), STRING)]
    asked = rtx.capability(model(nodes, inputs, [value("z"), value("t", (1,), STRING)]))
    assert codes(asked) == {"relu": "taken", "text": "unsupported_type", "exp": "taken"}


def test_a_tensor_of_unknown_type_is_named(rtx):
    nodes = [
        node("Foo", ["x"], ["a"], "foo", domain="acme"),
        node("Relu", ["a"], ["b"], "relu"),
        node("Relu", ["x"], ["c"], "other"),
    ]
    asked = rtx.capability(model(nodes, [value("x")], [value("b"), value("c")]))
    assert asked.by_node["relu"].code is Code.UNKNOWN
    assert "its input a is not known" in asked.by_node["relu"].reason
    assert asked.by_node["other"].taken


def test_a_shape_computation_stays_whole(rtx):
    nodes = [
        node("Shape", ["x"], ["s"], "shape"),
        node("Gather", ["s", "zero"], ["n"], "gather"),
        node("Concat", ["n", "rest"], ["size"], "concat", axis=0),
        node("Reshape", ["x", "size"], ["y"], "reshape"),
        node("Det", ["x"], ["d"], "det"),
    ]
    consts = {"zero": np.array([0]), "rest": np.array([-1])}
    inputs = [value("x", ("N", 4, 4))]
    asked = rtx.capability(
        model(nodes, inputs, [value("y", ("N", 16)), value("d", ("N",))], consts)
    )
    assert asked.taken == {"shape", "gather", "concat", "reshape"}


def test_faults_in_bodies_and_functions_are_reported_at_the_outer_node(rtx):
    bad = helper.make_graph([node("Det", ["x"], ["p"], "inner")], "then", [], [value("p", ())])
    good = helper.make_graph(
        [node("ReduceSum", ["x"], ["q"], "sum", keepdims=0)], "else", [], [value("q", ())]
    )
    twice = helper.make_function(
        "acme", "Twice", ["a"], ["c"],
        [node("Relu", ["a"], ["b"], "r"), node("Det", ["b"], ["c"], "d")],
        [helper.make_opsetid("", 17)],
    )  # fmt: skip
    nodes = [
        node("Relu", ["x0"], ["x"], "relu"),
        node("If", ["c"], ["o"], "cond", then_branch=bad, else_branch=good),
        node("Twice", ["x"], ["t"], "call", domain="acme"),
    ]
    inputs = [value("x0"), value("c", (), BOOL)]
    asked = rtx.capability(
        model(nodes, inputs, [value("o", ()), value("t", ())], functions=[twice])
    )
    assert codes(asked) == {"relu": "taken", "cond": "unsupported_op", "call": "unsupported_op"}
    assert "inner (Det) inside cond (If) > then (then_branch)" in asked.by_node["cond"].reason
    assert "inside call (Twice)" in asked.by_node["call"].reason


def test_a_constant_that_cannot_be_computed_takes_its_users_along(rtx):
    nodes = [
        node("Det", ["k"], ["d"], "bad"),
        node("Add", ["x", "d"], ["a"], "user"),
        node("Exp", ["k"], ["e"], "good"),
        node("Add", ["a", "e"], ["y"], "other"),
    ]
    asked = rtx.capability(
        model(nodes, [value("x")], [value("y")], {"k": np.eye(3, dtype=np.float32)})
    )
    assert codes(asked) == {
        "bad": "unsupported_op", "user": "unsupported_op", "good": "taken", "other": "taken"
    }  # fmt: skip
    assert "constant that node bad (Det) computes" in asked.by_node["user"].reason


def test_nodes_out_of_order_are_named_right(rtx):
    proto = message(
        [node("Det", ["a"], ["d"], "det"), node("Relu", ["x"], ["a"], "relu")],
        [value("x")],
        [value("d", ())],
    )
    assert codes(rtx.capability(from_proto(proto))) == {"det": "unsupported_op", "relu": "taken"}


@pytest.mark.parametrize("as_node", [False, True])
def test_big_weights_stay_out_of_the_questions_and_change_no_answer(rtx, as_node):
    shapes = [(64, 64, 3, 3), (64, 64, 5, 5), (128, 64, 3, 3)]
    weights = {f"w{i}": np.ones(shape, np.float32) for i, shape in enumerate(shapes)}
    nodes, last = [], "x"
    for name in weights:
        nodes.append(node("Conv", [last, name], [f"y{name}"], f"conv_{name}"))
        last = f"y{name}"
    if as_node:
        made = [
            node("Constant", [], [k], f"c_{k}", value=numpy_helper.from_array(v, k))
            for k, v in weights.items()
        ]
        asked = model([*made, *nodes], [value("x", (1, 64, 32, 32))], [value(last, None)])
    else:
        asked = model(nodes, [value("x", (1, 64, 32, 32))], [value(last, None)], weights)
    skeleton = Skeleton(asked.graph, asked.ir)
    assert len(skeleton.piece(asked.graph.order)) < 4000
    assert skeleton.left_out >= sum(v.nbytes for v in weights.values())
    assert all(verdict.taken for verdict in rtx.capability(asked).verdicts)


def test_a_second_question_is_answered_from_memory(rtx):
    asked = zoo.load("digits_resnet")
    first = rtx.capability(asked)
    rtx.close()
    again = rtx.capability(asked)
    assert again == first
    assert rtx._asker.worker.pid is None


def test_every_digits_node_is_taken(rtx):
    for name in ("digits_inception", "digits_resnet"):
        network = zoo.load(name)
        assert rtx.capability(network).taken == set(network.graph.position)


def test_resnet50_takes_less_than_two_seconds(rtx):
    network = zoo.load("resnet50")
    rtx.close()
    begun = time.perf_counter()
    asked = rtx.capability(network)
    assert time.perf_counter() - begun < 2
    assert len(asked.taken) == len(network.graph.nodes)


def test_ten_unsupported_nodes_take_less_than_five_seconds(rtx):
    proto = zoo.load("resnet50").to_proto()
    tensors = [n.output[0] for n in proto.graph.node if n.op_type == "Relu"][:10]
    for i, tensor in enumerate(tensors):
        proto.graph.node.append(node("Unique", [tensor], [f"u{i}"], f"bad{i}"))
        proto.graph.output.append(value(f"u{i}", ("K",)))
    network = from_proto(proto)
    rtx.close()
    begun = time.perf_counter()
    asked = rtx.capability(network)
    assert time.perf_counter() - begun < 5
    assert {v.node for v in asked.verdicts if not v.taken} == {f"bad{i}" for i in range(10)}


def test_a_question_can_be_cancelled(rtx):
    cancel = Cancel()
    cancel.set()
    asked = model([node("Selu", ["x"], ["y"], "never asked before")], [value("x")], [value("y")])
    with pytest.raises(CancelledError):
        rtx.capability(asked, cancel=cancel)


def killer(length: int) -> tuple[Graph, onnx_ir.Model]:
    """A chain of Relus with one function that calls itself, which ends the parser's stack."""
    function = helper.make_function(
        "acme", "Again", ["a"], ["c"],
        [node("Relu", ["a"], ["b"], "r"), node("Again", ["b"], ["c"], "g", domain="acme")],
        [helper.make_opsetid("", 17), helper.make_opsetid("acme", 1)],
    )  # fmt: skip
    nodes = [node("Relu", [f"t{i}"], [f"t{i + 1}"], f"relu{i}") for i in range(length)]
    nodes.insert(length // 2, node("Again", ["t1"], ["k"], "killer", domain="acme"))
    proto = message(
        nodes, [value("t0")], [value("k"), value(f"t{length}")], functions=[function],
        known=[value(f"t{i}") for i in range(1, length)],
    )  # fmt: skip
    graph = Graph(
        "g", (TensorSpec("t0", "float32", (3, 3)),),
        (TensorSpec("k"), TensorSpec(f"t{length}")),
        tuple(Node(n.name, n.op_type, n.domain, tuple(n.input), tuple(n.output)) for n in nodes),
    )  # fmt: skip
    return graph, onnx_ir.from_proto(proto)


def test_a_node_that_kills_the_parser_is_found_and_the_rest_judged():
    graph, ir = killer(12)
    asker = Asker("tensorrt_rtx", "a test", timeout=60)
    try:
        inquiry = Inquiry(Skeleton(graph, ir), asker, "the parser", SupportTable.newest().note)
        verdicts = {verdict.node: verdict for verdict in inquiry.verdicts()}
    finally:
        asker.worker.close()
    assert verdicts["killer"].code is Code.UNKNOWN
    assert "the parser died on this node" in verdicts["killer"].reason
    assert "SIGSEGV" in verdicts["killer"].reason
    assert sum(verdict.taken for verdict in verdicts.values()) == 12


def test_a_model_beyond_two_gigabytes_is_asked_without_its_weights(rtx):
    size = 1 << 14
    names = [f"w{i}" for i in range(3)]
    weight = np.broadcast_to(np.float32(0), (size, size))  # 1 GiB each, no memory behind it
    values = {name: onnx_ir.Value(name=name, const_value=onnx_ir.Tensor(weight, name=name))
              for name in names}  # fmt: skip
    x = onnx_ir.Value(name="x", type=onnx_ir.TensorType(onnx_ir.DataType.FLOAT),
                      shape=onnx_ir.Shape([1, size]))  # fmt: skip
    nodes, last = [], x
    for name in names:
        made = onnx_ir.Node("", "MatMul", [last, values[name]], name=f"mul_{name}")
        made.outputs[0].name = f"y_{name}"
        nodes.append(made)
        last = made.outputs[0]
    last.type, last.shape = x.type, x.shape
    graph = onnx_ir.Graph(
        [x], [last], nodes=nodes, initializers=list(values.values()), opset_imports={"": 17}
    )
    plain = Graph(
        "g", (TensorSpec("x", "float32", (1, size)),), (TensorSpec("y_w2"),),
        tuple(Node(n.name, "MatMul", "", tuple(v.name for v in n.inputs),
                   (n.outputs[0].name,)) for n in nodes),
        tuple(TensorSpec(name, "float32", (size, size)) for name in names),
    )  # fmt: skip
    skeleton = Skeleton(plain, onnx_ir.Model(graph, ir_version=10))
    inquiry = Inquiry(skeleton, rtx._asker, "the parser", SupportTable.newest().note)
    assert all(verdict.taken for verdict in inquiry.verdicts())
    assert skeleton.left_out == 3 << 30


def test_a_missing_package_is_named_with_what_to_install():
    if "tensorrt_bindings" in adapter.installed():
        pytest.skip("the bare bindings are installed here")
    with pytest.raises(MissingDependencyError, match="pip install tensorrt-rtx"):
        TensorRT("tensorrt_bindings")
    with pytest.raises(ValueError, match="must be one of"):
        TensorRT("torch")
    with pytest.raises(ValueError, match="timeout is nan"):
        TensorRT(timeout=float("nan"))


# Operators of which the parser of TensorRT-RTX and the table of 11.1 are known to differ, in at
# least one of ONNX's own node tests; docs/tensorrt.md says how.
PARSER_TAKES_MORE = {
    "Add", "Attention", "AveragePool", "Cast", "CumSum", "Div", "Equal", "Greater",
    "GreaterOrEqual", "GridSample", "Identity", "LSTM", "Less", "LessOrEqual", "Max", "MaxPool",
    "Min", "Mul", "Resize", "Sub",
}  # fmt: skip
TABLE_TAKES_MORE = {
    "Attention", "BatchNormalization", "Celu", "DeformConv", "DequantizeLinear", "LpPool",
    "MatMul", "Mod", "Range", "Resize", "RoiAlign", "ScatterElements",
    "TensorScatter", "Upsample",
}  # fmt: skip


@pytest.mark.slow
def test_the_table_of_11_1_agrees_with_the_live_parser_but_for_known_differences(rtx):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numpy complains of the values of some test data
        from onnx.backend.test.case.node import collect_testcases

        cases = [case for case in collect_testcases(None) if len(case.model.graph.node) == 1]
    table, agree, more, less, total = SupportTable("11.1"), 0, set(), set(), 0
    for case in cases:
        try:
            asked = from_proto(case.model)
        except ModelError:  # an input without elements, which no engine has
            continue
        (live,), (said,) = rtx.capability(asked).verdicts, table.capability(asked).verdicts
        total += 1
        agree += live.taken == said.taken
        if live.taken != said.taken:
            (more if live.taken else less).add(asked.graph.nodes[0].op_type)
    assert total > 1200
    assert agree / total > 0.9
    assert more <= PARSER_TAKES_MORE
    assert less <= TABLE_TAKES_MORE
