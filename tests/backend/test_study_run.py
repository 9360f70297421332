"""Studies on real backends: right numbers, one build for equal partitions, resumed after a cut."""

import numpy as np
import onnx
import onnx.helper as oh
import pytest

from workbench import study
from workbench.data import LabelledData
from workbench.errors import CancelledError, DataError, StudyError
from workbench.measure import accuracy
from workbench.model import load
from workbench.partitioning import Exclusion
from workbench.progress import Cancel
from workbench.study import Design, Subject, Whole

QUICK = {"seconds": 0.05, "min_rounds": 6, "max_rounds": 8, "source": "tensorrt-11.1"}


def network(batch="N"):
    """Scores of 4 classes: MatMul, Relu, Add, Relu, MatMul, with names that are text."""
    rng = np.random.default_rng(3)
    values = {
        "w": rng.normal(size=(9, 16)),
        "b": rng.normal(size=16),
        "v": rng.normal(size=(16, 4)),
    }
    nodes = [
        oh.make_node("Flatten", ["x"], ["flat"], "flatten"),
        oh.make_node("MatMul", ["flat", "w"], ["h"], "first"),
        oh.make_node("Relu", ["h"], ["r"], "relu"),
        oh.make_node("Add", ["r", "b"], ["a"], "add"),
        oh.make_node("Relu", ["a"], ["q"], "relu2"),
        oh.make_node("MatMul", ["q", "v"], ["y"], "last"),
    ]
    graph = oh.make_graph(
        nodes,
        "small",
        [oh.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [batch, 1, 3, 3])],
        [oh.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [batch, 4])],
        [onnx.numpy_helper.from_array(np.float32(v), k) for k, v in values.items()],
    )
    made = oh.make_model(graph, opset_imports=[oh.make_opsetid("", 17)], ir_version=9)
    return load(made.SerializeToString(), name="small"), values


def labelled(values, count=30, wrong=6):
    """Pictures with the network's own answers as labels, but for the first few."""
    x = np.float32(np.random.default_rng(4).normal(size=(count, 1, 3, 3)))
    flat = x.reshape(count, 9).astype(np.float64)
    scores = np.maximum(np.maximum(flat @ values["w"], 0) + values["b"], 0) @ values["v"]
    labels = scores.argmax(1)
    labels[:wrong] = (labels[:wrong] + 1) % 4
    return LabelledData.from_arrays(x, labels)


def subject(**options):
    model, values = network()
    return Subject(
        model, labelled(values), weights="trained", exclude=Exclusion(nodes=("add",)), **options
    )


@pytest.mark.slow
def test_a_study_measures_what_the_design_says(tmp_path):
    events = []
    found = study.run(
        subject(),
        Design(thresholds=(1, 2, 3, 4), batches=(1, 4), **QUICK),
        journal=tmp_path / "study.jsonl",
        progress=events.append,
    )
    assert found.complete
    assert len(found.configurations) == 2 * 7
    assert not [one.failed for one in found.configurations if one.failed]
    for batch in (1, 4):
        by = {one.variant: one for one in found.select("small", batch)}
        divisions = [(by[f"openvino, min {t}"].engines) for t in (1, 2, 3, 4)]
        assert divisions == [2, 2, 1, 0]
        assert by["openvino, min 2"].same_as == "openvino, min 1"
        nodes = {one.engine_nodes + one.native_nodes for one in by.values() if not one.whole}
        assert nodes == {6}
        for one in by.values():
            assert found.accuracy(one).top(1).hits == 24
            assert found.accuracy(one).count == 30
            assert found.deviations(one)[0].samples[0] > 100
            assert len(found.latency(one).wall) >= 6
            assert one.backend_version
            assert one.device == "CPU"
        assert len({found.latency(one).run for one in by.values()}) == 1
    details = [m.details for m in found.measurements if m.metric == "latency"]
    assert {d["buffers"] for d in details} == {"bound"}
    assert "configuration" in {event.phase for event in events}
    assert study.load(tmp_path / "study.jsonl") == found
    assert found.environment.threads == 1


def test_a_study_goes_on_where_it_was_cut(tmp_path):
    path = tmp_path / "study.jsonl"
    design = Design(thresholds=(3,), wholes=(Whole("onnxruntime"),), **QUICK)
    whole = study.run(subject(), design, journal=path)
    lines = path.read_bytes().splitlines(keepends=True)
    assert len(lines) == 4
    path.write_bytes(b"".join(lines[:2]) + lines[2][:40])
    partial = study.load(path)
    assert not partial.complete
    assert len(partial.configurations) == 1

    phases = []
    again = study.run(
        subject(), design, journal=path, progress=lambda event: phases.append(event.phase)
    )
    assert again.complete
    assert [one.variant for one in again.configurations] == [
        one.variant for one in whole.configurations
    ]
    assert path.read_bytes().splitlines(keepends=True)[:2] == lines[:2]
    # Only what was cut off is judged again; latency is taken of both, in one run.
    assert phases.count("measure accuracy") == 30
    assert len({again.latency(one).run for one in again.configurations}) == 1

    phases.clear()
    third = study.run(
        subject(), design, journal=path, progress=lambda event: phases.append(event.phase)
    )
    assert (third, phases) == (again, [])


def test_another_study_is_refused_and_fresh_starts_over(tmp_path):
    path = tmp_path / "study.jsonl"
    design = Design(thresholds=(3,), wholes=(), **QUICK)
    study.run(subject(), design, journal=path)
    other = Design(thresholds=(3,), wholes=(), **(QUICK | {"max_rounds": 9}))
    with pytest.raises(StudyError, match=r"\(max_rounds: 8 in the file, 9 now"):
        study.run(subject(), other, journal=path)
    relabelled = Subject(subject().model, subject().data.head(5), exclude=subject().exclude)
    with pytest.raises(StudyError, match="network small: other data"):
        study.run(relabelled, design, journal=path)
    assert study.run(subject(), other, journal=path, fresh=True).complete


def test_a_cancelled_study_keeps_what_is_finished(tmp_path):
    path, cancel, seen = tmp_path / "study.jsonl", Cancel(), []

    def stop(event):
        seen.append(event)
        if event.phase == "configuration" and event.done == 1:
            cancel.set()

    design = Design(thresholds=(3,), wholes=(Whole("onnxruntime"),), **QUICK)
    with pytest.raises(CancelledError):
        study.run(subject(), design, journal=path, progress=stop, cancel=cancel)
    assert [one.variant for one in study.load(path).configurations] == ["onnxruntime, whole"]
    assert study.run(subject(), design, journal=path).complete


def test_a_configuration_that_cannot_be_built_is_kept_with_the_reason():
    model, _ = network()
    design = Design(
        thresholds=(), wholes=(Whole("onnxruntime"), Whole("tensorrt", 0)), **QUICK
    )  # fmt: skip
    found = study.run(Subject(model), design)
    failed = [one for one in found.configurations if one.failed]
    if not failed:
        pytest.skip("TensorRT runs here")
    assert [one.backend for one in failed] == ["tensorrt"]
    assert found.latency(found.configurations[0]) is not None
    assert found.latency(failed[0]) is None
    assert f"tensorrt, unoptimised: {failed[0].failed.split()[0]}" in found.text()


def test_random_input_is_the_same_for_a_seed_and_has_no_accuracy():
    model, _ = network()
    design = Design(thresholds=(), wholes=(Whole("openvino"),), **QUICK)
    one, two = (study.run(Subject(model), design) for _ in range(2))
    assert one.accuracy(one.configurations[0]) is None
    first, second = (s.deviations(s.configurations[0])[0] for s in (one, two))
    assert first.samples == second.samples
    assert first.details["count"] == 16


def test_a_fixed_batch_and_wrong_labels_are_said():
    model, _ = network(batch=2)
    with pytest.raises(StudyError, match="input x has the fixed batch 2, the study asks for 1"):
        study.run(Subject(model), Design(thresholds=(3,), **QUICK))
    model, _ = network()
    wrong = LabelledData.from_arrays(np.zeros((2, 1, 3, 3), np.float32), np.array([0, 9]))
    with pytest.raises(DataError, match="label 9 of sample 1"):
        study.run(Subject(model, wrong), Design(thresholds=(3,), **QUICK))
    with pytest.raises(StudyError, match="called the same: small"):
        study.run([Subject(model), Subject(model)], Design(**QUICK))
    with pytest.raises(StudyError, match="no network"):
        study.run([], Design(**QUICK))


def test_accuracy_takes_an_engine_as_well_as_a_session():
    from workbench import backends

    model, values = network(batch=4)
    engine = backends.get("onnxruntime").build(model)
    assert accuracy(engine, labelled(values), batch=4).top(1).hits == 24
