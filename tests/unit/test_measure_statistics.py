"""Intervals and tests against simulation, hand calculation and SciPy."""

import math

import numpy as np
import pytest

from workbench.measure import mcnemar, median_interval, ratio_interval, wilson


def test_median_interval_takes_the_tabulated_order_statistics():
    # Ranks at 95 % as printed in Conover, Practical Nonparametric Statistics, and in Le Boudec.
    for count, low, high in ((6, 1, 6), (10, 2, 9), (20, 6, 15), (31, 10, 22), (50, 18, 33)):
        assert median_interval(range(1, count + 1)) == (low, high)


def test_median_interval_does_not_exist_below_six_samples():
    assert median_interval([1.0] * 5) == (-math.inf, math.inf)
    assert median_interval([3, 1, 2, 6, 5, 4]) == (1, 6)


@pytest.mark.parametrize("count", [6, 15, 40])
def test_median_interval_covers_as_promised_whatever_the_distribution(count):
    rng = np.random.default_rng(1)
    held = 0
    for samples in rng.lognormal(0.0, 1.0, (2000, count)):  # The median is 1.
        low, high = median_interval(samples)
        held += low <= 1 <= high
    assert held / 2000 >= 0.95 - 3 * math.sqrt(0.95 * 0.05 / 2000)


def test_median_interval_agrees_with_scipy_for_many_counts():
    stats = pytest.importorskip("scipy.stats")
    for count in (6, 7, 8, 9, 25, 26, 99, 500, 3000):
        low, high = median_interval(range(1, count + 1))
        assert stats.binom.cdf(low - 1, count, 0.5) <= 0.025 < stats.binom.cdf(low, count, 0.5)
        assert high == count + 1 - low


def test_wilson_known_values():
    # 10 of 20: the center is one half, the half width z sqrt(1/80 + z2/1600) / (1 + z2/20).
    low, high = wilson(10, 20)
    assert (low, high) == pytest.approx((0.299298, 0.700702), abs=1e-6)
    assert wilson(0, 10) == pytest.approx((0.0, 0.277533), abs=1e-6)
    assert wilson(10, 10) == pytest.approx((0.722467, 1.0), abs=1e-6)


def test_wilson_covers_close_to_the_promise():
    rng = np.random.default_rng(2)
    for share in (0.1, 0.5, 0.97):
        hits = rng.binomial(450, share, 4000)
        held = sum(low <= share <= high for low, high in (wilson(int(h), 450) for h in hits))
        assert 0.93 < held / 4000 < 0.975


@pytest.mark.parametrize(("hits", "count"), [(1, 0), (-1, 5), (6, 5)])
def test_wilson_refuses_what_is_no_share(hits, count):
    with pytest.raises(ValueError, match="hits"):
        wilson(hits, count)


def test_mcnemar_by_hand():
    # 8 disagreements, 1 one way: 2 (C(8,0) + C(8,1)) / 2^8 = 18 / 256.
    assert mcnemar(1, 7) == mcnemar(7, 1) == 18 / 256
    assert mcnemar(0, 6) == 2 / 64
    assert mcnemar(5, 5) == 1.0
    assert mcnemar(0, 0) == 1.0


def test_mcnemar_of_large_counts_is_exact():
    stats = pytest.importorskip("scipy.stats")
    for only_first, only_second in ((900, 1100), (4000, 4001), (0, 3000)):
        expected = stats.binomtest(only_first, only_first + only_second).pvalue
        assert mcnemar(only_first, only_second) == pytest.approx(expected, rel=1e-6, abs=1e-300)


def test_ratio_interval_holds_the_ratio_and_uses_the_pairing():
    rng = np.random.default_rng(3)
    shared = rng.lognormal(0, 0.5, 200)
    a, b = shared * rng.normal(1.1, 0.01, 200), shared * rng.normal(1.0, 0.01, 200)
    low, high = ratio_interval(a, b)
    assert low < 1.1 < high
    unpaired = ratio_interval(a, rng.permutation(b))
    assert high - low < (unpaired[1] - unpaired[0]) / 2


def test_ratio_interval_rarely_sees_a_difference_where_there_is_none():
    # Slow drift shared by neighbours, as on a machine with other work; 95 % promised.
    rng, wrong, runs = np.random.default_rng(4), 0, 300
    for _ in range(runs):
        drift = np.convolve(rng.exponential(0.3, 64), np.ones(5) / 5, "valid")
        a, b = (1 + drift + rng.exponential(0.05, (2, 60))).astype(float)
        low, high = ratio_interval(a, b, resamples=400)
        wrong += not low <= 1 <= high
    assert wrong / runs <= 0.08


@pytest.mark.parametrize("rounds", [6, 10, 20])
def test_ratio_interval_keeps_its_promise_with_few_rounds(rounds):
    rng, wrong, runs = np.random.default_rng(5), 0, 300
    for _ in range(runs):
        low, high = ratio_interval(*rng.lognormal(0, 0.1, (2, rounds)), resamples=300)
        wrong += not low <= 1 <= high
    assert wrong / runs <= 0.06


def test_ratio_interval_is_the_same_every_time():
    a, b = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [2.0, 2.0, 3.0, 3.0, 4.0, 4.0]
    assert ratio_interval(a, b) == ratio_interval(a, b)


def test_refusals_say_what_is_wrong():
    with pytest.raises(ValueError, match="no samples"):
        median_interval([])
    with pytest.raises(ValueError, match="confidence is 95"):
        median_interval([1.0] * 10, 95)
    with pytest.raises(ValueError, match="paired rounds"):
        ratio_interval([1.0], [1.0, 2.0])
    with pytest.raises(ValueError, match="not above zero"):
        ratio_interval([0.0, 1.0], [1.0, 2.0])
