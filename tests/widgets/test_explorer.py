"""The Explorer as widgets in one process: no browser, no kernel."""

import time
from pathlib import Path

import onnx
import pytest

from workbench import plot
from workbench.partitioning import Exclusion
from workbench.widgets import curve as curves
from workbench.widgets import explorer as module
from workbench.widgets.explorer import LAYERS, Explorer, explore

KEPT_OUT = Exclusion(op_types=("Concat", "MaxPool"))


@pytest.fixture
def app(tmp_path: Path):
    made = explore(
        "digits_inception", source="tensorrt-11.1", exclude=KEPT_OUT, cache=False, seconds=0.1,
        samples=20,
    )  # fmt: skip
    assert made.wait(60)
    made.results.path.value = str(tmp_path / "out" / "study.json")
    yield made
    made.close()


def message(app: Explorer) -> str:
    return "" if app.desk.widget.layout.display == "none" else app.desk._words.value


def test_it_plans_and_shows_at_once(app: Explorer):
    assert message(app) == ""
    assert app.view is not None
    assert "7 engines" in app.partition.summary.value
    assert [value for _, value in app.partition.slider.options] == [1, 4, 7, 19]
    assert app.state.data is not None
    assert "450 labelled samples" in app.network.about.value


def test_the_slider_moves_the_threshold_and_every_stop_is_another_partition(app: Explorer):
    seen = set()
    for _, stop in app.partition.slider.options:
        app.partition.slider.value = stop
        assert app.state.choices.threshold == stop or app.partition._stop(app.state.curve) == stop
        seen.add(app.partition.summary.value)
        assert app.view is not None
        assert app.view._subject.partition is app.state.partition
    assert len(seen) == len(app.partition.slider.options)


def test_a_number_between_two_stops_is_kept(app: Explorer):
    app.partition.exact.value = 5
    assert app.state.choices.threshold == 5
    assert app.partition.slider.value == 4
    assert app.state.partition.min_subgraph_size == 5


def test_new_stops_do_not_move_the_threshold(app: Explorer):
    app.partition.exact.value = 6
    app.exclusion.name.value = "stem/*"
    assert "stem/*" in app.state.choices.exclude.nodes
    assert app.state.choices.threshold == 6


def test_choices_changed_by_a_script_show_in_the_widgets(app: Explorer):
    app.state.update(preset="torch_tensorrt")
    assert app.partition.preset.value == "torch_tensorrt"
    assert app.partition.policy.value == "fewest"
    assert app.partition.exact.value == 5
    app.state.update(preset=None, source=None)
    assert app.wait(60)
    assert app.partition.preset.value == ""
    assert app.partition.source.value == ""


def test_errors_are_told_in_words_and_go_with_the_next_action(app: Explorer):
    app.exclusion.name.value = "Cnocat"
    assert "no operator type and no node Cnocat (did you mean Concat?)" in message(app)
    assert "Traceback" not in message(app)
    app.partition.exact.value = 4
    assert message(app) == ""
    app.state.set_data(None)
    app.precision.precision.value = "int8"
    assert "open labelled data first" in message(app)
    assert app.precision.precision.value == "fp32"


def test_what_nobody_chose_takes_no_message_away(app: Explorer):
    assert app._survey.wait(60)
    app.exclusion.name.value = "Cnocat"
    app.settings.reported(app._survey.result[::-1])
    app.partition.refresh()
    assert "no node Cnocat" in message(app)


def test_a_wrong_file_is_told_and_the_old_network_stays(app: Explorer):
    app.network.model.value = "nowhere/<img src=x onerror=alert(1)>.onnx"
    app.network._open.click()
    assert "&lt;img" in message(app)
    assert "<img" not in message(app)
    assert app.state.model.name == "digits_inception"


def test_a_fault_of_ours_says_where(app: Explorer):
    def broken() -> None:
        raise KeyError("inside")

    app.desk.on(broken)(None)
    assert "Something in the workbench went wrong" in message(app)
    assert "Traceback" in message(app)


def test_a_node_is_asked_about_from_either_side(app: Explorer):
    assert app.view is not None
    app.view.selection = ("inception_a/pool",)
    assert "excluded by the user" in app.node.answer.value
    assert "inception_a/pool" in app.exclusion.this.description
    app.node.ask("stem/conv")
    assert app.view.selection == ("stem/conv",)
    app.node.other.value = "inception_a/pool_proj/conv"
    assert "would close a cycle" in app.node.answer.value
    app.exclusion.toggle_selected()
    assert app.state.choices.exclude.nodes == ("stem/conv",)
    assert "excluded by the user" in app.node.answer.value
    app.exclusion.toggle_selected()
    assert app.state.choices.exclude == KEPT_OUT


def test_a_misspelt_node_gets_a_suggestion_in_any_case(app: Explorer):
    app.node.ask("STEM/CONF")
    assert "no node STEM/CONF (did you mean stem/conv?)" in app.node.answer.value
    app.node.ask("stem/conv")
    app.node.other.value = "Stem/Relu"
    assert "did you mean stem/relu?" in app.node.answer.value


def test_what_if_follows_the_threshold(tmp_path: Path):
    x = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, (2, 4, 4))
    y = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, (2,))
    names = ("x", "a", "b", "c", "y")
    nodes = [
        onnx.helper.make_node(kind, [reads], [makes], kind + makes)
        for kind, reads, makes in zip(
            ("Relu", "Exp", "Det", "Relu"), names, names[1:], strict=False
        )
    ]
    graph = onnx.helper.make_graph(nodes, "dets", [x], [y])
    made = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)])
    onnx.save(made, tmp_path / "dets.onnx")
    with explore(tmp_path / "dets.onnx", source="tensorrt-11.1", threshold=1, cache=False) as app:
        assert app.wait(60)
        app.node.what_if()
        assert "threshold 1" in app.node.table.value
        app.partition.exact.value = 3
        assert "threshold 3" in app.node.table.value
        app.exclusion.name.value = "Det"
        assert "No node is native" in app.node.table.value


def test_a_threshold_below_one_is_refused_and_the_field_put_back(app: Explorer):
    app.partition.exact.value = 0
    assert "threshold is 0; must be a whole number from 1" in message(app)
    assert app.partition.exact.value == app.state.choices.threshold == 3


def test_the_recommended_threshold_is_called_an_estimate(app: Explorer):
    assert app.partition.advice.description.startswith("Estimated best: ")
    assert "an estimate, not measured" in app.partition.advice.tooltip


def test_what_if_and_profile_and_doctor(app: Explorer):
    app.node.what_if()
    assert "No node is native" in app.node.table.value
    app.profile.fields["image"][2].value = "4x1x16x16"
    app.profile.apply()
    assert app.state.choices.profiles["image"].max == (4, 1, 16, 16)
    app.profile.fill()
    assert app.state.choices.profiles["image"].max == (1, 1, 16, 16)
    assert "openvino" in app.settings.doctor.value
    assert app.state.choices.backend == "openvino"


@pytest.mark.slow
def test_build_compare_draw_and_keep(app: Explorer):
    app.building.build.click()
    assert app.wait(120)
    assert message(app) == ""
    assert "done in" in app.building.phase.value
    app.partition.slider.value = 7
    app.building.build.click()
    assert app.wait(120)
    assert len(app.results.ticks) == 3
    for tick in list(app.results.ticks.values())[1:]:
        tick.value = True
    assert "changed sides" in app.results.compared.value
    app.mode.value = LAYERS
    assert app.view is not None
    assert app.view._subject.derived is not None
    assert {"time", "achieved"} <= set(app.view._subject.overlays or {})
    app.results.widget.selected_index = 1
    for kind in ("latency", "accuracy", "trade-off", "layers by time", "threshold curve"):
        app.results.kind.value = kind
        assert "data:image/svg+xml" in app.results.drawn.value
    app.results.save()
    app.results.export()
    target = Path(app.results.path.value)
    assert target.is_file()
    assert target.with_suffix(".html").is_file()
    app.results.copy()
    assert "wb.build(" in app.results.code.value
    first = app.state.bench.built[1]
    app.results.show(first)
    assert app.state.choices == first.choices
    app.results.remove()
    assert len(app.results.ticks) == 1
    assert message(app) == ""


@pytest.mark.slow
def test_cancel_stops_within_two_seconds(app: Explorer):
    app.building.build.click()
    begun = time.monotonic()
    app.building.cancel.click()
    assert app.wait(10)
    assert time.monotonic() - begun < 2.0
    assert "cancelled" in app.building.phase.value
    assert message(app) == ""
    assert not app.building.build.disabled


def test_closing_stops_everything_and_twice_is_fine(app: Explorer):
    job = app.state.run("wait", lambda progress, cancel: _wait(cancel))
    app.close()
    app.close()
    assert not job.running
    assert app.closed
    assert app.widget.comm is None


def _wait(cancel) -> None:
    while True:
        cancel.check()
        time.sleep(0.01)


def test_running_a_cell_again_closes_the_explorer_before(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "_cell", lambda: "cell-1")
    first = explore("digits_inception", source="tensorrt-11.1", cache=False)
    second = explore("digits_inception", source="tensorrt-11.1", cache=False)
    assert first.closed
    assert not second.closed
    assert second.wait(60)
    second.close()


def test_the_still_picture_holds_graph_and_tables(app: Explorer):
    found = app._still()
    assert "7 engines" in found["text/plain"]
    assert found["text/html"].count("data:image/svg+xml") == 2
    assert "<script" not in found["text/html"]
    assert len(found["text/html"]) < 1_500_000


def test_the_curve_has_one_place_for_each_stop(app: Explorer):
    points = app.state.curve
    svg = curves.curve_svg(points, 48, 4, 1)
    assert svg.count("<circle") == 3 * len(points)
    assert "threshold 4: 3 engines" in svg
    alone = curves.curve_svg(points[:1], 48, 1, 1)
    assert "nan" not in alone


def test_layers_by_time_are_the_longest_first(app: Explorer):
    graph = app.state.graph
    times = {node.name: float(i + 1) for i, node in enumerate(graph.nodes)}
    rows = plot.layer_numbers(graph, times, most=5)
    assert [row.seconds for row in rows[:5]] == [48.0, 47.0, 46.0, 45.0, 44.0]
    assert rows[5].name == "43 other layers"
    assert sum(row.share for row in rows) == pytest.approx(1.0)
    assert plot.layer_numbers(graph, {}) == []


def test_a_click_on_a_rule_takes_it_away(app: Explorer):
    before = app.exclusion.kept.children
    assert [chip.description for chip in before] == ["Concat", "MaxPool"]
    before[0].click()
    assert app.state.choices.exclude == Exclusion(op_types=("MaxPool",))
    assert [chip.description for chip in app.exclusion.kept.children] == ["MaxPool"]
