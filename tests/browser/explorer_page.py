"""The Explorer as a user meets it in a page: what is seen, and what a hand can do.

Everything waits for a condition on the page; nothing sleeps.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PATIENCE = 60_000
"""Milliseconds to wait for anything; far more than needed, for a machine with much to do."""

CELL = """
import workbench as wb
app = wb.explore(
    "digits_inception", source="tensorrt-11.1", seconds=0.1, samples=64,
    exclude=wb.Exclusion(op_types=("Concat", "MaxPool")),
)
app
"""

_SEEN = """(root) => {
  window.phases = [];
  const look = () => {
    const text = root.textContent;
    if (window.phases.at(-1) !== text) window.phases.push(text);
  };
  new MutationObserver(look).observe(root, {childList: true, subtree: true, characterData: true});
}"""

_CONTRAST = """(root) => {
  const numbers = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map((c) => c / 255).map(
      (c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const ground = (e) => {
    for (let at = e; at; at = at.parentElement) {
      const colour = numbers(getComputedStyle(at).backgroundColor);
      if (colour.length < 4 || colour[3] === 1) return colour.slice(0, 3);
    }
    return [255, 255, 255];
  };
  const poor = [];
  const skipped = ".wbg, :disabled, .lm-mod-hidden, [style*='display: none']";
  for (const e of root.querySelectorAll("p, b, h4, label, span, td, th, text, summary, button")) {
    if (!e.textContent.trim() || e.closest(skipped) || !e.getClientRects().length) continue;
    const style = getComputedStyle(e);
    const ink = numbers(e.tagName === "text" ? style.fill : style.color);
    const [a, b] = [light(ink), light(ground(e))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    const words = e.textContent.trim().slice(0, 40);
    if (ratio < 4.5) poor.push(`${e.tagName} ${words}: ${ratio.toFixed(1)}`);
  }
  return poor;
}"""


@dataclass
class ExplorerPage:
    """One Explorer in one page."""

    page: Any

    def __post_init__(self) -> None:
        self.page.set_default_timeout(PATIENCE)
        self.root = self.page.locator(".workbench-explorer")
        self.summary = self.root.locator(".workbench-group", has_text="Policy").locator(
            "[role=status]"
        )
        self.building = self.root.locator(".workbench-group", has_text="Build and measure")
        self.phase = self.building.locator("[role=status]")
        self.alert = self.root.locator(".workbench-error [role=alert]")
        self.view = self.root.locator(".wbg")

    def ready(self) -> ExplorerPage:
        """Wait until the curve and both graphs are drawn."""
        self.page.wait_for_selector(".workbench-curve")
        self.page.wait_for_selector(".wbg[data-rev] .left g.n")
        self.page.wait_for_selector(".wbg[data-rev] .right g.n")
        return self

    def expect(self, where: Any, words: str) -> None:
        """Wait until an element says something; a pattern."""
        from playwright.sync_api import expect

        expect(where).to_have_text(re.compile(words), timeout=PATIENCE)

    def button(self, name: str) -> Any:
        """A button that can be seen."""
        return self.root.get_by_role("button", name=name).filter(visible=True).first

    def group(self, title: str) -> Any:
        """The controls under a heading."""
        return self.root.locator(".workbench-group", has=self.page.locator("h4", has_text=title))

    def field(self, label: str) -> Any:
        """A field by what is written before it."""
        return self.root.get_by_label(label, exact=True)

    def drag_threshold(self, share: float) -> None:
        """Pull the slider with the mouse to a share of its length, and let go."""
        slider = self.root.locator(".workbench-threshold")
        slider.scroll_into_view_if_needed()
        rail = slider.locator(".noUi-base").bounding_box()
        knob = slider.locator(".noUi-handle").bounding_box()
        high = knob["y"] + knob["height"] / 2
        self.page.mouse.move(knob["x"] + knob["width"] / 2, high)
        self.page.mouse.down()
        self.page.mouse.move(rail["x"] + rail["width"] * share, high, steps=4)
        self.page.mouse.up()

    def node(self, side: str, name: str) -> Any:
        """The box of a node or engine in a graph, brought into view."""
        self.view.locator("input[type=search]").fill(name)
        found = self.view.locator(f".{side} g.n").filter(has_text=re.compile(name)).first
        found.wait_for()
        return found

    def in_sight(self, side: str, kind: str) -> Any:
        """The first box of a kind whose middle is inside its pane, so that it can be clicked."""
        at = self.page.wait_for_function(
            """([side, kind]) => {
              const pane = document.querySelector(`.${side} .stage > svg`).getBoundingClientRect();
              const at = [...document.querySelectorAll(`.${side} g.${kind}`)].findIndex((e) => {
                const box = e.getBoundingClientRect();
                const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];
                return x > pane.left && x < pane.right && y > pane.top && y < pane.bottom;
              });
              return at < 0 ? null : {at};
            }""",
            arg=[side, kind],
        )
        return self.view.locator(f".{side} g.{kind}").nth(at.json_value()["at"])

    def fit(self, side: str) -> None:
        """Show a whole graph."""
        self.view.locator(f".{side} .tools button", has_text="Fit").click()

    def rev(self) -> int:
        """How often the graphs were drawn."""
        return int(self.view.get_attribute("data-rev"))

    def drawn_after(self, rev: int) -> None:
        """Wait for a newer picture."""
        self.page.wait_for_function(
            "(old) => +document.querySelector('.wbg').dataset.rev > old", arg=rev
        )

    def watch_phases(self) -> None:
        """Remember everything the build says from now on."""
        self.phase.evaluate(f"(e) => ({_SEEN})(e.closest('.workbench-group'))")

    def phases(self) -> str:
        """What it said."""
        return "\n".join(self.page.evaluate("window.phases"))

    def poor_contrast(self) -> list[str]:
        """Texts with less than 4.5 to 1 against their ground; the graphs have their own tests."""
        return self.root.evaluate(_CONTRAST)

    def too_wide(self) -> list[str]:
        """What stands out of the page to the right."""
        return self.root.evaluate(
            """(root) => {
              const edge = root.parentElement.getBoundingClientRect().right + 1;
              return [...root.querySelectorAll('.workbench-group, .wbg, input, select, button')]
                .filter((e) => !e.closest('.wbg .pane') && e.getBoundingClientRect().right > edge)
                .map((e) => `${e.tagName} ${e.className}`);
            }"""
        )

    def keep(self, path: Path) -> None:
        """A picture of the whole Explorer, however high it is."""
        size = self.page.viewport_size
        high = self.root.bounding_box()["height"]
        self.page.set_viewport_size({"width": size["width"], "height": int(high) + 300})
        self.root.scroll_into_view_if_needed()
        self.page.evaluate(
            "() => new Promise((r) => requestAnimationFrame(() => requestAnimationFrame(r)))"
        )
        self.page.screenshot(path=path)
        self.page.set_viewport_size(size)
