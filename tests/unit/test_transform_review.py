import numpy as np
import pytest
from model_files import node, proto, stored, value
from transform_nets import branches, max_abs_table, norm, residual, weights

from workbench.model import Model, from_proto
from workbench.transform import Fault, quantization_report, quantize


def pair(tensor: str, name: str, scale, zero, axis: int | None = None) -> tuple[list, list]:
    """Q and DQ on a tensor; gives ``name/out``."""
    zero = np.asarray(zero)
    more = {} if axis is None else {"axis": axis}
    inputs = [f"{name}.s", f"{name}.z"]
    nodes = [
        node("QuantizeLinear", [tensor, *inputs], [f"{name}/q"], f"{name}.Q", **more),
        node("DequantizeLinear", [f"{name}/q", *inputs], [f"{name}/out"], f"{name}.DQ", **more),
    ]
    return nodes, [stored(inputs[0], np.asarray(scale, np.float32)), stored(inputs[1], zero)]


def conv(
    act=(0.1, np.int8(0), None), wgt=(np.full(4, 0.01), np.zeros(4, np.int8), 0), tail=(),
    weight: np.ndarray | None = None,
) -> Model:  # fmt: skip
    nodes, initial = [], [stored("w", weights(4, 3, 1, 1) if weight is None else weight)]
    inputs = ["x", "w"]
    for i, how in enumerate((act, wgt)):
        if how is not None:
            made, kept = pair(inputs[i], "xw"[i], *how)
            nodes += made
            initial += kept
            inputs[i] = f"{'xw'[i]}/out"
    out = "c" if tail else "y"
    nodes.append(node("Conv", inputs, [out], "conv"))
    for more, kept in tail:
        nodes += more
        initial += kept
    return from_proto(proto(nodes, [value("x", [1, 3, 4, 4])], weights=initial))


def faults(model: Model) -> dict[str, Fault]:
    return {found.node: found.fault for found in quantization_report(model).findings}


def test_what_quantize_makes_has_nothing_to_find():
    for model in (residual(), branches()):
        done = quantize(model, max_abs_table(model))
        report = quantization_report(done.model)
        assert report.findings == ()
        assert report.products == done.report.products
        assert report.floats == ()
        assert report.pairs == len(done.report.pairs) + len(done.report.products)


def test_a_float_model_has_products_only():
    report = quantization_report(residual())
    assert report.floats == ("conv1", "conv2", "fc")
    assert report.findings == ()


def test_a_right_model_is_right():
    report = quantization_report(conv())
    assert report.products == ("conv",)
    assert report.findings == ()


@pytest.mark.parametrize(
    ("model", "wanted"),
    [
        (conv(act=(0.1, np.int8(3), None)), {"x.Q": Fault.ASYMMETRIC, "x.DQ": Fault.ASYMMETRIC}),
        (conv(act=(0.1, np.uint8(0), None)), {"x.Q": Fault.UNSIGNED, "x.DQ": Fault.UNSIGNED}),
        (
            conv(act=(np.full(3, 0.1), np.zeros(3, np.int8), 1)),
            {"x.Q": Fault.PER_CHANNEL_ACTIVATION, "x.DQ": Fault.PER_CHANNEL_ACTIVATION},
        ),
        (conv(wgt=(0.1, np.int8(0), None)), {"w.DQ": Fault.PER_TENSOR_WEIGHT}),
        (
            conv(wgt=(np.full(3, 0.1), np.zeros(3, np.int8), 1)),
            {"w.DQ": Fault.WRONG_AXIS},
        ),
        (conv(act=(0.0, np.int8(0), None)), {"x.Q": Fault.BAD_SCALE, "x.DQ": Fault.BAD_SCALE}),
        (conv(act=(np.nan, np.int8(0), None)), {"x.Q": Fault.BAD_SCALE, "x.DQ": Fault.BAD_SCALE}),
        (conv(wgt=None), {"conv": Fault.WEIGHT_NOT_QUANTIZED}),
        (conv(act=None), {"conv": Fault.INPUT_NOT_QUANTIZED}),
    ],
)
def test_each_rule_finds_its_fault(model, wanted):
    assert faults(model) == wanted


@pytest.mark.parametrize("op", ["Relu", "BatchNormalization"])
def test_a_pair_inside_a_fusion_is_found(op):
    middle = pair("c", "m", 0.1, np.int8(0))
    after = norm("after", "m/out", "y", 4)
    last = ([after[0]], after[1]) if op != "Relu" else ([node("Relu", ["m/out"], ["y"], "a")], [])
    found = faults(conv(tail=(middle, last)))
    assert found["m.Q"] is Fault.INSIDE_FUSION


def test_a_pair_nobody_uses_is_found():
    middle = pair("c", "m", 0.1, np.int8(0))
    assert faults(conv(tail=(middle, ([node("Exp", ["m/out"], ["y"], "exp")], []))))["m.DQ"] is (
        Fault.DANGLING
    )


def test_the_older_form_is_found():
    names = ["x", "s", "z", "w", "s", "z", "s", "z"]
    model = from_proto(
        proto(
            [node("QLinearConv", names, ["y"], "old")],
            [value("x", [1, 3, 4, 4], 3)], [value("y", None, 3)],
            [stored("s", np.float32(0.1)), stored("z", np.int8(0)),
             stored("w", np.ones((4, 3, 1, 1), np.int8))],
        )
    )  # fmt: skip
    assert faults(model) == {"old": Fault.INTEGER_OPERATOR}


def test_messages_name_the_node_and_the_remedy():
    (found,) = quantization_report(conv(wgt=None)).findings
    assert found.message.startswith("conv: ")
    assert "quantize the weight too" in found.message
    assert found.blocks
    (mild,) = quantization_report(conv(wgt=(0.1, np.int8(0), None))).findings
    assert not mild.blocks
