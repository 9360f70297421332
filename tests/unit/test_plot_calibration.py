"""The numbers behind the plots of calibration, and that what is drawn is them."""

from __future__ import annotations

import numpy as np
import pytest

from workbench import plot
from workbench.calibrate import Convergence, Histograms, Step
from workbench.calibrate.histogram import Tally
from workbench.errors import DataError


def histograms(bins: int = 2048, **arrays: np.ndarray) -> Histograms:
    found = {}
    for name, array in arrays.items():
        tally = Tally(bins)
        tally.add(array.astype(np.float32))
        found[name] = tally.result()
    return Histograms(found, "", "", 1)


@pytest.fixture
def relu() -> Histograms:
    return histograms(relu=np.maximum(np.random.default_rng(0).normal(size=100_000), 0))


def test_bars_hold_every_value_but_the_zeros(relu: Histograms):
    found = plot.clip_numbers(relu, "relu")
    assert sum(found.shares) + found.zeros == pytest.approx(1)
    assert found.zeros == pytest.approx(0.5, abs=0.01)
    assert len(found.edges) == len(found.shares) + 1 <= 129
    assert found.edges[-1] >= relu["relu"].amax
    assert list(found.clips) == ["minmax", "percentile", "entropy"]
    assert found.saturation["minmax"] == 0
    assert found.saturation["percentile"] == pytest.approx(1e-4, rel=0.3)


def test_tables_of_one_method_are_told_apart(relu: Histograms):
    tables = [relu.table("percentile", percent=p) for p in (99, 90)]
    found = plot.clip_numbers(relu, "relu", tables)
    assert list(found.clips) == ["percentile", "percentile 2"]
    assert found.clips["percentile"] > found.clips["percentile 2"]


def test_what_is_drawn_are_the_numbers(relu: Histograms):
    numbers = plot.clip_numbers(relu, "relu")
    ax = plot.clips(relu, "relu")
    heights = [bar.get_height() for bar in ax.patches]
    assert heights == pytest.approx(list(numbers.shares))
    lines = [line.get_xdata()[0] for line in ax.lines]
    assert lines == pytest.approx(list(numbers.clips.values()))
    assert ax.get_legend() is not None


def test_nothing_to_draw():
    with pytest.raises(ValueError, match="always zero"):
        plot.clip_numbers(histograms(a=np.zeros(3)), "a")
    with pytest.raises(ValueError, match="without bins"):
        plot.clip_numbers(histograms(bins=0, a=np.ones(3)), "a")
    with pytest.raises(DataError, match="no histogram of tensor b"):
        plot.clip_numbers(histograms(a=np.ones(3)), "b")
    with pytest.raises(ValueError, match="nothing to draw"):
        plot.settling_numbers({})


def test_settling_draws_every_step_but_the_last():
    steps = tuple(Step(2**i, 0.1 / 2**i, 0.1, 0.0, 0.0, "a") for i in range(5))
    found = {"minmax": Convergence("minmax", steps, 4, 3)}
    numbers = plot.settling_numbers(found)
    assert numbers.samples == (1, 2, 4, 8)
    assert numbers.change["minmax"] == (0.1, 0.05, 0.025, 0.0125)
    assert numbers.enough == {"minmax": 8}
    ax = plot.settling(found)
    assert list(ax.lines[0].get_ydata()) == pytest.approx([10, 5, 2.5, 1.25])
    assert list(ax.lines[1].get_xdata()) == [8]
