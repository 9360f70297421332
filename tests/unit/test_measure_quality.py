"""Accuracy and deviation against counts made by hand, on plain NumPy networks."""

import math

import numpy as np
import pytest

from workbench.data import LabelledData
from workbench.errors import CancelledError, DataError
from workbench.graph import TensorSpec
from workbench.measure import accuracy, compare_accuracy, deviation
from workbench.progress import Cancel


class Network:
    """A function of one input that behaves like a session and like an engine."""

    inputs = (TensorSpec("x", "float32", ("N", 1, 1, 4)),)

    def __init__(self, function, output="y"):
        self.function, self.output, self.batches, self.closed = function, output, [], 0

    def session(self):
        return self

    def __enter__(self):
        return self

    def __exit__(self, *args):
        self.closed += 1

    def run(self, feeds):
        self.batches.append(feeds["x"].shape[0])
        return {self.output: self.function(feeds["x"].reshape(len(feeds["x"]), 4))}


def data(scores, labels):
    return LabelledData.from_arrays(np.float32(scores)[:, None, None, :], np.array(labels))


SCORES = [[4, 3, 2, 1], [1, 4, 3, 2], [1, 2, 4, 3], [3, 2, 1, 4], [1, 2, 3, 4]]


def test_a_session_has_to_be_told_its_input():
    class Session:
        def run(self, feeds):
            raise AssertionError

    data = LabelledData.from_arrays(np.zeros((1, 2, 2), np.float32), np.zeros(1, int))
    with pytest.raises(DataError, match="input="):
        accuracy(Session(), data)


def test_accuracy_counts_ranks():
    found = accuracy(Network(lambda x: x), data(SCORES, [0, 2, 1, 1, 0]), top=(1, 2, 3))
    assert found.hits == {
        1: (True, False, False, False, False),
        2: (True, True, False, False, False),
        3: (True, True, True, True, False),
    }
    assert (found.top(2).hits, found.top(2).count, found.top(2).value) == (2, 5, 0.4)
    low, high = found.top(1).interval
    assert 0 < low < 0.2 < high < 1
    assert (found.classes, found.nonfinite, found.ties, found.count) == (4, 0, 0, 5)


def test_a_k_that_is_always_right_is_left_out():
    found = accuracy(Network(lambda x: x), data(SCORES, [0, 1, 2, 3, 3]))
    assert list(found.hits) == [1]
    with pytest.raises(ValueError, match="top-5 was not measured"):
        found.top(5)


@pytest.mark.parametrize("batch", [1, 2, 3, 5, 8])
def test_the_last_batch_is_filled_up_and_counted_once(batch):
    network = Network(lambda x: x)
    found = accuracy(network, data(SCORES, [0, 1, 2, 3, 0]), batch=batch)
    assert found.top(1).hits == 4
    assert found.count == 5
    assert set(network.batches) == {batch}
    assert network.closed == 1


def test_of_equal_scores_the_lower_class_wins_as_argmax_says():
    found = accuracy(Network(lambda x: x * 0), data(SCORES[:3], [0, 1, 3]), top=(1, 2))
    assert found.hits == {1: (True, False, False), 2: (True, True, False)}
    assert found.ties == 3


def test_scores_that_are_nan_are_wrong_and_said():
    scores = [[1, 2, np.nan, 3], [np.inf, 1, 2, 3], [1, 2, 3, 4]]
    with pytest.warns(RuntimeWarning, match="2 of 3 samples"):
        found = accuracy(Network(lambda x: x), data(scores, [3, 0, 3]))
    assert found.hits[1] == (False, True, True)
    assert found.nonfinite == 2


def test_scores_with_extents_of_one_behind_are_read():
    found = accuracy(Network(lambda x: x[:, :, None, None]), data(SCORES, [0, 1, 2, 3, 3]))
    assert found.top(1).hits == 5


@pytest.mark.parametrize(
    ("function", "labels", "options", "words"),
    [
        (lambda x: x, [0, 1, 2, 3, 4], {"batch": 2}, "label 4 of sample 4 .* 4 classes"),
        (lambda x: x[:, 0], [0] * 5, {}, r"shape \(1,\); scores must be"),
        (lambda x: x, [0] * 5, {"output": "yy"}, r"no output yy \(did you mean y\?\)"),
        (lambda x: x, [0] * 5, {"input": "z"}, "no input z"),
        (lambda x: np.full((len(x), 4), "a"), [0] * 5, {}, "scores must be"),
    ],
)
def test_what_does_not_fit_is_refused(function, labels, options, words):
    with pytest.raises(DataError, match=words):
        accuracy(Network(function), data(SCORES, labels), **options)


def test_the_output_must_be_named_where_there_are_two():
    network = Network(lambda x: x)
    network.run = lambda feeds: {"a": np.zeros((1, 4)), "b": np.zeros((1, 4))}
    with pytest.raises(DataError, match=r"outputs a, b; say which one .* output= "):
        accuracy(network, data(SCORES, [0] * 5))


def test_wrong_numbers_and_cancel():
    with pytest.raises(ValueError, match="from 1"):
        accuracy(Network(lambda x: x), data(SCORES, [0] * 5), top=(0,))
    with pytest.raises(ValueError, match="from 1"):
        accuracy(Network(lambda x: x), data(SCORES, [0] * 5), batch=0)
    stopped = Cancel()
    stopped.set()
    with pytest.raises(CancelledError):
        accuracy(Network(lambda x: x), data(SCORES, [0] * 5), cancel=stopped)


def test_paired_accuracies_by_hand():
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(200, 4))
    labels = scores.argmax(1)
    right = accuracy(Network(lambda x: x), data(scores, labels), batch=50)

    def spoiled(count):
        worse = scores.copy()
        worse[:count] = -worse[:count]
        labelled = data(worse, labels)
        found = accuracy(Network(lambda x: x), labelled, batch=50)
        return type(found)(found.hits, right.data, found.classes)

    few, many = compare_accuracy(spoiled(4), right), compare_accuracy(spoiled(9), right)
    assert (few.only_first, few.only_second, few.p) == (0, 4, 2 / 16)
    assert few.verdict == "no difference"
    assert (many.p, many.verdict) == (2 / 512, "worse")
    assert many.difference == pytest.approx(-9 / 200)
    assert compare_accuracy(right, spoiled(9)).verdict == "better"


def test_accuracies_on_other_data_are_not_compared():
    one = accuracy(Network(lambda x: x), data(SCORES, [0] * 5))
    other = accuracy(Network(lambda x: x), data(SCORES, [1] * 5))
    with pytest.raises(ValueError, match="different data"):
        compare_accuracy(one, other)


def test_deviation_against_plain_numpy():
    rng = np.random.default_rng(5)
    values = np.float32(rng.normal(size=(37, 4)))
    noise = np.float32(rng.normal(size=(37, 4)) * 0.01)
    rows = iter(range(0, 37, 8))

    def noisy(x):
        start = next(rows)
        return x + np.resize(noise[start : start + 8], x.shape)

    found = deviation(Network(noisy), Network(lambda x: x), data(values, [0] * 37), batch=8)
    (out,) = found.outputs
    mine = np.float64(values + noise)
    difference, right = mine - values, np.float64(values)
    assert found.samples == 37
    assert out.elements == 148
    assert out.max_abs == pytest.approx(np.abs(difference).max(), rel=1e-12)
    assert out.relative_max == pytest.approx(np.abs(difference).max() / np.abs(right).max())
    assert out.relative_l2 == pytest.approx(
        np.linalg.norm(difference) / np.linalg.norm(right), rel=1e-12
    )
    assert out.snr_db == pytest.approx(
        10 * np.log10((right**2).sum() / (difference**2).sum()), rel=1e-12
    )
    assert out.cosine == pytest.approx(
        (mine * right).sum() / np.linalg.norm(mine) / np.linalg.norm(right), rel=1e-12
    )
    assert out.agreement.hits == int((mine.argmax(1) == right.argmax(1)).sum())
    assert out.verdict == "differs"
    assert found.comparable


def test_equal_outputs_are_identical():
    found = deviation(Network(lambda x: x), Network(lambda x: x), data(SCORES, [0] * 5))
    out = found.worst
    assert (out.verdict, out.snr_db, out.cosine, out.relative_l2) == ("identical", math.inf, 1.0, 0)
    assert str(found) == "y: identical"


@pytest.mark.parametrize("where", ["mine", "reference", "both"])
def test_nan_and_infinity_are_never_equal(where):
    def broken(x):
        x = x.copy()
        x[0, 1], x[0, 2] = np.nan, np.inf
        return x

    mine, right = Network(lambda x: x), Network(lambda x: x)
    if where != "reference":
        mine = Network(broken)
    if where != "mine":
        right = Network(broken)
    found = deviation(mine, right, data(SCORES, [0] * 5), batch=5)
    (out,) = found.outputs
    assert out.verdict == "not comparable"
    assert not found.comparable
    assert (out.nonfinite, out.reference_nonfinite) == (2, 0 if where == "mine" else 2)
    assert math.isnan(out.snr_db)
    assert out.agreement is None
    assert "not comparable, 2 of 20 elements" in str(found)


def test_deviation_from_zeros_and_to_zeros():
    zero, one = Network(lambda x: x * 0), Network(lambda x: x)
    (out,) = deviation(zero, one, data(SCORES, [0] * 5)).outputs
    assert (out.relative_l2, out.snr_db, out.cosine) == (1.0, 0.0, 0.0)
    (out,) = deviation(one, zero, data(SCORES, [0] * 5)).outputs
    assert (out.relative_l2, out.snr_db) == (math.inf, -math.inf)
    (out,) = deviation(zero, zero, data(SCORES, [0] * 5)).outputs
    assert (out.verdict, out.cosine) == ("identical", 1.0)


def test_deviation_takes_plain_feeds_and_a_generator():
    feeds = ({"x": np.float32([row])} for row in SCORES)
    found = deviation(Network(lambda x: x + 1), Network(lambda x: x), feeds)
    assert found.samples == 5
    assert found.worst.max_abs == 1.0


def test_deviation_refuses_what_cannot_be_compared():
    with pytest.raises(DataError, match="no data"):
        deviation(Network(lambda x: x), Network(lambda x: x), [])
    with pytest.raises(DataError, match="outputs differ: y here, z in the reference"):
        deviation(Network(lambda x: x), Network(lambda x: x, "z"), data(SCORES, [0] * 5))
    with pytest.raises(DataError, match=r"shape \(1, 4\) here and \(1, 3\)"):
        deviation(Network(lambda x: x), Network(lambda x: x[:, :3]), data(SCORES, [0] * 5))


def test_the_worst_output_is_the_one_that_cannot_be_compared():
    def both(bad):
        return {"fine": np.ones((1, 4)), "bad": np.full((1, 4), bad)}

    mine, right = Network(None), Network(None)
    mine.run, right.run = (lambda feeds: both(np.nan)), (lambda feeds: both(1.0))
    found = deviation(mine, right, data(SCORES, [0] * 5))
    assert found.worst.name == "bad"
    assert found.outputs[0].verdict == "identical"
