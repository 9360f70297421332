"""Every network, FP32 and FP16, batch 1, 8, 32: right, and how fast beside others in one run."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from gpu_cases import BATCHES, NETWORKS, config, error, expected, network, picture, placed, ranges

from workbench import zoo
from workbench.backends import cuda
from workbench.backends.base import BuildConfig, executed
from workbench.backends.onnxruntime import OnnxRuntime
from workbench.measure import accuracy
from workbench.measure.gpu import gpu_latency

PRECISIONS = ("fp32", "fp16")
LIMITS = {"fp32": 1e-2, "fp16": 3e-2}
"""FP32 with TF32, which is on unless a config says otherwise."""
_engines: dict[tuple[str, str], object] = {}


def engine_of(trt, name: str, precision: str, report):
    if (name, precision) not in _engines:
        model = network(name, precision)
        begun = time.perf_counter()
        engine = trt.build(model, config(model))
        layers = executed(engine.layers())
        report.add(
            "builds", network=name, precision=precision, seconds=time.perf_counter() - begun,
            plan_bytes=len(engine.plan), nodes=len(model.graph.nodes), layers=len(layers),
            float16_layers=sum(n.attributes.get("precision") == "float16" for n in layers),
        )  # fmt: skip
        behind = {origin for node in engine.layers().nodes for origin in node.origin}
        assert behind == set(model.graph.position), "nodes behind no layer"
        _engines[name, precision] = engine
    return _engines[name, precision]


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_network_is_right_and_timed(trt, report, name, precision):
    cupy = cuda.library()
    engine = engine_of(trt, name, precision, report)
    model = network(name, precision)
    native = OnnxRuntime(device="cuda").build(model, BuildConfig(shapes=ranges(model)))
    gaps = {}
    with engine.session() as session, native.session() as other:
        for batch in BATCHES:
            feeds = picture(network(name), batch)
            right = expected(name, feeds)
            gaps[batch] = error(session.run(feeds), right)
            shapes = {n: v.shape for n, v in right.items()}
            calls = {
                "tensorrt": session.bind(placed(cupy, model, batch, shapes)),
                "graph": session.bind(placed(cupy, model, batch, shapes), cuda_graph=True),
                "onnxruntime": other.bind(placed(cupy, model, batch, shapes)),
            }
            times = {one.name: one for one in gpu_latency(calls, seconds=0.4)}
            low, high = times["tensorrt"].interval
            after = times["tensorrt"].after
            report.add(
                "latency", network=name, precision=precision, batch=batch,
                **{f"{n}_us": one.median * 1e6 for n, one in times.items()},
                tensorrt_low_us=low * 1e6, tensorrt_high_us=high * 1e6,
                launch_us=float(np.median(times["tensorrt"].launch)) * 1e6,
                waits_for_cpu=times["tensorrt"].waits_for_cpu, sm_mhz=after.sm_mhz,
                held_back=", ".join(after.held_back) or after.problem or "no",
            )  # fmt: skip
            report.add(
                "accuracy", network=name, precision=precision, batch=batch,
                tensorrt=gaps[batch], onnxruntime_cuda=error(other.run(feeds), right),
                onnxruntime_device=other.device,
            )  # fmt: skip
    assert max(gaps.values()) < LIMITS[precision]


@pytest.mark.parametrize("name", ["digits_inception", "digits_resnet"])
def test_trained_networks_keep_their_accuracy(trt, report, name):
    data = zoo.digits()
    found = {}
    with OnnxRuntime().build(network(name)).session() as session:
        found["onnxruntime cpu fp32"] = (
            accuracy(session, data, batch=32, input="image").top(1).value
        )
    for precision in PRECISIONS:
        with engine_of(trt, name, precision, report).session() as session:
            found[f"tensorrt {precision}"] = (
                accuracy(session, data, batch=32, input="image").top(1).value
            )
    report.add("facts", what=f"top-1 of {name}", value=json.dumps(found))
    assert max(found.values()) - min(found.values()) < 0.01


@pytest.mark.parametrize("name", NETWORKS)
def test_the_same_network_in_pytorch(name, report, tmp_path):
    """In the machine's own Python, which has PyTorch; same weights, operators called one by one."""
    python = os.environ.get("WORKBENCH_TORCH_PYTHON", "")
    if not python:
        pytest.skip("WORKBENCH_TORCH_PYTHON names no Python with PyTorch")
    network(name).save(tmp_path / "model.onnx")
    script = Path(__file__).with_name("torch_times.py")
    outside = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "LD_LIBRARY_PATH")}
    done = subprocess.run(
        [python, str(script), str(tmp_path / "model.onnx"), *map(str, BATCHES)],
        capture_output=True, text=True, timeout=300, env=outside,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-1000:]
    for row in json.loads(done.stdout.splitlines()[-1]):
        report.add("torch", network=name, **row)
