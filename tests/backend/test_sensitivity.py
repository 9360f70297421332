"""A planted fault is found: by ranking, by the search for a mixed plan, and inside an engine.

The fault is an imbalance of channels that float32 does not notice: some channels are scaled up by
256 and the next convolution's weights for them down, which no single INT8 scale survives.
"""

from __future__ import annotations

import math
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from hybrid_cases import Troubled
from onnx import numpy_helper

from workbench import backends, hybrid, zoo
from workbench.calibrate import CalibrationTable, collect
from workbench.data import LabelledData
from workbench.errors import (
    BuildError,
    CancelledError,
    DataError,
    PartitionError,
    PrecisionError,
)
from workbench.hybrid import Hybrid
from workbench.model import Model, from_proto
from workbench.partitioning import Capability, Code, Verdict, partition, takes_all
from workbench.progress import Cancel
from workbench.sensitivity import (
    Budget,
    Judge,
    Score,
    bisect,
    mixed_precision,
    prefix_groups,
    product_groups,
    sensitivity_of,
    shadow,
)
from workbench.transform import quantize

FACTOR = 256.0
FAULTS = {
    "digits_resnet": ("block_2/a/bn", "block_2/b/conv"),
    "digits_inception": ("inception_a/3x3_reduce/bn", "inception_a/3x3/conv"),
}


def planted(name: str) -> Model:
    """The network with an imbalance between a normalization and the convolution after it."""
    proto = zoo.load(name).to_proto()
    stored = {tensor.name: tensor for tensor in proto.graph.initializer}
    norm, conv = FAULTS[name]
    for key, factor in ((f"{norm}/gamma", FACTOR), (f"{norm}/beta", FACTOR), (f"{conv}/weight", 0)):
        values = numpy_helper.to_array(stored[key]).copy()
        if factor:
            values[::4] *= factor
        else:
            values[:, ::4] /= FACTOR
        stored[key].CopyFrom(numpy_helper.from_array(values, key))
    return from_proto(proto, name=f"{name}_planted")


def table_for(model: Model) -> CalibrationTable:
    return collect(model, zoo.digits(part="calibration")).table("minmax")


@pytest.fixture(scope="module", params=sorted(FAULTS))
def case(request: pytest.FixtureRequest) -> tuple[Model, CalibrationTable, str]:
    model = planted(request.param)
    return model, table_for(model), FAULTS[request.param][1]


@pytest.fixture(scope="module")
def data() -> LabelledData:
    return zoo.digits()


def test_float32_does_not_notice_the_fault(case, data: LabelledData):
    model = case[0]
    score = Judge(zoo.load(model.name.removesuffix("_planted")), data).score(model)
    assert score.snr_db > 90
    assert score.agreement is not None
    assert score.agreement.value == 1


@pytest.mark.slow
def test_the_planted_culprit_ranks_first(case, data: LabelledData):
    model, table, culprit = case
    found = sensitivity_of(model, table, data.head(96))
    assert found.ranked[0] == culprit
    assert set(found.ranked) == set(product_groups(model))
    worst, second = found.effects[:2]
    assert worst.alone.snr_db < second.alone.snr_db - 20
    assert worst.without is not None
    assert worst.without.snr_db > found.quantized.snr_db + 20
    assert all(
        effect.without is not None and effect.without.snr_db < found.quantized.snr_db + 6
        for effect in found.effects[1:]
    )
    noises = [effect.noise for effect in found.effects]
    assert noises == sorted(noises, reverse=True)
    assert culprit in str(found).splitlines()[4]


def test_a_sound_network_has_no_culprit(data: LabelledData):
    model = zoo.load("digits_resnet")
    found = sensitivity_of(model, table_for(model), data.head(64), without=False)
    assert found.effects[0].alone.snr_db > 25
    assert found.effects[0].without is None
    assert found.quantized.snr_db > 20


@pytest.mark.slow
def test_mixed_precision_restores_accuracy_and_keeps_the_speed(case, data: LabelledData):
    model, table, culprit = case
    found = mixed_precision(
        model, table, data, Budget(top1_drop=0.002, snr_db=20), fallbacks=("fp32", "bf16"),
        seconds=0.5, clock="cpu",
    )  # fmt: skip
    reference, full = found.candidates[:2]
    assert full.score.top1 is not None
    assert full.score.top1.value < 0.5
    assert not full.within
    assert found.chosen.within
    assert found.chosen.score.top1 is not None
    assert reference.score.top1 is not None
    assert found.chosen.score.top1.value >= reference.score.top1.value - 0.002
    assert found.chosen.excluded == (culprit,)
    assert found.plan.resolve(model.graph)[culprit] in ("fp32", "bf16")
    assert found.speedup > 1
    assert found.kept > 0.7
    text = str(found)
    assert culprit in text
    assert "INT8 everywhere" in text


def test_a_sound_network_stays_in_int8(data: LabelledData):
    model = zoo.load("digits_resnet")
    found = mixed_precision(
        model, table_for(model), data.head(64), Budget(agreement=0.95), seconds=0.2
    )
    assert found.chosen.name in ("INT8", "float32")
    assert any("INT8 everywhere keeps within it" in step for step in found.steps)
    assert len(found.candidates) == 2


def test_an_impossible_budget_leaves_float32(data: LabelledData):
    model = zoo.load("digits_resnet")
    found = mixed_precision(
        model, table_for(model), data.head(32), Budget(snr_db=math.inf), seconds=0.1,
        groups=prefix_groups(model),
    )  # fmt: skip
    assert found.chosen.name == "float32"
    assert "Float32 is the fastest" in found.steps[-1]


def test_groups_by_prefix_hold_every_product_once():
    model = zoo.load("digits_resnet")
    groups = prefix_groups(model)
    assert list(groups) == ["stem", "block_1", "block_2", "block_3", "block_4", "head"]
    assert sorted(n for nodes in groups.values() for n in nodes) == sorted(product_groups(model))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "needs a limit"),
        ({"top1_drop": -0.1}, "top1_drop is -0.1"),
        ({"agreement": 99}, "agreement is 99"),
        ({"snr_db": math.nan}, "NaN"),
    ],
)
def test_wrong_budgets(arguments: dict, words: str):
    with pytest.raises(ValueError, match=words):
        Budget(**arguments)


def test_a_budget_on_classes_needs_classes():
    with pytest.raises(DataError, match="no classes"):
        Budget(agreement=0.9).holds(Score(30.0), Score(math.inf))


def test_wrong_groups_and_stops(data: LabelledData):
    model = zoo.load("digits_resnet")
    table = table_for(model)
    with pytest.raises(PrecisionError, match="group a names no_such"):
        sensitivity_of(model, table, data, groups={"a": ["no_such"]})
    cancel = Cancel()
    cancel.set()
    with pytest.raises(CancelledError):
        sensitivity_of(model, table, data.head(8), cancel=cancel)


# Shadow runs.


@pytest.fixture(scope="module")
def divided() -> tuple[Model, Hybrid]:
    """The planted network quantized, in three engines; the fault is in the second."""
    model = planted("digits_resnet")
    quantized = quantize(model, table_for(model)).model
    native = {"block_1/relu", "block_3/a/relu"}
    verdicts = tuple(
        Verdict(node.name, Code.UNSUPPORTED_OP if node.name in native else Code.TAKEN, "test")
        for node in quantized.graph.nodes
    )
    found = partition(quantized.graph, Capability("test", verdicts))
    return model, hybrid.build(quantized, found, "openvino")


def test_the_engine_with_the_fault_stands_out(divided: tuple[Model, Hybrid], data: LabelledData):
    model, built = divided
    found = shadow(built, data, reference=model, samples=16)
    assert [part.part for part in found.parts] == [part.name for part in built.parts]
    assert found.worst.part == "engine 1"
    assert found.samples == 16
    parts = {part.part: part for part in found.parts}
    assert parts["engine 0"].isolated_db == pytest.approx(parts["engine 0"].accumulated_db)
    assert parts["native 0"].isolated_db == math.inf
    assert parts["engine 1"].isolated_db < 10
    assert parts["engine 2"].isolated_db > 30
    assert parts["engine 2"].accumulated_db < 10
    assert "identical" in str(found)


def test_engines_beside_their_own_twins_are_nearly_equal(
    divided: tuple[Model, Hybrid], data: LabelledData
):
    found = shadow(divided[1], data, samples=8)
    assert all(part.isolated_db > 30 for part in found.parts)


def test_bisecting_finds_the_layer(divided: tuple[Model, Hybrid], data: LabelledData):
    model, built = divided
    found = bisect(built, data, "engine 1", reference=model)
    assert "block_2/b/conv" in found.nodes
    assert len(found.nodes) <= 4
    assert found.before_db > 30
    assert found.after_db < 10
    size = len(built.parts[2].subgraph.nodes)
    assert found.builds <= 2 + math.ceil(math.log2(size))
    assert "engine 1 goes wrong at" in str(found)


def test_wrong_questions_about_parts(divided: tuple[Model, Hybrid], data: LabelledData):
    model, built = divided
    with pytest.raises(PartitionError, match="no part engine 7"):
        bisect(built, data, "engine 7", reference=model)
    with pytest.raises(DataError, match="engine 0 is not worse than 20 dB"):
        bisect(built, data, "engine 0", reference=model)
    with pytest.raises(DataError, match="no samples"):
        shadow(built, [])


def test_feeds_serve_as_data_too():
    model = zoo.load("digits_inception")
    graph = model.graph
    built = hybrid.build(model, partition(graph, takes_all(graph)), "openvino")
    picture = np.random.default_rng(0).random((2, 1, 16, 16), np.float32)
    found = shadow(built, [{"image": picture}] * 3)
    assert found.samples == 6
    assert len(found.parts) == 1
    assert found.parts[0].isolated_db > 60


# Backends that go wrong.


@pytest.fixture
def small(data: LabelledData, monkeypatch: pytest.MonkeyPatch) -> LabelledData:
    """Few pictures; the worker process finds the backends of these tests."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    return data.head(8)


def test_a_backend_that_dies_takes_nothing_along(small: LabelledData):
    model = zoo.load("digits_resnet")
    judge = Judge(model, small, backend=Troubled("head/fc", "crash"))
    for _ in range(2):
        with pytest.raises(BuildError, match=r"the builder died: signal 11 \(SIGSEGV\)"):
            judge.score(model)
    assert judge.score(backends.get("openvino").build(model)).snr_db > 90


def test_a_build_that_hangs_is_cancelled(small: LabelledData):
    model, cancel = zoo.load("digits_resnet"), Cancel()
    judge = Judge(model, small, backend=Troubled("head/fc", "hang"), cancel=cancel)
    timer = threading.Timer(1.0, cancel.set)
    timer.start()
    begun = time.perf_counter()
    with pytest.raises(CancelledError):
        judge.score(model)
    assert time.perf_counter() - begun < 4
