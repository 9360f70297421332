"""The numbers behind the plots, and that what is drawn is them."""

import sys
from dataclasses import replace
from subprocess import run

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from study_samples import ENVIRONMENT, ROUNDS, study_of

from workbench import plot
from workbench.errors import StudyError
from workbench.graph import Graph, Node, TensorSpec
from workbench.measure import wilson
from workbench.partitioning import plan, takes_all
from workbench.plot.style import backend_look
from workbench.study import Configuration, Study


def test_latency_numbers_join_what_shares_a_measurement():
    rows = plot.latency_numbers(study_of())
    assert [row.label for row in rows] == [
        "onnxruntime, whole", "openvino, whole", "openvino, min 1, 3", "openvino, min 5",
    ]  # fmt: skip
    assert all(len(row.samples) == ROUNDS for row in rows)
    assert [row.median for row in rows] == [np.median(row.samples) for row in rows]
    assert rows[0].against is None
    assert rows[1].against.verdict == "faster"
    assert plot.latency_numbers(study_of(), clock="cpu")[0].median == pytest.approx(
        0.9 * rows[0].median
    )


def test_accuracy_numbers_are_counts_with_wilson_intervals():
    rows = plot.accuracy_numbers(study_of())
    assert [row.share.hits for row in rows] == [95, 95, 94, 90]
    assert rows[-1].share.interval == wilson(90, 100)
    assert plot.accuracy_numbers(study_of(), k=5)[0].share.value == 1.0
    assert plot.accuracy_numbers(study_of(labels=False)) == []


def test_the_frontier_holds_exactly_what_nothing_beats():
    points = plot.tradeoff_numbers(study_of(), quality="top1")
    for point in points:
        beaten = any(
            other.seconds <= point.seconds
            and other.quality >= point.quality
            and (other.seconds, other.quality) != (point.seconds, point.quality)
            for other in points
        )
        assert point.frontier is not beaten
    assert [point.label for point in points if point.frontier] == ["openvino, whole"]


def test_a_quality_that_is_not_finite_is_left_out():
    labels = [point.label for point in plot.tradeoff_numbers(study_of(), quality="snr")]
    assert "onnxruntime, whole" not in labels
    assert len(labels) == 3


def test_every_sample_is_drawn_or_counted_as_beyond():
    study = study_of(noise=1.0)
    ax = plot.latency(study)
    drawn = [len(dots.get_offsets()) for dots in ax.collections]
    beyond = [
        int(words.rsplit(", ", 1)[1].split()[0]) if "beyond" in words else 0
        for words in (text.get_text() for text in ax.texts)
        if words.startswith(("baseline", "no difference"))
        or "x faster" in words
        or "x slow" in words
    ]
    assert sum(beyond) > 0
    assert [a + b for a, b in zip(drawn, beyond, strict=True)] == [ROUNDS] * 4


def test_axes_have_units_and_start_at_zero():
    ax = plot.latency(study_of())
    assert ax.get_xlim()[0] == 0
    assert ax.get_xlabel() == "latency of a run (ms)"
    assert [label.get_text() for label in ax.get_yticklabels()][2] == "openvino, min 1, 3"
    assert plot.accuracy(study_of()).get_xlabel() == "top-1 accuracy (%)"
    ax = plot.tradeoff(study_of())
    assert "(ms)" in ax.get_xlabel()
    assert "(%)" in ax.get_ylabel()
    assert "(dB)" in plot.tradeoff(study_of(labels=False)).get_ylabel()


def test_a_plot_draws_where_it_is_told():
    ax = plot.latency(study_of())
    ax.clear()
    assert plot.accuracy(study_of(), ax=ax) is ax


def test_names_are_text_and_not_mathematics(tmp_path):
    name = r"$\frac{a_$ <b>% ^_{}"
    study = study_of(name)
    for draw in (plot.latency, plot.accuracy, plot.tradeoff):
        ax = draw(study)
        assert ax.get_title(loc="left").startswith(name)
        assert not ax._left_title.get_parse_math()
        # Tick labels of the trade-off are numbers of matplotlib's own.
        labels = [] if draw is plot.tradeoff else ax.get_yticklabels()
        assert not any(label.get_parse_math() for label in labels)
    assert len(plot.save_figures(study, tmp_path)) == 3


def test_a_variant_with_dollars_is_drawn(tmp_path):
    study = study_of(backend="$x_{$")
    assert [path.stat().st_size > 5000 for path in plot.save_figures(study, tmp_path)] == [True] * 3


def test_names_in_any_script_do_not_stop_a_figure(tmp_path):
    assert len(plot.save_figures(study_of("网络\u202e\n🐍"), tmp_path)) == 3


def test_figures_are_left_out_where_there_is_nothing_to_draw(tmp_path):
    names = [path.name for path in plot.save_figures(study_of(labels=False), tmp_path)]
    assert names == ["latency.png", "tradeoff.png"]
    failed = Configuration(model="m", batch=1, variant="v", backend="b", failed="no")
    empty = Study((), ENVIRONMENT, (failed,))
    assert plot.save_figures(empty, tmp_path / "none") == ()
    assert plot.latency(empty).texts[0].get_text() == "no latency was measured"
    assert "no labelled data" in plot.accuracy(empty).texts[0].get_text()
    assert plot.tradeoff(empty).texts[0].get_text() == "nothing to compare"


def test_many_panels_are_split_by_network(tmp_path):
    one, two = study_of("a", batches=(1, 2, 4)), study_of("b", batches=(1, 2, 4, 8))
    both = replace(
        one,
        measurements=one.measurements + two.measurements,
        configurations=one.configurations + two.configurations,
    )
    names = [path.name for path in plot.save_figures(both, tmp_path)]
    assert names[:2] == ["latency-1.png", "latency-2.png"]


def test_wrong_formats_folders_and_networks(tmp_path):
    with pytest.raises(ValueError, match="format gif"):
        plot.save_figures(study_of(), tmp_path, formats=("gif",))
    (tmp_path / "file").write_text("")
    with pytest.raises(StudyError, match="cannot be written"):
        plot.save_figures(study_of(), tmp_path / "file")
    with pytest.raises(StudyError, match="no network"):
        plot.latency(study_of(), "other")


def test_labels_and_numbers_do_not_overlap_with_twenty_configurations():
    ax = plot.latency(study_of(thresholds=tuple(range(1, 20))))
    figure = ax.figure
    figure.draw_without_rendering()
    renderer = FigureCanvasAgg(figure).get_renderer()
    boxes = [label.get_window_extent(renderer) for label in ax.get_yticklabels()]
    boxes += [text.get_window_extent(renderer) for text in ax.texts]
    overlapping = [
        (a, b) for i, a in enumerate(boxes) for b in boxes[i + 1 :] if a.shrunk(1, 0.9).overlaps(b)
    ]
    assert not overlapping
    width, height = figure.get_size_inches() * figure.dpi
    assert all(box.x0 >= 0 and box.x1 <= width and box.y1 <= height for box in boxes)


def test_a_backend_has_one_look_everywhere():
    looks = {backend_look(name) for name in ("onnxruntime", "openvino", "tensorrt")}
    assert len({color for color, _ in looks}) == len({mark for _, mark in looks}) == 3
    assert backend_look("mine") == backend_look("mine")


def chain(count):
    nodes = tuple(
        Node(f"n{i}", "Relu", inputs=(f"t{i}",), outputs=(f"t{i + 1}",)) for i in range(count)
    )
    return Graph(
        "chain", (TensorSpec("t0", "float32", (4,)),), (TensorSpec(f"t{count}", "float32", (4,)),),
        nodes,
    )  # fmt: skip


def test_threshold_curve_shows_the_plan():
    graph = chain(6)
    planned = plan(graph, takes_all(graph))
    numbers = plot.curve_numbers(planned.curve(), 6)
    assert numbers.thresholds == (1, 7)
    assert numbers.engines == (1, 0)
    assert numbers.coverage == (1.0, 0.0)
    for threshold, engines, nbytes in zip(
        numbers.thresholds, numbers.engines, numbers.boundary_bytes, strict=True
    ):
        totals = planned.totals(threshold)
        assert (engines, nbytes) == (totals.engines, totals.boundary_bytes)
    axes = plot.threshold_curve(planned.curve(), planned.recommended(), nodes=6, name="$a$")
    assert [ax.get_ylabel().replace("\n", " ") for ax in axes] == [
        "engines", "nodes in engines (%)", "boundary (bytes)",
    ]  # fmt: skip
    assert any("recommended threshold" in text.get_text() for text in axes[0].texts)
    axes[0].figure.draw_without_rendering()
    with pytest.raises(ValueError, match="at least one point"):
        plot.curve_numbers(())
    with pytest.raises(ValueError, match="needs three"):
        plot.threshold_curve(planned.curve(), ax=[axes[0]])


def test_plots_leave_pyplot_alone():
    code = (
        "import sys; sys.path.insert(0, 'tests/unit'); from study_samples import study_of;"
        "from workbench import plot; plot.latency(study_of()).figure.draw_without_rendering();"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    run([sys.executable, "-c", code], check=True, timeout=60)


def test_a_layer_is_called_by_the_nodes_it_stands_for():
    nodes = (
        Node("Multiply_4608", "Convolution", origin=("stem/conv", "stem/bn", "stem/relu")),
        Node("pool", "Pooling", origin=("pool",)),
        Node("reorder", "Reorder"),
    )
    times = {"Multiply_4608": 3.0, "pool": 2.0, "reorder": 1.0}
    rows = plot.layer_numbers(Graph("layers", (), (), nodes), times)
    assert [row.label for row in rows] == ["stem/conv +2", "pool", "reorder"]
    assert [row.name for row in rows] == list(times)
