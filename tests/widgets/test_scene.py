"""The scene as JSON: complete, linked, coloured by what it says, safe to show."""

import json
import math

import pytest
import scene_cases as cases

from workbench import zoo
from workbench.errors import GraphError
from workbench.graph import Graph, Node, TensorSpec
from workbench.partitioning import Code, Exclusion, plan, takes_all
from workbench.widgets.scene import (
    Subject,
    details_json,
    left_groups,
    paint_json,
    painted,
    scene_json,
    scene_of,
)
from workbench.widgets.scene_groups import block_groups, engine_groups, homes_of
from workbench.widgets.scene_overlay import CODES, Overlay, region_of
from workbench.widgets.scene_palette import DARK, LIGHT, engine_colors
from workbench.widgets.scene_text import quantity, short_name


@pytest.fixture(scope="module")
def net():
    return cases.chain_with_branches(12)


@pytest.fixture(scope="module")
def scene(net):
    return scene_of(Subject(net, None, cases.divided(net)))


def test_every_original_is_in_both_pictures_once(scene, net):
    for pane in (scene.left, scene.right):
        seen = sorted(i for item in pane.items for i in item.origins)
        assert seen == list(range(len(net.nodes)))
        assert sum(item.kind == "input" for item in pane.items) == 1
        assert sum(item.kind == "output" for item in pane.items) == 1


def test_engines_are_single_boxes_on_the_right(scene):
    engines = [item for item in scene.right.items if item.kind == "engine"]
    part = scene.subject.partition
    assert [len(item.members) for item in engines] == [len(s) for s in part.subgraphs]
    assert all(item.kind != "engine" for item in scene.left.items)


def test_columns_have_one_length_and_edges_name_boxes(scene):
    found = json.loads(json.dumps(scene_json(scene)))
    for side in ("left", "right"):
        pane, paint = found[side], found["paint"]["panes"][side]
        count = len(pane["x"])
        columns = ("y", "w", "h", "kind", "title", "line", "note", "name", "of", "open")
        assert {len(pane[name]) for name in columns} == {count}
        assert {len(paint[name]) for name in "cbr"} == {count}
        assert len(pane["a"]) == len(pane["b"]) == len(pane["d"])
        assert all(0 <= i < count for i in (*pane["a"], *pane["b"]))
        assert all(d.startswith("M") for d in pane["d"])


def test_the_original_stays_where_it_is_for_every_threshold(net):
    made = plan(net, cases.capability(net))
    first = scene_of(Subject(net, None, made.at(1)))
    for threshold in (2, 4, 100):
        again = scene_of(Subject(net, None, made.at(threshold)))
        assert again.left.placement == first.left.placement
        kept = scene_of(Subject(net, None, made.at(threshold)), left=first.left)
        assert kept.left is first.left
        assert scene_json(kept) == scene_json(again)


def test_an_opened_engine_shows_its_nodes_inside_a_region(scene, net):
    key = scene.right.groups[0].key
    opened = scene_of(scene.subject, opened_right=[key])
    inside = [item for item in opened.right.items if item.group == key]
    assert {item.members[0] for item in inside} == set(scene.right.groups[0].members)
    assert {region_of(item, opened.homes) for item in inside} == {0}
    assert len(opened.right.items) == len(scene.right.items) - 1 + len(inside)


def test_neighbouring_engines_never_share_a_colour_and_keep_it(net):
    made = plan(net, cases.capability(net, 3))
    homes = homes_of(net, made.at(1), None)
    colors = engine_colors(homes.keys)
    assert len(colors) > 8
    assert all(len({*colors[i : i + 3]}) == 3 for i in range(len(colors) - 2))


def test_layers_are_linked_by_origin_many_to_many(net):
    part = cases.divided(net)
    scene = scene_of(Subject(net, cases.fused(net, part), part))
    assert sorted(i for item in scene.right.items for i in item.origins) == list(
        range(len(net.nodes))
    )
    assert [item.kind for item in scene.right.items].count("engine") == len(part.subgraphs)
    alone = scene_of(Subject(net, cases.fused(net, part)))
    assert [item.origins for item in alone.right.items] == [
        item.origins for item in scene.right.items
    ]
    assert alone.choices[0] == "partition"
    assert "reason" not in alone.choices


def test_groups_that_would_close_a_cycle_are_not_closed():
    # a -> b -> c with a and c in one "engine": drawn as one box it would be its own successor.
    nodes = tuple(
        Node(n, "Op", inputs=(r,), outputs=(w,), attributes={"part": p}, origin=(n,))
        for n, r, w, p in (
            ("a", "x", "1", "engine 0"), ("b", "1", "2", "native 0"), ("c", "2", "3", "engine 0"),
        )
    )  # fmt: skip
    graph = Graph("g", (TensorSpec("x"),), (TensorSpec("3"),), nodes)
    assert engine_groups(graph, graph, homes_of(graph, None, graph)) == []
    assert len(scene_of(Subject(graph, graph)).right.items) == 5


def test_repeated_blocks_are_found_and_named_alike():
    graph = zoo.load("resnet50").graph
    blocks = block_groups(graph)
    titles = [block.title for block in blocks]
    assert len(blocks) == 16
    assert set(titles) == {"Block A", "Block B"}
    assert titles.count("Block A") == 4
    folded = scene_of(Subject(graph), blocks=blocks)
    assert len(folded.left.items) < 30
    assert sorted(i for item in folded.left.items for i in item.origins) == list(
        range(len(graph.nodes))
    )
    opened = scene_of(Subject(graph), blocks=blocks, opened_left=[blocks[3].key])
    assert len(opened.left.items) == len(folded.left.items) - 1 + len(blocks[3].members)


def test_only_large_graphs_are_folded_unless_asked(net):
    assert left_groups(net, None) == []
    assert len(left_groups(net, True)) == 12
    large = cases.chain_with_branches(110)
    assert len(left_groups(large, None)) == 110
    assert left_groups(large, False) == []


def test_a_block_in_two_engines_says_so(net):
    scene = scene_of(Subject(net, None, cases.divided(net)), blocks=left_groups(net, True))
    looks, _ = painted(scene, "partition")
    mixed = [b for c, b in zip(looks[0].classes, looks[0].badges, strict=True) if c == "mixed"]
    assert mixed
    assert all(badge.startswith("E") or badge == "" for badge in mixed)


def test_reasons_are_counted_and_tagged(scene, net):
    looks, legend = painted(scene, "reason")
    codes = [v.code for v in scene.subject.partition.verdicts]
    natives = codes.count(Code.UNSUPPORTED_OP)
    assert any(f"({natives})" in entry.text and "op:" in entry.text for entry in legend)
    tagged = [c for c, b in zip(looks[0].classes, looks[0].badges, strict=True) if b == "op"]
    assert len(tagged) == natives
    assert set(CODES) == set(Code)


def test_numbers_are_summed_over_engines_and_only_bounded_inside_layers(net):
    part = cases.divided(net)
    layers = cases.fused(net, part)
    times = {node.name: 0.001 * (1 + i % 5) for i, node in enumerate(layers.nodes)}
    scene = scene_of(Subject(net, layers, part, {"time": Overlay("Time", times, "s")}))
    looks, legend = painted(scene, "time")
    assert all(badge.startswith("≤ ") for badge in looks[0].badges if badge)
    engine = next(i for i, item in enumerate(scene.right.items) if item.kind == "engine")
    members = scene.right.items[engine].members
    total = math.fsum(times[layers.nodes[i].name] for i in members)
    assert looks[1].badges[engine] == quantity(total, "s")
    assert legend[-1].text.startswith("up to")
    highest = max(looks[1].classes, key=lambda name: (name.startswith("s"), name))
    assert highest == "s5"


def test_odd_values_do_not_break_a_ramp(net):
    names = [node.name for node in net.nodes]
    values = {names[0]: math.nan, names[1]: math.inf, names[2]: 0.0, names[3]: -1.0, names[4]: 2.0}
    scene = scene_of(Subject(net, overlays={"deviation": Overlay("Deviation", values)}))
    looks, _ = painted(scene, "deviation")
    assert looks[0].badges[1:4] == ("nan", "inf", "0")
    empty = scene_of(Subject(net, overlays={"none": Overlay("None", {})}))
    assert "none" not in empty.choices


def test_precision_shows_requested_and_achieved(net):
    values = {node.name: "int8 → float16" if i % 2 else "int8" for i, node in enumerate(net.nodes)}
    scene = scene_of(Subject(net, overlays={"precision": Overlay("Precision", values)}))
    looks, legend = painted(scene, "precision")
    assert {entry.paint for entry in legend} == {"k0", "k1"}
    assert looks[0].badges[2] == "int8 → float16"[-12:] or "float16" in looks[0].badges[2]


def test_an_overlay_is_numbers_or_words():
    with pytest.raises(ValueError, match="numbers and words"):
        Overlay("both", {"a": 1.0, "b": "x"})
    with pytest.raises(ValueError, match="combine"):
        Overlay("x", {}, combine="mean")  # type: ignore[arg-type]


def test_an_unknown_overlay_names_the_nearest(scene):
    with pytest.raises(ValueError, match="did you mean partition"):
        paint_json(scene, "partitoin", 1)


def test_a_partition_of_another_graph_is_refused(net):
    other = cases.chain_with_branches(3)
    with pytest.raises(GraphError, match="divide the graph that is shown"):
        Subject(other, None, cases.divided(net))


def test_details_say_shapes_attributes_verdict_and_witness(scene, net):
    place = next(i for i, item in enumerate(scene.left.items) if item.key == net.nodes[6].name)
    found = details_json(scene, "left", place)
    assert found["verdict"]["code"] == "unsupported_op"
    assert "no importer for it" in found["verdict"]["text"]
    sections = dict(found["sections"])
    assert any("weight float32 [8, 8, 3, 3]" in row[0] for row in sections["Reads"])
    assert ["kernel_shape", "[3, 3]", []] in sections["Attributes"]
    reads = [end for row in sections["Reads"] for end in row[2]]
    assert [scene.left.items[i].key for i in reads] == [net.nodes[5].name]
    assert "kernel_shape = [3, 3]" in found["tip"]


def test_an_engine_says_why_it_ends(scene):
    place = next(i for i, item in enumerate(scene.right.items) if item.kind == "engine")
    verdict = details_json(scene, "right", place)["verdict"]
    assert "not one with engine 1" in verdict["text"]
    assert len(verdict["witness"]) >= 3
    names = [node.name for node in scene.subject.original.nodes]
    assert all(names[place] == name for name, place in verdict["witness"])


def test_a_small_subgraph_is_explained_with_what_bounds_it(net):
    made = plan(net, cases.capability(net, 3), exclude=Exclusion(nodes=("block1/*",)))
    scene = scene_of(Subject(net, None, made.at(4)))
    codes = [v.code for v in scene.subject.partition.verdicts]
    place = codes.index(Code.BELOW_MIN_SIZE)
    item = next(i for i, one in enumerate(scene.left.items) if one.origins == (place,))
    verdict = details_json(scene, "left", item)["verdict"]
    assert "too small" in verdict["text"]
    assert verdict["witness"]


def test_every_box_of_real_networks_has_details():
    graph = zoo.load("digits_inception").graph
    scene = scene_of(Subject(graph, None, plan(graph, takes_all(graph)).at(3)))
    for side, pane in (("left", scene.left), ("right", scene.right)):
        for i in range(len(pane.items)):
            assert json.dumps(details_json(scene, side, i))


def test_hostile_names_change_no_structure_and_no_control_character_passes():
    harmless = cases.chain_with_branches(8)
    hostile = cases.chain_with_branches(8, cases.HOSTILE)
    found = []
    for graph in (harmless, hostile):
        scene = scene_of(Subject(graph, None, cases.divided(graph)))
        found.append(scene_json(scene))
        for i in range(len(scene.left.items)):
            text = json.dumps(details_json(scene, "left", i), ensure_ascii=False)
            assert not any(ord(c) < 32 or c in "\u202e\u2028\ud800" for c in text)
        assert max(len(name) for name in found[-1]["left"]["name"]) <= 400
    for side in ("left", "right"):
        assert found[0][side]["a"] == found[1][side]["a"]
        assert found[0][side]["of"] == found[1][side]["of"]
        assert found[0][side]["kind"] == found[1][side]["kind"]


def _contrast(one: str, other: str) -> float:
    def light(color: str) -> float:
        parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((light(one), light(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize(("paints", "ground"), [(LIGHT, "#ffffff"), (DARK, "#17191b")])
def test_texts_and_outlines_can_be_seen(paints, ground):
    for name, paint in paints.items():
        assert _contrast(paint.fill, paint.ink) >= 4.5, name
        if not name.startswith("s"):
            assert _contrast(paint.line, ground) >= 2.9 or name == "none", name
            assert _contrast(paint.line, paint.region) >= 2.4, name
    assert LIGHT.keys() == DARK.keys()


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.00123, "s", "1.23 ms"), (2.5, "s", "2.5 s"), (4e-8, "s", "40 ns"), (0, "s", "0 s"),
        (1536, "B", "1.54 kB"), (7, "B", "7 B"), (0.01234, "", "0.0123"), (12345, "", "12,345"),
        (3, "dB", "3 dB"),
    ],
)  # fmt: skip
def test_quantities(value, unit, text):
    assert quantity(value, unit) == text


def test_a_long_name_keeps_its_end():
    assert short_name("backbone/layer4/block2/conv3/Conv", 20) == "…/block2/conv3/Conv"
    assert short_name("short") == "short"
    assert len(short_name("x" * 100, 20)) == 20
