"""Hybrids on a GPU: no copies to the host, little cost, one CUDA graph, saved and opened again."""

from __future__ import annotations

import ctypes
import functools
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from gpu_cases import config, error, expected, network, picture, placed

from workbench import hybrid
from workbench.backends import cuda
from workbench.backends.onnxruntime import OnnxRuntime
from workbench.backends.tensorrt import TensorRT
from workbench.errors import RunError
from workbench.measure.gpu import gpu_latency
from workbench.partitioning import Exclusion, partition

CUDA = Path("/usr/local/cuda")


@functools.cache
def made(name: str, *, whole: bool = False):
    """Engines with native parts between: the sums or joins in the middle of the network."""
    model, backend = network(name), TensorRT()
    joins = [node.name for node in model.graph.nodes if node.op_type in ("Add", "Concat")]
    between = () if whole else joins if len(joins) < 4 else (joins[5], joins[10])
    exclude = Exclusion(nodes=tuple(between))
    divided = partition(model.graph, backend.capability(model), exclude=exclude)
    return hybrid.build(
        model, divided, backend, native=OnnxRuntime(device="cuda"), config=config(model)
    )


@pytest.fixture(scope="module")
def digits():
    return made("digits_inception")


@pytest.fixture(scope="module")
def counter(tmp_path_factory):
    """Copies and kernels by CUPTI, compiled here."""
    library = tmp_path_factory.mktemp("cupti") / "copies.so"
    source = Path(__file__).with_name("copies.c")
    lib64 = CUDA / "lib64"
    command = [
        "gcc", "-shared", "-fPIC", f"-I{CUDA}/include", str(source), "-o", str(library),
        f"-L{lib64}", f"-L{CUDA}/extras/CUPTI/lib64", f"-Wl,-rpath,{lib64}", "-lcupti",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"CUPTI is not here: {done.stderr[-300:]}")
    return ctypes.CDLL(str(library))


def counted(counter, work) -> dict[str, int]:
    cupy = cuda.library()
    cupy.cuda.runtime.deviceSynchronize()
    assert counter.begin() == 0
    work()
    cupy.cuda.runtime.deviceSynchronize()
    found = (ctypes.c_ulonglong * 5)()
    counter.end(found)
    names = ("copies_to_gpu", "bytes_to_gpu", "copies_from_gpu", "bytes_from_gpu", "kernels")
    return dict(zip(names, found, strict=True))


def _launch(one) -> float:
    return float(np.median(one.launch)) * 1e6


def _graph_of(session, buffers):
    try:
        call = session.bind(buffers, cuda_graph=True)
        call()
        cuda.library().cuda.runtime.deviceSynchronize()
    except RunError as refused:
        return refused
    return call


def _parts_alone(built, session, buffers, model) -> dict:
    """Each part bound by itself to arrays of the shapes it has in the hybrid."""
    (shapes,) = session._shapes.values()
    calls = {}
    for part, leg in zip(built.parts, session._legs, strict=True):
        arrays = {}
        for name in part.tensors:
            spec = model.graph.spec(name)
            arrays[name] = cuda.empty(spec.dtype, shapes[name])
            arrays[name][...] = 0
        calls[part.name] = leg.session.bind(arrays)
    return calls


def test_numpy_goes_through_too(digits):
    feeds = picture(network("digits_inception"), 8)
    right = expected("digits_inception", feeds)
    with digits.session() as session:
        for _ in range(3):
            assert error(session.run(feeds), right) < 1e-2
        on_gpu = {n: cuda.library().asarray(v) for n, v in feeds.items()}
        got = session.run(on_gpu)
        assert all(cuda.is_device(value) for value in got.values())
        assert error({n: v.get() for n, v in got.items()}, right) < 1e-2
        times = session.profile()
        assert times


def test_with_native_regions_on_the_cpu(digits):
    model, backend = network("digits_inception"), TensorRT()
    divided = partition(
        model.graph, backend.capability(model), exclude=Exclusion(op_types=("Concat",))
    )
    built = hybrid.build(model, divided, backend, config=config(model))
    feeds = picture(model, 8)
    with built.session() as session:
        for _ in range(2):
            assert error(session.run(feeds), expected("digits_inception", feeds)) < 1e-2


@pytest.mark.parametrize("batch", [1, 32])
def test_a_whole_network_as_a_hybrid_costs_next_to_nothing(batch, report):
    name, cupy = "digits_resnet", cuda.library()
    model = network(name)
    whole = made(name, whole=True)
    assert len(whole.parts) == 1
    bare = whole.parts[0].engine
    right = expected(name, picture(model, batch))
    shapes = {n: v.shape for n, v in right.items()}
    with whole.session() as mine, bare.session() as its:
        calls = {
            "hybrid": mine.bind(placed(cupy, model, batch, shapes)),
            "bare": its.bind(placed(cupy, model, batch, shapes)),
            "enqueue": _enqueue(its, placed(cupy, model, batch, shapes)),
        }
        times = {one.name: one for one in gpu_latency(calls, seconds=1)}
    extra = times["hybrid"].median - times["enqueue"].median
    report.add(
        "hybrid", network=f"{name}, one engine", batch=batch, engines=1, natives=0,
        hybrid_us=times["hybrid"].median * 1e6, sum_of_parts_us=times["enqueue"].median * 1e6,
        over=extra / times["enqueue"].median, launch_us=_launch(times["hybrid"]),
        bare_launch_us=_launch(times["enqueue"]),
    )  # fmt: skip
    assert extra <= max(0.02 * times["enqueue"].median, 15e-6)


def _enqueue(session, buffers):
    """TensorRT's own call and nothing else."""
    session.bind(buffers)
    runner = session._bindings[-1]._runner
    stream = cuda.library().cuda.get_current_stream
    runner.enqueue(session._lane.own.ptr)
    session._lane.own.synchronize()
    execute = runner.context.execute_async_v3
    return lambda: execute(stream().ptr)


def test_saved_and_opened_in_a_second_process(digits, tmp_path):
    feeds = picture(network("digits_inception"), 8)
    np.savez(tmp_path / "feeds.npz", **feeds)
    digits.save(tmp_path / "digits")
    code = (
        "import sys, pathlib, numpy as np\n"
        "from workbench import hybrid\n"
        "from workbench.backends.onnxruntime import OnnxRuntime\n"
        "here = pathlib.Path(sys.argv[1])\n"
        "built = hybrid.open(here / 'digits', native=OnnxRuntime(device='cuda'))\n"
        "with built.session() as session:\n"
        "    got = session.run(dict(np.load(here / 'feeds.npz')))\n"
        "np.savez(here / 'got.npz', **got)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, timeout=120)
    got = dict(np.load(tmp_path / "got.npz"))
    assert error(got, expected("digits_inception", feeds)) < 1e-2


@pytest.mark.parametrize("name", ["digits_inception", "resnet50"])
def test_parts_cost_little_and_nothing_is_copied_to_the_host(name, counter, report):
    cupy = cuda.library()
    built = made(name)
    model = network(name)
    right = expected(name, picture(model, 8))
    engines = [part for part in built.parts if part.kind == "engine"]
    natives = [part for part in built.parts if part.kind == "native"]
    assert len(engines) >= 3
    assert natives
    assert not built.failures
    with built.session() as session:
        buffers = placed(cupy, model, 8, {n: v.shape for n, v in right.items()})
        call = session.bind(buffers)
        call()
        call()
        assert error({n: buffers[n].get() for n in right}, right) < 1e-2
        copies = counted(counter, lambda: [call() for _ in range(10)])
        alone = _parts_alone(built, session, buffers, model)
        graph = _graph_of(session, buffers)
        calls = {"hybrid": call, **alone} | ({"graph": graph} if callable(graph) else {})
        times = {one.name: one for one in gpu_latency(calls, seconds=0.5)}
    parts = sum(times[n].median for n in alone)
    report.add(
        "hybrid", network=name, batch=8, engines=len(engines), natives=len(natives),
        hybrid_us=times["hybrid"].median * 1e6, sum_of_parts_us=parts * 1e6,
        over=times["hybrid"].median / parts - 1, launch_us=_launch(times["hybrid"]),
        as_graph_us=times["graph"].median * 1e6 if "graph" in times else str(graph)[:160],
        **copies,
    )  # fmt: skip
    assert copies["kernels"] > 0
    assert copies["copies_to_gpu"] == copies["copies_from_gpu"] == 0
    assert times["hybrid"].median <= 1.08 * parts
