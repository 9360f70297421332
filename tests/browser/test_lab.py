"""The widget in real JupyterLab: linked, both ways, saved, reopened, converted."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

SETUP = """
import sys
sys.path.insert(0, {tests!r})
import scene_cases as cases
from workbench.partitioning import plan
from workbench.widgets import GraphView
from workbench.widgets.scene_overlay import Overlay
net = cases.chain_with_branches({blocks})
made = plan(net, cases.capability(net))
view = GraphView(net, partition=made.at(3), height=420)
"""
SLIDER = """
import ipywidgets
slider = ipywidgets.IntSlider(value=3, min=1, max=12, description="threshold",
                              continuous_update=False)
slider.observe(lambda change: view.update(partition=made.at(change["new"])), "value")
display(slider)
view
"""
TESTS = str(__import__("pathlib").Path(__file__).parents[1] / "widgets")


def setup(blocks: int = 6) -> str:
    return SETUP.format(tests=TESTS, blocks=blocks)


def convert(lab, name, folder):
    """The notebook executed and written as a page that asks for nothing."""
    command = [
        sys.executable, "-m", "nbconvert", "--to", "html", "--execute",
        "--ExecutePreprocessor.store_widget_state=False", "--HTMLExporter.require_js_url=",
        "--HTMLExporter.mathjax_url=", f"--output-dir={folder}", str(lab.folder / name),
    ]  # fmt: skip
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def rev(page) -> int:
    return int(page.locator(".wbg").get_attribute("data-rev"))


def wait_for_rev(page, more_than: int) -> None:
    page.wait_for_function(
        "(old) => +document.querySelector('.wbg').dataset.rev > old", arg=more_than
    )


def test_slider_selection_engines_and_kernel(open_lab, shots):
    page = open_lab("linked.ipynb", setup(), SLIDER)
    page.wait_for_selector(".wbg[data-rev]", timeout=60_000)
    boxes = page.locator(".right g.n").count()
    before = rev(page)
    page.locator(".widget-slider .noUi-handle").focus()
    for _ in range(6):
        page.keyboard.press("ArrowRight")
    wait_for_rev(page, before)
    page.wait_for_function("(n) => document.querySelectorAll('.right g.n').length > n", arg=boxes)
    page.locator(".wbg input[type=search]").fill("n6")
    page.locator(".left g.hit").first.click()
    page.wait_for_selector(".verdict")
    assert "no importer for it" in page.locator(".verdict").inner_text()
    assert page.locator(".right g.marked").count() == 1
    for _ in range(6):
        page.locator(".widget-slider .noUi-handle").focus()
        page.keyboard.press("ArrowLeft")
    page.wait_for_function("(n) => document.querySelectorAll('.right g.n').length === n", arg=boxes)
    now = rev(page)
    page.locator(".right g.engine").first.dblclick()
    wait_for_rev(page, now)
    page.wait_for_selector(".right .region rect")
    page.screenshot(path=shots / "lab-light.png")


def test_dark_theme_follows_the_page(open_lab, shots):
    page = open_lab("dark.ipynb", setup(), "view")
    page.wait_for_selector('.wbg[data-theme="light"]', timeout=60_000)
    page.evaluate(
        "window.jupyterapp.commands.execute('apputils:change-theme', {theme: 'JupyterLab Dark'})"
    )
    page.wait_for_selector('.wbg[data-theme="dark"]')
    page.wait_for_selector("#jupyterlab-splash", state="detached")
    page.wait_for_selector(".left g.n")
    page.screenshot(path=shots / "lab-dark.png")
    page.evaluate(
        "window.jupyterapp.commands.execute('apputils:change-theme', {theme: 'JupyterLab Light'})"
    )
    page.wait_for_selector('.wbg[data-theme="light"]')


def test_saved_and_reopened_the_picture_is_there(open_lab, lab, shots):
    page = open_lab("saved.ipynb", setup(250), "view")
    page.wait_for_selector(".wbg[data-rev]", timeout=60_000)
    figure = page.locator("figure[class^=wb-twin]")
    page.wait_for_function("() => document.querySelector('figure[class^=wb-twin] img')")
    assert not figure.is_visible(), "the twin is hidden while the widget lives"
    page.evaluate("window.jupyterapp.commands.execute('docmanager:save')")
    path = lab.folder / "saved.ipynb"
    page.wait_for_function(
        "() => !window.jupyterapp.shell.currentWidget.context.model.dirty", timeout=20_000
    )
    assert path.stat().st_size < 1_500_000, "a network of 1,000 nodes"
    page.evaluate("window.jupyterapp.shell.currentWidget.sessionContext.shutdown()")
    again = open_lab("saved.ipynb", run=False, allow=("model not found", "widget"))
    again.wait_for_selector("figure[class^=wb-twin] img", timeout=60_000)
    assert again.locator("figure[class^=wb-twin]").is_visible()
    wide = again.evaluate("document.querySelector('figure[class^=wb-twin] img').naturalWidth")
    assert wide > 500
    again.screenshot(path=shots / "lab-reopened.png")


def test_nbconvert_shows_the_picture_without_a_request(lab, open_page, tmp_path, shots):
    lab.notebook("plain.ipynb", setup(), "view")
    done = convert(lab, "plain.ipynb", tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    text = (tmp_path / "plain.html").read_text("utf-8")
    assert len(re.findall(r"<figure class=\"wb-twin", text)) == 1
    page = open_page((tmp_path / "plain.html").as_uri())
    assert page.locator("figure[class^=wb-twin] img").is_visible()
    page.screenshot(path=shots / "nbconvert.png")


def test_hostile_names_stay_text_in_the_widget_and_in_nbconvert(open_lab, lab, open_page, tmp_path):
    code = setup().replace("chain_with_branches(6)", "chain_with_branches(7, cases.HOSTILE)")
    page = open_lab("hostile.ipynb", code, "view")
    page.wait_for_selector(".left g.n", timeout=60_000)
    page.locator(".left g.n").nth(3).click()
    page.wait_for_selector(".verdict")
    assert page.locator(".wbg").locator("script, img, iframe, a").count() == 0
    assert page.evaluate("window.PWNED") is None
    page.wait_for_function("() => document.querySelector('figure[class^=wb-twin] img')")
    done = convert(lab, "hostile.ipynb", tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    page = open_page((tmp_path / "hostile.html").as_uri())
    assert page.locator("figure[class^=wb-twin] img").is_visible()
    assert page.evaluate("window.PWNED") is None


def test_voila_shows_the_view(lab, open_page, serve):
    pytest.importorskip("voila", reason="Voila is not installed: make environment-dev")
    lab.notebook("voila.ipynb", setup(), SLIDER)
    with serve("voila", str(lab.folder / "voila.ipynb"), "--Voila.ip=127.0.0.1") as url:
        page = open_page(url, allow=("jsdelivr", "docregistry", "Failed to load", "fontawesome"))
        page.wait_for_selector(".right g.engine", timeout=60_000)
        before = rev(page)
        page.locator(".widget-slider .noUi-handle").focus()
        page.keyboard.press("End")
        wait_for_rev(page, before)
        page.locator(".left g.n", has_text="n1").first.click()
        page.wait_for_selector(".verdict")
        page.close()


@pytest.mark.parametrize("message", ["view.selection = (net.nodes[2].name,)"])
def test_python_selects_and_the_page_marks(open_lab, message):
    page = open_lab("python.ipynb", setup(), "view", message)
    page.wait_for_selector(".left g.marked", timeout=60_000)
    assert page.locator(".left g.marked").count() == 1
    assert page.locator(".right g.partly").count() == 1
