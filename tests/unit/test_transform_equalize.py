import numpy as np
import pytest
from model_files import node, proto, stored, value
from transform_nets import branches, max_abs_table, picture, relative, residual, run, weights

from workbench.model import Model, from_proto
from workbench.transform import equalize, quantize

SPREAD = 256.0


def chain(second: str = "Conv", between: str = "Relu", **attributes) -> Model:
    """Two products whose common channels differ in size by the factor 256 squared."""
    factor = np.exp2(np.linspace(-8, 8, 6).round()).astype(np.float32)
    first = weights(6, 3, 3, 3) * factor[:, None, None, None]
    bias = weights(6) * factor
    tail = [node("Conv", ["r", "w2"], ["y"], "second", **attributes)]
    shape = (4, 6, 1, 1) if attributes.get("group", 1) == 1 else (6, 1, 1, 1)
    w2 = weights(*shape)
    w2 /= factor[None, :, None, None] if shape[1] == 6 else factor[:, None, None, None]
    if second == "Gemm":
        tail = [
            node("GlobalAveragePool", ["r"], ["p"], "pool"), node("Flatten", ["p"], ["f"], "flat"),
            node("Gemm", ["f", "w2"], ["y"], "second", **attributes),
        ]  # fmt: skip
        w2 = weights(4, 6) / factor
        w2 = w2 if attributes.get("transB") else w2.T
    nodes = [
        node("Conv", ["x", "w1", "b1"], ["c"], "first"),
        node(between, ["c"], ["r"], "between"), *tail,
    ]  # fmt: skip
    initial = [stored("w1", first), stored("b1", bias), stored("w2", np.ascontiguousarray(w2))]
    return from_proto(proto(nodes, [value("x", [1, 3, 8, 8])], weights=initial))


CASES = [
    ("Conv", {}), ("Conv", {"group": 6}), ("Gemm", {"transB": 1}), ("Gemm", {}),
]  # fmt: skip


@pytest.mark.parametrize(("second", "attributes"), CASES)
@pytest.mark.parametrize("between", ["Relu", "LeakyRelu"])
def test_channels_become_alike_and_the_function_stays(second, attributes, between):
    model = chain(second, between, **attributes)
    done = equalize(model)
    (pair,) = done.report.pairs
    assert (pair.first, pair.second) == ("first", "second")
    assert pair.before > SPREAD**2 / 8
    assert pair.after < 8
    feeds = picture(model)
    np.testing.assert_array_equal(run(done.model, feeds)["y"], run(model, feeds)["y"])


def test_int8_survives_only_with_it():
    model, feeds = chain(), picture(chain(), 2)
    right = run(model, feeds)["y"]
    without = quantize(model, max_abs_table(model), per_channel=False).model
    cured = equalize(model).model
    with_it = quantize(cured, max_abs_table(cured), per_channel=False).model
    assert relative(run(with_it, feeds)["y"], right) < 0.05
    assert relative(run(without, feeds)["y"], right) > 0.5


def test_balanced_channels_are_left_alone():
    model = equalize(chain()).model
    again = equalize(model)
    assert again.model.digest == model.digest
    assert again.report.rounds == 1


def test_where_a_tensor_has_two_readers_nothing_is_done():
    assert not equalize(residual()).report.pairs
    assert not equalize(branches()).report.pairs


@pytest.mark.parametrize("between", ["Sigmoid", "Tanh", "Softplus"])
def test_functions_that_are_not_homogeneous_stop_it(between):
    assert not equalize(chain(between=between)).report.pairs


def test_a_chain_of_three_is_balanced_together():
    nodes = [
        node("Conv", ["x", "a"], ["ca"], "one"), node("Relu", ["ca"], ["ra"], "r1"),
        node("Conv", ["ra", "b"], ["cb"], "two"), node("Relu", ["cb"], ["rb"], "r2"),
        node("Conv", ["rb", "c"], ["y"], "three"),
    ]  # fmt: skip
    factor = np.exp2(np.arange(-3, 3)).astype(np.float32)[:, None, None, None]
    initial = [
        stored("a", weights(6, 3, 1, 1) * factor**2), stored("b", weights(6, 6, 1, 1) * factor),
        stored("c", weights(3, 6, 1, 1)),
    ]  # fmt: skip
    model = from_proto(proto(nodes, [value("x", [1, 3, 4, 4])], weights=initial))
    done = equalize(model)
    assert [p.first for p in done.report.pairs] == ["one", "two"]
    assert all(p.after < p.before for p in done.report.pairs)
    assert done.report.rounds < 20
    feeds = picture(model)
    np.testing.assert_array_equal(run(done.model, feeds)["y"], run(model, feeds)["y"])
