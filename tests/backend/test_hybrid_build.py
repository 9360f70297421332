"""Building: the cache, what fails, what dies, what hangs, what is cancelled."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hybrid_cases import BRANCHES, Troubled, assert_close, feeds_of, network, truth

from workbench import backends, hybrid
from workbench.backends.base import BuildConfig
from workbench.cache import Cache, CacheWarning
from workbench.errors import BuildError, CancelledError
from workbench.hybrid import Hybrid
from workbench.model import Model, from_proto, load
from workbench.partitioning import Code, Exclusion, Partition, plan, takes_all
from workbench.progress import Cancel, Event


@pytest.fixture(scope="module")
def model() -> Model:
    return network(BRANCHES).with_shapes({"x": (2, 3, 8, 8)})


@pytest.fixture(scope="module")
def partition(model: Model) -> Partition:
    """Two engines, with c native between them."""
    exclude = Exclusion(nodes=("c",))
    return plan(model.graph, takes_all(model.graph), exclude=exclude).at(1)


def children() -> set[int]:
    """Process ids of the children of this process."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = path.read_text().rpartition(")")[2].split()[1]
        except OSError:
            continue
        if int(parent) == os.getpid():
            found.add(int(path.parent.name))
    return found


@pytest.fixture(autouse=True)
def nothing_left_behind(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """Neither a process nor a temporary file outlives a build."""
    load(model.serialize())  # starts the one worker that loading keeps
    before = children()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    yield
    assert list((tmp_path / "tmp").iterdir()) == []
    assert children() <= before


def assert_right(made: Hybrid, model: Model) -> None:
    feeds = feeds_of(model)
    with made.session() as session:
        assert_close(session.run(feeds), truth(model, feeds))


# Cache -------------------------------------------------------------------------------------------


def test_the_second_build_takes_every_part_from_the_cache(
    model: Model, partition: Partition, tmp_path: Path
) -> None:
    cache = Cache(tmp_path / "c")
    first = hybrid.build(model, partition, cache=cache)
    assert not any(part.cached for part in first.parts)
    said: list[Event] = []
    second = hybrid.build(model, partition, cache=cache, progress=said.append)
    assert all(part.cached for part in second.parts)
    assert {event.phase for event in said} == {"build parts"}
    assert second.layers() == first.layers()
    assert_right(second, model)


def test_an_equal_model_from_elsewhere_is_a_hit(
    model: Model, partition: Partition, tmp_path: Path
) -> None:
    cache = Cache(tmp_path / "c")
    hybrid.build(model, partition, cache=cache)
    model.save(tmp_path / "copy.onnx")
    again = load(tmp_path / "copy.onnx")
    made = hybrid.build(again, partition, cache=cache)
    assert all(part.cached for part in made.parts)


def test_what_changes_a_plan_is_a_miss_that_says_why(
    model: Model, partition: Partition, tmp_path: Path
) -> None:
    cache = Cache(tmp_path / "c")
    hybrid.build(model, partition, cache=cache)
    text = BRANCHES.replace("Tanh", "Sigmoid")
    other = network(text).with_shapes({"x": (2, 3, 8, 8)})
    changed = plan(other.graph, takes_all(other.graph), exclude=Exclusion(nodes=("c",))).at(1)
    for made in (
        hybrid.build(model, partition, cache=cache, config=BuildConfig(threads=2)),
        hybrid.build(
            model, partition, cache=cache,
            config=BuildConfig(options={"INFERENCE_PRECISION_HINT": "bf16"}),
        ),
        hybrid.build(model, partition, "onnxruntime", cache=cache),
        hybrid.build(other, changed, cache=cache),
    ):  # fmt: skip
        assert not any(part.cached for part in made.parts if "f" in part.subgraph.nodes)
    engine = made.parts[0]
    assert engine.cached, "this part is the same in both models"


def test_one_changed_weight_is_a_miss(model: Model, partition: Partition, tmp_path: Path) -> None:
    cache = Cache(tmp_path / "c")
    hybrid.build(model, partition, cache=cache)
    proto = model.to_proto()
    raw = bytearray(proto.graph.initializer[0].raw_data)
    raw[0] ^= 1
    proto.graph.initializer[0].raw_data = bytes(raw)
    made = hybrid.build(from_proto(proto), partition, cache=cache)
    assert [part.cached for part in made.parts].count(False) == 1


def test_a_damaged_entry_is_built_again(model: Model, partition: Partition, tmp_path: Path) -> None:
    cache = Cache(tmp_path / "c")
    hybrid.build(model, partition, cache=cache)
    for path in cache.folder.glob("*.plan"):
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 4
        path.write_bytes(data)
    with pytest.warns(CacheWarning, match="damaged"):
        made = hybrid.build(model, partition, cache=cache)
    assert not any(part.cached for part in made.parts)
    assert_right(made, model)


def test_a_cache_that_cannot_be_written_costs_a_warning(model: Model, partition: Partition) -> None:
    with pytest.warns(CacheWarning, match="not kept|without a lock"):
        made = hybrid.build(model, partition, cache=Cache("/proc/nowhere/cache"))
    assert_right(made, model)


@pytest.mark.slow
def test_four_processes_build_each_part_once(tmp_path: Path) -> None:
    body = """
        import sys
        sys.path.insert(0, sys.argv[2])
        from hybrid_cases import *
        from workbench import hybrid
        from workbench.cache import Cache
        from workbench.partitioning import Exclusion, takes_all
        model = network(BRANCHES).with_shapes({"x": (2, 3, 8, 8)})
        partition = plan(
            model.graph, takes_all(model.graph), exclude=Exclusion(nodes=("c",))
        ).at(1)
        made = hybrid.build(model, partition, cache=Cache(sys.argv[1]))
        feeds = feeds_of(model)
        with made.session() as session:
            assert_close(session.run(feeds), truth(model, feeds))
        print(sum(not part.cached for part in made.parts), len(made.parts))
        """
    here = Path(__file__).parent
    command = [sys.executable, "-c", textwrap.dedent(body), str(tmp_path / "c"), str(here)]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    outs = [process.communicate(timeout=120)[0].split() for process in started]
    assert all(process.returncode == 0 for process in started)
    built, parts = sum(int(out[0]) for out in outs), int(outs[0][1])
    assert built == parts


# Failures ----------------------------------------------------------------------------------------


def test_an_engine_that_cannot_be_built_is_native_with_the_reason(
    model: Model, partition: Partition
) -> None:
    made = hybrid.build(model, partition, Troubled("d", "refuse"))
    failed = [verdict.node for verdict in made.failures]
    (engine,) = (part for part in partition.subgraphs if "d" in part.nodes)
    assert set(failed) == set(engine.nodes)
    reason = made.partition.by_node["d"].reason
    assert made.partition.by_node["d"].code is Code.BUILD_FAILED
    assert "no kernel for this" in reason
    assert "nodes: d ..." in reason
    assert len(made.partition.subgraphs) == len(partition.subgraphs) - 1
    assert len(made.partition.native) == len(partition.native) + 1
    for i, subgraph in enumerate(made.partition.native):
        assert subgraph.index == i
    assert [(part.kind, part.subgraph.index) for part in made.parts] == list(made.partition.order)
    assert_right(made, model)


def test_strict_raises_and_names_the_part(model: Model, partition: Partition) -> None:
    (engine,) = (part for part in partition.subgraphs if "d" in part.nodes)
    with pytest.raises(BuildError, match=r"engine \d \(.*d \.\.\. .*no kernel for this") as caught:
        hybrid.build(model, partition, Troubled("d", "refuse"), strict=True)
    assert caught.value.subgraph == engine.nodes
    assert caught.value.log == "line 1\nline 2"
    assert caught.value.backend == "onnxruntime"


def test_a_builder_that_dies_is_named_and_the_rest_goes_on(
    model: Model, partition: Partition
) -> None:
    made = hybrid.build(model, partition, Troubled("d", "crash"))
    reason = made.partition.by_node["d"].reason
    assert "engine 1" in reason
    assert "of model branches" in reason
    assert "the builder died: signal 11 (SIGSEGV)" in reason
    assert_right(made, model)


def test_a_builder_that_hangs_is_stopped(model: Model, partition: Partition) -> None:
    begun = time.monotonic()
    made = hybrid.build(model, partition, Troubled("d", "hang"), timeout=4)
    assert time.monotonic() - begun < 20
    assert "time limit of 4 s" in made.partition.by_node["d"].reason
    assert_right(made, model)


def test_a_native_region_that_cannot_be_built_is_an_error(
    model: Model, partition: Partition
) -> None:
    with pytest.raises(BuildError, match=r"native 0 \(1 node: c\)"):
        hybrid.build(model, partition, native=Troubled("c", "refuse"))


def test_parts_built_before_a_failure_stay_cached(
    model: Model, partition: Partition, tmp_path: Path
) -> None:
    cache = Cache(tmp_path / "c")
    with pytest.raises(BuildError):
        hybrid.build(model, partition, Troubled("d", "refuse"), strict=True, cache=cache)
    made = hybrid.build(model, partition, "onnxruntime", cache=cache)
    assert made.parts[0].cached
    assert not made.parts[-1].cached


def test_names_from_the_model_are_escaped(partition: Partition) -> None:
    bad = network(BRANCHES.replace("[d]", "[d]")).to_proto()
    bad.graph.node[3].name = "d\x1b[31m\n"
    bad.graph.name = "evil\x1b"
    model = from_proto(bad)
    division = plan(model.graph, takes_all(model.graph)).at(1)
    made = hybrid.build(model, division, Troubled(model.graph.nodes[3].name, "refuse"))
    assert "\x1b" not in made.failures[0].reason
    assert "\n" not in made.failures[0].reason


def test_an_unknown_option_is_an_error_and_no_fallback(model: Model, partition: Partition) -> None:
    config = BuildConfig(options={"NO_SUCH_OPTION": 1})
    with pytest.raises(ValueError, match="NO_SUCH_OPTION"):
        hybrid.build(model, partition, config=config)


def test_a_backend_that_cannot_be_sent_to_the_builder_is_refused(
    model: Model, partition: Partition
) -> None:
    backend = Troubled("d", "refuse")
    backend.hook = lambda: None  # type: ignore[attr-defined]
    with pytest.raises(TypeError, match="onnxruntime cannot be sent to the builder"):
        hybrid.build(model, partition, backend)


# Stopping ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("again", [1, 2])
def test_cancel_stops_within_two_seconds_and_keeps_what_is_done(
    model: Model, partition: Partition, tmp_path: Path, again: int
) -> None:
    cache, cancel = Cache(tmp_path / "c"), Cancel()
    stopped: list[float] = []

    def progress(event: Event) -> None:
        if event.phase == "build" and event.detail == "branches" and len(stopped) == 0:
            built = list((tmp_path / "c").glob("*.plan"))
            if len(built) == 2:
                stopped.append(time.monotonic())
                cancel.set()

    with pytest.raises(CancelledError):
        hybrid.build(
            model, partition, Troubled("d", "hang"), cache=cache, progress=progress, cancel=cancel
        )
    assert time.monotonic() - stopped[0] < 2
    assert len(list((tmp_path / "c").glob("*.plan"))) == 2
    assert list((tmp_path / "c").glob("*.lock")) == []


def test_a_cancel_set_before_builds_nothing(model: Model, partition: Partition) -> None:
    cancel = Cancel()
    cancel.set()
    with pytest.raises(CancelledError):
        hybrid.build(model, partition, cancel=cancel)


def test_an_interrupt_stops_the_build(tmp_path: Path) -> None:
    body = """
        import sys
        from hybrid_cases import *
        from workbench import hybrid
        from workbench.cache import Cache
        from workbench.partitioning import Exclusion, takes_all
        def progress(event):
            if event.phase == "build":
                print("building", flush=True)
        model = network(BRANCHES)
        partition = plan(model.graph, takes_all(model.graph), exclude=Exclusion(nodes=("c",))).at(1)
        try:
            hybrid.build(
                model, partition, Troubled("a", "hang"), cache=Cache(sys.argv[1]), progress=progress
            )
        except KeyboardInterrupt:
            print("interrupted", flush=True)
        """
    command = [sys.executable, "-c", textwrap.dedent(body), str(tmp_path / "c")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "building\n"
    begun = time.monotonic()
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline() == "interrupted\n"
    assert time.monotonic() - begun < 2
    process.communicate(timeout=20)
    assert process.returncode == 0
    assert [path.name for path in (tmp_path / "c").iterdir()] == []


def test_a_hybrid_of_tensorrt_engines_can_be_planned_where_it_cannot_run(model: Model) -> None:
    backend = backends.get("tensorrt")
    pytest.importorskip("tensorrt_rtx")
    division = plan(model.graph, takes_all(model.graph), exclude=Exclusion(nodes=("c",))).at(1)
    made = hybrid.build(model, division, backend)
    engines = [part for part in made.parts if part.kind == "engine"]
    if made.failures:
        pytest.skip(made.failures[0].reason)
    assert all("no first run" in part.note or part.note == "" for part in engines)
    assert np.array([len(part.engine.layers().nodes) for part in engines]).all()


def test_what_is_no_model_or_partition_is_refused_in_words(
    model: Model, partition: Partition
) -> None:
    with pytest.raises(TypeError, match=r"not a str; give workbench\.load\(path\)"):
        hybrid.build("model.onnx", partition)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="partition is a Plan; give a Partition"):
        hybrid.build(model, plan(model.graph, takes_all(model.graph)))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="not a bytes"):
        hybrid.build_engine(b"model")  # type: ignore[arg-type]
