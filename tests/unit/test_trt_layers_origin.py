"""Layers back to ONNX nodes, and the account of every node."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.backends.base import LAYER_DOMAIN, executed
from workbench.backends.tensorrt.engine import accounted
from workbench.backends.tensorrt.layers import (
    EngineLayers,
    Layer,
    LayerTensor,
    Resolver,
    account,
    gather,
    read,
    read_build_log,
    to_graph,
)
from workbench.backends.tensorrt.layers.names import metadata_names, name_parts
from workbench.graph import Graph, Node, TensorSpec

GOLDEN = Path(__file__).parents[1] / "golden" / "tensorrt"


def node(name, kind, inputs, outputs, **attributes):
    return Node(name, kind, "", tuple(inputs.split()), tuple(outputs.split()), attributes)


def graph_of(nodes, inputs="x", outputs="y", weights=""):
    def specs(text):
        return tuple(TensorSpec(name) for name in text.split())

    return Graph("g", specs(inputs), specs(outputs), tuple(nodes), specs(weights))


def chain(*names, kind="Relu"):
    """x -> t0 -> t1 ... -> y, one node per name."""
    last = len(names) - 1
    return graph_of(
        node(name, kind, "x" if i == 0 else f"t{i - 1}", "y" if i == last else f"t{i}")
        for i, name in enumerate(names)
    )


def cnn(quantized=False):
    """The network behind the golden files of TensorRT 8.6 and TensorRT-RTX."""
    nodes, weights = [], []

    def conv(name, read_, written):
        weights.append(f"{name}.weight")
        if quantized:
            for part, tensor in (("in", read_), ("w", f"{name}.weight")):
                at = f"{name}/{part}"
                nodes.append(node(f"{at}/Q", "QuantizeLinear", f"{tensor} s z", f"{at}/q"))
                nodes.append(node(f"{at}/DQ", "DequantizeLinear", f"{at}/q s z", f"{at}/d"))
            nodes.append(node(name, "Conv", f"{name}/in/d {name}/w/d", written))
        else:
            nodes.append(node(name, "Conv", f"{read_} {name}.weight", written))

    conv("stem/Conv", "x", "stem/Conv_o")
    nodes.append(node("stem/Relu", "Relu", "stem/Conv_o", "stem_r"))
    at = "stem_r"
    for b in ("b0", "b1"):
        conv(f"{b}/conv1", at, f"{b}/conv1_o")
        nodes.append(node(f"{b}/Relu1", "Relu", f"{b}/conv1_o", f"{b}_r1"))
        conv(f"{b}/conv2", f"{b}_r1", f"{b}/conv2_o")
        nodes.append(node(f"{b}/Add", "Add", f"{b}/conv2_o {at}", f"{b}_a"))
        nodes.append(node(f"{b}/Relu2", "Relu", f"{b}_a", f"{b}_r2"))
        at = f"{b}_r2"
    nodes += [
        node("gap", "GlobalAveragePool", at, "gap"),
        node("flatten", "Flatten", "gap", "flat"),
        node("fc", "MatMul", "flat fc.weight", "y"),
    ]
    return graph_of(nodes, weights=" ".join([*weights, "fc.weight", "s", "z"]))


def engine_in(name):
    found = read(GOLDEN / name)
    assert isinstance(found, EngineLayers)
    return found


@pytest.mark.parametrize(
    ("name", "quantized"),
    [
        ("trt8.6-cnn-fp16.layers.json", False),
        ("rtx1.7-cnn-int8.layers.txt", True),
        ("rtx1.7-two-profiles.log", False),
        ("rtx1.7-summary.log", False),
    ],
)
def test_every_node_of_a_real_network_is_accounted_for(name, quantized):
    original = cnn(quantized)
    graph = to_graph(engine_in(name), original)
    found = account(original, graph)
    assert found.missing == ()
    assert found.complete
    counted = [*found.layer, *found.folded, *found.removed]
    assert sorted(counted) == sorted(one.name for one in original.nodes)
    assert set(found.removed) <= {"flatten"}
    assert all(layer in graph.position for layers in found.layer.values() for layer in layers)


def test_a_node_whose_layers_are_gone_is_missing_and_so_is_what_hung_on_it():
    original = cnn()
    engine = engine_in("trt8.6-cnn-fp16.layers.json")
    for lost, missing in (("b0/conv1", ("b0/conv1", "b0/Relu1")), ("gap", ("gap", "flatten"))):
        left = tuple(one for one in engine.layers if lost not in one.origin)
        found = account(original, to_graph(EngineLayers("inspector", left), original))
        assert found.missing == missing
    nothing = account(original, to_graph(EngineLayers("inspector", ()), original))
    assert len(nothing.missing) == len(original.nodes)


def test_a_helper_counts_only_where_no_other_layer_runs_the_node():
    original = cnn()
    graph = to_graph(engine_in("trt8.6-cnn-fp16.layers.json"), original)
    found = account(original, graph)
    assert found.layer["fc"] == ("fc",)
    assert found.layer["b0/Add"] == ("b0/conv2 + b0/Add + b0/Relu2",)
    reformat = graph.nodes[0]
    assert reformat.attributes["helper"] == "reformat"
    assert reformat.origin == ("stem/Conv", "stem/Relu")


ENGINES = [
    pytest.param(engine, id=f"{file.name}-{i}")
    for file in sorted(GOLDEN.rglob("*"))
    if file.suffix in (".json", ".log", ".txt")
    for i, engine in enumerate(gather([file]).engines)
    if any(layer.origin for layer in engine.layers)
]


@pytest.mark.parametrize("engine", ENGINES)
def test_layers_of_every_version_keep_the_contract_of_engines(engine):
    """Also TensorRT's own ones, which have no node behind them."""
    names = dict.fromkeys(name for layer in engine.layers for name in layer.origin)
    original = chain(*names)
    graph = accounted(to_graph(engine, original), original)
    assert {name for layer in graph.nodes for name in layer.origin} == set(names)
    for layer in executed(graph):
        assert layer.attributes["precision"]
        assert layer.origin or layer.domain == LAYER_DOMAIN


@pytest.mark.parametrize(
    ("metadata", "names"),
    [
        ("[ONNX Layer: a]__gemm_from_conv1x1", ("a",)),
        ("[ONNX Layer: a]__gemm_from_conv1x1\x1f[ONNX Layer: b]", ("a", "b")),
        ("[ONNX Layer: a]__b]\x1f[ONNX Layer: c]__d]", ("a]__b", "c]__d")),
    ],
)
def test_what_the_compiler_adds_behind_a_metadata_entry_is_no_name(metadata, names):
    assert metadata_names(metadata) == names


def pointwise(names: str, metadata: str) -> list[tuple[str, ...]]:
    """Origins of two kernels over conv -> bn -> relu -> pool; the second runs the rest."""
    network = graph_of(
        [
            node("conv", "Conv", "x w", "a"),
            node("bn", "BatchNormalization", "a s b m v", "n"),
            node("relu", "Relu", "n", "r"),
            node("pool", "GlobalAveragePool", "r", "y"),
        ],
        weights="w s b m v",
    )
    layers = [
        Layer(name, "kgen", metadata=f"[ONNX Layer: {one}]")
        for name, one in zip(names.split(), metadata.split(), strict=True)
    ]
    return Resolver(network).origins(layers)


@pytest.mark.parametrize(
    ("names", "found"),
    [
        ("__myl_FcMulAddRelu_myl0_1 __myl_Mean_myl0_2", [("conv", "bn", "relu"), ("pool",)]),
        ("__mye1_myl0_1 __myl_MulAddReluMoveReshMean_myl0_2", [("conv",), ("bn", "relu", "pool")]),
        ("__myl_FcMulAdd_myl0_1 __myl_ReluMean_myl0_2", [("conv", "bn"), ("relu", "pool")]),
        ("__myl_FcMul_myl0_1 __myl_Mean_myl0_2", [("conv",), ("pool",)]),
    ],
)
def test_a_kernels_own_name_spells_the_nodes_that_its_metadata_leaves_out(names, found):
    assert pointwise(names, "conv pool") == found


HOSTILE = ("a + b", "c, d", "[e]", "f)", "{g}", "h || i", "j...k", "PWN(l, m)", "n]}", "o")


def test_known_names_win_over_the_syntax():
    original = chain(*HOSTILE)
    resolver = Resolver(original)
    for name in (" + ".join(HOSTILE), f"PWN({', '.join(HOSTILE)})", " || ".join(HOSTILE)):
        assert tuple(resolver.in_name(name)) == HOSTILE
    assert resolver.in_name("PWN(PWN(a + b), c, d) + [e] || o") == ["a + b", "c, d", "[e]", "o"]
    assert resolver.in_name("Reformatting CopyNode for Input Tensor 1 to c, d + f)") == [
        "c, d", "f)"
    ]  # fmt: skip


@given(
    st.lists(
        st.text(alphabet="ab +|,.()[]{}", min_size=1, max_size=9),
        min_size=1,
        max_size=6,
        unique=True,
    )
)
def test_metadata_gives_back_any_names(names):
    """Exact for every name: only the text between two names could look like the joint."""
    original = chain(*names)
    for joint in "\x1e\x1f":
        metadata = joint.join(f"[ONNX Layer: {name}]" for name in names)
        assert metadata_names(metadata) == tuple(names)
        (origin,) = Resolver(original).origins([Layer("__myl_X_myl0_0", metadata=metadata)])
        assert origin == tuple(names)


@given(
    st.lists(
        st.text(alphabet="abcde_/.:", min_size=1, max_size=6), min_size=1, max_size=6, unique=True
    ),
    st.sampled_from((" + ", " || ")),
)
def test_fused_names_of_plain_nodes_resolve_exactly(names, joint):
    assert Resolver(chain(*names)).in_name(joint.join(names)) == names


def test_a_region_holds_the_paths_between_its_ends():
    """a -> b -> d, a -> c -> d, d -> e; f stands beside."""
    original = graph_of(
        [
            node("a", "Relu", "x", "ta"),
            node("b", "Relu", "ta", "tb"),
            node("c", "Relu", "ta", "tc"),
            node("d", "Add", "tb tc", "td"),
            node("e", "Relu", "td", "y"),
            node("f", "Relu", "x", "z"),
        ],
        outputs="y z",
    )
    region = Layer("{ForeignNode[a...d]}")
    other = Layer("c")
    assert Resolver(original).origins([region, Layer("e")]) == [("a", "b", "c", "d"), ("e",)]
    assert Resolver(original).origins([region, other]) == [("a", "b", "d"), ("c",)]
    assert Resolver(original).origins([Layer("{ForeignNode[f]}")]) == [("f",)]
    assert Resolver(original).origins([Layer("{ForeignNode[none...nowhere]}")]) == [()]


def test_a_region_with_several_ways_in_is_filled_between_its_tensors():
    """b reads t through a copy of TensorRT's; first and last node alone would miss side and up."""
    original = graph_of(
        [
            node("up", "Relu", "x", "t"),
            node("a", "Relu", "t", "ta"),
            node("side", "Relu", "t", "ts"),
            node("last", "Add", "ta ts", "tl"),
            node("end", "Relu", "tl", "y"),
        ]
    )
    region = Layer(
        "{ForeignNode[a...last]}",
        inputs=(LayerTensor("Reformatted Input Tensor 0 to {ForeignNode[a...last]}"),),
        outputs=(LayerTensor("Reformatted Output Tensor 0 to {ForeignNode[a...last]}"),),
    )
    copies = [
        Layer("in", helper="reformat", inputs=(LayerTensor("t"),), outputs=region.inputs),
        Layer("out", helper="reformat", inputs=region.outputs, outputs=(LayerTensor("tl"),)),
    ]
    origins = Resolver(original).origins([copies[0], region, copies[1], Layer("up")])
    assert origins[1] == ("a", "side", "last")


def test_a_region_may_end_in_a_weight_or_in_names_with_dots():
    original = graph_of(
        [node("a...b", "MatMul", "x w", "t"), node("c", "Relu", "t", "y")], weights="w"
    )
    for name in ("{ForeignNode[a...b...c]}", "{ForeignNode[w...c]}"):
        assert Resolver(original).origins([Layer(name)]) == [("a...b", "c")]
    shuffled = "{ForeignNode[w + (Unnamed Layer* 5) [Shuffle]...c]}"
    assert Resolver(original).origins([Layer(shuffled)]) == [("a...b", "c")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("conv", "conv"),
        ("conv_clone_1", "conv"),
        ("conv [profile 2]_myl11_3", "conv"),
        ("conv_2_myl5_3", "conv"),
        ("node_of_t0", "conv"),
        ("inner | f (Twice) | conv (Twice)", "conv"),
        ("inner | node_of_t0 (Twice)", "conv"),
        ("q_quantize_scale_node", "q"),
        ("in loop", "loop"),
        ("node_of_deep", "loop"),
        ("say_hi__", 'say"hi"\\'),
        ("other", ""),
        ("", ""),
    ],
)
def test_one_name_many_writings(text, expected):
    deep = graph_of([node("deeper", "Relu", "x", "deep")], outputs="deep")
    body = graph_of([node("in loop", "If", "x", "y", then_branch=deep)])
    original = graph_of(
        [
            node("conv", "Conv", "x", "t0"),
            node("q", "QuantizeLinear", "t0", "t1"),
            node('say"hi"\\', "Relu", "t1", "t2"),
            node("loop", "Loop", "t2", "y", body=body),
        ]
    )
    assert Resolver(original).node(text) == expected


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("a + b", ("a", "b")),
        ("PWN(PWN(a), b)", ("a", "b")),
        ("a || b || c", ("a", "b", "c")),
        ("[a + b] || [c]", ("a", "b", "c")),
        ("{ForeignNode[a...b]}", ("a", "b")),
        ("Reformatting CopyNode for Output Tensor 0 to a + PWN(b, c)", ("a", "b", "c")),
        ("copied_squeeze_after_(Unnamed Layer* 307) [ElementWise]", ()),
        ("conv1.weight + QuantizeLinear_7 + Conv_9", ("QuantizeLinear_7", "Conv_9")),
        ("QuantizeLinear_7_quantize_scale_node", ("QuantizeLinear_7",)),
        ("reshape_after_fc", ("fc",)),
        ("fc [profile 1]_myl1_9", ("fc",)),
        ("a_clone_1 + b", ("a", "b")),
        ("a) + b", ("a)", "b")),
        ("__myl_MulSum_myl4_1", ()),
        ("$$myelin$$(Unnamed Loop* 1)^ElementWise 2_to_add_myl0_13", ()),
    ],
)
def test_parts_of_a_name_without_a_graph(name, parts):
    assert name_parts(name) == parts


def test_hostile_names_of_a_real_build_come_back():
    names = (
        "a + b, LayerType: evil", "relu [x] {y...z}", "ident", "drop", 'conv"quoted" \\ back',
        "Metadata: [ONNX Layer: fake]", "PWN(a, b)", "mul || two", "resh", "mm é 漢", "tab\tname",
        "softmax", "cast",
    )  # fmt: skip
    kinds = {"ident": "Identity", "drop": "Dropout", "resh": "Reshape"}
    nodes = [
        node(name, kinds.get(name, "Relu"), "x" if not i else f"t{i - 1}", f"t{i}")
        for i, name in enumerate(names)
    ]
    # The softmax had no name: TensorRT calls it after its output.
    nodes[11] = node("softmax", "Softmax", "t10", "y")
    nodes[12] = node("cast", "Cast", "y", "yc")
    original = graph_of(nodes, outputs="y yc")
    found = account(original, to_graph(engine_in("rtx1.7-names.log"), original))
    assert found.missing == ()
    assert set(found.removed) == {"ident", "drop", "resh"}
    assert found.layer["PWN(a, b)"] == ("__myl_Silu_myl0_4",)
    assert len(found.layer["softmax"]) == 2


def test_if_loop_and_function_of_a_real_build_have_their_layers():
    then = graph_of([node("If_1.then_branch.Mul_1", "Mul", "a", "t1")], outputs="t1")
    body = graph_of([node("Loop_6.body.Add_2", "Add", "a", "so")], outputs="so")
    nodes = (
        Node("Relu_0", "Relu", "", ("x",), ("a",)),
        Node("If_1", "If", "", ("c",), ("b",), {"then_branch": then}, (), ("a",)),
        Node("twice_2", "twice", "loc", ("b",), ("f1",)),
        Node("Neg_3", "Neg", "", ("f1",), ("y",)),
        Node("Constant_4", "Constant", "", (), ("trip",)),
        Node("Loop_6", "Loop", "", ("trip", "", "y"), ("z",), {"body": body}, (), ("a",)),
    )
    original = graph_of(nodes, inputs="x c", outputs="y z")
    graph = to_graph(engine_in("rtx1.7-control-flow.log"), original)
    found = account(original, graph)
    assert found.missing == ()
    assert found.folded == {"Constant_4": "a constant"}
    assert "__myl_Silu_myl0_7" in found.layer["If_1"]
    assert found.layer["twice_2"] == ("__myl_AddExpNegMove_myl0_11",)
    assert "__myl_Sin_myl0_14" in found.layer["Loop_6"]
    jumps = [one.name for one in graph.nodes if one.attributes.get("helper") == "control"]
    assert len(jumps) == 4


def test_reasons_of_nodes_that_run_nowhere():
    def typed(name, shape=None, dtype="float32"):
        return TensorSpec(name, dtype, shape)

    nodes = (
        node("k", "Constant", "", "k0"),
        node("kk", "Add", "k0 w", "k1"),
        node("conv", "Conv", "x k1", "c"),
        node("bias", "Add", "c w", "cb"),
        node("same", "Cast", "cb", "cs"),
        node("unused", "Exp", "cb", "nobody"),
        node("shape", "Shape", "cs", "s0"),
        node("extent", "Gather", "s0 w", "s1"),
        node("static", "Shape", "fixed", "s2"),
        node("view", "Reshape", "cs s1", "v"),
        node("moved", "Transpose", "v", "m"),
        node("dice", "RandomNormal", "", "r"),
        node("sum", "Add", "m r", "y"),
    )
    original = Graph(
        "g", (typed("x"), typed("fixed", (1, 2))), (typed("y"),), nodes, (typed("w"),),
        (typed("cb"), typed("cs")),
    )  # fmt: skip
    engine = read(json.dumps({"Layers": ["conv", "sum"]}))
    assert isinstance(engine, EngineLayers)
    found = account(original, to_graph(engine, original))
    assert found.folded == {
        "k": "a constant",
        "kk": "all its inputs are constants",
        "static": "the shape of 'fixed' is fixed",
    }
    assert set(found.removed) == {"bias", "same", "unused", "shape", "extent", "view", "moved"}
    assert found.removed["same"] == "casts to the type it has"
    assert found.removed["unused"] == "nothing uses what it computes"
    assert found.removed["extent"].startswith("computes only shapes")
    assert found.missing == ("dice",)


def test_read_build_log_takes_the_text_an_adapter_collects():
    text = (GOLDEN / "rtx1.7-two-profiles.log").read_text()
    plain = text.replace("[VERBOSE] ", "").replace("[INFO] ", "")
    assert read_build_log(plain).layers == read_build_log(text).layers


@pytest.mark.parametrize(
    "name", ["trt8.6-cnn-fp16.layers.json", "trt10.16-layers.json", "trt10.16-two-profiles.log"]
)
def test_names_alone_tell_what_the_metadata_tells(name):
    """8.4 and 8.5 have no metadata: where there is some, the name must give the same nodes."""
    (engine,) = gather([GOLDEN / name]).engines
    original = chain(*dict.fromkeys(node for layer in engine.layers for node in layer.origin))
    resolver = Resolver(original)
    fused = [layer for layer in engine.layers if layer.metadata and "_myl" not in layer.name]
    assert len(fused) > 3
    for layer in fused:
        assert tuple(resolver.in_name(layer.name)) == layer.origin == name_parts(layer.name)
