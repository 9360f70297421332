"""A study with made-up samples, for tests of what is computed from one."""

import numpy as np

from workbench.measure import Measurement
from workbench.study import Configuration, Environment, Study

ENVIRONMENT = Environment(
    processor="Test processor", architecture="x86_64", flags=("avx2",), cores=4, usable_cores=2,
    memory_bytes=1 << 30, system="Linux 6", python="3.11.7", versions={"onnxruntime": "1.31.1"},
    threads=1, load=0.5, date="2026-11-20T10:00:00+00:00",
)  # fmt: skip
ROUNDS = 40


def study_of(
    model="net", batches=(1,), thresholds=(1, 3, 5), *, labels=True, noise=0.01, backend="openvino"
):
    """Whole baselines, then a hybrid for each threshold; threshold 3 is like 1."""
    rng = np.random.default_rng(7)
    configurations, measurements = [], []
    for batch in batches:
        shared = 1 + rng.exponential(noise, ROUNDS)
        ways = [("onnxruntime, whole", "onnxruntime", None, 1.0)]
        ways += [(f"{backend}, whole", backend, None, 0.5)]
        ways += [(f"{backend}, min {t}", backend, t, 0.6 + 0.1 * t) for t in thresholds]
        for variant, by, threshold, cost in ways:
            one = _configuration(model, batch, variant, by, threshold)
            configurations.append(one)
            if not one.same_as:
                wall = 0.002 * batch * cost * shared * (1 + rng.normal(0, noise / 4, ROUNDS))
                measurements += _latency(one, wall) + _snr(one)
                measurements += _accuracy(one) if labels else []
    return Study(
        tuple(measurements), ENVIRONMENT, tuple(configurations), {model: "onnxruntime, whole"}
    )


def _configuration(model, batch, variant, backend, threshold):
    hybrid = threshold is not None
    return Configuration(
        model=model, batch=batch, variant=variant, backend=backend, backend_version="1.0",
        device="CPU", native="onnxruntime" if hybrid else "", threshold=threshold,
        policy="connected" if hybrid else "", source="table" if hybrid else "",
        engines=2 if hybrid else None, engine_nodes=20 - threshold if hybrid else None,
        native_nodes=5 + threshold if hybrid else None, build_seconds=0.5, weights="trained",
        same_as=f"{backend}, min 1" if threshold == 3 else "",
    )  # fmt: skip


def _measured(one, metric, unit, samples, **details):
    details = {"batch": one.batch, "measured_by": one.measured_by, **details}
    return Measurement(one.model, one.variant, metric, unit, tuple(samples), details)


def _latency(one, wall):
    details = {
        "calls": 2, "run": f"{one.model} {one.batch}", "warmup_calls": 30, "warm": True,
        "noise": {
            "load_before": 0.1, "load_after": 0.2, "cpus": 2, "mhz_before": None,
            "mhz_after": None, "stolen": 0.0, "preemptions": 1,
        },
    }  # fmt: skip
    return [
        _measured(one, "latency", "s", wall.tolist(), **details),
        _measured(one, "cpu_time", "s", (wall * 0.9).tolist(), **details),
    ]


def _accuracy(one):
    right = 95 - (one.threshold or 0)
    details = {"data": "digest", "classes": 10, "nonfinite": 0, "ties": 0}
    return [
        _measured(one, "top1", "share", [1] * right + [0] * (100 - right), k=1, **details),
        _measured(one, "top5", "share", [1] * 100, k=5, **details),
    ]


def _snr(one):
    snr = float("inf") if one.backend == "onnxruntime" else 120.0 - (one.threshold or 0)
    return [
        _measured(
            one, "snr", "dB", [snr], output="y", verdict="identical" if snr > 1e9 else "differs",
            elements=160, nonfinite=0, reference_nonfinite=0, max_abs=1e-6, relative_max=1e-6,
            relative_l2=1e-6, cosine=1.0, agreement=1.0, count=16, reference="reference 1.23",
        )
    ]  # fmt: skip
