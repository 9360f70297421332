"""The widget without a browser: what is sent, what comes back, what goes wrong."""

import pytest
import scene_cases as cases

pytest.importorskip("anywidget", reason="the widget needs anywidget")

from workbench.errors import GraphError
from workbench.partitioning import plan
from workbench.widgets.graphview import GraphView
from workbench.widgets.scene_overlay import Overlay


@pytest.fixture
def net():
    return cases.chain_with_branches(10)


@pytest.fixture
def view(net):
    view = GraphView(net, partition=cases.divided(net))
    yield view
    view.close()


def page_says(view, **message):
    view._hear(view, message, [])


def sent_by(view):
    found = []
    view.send = found.append
    return found


def test_a_threshold_sends_the_right_side_only(view, net):
    left = view._left["rev"]
    view.update(partition=cases.divided(net, 5))
    assert view._left["rev"] == left
    assert view._right["rev"] == view._rev == view._paint["rev"] > left


def test_selection_goes_both_ways(view, net):
    names = (net.nodes[3].name, net.nodes[5].name)
    view.selection = names
    assert view._marked == [3, 5]
    page_says(view, do="select", origins=[7, 8, 10_000, "x"], side="left", item=1)
    assert view.selection == (net.nodes[7].name, net.nodes[8].name)
    assert view._marked == [7, 8]
    with pytest.raises(GraphError, match="no node nowhere"):
        view.selection = ("nowhere",)


def test_an_engine_opens_and_closes(view):
    boxes = len(view._right["x"])
    engine = view._right["kind"].index(1)
    page_says(view, do="toggle", side="right", item=engine, rev=view._right["rev"])
    assert view.opened_engines == (view.scene.right.groups[0].key,)
    assert len(view._right["x"]) > boxes
    inside = view._right["open"].index(1)
    page_says(view, do="toggle", side="right", item=inside, rev=view._right["rev"])
    assert view.opened_engines == ()
    assert len(view._right["x"]) == boxes


def test_blocks_open_all_at_once(net):
    view = GraphView(net, fold=True)
    boxes = len(view._left["x"])
    page_says(view, do="fold", side="left", open=True, rev=view._left["rev"])
    assert len(view._left["x"]) == len(net.nodes) + 2
    page_says(view, do="fold", side="left", open=False, rev=view._left["rev"])
    assert len(view._left["x"]) == boxes
    view.close()


def test_details_are_answered_and_stale_questions_are_not(view):
    found = sent_by(view)
    rev = view._right["rev"]
    page_says(view, do="details", side="right", item=1, rev=rev)
    page_says(view, do="details", side="right", item=1, rev=rev - 1)
    page_says(view, do="details", side="right", item=10_000, rev=rev)
    page_says(view, do="nonsense")
    assert [(m["item"], m["rev"]) for m in found] == [(1, rev)]
    assert found[0]["data"]["facts"]


def test_overlays_are_chosen_from_either_side(view, net):
    times = {node.name: 0.001 for node in net.nodes}
    view.update(overlays={"time": Overlay("Time", times, "s")})
    rev = view._rev
    view.overlay = "time"
    assert view._paint["overlay"] == "time"
    assert view._rev == rev + 1
    view.overlay = "nonsense"
    assert "no overlay nonsense" in view._notice
    view.update(overlays=None)
    assert view.overlay == "partition"


def test_layers_replace_the_partition(view, net):
    part = cases.divided(net)
    view.update(derived=cases.fused(net, part), partition=part)
    assert view._right["count"] == len(view.scene.right.graph.nodes)
    assert 1 in view._right["kind"]
    view.update(derived=None, partition=None)
    assert 1 not in view._right["kind"]


def test_a_large_graph_is_laid_out_aside_and_the_newest_wish_wins():
    net = cases.chain_with_branches(2_100)
    made = plan(net, cases.capability(net))
    view = GraphView(net, partition=made.at(1))
    assert view._busy or view._rev
    for threshold in (2, 3, 200):
        view.update(partition=made.at(threshold))
    assert view.wait(60)
    assert view.scene.subject.partition.min_subgraph_size == 200
    assert view._busy == ""
    view.close()


def test_a_cancelled_layout_says_so_and_the_next_update_works():
    net = cases.chain_with_branches(2_100)
    view = GraphView(net)
    page_says(view, do="cancel")
    view.wait(60)
    view.update()
    assert view.wait(60)
    assert view.scene.left.items
    view.close()


@pytest.mark.parametrize("ending", ["svg", "dot", "html", "pdf"])
def test_the_view_saves_itself(view, tmp_path, ending):
    assert view.save(tmp_path / f"view.{ending}").stat().st_size > 500


def test_exports_of_the_view(view):
    assert view.static_svg().startswith("<svg")
    html = view.to_html(title="A <title>")
    assert "renderGraphView" in html
    assert "A &lt;title&gt;" in html
    assert view._twin in view.twin_html()


def test_the_front_end_never_makes_markup_from_text():
    from workbench.widgets.frontend import script

    for forbidden in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
        assert forbidden not in script().replace("there is no innerHTML in these files", "")
    assert "http" not in script().replace("http://www.w3.org/2000/svg", "")
