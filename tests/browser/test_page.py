"""The front end without Jupyter: the stand-alone page, opened from a file."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "widgets"))
import scene_cases as cases

from workbench.widgets.graphview import GraphView
from workbench.widgets.scene_overlay import Overlay

READY = ".wbg[data-rev]"


@pytest.fixture
def open_net(tmp_path, open_page):
    def opened(graph=None, threshold=3, **options):
        graph = graph or cases.chain_with_branches(6)
        times = {node.name: 0.001 * (1 + i % 9) for i, node in enumerate(graph.nodes)}
        view = GraphView(
            graph,
            partition=cases.divided(graph, threshold),
            overlays={"time": Overlay("Time", times, "s")},
        )
        path = tmp_path / "page.html"
        path.write_text(view.to_html(), "utf-8")
        view.close()
        page = open_page(path.as_uri(), **options)
        page.wait_for_selector(READY)
        return page

    return opened


def box(page, side, text):
    return page.locator(f".{side} g.n", has_text=text).first


def test_a_click_marks_the_counterparts_and_the_panel_says_why(open_net):
    page = open_net()
    box(page, "left", "n6").click()
    assert page.locator(".left g.marked").count() == 1
    assert page.locator(".right g.marked").count() == 1
    assert "no importer for it" in page.locator(".verdict").inner_text()
    assert "kernel_shape" in page.locator(".panel").inner_text()
    box(page, "right", "Engine 0").click()
    assert page.locator(".right g.marked").count() == 1
    assert page.locator(".left g.marked").count() == 6
    page.keyboard.press("Escape")
    assert page.locator("g.marked").count() == 0


def test_a_node_inside_a_closed_engine_marks_the_engine_partly(open_net):
    page = open_net()
    box(page, "left", "n3").click()
    assert page.locator(".right g.engine.partly").count() == 1


def test_the_panel_stays_with_the_node_when_an_engine_is_opened(open_net):
    page = open_net()
    box(page, "right", "n6").click()
    reads = page.locator(".panel details", has_text="Reads").get_by_role("button")
    assert "Engine 0" in " ".join(reads.all_inner_texts())
    page.locator(".fold").last.click()
    page.wait_for_selector(f'{READY}[data-rev="2"]')
    assert page.locator(".right g.marked.current").count() == 1
    assert "n6" in page.locator(".panel .name").inner_text()
    assert "Engine 0" not in " ".join(reads.all_inner_texts())
    reads.first.click()
    assert "n6" not in page.locator(".panel .name").inner_text()


def test_an_engine_that_was_opened_gives_the_panel_to_its_first_node(open_net):
    page = open_net()
    box(page, "right", "Engine 0").dblclick()
    page.wait_for_selector(f'{READY}[data-rev="2"]')
    assert page.locator(".panel").get_by_role("button", name="Close engine").count() == 1
    page.locator(".panel").get_by_role("button", name="Close engine").click()
    page.wait_for_selector(f'{READY}[data-rev="3"]')
    assert "Engine 0" in page.locator(".panel h4").inner_text()


def test_the_witness_leads_to_its_nodes(open_net):
    page = open_net()
    box(page, "right", "Engine 0").click()
    steps = page.locator(".verdict ol button")
    assert steps.count() >= 3
    name = steps.nth(1).inner_text()
    steps.nth(1).click()
    assert name in page.locator(".panel .name").inner_text()


def test_keys_walk_open_and_close(open_net):
    page = open_net()
    page.locator(".right svg").first.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    active = page.locator(".right svg").first.get_attribute("aria-activedescendant")
    assert page.locator(f"#{active}").get_attribute("aria-label").startswith("engine Engine 0")
    before = page.locator(".right g.n").count()
    page.keyboard.press("Enter")
    page.wait_for_selector(f'{READY}[data-rev="2"]')
    assert page.locator(".right g.n").count() > before
    assert page.locator(".right .region rect").count() > 0


def test_a_double_click_opens_an_engine_and_one_inside_closes_it(open_net):
    page = open_net()
    closed = page.locator(".right g.n").count()
    box(page, "right", "Engine 0").dblclick()
    page.wait_for_selector(f'{READY}[data-rev="2"]')
    assert page.locator(".right g.n").count() > closed
    box(page, "right", "n2").dblclick()
    page.wait_for_selector(f'{READY}[data-rev="3"]')
    assert page.locator(".right g.n").count() == closed


def test_each_engine_opens_alone_and_nothing_lies_on_another(open_net):
    page = open_net(cases.chain_with_branches(12), viewport={"width": 1400, "height": 6000})
    engines = page.locator(".right g.engine").count()
    box(page, "right", "Engine 1").dblclick()
    page.wait_for_selector(f'{READY}[data-rev="2"]')
    assert page.locator(".right g.engine").count() == engines - 1
    box(page, "right", "Engine 0").dblclick()
    page.wait_for_selector(f'{READY}[data-rev="3"]')
    assert page.locator(".right g.engine").count() == engines - 2
    boxes = page.evaluate(
        """() => [...document.querySelectorAll('.right g.n')].map((one) => {
             const at = one.transform.baseVal[0].matrix, box = one.querySelector('.box').getBBox();
             return [at.e, at.f, at.e + box.width, at.f + box.height]; })"""
    )
    for i, (left, top, right, low) in enumerate(boxes):
        for other in boxes[i + 1 :]:
            assert right <= other[0] or other[2] <= left or low <= other[1] or other[3] <= top
    page.locator(".fold").last.click()
    page.wait_for_selector(f'{READY}[data-rev="4"]')
    assert page.locator(".right g.engine").count() == 0


def test_search_counts_marks_and_steps(open_net):
    page = open_net()
    page.locator(".right svg").first.focus()
    page.keyboard.press("/")
    page.keyboard.type("add")
    page.wait_for_function("() => document.querySelector('.count').textContent.includes('of 6')")
    assert page.locator(".left g.hit").count() >= 1
    page.keyboard.press("Enter")
    assert "Add" in page.locator(".panel h4").inner_text()


def test_overlays_change_colours_and_legend(open_net):
    page = open_net()
    page.get_by_label("Colour by").select_option("time")
    page.wait_for_selector(".legend .c-s5")
    assert page.locator(".left g[class*=c-s]").count() >= 3
    assert "ms" in box(page, "right", "Engine 0").locator(".tag").text_content()
    page.get_by_label("Colour by").select_option("reason")
    page.wait_for_selector(".left g.c-k1")
    assert "operator not supported" in page.locator(".legend").inner_text()


def test_pan_zoom_and_fit(open_net):
    page = open_net(cases.chain_with_branches(30))
    world = page.locator(".left svg > g").first
    first = world.get_attribute("transform")
    stage = page.locator(".left svg").first.bounding_box()
    page.mouse.move(stage["x"] + 30, stage["y"] + 300)
    page.mouse.down()
    page.mouse.move(stage["x"] + 60, stage["y"] + 100, steps=4)
    page.mouse.up()
    moved = world.get_attribute("transform")
    assert moved != first
    page.keyboard.press("+")
    assert world.get_attribute("transform") != moved
    for fit in (lambda: page.keyboard.press("0"), page.locator(".left .tools button").last.click):
        page.keyboard.press("+")
        fit()
        for end in (page.locator(".left g.input").first, page.locator(".left g.output").last):
            at = end.bounding_box()
            assert stage["y"] <= at["y"]
            assert at["y"] + at["height"] <= stage["y"] + stage["height"]
    page.keyboard.press("-")
    page.keyboard.press("+")
    assert page.locator(".left g.n").count() > 30


def test_the_wheel_scrolls_the_page_until_the_pane_has_focus(open_net):
    page = open_net(cases.chain_with_branches(30))
    world = page.locator(".left svg > g").first
    first = world.get_attribute("transform")
    stage = page.locator(".left svg").first.bounding_box()
    page.mouse.move(stage["x"] + 30, stage["y"] + 300)
    page.mouse.wheel(0, 200)
    page.wait_for_timeout(100)
    assert world.get_attribute("transform") == first
    page.mouse.click(stage["x"] + 8, stage["y"] + 300)
    page.mouse.wheel(0, 200)
    page.wait_for_function(
        "(first) => document.querySelector('.left svg > g').getAttribute('transform') !== first",
        arg=first,
    )


def test_only_the_bands_in_view_are_in_the_page(open_net):
    page = open_net(cases.chain_with_branches(400), threshold=3)
    page.locator(".fold").first.click()
    page.wait_for_selector(f'{READY}[data-rev="2"]')
    assert page.locator("g.n").count() < 250
    page.locator(".left svg").first.focus()
    for _ in range(30):
        page.keyboard.press("PageDown")
    assert page.locator("g.n").count() < 250
    for _ in range(40):
        page.keyboard.press("-")
    assert page.locator(".left svg.coarse").count() == 1


def test_hover_shows_shapes_and_attributes(open_net):
    page = open_net()
    box(page, "left", "n2").hover()
    page.wait_for_selector(".tip:not([hidden])")
    text = page.locator(".tip").inner_text()
    assert "float32 [N, 8, 4, 4]" in text
    assert "kernel_shape" in text


def _shape(page):
    return page.evaluate(
        """() => [...document.querySelectorAll('.wbg, .wbg *')].map((e) =>
             e.tagName + '|' + e.getAttributeNames().sort().join(','))"""
    )


def test_hostile_names_leave_the_dom_as_it_is(open_net):
    found = []
    for names in (("harmless",), cases.HOSTILE):
        page = open_net(cases.chain_with_branches(7, names))
        page.locator(".left g.n").nth(3).click()
        page.locator(".left g.n").nth(5).hover()
        page.wait_for_selector(".tip:not([hidden])")
        found.append(sorted(re.sub(r"\|.*", "", one) for one in set(_shape(page))))
        attributes = {a for one in _shape(page) for a in one.partition("|")[2].split(",")}
        assert not {a for a in attributes if a.startswith("on")}
        assert page.evaluate("window.PWNED") is None
        assert page.locator(".left g.n text.title").count() >= 8
    assert found[0] == found[1]


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("scale", [1, 2])
def test_screenshots(open_net, shots, theme, scale):
    size = {"width": 1400 // scale, "height": 900 // scale}
    page = open_net(color_scheme=theme, device_scale_factor=scale, viewport=size)
    assert page.locator(".wbg").get_attribute("data-theme") == theme
    box(page, "left", "n1").click()
    page.screenshot(path=shots / f"page-{theme}-{scale}00.png", full_page=True)
    wide = page.evaluate("document.documentElement.scrollWidth")
    assert wide <= size["width"], "the page must not scroll sideways"
