"""Files: they parse, hold the same for hostile names as for harmless ones, ask for nothing."""

import base64
import gzip
import json
import math
import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser

import pytest
import scene_cases as cases
from PIL import Image

from workbench.layout import engine_in_use
from workbench.layout.engines import drawn
from workbench.widgets.export import dot_text, figure_html, save, svg_text
from workbench.widgets.export_page import html_text
from workbench.widgets.export_part import Part
from workbench.widgets.export_sheet import Heads, Rect, sheet_of
from workbench.widgets.scene import Subject, left_groups, scene_of


def scene(names=(), blocks=8):
    graph = cases.chain_with_branches(blocks, names)
    return scene_of(Subject(graph, None, cases.divided(graph)))


def page(names=()):
    graph = cases.chain_with_branches(8, names)
    subject = Subject(graph, None, cases.divided(graph))
    return html_text(subject, left_groups(graph, True))


def state(text):
    found = re.search(r'id="state">(.*?)</script>', text, re.DOTALL)
    return json.loads(gzip.decompress(base64.b64decode(found[1])))


class Tags(HTMLParser):
    """Elements of a page with the names of their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, tuple[str, ...]]] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, tuple(name for name, _ in attrs)))


def _shape(text: str) -> list[tuple[str, tuple[str, ...]]]:
    return [(e.tag, tuple(sorted(e.attrib))) for e in ET.fromstring(text).iter()]


def test_every_edge_ends_in_a_head_that_points_into_its_box():
    drawing = scene()
    sheet = sheet_of(drawing)
    heads = [t for shape in sheet.shapes if isinstance(shape, Heads) for t in shape.triangles]
    assert len(heads) == len(drawing.left.edges) + len(drawing.right.edges) > 20
    boxes = [shape for shape in sheet.shapes if isinstance(shape, Rect)]
    for tip, *base in heads:
        assert math.dist(*base) == pytest.approx(7.2)
        assert all(math.dist(tip, corner) == pytest.approx(math.hypot(8, 3.6)) for corner in base)
        middle = ((base[0][0] + base[1][0]) / 2, (base[0][1] + base[1][1]) / 2)
        ahead = (2 * tip[0] - middle[0], 2 * tip[1] - middle[1])
        assert any(_within(ahead, box) and not _within(middle, box) for box in boxes)


def _within(point, box):
    (x, y), slack = point, 1.0
    return (
        box.x - slack <= x <= box.x + box.w + slack and box.y - slack <= y <= box.y + box.h + slack
    )


def test_heads_are_in_svg_and_are_filled_in_png(tmp_path):
    drawing = scene()
    count = len(drawing.left.edges) + len(drawing.right.edges)
    paths = [e for e in ET.fromstring(svg_text(drawing)).iter() if e.tag.endswith("path")]
    filled = [e.get("d").count("M") for e in paths if e.get("fill") != "none"]
    assert sum(filled) == count
    first = next(s for s in sheet_of(drawing).shapes if isinstance(s, Heads))
    tip, left, right = first.triangles[0]
    x, y = ((tip[i] + left[i] + right[i]) / 3 for i in (0, 1))
    with Image.open(save(drawing, tmp_path / "heads.png")) as picture:
        assert picture.convert("RGB").getpixel((round(2 * x), round(2 * y))) == (0x86, 0x8B, 0x91)


def test_svg_has_the_same_elements_whatever_the_names():
    text = svg_text(scene(cases.HOSTILE))
    harmless, hostile = _shape(svg_text(scene())), _shape(text)
    # Where columns break depends on how wide names are, and an edge at a break is drawn twice.
    assert set(harmless) == set(hostile)
    for tag in ("text", "rect"):
        counts = [sum(tag in name for name, _ in found) for found in (harmless, hostile)]
        assert counts[0] == counts[1], tag
    assert not re.search(r"<(script|style|image|foreignObject|a)\b|href=|url\(", text)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("overlay", ["partition", "reason", "precision"])
def test_svg_of_every_theme_and_overlay_is_well_formed(theme, overlay):
    root = ET.fromstring(svg_text(scene(), overlay, theme=theme))
    assert float(root.attrib["width"]) > 300
    for rect in root.iter("{http://www.w3.org/2000/svg}rect"):
        assert float(rect.attrib["width"]) >= 0


def test_svg_shows_every_box_once_and_wraps_tall_pictures():
    one = scene(blocks=60)
    text = svg_text(one)
    root = ET.fromstring(text)
    for node in one.subject.original.nodes:
        assert text.count(f">{node.name}<") <= 2
        assert f">{node.name}<" in text
    wide, high = float(root.attrib["width"]), float(root.attrib["height"])
    assert 0.6 < wide / high < 3


def _titles(text):
    return text.count('font-size="12.5"')


def test_everything_is_drawn_unless_a_part_is_asked_for():
    graph = cases.chain_with_branches(300)
    one = scene_of(Subject(graph, None, cases.divided(graph)))
    boxes = [len(pane.items) for pane in (one.left, one.right)]
    assert boxes[0] > 1200
    assert _titles(svg_text(one)) == sum(boxes)
    text = svg_text(one, part=Part(most=400, hint="ask"))
    assert _titles(text) == 400 + min(400, boxes[1])
    assert f"first 400 of {boxes[0]:,} boxes; ask" in text
    assert len(text) < 600_000


def test_a_part_holds_what_is_around_some_nodes():
    graph = cases.chain_with_branches(300)
    one = scene_of(Subject(graph, None, cases.divided(graph)))
    place = graph.position["block150/n600"]
    text = svg_text(one, part=Part(near=[place], steps=2))
    assert "up to 2 edges away" in text
    assert ">block150/n600<" in text
    assert _titles(text) < 20
    nearest = svg_text(one, part=Part(near=[place], most=30))
    assert ">block150/n600<" in nearest
    assert "30 of 1,202 boxes around the selection" in nearest
    assert _titles(nearest) == 60


def test_the_page_has_the_same_elements_whatever_the_names():
    harmless, hostile = page(), page(cases.HOSTILE)
    assert Tags(harmless).found == Tags(hostile).found
    assert "default-src 'none'" in hostile
    assert "http" not in re.sub(r"http-equiv|http://www\.w3\.org/2000/svg", "", harmless)


def test_the_page_holds_closed_pictures_and_what_is_inside_their_groups():
    found = state(page())
    assert set(found["paints"]) == {"partition", "reason", "precision"}
    for number, side in enumerate(("left", "right")):
        one = found[side]
        count, closed = len(one["x"]), one["closed"]
        inside = [p for p in range(closed) if str(p) in one["room"]]
        assert inside
        assert len(one["home"]) == count - closed == 32 - (closed - len(inside) - 2)
        assert set(one["home"]) == set(inside)
        assert len(found["details"][number]) == count
        for paint in found["paints"].values():
            assert {len(column) for column in paint["panes"][side].values()} == {count}
        for edge, tail, head in one["links"]:
            ends = [b if b < closed else one["home"][b - closed] for b in (tail, head)]
            assert ends == [one["a"][edge], one["b"][edge]]
        for tail, head, way in one["within"]:
            assert one["home"][tail - closed] == one["home"][head - closed]
            assert way.startswith("M")


def test_links_of_the_panel_name_boxes_of_the_page():
    found = state(page())
    side, details = found["right"], found["details"][1]
    box = next(i for i in range(side["closed"], len(side["x"])) if side["title"][i] == "Relu")
    reads = dict(details[box]["sections"])["Reads"]
    assert [side["title"][end] for _, _, ends in reads for end in ends] == ["Conv"]


def test_dot_has_one_line_a_box_and_a_line_an_edge():
    for names in ((), cases.HOSTILE):
        pane = scene(names).left
        text = dot_text(pane)
        assert len(re.findall(r"^  n\d+ \[", text, re.MULTILINE)) == len(pane.items)
        assert len(re.findall(r"^  n\d+ -> n\d+$", text, re.MULTILINE)) == len(pane.edges)


@pytest.mark.skipif(engine_in_use() == "python", reason="no Graphviz here")
def test_graphviz_reads_the_dot_with_hostile_names():
    pane = scene(cases.HOSTILE).left
    (plain,) = drawn([dot_text(pane)], engine_in_use(), 30, None)
    assert plain
    assert len(re.findall(r"^node ", plain, re.MULTILINE)) == len(pane.items)
    assert len(re.findall(r"^edge ", plain, re.MULTILINE)) == len(pane.edges)


@pytest.mark.parametrize("names", [(), cases.HOSTILE], ids=["harmless", "hostile"])
def test_png_and_pdf(tmp_path, names):
    one = scene(names, blocks=4)
    with Image.open(save(one, tmp_path / "view.png")) as image:
        assert image.width > 600
        assert len(image.convert("RGB").getcolors(1 << 24) or ()) > 20
    assert save(one, tmp_path / "view.pdf").read_bytes().startswith(b"%PDF")


def test_save_by_ending(tmp_path):
    one = scene()
    assert ET.parse(save(one, tmp_path / "a.svg"))
    assert save(one, tmp_path / "a.dot", side="right").read_text().count("Engine") >= 1
    with pytest.raises(ValueError, match=r"ending must be one of \.svg"):
        save(one, tmp_path / "a.gif")


def test_the_figure_is_an_image_with_a_described_content():
    html = figure_html(svg_text(scene(cases.HOSTILE)), "wb-twin-1", 'a "b" <c>')
    assert Tags(html).found == [("figure", ("class", "style")), ("img", ("alt", "style", "src"))]
