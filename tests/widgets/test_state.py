"""The state of the Explorer, driven without a browser."""

import threading
import time
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image

from workbench import report, zoo
from workbench.backends.base import ShapeRange
from workbench.data import LabelledData
from workbench.errors import (
    CancelledError,
    DataError,
    ModelError,
    PartitionError,
    PrecisionError,
)
from workbench.graph import Graph, TensorSpec
from workbench.partitioning import PRESETS, Exclusion
from workbench.progress import Cancel, Event
from workbench.widgets import profiles
from workbench.widgets.choices import Choices
from workbench.widgets.jobs import Job
from workbench.widgets.opening import open_data, open_model
from workbench.widgets.state import State

KEPT_OUT = Exclusion(op_types=("Concat", "MaxPool"))
SOURCE = "tensorrt-11.1"


@pytest.fixture
def state():
    made = State("digits_inception", source=SOURCE, exclude=KEPT_OUT)
    yield made
    made.close()


def sizes(state: State) -> list[int]:
    return [len(part) for part in state.partition.subgraphs]


def test_threshold_filters_and_nothing_is_asked_again(state: State):
    capability, plan = state.capability, state.plan
    before = sizes(state)
    assert state.update(threshold=5) == {"threshold"}
    assert sizes(state) == [size for size in before if size >= 5]
    assert state.capability is capability
    assert state.plan is plan


def test_observers_are_told_what_changed_and_only_if_it_did(state: State):
    told = []
    end = state.observe(told.append)
    state.update(threshold=3)
    state.update(threshold=4, policy="fewest")
    end()
    state.update(threshold=5)
    assert told == [{"threshold", "policy"}]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"treshold": 3}, "did you mean threshold"),
        ({"threshold": 0}, "whole number from 1"),
        ({"threshold": True}, "whole number from 1"),
        ({"policy": "conected"}, "did you mean connected"),
        ({"precision": "fp17"}, "did you mean fp1"),
        ({"preset": "paddel"}, "did you mean paddle"),
        ({"seconds": float("nan")}, "above 0 and finite"),
        ({"samples": 0}, "whole number from 1"),
        ({"threads": 0}, "threads"),
        ({"optimization_level": 6}, "0 to 5"),
        ({"profiles": {"imag": ShapeRange((1,), (1,), (1,))}}, "no dynamic input of that name"),
        ({"exact": ("Softmaxx",)}, "Softmaxx"),
        ({"precision": "int8"}, "labelled data"),
    ],
)
def test_a_wrong_choice_is_refused_in_words_and_changes_nothing(state: State, changes, words):
    before = state.choices
    with pytest.raises((ValueError, PrecisionError), match=words):
        state.update(**changes)
    assert state.choices is before


def test_a_preset_brings_policy_and_threshold_and_a_policy_ends_it(state: State):
    state.update(preset="paddle")
    rule = PRESETS["paddle"]
    assert state.choices.threshold == rule.threshold() == 4
    assert sizes(state) == [
        len(p) for p in rule.plan(state.graph, state.capability, exclude=KEPT_OUT).at(4).subgraphs
    ]
    state.update(threshold=1)
    assert state.choices.preset == "paddle"
    state.update(policy="fewest")
    assert state.choices.preset is None


def test_a_preset_limits_engines():
    with State("googlenet", source=SOURCE, exclude=KEPT_OUT, preset="tf_trt", threshold=1) as state:
        assert len(state.partition.subgraphs) == PRESETS["tf_trt"].max_engines == 20


def test_exclusion_is_added_and_taken_back(state: State):
    before = sizes(state)
    state.exclude(nodes=("stem/conv",))
    state.exclude(nodes=("stem/conv",))
    assert state.choices.exclude.nodes == ("stem/conv",)
    assert state.explain("stem/conv").code == "excluded"
    state.admit(nodes=("stem/conv",))
    assert sizes(state) == before
    with pytest.raises(PartitionError, match="did you mean stem/conv"):
        state.exclude(nodes=("stem/convv",))
    assert state.choices.exclude == KEPT_OUT


def test_precision_is_a_property_of_the_graph_and_leads_back(state: State):
    original = {node.name for node in state.model.graph.nodes}
    state.update(precision="fp16", exact=("Gemm",))
    casts = [node for node in state.graph.nodes if node.op_type == "Cast"]
    assert casts
    assert all(set(node.origin) <= original for node in state.graph.nodes)


def test_the_profile_fixes_the_input_or_leaves_it_open(state: State):
    assert state.prepared.graph.inputs[0].shape == (1, 1, 16, 16)
    ranges = {"image": ShapeRange((1, 1, 16, 16), (2, 1, 16, 16), (8, 1, 16, 16))}
    state.update(profiles=ranges)
    assert state.prepared.graph.inputs[0].shape[0] == "N"
    assert state.choices.profiles == ranges


def test_profiles_come_from_data():
    pictures = np.zeros((3, 1, 16, 16), np.float32)
    data = LabelledData.from_arrays(pictures, np.zeros(3, int))
    assert profiles.usual(zoo.load("digits_resnet").graph, data)["image"].opt == (1, 1, 16, 16)
    assert profiles.parse(" 1x3×224,224") == (1, 3, 224, 224)
    with pytest.raises(ValueError, match="write 1x3x224x224"):
        profiles.parse("1x?x2")
    ranges = {"image": ShapeRange((1, 1, 16), (1, 1, 16), (1, 1, 16))}
    with pytest.raises(ValueError, match="3 extents, the input 4"):
        profiles.fitting(zoo.load("digits_resnet").graph, ranges)


def test_extents_of_one_name_are_one_number():
    specs = (TensorSpec("a", "float32", ("n", "k")), TensorSpec("b", "float32", ("k", 4)))
    found = profiles.usual(Graph("two", specs, (), ()))
    assert found["a"].opt == (1, 16)
    assert found["b"].opt == (16, 4)


def test_opening_another_network_drops_what_named_parts_of_the_first(state: State):
    state.update(threshold=7)
    state.open("digits_resnet", "noisy-digits")
    assert state.model.name == "digits_resnet"
    assert state.choices.exclude == Exclusion()
    assert state.choices.threshold == 7
    assert state.data is not None
    with pytest.raises(ModelError, match="digits_resnet"):
        state.open("digits_resnett")
    with pytest.raises(DataError, match="noisy-digits"):
        state.open("digits_inception", "noisy-digit")
    assert state.model.name == "digits_resnet"


def test_networks_and_data_open_by_name_or_path(tmp_path: Path):
    path = zoo.load("digits_inception").save(tmp_path / "a.onnx")
    assert open_model(path).digest == zoo.load("digits_inception").digest
    assert open_data(None) == (None, None)
    test, calibration = open_data("digits")
    assert test is not None
    assert calibration is not None
    assert test.digest != calibration.digest
    with pytest.raises(ModelError):
        open_model(tmp_path / "b.onnx")


def test_pictures_of_a_folder_are_cut_to_the_network_and_others_refused(tmp_path: Path):
    Image.new("RGB", (60, 48), "red").save(tmp_path / "a.png")
    (tmp_path / "val_list.txt").write_text("a.png 0\n")
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Relu", ["image"], ["y"], "relu")],
        "small",
        [onnx.helper.make_tensor_value_info("image", onnx.TensorProto.FLOAT, ("n", 3, 24, 32))],
        [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ("n", 3, 24, 32))],
    )
    opset = [onnx.helper.make_opsetid("", 17)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opset), tmp_path / "small.onnx")
    with State(tmp_path / "small.onnx", source="tensorrt-11.1") as state:
        state.set_data(tmp_path)
        assert state.data is not None
        pictures, _ = next(state.data.batches(1))
        assert pictures.shape == (1, 3, 24, 32)
        assert "size=32, crop=(24, 32)" in state.python()
        with pytest.raises(DataError, match=r"become 1×1×16×16, and input image .* n×3×24×32"):
            state.set_data("digits")
        assert state.data_source == tmp_path
    with State("digits_inception") as state, pytest.raises(DataError, match="become 1×3×16×16"):
        state.set_data(tmp_path)


def test_labels_tell_configurations_apart():
    assert Choices().label() == "openvino, min 3"
    chosen = Choices(threshold=5, policy="fewest", precision="fp16", exclude=KEPT_OUT)
    assert chosen.label() == "openvino, min 5, fewest, fp16, no Concat and 1 more"
    assert chosen.changed(Choices(threshold=5)) == {"policy", "precision", "exclude"}


def test_threads_may_choose_and_ask_at_once(state: State):
    errors = []

    def work(first: int) -> None:
        try:
            for step in range(30):
                state.update(threshold=1 + (first + step) % 9)
                partition = state.partition
                assert all(len(part) >= 1 for part in partition.subgraphs)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert sizes(state) == [len(p) for p in state.plan.at(state.choices.threshold).subgraphs]


def until_cancelled(progress, cancel: Cancel) -> None:
    progress(Event("waiting"))
    while True:
        cancel.check()
        time.sleep(0.01)


def test_a_job_is_cancelled_and_the_next_one_runs(state: State):
    job = state.run("wait", until_cancelled)
    with pytest.raises(RuntimeError, match="wait is running"):
        state.start()
    begun = time.monotonic()
    assert state.stop(2.0)
    assert time.monotonic() - begun < 2.0
    assert job.cancelled
    assert not state.busy
    again = state.run("think", lambda progress, cancel: 42)
    assert again.wait(5)
    assert again.result == 42


def test_what_goes_wrong_in_a_job_is_kept():
    told = []
    job = Job("fail", lambda progress, cancel: 1 / 0, told.append)
    job.start()
    assert job.wait(5)
    assert isinstance(job.error, ZeroDivisionError)
    assert told == [job]
    assert not job.running


def test_closing_stops_the_work():
    state = State("digits_inception", source=SOURCE)
    job = state.run("wait", until_cancelled)
    state.close()
    assert not job.running
    state.close()


def test_copied_code_gives_the_same_partition(state: State, monkeypatch: pytest.MonkeyPatch):
    state.update(threshold=5, policy="fewest", seconds=0.1)
    code = state.python().split("engine = wb.build")[0]
    found: dict[str, object] = {}
    exec(code, found)
    partition = found["partition"]
    assert partition.subgraphs == state.partition.subgraphs  # type: ignore[attr-defined]


def test_a_hostile_name_stays_a_name_in_copied_code(state: State):
    evil = "x'); __import__('os').system('touch /tmp/pwned') #"
    state.update(exclude=Exclusion(nodes=(evil,)))
    code = state.python()
    compile(code, "copied", "exec")
    assert repr(evil) in code


@pytest.mark.slow
def test_what_is_built_is_judged_timed_and_kept(tmp_path: Path):
    with State(
        "digits_inception", "digits", source=SOURCE, exclude=KEPT_OUT, seconds=0.1, samples=60
    ) as state:
        assert state.study is None
        first = state.build()
        assert state.built is first
        assert first.times
        state.update(threshold=7)
        assert state.built is None
        state.build()
        study = state.study
        assert study is not None
        names = [one.variant for one in study.configurations]
        assert names[0] == "onnxruntime, whole"
        assert len(names) == 3
        runs = {study.latency(one).run for one in study.configurations}  # type: ignore[union-attr]
        assert len(runs) == 1
        assert all(study.against_baseline(one) for one in study.configurations[1:])
        assert all(study.accuracy(one).count == 60 for one in study.configurations)  # type: ignore[union-attr]
        page = report.save(study, tmp_path / "r.html", notes=state.python()).read_text("utf-8")
        assert "default-src 'none'" in page
        assert "<script" not in page
        state.bench.remove({names[1], names[0]})
        assert [b.configuration.variant for b in state.bench.built] == [names[0], names[2]]
        state.set_data(None)
        assert state.study is None


@pytest.mark.slow
def test_a_build_is_cancelled_within_two_seconds_and_goes_on_after(tmp_path: Path):
    with State("googlenet", source=SOURCE, exclude=KEPT_OUT, seconds=0.1) as state:
        phases = threading.Event()
        state.observe(lambda names: phases.set() if state.busy and state.job.log else None)  # type: ignore[union-attr]
        job = state.start()
        assert phases.wait(60)
        begun = time.monotonic()
        job.cancel.set()
        assert job.wait(10)
        assert time.monotonic() - begun < 2.0
        assert isinstance(job.error, CancelledError)
        assert state.partition.subgraphs
