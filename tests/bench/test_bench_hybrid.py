"""What a hybrid costs: over a backend's own call, at each cut, and to build a second time.

Prints tables with goals; nothing here gates. Latency is process CPU time with one thread, the
variants interleaved in one process, medians; a wall clock on a busy machine says nothing.
"""

from __future__ import annotations

import os
import resource
import statistics
import time
from collections.abc import Callable, Mapping
from itertools import accumulate
from pathlib import Path

import numpy as np
import pytest

from workbench import backends, hybrid, zoo
from workbench.cache import Cache
from workbench.graph import Graph
from workbench.hybrid import Hybrid
from workbench.model import Model
from workbench.partitioning import Capability, Code, Partition, Verdict, plan, takes_all

pytestmark = pytest.mark.bench

THREADS = 1


def process_medians(runs: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median process CPU seconds of each call, all calls once in every round."""
    for run in runs.values():
        for _ in range(3):
            run()
    taken: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            begun = time.process_time()
            run()
            taken[name].append(time.process_time() - begun)
    return {name: statistics.median(times) for name, times in taken.items()}


def batches(run: Callable[[], object], count: int) -> Callable[[], None]:
    """`count` runs as one, for calls shorter than the clock's step."""

    def repeat() -> None:
        for _ in range(count):
            run()

    return repeat


def alternating(graph: Graph, count: int) -> Partition:
    """Contiguous parts of like work, engine and native in turn, cut where one tensor crosses.

    Cuts come right after a Relu: one inside Add and Relu would also cost their fusion.
    """
    nodes = [graph.nodes[i] for i in graph.order]
    last = {tensor: i for i, node in enumerate(nodes) for tensor in node.reads}
    weights = {spec.name for spec in graph.initializers}
    live: set[str] = set()
    possible = []
    for i, node in enumerate(nodes):
        live = {t for t in live if last[t] > i} | {t for t in node.makes if last.get(t, -1) > i}
        if len(live - weights) == 1 and node.op_type == "Relu":
            possible.append(i + 1)
    work = list(accumulate(_work(graph, node) for node in nodes))
    cuts: list[int] = []
    for k in range(1, count):
        left = [cut for cut in possible if cut not in cuts]
        cuts.append(min(left, key=lambda cut: abs(work[cut - 1] - work[-1] * k / count)))
    borders = [0, *sorted(cuts), len(nodes)]
    taken = {node.name for k in range(0, count, 2) for node in nodes[borders[k] : borders[k + 1]]}
    verdicts = tuple(
        Verdict(node.name, Code.TAKEN if node.name in taken else Code.EXCLUDED)
        for node in graph.nodes
    )
    return plan(graph, Capability("alternating", verdicts)).at(1)


def _work(graph: Graph, node) -> int:
    size = graph.spec(node.outputs[0]).elements or 1
    if node.op_type != "Conv":
        return size
    _, channels, height, width = graph.spec(node.inputs[1]).shape or (1, 1, 1, 1)
    return size * int(channels) * int(height) * int(width)


def random_feeds(model: Model) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        spec.name: rng.random(tuple(int(dim) for dim in spec.shape or ()), dtype=np.float32)
        for spec in model.graph.inputs
    }


def whole(model: Model) -> Hybrid:
    return hybrid.build(model, plan(model.graph, takes_all(model.graph)).at(1))


@pytest.fixture(scope="module")
def resnet() -> Model:
    return zoo.load("resnet50", batch=1)


@pytest.mark.parametrize("name", ["digits_resnet", "resnet50"])
def test_a_fully_supported_network(name: str) -> None:
    model = zoo.load(name, batch=1)
    feeds = random_feeds(model)
    count = 50 if name.startswith("digits") else 1
    with backends.get("openvino").build(model).session() as own, whole(model).session() as ours:
        times = process_medians(
            {
                "backend": batches(lambda: own.run(feeds), count),
                "hybrid": batches(lambda: ours.run(feeds), count),
            },
            rounds=25,
        )
    own_s, ours_s = times["backend"] / count, times["hybrid"] / count
    extra = ours_s - own_s
    print(
        f"\n{name}: backend's own call {own_s * 1e6:.0f} us, through the hybrid {ours_s * 1e6:.0f} "
        f"us: {extra * 1e6:+.1f} us, {100 * extra / own_s:+.2f} %   (goal +1 % or +30 us)"
    )


def test_cutting_resnet50(resnet: Model) -> None:
    feeds = random_feeds(resnet)
    engines = {
        "whole, OpenVINO": backends.get("openvino").build(resnet),
        "whole, ONNX Runtime": backends.get("onnxruntime").build(resnet),
        **{
            f"{count} parts, alternating": hybrid.build(resnet, alternating(resnet.graph, count))
            for count in (3, 10)
        },
    }
    sessions = {name: engine.session() for name, engine in engines.items()}
    times = process_medians(
        {name: lambda s=session: s.run(feeds) for name, session in sessions.items()}, rounds=25
    )
    for session in sessions.values():
        session.close()
    halves = statistics.mean([times["whole, OpenVINO"], times["whole, ONNX Runtime"]])
    print("\nResNet-50, batch 1, float32, one thread; goals: 3 parts +4 %, 10 parts +10 %")
    for name, seconds in times.items():
        against_one = 100 * (seconds / times["whole, OpenVINO"] - 1)
        against_both = 100 * (seconds / halves - 1)
        print(
            f"  {name:24} {seconds * 1e3:7.2f} ms  {against_one:+6.1f} % of OpenVINO whole  "
            f"{against_both:+6.1f} % of the mean of both whole"
        )


def test_the_second_build(resnet: Model, tmp_path: Path) -> None:
    print("\nSecond build from the cache, checks included; goal: under 5 % of the first")
    for name, division in (
        ("1 engine", plan(resnet.graph, takes_all(resnet.graph)).at(1)),
        ("10 parts", alternating(resnet.graph, 10)),
    ):
        cache = Cache(tmp_path / name)
        first_wall, first_cpu = timed(
            lambda division=division, cache=cache: hybrid.build(resnet, division, cache=cache)
        )
        anew = zoo.load("resnet50", batch=1)  # has hashed none of its weights yet
        size = sum(path.stat().st_size for path in cache.folder.iterdir())
        print(
            f"  {name}, {size / 1e6:.0f} MB: first {first_wall:.2f} s wall, {first_cpu:.2f} s CPU"
        )
        for what, model in (("same model", resnet), ("model read anew", anew)):
            wall, cpu = timed(
                lambda division=division, cache=cache, model=model: hybrid.build(
                    model, division, cache=cache
                )
            )
            print(
                f"    second, {what}: {wall * 1e3:.0f} ms wall, {cpu * 1e3:.0f} ms CPU: "
                f"{100 * wall / first_wall:.1f} % of wall, {100 * cpu / first_cpu:.1f} % of CPU"
            )


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Wall and CPU seconds, those of child processes included."""

    def cpu() -> float:
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        return time.process_time() + children.ru_utime + children.ru_stime

    begun, used = time.perf_counter(), cpu()
    work()
    return time.perf_counter() - begun, cpu() - used


def test_reading_an_entry(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "c")
    fields = {"a": 1}
    from workbench.cache import key_of

    cache.put(key_of(fields), fields, {"plan": os.urandom(100_000_000)})
    times = process_medians({"get": lambda: cache.get(key_of(fields))}, rounds=7)
    print(f"\nFinding and checking an entry of 100 MB: {times['get'] * 1e3:.0f} ms CPU")
