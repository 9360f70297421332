"""A hybrid computes what the whole network computes, whatever the division."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hybrid_cases import (
    BRANCHES,
    CAPTURED,
    HALF,
    ODD_OUTPUTS,
    assert_close,
    feeds_of,
    network,
    random_plan,
    truth,
)

from workbench import backends, hybrid, zoo
from workbench.backends.base import BuildConfig, Engine, Session, ShapeRange, executed
from workbench.errors import BackendError, DataError, ModelError, PartitionError, RunError
from workbench.graph import origin_of
from workbench.hybrid import Hybrid
from workbench.model import Model
from workbench.partitioning import Capability, Exclusion, plan, takes_all
from workbench.progress import Progress, silent
from workbench.testing import checks


@pytest.mark.parametrize("text", [BRANCHES, CAPTURED, ODD_OUTPUTS], ids=["branches", "if", "odd"])
@pytest.mark.parametrize("seed", [0, 1])
def test_every_threshold_gives_the_same_numbers(text: str, seed: int) -> None:
    model = network(text)
    division = random_plan(model.graph, seed)
    for threshold in (1, 2, 3, 100):
        made = hybrid.build(model, division.at(threshold))
        assert not made.failures
        with made.session() as session:
            # Twice the same batch: first by value, then bound; a third size between them.
            for batch in (2, 2, 5, 2):
                feeds = feeds_of(model, batch, seed=batch)
                assert_close(session.run(feeds), truth(model, feeds))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "kept"), [("digits_resnet", "Add"), ("digits_inception", "Concat")]
)
def test_trained_networks_agree_at_every_threshold(name: str, kept: str) -> None:
    model = zoo.load(name)
    images = zoo.digits().head(16)
    (batch,) = (x for x, _ in images.batches(16))
    feeds = {model.graph.inputs[0].name: batch.astype(np.float32)}
    want = truth(model, feeds)
    division = plan(model.graph, takes_all(model.graph), exclude=Exclusion(op_types=(kept,)))
    for threshold in (1, 4, 7, 100):
        with hybrid.build(model, division.at(threshold)).session() as session:
            for _ in range(2):
                assert_close(session.run(feeds), want)


def test_half_precision_crosses_cuts_as_it_is() -> None:
    model = network(HALF)
    division = plan(model.graph, takes_all(model.graph), exclude=Exclusion(nodes=("a", "c")))
    made = hybrid.build(model, division.at(1))
    assert [part.kind for part in made.parts].count("engine") == 2
    feeds = feeds_of(model)
    with made.session() as session:
        for _ in range(2):
            assert_close(session.run(feeds), truth(model, feeds), tolerance=1e-2)


@pytest.fixture(scope="module")
def branches() -> Model:
    return network(BRANCHES)


@pytest.fixture(scope="module")
def divided(branches: Model) -> Hybrid:
    return hybrid.build(branches, random_plan(branches.graph, 1).at(1))


@pytest.fixture
def session(divided: Hybrid) -> Iterator[Session]:
    with divided.session() as opened:
        yield opened


def test_it_is_an_engine(divided: Hybrid, session: Session) -> None:
    assert isinstance(divided, Engine)
    assert isinstance(session, Session)
    assert {part.kind for part in divided.parts} == {"engine", "native"}


def test_static_parts_are_bound_and_share_buffers(branches: Model) -> None:
    model = branches.with_shapes({"x": (2, 3, 8, 8)})
    made = hybrid.build(model, random_plan(model.graph, 1).at(1))
    with made.session() as session:
        session.run(feeds_of(model))
        (route,) = session._routes.values()
        assert route.bound == [part.name for part in made.parts]


def test_results_are_never_changed_by_later_runs(branches: Model, session: Session) -> None:
    first_feeds, second_feeds = feeds_of(branches, seed=1), feeds_of(branches, seed=2)
    results = []
    for _ in range(3):
        first = session.run(first_feeds)
        kept = {name: value.copy() for name, value in first.items()}
        results.append((first, kept))
        session.run(second_feeds)
    for first, kept in results:
        for name in kept:
            np.testing.assert_array_equal(first[name], kept[name])
    arrays = [array for first, _ in results for array in first.values()]
    for i, array in enumerate(arrays):
        assert array.flags.owndata or array.base is None or array.flags.writeable
        assert not any(np.shares_memory(array, other) for other in arrays[:i])


def test_an_output_that_is_an_input_is_a_copy() -> None:
    model = network(ODD_OUTPUTS)
    feeds = feeds_of(model)
    with hybrid.build(model, random_plan(model.graph, 0).at(1)).session() as session:
        for _ in range(3):
            got = session.run(feeds)
            assert not np.shares_memory(got["x"], feeds["x"])
            got["w"][:] = 0
            got["folded"][:] = 0
        assert_close(session.run(feeds), truth(model, feeds))


def test_bound_buffers(branches: Model, session: Session) -> None:
    feeds = feeds_of(branches)
    buffers = {**feeds, **{k: np.zeros_like(v) for k, v in truth(branches, feeds).items()}}
    call = session.bind(buffers)
    for seed in (1, 2, 3):
        feeds["x"][:] = feeds_of(branches, seed=seed)["x"]
        call()
        want = truth(branches, feeds)
        assert_close({name: buffers[name] for name in want}, want)


def test_shapes_that_depend_on_values_cannot_be_bound() -> None:
    model = network(ODD_OUTPUTS.replace("int64 count", "int64[R,C] where"))
    made = hybrid.build(model, random_plan(model.graph, 0).at(1))
    feeds = feeds_of(model)
    buffers = {**feeds, **truth(model, feeds)}
    with made.session() as session, pytest.raises(RunError, match="where depends on values"):
        session.bind({name: array.copy() for name, array in buffers.items()})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda feeds: {}, "x"),
        (lambda feeds: {**feeds, "xx": feeds["x"]}, "xx.*did you mean x"),
        (lambda feeds: {"x": feeds["x"].astype(np.float64)}, "float64"),
        (lambda feeds: {"x": feeds["x"][:, :2]}, r"\(2, 2, 8, 8\)"),
    ],
)
def test_wrong_feeds_are_refused(branches: Model, session: Session, change, words: str) -> None:
    with pytest.raises(DataError, match=words):
        session.run(change(feeds_of(branches)))


def test_feeds_may_lie_any_way_in_memory(branches: Model, session: Session) -> None:
    feeds = feeds_of(branches)
    want = truth(branches, feeds)
    wide = np.zeros((2, 3, 8, 16), np.float32)
    wide[..., ::2] = feeds["x"]
    for array in (
        np.asfortranarray(feeds["x"]),
        wide[..., ::2],
        feeds["x"].astype(">f4"),
        feeds["x"][::-1].copy()[::-1],
    ):
        array.flags.writeable = False
        for _ in range(2):
            assert_close(session.run({"x": array}), want)


def test_a_closed_session_says_so(divided: Hybrid, branches: Model) -> None:
    session = divided.session()
    session.close()
    session.close()
    with pytest.raises(RunError, match="closed"):
        session.run(feeds_of(branches))


def test_threads_wait_for_one_another(branches: Model, session: Session) -> None:
    wrong: list[BaseException] = []

    def work(seed: int) -> None:
        try:
            feeds = feeds_of(branches, seed=seed)
            want = truth(branches, feeds)
            for _ in range(20):
                assert_close(session.run(feeds), want)
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_layers_are_one_graph_with_origin_part_and_backend(
    branches: Model, divided: Hybrid
) -> None:
    layers = divided.layers()
    assert [spec.name for spec in layers.outputs] == ["y", "z", "m"]
    by_name = {part.name: part for part in divided.parts}
    seen: set[str] = set()
    for layer in executed(layers):
        part = by_name[layer.attributes["part"]]
        assert layer.attributes["backend"] == part.engine.backend
        own = set(origin_of(layer)) & branches.graph.position.keys()
        assert own <= {*part.subgraph.nodes, *part.subgraph.folded}
        seen |= own
    assert seen == branches.graph.position.keys()


@pytest.mark.parametrize("threshold", [1, 100])
def test_layers_account_for_what_runs_nowhere(threshold: int) -> None:
    model = network(ODD_OUTPUTS)
    made = hybrid.build(model, random_plan(model.graph, 1).at(threshold))
    layers = made.layers()
    unrun = {node.op_type: node.origin for node in set(layers.nodes) - set(executed(layers))}
    if threshold == 1:
        assert "dead" in unrun["Removed"]
    assert {"k1", "k2", "n0"} <= set(unrun["Folded"])
    named = {name for node in layers.nodes for name in origin_of(node)}
    assert model.graph.position.keys() <= named


@pytest.mark.parametrize("static", [False, True])
def test_profile_names_layers_of_the_merged_graph(branches: Model, static: bool) -> None:
    model = branches.with_shapes({"x": (2, 3, 8, 8)}) if static else branches
    made = hybrid.build(model, random_plan(model.graph, 1).at(1))
    with made.session() as session:
        with pytest.raises(RunError, match="nothing was run yet"):
            session.profile()
        session.run(feeds_of(branches))
        session.run(feeds_of(branches))
        seconds = session.profile()
    names = {node.name for node in made.layers().nodes}
    assert seconds
    assert all(value >= 0 for value in seconds.values())
    assert len(names & seconds.keys()) > len(seconds) / 2


def test_a_network_of_one_part_runs_on_the_backends_own_session(branches: Model) -> None:
    made = hybrid.build(branches, plan(branches.graph, takes_all(branches.graph)).at(1))
    assert len(made.parts) == 1
    with made.session() as session:
        assert session.run == session._legs[0].session.run
        feeds = feeds_of(branches)
        assert_close(session.run(feeds), truth(branches, feeds))


def test_profiles_reach_inner_parts_and_bound_what_runs(branches: Model) -> None:
    config = BuildConfig(shapes={"x": ShapeRange((1, 3, 8, 8), (2, 3, 8, 8), (4, 3, 8, 8))})
    made = hybrid.build(branches, random_plan(branches.graph, 1).at(1), config=config)
    for part in made.parts:
        for name in part.subgraph.inputs:
            profile = part.engine.config.shapes[name]
            assert (profile.min[0], profile.opt[0], profile.max[0]) == (1, 2, 4)
    with made.session() as session:
        for batch in (1, 4):
            feeds = feeds_of(branches, batch)
            assert_close(session.run(feeds), truth(branches, feeds))
        with pytest.raises(DataError, match="axis 0"):
            session.run(feeds_of(branches, 5))


def test_shapes_of_an_unknown_input_are_refused(branches: Model) -> None:
    config = BuildConfig(shapes={"y": ShapeRange((1,), (1,), (1,))})
    with pytest.raises(ValueError, match="names y"):
        hybrid.build(branches, random_plan(branches.graph, 1).at(1), config=config)


def test_a_partition_of_another_model_is_refused(branches: Model) -> None:
    other = network(CAPTURED)
    with pytest.raises(PartitionError, match="not of model"):
        hybrid.build(branches, random_plan(other.graph, 1).at(1))


def test_a_sequence_between_parts_is_refused_by_name() -> None:
    model = network("""
    <ir_version: 8, opset_import: ["" : 17]>
    listed (float[4] x) => (float[4] y)
    <int64 at = {0}>
    { [a] h = Relu(x) [s] many = SequenceConstruct(h, x) [t] one = SequenceAt(many, at)
      [b] y = Neg(one) }
    """)
    exclude = Exclusion(nodes=("s",))
    division = plan(model.graph, takes_all(model.graph), exclude=exclude).at(1)
    with pytest.raises(PartitionError, match="tensor many from s"):
        hybrid.build(model, division)
    whole = plan(model.graph, takes_all(model.graph), exclude=Exclusion(nodes=("s", "t"))).at(1)
    feeds = feeds_of(model)
    with hybrid.build(model, whole).session() as session:
        assert_close(session.run(feeds), truth(model, feeds))


@pytest.mark.slow
def test_a_hundred_sessions_leak_neither_memory_nor_descriptors(
    branches: Model, divided: Hybrid
) -> None:
    def descriptors() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

    feeds = feeds_of(branches)

    def use(times: int) -> None:
        for _ in range(times):
            with divided.session() as session:
                session.run(feeds)
                session.run(feeds)
        gc.collect()

    use(20)
    files, memory = descriptors(), resident()
    use(100)
    assert descriptors() <= files
    assert resident() < memory * 1.05


class Divider:
    """A backend whose engines are hybrids of ONNX Runtime, divided by dice."""

    name = "hybrid"

    def __init__(self, folder: Path) -> None:
        self.inner = backends.get("onnxruntime")
        self.folder = folder

    @property
    def version(self) -> str:
        return self.inner.version

    def fingerprint(self) -> str:
        return self.inner.fingerprint()

    def capability(self, model: Model) -> Capability:
        return self.inner.capability(model)

    def build(
        self, model: Model, config: BuildConfig = BuildConfig(), progress: Progress = silent
    ) -> Hybrid:
        division = random_plan(model.graph, 1).at(1)
        return hybrid.build(model, division, "onnxruntime", config=config, progress=progress)

    def load(self, plan: bytes) -> Hybrid:
        path = self.folder / "loaded.hybrid"
        path.write_bytes(plan)
        try:
            return hybrid.open(path)
        except ModelError as error:
            raise BackendError(str(error)) from error


@pytest.mark.slow
@pytest.mark.parametrize("check", checks())
def test_it_keeps_the_contract_of_engines(check: str, tmp_path: Path) -> None:
    if check == "arguments":
        pytest.skip("options are for engines alone; a network that is all native has none")
    checks()[check](Divider(tmp_path))


def test_an_engine_of_a_whole_model(branches: Model) -> None:
    engine = hybrid.build_engine(branches, "openvino")
    assert isinstance(engine, Engine)
    assert engine.backend == "openvino"
    feeds = feeds_of(branches)
    with engine.session() as session:
        assert_close(session.run(feeds), truth(branches, feeds))
    again = backends.get("openvino").load(engine.serialize())
    with again.session() as session:
        assert_close(session.run(feeds), truth(branches, feeds))
    assert {name for node in engine.layers().nodes for name in origin_of(node)}
