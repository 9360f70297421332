"""The Explorer in real JupyterLab and Chromium: from the hand to the picture, and to a halt.

A real mouse releases the threshold slider; the time runs to the second animation frame after the
page has drawn the new graphs, and apart from that to the new numbers beside the slider.
``pytest tests/bench/test_bench_explorer.py -m bench -s`` prints; numbers depend on what else the
machine does.
"""

from __future__ import annotations

import statistics
import time

import pytest
from browser_parts import MARKS, PAGE

pytestmark = MARKS

CELL = """
import tempfile
import onnx
from onnx import TensorProto, helper
import workbench as wb

def network(count):
    # Blocks of one residual kind, and an operator now and then that is kept out of engines.
    nodes, at, keep = [], "x", "x"
    for i in range(count):
        kind = "Sigmoid" if i % 23 == 11 else "Add" if i % 5 == 4 else "Relu" if i % 2 else "Neg"
        inputs = [at, keep] if kind == "Add" else [at]
        name = f"block{{i // 5}}/{{kind}}_{{i}}"
        nodes.append(helper.make_node(kind, inputs, [f"t{{i}}"], name=name))
        at = f"t{{i}}"
        keep = at if kind == "Add" else keep
    shape = [1, 8, 4, 4]
    value = helper.make_tensor_value_info
    return helper.make_model(helper.make_graph(
        nodes, "net", [value("x", TensorProto.FLOAT, shape)], [value(at, TensorProto.FLOAT, shape)]
    ), opset_imports=[helper.make_opsetid("", 17)])

path = tempfile.mkdtemp() + "/net.onnx"
onnx.save(network({count}), path)
app = wb.explore(
    path, source="tensorrt-11.1", exclude=wb.Exclusion(op_types=("Sigmoid",)), cache=False
)
app
"""
WATCH = """() => {
  window.since = 0; window.drawn = []; window.said = [];
  addEventListener('pointerup', () => { window.since = performance.now(); }, true);
  addEventListener('mouseup', () => { window.since = performance.now(); }, true);
  const after = (list) => {
    const since = window.since;
    requestAnimationFrame(() => requestAnimationFrame(() => list.push(performance.now() - since)));
  };
  new MutationObserver(() => after(window.drawn)).observe(
    document.querySelector('.wbg'), {attributes: true, attributeFilter: ['data-rev']});
  const group = document.querySelector('.workbench-curve').closest('.workbench-group');
  let words = group.querySelector('[role=status]').textContent;
  new MutationObserver(() => {
    const now = group.querySelector('[role=status]')?.textContent ?? words;
    if (now !== words) { words = now; after(window.said); }
  }).observe(group, {childList: true, subtree: true, characterData: true});
}"""


def _shown(values: list[float]) -> str:
    return f"{statistics.median(values):.0f} ms ({min(values):.0f}-{max(values):.0f})"


@pytest.mark.parametrize(("count", "goal"), [(200, 120), (1000, 120), (5000, 200)])
def test_from_the_hand_to_the_picture(open_lab, count, goal):
    cell = CELL.format(count=count)
    at = PAGE.ExplorerPage(open_lab(f"explore{count}.ipynb", cell)).ready()
    at.page.evaluate(WATCH)
    drawn, said = [], []
    for share in (0.5, 0.0, 0.5, 1.0, 0.5, 0.0, 0.5, 0.0, 0.5):
        at.page.evaluate("window.drawn = []; window.said = []")
        at.drag_threshold(share)
        at.page.wait_for_function("() => window.drawn.length && window.said.length")
        drawn.append(at.page.evaluate("window.drawn[0]"))
        said.append(at.page.evaluate("window.said[0]"))
    print(f"\n{count:>6,} nodes: picture {_shown(drawn)}, goal {goal}; numbers {_shown(said)}")


def test_from_cancel_to_a_halt(open_lab):
    """While it builds, and while it measures."""
    cell = PAGE.CELL.replace("seconds=0.1", "seconds=300, cache=False")
    cell = cell.replace("digits_inception", "googlenet")
    at = PAGE.ExplorerPage(open_lab("cancel.ipynb", cell)).ready()
    for phase in ("build|read|start", "measure latency"):
        at.button("Build and measure").click()
        at.expect(at.phase, phase)
        begun = time.perf_counter()
        at.button("Cancel").click()
        at.expect(at.phase, "cancelled")
        print(f"\ncancelled in '{phase}': {time.perf_counter() - begun:.2f} s, goal 2")
