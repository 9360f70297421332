"""How much faster BF16 and INT8 are on a CPU: OpenVINO, one thread, ratios within one run.

Prints tables with goals; nothing here gates.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from workbench import backends, zoo
from workbench.measure import compare, latency
from workbench.model import Model
from workbench.precision import Outcome, Precision, PrecisionPlan
from workbench.transform import Transformed, cast, needed_ranges, quantize

sys.path.insert(0, str(Path(__file__).parent.parent / "backend"))
from precision_cases import extremes, random_pictures

pytestmark = pytest.mark.bench

GOALS = {
    ("resnet50", "int8"): 3.0, ("resnet50", "bf16"): 1.8, ("googlenet", "int8"): 2.5,
}  # fmt: skip


def variants(model: Model) -> dict[str, Model]:
    table = extremes(model, needed_ranges(model), random_pictures(model))
    made: dict[str, Transformed] = {
        "bf16": cast(model, PrecisionPlan("bf16")),
        "int8": quantize(model, table),
        "int8, one scale a weight": quantize(model, table, per_channel=False),
    }
    return {"fp32": model, **{name: done.model for name, done in made.items()}}


@pytest.mark.parametrize("name", ["resnet50", "googlenet", "mobilenet_v2"])
def test_openvino_by_precision(name: str) -> None:
    model = zoo.load(name, batch=1)
    feeds = {model.graph.inputs[0].name: random_pictures(model)[0]}
    sessions, calls = [], {}
    for variant, typed in variants(model).items():
        session = backends.get("openvino").build(typed).session()
        outputs = {key: np.empty_like(array) for key, array in session.run(feeds).items()}
        calls[variant] = session.bind({**feeds, **outputs})
        sessions.append(session)
    found = latency(calls, clock="cpu", seconds=3, min_rounds=30)
    print(f"\n{name}, batch 1, OpenVINO, one thread, process CPU time, interleaved")
    for one in found:
        ratio = compare(found[0], one)
        goal = GOALS.get((name, one.name))
        times = f"{ratio.ratio:.2f} times ({ratio.low:.2f} to {ratio.high:.2f})"
        print(f"  {one.name:26} {np.median(one.cpu) * 1e3:7.2f} ms   {times}", end="")
        print(f"   (goal {goal} times)" if goal else "")
    for session in sessions:
        session.close()


@pytest.mark.parametrize("name", ["resnet50", "googlenet"])
def test_onnxruntime_by_form(name: str) -> None:
    """TensorRT's form is slower than float32 there; the form of its own is what pays."""
    model = zoo.load(name, batch=1)
    feeds = {model.graph.inputs[0].name: random_pictures(model)[0]}
    models = {"fp32": model}
    for form in ("tensorrt", "onnxruntime"):
        names = needed_ranges(model, form=form)
        table = extremes(model, names, random_pictures(model))
        models[f"int8, {form} form"] = quantize(model, table, form=form).model
    sessions = {k: backends.get("onnxruntime").build(m).session() for k, m in models.items()}
    calls = {name: lambda s=session: s.run(feeds) for name, session in sessions.items()}
    print(f"\n{name}, batch 1, ONNX Runtime, one thread")
    found = latency(calls, clock="cpu", seconds=2, min_rounds=20)
    for one in found:
        times = np.median(found[0].cpu) / np.median(one.cpu)
        print(f"  {one.name:26} {np.median(one.cpu) * 1e3:7.2f} ms   {times:.2f} times")
    for session in sessions.values():
        session.close()


def test_how_long_transforms_take() -> None:
    model = zoo.load("resnet50", batch=1)
    table = extremes(model, needed_ranges(model), random_pictures(model))
    plan = PrecisionPlan("bf16")
    calls = {
        "cast to BF16": lambda: cast(model, plan) and None,
        "quantize": lambda: quantize(model, table) and None,
    }
    print("\nResNet-50")
    for one in latency(calls, clock="cpu", seconds=1, min_rounds=6, max_rounds=6):
        print(f"  {one.name:26} {np.median(one.cpu):7.2f} s")


def test_what_openvino_achieves() -> None:
    print("\nLayers by outcome, OpenVINO, whole network INT8")
    for name in ("resnet50", "googlenet", "mobilenet_v2", "densenet121"):
        model = zoo.load(name, batch=1)
        table = extremes(model, needed_ranges(model), random_pictures(model))
        done = quantize(model, table)
        engine = backends.get("openvino").build(done.model)
        audit = done.audit(engine, PrecisionPlan("int8").resolve(model.graph))
        convs = [n.name for n in model.graph.nodes if n.op_type == "Conv"]
        rows = [row for row in audit.of(convs) if row.outcome is not Outcome.AROUND]
        small = sum(row.achieved is Precision.INT8 for row in rows)
        counts = {str(key): value for key, value in audit.counts.items()}
        print(f"  {name:14} {small} of {len(convs)} convolutions in INT8; {counts}")
