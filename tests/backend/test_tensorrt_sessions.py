"""Sessions of TensorRT on a fake GPU: real builds, fake deserialize and execute."""

from __future__ import annotations

import ast
import json
import warnings
from pathlib import Path
from types import SimpleNamespace

import fake_gpu
import numpy as np
import pytest
from onnx import TensorProto, helper

from workbench import hybrid, zoo
from workbench.backends import cuda
from workbench.backends.base import LAYER_DOMAIN, BuildConfig, ShapeRange, executed
from workbench.backends.plan import pack, unpack
from workbench.backends.tensorrt import (
    TensorRT,
    adapter,
    building,
    inspecting,
    runtime,
    sealing,
)  # fmt: skip
from workbench.backends.tensorrt.building import Built
from workbench.backends.tensorrt.engine import layers_of
from workbench.errors import BackendError, DataError, RunError
from workbench.model import from_proto
from workbench.partitioning import Exclusion, partition
from workbench.testing import checks
from workbench.testing.networks import picture, small_network

pytestmark = pytest.mark.skipif(
    "tensorrt_rtx" not in adapter.installed(), reason="tensorrt_rtx is not installed"
)
STUBS = Path(__file__).parents[3] / "shared" / "trt" / "stubs"


@pytest.fixture(scope="module")
def rtx():
    with fake_gpu.fake_gpu():
        backend = TensorRT("tensorrt_rtx")
        yield backend
        backend.close()


@pytest.fixture(scope="module")
def engine(rtx):
    tail = (4, 8, 8)
    limits = ShapeRange((1, *tail), (2, *tail), (4, *tail))
    return rtx.build(small_network("N"), BuildConfig(shapes={"x": limits}))


def expected(engine, batch=2):
    with engine.session() as session:
        return session.run({"x": picture(batch)})


@pytest.mark.parametrize("name", sorted(set(checks()) - set(checks(runs=False))))
def test_sessions_keep_the_contract(rtx, name):
    checks()[name](rtx)


@pytest.mark.parametrize("version", ["8.6", "10.16", "11.4"])
@pytest.mark.parametrize(
    ("fake", "real"), [("FakeEngine", "ICudaEngine"), ("FakeContext", "IExecutionContext")]
)
def test_the_fake_has_no_member_that_tensorrt_lacks(version, fake, real):
    stub = STUBS / f"tensorrt-{version}.pyi"
    if not stub.is_file():
        pytest.skip(f"no stubs of TensorRT {version} here")
    known = members(stub.read_text(), real)
    mine = members(Path(fake_gpu.__file__).read_text(), fake)
    newer = {"set_device_memory", "device_memory_size_v2"}
    assert mine - known <= (newer if version == "8.6" else set())
    assert mine


def members(text: str, name: str) -> set[str]:
    (found,) = [n for n in ast.parse(text).body if isinstance(n, ast.ClassDef) and n.name == name]
    defined = {n.name for n in ast.walk(found) if isinstance(n, ast.FunctionDef)}
    assigned = {
        target.attr
        for n in ast.walk(found)
        if isinstance(n, ast.Assign)
        for target in (t for one in n.targets for t in ast.walk(one))
        if isinstance(target, ast.Attribute) and getattr(target.value, "id", "") == "self"
    }
    return {n for n in defined | assigned if not n.startswith("_")}


def test_device_arrays_in_give_device_arrays_out(engine):
    right = expected(engine)
    cupy = cuda.library()
    with engine.session() as session:
        got = session.run({"x": cupy.asarray(picture(2))})
    assert all(cuda.is_device(value) for value in got.values())
    assert all(np.array_equal(got[name].get(), value) for name, value in right.items())


@pytest.mark.parametrize("graph", [False, True])
def test_bound_device_buffers(engine, graph):
    right = expected(engine)
    cupy = cuda.library()
    buffers = {"x": cupy.asarray(picture(2))}
    buffers |= {name: cupy.empty(v.shape, v.dtype) for name, v in right.items()}
    with engine.session() as session:
        call = session.bind(buffers, cuda_graph=graph)
        call()
        call()
        assert all(np.array_equal(buffers[n].get(), v) for n, v in right.items())
        with cupy.cuda.Stream(non_blocking=True):
            call()
    with pytest.raises(RunError, match="closed"):
        call()


def test_buffers_on_either_side(engine):
    right = expected(engine)
    mixed = {"x": cuda.library().asarray(picture(2))}
    mixed |= {name: np.zeros_like(value) for name, value in right.items()}
    with engine.session() as session:
        session.bind(mixed)()
        assert all(np.array_equal(mixed[n], v) for n, v in right.items())
        with pytest.raises(RunError, match="on the GPU alone"):
            session.bind(mixed, cuda_graph=True)


def test_device_buffers_that_do_not_fit(engine):
    cupy = cuda.library()
    good = {"x": cupy.asarray(picture(2))}
    good |= {name: cupy.empty(v.shape, v.dtype) for name, v in expected(engine).items()}
    raw = cupy.empty(good["x"].nbytes + 4, np.uint8)
    shifted = raw[4:].view(np.float32).reshape(good["x"].shape)
    name = next(n for n in good if n != "x")
    with engine.session() as session:
        for change, words in (
            ({"x": good["x"].astype(np.float64)}, "expected float32"),
            ({"x": shifted}, "256 bytes"),
            ({name: cupy.empty((1, *good[name].shape[1:]), np.float32)}, "has to be"),
            ({"x": cupy.empty((9, 4, 8, 8), np.float32)}, "min 1, opt 2, max 4"),
        ):
            with pytest.raises(DataError, match=words):
                session.bind({**good, **change})
        block = cupy.empty(1 << 16, np.uint8)
        over = {
            n: block[: good[n].nbytes].view(np.float32).reshape(good[n].shape) for n in ("x", name)
        }
        with pytest.raises(DataError, match="shares memory"):
            session.bind({**good, **over})


def test_an_output_whose_shape_depends_on_values(rtx):
    graph = helper.make_graph(
        [
            helper.make_node("Relu", ["x"], ["y"], "relu"),
        ], "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (4,))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ("unknown",))],
    )  # fmt: skip
    model = from_proto(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    )
    x = np.array([-1, 2, -3, 4], np.float32)
    with rtx.build(model).session() as session:
        assert session.run({"x": x})["y"].tolist() == [0, 2, 0, 4]
        assert session.run({"x": x})["y"].tolist() == [0, 2, 0, 4]


def test_a_hybrid_keeps_tensors_between_parts_on_the_gpu(rtx, monkeypatch):
    model = zoo.load("digits_inception")
    (spec,) = model.graph.inputs
    ends = [tuple(n if isinstance(d, str) else d for d in spec.shape) for n in (1, 2, 4)]
    divided = partition(
        model.graph, rtx.capability(model), exclude=Exclusion(op_types=("GlobalAveragePool",))
    )
    monkeypatch.setattr("workbench.hybrid.building.Worker", Here)
    built = hybrid.build(
        model, divided, rtx, native=rtx, config=BuildConfig(shapes={spec.name: ShapeRange(*ends)})
    )
    x = np.random.default_rng(0).standard_normal(ends[1]).astype(np.float32)
    with built.session() as session:
        first = session.run({spec.name: x})
        second = session.run({spec.name: x})
        on_gpu = session.run({spec.name: cuda.library().asarray(x)})
        (route,) = session._routes.values()
        assert all(map(cuda.is_device, route.buffers.values()))
        assert len(route.bound) == len(built.parts) > 1
        assert len({id(leg.session._lane) for leg in session._legs}) == 1
        buffers = {spec.name: cuda.library().asarray(x)}
        buffers |= {n: cuda.library().empty(v.shape, v.dtype) for n, v in first.items()}
        call = session.bind(buffers, cuda_graph=True)
        call()
        call()
    for name, value in first.items():
        assert np.array_equal(second[name], value)
        assert np.array_equal(on_gpu[name].get(), value)
        assert np.array_equal(buffers[name].get(), value)


class Here:
    """A worker that works here, where the fake is."""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def call(self, target, *args, timeout=None, progress=None, cancel=None):
        if "progress" in target.__code__.co_varnames[: target.__code__.co_argcount]:
            return target(*args, progress)
        return target(*args)


def test_a_plan_of_somebody_else_needs_trust(rtx, engine, tmp_path, monkeypatch):
    plan = engine.serialize()
    assert rtx.load(plan) == engine
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path))
    with pytest.raises(BackendError, match=r"not signed with your key.*trust=True"):
        rtx.load(plan)
    assert rtx.load(plan, trust=True) == engine
    assert TensorRT("tensorrt_rtx", trust=True).load(plan) == engine
    key = tmp_path / "plan.key"
    assert key.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("blob", [True, False])
def test_an_edited_plan_is_refused(rtx, engine, blob):
    record, blobs = unpack(engine.serialize(), "tensorrt")
    content = bytearray(blobs["plan"])
    if blob:
        content[100] ^= 1
    else:
        record["weight_bytes"] = 7
    with pytest.raises(BackendError, match="not signed with your key"):
        rtx.load(pack("tensorrt", record, {"plan": bytes(content)}))
    record.pop("signature")
    with pytest.raises(BackendError, match="has no signature"):
        rtx.load(pack("tensorrt", record, {"plan": bytes(content)}))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"made_with": "TensorRT-RTX 1.6.0"}, r"made with TensorRT-RTX 1\.6\.0, here is"),
        ({"system": "Windows AMD64"}, "made on Windows AMD64"),
        ({"product": "TensorRT"}, "TensorRT-RTX"),
        ({"targets": [], "device": "NVIDIA A100 8.0 108 SM"}, "made for NVIDIA A100"),
    ],
)
def test_a_plan_for_elsewhere_is_refused_even_with_trust(rtx, engine, change, words):
    record, blobs = unpack(engine.serialize(), "tensorrt")
    with pytest.raises(BackendError, match=words):
        rtx.load(pack("tensorrt", {**record, **change}, blobs), trust=True)


@pytest.mark.parametrize(
    ("change", "runs"),
    [
        ({"hardware": "AMPERE_PLUS", "device": "NVIDIA A100 8.0 108 SM", "targets": []}, True),
        ({"hardware": "SAME_COMPUTE_CAPABILITY", "device": "X 8.9 1 SM", "targets": []}, True),
        ({"hardware": "SAME_COMPUTE_CAPABILITY", "device": "X 8.6 1 SM", "targets": []}, False),
        ({"version_compatible": True, "made_with": "TensorRT-RTX 1.1.0"}, True),
        ({"version_compatible": True, "made_with": "TensorRT-RTX 2.0.0"}, False),
    ],
)
def test_compatible_plans_go_further(rtx, engine, change, runs):
    record, blobs = unpack(engine.serialize(), "tensorrt")
    plan = pack("tensorrt", {**record, **change}, blobs)
    if runs:
        assert rtx.load(plan, trust=True).plan == engine.plan
    else:
        with pytest.raises(BackendError, match="built for something else"):
            rtx.load(plan, trust=True)


def test_an_engine_for_other_architectures_says_so(rtx):
    engine = rtx.build(small_network(), BuildConfig(options={"compute_capabilities": "SM120"}))
    with pytest.raises(RunError, match=r"for GPUs of SM120, and Fake GPU is SM89"):
        engine.session()


def test_what_tensorrt_refuses_to_load_comes_in_its_words(rtx, engine):
    record, _ = unpack(engine.serialize(), "tensorrt")
    strange = rtx.load(pack("tensorrt", record, {"plan": b"other"}), trust=True)
    with pytest.raises(RunError, match=r"failed at loading.*the fake was not there"):
        strange.session()


def test_a_key_that_others_can_read_is_not_used(tmp_path, monkeypatch):
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path))
    (tmp_path / "plan.key").write_bytes(b"k" * 32)
    (tmp_path / "plan.key").chmod(0o644)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "none"))
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        (tmp_path / "none").write_text("in the way")
        sealing.signature({}, b"")
    assert any("can be read by others" in str(one.message) for one in told)


def test_layers_from_the_inspector_say_precision_and_what_is_tensorrts_own():
    """In the form of 8.6: a change of layout has no precision and no origin."""
    model = small_network()
    text = json.dumps(
        {
            "Layers": [
                inspected("Reformatting CopyNode for Network Input x", "Reformat", "x", "x'", ""),
                inspected("shape of something", "NoOp", "x'", "x''", ""),
                inspected("conv1 + relu1", "CaskConvolution", "x'", "y", "\x1e".join(
                    f"[ONNX Layer: {node.name}]" for node in model.graph.nodes
                )),
            ],
            "Bindings": ["x", "y"],
        }
    )  # fmt: skip
    layers = layers_of(Built(b"", "", (), (), text), model.graph)
    reformat, _, kernel = layers.nodes[:3]
    assert reformat.domain == LAYER_DOMAIN
    assert all(node.attributes["precision"] for node in executed(layers))
    # The Identity may go with the layer that does nothing; no node may be behind no layer.
    assert set(model.graph.position) - set(kernel.origin) <= {"same"}
    assert {name for layer in layers.nodes for name in layer.origin} == set(model.graph.position)


def inspected(name, kind, read, made, metadata):
    def tensor(one, words):
        return {
            "Name": one, "Location": "Device", "Dimensions": [2, 4, 8, 8], "Format/Datatype": words,
        }  # fmt: skip

    return {
        "Name": name, "LayerType": kind, "Inputs": [tensor(read, "Row major linear FP32")],
        "Outputs": [tensor(made, "Channel major FP16 format where channel % 8 == 0")],
        "TacticName": "t", "StreamId": 0, "Metadata": metadata,
    }  # fmt: skip


def test_a_full_gpu_is_a_gpu(monkeypatch):
    class OutOfMemoryError(Exception):
        pass

    def zeros(size):
        raise OutOfMemoryError("Out of memory allocating 512 bytes")

    working = SimpleNamespace(
        zeros=zeros, cuda=SimpleNamespace(Device=lambda i: SimpleNamespace(use=lambda: None))
    )
    monkeypatch.setattr(cuda.ctypes, "CDLL", lambda name: SimpleNamespace(cuInit=lambda flags: 0))
    monkeypatch.setattr(cuda, "library", lambda: working)
    assert cuda.why_not() == ""


def test_an_engine_that_cannot_tell_a_rank(rtx, engine, monkeypatch):
    """8.6 answers so for what depends on values; the length of its answer is -1."""

    def unknown(self, name):
        raise ValueError("__len__() should return >= 0")

    monkeypatch.setattr(fake_gpu.FakeEngine, "get_tensor_shape", unknown)
    monkeypatch.setattr(fake_gpu.FakeContext, "__init__", lambda self, engine: None)
    opened = runtime.Opened("tensorrt_rtx", engine.plan)
    assert not any(port.fixed for port in opened.ports.values())


def test_the_inspector_is_told_the_shapes(monkeypatch):
    """Without them 8.6 names no types between layers."""
    told = []
    context = SimpleNamespace(set_input_shape=lambda *one: told.append(one) is None)
    inspector = SimpleNamespace(get_engine_information=lambda form: f"{told}")
    loaded = SimpleNamespace(
        create_engine_inspector=lambda: inspector,
        create_execution_context_without_device_memory=lambda: context,
    )
    monkeypatch.setattr(inspecting, "deserialized", lambda *args: (object(), loaded))
    trt = adapter.module("tensorrt_rtx")
    assert inspecting.inspected(trt, None, b"", {"x": (2, 4)}) == "[('x', (2, 4))]"
    assert inspector.execution_context is context


def test_a_builder_stays_until_the_backend_is_closed():
    backend, trt = TensorRT("tensorrt_rtx"), adapter.module("tensorrt_rtx")
    building._keep_one("tensorrt_rtx", trt)
    kept = building._kept["tensorrt_rtx"]
    building._keep_one("tensorrt_rtx", trt)
    assert building._kept["tensorrt_rtx"] is kept
    backend.close()
    assert "tensorrt_rtx" not in building._kept
