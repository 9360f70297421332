"""The Explorer in real JupyterLab and real Voila, as a hand uses it."""

from __future__ import annotations

import secrets

import pytest
from explorer_page import CELL, ExplorerPage

pytestmark = pytest.mark.slow


@pytest.fixture
def explorer(open_lab):
    """`explorer(cell, **options)`: an Explorer in a notebook of its own."""

    def opened(cell: str = CELL, name: str = "", **options) -> ExplorerPage:
        page = open_lab(name or f"{secrets.token_hex(4)}.ipynb", cell, **options)
        page.evaluate("window.jupyterapp.shell.collapseLeft()")
        return ExplorerPage(page).ready()

    return opened


def kernel_gone(page) -> None:
    page.evaluate("window.jupyterapp.shell.currentWidget.sessionContext.shutdown()")


def saved(page) -> None:
    page.evaluate("window.jupyterapp.commands.execute('docmanager:save')")
    page.wait_for_function("() => !window.jupyterapp.shell.currentWidget.context.model.dirty")


def theme(page, name: str) -> None:
    page.evaluate(
        f"window.jupyterapp.commands.execute('apputils:change-theme', {{theme: '{name}'}})"
    )
    page.wait_for_selector("#jupyterlab-splash", state="detached")


def slide_select_and_open(at: ExplorerPage) -> None:
    """What holds wherever the Explorer runs, with Concat and MaxPool kept out."""
    at.expect(at.summary, "Threshold 1–3: 7 engines, 42 of 48 nodes")
    before = at.rev()
    at.drag_threshold(1 / 3)
    at.expect(at.summary, "Threshold 4–6: 3 engines, 30 of 48 nodes")
    at.drawn_after(before)
    at.expect(at.view.locator(".status"), "3 engines")
    label = at.root.locator(".workbench-curve").get_attribute("aria-label")
    assert label.startswith("threshold 4: 3 engines")
    assert at.field("Threshold").input_value() == "4"

    at.node("left", "stem/conv").click()
    at.page.wait_for_selector(".left g.marked")
    assert at.view.locator(".left g.marked").count() == 1
    assert at.view.locator(".right g.partly").count() == 1
    at.expect(at.group("Why is this node"), "stem/conv is in engine 0")
    at.fit("right")
    engine = at.in_sight("right", "engine")
    engine.click()
    at.page.wait_for_selector(".right g.engine.marked")
    at.page.wait_for_function("() => +document.querySelector('.wbg').dataset.marked >= 4")
    at.fit("left")
    assert at.view.locator(".left g.marked").count() >= 4
    before = at.rev()
    engine.dblclick()
    at.drawn_after(before)
    at.page.wait_for_selector(".right .region rect")
    at.expect(at.view.locator(".panel"), "Close engine")


def test_slider_selection_and_engines_in_jupyterlab(explorer, shots):
    at = explorer()
    slide_select_and_open(at)
    at.keep(shots / "explorer-light.png")
    assert at.poor_contrast() == []


def test_a_node_is_kept_out_by_a_click_and_let_in_again(explorer):
    at = explorer()
    at.drag_threshold(0)
    at.node("left", "stem/relu").click()
    at.button("Keep out: stem/relu").click()
    chip = at.group("Kept out").get_by_title("let stem/relu in again")
    chip.wait_for()
    at.expect(at.summary, "9 engines, 39 of 48 nodes")
    at.expect(at.group("Why is this node"), "excluded by the user")
    at.page.wait_for_selector(".left g.marked.c-native")
    at.expect(at.view.locator(".panel .verdict"), "excluded by the user")
    chip.click()
    at.expect(at.summary, "42 of 48 nodes")
    chip.wait_for(state="detached")
    at.expect(at.view.locator(".panel .verdict"), "in engine 0")


def test_the_panel_stays_with_its_node_when_the_threshold_moves(explorer):
    at = explorer()
    at.fit("right")
    at.in_sight("right", "node.c-native").click()
    at.expect(at.view.locator(".panel .verdict"), "excluded by the user")
    name = at.view.locator(".panel .name").inner_text()
    for share in (1, 0):
        before = at.rev()
        at.drag_threshold(share)
        at.drawn_after(before)
        at.expect(at.view.locator(".panel .name"), name)
        at.expect(at.view.locator(".panel .verdict"), "excluded by the user")
        titles = at.view.locator(".right g.n text.title").all_text_contents()
        reads = at.view.locator(".panel details", has_text="Reads").get_by_role("button")
        links = [one.removeprefix("← ") for one in reads.all_inner_texts()]
        assert links
        assert set(links) <= set(titles)
        assert any(one.startswith("Engine") for one in links) == (share == 0)


def test_build_shows_phases_layers_and_a_row_and_cancel_leaves_all_usable(explorer, shots):
    at = explorer()
    at.watch_phases()
    at.button("Build and measure").click()
    at.expect(at.phase, "done in")
    said = at.phases()
    for phase in ("build parts", "measure accuracy", "measure latency"):
        assert phase in said
    at.building.get_by_text("Log", exact=True).click()
    at.expect(at.building.locator("pre"), "build parts.*measure latency")
    rows = at.root.locator(".workbench-row")
    at.expect(rows.nth(1), "onnxruntime, whole.*baseline")
    at.expect(rows.nth(2), "openvino, min 3, no Concat.*42/48")
    before = at.rev()
    at.button("Layers as built").click()
    at.drawn_after(before)
    at.page.wait_for_selector(".right g.n:has-text('Reorder')")
    at.keep(shots / "explorer-built.png")

    at.drag_threshold(1 / 3)
    at.expect(at.summary, "3 engines")
    at.button("Build and measure").click()
    at.button("Cancel").click()  # waits until there is something to cancel
    at.expect(at.phase, "cancelled")
    assert at.alert.count() == 0 or not at.alert.is_visible()
    at.drag_threshold(2 / 3)
    at.expect(at.summary, "Threshold 7–18: 1 engine")
    at.button("Build and measure").click()
    at.expect(at.phase, "done in")
    at.expect(rows.last, "openvino, min 7, no Concat.*18/48")
    for tick in at.root.locator(".workbench-main input[type=checkbox]").all()[1:3]:
        tick.check()
    at.page.get_by_text("changed sides").wait_for()
    at.page.get_by_role("tab", name="Plots").click()
    at.page.wait_for_selector(".workbench-main img")
    at.keep(shots / "explorer-plots.png")


def test_errors_are_said_in_words_where_they_are_seen(explorer, shots):
    at = explorer(viewport={"width": 1400, "height": 700})
    shapes = at.group("Shapes of dynamic inputs")
    for typed, words in (
        ("none at all", "is no shape; write 1x3x224x224"),
        ("0x1x16x16", "max 0; must be 0 <= min"),
        ("1x7x16x16", "the network fixes it to 1"),
    ):
        shapes.locator("input").nth(2).fill(typed)
        shapes.locator("input").nth(2).press("Tab")
        at.button("Apply").click()
        at.expect(at.alert, words)
        at.alert.wait_for()
        assert "Traceback" not in at.alert.inner_text()
        box = at.alert.bounding_box()
        assert 0 <= box["y"] < 700 - box["height"], "in sight, however far the page is scrolled"
    at.page.screenshot(path=shots / "explorer-error.png")
    at.button("Dismiss").click()
    at.alert.wait_for(state="hidden")
    at.field("Network").fill("resnet5")
    at.field("Network").press("Tab")
    at.button("Open").click()
    at.expect(at.alert, "did you mean resnet50")
    at.expect(at.summary, "7 engines")


def test_running_the_cell_again_replaces_the_explorer_without_an_error(explorer):
    at = explorer()
    for _ in range(4):
        at.page.evaluate("document.querySelector('.workbench-explorer').dataset.old = 1")
        at.page.evaluate("window.jupyterapp.commands.execute('notebook:run-all-cells')")
        at.page.wait_for_selector(".workbench-explorer:not([data-old]) .wbg[data-rev] .left g.n")
    assert at.root.count() == 1


def test_reloaded_it_lives_on_and_reopened_without_a_kernel_a_picture_is_there(
    explorer, open_lab, lab, shots
):
    at = explorer(name="kept.ipynb")
    at.drag_threshold(1 / 3)
    at.expect(at.summary, "3 engines")
    twin = at.page.locator("div[class^=workbench-twin]")
    at.expect(twin, "3 engines with 30 of 48 nodes")
    assert not twin.is_visible(), "the picture is hidden while the widget lives"
    saved(at.page)
    assert (lab.folder / "kept.ipynb").stat().st_size < 500_000
    at.page.reload()
    at.ready()
    at.expect(at.summary, "3 engines")
    at.drag_threshold(2 / 3)
    at.expect(at.summary, "Threshold 7–18: 1 engine")
    kernel_gone(at.page)
    again = open_lab("kept.ipynb", run=False, allow=("model not found", "widget"))
    again.wait_for_selector("div[class^=workbench-twin] img")
    still = again.locator("div[class^=workbench-twin]")
    assert still.is_visible()
    assert "3 engines with 30 of 48 nodes" in still.inner_text()
    assert again.evaluate("document.querySelector('div[class^=workbench-twin] img').naturalWidth")
    again.screenshot(path=shots / "explorer-reopened.png")


def test_dark_theme_can_be_read(explorer, shots):
    at = explorer()
    theme(at.page, "JupyterLab Dark")
    at.page.wait_for_selector('.wbg[data-theme="dark"]')
    at.node("left", "stem/conv").click()
    at.expect(at.group("Why is this node"), "stem/conv is in engine 0")
    at.keep(shots / "explorer-dark.png")
    try:
        assert at.poor_contrast() == []
    finally:
        theme(at.page, "JupyterLab Light")


@pytest.mark.parametrize("look", ["light", "dark"])
def test_at_200_percent_nothing_stands_out_of_the_page(explorer, shots, look):
    at = explorer(viewport={"width": 700, "height": 450}, device_scale_factor=2)
    if look == "dark":
        theme(at.page, "JupyterLab Dark")
        at.page.wait_for_selector('.wbg[data-theme="dark"]')
    try:
        at.keep(shots / f"explorer-{look}-200.png")
        assert at.too_wide() == []
    finally:
        theme(at.page, "JupyterLab Light")


def test_workbench_app_in_voila(open_page, serve, shots):
    pytest.importorskip("voila", reason="Voila is not installed: make environment-dev")
    with serve("workbench.cli", "app", "digits_inception") as url:
        at = ExplorerPage(open_page(url)).ready()
        at.expect(at.summary, "1 engine, 48 of 48 nodes")
        out = at.root.get_by_placeholder("operator, node")
        out.fill("Concat, MaxPool")
        at.button("Keep out").click()
        slide_select_and_open(at)
        at.button("Build and measure").click()
        at.expect(at.phase, "done in")
        at.expect(at.root.locator(".workbench-row").nth(2), "openvino, min 4")
        at.keep(shots / "explorer-voila.png")
        assert at.too_wide() == []
        at.page.close()
