"""Roofline: work, bytes and bounds of layers counted by hand, and that what is drawn is them."""

import math

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text
from onnx import helper, numpy_helper

from workbench import backends, measure, plot
from workbench.graph import Graph, Node, TensorSpec
from workbench.measure import Roofs
from workbench.testing.networks import network

ROOFS = Roofs({"float32": 100e9, "int8": 400e9}, 10e9, "made up for a test", cached=50e9)


def model(name="conv", batch=1):
    """Convolution 3 x 3 from 2 to 4 channels on 8 x 8 with batch norm and ReLU, then a product."""
    weights = {"w": (4, 2, 3, 3), "s": (4,), "b": (4,), "m": (4,), "v": (4,), "f": (256, 10)}
    stored = [numpy_helper.from_array(np.ones(s, np.float32), n) for n, s in weights.items()]
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], name, pads=[1, 1, 1, 1]),
        helper.make_node("BatchNormalization", ["c", "s", "b", "m", "v"], ["n"], "bn"),
        helper.make_node("Relu", ["n"], ["r"], "relu"),
        helper.make_node("Flatten", ["r"], ["l"], "flatten"),
        helper.make_node("MatMul", ["l", "f"], ["y"], "product"),
    ]
    ends = [("x", "float32", [batch, 2, 8, 8])], [("y", "float32", [batch, 10])]
    return network(nodes, *ends, stored)


def layers(precision="float32", dtype="float32", known=True, name="conv"):
    """A kernel for convolution, norm and ReLU, a change of layout, one for the product."""
    tensors = {"k1:0": (1, 4, 8, 8), "k2:0": (1, 256)} if known else {}
    attributes = {"precision": precision}
    return Graph(
        "fused",
        (TensorSpec("x", "float32", (1, 2, 8, 8)),),
        (TensorSpec("y", "float32", (1, 10)),),
        (
            Node("k1", "Convolution", inputs=("x",), outputs=("k1:0",), attributes=attributes,
                 origin=(name, "bn", "relu")),
            Node("k2", "Reorder", "workbench", inputs=("k1:0",), outputs=("k2:0",),
                 attributes=attributes),
            Node("k3", "FullyConnected", inputs=("k2:0",), outputs=("y",), attributes=attributes,
                 origin=("flatten", "product")),
            Node("folded", "Folded", "workbench"),
        ),
        tensors=tuple(TensorSpec(tensor, dtype, shape) for tensor, shape in tensors.items()),
    )  # fmt: skip


TIMES = {"k1": 2e-6, "k2": 1e-6, "k3": 5e-6}

CONV = 2 * 256 * 18 + 2 * 256 + 256
"""Multiply-adds of 18 for each of 4 x 8 x 8 outputs, two operations of the norm, one of ReLU."""


def test_work_bytes_and_speed_are_those_counted_by_hand():
    rows = {row.name: row for row in plot.roofline_numbers(layers(), TIMES, model(), ROOFS)}
    assert list(rows) == ["k3", "k1", "k2"]  # the slowest first
    conv, moved, product = rows["k1"], rows["k2"], rows["k3"]
    assert conv.flops == CONV
    # Input, output, 72 weights and one bias: neither the tensors c and n nor the other vectors.
    assert conv.nbytes == 4 * (128 + 256 + 72 + 4)
    assert conv.intensity == CONV / (4 * 460)
    assert conv.rate == CONV / 2e-6
    assert conv.share == pytest.approx(0.25)
    assert (product.flops, product.nbytes) == (2 * 10 * 256, 4 * (256 + 10 + 2560))
    assert [row.kind for row in rows.values()] == ["matrix product", "convolution", "other"]
    assert (moved.flops, moved.drawn) == (0, False)
    assert (conv.label, product.label) == ("conv +2", "product +1")


def test_the_ceiling_is_the_lower_of_both_roofs():
    rows = {row.name: row for row in plot.roofline_numbers(layers(), TIMES, model(), ROOFS)}
    assert rows["k1"].ceiling == 10e9 * rows["k1"].intensity  # 5.4 FLOP/byte, the knee is at 10
    near = Roofs({"float32": 20e9}, 10e9, "made up")
    assert plot.roofline_numbers(layers(), TIMES, model(), near)[1].ceiling == 20e9
    assert near.attainable(1.0, "float16") is None
    assert ROOFS.top("uint8") == ROOFS.top("int8") == 400e9


def test_weights_count_in_the_precision_the_layer_computes_in():
    half = plot.roofline_numbers(layers("float16", "float16"), TIMES, model())
    by_name = {row.name: row for row in half}
    assert by_name["k1"].nbytes == 4 * 128 + 2 * (256 + 72 + 4)
    assert by_name["k1"].ceiling is None


def test_where_a_layer_hides_its_tensors_the_border_of_its_nodes_counts():
    known = plot.roofline_numbers(layers(), TIMES, model())
    hidden = plot.roofline_numbers(layers(known=False), TIMES, model())
    assert [row.nbytes for row in known if row.flops] == [row.nbytes for row in hidden if row.flops]


def test_a_node_behind_two_layers_is_divided_between_them():
    fused = layers()
    twice = Node("k4", "Convolution", inputs=("x",), outputs=("k4:0",), origin=("conv",))
    both = Graph(fused.name, fused.inputs, fused.outputs, (*fused.nodes, twice))
    rows = {r.name: r for r in plot.roofline_numbers(both, {**TIMES, "k4": 1e-6}, model(batch="N"))}
    assert rows["k4"].flops == 256 * 18
    assert rows["k1"].flops == CONV - 256 * 18
    assert (rows["k4"].shared, rows["k3"].shared) == (True, False)


def test_every_layer_is_drawn_or_said_to_be_left_out():
    ax = plot.roofline(layers(), TIMES, model(), ROOFS, name="$a$ <b>")
    at = sorted(tuple(marks.get_offsets()[0]) for marks in ax.collections)
    rows = [row for row in plot.roofline_numbers(layers(), TIMES, model()) if row.drawn]
    assert at == sorted((row.intensity, row.rate / 1e9) for row in rows)
    foot = ax.figure.get_supxlabel()
    assert "made up for a test" in foot
    assert "1 layer without arithmetic, 12.5 % of the time" in foot
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    assert "FLOP/byte" in ax.get_xlabel()
    assert "GFLOP/s" in ax.get_ylabel()
    words = [text.get_text() for text in ax.texts]
    assert "float32 100 GFLOP/s" in words
    assert not any("int8" in text for text in words)  # no layer computes in it
    assert "memory 10.0 GB/s" in words


def test_numbers_of_the_slowest_do_not_overlap():
    fused, source = layers(), model()
    many = [
        Node(f"p{i}", "FullyConnected", inputs=(f"a{i}",), outputs=(f"b{i}",),
             attributes={"precision": "float32"}, origin=("product",))
        for i in range(8)
    ]  # fmt: skip
    crowd = Graph(fused.name, fused.inputs, fused.outputs, (*fused.nodes, *many))
    times = {f"p{i}": 1e-6 * (1 + i / 50) for i in range(8)}
    figure = plot.roofline(crowd, times, source, ROOFS).figure
    renderer = FigureCanvasAgg(figure).get_renderer()
    boxes = [
        Text.get_window_extent(text, renderer)  # without the line to the point
        for text in figure.axes[0].texts
        if text.get_text().isdigit()
    ]
    assert len(boxes) == 6
    assert not [(a, b) for i, a in enumerate(boxes) for b in boxes[i + 1 :] if a.overlaps(b)]


def test_nothing_to_draw_is_said():
    ax = plot.roofline(layers(), {}, model(), ROOFS)
    assert "no layer has both" in ax.texts[0].get_text()


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, math.inf])
def test_roofs_are_finite_numbers_with_a_source(bad):
    with pytest.raises(ValueError, match="finite"):
        Roofs({"float32": bad}, 1.0, "x")
    with pytest.raises(ValueError, match="finite"):
        Roofs({"float32": 1.0}, bad, "x")
    with pytest.raises(ValueError, match="where the roofs come from"):
        Roofs({"float32": 1.0}, 1.0, " ")


def test_only_known_precisions_have_a_roof():
    with pytest.raises(ValueError, match="must be among float32"):
        measure.roofs(backends.get("reference"), precisions=("float12",))
