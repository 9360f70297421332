"""Sessions on a GPU: arrays where they lie, streams, graphs, shapes that depend on values."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from gpu_cases import Exact, config, error, expected, network, picture, placed
from onnx import TensorProto, helper

from workbench.backends import cuda
from workbench.backends.base import BuildConfig, executed
from workbench.backends.tensorrt import TensorRT
from workbench.backends.tensorrt.runtime import Opened
from workbench.errors import DataError, RunError
from workbench.model import from_proto
from workbench.transform.folding import fold_batch_norm

NAME = "digits_inception"


@pytest.fixture(scope="module")
def cupy():
    return cuda.library()


@pytest.fixture(scope="module")
def engine():
    return Exact().build(network(NAME), config(network(NAME)))


@pytest.fixture(scope="module")
def session(engine):
    with engine.session() as opened:
        yield opened


def test_device_arrays_in_give_device_arrays_out(session, cupy):
    feeds = picture(network(NAME), 8)
    on_gpu = session.run({name: cupy.asarray(value) for name, value in feeds.items()})
    assert all(isinstance(value, cupy.ndarray) for value in on_gpu.values())
    right = expected(NAME, feeds)
    assert error({n: v.get() for n, v in on_gpu.items()}, right) < 1e-4
    assert error(session.run(feeds), right) < 1e-4


def test_a_strided_device_array_is_taken(session, cupy):
    feeds = picture(network(NAME), 8)
    ((name, value),) = feeds.items()
    wide = cupy.zeros((*value.shape[:-1], 2 * value.shape[-1]), value.dtype)
    wide[..., ::2] = cupy.asarray(value)
    got = session.run({name: wide[..., ::2]})
    assert error({n: v.get() for n, v in got.items()}, expected(NAME, feeds)) < 1e-4


def test_the_callers_stream_is_kept_in_order(session, cupy):
    """Work before and after a run on the caller's stream sees it, without anybody waiting."""
    feeds = picture(network(NAME), 32)
    ((name, value),) = feeds.items()
    right = expected(NAME, feeds)
    for stream in (cupy.cuda.Stream(non_blocking=True), cupy.cuda.Stream.null):
        with stream:
            x = cupy.zeros(value.shape, value.dtype)
            heavy = cupy.ones((4096, 4096), cupy.float32)
            for _ in range(8):
                heavy = heavy @ heavy * 1e-4
            x += cupy.asarray(value) + 0 * heavy[0, 0]
            got = {n: v * 2 for n, v in session.run({name: x}).items()}
            host = {n: v.get() / 2 for n, v in got.items()}
        assert error(host, right) < 1e-4


def test_bound_device_buffers_and_a_graph_of_them(session, cupy):
    model = network(NAME)
    right = expected(NAME, picture(model, 8))
    shapes = {name: value.shape for name, value in right.items()}
    for graph in (False, True):
        buffers = placed(cupy, model, 8, shapes)
        call = session.bind(buffers, cuda_graph=graph)
        for _ in range(3):
            call()
        assert error({n: buffers[n].get() for n in right}, right) < 1e-4
        buffers["image"][...] = cupy.asarray(picture(model, 8, seed=1)["image"])
        call()
        again = expected(NAME, picture(model, 8, seed=1))
        assert error({n: buffers[n].get() for n in right}, again) < 1e-4


def test_buffers_may_lie_on_either_side(session, cupy):
    model = network(NAME)
    feeds = picture(model, 8)
    right = expected(NAME, feeds)
    mixed = {
        "image": cupy.asarray(feeds["image"]),
        **{n: np.zeros_like(v) for n, v in right.items()},
    }
    session.bind(mixed)()
    assert error({n: mixed[n] for n in right}, right) < 1e-4


def test_buffers_that_do_not_fit_are_refused(session, cupy):
    model = network(NAME)
    right = expected(NAME, picture(model, 8))
    buffers = placed(cupy, model, 8, {name: value.shape for name, value in right.items()})
    with pytest.raises(DataError, match=r"float64.*expected float32"):
        session.bind({**buffers, "image": buffers["image"].astype("float64")})
    with pytest.raises(DataError, match="has to be"):
        session.bind({**buffers, "logits": cupy.empty((4, 10), "float32")})
    bytes_ = cupy.empty(buffers["image"].nbytes + 4, "uint8")
    shifted = bytes_[4:].view("float32").reshape(buffers["image"].shape)
    with pytest.raises(DataError, match="256 bytes"):
        session.bind({**buffers, "image": shifted})
    with pytest.raises(RunError, match="on the GPU alone"):
        session.bind({"image": picture(model, 8)["image"], **right}, cuda_graph=True)


@pytest.mark.parametrize("shape", [(0, 1, 16, 16), (33, 1, 16, 16)])
def test_a_shape_outside_the_profile_is_refused_with_the_way_out(session, cupy, shape):
    with pytest.raises(DataError, match=r"image axis 0 .*min 1, opt 8, max 32.*ShapeRange"):
        session.run({"image": cupy.zeros(shape, "float32")})


def test_sessions_share_memory_where_they_are_told_to(engine):
    with cuda.sharing() as shared, engine.session() as one, engine.session() as other:
        feeds = picture(network(NAME), 8)
        assert one._lane is other._lane is shared.lane
        assert error(one.run(feeds), expected(NAME, feeds)) < 1e-4
        assert error(other.run(feeds), expected(NAME, feeds)) < 1e-4


def test_threads_with_sessions_of_their_own(engine):
    feeds = [picture(network(NAME), 8, seed) for seed in range(4)]
    right = [expected(NAME, feed) for feed in feeds]
    wrong = []

    def work(i: int) -> None:
        with engine.session() as mine:
            wrong.extend(i for _ in range(50) if error(mine.run(feeds[i]), right[i]) > 1e-4)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_layers_and_times_of_them(engine, session, report):
    session.run(picture(network(NAME), 8))
    times = session.profile()
    layers = {node.name: node for node in engine.layers().nodes}
    named = executed(engine.layers())
    report.add(
        "facts", what="layers of digits_inception", value=len(named), timed=len(times),
        sum_us=sum(times.values()) * 1e6,
    )  # fmt: skip
    assert times.keys() <= layers.keys()
    assert len(times) >= 0.8 * len(named)
    behind = {name for node in layers.values() for name in node.origin}
    assert behind == set(network(NAME).graph.position)


def test_half_precision_is_what_it_computes_in(report):
    model = network(NAME, "fp16")
    engine = Exact().build(model, config(model))
    layers = [n for n in executed(engine.layers()) if n.origin and n.op_type != "NoOp"]
    found = [n.attributes["precision"] for n in layers]
    report.add("facts", what="layers of digits_inception in FP16", value=dict(Counter(found)))
    assert found.count("float16") > len(found) / 2
    products = [n.attributes["precision"] for n in layers if "Conv" in n.op_type]
    assert set(products) == {"float16"}
    feeds = picture(network(NAME), 8)
    with engine.session() as session:
        assert error(session.run(feeds), expected(NAME, feeds)) < 1e-2


def test_an_output_whose_shape_depends_on_values(trt, cupy, report):
    graph = helper.make_graph(
        [helper.make_node("NonZero", ["x"], ["where"], "nonzero")], "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (4, 8))],
        [helper.make_tensor_value_info("where", TensorProto.INT64, (2, "n"))],
    )  # fmt: skip
    model = from_proto(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    )
    x = np.zeros((4, 8), np.float32)
    x[1, 3] = x[2, 5] = 1
    with trt.build(model).session() as session:
        if trt.version.startswith("8."):  # It cannot tell the shapes of such an engine.
            with pytest.raises(RunError, match="run this part with another backend"):
                session.run({"x": x})
            return
        for values in (x, np.ones_like(x), np.zeros_like(x)):
            got = session.run({"x": values})["where"]
            assert got.dtype == np.int64
            assert np.array_equal(np.sort(got), np.sort(np.array(np.nonzero(values))))
        on_gpu = session.run({"x": cupy.asarray(x)})["where"]
        assert on_gpu.get().tolist() == np.array(np.nonzero(x)).tolist()
        with pytest.raises(RunError, match="depends on values"):
            session.bind({"x": x, "where": np.zeros((2, 2), np.int64)})
    report.add("facts", what="NonZero through an output allocator", value="right")


def test_64_bit_integers_are_never_cut_off(trt):
    graph = helper.make_graph(
        [helper.make_node("Add", ["a", "b"], ["c"], "add")], "g",
        [helper.make_tensor_value_info(n, TensorProto.INT64, (2,)) for n in "ab"],
        [helper.make_tensor_value_info("c", TensorProto.INT64, (2,))],
    )  # fmt: skip
    model = from_proto(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    )
    engine = trt.build(model)
    with engine.session() as session:
        a, b = np.array([1, -5]), np.array([2**31 - 9, 7])
        assert session.run({"a": a, "b": b})["c"].tolist() == (a + b).tolist()
        if Opened("tensorrt_bindings", engine.plan).ports["a"].dtype == "int32":
            with pytest.raises(DataError, match="int64 as int32"):
                session.run({"a": a, "b": np.array([2**40, 0])})


def test_other_weights_without_a_build(trt, cupy, report):
    plain = fold_batch_norm(network("digits_resnet")).model
    changed = _with_other_weights(plain)
    engine = trt.build(plain, config(plain, options={"refit": True}))
    with pytest.raises(RunError, match="keeps its weights"):
        trt.build(plain, config(plain)).refit(changed)
    other = engine.refit(changed)
    feeds = picture(plain, 8)
    with other.session() as session, trt.build(changed, config(changed)).session() as right:
        gap = error(session.run(feeds), right.run(feeds))
    report.add("facts", what="refit against a build, relative error", value=gap)
    assert gap < 1e-2


def _with_other_weights(model):
    import onnx

    proto = onnx.load_from_string(model.serialize())
    for tensor in proto.graph.initializer:
        values = onnx.numpy_helper.to_array(tensor)
        if values.ndim == 4:
            tensor.CopyFrom(onnx.numpy_helper.from_array(values * np.float32(1.25), tensor.name))
    return from_proto(proto)


def test_opened_and_run_in_a_second_process(engine, tmp_path):
    feeds = picture(network(NAME), 8)
    (tmp_path / "plan").write_bytes(engine.serialize())
    np.savez(tmp_path / "feeds.npz", **feeds)
    code = (
        "import sys, pathlib, numpy as np\n"
        "from workbench.backends.tensorrt import TensorRT\n"
        "here = pathlib.Path(sys.argv[1])\n"
        "engine = TensorRT().load((here / 'plan').read_bytes())\n"
        "with engine.session() as session:\n"
        "    got = session.run(dict(np.load(here / 'feeds.npz')))\n"
        "np.savez(here / 'got.npz', **got)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, timeout=120)
    with engine.session() as session:
        here = session.run(feeds)
    got = dict(np.load(tmp_path / "got.npz"))
    assert all(np.array_equal(got[name], value) for name, value in here.items())


def test_many_sessions_and_runs_keep_no_memory(engine, cupy, report):
    feeds = {n: cupy.asarray(v) for n, v in picture(network(NAME), 8).items()}

    def rounds(count: int) -> int:
        for _ in range(count):
            with engine.session() as session:
                for _ in range(5):
                    session.run(feeds)
        cupy.get_default_memory_pool().free_all_blocks()
        cupy.cuda.runtime.deviceSynchronize()
        free, total = cuda.memory()
        return total - free

    rounds(20)
    before = rounds(1)
    grown = rounds(200) - before
    report.add("facts", what="GPU bytes kept after 200 sessions and 1000 runs", value=grown)
    assert grown < 0.05 * before


def test_times_of_kernels_from_an_earlier_build_are_used(report, tmp_path):
    """In a process of its own: 8.6 crashes on what it wrote itself."""
    code = (
        "import time\n"
        "from gpu_cases import config, network\n"
        "from workbench.backends.tensorrt import TensorRT\n"
        "from workbench.backends.tensorrt.timing_cache import TimingCache\n"
        "model = network('digits_inception')\n"
        "for _ in range(2):\n"
        "    begun = time.perf_counter()\n"
        "    TensorRT().build(model, config(model, options={'timing_cache': True}))\n"
        "    print(round(time.perf_counter() - begun, 2), flush=True)\n"
        "print(len(TimingCache('tensorrt_bindings')._kept()))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True, text=True, timeout=120,
        env={**os.environ, "WORKBENCH_CACHE": str(tmp_path),
             "PYTHONPATH": f"{Path(__file__).parent}:{os.environ.get('PYTHONPATH', '')}"},
    )  # fmt: skip
    report.add(
        "facts", what="builds with a timing cache: seconds twice, bytes kept",
        value=" ".join(done.stdout.split()), ended=done.returncode, words=done.stderr[-300:],
    )  # fmt: skip
    if TensorRT().version.startswith("8."):
        return
    assert done.returncode == 0


def test_without_options_8_6_lacks_it_says_so(trt):
    model = network(NAME)
    from workbench.errors import BuildError

    if trt.version.startswith("8."):
        with pytest.raises(BuildError, match=r"has no BuilderFlag\.WEIGHT_STREAMING"):
            trt.build(model, config(model, options={"weight_streaming_bytes": 0}))
    engine = trt.build(model, config(model, options={"hardware": "AMPERE_PLUS"}))
    feeds = picture(model, 1)
    with trt.load(engine.serialize()).session() as session:
        assert error(session.run(feeds), expected(NAME, feeds)) < 1e-2


def test_a_config_without_ranges_is_refused_before_the_gpu(trt):
    with pytest.raises(ValueError, match="has no range"):
        trt.build(network(NAME), BuildConfig())
