"""The roofline in the Explorer: roofs are measured once, in a job that can be cancelled."""

import pytest

from workbench.partitioning import Exclusion
from workbench.widgets.explorer import explore

pytest.importorskip("openvino", reason="OpenVINO is not installed")

PLOTS_TAB = 1


@pytest.mark.slow
def test_a_roofline_is_drawn_once_its_roofs_are_measured():
    app = explore(
        "digits_inception", source="tensorrt-11.1", exclude=Exclusion(op_types=("Concat",)),
        cache=False, seconds=0.1, samples=20,
    )  # fmt: skip
    try:
        assert app.wait(60)
        app.results.widget.selected_index = PLOTS_TAB
        app.results.kind.value = "roofline"
        assert "Nothing to draw" in app.results.drawn.value
        app.building.build.click()
        assert app.wait(120)
        assert "is measured first" in app.results.drawn.value
        app.results.kind.value = "latency"
        app.results.kind.value = "roofline"
        assert app.state.job.name == "measure roofs"
        assert app.wait(60)
        assert "data:image/svg+xml" in app.results.drawn.value
        job = app.state.job
        app.results.kind.value = "latency"
        app.results.kind.value = "roofline"
        assert app.state.job is job
        built = app.state.built
        roofs = app.state.bench.roofs(built)
        assert "openvino" in roofs.source
        assert set(roofs.flops) == {"float32"}
        assert built.model.graph.inputs[0].shape == (1, 1, 16, 16)
    finally:
        app.close()
