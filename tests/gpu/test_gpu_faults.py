"""What goes wrong on a GPU: too little memory, plans of others, a hybrid build that is stopped."""

from __future__ import annotations

import json
import threading
import time

import numpy as np
import pytest
from gpu_cases import config, error, expected, network, picture
from onnx import TensorProto, helper

from workbench import hybrid
from workbench.backends import cuda
from workbench.backends.plan import pack, unpack
from workbench.backends.tensorrt import TensorRT
from workbench.backends.tensorrt.runtime import Opened
from workbench.errors import BackendError, CancelledError, RunError, WorkbenchError
from workbench.model import from_proto
from workbench.progress import Cancel

NAME = "digits_resnet"


@pytest.fixture(scope="module")
def engine(trt):
    return trt.build(network(NAME), config(network(NAME)))


@pytest.fixture
def full():
    """Takes all GPU memory when called; the next `full` frees it first."""
    cupy, hold = cuda.library(), []

    def free() -> None:
        hold.clear()
        cupy.get_default_memory_pool().free_all_blocks()

    def fill() -> None:
        free()
        step = 1 << 36
        while step >= 1 << 20:
            try:
                hold.append(cupy.cuda.alloc(step))
            except cupy.cuda.memory.OutOfMemoryError:
                step //= 2

    yield fill, free
    free()


def test_opening_sessions_on_a_full_gpu(engine, full, report):
    fill, free = full
    fill()
    with pytest.raises(WorkbenchError, match=r"out of (GPU )?memory.*bytes are free") as opening:
        _many_sessions(engine)
    free()
    report.add("facts", what="opening on a full GPU", value=str(opening.value))
    feeds = picture(network(NAME), 32)
    with engine.session() as session:
        assert error(session.run(feeds), expected(NAME, feeds)) < 1e-2


def _many_sessions(engine) -> None:
    opened = [engine.session() for _ in range(2000)]
    assert opened


def test_running_on_a_full_gpu(trt, full, report):
    fill, free = full
    shape = (64, 1 << 20)
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"], "relu")], "g",
        *([helper.make_tensor_value_info(n, TensorProto.FLOAT, shape)] for n in "xy"),
    )  # fmt: skip
    model = from_proto(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    )
    x = np.full(shape, -1, np.float32)
    with trt.build(model).session() as session:
        session.run({"x": x})
        fill()
        with pytest.raises(RunError, match=r"out of GPU memory.*bytes are free of") as running:
            session.run({"x": x})
        free()
        report.add("facts", what="running on a full GPU", value=str(running.value))
        assert not session.run({"x": x})["y"].any()


def test_a_build_on_a_full_gpu_says_why(trt, full, report):
    fill, free = full
    fill()
    with pytest.raises(BackendError, match=r"out of memory.*bytes are free of") as caught:
        trt.build(network("resnet50"), config(network("resnet50")))
    free()
    report.add("facts", what="building on a full GPU", value=str(caught.value))
    assert trt.build(network(NAME), config(network(NAME))).plan


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("device", "NVIDIA A100 8.0 108 SM", "made for NVIDIA A100"),
        ("made_with", "TensorRT 8.5.3", "made with TensorRT 8.5.3"),
        ("system", "Windows AMD64", "made on Windows"),
        ("product", "TensorRT-RTX", "TensorRT-RTX"),
    ],
)
def test_a_plan_for_something_else_is_refused_before_tensorrt_sees_it(
    trt, engine, monkeypatch, field, value, words
):
    monkeypatch.setattr(Opened, "__init__", lambda *_, **__: pytest.fail("TensorRT saw it"))
    record, blobs = unpack(engine.serialize(), "tensorrt")
    with pytest.raises(BackendError, match=words):
        trt.load(pack("tensorrt", {**record, field: value}, blobs), trust=True)


def test_an_edited_plan_needs_trust(trt, engine):
    record, blobs = unpack(engine.serialize(), "tensorrt")
    edited = bytearray(blobs["plan"])
    edited[len(edited) // 2] ^= 1
    plan = pack("tensorrt", record, {"plan": bytes(edited)})
    with pytest.raises(BackendError, match="not signed with your key"):
        trt.load(plan)
    assert TensorRT(trust=True).load(plan).plan == bytes(edited)


def test_garbage_that_is_trusted_gets_tensorrts_words(trt, engine, report):
    record, _ = unpack(engine.serialize(), "tensorrt")
    plan = pack("tensorrt", record, {"plan": b"garbage" * 1000})
    with pytest.raises(RunError, match="TensorRT failed at loading") as caught:
        trt.load(plan, trust=True).session()
    report.add("facts", what="loading garbage", value=str(caught.value))


def test_a_build_is_stopped_within_two_seconds(report):
    cancel, seconds = Cancel(), []
    model = network("resnet50")

    def stop() -> None:
        time.sleep(8)
        seconds.append(time.perf_counter())
        cancel.set()

    threading.Thread(target=stop).start()
    with pytest.raises(CancelledError):
        hybrid.build_engine(model, TensorRT(), config=config(model), cancel=cancel)
    took = time.perf_counter() - seconds[0]
    report.add("facts", what="seconds from cancel to the end of a build", value=took)
    assert took < 2
    small = network(NAME)
    assert hybrid.build_engine(small, TensorRT(), config=config(small)).has_plan


def test_the_record_of_a_plan_says_what_it_is_for(engine):
    record, _ = unpack(engine.serialize(), "tensorrt")
    assert record["device"]
    assert record["made_with"].startswith("TensorRT ")
    json.dumps(record)
