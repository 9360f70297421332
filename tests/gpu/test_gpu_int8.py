"""INT8 by our own Q/DQ beside FP16 in one run: what it computes in, how right, how fast."""

from __future__ import annotations

import json
import os
import time
from typing import Any

import pytest
from gpu_cases import BATCHES, config, expected, network, placed
from int8_cases import NOISY, build_int8, several

from workbench import zoo
from workbench.backends import cuda
from workbench.backends.base import executed
from workbench.backends.onnxruntime import OnnxRuntime
from workbench.measure import accuracy, deviation
from workbench.measure.gpu import gpu_latency

NETWORKS = ("digits_resnet", "resnet50", "mobilenet_v2", "digits_inception")
UNTIL = float(os.environ.get("WORKBENCH_GPU_UNTIL", "inf"))
"""Time of the clock after which no engine is built that only completes a table."""
_FP32_SECONDS = {"resnet50": 50, "mobilenet_v2": 60}


def engines_of(trt, report, name: str) -> dict[str, Any]:
    """INT8, FP16 and, where there is time, FP32."""
    made = build_int8(trt, name)
    types = made.convolutions()
    report.add(
        "int8", network=name, plan=made.plan, seconds=made.seconds,
        plan_bytes=len(made.engine.plan), layers=len(executed(made.engine.layers())),
        convolutions=sum(types.values()), convolutions_int8=types["int8"],
        convolution_types=json.dumps(types), outcomes=json.dumps(made.audit.counts),
        refused=json.dumps(made.refused),
    )  # fmt: skip
    for one in made.audit.departures:
        report.add(
            "departures", network=name, layer=one.layer[:160], nodes=" ".join(one.origin)[:200],
            reason=one.reason,
        )  # fmt: skip
    found = {"int8": made.engine}
    for precision in ("fp16", "fp32"):
        if precision == "fp32" and time.time() + _FP32_SECONDS.get(name, 20) > UNTIL:
            continue
        model, begun = network(name, precision), time.perf_counter()
        engine = trt.build(model, config(model))
        found[precision] = engine
        report.add(
            "builds", network=name, precision=precision, seconds=time.perf_counter() - begun,
            plan_bytes=len(engine.plan), layers=len(executed(engine.layers())),
        )  # fmt: skip
    return found


def _layers(report, name: str, precision: str, engine, session, feeds) -> None:
    """Time of each layer at one batch, to see which lose."""
    session.run(feeds)
    times = session.profile()
    for node in executed(engine.layers()):
        if node.name in times:
            report.add(
                "layers", network=name, precision=precision, batch=32, layer=node.name[:120],
                type=node.op_type, computes=node.attributes["precision"],
                us=round(times[node.name] * 1e6, 2), nodes=" ".join(node.origin)[:200],
            )  # fmt: skip


@pytest.mark.parametrize("name", NETWORKS)
def test_int8_beside_half_precision(trt, report, name):
    cupy = cuda.library()
    built = engines_of(trt, report, name)
    right = OnnxRuntime().build(network(name), config(network(name))).session()
    sessions = {precision: engine.session() for precision, engine in built.items()}
    medians, noise = {}, {}
    for batch in BATCHES:
        feeds = next(several(name, 1, batch))
        shapes = {n: v.shape for n, v in expected(name, feeds).items()}
        calls = {}
        for precision, session in sessions.items():
            for graph in (False, True):
                buffers = placed(cupy, network(name), batch, shapes)
                key = f"{precision}_graph_us" if graph else f"{precision}_us"
                calls[key] = session.bind(buffers, cuda_graph=graph)
        timed = gpu_latency(calls, seconds=0.3, warmup_seconds=0.1)
        medians[batch] = {one.name: one.median * 1e6 for one in timed}
        ends = {f"{n.name}_interval": [t * 1e6 for t in n.interval] for n in timed}
        after = timed[0].after
        report.add(
            "int8 latency", network=name, batch=batch, **medians[batch], **ends,
            sm_mhz=after.sm_mhz, held_back=", ".join(after.held_back) or after.problem or "no",
        )  # fmt: skip
    for precision, session in sessions.items():
        off = deviation(session, right, several(name, 4, 8)).worst
        report.add(
            "deviation", network=name, precision=precision, batch=8, samples=32,
            relative_max=off.relative_max, relative_l2=off.relative_l2, snr_db=off.snr_db,
            agreement=off.agreement.value if off.agreement else None,
        )  # fmt: skip
        noise[precision] = off.snr_db
    for precision, session in sessions.items():
        _layers(report, name, precision, built[precision], session, next(several(name, 1, 32)))
        session.close()
    for precision, decibel in noise.items():
        assert decibel > (15 if precision == "int8" else 30), precision
    types = build_int8(trt, name).convolutions()
    assert types["int8"] == sum(types.values()), "convolutions that do not run in INT8"
    if name not in NOISY:  # Those are all launches.
        assert medians[32]["int8_us"] <= medians[32]["fp16_us"]


@pytest.mark.parametrize("name", sorted(NOISY))
def test_trained_networks_keep_their_accuracy_in_int8(trt, report, name):
    data = zoo.digits(NOISY[name])
    found = {}
    with OnnxRuntime().build(network(name), config(network(name))).session() as session:
        found["onnxruntime cpu fp32"] = accuracy(session, data, batch=32, input="image")
    made = build_int8(trt, name)
    with made.engine.session() as session:
        found[f"tensorrt int8, {made.plan}"] = accuracy(session, data, batch=32, input="image")
    shares = {which: one.top(1).value for which, one in found.items()}
    report.add("facts", what=f"top-1 of {name} in INT8", value=json.dumps(shares))
    assert max(shares.values()) - min(shares.values()) <= 0.003
