"""Latency of plain callables: rounds, order, clocks, batches, limits."""

import gc
import time

import pytest

from workbench.errors import CancelledError
from workbench.measure import Latency, Warmup, compare, latency
from workbench.measure.machine import glance, noise
from workbench.measure.timing import STEPS, timer_step
from workbench.progress import Cancel

QUICK = Warmup(calls=2, windows=2, limit_seconds=0.05)


def spin(count):
    return lambda: sum(range(count)) and None


def test_samples_of_all_are_taken_in_turns_in_changing_order():
    called = []
    calls = {name: lambda name=name: (time.sleep(0.0005), called.append(name))[1] for name in "abc"}
    one, two, three = latency(calls, seconds=0.01, min_rounds=12, max_rounds=12, warmup=QUICK)
    assert [len(x.wall) for x in (one, two, three)] == [12] * 3
    assert {len(x.cpu) for x in (one, two, three)} == {12}
    assert one.calls == 1
    # The last 72 calls are 12 rounds of 3 callables with one untimed call each.
    rounds = [called[-72:][i : i + 6] for i in range(0, 72, 6)]
    assert all(sorted(r) == list("aabbcc") and r[::2] == r[1::2] for r in rounds)
    assert len({tuple(r) for r in rounds}) > 2


def test_the_order_is_the_same_for_the_same_seed():
    def order(seed):
        called = []
        calls = {n: lambda n=n: (time.sleep(0.0002), called.append(n))[1] for n in "abcd"}
        latency(calls, seconds=0.001, min_rounds=6, max_rounds=6, warmup=QUICK, seed=seed)
        return called[-48:]

    assert order(1) == order(1)
    assert order(1) != order(2)


def test_a_short_call_is_taken_in_batches_that_the_timer_resolves():
    (found,) = latency({"nothing": lambda: None}, seconds=0.02, warmup=QUICK)
    assert found.calls > 10
    # The warm-up decides how many; a later sample may be a little faster than that.
    assert found.median * found.calls >= STEPS * timer_step() / 3
    assert found.median < 1e-6


def test_both_clocks_are_kept_and_sleep_costs_no_processor_time():
    (found,) = latency({"sleep": lambda: time.sleep(0.002)}, seconds=0.02, warmup=QUICK)
    assert found.clock == "wall"
    assert found.median >= 0.002
    assert found.by("cpu").median < 0.001
    assert found.by("cpu").samples == found.cpu
    assert found.percentile(5) <= found.median <= found.percentile(95)
    low, high = found.interval
    assert low <= found.median <= high
    assert {low, high} <= set(found.wall)


def test_a_real_difference_is_seen_and_none_is_not_invented():
    calls = {"one": spin(4000), "same": spin(4000), "double": spin(8000)}
    one, same, double = latency(calls, seconds=0.2, max_rounds=200, clock="cpu")
    assert compare(double, one).verdict == "slower"
    assert compare(one, double).verdict == "faster"
    assert 1.5 < compare(double, one).ratio < 2.6
    against_itself = compare(one, one)
    assert (against_itself.ratio, against_itself.verdict) == (1.0, "no difference")
    # Two equal callables may by chance be told apart, but never by much.
    assert 0.8 < compare(same, one).low <= compare(same, one).high < 1.25


def test_minimum_rounds_are_taken_even_if_the_time_is_up():
    (found,) = latency(
        {"slow": lambda: time.sleep(0.002)}, seconds=1e-6, min_rounds=7, warmup=QUICK
    )
    assert len(found.wall) == 7


def test_warm_up_goes_on_until_times_settle_or_the_limit():
    left = [0.02, 0.01, 0.005]

    def cooling():
        time.sleep(left.pop(0) if left else 0.001)

    (found,) = latency(
        {"cooling": cooling},
        seconds=0.01,
        min_rounds=6,
        warmup=Warmup(calls=3, windows=2, tolerance=0.5),
    )
    assert found.warm
    assert found.median < 0.005
    (found,) = latency(
        {"slow": lambda: time.sleep(0.01)}, seconds=0.01, min_rounds=6, max_rounds=6,
        warmup=Warmup(limit_seconds=0.0),
    )  # fmt: skip
    assert not found.warm
    assert found.warmup_calls == 2


def test_the_collector_is_off_inside_samples_and_on_again_after():
    seen = []
    latency({"look": lambda: seen.append(gc.isenabled())}, seconds=0.01, warmup=QUICK)
    assert not any(seen)
    assert gc.isenabled()

    def fails():
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        latency({"fails": fails}, seconds=0.01)
    assert gc.isenabled()


def test_cancel_stops_between_samples():
    cancel = Cancel()
    events = []

    def count():
        events.append(1)
        time.sleep(0.001)
        if len(events) == 30:
            cancel.set()

    with pytest.raises(CancelledError):
        latency({"count": count}, seconds=60.0, max_rounds=10**6, cancel=cancel, warmup=QUICK)
    assert len(events) < 35


def test_progress_says_the_phase():
    events = []
    latency({"a\x1b[31m": lambda: None}, seconds=0.01, warmup=QUICK, progress=events.append)
    assert [event.phase for event in events][:2] == ["warm up", "measure latency"]
    assert "\x1b" not in events[0].detail


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"calls": {}}, "nothing to time"),
        ({"calls": {"a": 3}}, "not callable: a"),
        ({"seconds": 0}, "seconds is 0"),
        ({"seconds": float("nan")}, "seconds is nan"),
        ({"min_rounds": 5}, "no 95 % interval"),
        ({"min_rounds": 10, "max_rounds": 9}, "max_rounds 9"),
        ({"clock": "moon"}, "clock is moon"),
    ],
)
def test_wrong_arguments_are_refused_before_any_call(change, words):
    called = []
    arguments = {"calls": {"a": lambda: called.append(1)}} | change
    with pytest.raises(ValueError, match=words):
        latency(arguments.pop("calls"), **arguments)
    assert not called


def test_only_latencies_of_one_run_and_one_clock_are_compared():
    a = Latency("a", (1.0,) * 6, (1.0,) * 6, 1, "run 1")
    b = Latency("b", (1.0,) * 6, (2.0,) * 6, 1, "run 2")
    with pytest.raises(ValueError, match="not measured in one run"):
        compare(a, b)
    with pytest.raises(ValueError, match="use by"):
        compare(a, Latency("b", (1.0,) * 6, (2.0,) * 6, 1, "run 1", clock="cpu"))


def test_noise_says_what_the_machine_did():
    first = glance()
    end = time.process_time() + 0.02
    while time.process_time() < end:
        pass
    found = noise(first, glance())
    assert found.cpus >= 1
    assert found.stolen is None or 0 <= found.stolen <= 1
    assert found.preemptions is None or found.preemptions >= 0
    assert isinstance(found.busy, bool)
