"""Who decides what goes into engines, and from which size on: the threshold with its curve."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ipywidgets as ipw

from workbench import backends, markup
from workbench.partitioning import PRESETS, CurvePoint
from workbench.partitioning.grouping import POLICIES
from workbench.text import plural
from workbench.widgets.curve import curve_svg
from workbench.widgets.desk import UNSET, Desk, titled, wide
from workbench.widgets.display import amount

AUTOMATIC = "TensorRT parser or table"
OWN = "none: own rules"


class PartitionPanel:
    """Source, policy, preset and threshold.

    Every stop of the slider is a different partition; the numbers between two stops give the same
    engines, and the field beside it takes any of them.
    """

    def __init__(self, desk: Desk) -> None:
        """The present choices."""
        self.desk = desk
        label = {"description_width": "72px"}
        self.source = ipw.Dropdown(
            description="Source",
            options=[(AUTOMATIC, UNSET), *((name, name) for name in backends.sources())],
            layout=wide(),
            style=label,
        )
        self.policy = ipw.Dropdown(
            description="Policy", options=POLICIES, layout=wide(), style=label
        )
        self.preset = ipw.Dropdown(
            description="Preset",
            options=[(OWN, UNSET), *((rule.title, name) for name, rule in PRESETS.items())],
            layout=wide(),
            style=label,
        )
        self.slider = ipw.SelectionSlider(
            options=[("3", 3)], value=3, readout=False, continuous_update=False,
            layout=ipw.Layout(width="auto"),
        )  # fmt: skip
        self.slider.add_class("workbench-threshold")
        # A bounded field would put another number in the place of a wrong one without a word.
        self.exact = ipw.IntText(
            value=3, description="Threshold", style=label,
            layout=ipw.Layout(width="150px"),
        )  # fmt: skip
        self.advice = ipw.Button(layout=ipw.Layout(width="auto", flex="0 0 auto"))
        self.curve = ipw.HTML()
        self.summary = ipw.HTML()
        self.asked = ipw.HTML()
        self._listen()
        self.widget = titled(
            "Partition",
            ipw.HBox([self.exact, self.advice]),
            self.curve,
            self.slider,
            self.summary,
            self.policy,
            self.preset,
            self.source,
            self.asked,
        )

    def _listen(self) -> None:
        for name in ("source", "policy", "preset"):
            widget = getattr(self, name)
            widget.observe(self._choosing(name, widget), "value")
        self.slider.observe(self.desk.on(self._slid), "value")
        self.exact.observe(self._choosing("threshold", self.exact), "value")
        self.advice.on_click(self.desk.on(self.take_advice))

    def _choosing(self, name: str, widget: Any) -> Callable[[Any], None]:
        def choose() -> None:
            value = None if widget.value == UNSET else widget.value
            try:
                if getattr(self.desk.state.choices, name) != value:
                    self.desk.state.update(**{name: value})
            except ValueError:
                with self.desk.showing():
                    self.choices_changed()
                raise

        return self.desk.on(choose)

    def _slid(self) -> None:
        stop = self.slider.value
        if self._stop(self.desk.state.curve) != stop:
            self.desk.state.update(threshold=stop)

    def take_advice(self) -> None:
        """Set the recommended threshold."""
        state = self.desk.state
        state.update(threshold=state.recommended.min_subgraph_size)

    def _stop(self, curve: tuple[CurvePoint, ...]) -> int:
        """The first threshold of the step that the present one is in."""
        threshold = self.desk.state.choices.threshold
        return max(p.min_subgraph_size for p in curve if p.min_subgraph_size <= threshold)

    def choices_changed(self) -> None:
        """Show what is chosen, without asking anybody."""
        now = self.desk.state.choices
        self.policy.value = now.policy
        self.source.value, self.preset.value = now.source or UNSET, now.preset or UNSET
        self.exact.value = now.threshold

    def refresh(self) -> None:
        """Show the curve, the stops and what the present threshold gives."""
        state = self.desk.state
        curve, advice, totals = state.curve, state.recommended, state.partition
        options = [(_stop_words(point), point.min_subgraph_size) for point in curve]
        with self.desk.showing():
            if self.slider.options != tuple(options):
                self.slider.options = options  # puts it back to its first stop
            self.slider.value = self._stop(curve)
        self.slider.disabled = len(options) < 2
        self.advice.description = f"Estimated best: {advice.min_subgraph_size}"
        self.advice.tooltip = f"Take it: an estimate, not measured. {advice.reason}"
        self.advice.disabled = state.choices.threshold == advice.min_subgraph_size
        nodes = len(state.graph.nodes)
        self.curve.value = curve_svg(curve, nodes, self._stop(curve), advice.min_subgraph_size)
        taken = f"{state.capability.source} takes {len(state.capability.taken)} of {nodes} nodes"
        self.asked.value = markup.paragraph(taken, quiet=True)
        inside = sum(map(len, totals.subgraphs))
        crossing = amount(state.plan.totals(state.choices.threshold).boundary_bytes)
        point = next(p for p in curve if p.min_subgraph_size == self._stop(curve))
        words = (
            f"Threshold {_stop_words(point)}: {plural(len(totals.subgraphs), 'engine')}, "
            f"{inside} of {nodes} nodes, {crossing}B cross their borders"
        )
        self.summary.value = f'<div role="status"><b>{markup.escaped(words)}</b></div>'


def _stop_words(point: CurvePoint) -> str:
    first, last = point.min_subgraph_size, point.until
    return (
        f"{first} and more" if last is None else f"{first}–{last}" if last > first else f"{first}"
    )
