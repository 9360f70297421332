"""The roofline of a real engine, with roofs measured on this machine."""

import numpy as np
import pytest

from workbench import backends, measure, plot, zoo
from workbench.model import statistics

openvino = pytest.importorskip("openvino", reason="OpenVINO is not installed")


@pytest.fixture(scope="module")
def roofs():
    return measure.roofs(backends.get("openvino"), precisions=("float32", "int8"), seconds=0.05)


def test_roofs_of_this_machine_are_plausible(roofs):
    assert 1e9 < roofs.flops["float32"] < 1e13  # one thread of any processor since 2005
    assert 1e8 < roofs.bandwidth < 1e12
    assert roofs.source.startswith("measured here: ")
    assert "openvino" in roofs.source
    assert "1 thread" in roofs.source


def test_a_real_profile_of_the_digits_network(roofs):
    model = zoo.load("digits_inception")
    model = model.with_shapes({"image": (1, 1, 16, 16)})
    engine = backends.get("openvino").build(model)
    with engine.session() as session:
        session.run({"image": np.zeros((1, 1, 16, 16), np.float32)})
        times = session.profile()
    rows = plot.roofline_numbers(engine.layers(), times, model, roofs)
    assert {row.name for row in rows} == set(times)
    assert sum(row.share for row in rows) == pytest.approx(1)
    counted = sum(row.flops for row in rows)
    assert counted == pytest.approx(statistics(model).flops, rel=0.01)
    assert sum(row.kind == "convolution" for row in rows) == 13
    assert all(row.drawn for row in rows if row.kind != "other")
    assert all(row.intensity < 1000 for row in rows)
    ax = plot.roofline(engine.layers(), times, model, roofs, name="digits_inception")
    assert len(ax.collections) == sum(row.drawn for row in rows)
    assert "measured here" in ax.figure.get_supxlabel()
    ax.figure.draw_without_rendering()
