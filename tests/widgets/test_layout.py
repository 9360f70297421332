"""Layouts: nothing overlaps, edges run down, pieces are cut right, and processes end."""

import os
import random
import threading
import time
from itertools import pairwise

import pytest

from workbench.errors import CancelledError
from workbench.layout import Placement, Problem, engine_in_use, place
from workbench.layout.cutting import FAR, cut, topological
from workbench.layout.engines import _LIBRARY
from workbench.layout.layered import layered
from workbench.progress import Cancel

ENGINES = ["python"] + ([engine_in_use()] if engine_in_use() != "python" else [])


def random_problem(seed: int, most: int = 40) -> Problem:
    rng = random.Random(seed)
    count = rng.randint(1, most)
    density = rng.choice((0.05, 0.1, 0.3))
    edges = [(a, b) for b in range(count) for a in range(b) if rng.random() < density]
    shuffled = list(range(count))
    rng.shuffle(shuffled)
    sizes = tuple((float(rng.randint(30, 160)), rng.choice((26.0, 40.0))) for _ in range(count))
    return Problem(sizes, tuple((shuffled[a], shuffled[b]) for a, b in edges))


def boxes(problem: Problem, placed: Placement):
    for (x, y), (w, h) in zip(placed.centers, problem.sizes, strict=True):
        yield x - w / 2, y - h / 2, x + w / 2, y + h / 2


def check(problem: Problem, placed: Placement) -> None:
    found = list(boxes(problem, placed))
    for i, (l0, t0, r0, b0) in enumerate(found):
        assert l0 >= -0.6
        assert r0 <= placed.width + 0.6
        assert t0 >= -0.6
        assert b0 <= placed.height + 0.6
        for l1, t1, r1, b1 in found[:i]:
            apart = r0 <= l1 + 0.6 or r1 <= l0 + 0.6 or b0 <= t1 + 0.6 or b1 <= t0 + 0.6
            assert apart, "two boxes overlap"
    for (tail, head), route in zip(problem.edges, placed.routes, strict=True):
        assert len(route) % 3 == 1
        assert placed.centers[tail][1] < placed.centers[head][1], "an edge runs up"
        (x0, y0), (x1, y1) = route[0], route[-1]
        for x, y, box in ((x0, y0, tail), (x1, y1, head)):
            (cx, cy), (w, h) = placed.centers[box], problem.sizes[box]
            assert abs(x - cx) <= w / 2 + 3, "an edge starts beside its box"
            assert abs(y - cy) <= h / 2 + 3, "an edge starts away from its box"


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("seed", range(25))
def test_boxes_do_not_overlap_and_edges_run_down(engine, seed):
    problem = random_problem(seed)
    check(problem, place(problem, engine=engine))


@pytest.mark.parametrize("seed", range(40))
def test_pieces_hold_every_box_and_edge_once_and_share_only_cuts(seed):
    problem = random_problem(seed, 60)
    pieces, far = cut(problem)
    assert not far
    assert sorted(e for piece in pieces for e in piece.numbers) == list(range(len(problem.edges)))
    own = [piece.boxes[1:] if piece.top else piece.boxes for piece in pieces]
    assert sorted(b for boxes_ in own for b in boxes_) == list(range(len(problem.sizes)))
    for above, below in pairwise(pieces):
        assert above.boxes[-1] == below.boxes[0]
    for piece in pieces:
        for number, (a, b) in zip(piece.numbers, piece.edges, strict=True):
            assert problem.edges[number] == (piece.boxes[a], piece.boxes[b])


@pytest.mark.parametrize("seed", range(20))
def test_the_order_is_topological_and_complete(seed):
    problem = random_problem(seed)
    order = topological(problem)
    assert sorted(order) == list(range(len(problem.sizes)))
    rank = {box: i for i, box in enumerate(order)}
    assert all(rank[a] < rank[b] for a, b in problem.edges)


def test_a_constant_stands_beside_its_consumer():
    chain = [(i, i + 1) for i in range(50)]
    problem = Problem(((60.0, 30.0),) * 52, (*chain, (51, 40)))
    placed = place(problem)
    assert placed.centers[39][1] <= placed.centers[51][1] < placed.centers[40][1]


def test_a_mask_that_feeds_every_layer_runs_in_the_gutter():
    layers = FAR * 3
    chain = [(i, i + 1) for i in range(layers)]
    masks = [(layers + 1, i) for i in range(50, layers, 40)]
    problem = Problem(((80.0, 30.0),) * (layers + 2), (*chain, *masks))
    started = time.perf_counter()
    placed = place(problem)
    assert time.perf_counter() - started < 10
    assert placed.width < 800
    assert all(placed.routes)


def test_repeated_pieces_are_laid_out_once():
    edges, block = [], 0
    for block in range(0, 4000, 4):
        edges += [(block, block + 1), (block, block + 2), (block + 1, block + 3)]
        edges += [(block + 2, block + 3), (block + 3, block + 4)]
    problem = Problem(((70.0, 30.0),) * (block + 5), tuple(edges))
    started = time.perf_counter()
    placed = place(problem)
    assert time.perf_counter() - started < 5
    steps = {round(placed.centers[b + 4][1] - placed.centers[b][1]) for b in range(0, 3000, 4)}
    assert len(steps) == 1


def test_nothing_one_box_and_two_parts():
    assert place(Problem((), ())).centers == ()
    assert place(Problem(((50.0, 20.0),), ())).centers == ((25.0, 10.0),)
    problem = Problem(((50.0, 20.0),) * 3, ())
    check(problem, place(problem))


@pytest.mark.parametrize("edges", [((0, 0),), ((0, 5),), ((-1, 0),)])
def test_an_edge_must_join_two_boxes(edges):
    with pytest.raises(ValueError, match="must join two of the 2 boxes"):
        Problem(((1.0, 1.0),) * 2, edges)


def test_a_first_row_and_a_last_row_are_kept_free():
    problem = Problem(((40.0, 20.0),) * 5, ((0, 4), (1, 4), (0, 2), (3, 4)))
    placed = layered(problem, top=True, bottom=True)
    heights = [y for _, y in placed.centers]
    assert all(heights[0] < y for y in heights[1:])
    assert all(heights[4] > y for y in heights[:4])


def hard_problem(count: int = 1500, seed: int = 1) -> Problem:
    rng = random.Random(seed)
    edges = {(rng.randrange(max(0, b - 250), b), b) for b in range(1, count) for _ in range(3)}
    return Problem(((60.0, 30.0),) * count, tuple(edges))


@pytest.mark.skipif(engine_in_use() == "python", reason="no Graphviz here")
def test_a_cancelled_layout_stops_at_once():
    cancel = Cancel()
    threading.Timer(0.3, cancel.set).start()
    started = time.perf_counter()
    with pytest.raises(CancelledError):
        place(hard_problem(seed=2), cancel=cancel)
    assert time.perf_counter() - started < 2


@pytest.mark.skipif(engine_in_use() == "python", reason="no Graphviz here")
def test_too_little_time_gives_the_plain_layout():
    problem = hard_problem(seed=3)
    started = time.perf_counter()
    placed = place(problem, timeout=0.2)
    assert time.perf_counter() - started < 30
    assert placed.engine == "python"
    small = Problem(((50.0, 20.0),) * 4, ((0, 1), (0, 2), (1, 3), (2, 3)))
    assert place(small).engine in (engine_in_use(), "python")


@pytest.mark.skipif(engine_in_use() != "pygraphviz", reason="the wheel is not in use here")
def test_a_dead_child_is_replaced():
    def diamond(width: float) -> Problem:
        return Problem(((width, 20.0),) * 4, ((0, 1), (0, 2), (1, 3), (2, 3)))

    assert place(diamond(51.0)).engine == "pygraphviz"
    assert _LIBRARY.process is not None
    os.kill(_LIBRARY.process.pid, 9)
    _LIBRARY.process.wait()
    check(diamond(52.0), place(diamond(52.0)))
    assert place(diamond(53.0)).engine == "pygraphviz"
