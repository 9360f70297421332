"""Readers of engine files: real files of TensorRT 8.4 to 11 and TensorRT-RTX, and damaged ones."""

import json
import math
import os
import re
from pathlib import Path

import pytest

from workbench.backends.tensorrt.layers import (
    Bundle,
    EngineLayers,
    Profile,
    Timing,
    gather,
    join,
    read,
    read_build_log,
    spread,
    to_graph,
)
from workbench.backends.tensorrt.layers.formats import dtype_of, layout_of
from workbench.backends.tensorrt.layers.loose import documents
from workbench.errors import ModelError

GOLDEN = Path(__file__).parents[1] / "golden" / "tensorrt"
SHARED = Path(__file__).parents[3] / "shared" / "trt" / "artifacts"
FILES = sorted(
    file
    for folder in (GOLDEN, SHARED)
    for file in folder.rglob("*")
    if file.is_file() and not file.name.endswith((".onnx", ".md"))
)

WITHOUT_ENGINE = re.compile(r"metadata|profile\.json|trtexec-(build-)?result|trtexec10")


def engine_in(name: str) -> EngineLayers:
    return gather([GOLDEN / name]).engines[-1]


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.name}")
def test_every_real_file_reads_or_is_refused_with_what_was_expected(file):
    holds_engine = any(
        mark in file.read_text(errors="replace")
        for mark in ('"Layers"', "Layers:\n", "Engine Layer Information:")
    )
    if not holds_engine and not WITHOUT_ENGINE.search(file.name):
        with pytest.raises(ModelError, match=r"expected|VERBOSE") as caught:
            read(file)
        assert file.name in str(caught.value)
        return
    found = gather([file])
    assert bool(found.engines) == holds_engine
    for engine in found.engines:
        graph = to_graph(engine, profile=None)
        assert len(graph.nodes) == len(engine.layers) > 0
        assert len(graph.order) == len(graph.nodes)
        assert engine.bindings
        assert {one.mode for one in engine.bindings} == {"input", "output"}
        named = [layer for layer in engine.layers if not layer.helper]
        assert all(layer.origin or layer.name.startswith("{ForeignNode[(") for layer in named)


@pytest.mark.parametrize(
    ("name", "form", "version", "layers", "profiles"),
    [
        ("trex-qat/resnet-qat.onnx.engine.graph.json", "8.2-8.5", "", 37, 1),
        ("trt8.6-cnn-fp16.layers.json", "8.6-10", "", 10, 1),
        ("trt10.16-layers.json", "8.6-10", "", 9, 1),
        ("trt10.16-two-profiles.log", "8.6-10", "", 26, 2),
        ("trtexec10.16-layers.log", "8.6-10", "10.16.1", 9, 1),
        ("trt11.0-layers.json", "11", "", 13, 1),
        ("rtx1.7-cnn-int8.layers.txt", "11", "", 13, 1),
        ("rtx1.7-two-profiles.log", "11", "", 20, 2),
        ("rtx1.7-summary.log", "", "", 1, 1),
        ("trt10.16-summary.log", "", "", 2, 1),
    ],
)
def test_forms(name, form, version, layers, profiles):
    engine = engine_in(name)
    assert (engine.form, engine.version) == (form, version)
    assert (len(engine.layers), engine.profiles) == (layers, profiles)


def test_raw_control_characters_and_a_fused_half_precision_layer_of_8_6():
    layer = engine_in("trt8.6-cnn-fp16.layers.json").layers[1]
    assert layer.name == "stem/Conv + stem/Relu"
    assert layer.type == "CaskConvolution"
    assert layer.metadata == "[ONNX Layer: stem/Conv]\x1e[ONNX Layer: stem/Relu]"
    assert layer.origin == ("stem/Conv", "stem/Relu")
    assert (layer.precision, layer.stream, layer.helper) == ("float16", 0, "")
    assert layer.tactic.startswith("sm80_xmma_fprop_implicit_gemm_indexed_wo_smem")
    assert layer.attributes["Kernel"] == [3, 3]
    (output,) = layer.outputs
    assert (output.name, output.dtype, output.shape) == ("stem_r", "float16", (4, 32, 64, 64))
    assert (output.layout, output.location) == ("HWC8", "Device")
    assert layer.inputs[0].layout == "HWC4"


def test_json_and_text_of_one_engine_say_the_same():
    from_json = engine_in("trt10.16-layers.json").layers
    from_text = engine_in("trtexec10.16-layers.log").layers
    assert [one.name for one in from_json] == [one.name for one in from_text]
    for one, other in zip(from_json, from_text, strict=True):
        assert (one.type, one.inputs, one.outputs) == (other.type, other.inputs, other.outputs)
        assert (one.origin, one.metadata) == (other.origin, other.metadata)
        assert (one.precision, one.helper) == (other.precision, other.helper)
        # The log is of a second build: it chose another tactic for one layer.
        assert {**one.attributes, "TacticValue": 0} == {**other.attributes, "TacticValue": 0}


def test_a_layer_list_of_version_11_has_constants_and_ranges():
    engine = engine_in("rtx1.7-cnn-int8.layers.txt")
    x, y = engine.bindings
    assert (x.name, x.mode, x.dtype, x.shape) == ("x", "input", "float32", ("?", 3, 64, 64))
    assert x.ranges == (((1, 3, 64, 64), (4, 3, 64, 64), (8, 3, 64, 64)),)
    assert (y.name, y.mode, y.ranges) == ("y", "output", ())
    assert engine.facts == {"Multi-Device": "Disabled"}
    conv = engine.layers[2]
    assert (conv.name, conv.precision) == ("stem/Conv_myl0_2", "int8")
    assert [one.dtype for one in conv.constants] == ["int8", "float32", "float32"]
    assert conv.origin == ("stem/Conv", "stem/Conv/in/DQ", "stem/Conv/w/DQ", "stem/Conv/w/Q")
    graph = to_graph(engine)
    assert [spec.name for spec in graph.inputs] == ["x"]
    assert [spec.name for spec in graph.outputs] == ["y"]
    assert "__mye3328_dconst_myl0" in {spec.name for spec in graph.initializers}


def test_helpers_are_marked():
    helpers = {
        layer.name: layer.helper
        for name in ("trt8.6-cnn-fp16.layers.json", "trt11.0-layers.json", "rtx1.7-names.log")
        for layer in engine_in(name).layers
        if layer.helper
    }
    assert helpers == {
        "Reformatting CopyNode for Input Tensor 0 to stem/Conv + stem/Relu": "reformat",
        "Reformatting CopyNode for Input Tensor 0 to reshape_after_fc": "reformat",
        "reshape_after_fc": "noop",
        "__mye1085_myl0_0": "bookkeeping",
        "__mye1087_myl0_12": "bookkeeping",
        "__myl_Move_myl0_1": "copy",
        "__myl_CastReshCast_myl0_11": "copy",
        "__mye435_0_myl0_0": "shape",
    }


def test_quantizing_reformats_are_the_models_own_work():
    layers = {
        layer.name: layer
        for layer in engine_in("trex-qat/resnet-qat.onnx.engine.graph.json").layers
    }
    first = layers["QuantizeLinear_2"]
    assert (first.type, first.helper, first.origin) == ("Reformat", "", ("QuantizeLinear_2",))
    fused = layers["conv1.weight + QuantizeLinear_7 + Conv_9"]
    assert (fused.origin, fused.precision) == (("QuantizeLinear_7", "Conv_9"), "int8")


def test_layers_of_a_second_profile_are_told_apart_even_where_no_name_says_so():
    engine = engine_in("trt10.16-two-profiles.log")
    profiles = {layer.name: layer.profile for layer in engine.layers}
    assert profiles["__mye260_0_myl5_0"] == 0
    assert profiles["__mye260_0_myl11_0"] == 1
    assert profiles["__myl_CastReshCast_myl11_6"] == 1
    first, second = to_graph(engine), to_graph(engine, profile=1)
    assert [one.origin for one in first.nodes] == [one.origin for one in second.nodes]
    assert len(to_graph(engine, profile=None).nodes) == 26
    assert [spec.name for spec in second.inputs] == ["x [profile 1]"]
    assert [spec.name for spec in second.outputs] == ["y [profile 1]", "z [profile 1]"]


def test_names_of_layers_are_kept_whole_where_they_look_like_fields():
    engine = engine_in("rtx1.7-names.log")
    assert engine.layers[2].name == "a + b, LayerType: evil_myl0_2"
    assert engine.layers[2].origin == ("a + b, LayerType: evil", "relu [x] {y...z}")
    assert engine.layers[3].origin == ('conv"quoted" \\ back', "Metadata: [ONNX Layer: fake]")


def test_names_only_layers():
    engine = read(json.dumps({"Layers": ["a + b", "__myl_X_myl0_0"], "Bindings": ["x", "y"]}))
    assert isinstance(engine, EngineLayers)
    assert engine.source == "inspector names"
    assert [layer.origin for layer in engine.layers] == [("a", "b"), ()]
    assert [node.name for node in to_graph(engine).nodes] == ["a + b", "__myl_X_myl0_0"]


@pytest.mark.parametrize("joint", ["\n", "", ",\n"])
def test_several_engines_in_one_file(joint):
    one = json.dumps({"Layers": [{"Name": "a", "LayerType": "k"}]})
    found = read(one + joint + one)
    assert isinstance(found, Bundle)
    assert len(found.engines) == 2
    listed = read(f"[{one},{one}]")
    assert isinstance(listed, Bundle)
    assert len(listed.engines) == 2
    assert len(gather([f'{{"first": {one}, "second": {one}}}']).engines) == 2


def test_json_inside_a_log_and_single_layers():
    layer = '{"Name": "a", "LayerType": "k", "Metadata": "[ONNX Layer: n]"}'
    found = read(f'[V] [TRT] printing\nEngine:\n{{"Layers": [{layer}]}}\ndone')
    assert isinstance(found, EngineLayers)
    assert found.layers[0].origin == ("n",)
    single = read(layer)
    assert isinstance(single, EngineLayers)
    assert single.layers == found.layers


def test_unescaped_quotes_backslashes_and_nan_are_mended():
    text = '{"Name": "conv"quoted" \\ x\\",\n "t": "a\x1eb", "n": [-nan, 1, inf], "k": {}}'
    assert documents(text, "text") == (
        {"Name": 'conv"quoted" \\ x\\', "t": "a\x1eb", "n": [None, 1, None], "k": {}},
    )
    rows = (
        '[{"count" : 2}\n, { "name" : "a "b" c", "timeMs" : 4, "averageMs" : 2, '
        '"percentage" : -nan }\n]'
    )
    profile = read(rows)
    assert isinstance(profile, Profile)
    assert (profile.rows[0].name, profile.rows[0].average, profile.count) == ('a "b" c', 2e-3, 2)


@pytest.mark.parametrize("coding", ["utf-8-sig", "utf-16"])
def test_byte_order_marks(coding):
    data = '{"Layers": ["é"]}'.encode(coding)
    found = read(data)
    assert isinstance(found, EngineLayers)
    assert found.layers[0].name == "é"


def test_bad_utf8_is_replaced_with_a_warning():
    found = read(b'{"Layers": ["a\xffb"]}')
    assert isinstance(found, EngineLayers)
    assert found.layers[0].name == "a�b"
    assert "byte 14" in found.warnings[0]


def test_trex_folder_and_its_profile():
    found = read(GOLDEN / "trex-qat")
    assert isinstance(found, Bundle)
    assert found.performance["Latency"]["median"] == pytest.approx(0.882568e-3)
    assert found.facts["Device Information"]["Selected Device"] == "NVIDIA A100 80GB PCIe"
    assert found.facts["Build Options"]["Precision"]
    (engine,), (profile,) = found.engines, found.profiles
    joined = join(engine, profile)
    assert (joined.unmatched, joined.untimed) == ((), ())
    assert math.fsum(joined.seconds.values()) == pytest.approx(profile.total)
    assert profile.total == pytest.approx(1.09568e-3)
    assert set(joined.seconds) == {node.name for node in to_graph(engine).nodes}
    assert sum(spread(to_graph(engine), joined.seconds).values()) == pytest.approx(profile.total)


def test_rows_of_one_name_go_to_its_layers_in_order():
    engine = read('{"Layers": ["a", "b", "a"]}')
    profile = read(
        '[{"count": 10}, {"name": "a", "timeMs": 10, "averageMs": 1, "medianMs": 3},'
        '{"name": "a", "timeMs": 20, "averageMs": 2}, {"name": "c", "averageMs": 0}]'
    )
    assert isinstance(engine, EngineLayers)
    assert isinstance(profile, Profile)
    joined = join(engine, profile, "median")
    assert joined.seconds == {"a": 3e-3, "a (2)": 2e-3}
    assert (joined.unmatched, joined.untimed) == (("c",), ("b",))


def test_profile_table_of_a_log():
    found = read(GOLDEN / "trtexec10.16-profile.log")
    assert isinstance(found, Bundle)
    (profile,) = found.profiles
    assert (len(profile.rows), profile.count) == (15, 18362)
    assert profile.rows[3].name == (
        "Reformatting CopyNode for Input Tensor 0 to {ForeignNode[node_conv2d_1...node_relu_1]}"
    )
    assert profile.rows[1].average == pytest.approx(193.50e-3 / 18362)
    assert profile.rows[1].median == pytest.approx(0.0098e-3)
    assert profile.total == pytest.approx(1529.13e-3 / 18362, rel=1e-4)
    assert (found.version, found.passed) == ("10.16.1", True)


def test_older_profile_table_has_the_layer_first():
    text = """[07/07/2022-02:11:43] [I] === Profile (20 iterations ) ===
[07/07/2022-02:11:43] [I]           Layer   Time (ms)   Avg. Time (ms)   Median Time (ms)   Time %
[07/07/2022-02:11:43] [I] Conv_0 + Relu_1        4.00           0.2000             0.1900     80.0
[07/07/2022-02:11:43] [I]              fc        1.00           0.0500             0.0400     20.0
[07/07/2022-02:11:43] [I]           Total        5.00           0.2500             0.2300    100.0
"""
    (profile,) = gather([text]).profiles
    assert [row.name for row in profile.rows] == ["Conv_0 + Relu_1", "fc"]
    assert profile.rows[0].average == pytest.approx(0.2e-3)
    assert profile.rows[1].median == pytest.approx(0.04e-3)


def test_trtexec_summary():
    found = read(GOLDEN / "trtexec10.16-performance.log")
    assert isinstance(found, Bundle)
    assert found.performance["Throughput"] == {"value": 24896.9}
    assert found.performance["GPU Compute Time"]["median"] == pytest.approx(0.0388184e-3)
    assert found.performance["Latency"]["percentile(99%)"] == pytest.approx(0.0390625e-3)
    assert found.facts["Device Information"]["Selected Device"] == "NVIDIA H100 PCIe"
    assert found.facts["Inference Options"]["CUDA Graph"] == "Enabled"


def test_times_of_every_version():
    record = (
        '{"startEnqMs": 1.0, "endEnqMs": 1.5, "computeMs": 2, "latencyMs": 4,'
        ' "h2dMs": 1.5, "d2hMs": 0.5}'
    )
    timing = read(f"[{record}, {record}]")
    assert isinstance(timing, Timing)
    assert timing.samples == {
        "latency": (4e-3, 4e-3),
        "compute": (2e-3, 2e-3),
        "h2d": (1.5e-3, 1.5e-3),
        "d2h": (0.5e-3, 0.5e-3),
        "enqueue": (0.5e-3, 0.5e-3),
    }
    older = read('[{"inMs": 1, "computeMs": 2, "outMs": 3, "latencyMs": 6, "endToEndMs": 7}]')
    assert isinstance(older, Timing)
    assert older.samples["h2d"] == (1e-3,)
    assert older.samples["end to end"] == (7e-3,)


def test_names_reused_over_time_become_versions():
    def layer(name, read_, written):
        return {
            "Name": name,
            "LayerType": "k",
            "Inputs": [{"Name": one} for one in read_],
            "Outputs": [{"Name": one} for one in written],
        }

    engine = read(
        json.dumps(
            {
                "Layers": [
                    layer("a", ["x"], ["t"]),
                    layer("b", ["t"], ["u"]),
                    layer("a", ["u"], ["t"]),
                    layer("c", ["t"], ["t"]),
                    layer("d", ["t", "late"], ["t (2)"]),
                    layer("e", ["t (2)"], ["late"]),
                ],
                "Bindings": ["x", "late"],
            }
        )
    )
    assert isinstance(engine, EngineLayers)
    graph = to_graph(engine)
    assert [node.name for node in graph.nodes] == ["a", "b", "a (2)", "c", "d", "e"]
    assert [node.inputs for node in graph.nodes] == [
        ("x",), ("t",), ("u",), ("t (3)",), ("t (4)", "late"), ("t (2)",)
    ]  # fmt: skip
    assert [spec.name for spec in graph.inputs] == ["x", "late"]
    assert [spec.name for spec in graph.outputs] == ["late (2)"]


def test_a_tensor_made_later_in_the_file_is_still_an_edge():
    engine = read(
        '{"Layers": [{"Name": "b", "LayerType": "k", "Inputs": [{"Name": "t"}],'
        ' "Outputs": [{"Name": "y"}]}, {"Name": "a", "LayerType": "k",'
        ' "Inputs": [{"Name": "x"}], "Outputs": [{"Name": "t"}]}]}'
    )
    assert isinstance(engine, EngineLayers)
    graph = to_graph(engine)
    assert [spec.name for spec in graph.inputs] == ["x"]
    assert graph.predecessors[0] == (1,)


def test_attributes_of_nodes_are_plain():
    graph = to_graph(engine_in("trt8.6-cnn-fp16.layers.json"))
    attributes = graph.nodes[1].attributes
    assert attributes["precision"] == "float16"
    assert attributes["kernel"].startswith("sm80_xmma")
    assert attributes["layout"] == "HWC8"
    assert attributes["format"] == "Channel major FP16 format where channel % 8 == 0"
    assert (attributes["Kernel"], attributes["Weights.Count"]) == ((3, 3), 864)
    assert graph.spec("stem_r").shape == (4, 32, 64, 64)


@pytest.mark.parametrize(
    ("text", "dtype", "layout"),
    [
        ("Row major linear FP32", "float32", "LINEAR"),
        ("Row major Int8 format", "int8", ""),
        ("Row major linear FP16 format (kLINEAR)", "float16", "LINEAR"),
        ("Two wide channel vectorized row major FP16 format", "float16", "CHW2"),
        ("Thirty-two wide channel vectorized row major Int8 format", "int8", "CHW32"),
        (
            "Thirty-two wide channel vectorized row major FP16 format with 3 spatial dimensions",
            "float16",
            "CDHW32",
        ),
        ("Channel major FP16 format where channel % 16 == 0", "float16", "HWC16"),
        (
            "Channel major FP16 format where channel % 8 == 0 with 3 spatial dimensions",
            "float16",
            "DHWC8",
        ),
        ("(NHWC) Channel major format", "", "HWC"),
        ("(Transposed) Transposed format", "", "TRANSPOSED"),
        ("Half", "float16", ""),
        ("BFloat16", "bfloat16", ""),
        ("FP8", "float8e4m3fn", ""),
        ("UInt8", "uint8", ""),
        ("DLA planar FP16 format", "float16", "DLA_LINEAR"),
        ("", "", ""),
    ],
)
def test_types_and_layouts_from_prose(text, dtype, layout):
    assert (dtype_of(text), layout_of(text)) == (dtype, layout)


REFUSED = {
    "empty": (b"", "empty"),
    "blank": (b" \n\t", "empty"),
    "zeros": (b"\0" * 40, "binary data"),
    "plan": (b"ptrt\0\0\0\0" + b"\1" * 20, "a TensorRT plan"),
    "onnx": (b"\x08\x08:\xd1\xac\x09\nF", "ONNX model"),
    "page": (b"<html><body>404</body></html>", "starts with '<html>"),
    "other json": (b'{"a": 1}', "an object with a"),
    "list": (b"[1, 2]", "a list of 2 values"),
    "no layer": (b"[]", "a list of 0 values"),
    "outputs": (b'[{"name": "y", "dimensions": "1x2", "values": [1, 2]}]', "--exportOutput"),
    "cut": (b'{"Layers": [{"Name": "a", "Layer', "line 1, byte 26"),
    "cut later": (b'{"Layers": [\n{"Name": "a"},\n', "the file is cut"),
    "deep": (b"[" * 100_000, "nested too deep"),
    "deep attribute": (b'{"Layers": [{"Name": ' + b"[" * 3000 + b"]" * 3000 + b"}]}", "export"),
    "digits": (b'{"Layers": [{"Name": "a", "x": ' + b"9" * 5000 + b"}]}", "digit"),
    "no name": (b'{"Layers": [{"LayerType": "k"}]}', "layer 0: no 'Name'"),
    "name": (b'{"Layers": ["a", {"Name": 3}]}', "layer 1: 'Name' is 3; expected text"),
    "inputs": (b'{"Layers": [{"Name": "a", "Inputs": 1}]}', "layer 0, 'a': 'Inputs' is 1"),
    "extents": (
        b'{"Layers": [{"Name": "a", "Inputs": [{"Name": "t", "Dimensions": ["n"]}]}]}',
        "Inputs[0]: 'Dimensions'",
    ),
    "bindings": (b'{"Layers": [], "Bindings": [1]}', "'Bindings' is 1; expected a name"),
    "profile": (b'[{"count": 1}, {"name": "a", "timeMs": "x"}]', "row 1: 'timeMs' is 'x'"),
    "infinite": (b'[{"name": "a", "timeMs": 1e999}]', "row 0: 'timeMs' is not finite"),
    "times": (b'[{"latencyMs": 1}, {"computeMs": 1}]', "record 1: 'latencyMs' is None"),
    "log": (b"[I] === nothing\n[I] here\n", "it lists no layers"),
    "layer line": (
        b"[V] Layers:\nName: a, LayerType: k, Inputs: [ { Name: t, Dim",
        "line 2: expected a tensor",
    ),
    "layer cut": (b"\n\n[V] Layers:\nName: a, Lay", "line 4: expected 'Name: ..."),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refusals_name_the_place_and_what_was_expected(case, tmp_path):
    data, expected = REFUSED[case]
    file = tmp_path / "some.json"
    file.write_bytes(data)
    with pytest.raises(ModelError) as caught:
        read(file)
    assert expected in str(caught.value)
    assert "some.json" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_paths_that_are_no_files(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for name, expected in {
        "pipe": "not a regular file",
        "none": "cannot be read: No such file",
        "loop": "cannot be read: Too many levels",
        "": "no engine file in this folder",
        "x" * 5000: "cannot be read",
    }.items():
        with pytest.raises(ModelError, match=expected):
            read(tmp_path / name)
    with pytest.raises(ModelError, match="not a regular file"):
        read("/dev/zero")


def test_hostile_names_are_escaped_in_messages():
    with pytest.raises(ModelError) as caught:
        read(json.dumps({"Layers": [{"Name": "a\x1b[31m‮", "Inputs": 1}]}))
    assert "\x1b" not in str(caught.value)
    assert "\\x1b[31m\\u202e" in str(caught.value)


def test_a_build_log_without_layers_says_how_to_get_them():
    with pytest.raises(ModelError, match=r"VERBOSE.*DETAILED"):
        read_build_log("[INFO] nothing of use\n", file="build.log")
