"""What goes wrong on a GPU: too little memory, plans of others, a hybrid build that is stopped."""

from __future__ import annotations

import json
import threading
import time

import pytest
from gpu_cases import config, error, expected, network, picture

from workbench import hybrid
from workbench.backends import cuda
from workbench.backends.plan import pack, unpack
from workbench.backends.tensorrt import TensorRT
from workbench.backends.tensorrt.runtime import Opened
from workbench.errors import BackendError, CancelledError, RunError, WorkbenchError
from workbench.progress import Cancel

NAME = "digits_resnet"


@pytest.fixture(scope="module")
def engine(trt):
    return trt.build(network(NAME), config(network(NAME)))


def test_a_full_gpu_gives_a_clear_error_and_nothing_is_lost(trt, engine, report):
    cupy = cuda.library()
    pool = cupy.get_default_memory_pool()
    pool.free_all_blocks()
    model = network(NAME)
    feeds = picture(model, 32)
    hold, step = [], 1 << 36
    with engine.session() as session:
        session.run(feeds)
        while step >= 1 << 20:
            try:
                hold.append(cupy.cuda.alloc(step))
            except cupy.cuda.memory.OutOfMemoryError:
                step //= 2
        big = cupy.cuda.runtime.memGetInfo()[0]
        with pytest.raises(WorkbenchError) as opening:
            _many_sessions(engine)
        with pytest.raises(WorkbenchError) as running:
            _more_and_more(session, hold)
        hold.clear()
        pool.free_all_blocks()
        assert error(session.run(feeds), expected(NAME, feeds)) < 1e-2
    report.add("facts", what="opening on a full GPU", value=str(opening.value), free=big)
    report.add("facts", what="running on a full GPU", value=str(running.value))
    assert "out of GPU memory" in str(opening.value)
    assert "bytes are free of" in str(opening.value)
    assert "out of GPU memory" in str(running.value)


def _many_sessions(engine) -> None:
    opened = [engine.session() for _ in range(2000)]
    assert opened


def _more_and_more(session, hold) -> None:
    cupy = cuda.library()
    for batch in range(8, 33):
        session.run(picture(network(NAME), batch))
        try:
            hold.append(cupy.cuda.alloc(1 << 16))
        except cupy.cuda.memory.OutOfMemoryError:
            hold.append(None)


def test_a_build_on_a_full_gpu_says_why(trt, report):
    cupy = cuda.library()
    cupy.get_default_memory_pool().free_all_blocks()
    hold, step = [], 1 << 36
    while step >= 1 << 20:
        try:
            hold.append(cupy.cuda.alloc(step))
        except cupy.cuda.memory.OutOfMemoryError:
            step //= 2
    try:
        with pytest.raises(BackendError) as caught:
            trt.build(network("resnet50"), config(network("resnet50")))
    finally:
        hold.clear()
        cupy.get_default_memory_pool().free_all_blocks()
    report.add("facts", what="building on a full GPU", value=str(caught.value))
    assert "memory" in str(caught.value).lower()
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
