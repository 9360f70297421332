"""Histograms are exact counts; clips follow from them as their sources say."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from workbench.calibrate import METHODS, Histogram, Histograms, diff
from workbench.calibrate.entropy import best, divergences
from workbench.calibrate.histogram import Tally, merged
from workbench.calibrate.methods import clip
from workbench.errors import DataError

VALUES = hnp.arrays(
    np.float32,
    st.integers(1, 400),
    elements=st.floats(-1e6, 1e6, width=32)
    | st.just(0.0)
    | st.floats(-(2.0**-20), 2.0**-20, width=32),
)


def tallied(*arrays: np.ndarray, bins: int = 128) -> Tally:
    tally = Tally(bins)
    for array in arrays:
        tally.add(array)
    return tally


def histogram(values: np.ndarray, bins: int = 2048) -> Histogram:
    return tallied(np.asarray(values, np.float32), bins=bins).result()


@given(VALUES)
@settings(max_examples=200, deadline=None)
def test_every_value_is_in_its_bin(values: np.ndarray):
    found = tallied(values).result()
    assert found.total == values.size
    assert (found.minimum, found.maximum) == (values.min(), values.max())
    assert found.zeros == (values == 0).sum()
    if found.width == 0:
        assert not values.any()
        return
    assert math.frexp(found.width)[0] == 0.5
    places = np.floor(np.abs(values.astype(np.float64)) / found.width).astype(int)
    assert np.array_equal(np.bincount(places, minlength=len(found.counts)), found.counts)
    assert found.counts[-1] > 0
    assert 128 < len(found.counts) <= 256 or found.amax < 1e-27


@given(VALUES, st.randoms(use_true_random=False), st.integers(1, 7))
@settings(max_examples=200, deadline=None)
def test_order_and_pieces_do_not_matter(values: np.ndarray, random, pieces: int):
    whole = tallied(values).result()
    order = list(range(len(values)))
    random.shuffle(order)
    parts = np.array_split(values[order], pieces)
    assert tallied(*parts).result().same_as(whole)
    assert merged([tallied(part) for part in parts]).result().same_as(whole)


def test_blocks_and_dtypes_are_counted_alike():
    values = np.random.default_rng(1).normal(size=(3, 50_000)).astype(np.float16)
    by_row = tallied(*values).result()
    assert tallied(values).result().same_as(by_row)
    assert tallied(values.astype(np.float32)).result().same_as(by_row)
    assert tallied(values.astype(np.float64).T).result().same_as(by_row)


def test_values_that_are_no_numbers_are_left_out_and_counted():
    tally = Tally(128)
    assert tally.add(np.array([1, np.nan, np.inf, -np.inf, -2], np.float32)) == 3
    assert tally.add(np.array([np.nan], np.float32)) == 1
    found = tally.result()
    assert (found.total, found.nonfinite, found.amax) == (2, 4, 2.0)


def test_nothing_and_zeros_have_no_width():
    assert Tally(128).result().amax == 0
    found = tallied(np.zeros(5, np.float32)).result()
    assert (found.width, found.zeros, found.total, found.amax) == (0, 5, 5, 0)
    later = tallied(np.zeros(5, np.float32), np.ones(1, np.float32)).result()
    assert (later.counts[0], later.total) == (5, 6)


@pytest.mark.parametrize("amax", [3e38, 1e30, 1.0, 1e-20, 1e-30, 1e-44])
def test_any_magnitude_has_a_bin(amax: float):
    found = histogram(np.array([amax, -amax / 2, 0]))
    assert found.total == 3
    assert found.counts[-1] >= 1
    assert found.amax == np.float32(amax)


def test_memory_does_not_grow_with_the_data():
    tally = Tally(2048)
    for step in range(40):
        tally.add(np.full(1000, 2.0**step, np.float32))
    assert tally.counts.nbytes == 2 * 2048 * 8
    assert tally.result().total == 40_000


@pytest.mark.parametrize("bins", [1, 127, 1 << 21, -5])
def test_a_resolution_must_make_sense(bins: int):
    with pytest.raises(ValueError, match="bins is"):
        Tally(bins)


def test_tallies_of_different_resolution_do_not_add_up():
    with pytest.raises(ValueError, match="do not add up"):
        Tally(128).merge(Tally(256))


@given(VALUES, st.floats(1e-3, 2e6))
@settings(max_examples=200, deadline=None)
def test_saturation_is_right_to_a_bin(values: np.ndarray, at: float):
    found = histogram(values)
    magnitudes = np.abs(values.astype(np.float64))
    share = found.share_beyond(at)
    assert (magnitudes > at + found.width).mean() - 1e-9 <= share
    assert share <= (magnitudes >= at - found.width).mean() + 1e-9


# Clips.


@given(VALUES, st.sampled_from(sorted(METHODS)))
@settings(max_examples=200, deadline=None)
def test_a_clip_is_above_zero_and_not_beyond_what_was_seen(values: np.ndarray, method: str):
    found = histogram(values, 128)
    if found.amax > 1e-30:
        assert 0 < clip(found, method, {}) <= found.amax


@given(VALUES, st.floats(0.1, 100), st.floats(0.1, 100))
@settings(max_examples=200, deadline=None)
def test_percentiles_are_monotone_and_right_to_a_bin(values: np.ndarray, a: float, b: float):
    found = histogram(values)
    if found.amax == 0:
        return
    low, high = (clip(found, "percentile", {"percent": p}) for p in sorted((a, b)))
    assert low <= high
    exact = np.quantile(np.abs(values.astype(np.float64)), max(a, b) / 100, method="inverted_cdf")
    assert abs(high - exact) <= found.width * (1 + 1e-9)


def test_minmax_and_the_whole_percentile_are_the_largest_magnitude():
    found = histogram(np.array([-3, 1, 2]))
    assert clip(found, "minmax", {}) == 3
    assert clip(found, "percentile", {"percent": 100}) == 3


@pytest.mark.parametrize("scale", [1e-3, 1.0, 50.0])
def test_aciq_finds_the_known_clips(scale: float):
    random = np.random.default_rng(0)
    laplace = histogram(random.laplace(scale=scale, size=1_000_000))
    normal = histogram(random.normal(scale=scale, size=1_000_000))
    # Table 1 of Banner et al. for 8 bits: 9.89 b and 3.92 sigma.
    assert clip(laplace, "aciq", {}) == pytest.approx(9.89 * scale, rel=0.01)
    assert clip(normal, "aciq", {}) == pytest.approx(3.92 * scale, rel=0.01)
    assert clip(laplace, "aciq", {"distribution": "normal"}) == pytest.approx(
        3.92 * 2**0.5 * scale, rel=0.01
    )


def test_aciq_does_not_see_the_zeros_of_a_relu():
    values = np.random.default_rng(0).normal(size=400_000)
    clips = [clip(histogram(v), "aciq", {}) for v in (values, np.maximum(values, 0))]
    assert clips[0] == pytest.approx(clips[1], rel=0.01)


def quantization_error(values: np.ndarray, amax: float) -> float:
    scale = amax / 127
    back = np.clip(np.rint(values / scale), -127, 127) * scale
    return float(((back - values) ** 2).mean())


@pytest.mark.parametrize("kind", ["normal", "laplace", "relu", "outlier", "few levels"])
def test_mse_is_near_the_best_clip_there_is(kind: str):
    random = np.random.default_rng(3)
    values = random.laplace(size=50_000) if kind == "laplace" else random.normal(size=50_000)
    if kind == "relu":
        values = np.maximum(values, 0)
    elif kind == "outlier":
        values[0] = 40
    elif kind == "few levels":
        values = np.rint(values * 4) / 4
    found = histogram(values)
    best_error = min(quantization_error(values, found.amax * i / 400) for i in range(20, 401))
    own = quantization_error(values, clip(found, "mse", {}))
    assert own <= 1.05 * best_error


# Entropy, against a plain re-implementation of NVIDIA's published form.


def plain_divergence(bins: np.ndarray, kept: int, levels: int) -> float:
    bins = bins.astype(float).copy()
    bins[0] = bins[1]
    level_of = (np.digitize(range(kept), np.linspace(0, kept, levels + 1)) - 1).tolist()
    sums: Counter[int] = Counter()
    sizes: Counter[int] = Counter()
    for place, level in enumerate(level_of):
        if bins[place]:
            sums[level] += bins[place]
            sizes[level] += 1
    q = [sums[level] / sizes[level] if bins[i] else 0.0 for i, level in enumerate(level_of)]
    p = bins[:kept].copy()
    p[-1] += bins[kept:].sum()
    if not sum(q):
        return math.inf
    p, q = p / p.sum(), np.array(q) / sum(q)
    total = 0.0
    for a, b in zip(p, q, strict=True):
        if a > 0:
            total += math.inf if b == 0 else a * math.log(a / b)
    return total


@pytest.mark.parametrize("seed", range(6))
def test_divergences_are_those_of_the_plain_form(seed: int):
    random = np.random.default_rng(seed)
    counts = random.poisson(np.geomspace(300, 0.2, 150)) * (random.random(150) > 0.1)
    counts[0] = 100_000
    levels = [16, 31, 128][seed % 3]
    found = divergences(counts, levels)
    plain = [plain_divergence(counts, kept, levels) for kept in range(levels, 151)]
    assert len(found) == len(plain)
    np.testing.assert_allclose(found, plain, rtol=1e-9, atol=1e-12)


@given(hnp.arrays(np.int64, st.integers(20, 60), elements=st.integers(0, 50)))
@settings(max_examples=150, deadline=None)
def test_divergences_never_differ_from_the_plain_form(counts: np.ndarray):
    if not counts[1:].any():
        return
    found = divergences(counts, 8)
    plain = [plain_divergence(counts, kept, 8) for kept in range(8, len(counts) + 1)]
    np.testing.assert_allclose(found, plain, rtol=1e-7, atol=1e-9)


def test_entropy_keeps_everything_of_an_even_distribution_and_cuts_an_outlier():
    random = np.random.default_rng(0)
    even = histogram(random.uniform(-1, 1, 500_000))
    assert clip(even, "entropy", {}) == pytest.approx(1, rel=0.01)
    values = random.normal(size=500_000)
    values[0] = 100
    assert 2 < clip(histogram(values), "entropy", {}) < 12


def test_entropy_does_not_mind_the_zeros_of_a_relu():
    values = np.random.default_rng(0).normal(size=500_000)
    clips = [clip(histogram(v), "entropy", {}) for v in (values, np.maximum(values, 0))]
    assert clips[0] == pytest.approx(clips[1], rel=0.15)
    assert min(clips) > 2.5


def test_entropy_of_few_values_clips_nothing():
    assert clip(histogram(np.linspace(-1, 2, 64)), "entropy", {}) == 2


def test_the_last_of_equal_candidates_is_kept():
    counts = np.zeros(40, np.int64)
    counts[1] = 7
    assert best(counts, 8) == 40


@pytest.mark.parametrize(
    ("method", "options", "words"),
    [
        ("entrpy", {}, "did you mean entropy"),
        ("percentile", {"percentage": 99}, "did you mean percent"),
        ("percentile", {"percent": 0}, "above 0"),
        ("percentile", {"percent": float("nan")}, "above 0"),
        ("minmax", {"percent": 99}, "it has none"),
        ("entropy", {"levels": 1}, "must be 2"),
        ("aciq", {"distribution": "uniform"}, "auto, laplace or normal"),
    ],
)
def test_wrong_methods_and_options_are_named(method: str, options: dict, words: str):
    with pytest.raises(ValueError, match=words):
        clip(histogram(np.arange(10.0)), method, options)


# Tables.


def made(**arrays: np.ndarray) -> Histograms:
    return Histograms(
        {name: histogram(array) for name, array in arrays.items()}, "m" * 64, "d" * 64, 3
    )


def test_a_table_is_bound_and_keeps_the_sign():
    random = np.random.default_rng(0)
    values = random.normal(size=100_000)
    table = made(a=values, relu=np.maximum(values, 0), shifted=values + 20).table(
        "percentile", percent=99.0
    )
    assert (table.method, table.model_digest, table.data_digest) == (
        "percentile", "m" * 64, "d" * 64,
    )  # fmt: skip
    assert (table.samples, table.details["percent"]) == (3, 99.0)
    assert table["a"].low == -table["a"].high
    assert table["relu"].low == 0
    assert table["shifted"].low == 0
    assert table["shifted"].amax < (values + 20).max()


@pytest.mark.parametrize("method", sorted(METHODS))
def test_tables_of_all_methods_come_from_one_collection(method: str):
    found = made(a=np.random.default_rng(0).normal(size=10_000))
    assert found.table(method).ranges == found.table(method).ranges
    assert found.table(method)["a"].amax <= found["a"].amax


def test_a_tensor_of_zeros_has_no_range_and_a_warning():
    found = made(a=np.arange(9.0), dead=np.zeros(9))
    assert found.all_zero == ("dead",)
    with pytest.warns(RuntimeWarning, match="1 of 2 tensors .*dead"):
        table = found.table("minmax")
    assert table.missing(["a", "dead"]) == ("dead",)
    with pytest.raises(DataError, match="every tensor is zero"):
        made(a=np.zeros(3)).table()


def test_ranges_without_bins_are_good_for_minmax_only():
    tally = Tally(0)
    tally.add(np.array([-1, 5], np.float32))
    found = Histograms({"a": tally.result()}, "", "", 1)
    assert found.table("minmax")["a"].amax == 5
    with pytest.raises(ValueError, match="only ranges were collected"):
        found.table("entropy")


def test_an_unknown_tensor_is_named_with_the_nearest():
    with pytest.raises(DataError, match="did you mean conv_1"):
        made(conv_1=np.ones(3))["conv1"]


def test_tables_differ_by_tensor_and_origin():
    random = np.random.default_rng(0)
    found = made(a=random.normal(size=50_000), b=random.uniform(size=50_000))
    before, after = found.table("minmax"), found.table("percentile", percent=90)
    changes = diff(before, after)
    assert [one.tensor for one in changes] == ["a", "b"]
    assert changes.notes == ("method: minmax -> percentile",)
    assert "2 tensors of 2 differ" in str(changes)
    assert not diff(before, before)
    assert not diff(before, after, tolerance=1)
    lonely = diff(before, before.but({"b": None}))
    assert [(one.tensor, one.kind) for one in lonely] == [("b", "removed")]
