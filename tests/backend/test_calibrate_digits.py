"""Trained networks: good calibration costs nothing, bad calibration costs what it should."""

from __future__ import annotations

import numpy as np
import pytest

from workbench import zoo
from workbench.calibrate import METHODS, CalibrationTable, collect
from workbench.model import Model
from workbench.precision import PrecisionPlan
from workbench.sensitivity import Judge, Score
from workbench.transform import cast, quantize

POINTS = 0.003
"""Share of right answers that good calibration may cost: 0.3 points."""

CASES = {"digits_inception": False, "digits_resnet": True}


@pytest.fixture(scope="module", params=CASES)
def network(request: pytest.FixtureRequest) -> tuple[Model, np.ndarray, Judge]:
    noisy = CASES[request.param]
    model = zoo.load(request.param)
    pictures = next(zoo.digits(noisy, part="calibration").batches(150))[0]
    return model, pictures, Judge(model, zoo.digits(noisy).head(1200), batch=64)


def lost(judge: Judge, score: Score) -> float:
    assert score.top1 is not None
    assert judge.reference.top1 is not None
    return judge.reference.top1.value - score.top1.value


def in_int8(judge: Judge, model: Model, table: CalibrationTable) -> Score:
    return judge.score(quantize(model, table).model)


@pytest.mark.parametrize("method", sorted(METHODS))
def test_good_calibration_keeps_accuracy(network: tuple[Model, np.ndarray, Judge], method: str):
    model, pictures, judge = network
    score = in_int8(judge, model, collect(model, pictures).table(method))
    assert abs(lost(judge, score)) <= POINTS
    assert score.snr_db > 24


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_half_precision_keeps_accuracy(network: tuple[Model, np.ndarray, Judge], precision: str):
    model, _, judge = network
    score = judge.score(cast(model, PrecisionPlan(precision)).model)
    assert abs(lost(judge, score)) <= POINTS
    assert score.snr_db > 25


@pytest.mark.parametrize("factor", [0.1, 255])
def test_pictures_of_a_wrong_scale_ruin_the_network(
    network: tuple[Model, np.ndarray, Judge], factor: float
):
    model, pictures, judge = network
    score = in_int8(judge, model, collect(model, pictures * np.float32(factor)).table("minmax"))
    assert lost(judge, score) > 0.5


def test_black_pictures_and_an_outlier_ruin_what_snr_shows():
    model = zoo.load("digits_inception")
    judge = Judge(model, zoo.digits(), batch=64)
    pictures = next(zoo.digits(part="calibration").batches(150))[0]
    with pytest.warns(RuntimeWarning, match="zero for all samples"):
        black = collect(model, pictures * 0).table("minmax")
    assert lost(judge, in_int8(judge, model, black)) > 0.5
    pictures[0, 0, 8, 8] = 20
    found = collect(model, pictures)
    naive = in_int8(judge, model, found.table("minmax"))
    assert naive.snr_db < 5
    for method in ("entropy", "aciq"):
        score = in_int8(judge, model, found.table(method))
        assert score.snr_db > naive.snr_db + 15
        assert abs(lost(judge, score)) <= POINTS
