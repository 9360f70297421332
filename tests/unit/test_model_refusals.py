"""Files that must be refused: which error, what it names, and that nothing else happens."""

import hashlib
import os
import struct
import time
from pathlib import Path

import model_files as files
import numpy as np
import onnx
import pytest
from model_files import (
    INT64,
    changed,
    conv,
    field,
    function,
    ints,
    node,
    of_constants,
    of_input,
    proto,
    relu,
    stored,
    value,
    with_weight,
)  # fmt: skip

from workbench.errors import ModelError
from workbench.model import Limits, load

GOOD = relu().SerializeToString()
BIG = conv().SerializeToString()
WEIGHT = stored("w", np.ones((4, 3, 3, 3), np.float32))
SIXTEEN = bytes(16)
SIXTEEN_FLOATS = np.ones(16, np.float32)


def _conv(**attributes):
    return proto(
        [node("Conv", ["x", "w"], ["y"], **attributes)], weights=[WEIGHT]
    ).SerializeToString()


def _divide(op, a, b):
    return of_constants(op, [ints("a", a), ints("b", b)], INT64)


def _extent(dim):
    return proto([node("Relu", ["x"], ["y"])], [value("x", [dim, 3])]).SerializeToString()


def _two_values(item):
    item.attribute.add(name="value_float", type=onnx.AttributeProto.FLOAT, f=3.0)


def _two_payloads(item):
    item.attribute[0].t.float_data.append(5.0)


def _upward(item):
    tensor = item.attribute[0].t
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../x")


def _scales(number):
    return of_input("Resize", [None, stored("s", np.array([1, 1, number, number], np.float32))])


def _doubled():
    nodes = [
        node("Concat", ["x" if i == 0 else f"t{i}"] * 2, ["y" if i == 39 else f"t{i + 1}"], f"c{i}",
             axis=0)
        for i in range(40)
    ]  # fmt: skip
    return proto(nodes, [value("x", [1024])]).SerializeToString()


DAMAGED = {
    "empty": (b"", ["empty"]),
    "one byte": (b"\x08", ["unreadable at byte 1"]),
    "zeros": (bytes(1000), ["unreadable at byte 0"]),
    "noise": (np.random.default_rng(0).bytes(5000), ["unreadable at byte"]),
    "cut to ten bytes": (GOOD[:10], ["unreadable at byte", "cut off"]),
    "cut to half": (BIG[: len(BIG) // 2], ["cut off"]),
    "cut to four fifths": (BIG[: len(BIG) * 4 // 5], ["cut off"]),
    "last byte missing": (BIG[:-1], ["cut off"]),
    "garbage behind": (BIG + b"hello", ["unreadable at byte", "behind its end"]),
    "zeros behind": (GOOD + bytes(20), [f"unreadable at byte {len(GOOD)}"]),
    "a second graph": (GOOD + field(7, b""), ["second graph"]),
    "ifs 61 deep": (files.nested_ifs(61), ["nested too deep"]),
    "ifs 28 deep": (files.nested_ifs(28), ["Limits(nesting="]),
    "ifs 1200 deep": (files.nested_ifs(1200), ["nested deeper than"]),
    "invalid UTF-8 in a function": (
        files.calling([function("F", ["Relu"])]).replace(b"\x0a\x01a", b"\x0a\x01\xff"),
        ["UTF-8"],
    ),
    "invalid UTF-8": (GOOD.replace(b"\x0a\x01x", b"\x0a\x01\xff", 1), ["UTF-8"]),
}
FOREIGN = {
    "git-lfs pointer": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
        ["git lfs pull"],
    ),
    "text": (b"hello world\n" * 10, ["a text file"]),
    "HTML": (b"<!DOCTYPE html><html>404</html>", ["HTML page", "download"]),
    "JSON": (b'{"a": 1}', ["a JSON file"]),
    "PNG": (b"\x89PNG\r\n\x1a\n" + bytes(50), ["PNG image"]),
    "gzip": (files.gzipped(), ["gzip", "gunzip"]),
    "torch": (files.zipped("archive/data.pkl"), ["PyTorch", "never run", "torch.onnx.export"]),
    "npz": (files.zipped("a.npy"), ["NumPy .npz"]),
    "zip": (files.zipped("../model.onnx"), ["zip archive", "unpack"]),
    "exported program": (files.zipped("m/archive_format"), ["PyTorch exported program"]),
    "TensorFlow graph": (field(1, field(1, b"node")), ["field 1", "no ONNX model"]),
    "tar": (bytes(257) + b"ustar" + bytes(300), ["tar archive"]),
    "pickle": (files.pickled(), ["pickle", "never run"]),
    "ORT": (b"\x10\0\0\0ORTM" + bytes(100), ["flatbuffer"]),
    "TensorRT plan": (b"ftrt" + bytes(100), ["TensorRT plan"]),
    "TensorRT-RTX plan": (b"vtrt" + bytes(100), ["TensorRT-RTX plan"]),
    "hybrid": (b"\x89WBKEPT\n" + bytes(100), ["saved hybrid of the workbench", "workbench run"]),
    "own plan": (b"\x89WBPLAN\n" + bytes(100), ["plan of the workbench"]),
    "own table": (
        b'{\n "format": "workbench calibration table",\n "version": 1}',
        ["a workbench calibration table"],
    ),
    "own journal": (
        b'0ab1 {"format":"workbench study journal 1"}\n',
        ["a workbench study journal;"],
    ),
    "safetensors": (struct.pack("<Q", 2) + b"{}" + bytes(9), ["safetensors"]),
}
VERSIONS = {
    "own operators, not imported": (
        changed(lambda m: setattr(m.opset_import[0], "domain", "d")),
        ["does not import it"],
    ),
    "no graph": (changed(lambda m: m.ClearField("graph")), ["no graph"]),
    "no operator set": (changed(lambda m: m.ClearField("opset_import")), ["operator set", "1 to"]),
    "operator set 0": (proto([], opset=0).SerializeToString(), ["version 0", "1 to"]),
    "operator set -1": (proto([], opset=-1).SerializeToString(), ["version -1"]),
    "operator set 9999": (proto([], opset=9999).SerializeToString(), ["version 9999"]),
    "IR missing": (changed(lambda m: m.ClearField("ir_version")), ["IR version is missing"]),
    "IR 999": (proto([], ir=999).SerializeToString(), ["IR version is 999"]),
    "imported twice": (
        changed(lambda m: m.opset_import.add(domain="ai.onnx", version=13)),
        ["twice"],
    ),
}
EDGES = {
    "cycle": (
        proto([node("Add", ["x", "b"], ["a"], "A"), node("Relu", ["a"], ["b"], "B"),
               node("Relu", ["b"], ["y"], "Y")]).SerializeToString(), ["cycle: A -> B -> A"]),
    "self-loop": (proto([node("Add", ["x", "y"], ["y"], "A")]).SerializeToString(), ["A -> A"]),
    "missing weight": (
        proto([node("Conv", ["x", "w"], ["y"], "c")]).SerializeToString(),
        ["node c (Conv)", "tensor w"]),
    "output not made": (
        proto([node("Relu", ["x"], ["z"])]).SerializeToString(), ["graph output y"]),
    "output made twice": (
        proto([node("Relu", ["x"], ["y"], "a"), node("Abs", ["x"], ["y"], "b")])
        .SerializeToString(),
        ["tensor y", "node a", "node b"]),
    "initializer twice": (
        proto([node("Conv", ["x", "w"], ["y"])], weights=[WEIGHT] * 2).SerializeToString(),
        ["initializer w", "0 and 1"]),
    "input twice": (
        proto([node("Relu", ["x"], ["y"])], [value("x", [1])] * 2).SerializeToString(),
        ["graph input x"]),
    "output twice": (
        proto([node("Relu", ["x"], ["y"])], outputs=[value("y", None)] * 2).SerializeToString(),
        ["graph output y", "0 and 1"]),
    "initializer is an output": (
        proto([node("Relu", ["x"], ["w"], "a"), node("Conv", ["x", "w"], ["y"], "b")],
              weights=[WEIGHT]).SerializeToString(), ["tensor w", "node a"]),
}  # fmt: skip
TENSORS = {
    "negative extent": (with_weight(dims=[-1, 2], raw_data=SIXTEEN), ["tensor w", "[-1, 2]"]),
    "two negative extents": (with_weight(dims=[-2, -2], raw_data=SIXTEEN), ["[-2, -2]"]),
    "product overflows to zero": (
        with_weight(dims=[1 << 32, 1 << 32], raw_data=b""), ["needs 73786976294838206464 bytes"]),
    "product overflows to the right size": (
        with_weight(dims=[4, (1 << 62) + 1], raw_data=SIXTEEN), ["Limits(tensor_bytes="]),
    "huge": (with_weight(dims=[1 << 40], raw_data=SIXTEEN), ["needs 4398046511104 bytes"]),
    "5002 axes": (with_weight(dims=[1] * 5002, raw_data=b"1234"), ["5002 axes"]),
    "a million axes": (with_weight(dims=[1] * 1_000_000, raw_data=b"1234"), ["1000000 axes"]),
    "payload too short": (with_weight(raw_data=bytes(8)), ["tensor w", "needs 16 bytes but has 8"]),
    "payload too long": (with_weight(raw_data=bytes(32)), ["has 32"]),
    "payload odd": (with_weight(raw_data=bytes(15)), ["has 15"]),
    "no payload": (with_weight(), ["has 0"]),
    "wrong field": (with_weight(int64_data=[1, 2, 3, 4]), ["int64_data", "expected float_data"]),
    "two payloads": (
        with_weight(raw_data=SIXTEEN, float_data=[1.0, 2.0, 3.0, 4.0]), ["two payloads"]),
    "too few values": (with_weight(float_data=[1.0]), ["needs 4 values", "has 1"]),
    "type 0": (with_weight(data_type=0, raw_data=SIXTEEN), ["element type 0"]),
    "type 9999": (with_weight(data_type=9999, raw_data=SIXTEEN), ["element type 9999"]),
    "raw strings": (with_weight(data_type=8, raw_data=SIXTEEN), ["strings"]),
    "int4 too short": (with_weight(data_type=22, raw_data=b"1"), ["needs 2 bytes but has 1"]),
    "segment": (with_weight(segment=(0, 4), raw_data=SIXTEEN), ["segments"]),
    "two values of a constant": (
        files.calling([files.constant_function(_two_values)]), ["exactly one value"]),
    "two payloads of a constant": (
        files.calling([files.constant_function(_two_payloads)]), ["tensor k", "two payloads"]),
    "sparse index too large": (files.sparse([1, 2], [0, 9], [2, 2]), ["sparse tensor w", "[2, 2]"]),
    "sparse index negative": (files.sparse([1, 2], [-1, 1], [2, 2]), ["outside"]),
    "sparse count": (files.sparse([1, 2], [1], [2, 2]), ["2 values", "expected [2]"]),
    "sparse, 32 GiB dense": (
        files.sparse([1, 2], [0, 9], [1 << 17, 1 << 16]),
        ["34359738368 bytes", "Limits(allocation_bytes="]),
    "sparse pairs": (files.sparse([1, 2], [[0, 0], [0, 5]], [2, 2]), ["outside"]),
}  # fmt: skip
TYPES = {
    "extent 0": (_extent(0), ["graph input x, axis 0", "extent 0"]),
    "lowest extent": (_extent(-(1 << 63)), ["-9223372036854775808"]),
    "extent 2^62": (_extent(1 << 62), ["4611686018427387904"]),
    "no type": (
        proto([node("Relu", ["x"], ["y"])], [onnx.ValueInfoProto(name="x")]).SerializeToString(),
        ["graph input x", "no type"],
    ),
    "type 777": (
        proto([node("Relu", ["x"], ["y"])], [value("x", [1], 777)]).SerializeToString(),
        ["element type 777"],
    ),
}
ATTRIBUTES = {
    "stride 0": (_conv(strides=[0, 1]), ["node n (Conv)", "strides has 0"]),
    "stride -1": (_conv(strides=[-1, 1]), ["strides has -1"]),
    "dilation 0": (_conv(dilations=[0, 0]), ["dilations has 0"]),
    "group 0": (_conv(group=0), ["group has 0"]),
    "group -1": (_conv(group=-1), ["group has -1"]),
    "group 3 of 4": (_conv(group=3), ["group is 3"]),
    "group 2 of 3 channels": (_conv(group=2), ["x has 3 channels", "take 6"]),
    "pads of one axis": (_conv(pads=[1, 1]), ["pads has 2 numbers", "needs 4"]),
    "auto_pad": (_conv(auto_pad="FULL"), ["auto_pad is FULL", "SAME_UPPER"]),
    "pad mode": (of_input("Pad", [ints("p", *[1] * 8)], mode="mirror"), ["mode is mirror"]),
    "kernel lies": (_conv(kernel_shape=[5, 5]), ["[5, 5]", "[4, 3, 3, 3]"]),
    "pads 2^40": (_conv(pads=[1 << 40] * 4), ["pads has 1099511627776"]),
    "pool stride 0": (of_input("MaxPool", kernel_shape=[2, 2], strides=[0, 0]), ["strides has 0"]),
    "two -1": (of_input("Reshape", [ints("s", -1, -1)]), ["[-1, -1]"]),
    "perm": (of_input("Transpose", perm=[0, 1, 2, 9]), ["[0, 1, 2, 9]"]),
    "axis": (of_input("Softmax", axis=7), ["axis 7", "rank 4"]),
    "axis of a slice": (
        of_input("Slice", [ints("a", 0), ints("b", 5), ints("c", 9), ints("d", 1)]), ["axis 9"]),
    "axis to insert": (of_input("Unsqueeze", [ints("a", 5)]), ["axis 5", "rank 4"]),
    "axis to drop": (of_input("Squeeze", [ints("a", -5)]), ["axis -5", "rank 4"]),
    "split sum": (
        proto([node("Split", ["x", "s"], ["y", "z"], axis=1)], weights=[ints("s", 1, 5)])
        .SerializeToString(), ["[1, 5]", "axis 1 of x has 3"]),
    "step 0": (
        of_input("Slice", [ints("a", 0), ints("b", 5), ints("c", 1), ints("d", 0)]), ["step of 0"]),
    "scale 0": (_scales(0), ["scale is 0"]),
    "scale NaN": (_scales(np.nan), ["scale is nan"]),
    "scale 1e9": (_scales(1e9), ["scale is 1e+09"]),
    "block 0": (of_input("DepthToSpace", blocksize=0), ["blocksize has 0"]),
    "block 2 of 3 channels": (of_input("DepthToSpace", blocksize=2), ["3 channels"]),
    "block 2^32": (of_input("DepthToSpace", blocksize=1 << 32), ["blocksize has 4294967296"]),
    "sequence split 0": (
        of_input("SplitToSequence", [stored("s", np.array(0, np.int64))]), ["split is 0"]),
    "transform of 0": (of_input("DFT", [ints("n", 0)]), ["dft_length is [0]"]),
    "frame step 0": (of_input("STFT", [ints("n", 0), stored("w", SIXTEEN_FLOATS)]),
        ["frame_step is [0]"]),
    "unknown attribute": (of_input("Relu", speed=3), ["ONNX's checker", "speed"]),
    "7 / 0": (_divide("Div", 7, 0), ["constant 0"]),
    "lowest / -1": (_divide("Div", -(1 << 63), -1), ["by -1"]),
    "7 mod 0": (_divide("Mod", 7, 0), ["constant 0"]),
}  # fmt: skip
BUDGETS = {
    "16 TiB of zeros": (
        of_constants("ConstantOfShape", [ints("s", 1 << 20, 1 << 20, 4)]),
        ["node n (ConstantOfShape)", "need 17592186044416 bytes", "Limits(allocation_bytes="],
    ),
    "8 GiB of zeros": (of_constants("ConstantOfShape", [ints("s", 1 << 31)]), ["8589934592"]),
    "4 TiB expanded": (
        of_constants("Expand", [stored("v", np.ones(1, np.float32)), ints("s", 1 << 20, 1 << 20)]),
        ["4398046511104"],
    ),
    "tiled 2^62 times": (
        of_constants("Tile", [stored("v", np.ones(4, np.float32)), ints("s", 1 << 62)]),
        ["node n (Tile)", "73786976294838206464"],
    ),
    "range to 10^13": (
        of_constants("Range", [stored(n, np.array(v, np.int64)) for n, v in
                               (("a", 0), ("b", 10**13), ("c", 1))], INT64),
        ["node n (Range)", "80000000000000"],
    ),
    "doubled 40 times": (_doubled(), ["(Concat)", "8589934592"]),
    "calls itself": (files.calling([function("F", ["F"])]), ["loc::F -> loc::F"]),
    "calls in a ring": (
        files.calling([function("F", ["G"]), function("G", ["F"])]),
        ["loc::F -> loc::G -> loc::F"]),
    "billion laughs": (
        files.calling([function(f"F{i}", [f"F{i + 1}"] * 10 if i < 29 else ["Relu"])
                       for i in range(30)]), ["Limits(nodes="]),
}  # fmt: skip
ROWS = {
    **DAMAGED, **FOREIGN, **VERSIONS, **EDGES, **TENSORS, **TYPES, **ATTRIBUTES, **BUDGETS
}  # fmt: skip


def refusal(path) -> str:
    """The message of the error that loading gives, after checking its form."""
    before = hashlib.sha256(path.read_bytes()).digest()
    start = time.monotonic()
    with pytest.raises(ModelError) as caught:
        load(path)
    assert time.monotonic() - start < 20
    assert hashlib.sha256(path.read_bytes()).digest() == before
    text = str(caught.value)
    assert text.startswith(str(path))
    assert len(text.splitlines()) <= 10
    assert len(text) < 1200
    return text


@pytest.mark.parametrize("row", ROWS)
def test_refused_with_file_object_and_remedy(row, tmp_path):
    content, words = ROWS[row]
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    text = refusal(path)
    assert all(word in text for word in words), text
    path.write_bytes(GOOD)
    assert load(path).graph.nodes[0].op_type == "Relu"


@pytest.mark.parametrize("row", DAMAGED | FOREIGN)
def test_bytes_are_refused_like_files(row):
    content, words = ROWS[row]
    with pytest.raises(ModelError) as caught:
        load(content)
    assert all(word in str(caught.value) for word in words)


class TestExternalData:
    @pytest.fixture
    def folder(self, tmp_path):
        inside = tmp_path / "model"
        (inside / "sub").mkdir(parents=True)
        (tmp_path / "outer").mkdir()
        (tmp_path / "outer" / "out").write_bytes(bytes(100))
        (inside / "good.data").write_bytes(bytes(100))
        (inside / "link").symlink_to(tmp_path / "outer" / "out")
        (inside / "linked").symlink_to(tmp_path / "outer")
        (inside / "loop").symlink_to(inside / "loop")
        os.mkfifo(inside / "pipe")
        return inside

    @pytest.mark.parametrize(
        "location",
        ["../outer/out", "/etc/passwd", "sub\\x", "%2e%2e/out", "https://a/b", "a\0b", "", ".",
         "/proc/self/mem", "/dev/zero", "*/_ORT_MEM_ADDR_/*", "link", "linked/out", "C:x",
         "sub/../../outer/out", "sub", "pipe"],
    )  # fmt: skip
    def test_location_must_stay_inside(self, folder, location):
        path = folder / "model.onnx"
        path.write_bytes(with_weight(external=[("location", location)]))
        text = refusal(path)
        assert "tensor w" in text
        assert f"stay inside {folder}" in text

    @pytest.mark.parametrize("location", ["nothing", "loop"])
    def test_file_must_be_there(self, folder, location):
        path = folder / "model.onnx"
        path.write_bytes(with_weight(external=[("location", location)]))
        assert "cannot be read" in refusal(path)

    @pytest.mark.parametrize(
        ("entries", "words"),
        [
            ([("offset", "-1")], "offset is -1"),
            ([("length", "-1")], "length is -1"),
            ([("offset", "x")], "offset is x"),
            ([("offset", "")], "offset is empty"),
            ([("offset", "1000")], "1000 to 1016 of good.data, which has only 100"),
            ([("offset", "90")], "90 to 106"),
            ([("offset", str(1 << 55))], "which has only 100"),
            ([("offset", "9" * 30)], "offset is 999"),
            ([("length", str(1 << 62))], "needs 16 bytes"),
            ([("length", "8")], "needs 16 bytes but says that 8"),
            ([("checksum", "0" * 40)], "SHA-1"),
            ([("location", "other")], "two external-data entries location"),
        ],
    )
    def test_numbers_are_checked(self, folder, entries, words):
        path = folder / "model.onnx"
        path.write_bytes(with_weight(external=[("location", "good.data"), *entries]))
        assert words in refusal(path)

    def test_two_payloads(self, folder):
        path = folder / "model.onnx"
        path.write_bytes(with_weight(external=[("location", "good.data")], raw_data=SIXTEEN))
        assert "two payloads" in refusal(path)

    def test_constants_and_functions_too(self, folder):
        path = folder / "model.onnx"
        path.write_bytes(files.calling([files.constant_function(_upward)]))
        assert "stay inside" in refusal(path)

    def test_bytes_have_no_folder(self):
        with pytest.raises(ModelError, match="load it by path"):
            load(with_weight(external=[("location", "good.data")]))

    def test_links_inside_and_in_the_hub_cache_are_followed(self, folder, tmp_path):
        content = with_weight(external=[("location", "inner"), ("offset", "16")])
        (folder / "inner").symlink_to("good.data")
        (folder / "model.onnx").write_bytes(content)
        assert load(folder / "model.onnx").weights("w").shape == (2, 2)
        blobs, snapshot = tmp_path / "hub" / "blobs", tmp_path / "hub" / "snapshots" / "r1"
        blobs.mkdir(parents=True)
        snapshot.mkdir(parents=True)
        (blobs / "abc").write_bytes(bytes(100))
        (blobs / "def").write_bytes(content)
        (snapshot / "inner").symlink_to("../../blobs/abc")
        (snapshot / "model.onnx").symlink_to("../../blobs/def")
        assert load(snapshot / "model.onnx").weights("w").shape == (2, 2)

    def test_changed_data_is_noticed(self, folder):
        (folder / "model.onnx").write_bytes(with_weight(external=[("location", "good.data")]))
        model = load(folder / "model.onnx")
        (folder / "good.data").write_bytes(b"1" * 50)
        with pytest.raises(ModelError, match=r"good\.data was changed"):
            model.weights("w")


class TestPaths:
    def test_no_regular_file(self, tmp_path):
        os.mkfifo(tmp_path / "pipe")
        (tmp_path / "loop").symlink_to(tmp_path / "loop")
        (tmp_path / "gone").symlink_to(tmp_path / "nothing")
        for path, words in [
            (tmp_path, "folder"), (tmp_path / "pipe", "named pipe"), ("/dev/zero", "device"),
            (tmp_path / "loop", "symbolic links"), (tmp_path / "gone", "no such file"),
            ("", "empty path"), ("a\0b", "no path"), (tmp_path / ("a" * 5000), "name too long"),
        ]:  # fmt: skip
            start = time.monotonic()
            with pytest.raises(ModelError, match=words):
                load(path)
            assert time.monotonic() - start < 1

    def test_unreadable(self, tmp_path):
        path = tmp_path / "model.onnx"
        path.write_bytes(GOOD)
        path.chmod(0)
        if os.access(path, os.R_OK):
            pytest.skip("the super-user may read everything")
        with pytest.raises(ModelError, match="permission denied"):
            load(path)

    def test_larger_than_protobuf(self, tmp_path):
        path = tmp_path / "model.onnx"
        with path.open("wb") as file:
            file.truncate(3 << 30)
        with pytest.raises(ModelError, match="external data"):
            load(path)

    @pytest.mark.parametrize("name", ["m ö d é l.onnx", "a\nb\x1b[31m.onnx", "\u202exnno.onnx"])
    def test_odd_file_names(self, tmp_path: Path, name):
        path = tmp_path / name
        path.write_bytes(GOOD)
        assert len(load(path).graph.nodes) == 1
        path.write_bytes(b"")
        with pytest.raises(ModelError) as caught:
            load(path)
        assert str(caught.value).isprintable()


def test_hostile_names_are_escaped(tmp_path):
    name = "a\x1b[31m\r\nERROR\x00\u202eb" + "x" * 5000
    content = proto([node("Conv", ["x", name], ["y"], name)]).SerializeToString()
    with pytest.raises(ModelError) as caught:
        load(content)
    text = str(caught.value)
    assert text.isprintable()
    assert len(text) < 600


def test_time_limit_is_an_error_and_the_next_load_works():
    chain = [
        node("Relu", ["x" if i == 0 else f"t{i}"], ["y" if i == 4999 else f"t{i + 1}"], f"r{i}")
        for i in range(5000)
    ]
    content = proto(chain).SerializeToString()
    with pytest.raises(ModelError, match=r"Limits\(seconds="):
        load(content, limits=Limits(seconds=0.001))
    assert len(load(content).graph.nodes) == 5000


def test_limits_are_numbers_above_zero():
    for bad in (0, -1, float("nan"), "4", True):
        with pytest.raises(ValueError, match="limit nodes"):
            Limits(nodes=bad)
