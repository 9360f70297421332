"""Calibration of real networks: data in every form, wrong data, stops in the middle, memory."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from workbench import backends, zoo
from workbench.calibrate import (
    Histograms,
    activations,
    check,
    collect,
    collecting,
    convergence,
)
from workbench.calibrate.watching import stages
from workbench.data import LabelledData
from workbench.errors import CancelledError, DataError
from workbench.model import Model, from_proto
from workbench.progress import Cancel, Event
from workbench.transform.quantizing import needed_ranges


@pytest.fixture(scope="module")
def model() -> Model:
    return zoo.load("digits_resnet")


@pytest.fixture(scope="module")
def data() -> LabelledData:
    return zoo.digits(part="calibration").head(24)


@pytest.fixture(scope="module")
def pictures(data: LabelledData) -> np.ndarray:
    return next(data.batches(24))[0]


@pytest.fixture(scope="module")
def expected(model: Model, data: LabelledData) -> Histograms:
    return collect(model, data, batch=24)


def same(a: Histograms, b: Histograms) -> bool:
    """Whether two runs counted the same, up to the last bits of a kernel for another batch."""
    return list(a) == list(b) and all(
        a[name].total == b[name].total
        and a[name].amax == pytest.approx(b[name].amax, rel=1e-5)
        and np.abs(np.cumsum(a[name].counts)[:900:100] - np.cumsum(b[name].counts)[:900:100]).max()
        <= 1e-4 * a[name].total
        for name in a
    )


def test_the_values_counted_are_those_of_the_network(model: Model, pictures: np.ndarray):
    name = "block_1/relu/out"
    found = collect(model, pictures, tensors=[name], batch=24)[name]
    nodes = [node.name for node in model.graph.nodes]
    engine = backends.get("reference").build(model.extract(nodes, outputs=[name]))
    with engine.session() as session:
        values = session.run({"image": pictures})[name]
    assert found.total == values.size
    assert found.maximum == pytest.approx(float(values.max()), rel=1e-5)
    assert found.zeros == pytest.approx(int((values == 0).sum()), abs=5)
    edges = found.edges[:: len(found.counts) // 8]
    counted = np.add.reduceat(found.counts, np.arange(0, len(found.counts), len(found.counts) // 8))
    direct, _ = np.histogram(np.abs(values), np.append(edges, np.inf))
    assert np.abs(counted[: len(direct)] - direct).max() <= 10


@pytest.mark.parametrize("batch", [1, 5, 24])
def test_the_batch_does_not_matter(
    model: Model, data: LabelledData, expected: Histograms, batch: int
):
    assert same(collect(model, data, batch=batch), expected)


def test_every_form_of_data_gives_the_same(
    model: Model, pictures: np.ndarray, expected: Histograms
):
    forms = {
        "array": pictures,
        "mapping": {"image": pictures},
        "list of pictures": list(pictures),
        "list of batches": [pictures[:7], pictures[7:8], pictures[8:]],
        "mappings": [{"image": picture[None]} for picture in pictures],
        "generator": (picture for picture in pictures),
    }
    digests = set()
    for form, given in forms.items():
        found = collect(model, given)
        assert same(found, expected), form
        assert found.samples == 24
        digests.add(found.data_digest)
    assert len(digests) == 1
    assert collect(model, pictures[::-1]).data_digest not in digests


def test_a_fixed_batch_is_filled_up_and_the_filling_not_counted(
    data: LabelledData, expected: Histograms
):
    fixed = zoo.load("digits_resnet", batch=7)
    found = collect(fixed, data)
    assert found.samples == 24
    assert same(found, expected)


@pytest.mark.parametrize("backend", ["openvino", "reference"])
def test_other_backends_count_nearly_the_same(
    model: Model, pictures: np.ndarray, expected: Histograms, backend: str
):
    table = collect(model, pictures, backend=backend).table("minmax")
    other = expected.table("minmax")
    for name in other.ranges:
        assert table[name].amax == pytest.approx(other[name].amax, rel=1e-3)


def test_stages_count_the_same_and_none_holds_too_much(
    model: Model, pictures: np.ndarray, expected: Histograms, monkeypatch: pytest.MonkeyPatch
):
    cut = stages(model, activations(model), 24, 300_000, lend=True)
    assert len(cut) > 3
    lent = [name for stage in cut for name in stage.lent]
    large = [s.name for s in model.graph.initializers if (s.nbytes or 0) >= 1 << 16]
    assert lent
    assert sorted(lent) == sorted(large)
    assert sum(len(stage.model.graph.nodes) for stage in cut) == len(model.graph.nodes)
    monkeypatch.setattr("workbench.calibrate.collecting.BUDGET", 300_000)
    assert same(collect(model, pictures, batch=24), expected)


@pytest.mark.parametrize("name", ["digits_inception", "squeezenet", "mobilenet_v2", "densenet121"])
def test_what_quantization_needs_is_watched(name: str):
    network = zoo.load(name)
    watched = set(activations(network))
    for form in ("tensorrt", "onnxruntime"):
        assert set(needed_ranges(network, form=form)) <= watched


def test_a_table_fits_its_model(model: Model, expected: Histograms):
    check(expected.table("entropy"), model)
    with pytest.raises(DataError, match="digest"):
        check(expected.table("entropy"), zoo.load("digits_inception"))


# Wrong data.


def endless() -> Iterator[np.ndarray]:
    for i in itertools.count():
        yield np.full((1, 16, 16), i % 7, np.float32)


def test_an_endless_iterator_stops_at_the_limit(model: Model):
    assert collect(model, endless(), samples=9, tensors=["logits"]).samples == 9
    assert collect(model, endless(), tensors=["logits"]).samples == 512


def test_a_generator_is_used_once(model: Model, pictures: np.ndarray):
    generator = (picture for picture in pictures[:3])
    collect(model, generator, tensors=["logits"])
    with pytest.raises(DataError, match="used before"):
        collect(model, generator, tensors=["logits"])
    iterator = iter(pictures[:3])
    collect(model, iterator, tensors=["logits"])
    with pytest.raises(DataError, match=r"gave no samples.* used before"):
        collect(model, iterator, tensors=["logits"])


def broken_at_7(pictures: np.ndarray) -> Iterator[np.ndarray]:
    yield from pictures[:7]
    raise OSError("disk on fire")


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (np.zeros((1, 16, 15), np.float32), r"\(1, 1, 16, 15\); expected"),
        (np.zeros((3, 16, 16), np.float32), "expected"),
        (np.zeros((16, 16), np.float32), "expected"),
        (np.zeros((1, 16, 16), np.float64), r"astype\('float32'\)"),
        (np.zeros((0, 1, 16, 16), np.float32), "holds no samples"),
        ("a picture", "expected a numpy array"),
        ({"picture": np.zeros((1, 16, 16), np.float32)}, "unknown input picture"),
        ((np.zeros((1, 16, 16), np.float32), 3), "is a pair"),
    ],
)
def test_a_wrong_item_is_named(
    model: Model, pictures: np.ndarray, tmp_path: Path, wrong: object, words: str
):
    journal = tmp_path / "journal"
    given = [*pictures[:7], wrong, *pictures[7:]]
    with pytest.raises(DataError, match=f"item 7: .*{words}"):
        collect(model, given, journal=journal)
    assert not journal.exists()


def test_data_that_fails_names_the_item_and_keeps_nothing(
    model: Model, pictures: np.ndarray, tmp_path: Path
):
    journal = tmp_path / "journal"
    with pytest.raises(DataError, match=r"item 7: .*OSError: disk on fire"):
        collect(model, broken_at_7(pictures), journal=journal)
    assert list(tmp_path.iterdir()) == []


def test_values_that_are_no_numbers_name_tensor_and_item(model: Model, pictures: np.ndarray):
    bad = pictures.copy()
    bad[5, 0, 3, 3] = np.nan
    with pytest.raises(DataError, match="item 5: tensor image holds 1 NaN or infinite of 256"):
        collect(model, bad, batch=1)
    with pytest.warns(RuntimeWarning, match=r"left out, in image \(1\), stem/relu/out"):
        found = collect(model, bad, batch=1, nonfinite="leave out")
    assert found["image"].nonfinite == 1
    assert np.isfinite(found.table("minmax")["stem/relu/out"].amax)


def test_black_pictures_leave_the_input_out_with_a_warning(model: Model):
    found = collect(model, np.zeros((3, 1, 16, 16), np.float32))
    with pytest.warns(RuntimeWarning, match="get no range: image"):
        assert "image" not in found.table("entropy")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"samples": 0}, "samples is 0"),
        ({"batch": -1}, "batch is -1"),
        ({"bins": 5}, "bins is 5"),
        ({"nonfinite": "ignore"}, "nonfinite is ignore"),
        ({"input": "picture"}, "no input picture"),
        ({"tensors": ["stem/relu"]}, "no tensor stem/relu .did you mean stem/relu/out"),
        ({"tensors": []}, "no tensors to watch"),
    ],
)
def test_wrong_arguments(model: Model, data: LabelledData, arguments: dict, words: str):
    with pytest.raises(ValueError, match=words):
        collect(model, data, **arguments)


@pytest.mark.parametrize("empty", [[], np.zeros((0, 1, 16, 16), np.float32), {"image": []}])
def test_no_samples_are_refused(model: Model, empty: object):
    with pytest.raises(DataError, match="no samples"):
        collect(model, empty)  # pyright: ignore[reportArgumentType]


def test_one_sample_is_enough_to_run(model: Model, pictures: np.ndarray):
    assert collect(model, pictures[:1]).table("entropy").samples == 1


def two_inputs() -> Model:
    def info(name: str) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["N", 4])

    weight = numpy_helper.from_array(np.eye(4, dtype=np.float32), "w")
    nodes = [
        helper.make_node("Add", ["a", "b"], ["s"], name="add"),
        helper.make_node("MatMul", ["s", "w"], ["y"], name="product"),
    ]
    graph = helper.make_graph(nodes, "two", [info("a"), info("b")], [info("y")], [weight])
    opsets = [helper.make_opsetid("", 17)]
    return from_proto(helper.make_model(graph, opset_imports=opsets, ir_version=8))


def test_networks_with_several_inputs_take_mappings():
    values = np.arange(24, dtype=np.float32).reshape(6, 4)
    found = collect(two_inputs(), {"a": values, "b": -2 * values})
    assert {name: found[name].amax for name in found} == {"a": 23, "b": 46, "s": 23, "y": 23}
    with pytest.raises(DataError, match="say with input="):
        collect(two_inputs(), values)
    with pytest.raises(DataError, match=r"different numbers of samples \(a: 6, b: 5\)"):
        collect(two_inputs(), {"a": values, "b": values[:5]})


# Stopping and going on.


@pytest.mark.parametrize("form", ["labelled", "iterator"])
def test_a_stopped_run_goes_on_where_it_was(
    model: Model, data: LabelledData, pictures: np.ndarray, tmp_path: Path, form: str
):
    journal, cancel, ran = tmp_path / "journal", Cancel(), []

    def stop_at_10(event: Event) -> None:
        if event.phase == "calibrate":
            ran.append(event.done)
            if len(ran) == 10:
                cancel.set()

    def given():
        return data if form == "labelled" else iter(pictures)

    with pytest.raises(CancelledError):
        collect(model, given(), batch=2, journal=journal, progress=stop_at_10, cancel=cancel)
    assert journal.exists()
    before = len(ran)
    found = collect(model, given(), batch=2, journal=journal, progress=lambda e: ran.append(e.done))
    fresh = collect(model, given(), batch=2)
    assert all(found[name].same_as(fresh[name]) for name in fresh)
    assert (found.samples, found.data_digest) == (24, fresh.data_digest)
    steps = 12 if form == "labelled" else 24
    assert len(ran) - before < steps
    again = collect(model, given(), batch=2, journal=journal)
    assert all(again[name].same_as(fresh[name]) for name in fresh)


def test_what_is_no_number_is_blamed_on_its_item(model: Model, pictures: np.ndarray):
    wrong = pictures.copy()
    wrong[5, 0, 3, 3] = np.inf
    for batch in (1, 4, 24):
        with pytest.raises(DataError, match=r"^item 5: tensor image holds 1 NaN or infinite"):
            collect(model, wrong, batch=batch)


def dying_at(pictures: np.ndarray, number: int, journal: Path) -> Iterator[np.ndarray]:
    """Pictures of which one is never given, because the process is killed."""
    for i, picture in enumerate(pictures):
        if i == number:
            assert journal.exists()
            os.kill(os.getpid(), signal.SIGKILL)
        yield picture


def calibrated_until_killed(journal: str) -> None:
    pictures = next(zoo.digits(part="calibration").head(24).batches(24))[0]
    collecting.SAVE_SECONDS = 0.0
    collect(zoo.load("digits_resnet"), dying_at(pictures, 9, Path(journal)), journal=journal)


def test_a_process_that_dies_leaves_its_journal(model: Model, pictures: np.ndarray, tmp_path: Path):
    journal = tmp_path / "journal"
    code = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
    code += f"from {Path(__file__).stem} import calibrated_until_killed as run; run(sys.argv[1])"
    done = subprocess.run([sys.executable, "-c", code, journal], check=False)
    assert done.returncode == -signal.SIGKILL
    ran: list[int | None] = []
    found = collect(model, iter(pictures), journal=journal, progress=lambda e: ran.append(e.done))
    fresh = collect(model, iter(pictures))
    assert all(found[name].same_as(fresh[name]) for name in fresh)
    assert 9 in ran
    assert not set(range(1, 9)) & set(ran)


def test_an_interrupted_run_is_not_counted_twice(
    model: Model, pictures: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Between the tensors of one run, where some are counted and some are not."""
    monkeypatch.setattr(collecting, "SAVE_SECONDS", 0.0)
    journal, added = tmp_path / "journal", itertools.count()
    real = collecting.Work._add

    def interrupted(*arguments: Any) -> None:
        if next(added) == 50:
            raise KeyboardInterrupt
        real(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(collecting.Work, "_add", interrupted)
        with pytest.raises(KeyboardInterrupt):
            collect(model, iter(pictures), journal=journal)
    found = collect(model, iter(pictures), journal=journal)
    fresh = collect(model, iter(pictures))
    assert all(found[name].same_as(fresh[name]) for name in fresh)


def test_data_that_do_not_fit_a_journal_leave_it_alone(
    model: Model, pictures: np.ndarray, tmp_path: Path
):
    journal = tmp_path / "journal"
    collect(model, iter(pictures), journal=journal)
    content = journal.read_bytes()
    with pytest.raises(DataError, match="not those of the run"):
        collect(model, iter(pictures[::-1]), journal=journal)
    assert journal.read_bytes() == content


def test_a_journal_is_bound_to_model_data_and_arguments(
    model: Model, pictures: np.ndarray, tmp_path: Path
):
    journal = tmp_path / "journal"
    collect(model, pictures, journal=journal)
    with pytest.raises(DataError, match="begun with another bins"):
        collect(model, pictures, bins=512, journal=journal)
    with pytest.raises(DataError, match="begun with another model"):
        collect(zoo.load("digits_inception"), pictures, journal=journal)
    content = journal.read_bytes()
    with pytest.raises(DataError, match="not those of the run"):
        collect(model, pictures[::-1], journal=journal)
    journal.write_bytes(content[:-100])
    with pytest.raises(DataError, match="is damaged"):
        collect(model, pictures, journal=journal)
    journal.write_bytes(content[:5000] + b"\xff" + content[5001:])
    with pytest.raises(DataError, match="is damaged"):
        collect(model, pictures, journal=journal)


# How many samples.


def test_ranges_settle_and_the_recommendation_says_when(model: Model):
    found = convergence(model, zoo.digits(part="calibration"), methods=["minmax", "mse"])
    assert list(found) == ["minmax", "mse"]
    for one in found.values():
        samples = [step.samples for step in one.steps]
        assert samples == [1, 2, 4, 8, 16, 32, 64, 112]
        assert one.held_out == 38
        assert one.steps[0].change > 0.1
        assert one.steps[-1].change == one.steps[-1].change_worst == 0
        assert one.steps[0].saturation > 4 * one.steps[-1].saturation
    settled = found["minmax"]
    assert settled.enough is not None
    assert settled.recommendation.startswith(f"{settled.enough} samples are enough for minmax")
    amounts = [step.saturation for step in settled.steps]
    assert amounts == sorted(amounts, reverse=True)


def test_too_few_samples_are_said_not_to_be_enough(model: Model, data: LabelledData):
    found = convergence(model, data.head(6), methods=["percentile"])["percentile"]
    assert found.enough is None
    assert "are not shown to be enough" in found.recommendation
    with pytest.raises(DataError, match="at least four"):
        convergence(model, data.head(3))
    with pytest.raises(DataError, match="unknown length"):
        convergence(model, endless())


# Memory.


@pytest.mark.slow
def test_memory_does_not_depend_on_the_number_of_samples(tmp_path: Path):
    import subprocess
    import sys

    code = (
        "import resource, sys, numpy as np\n"
        "from workbench import zoo\n"
        "from workbench.calibrate import collect\n"
        "model = zoo.load('mobilenet_v2', image_size=160)\n"
        "random = np.random.default_rng(0)\n"
        "shape, count = (3, 160, 160), int(sys.argv[1])\n"
        "some = (random.standard_normal(shape, np.float32) for _ in range(count))\n"
        "collect(model, some, threads=1)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)\n"
    )
    peaks = [
        int(subprocess.run(
            [sys.executable, "-c", code, str(count)], capture_output=True, text=True, check=True
        ).stdout)
        for count in (4, 40)
    ]  # fmt: skip
    assert peaks[1] < 1.1 * peaks[0]
