"""Precision, what is kept out of engines, profiles of dynamic inputs, and build settings."""

from __future__ import annotations

from functools import partial
from typing import Any

import ipywidgets as ipw

from workbench import backends, markup
from workbench.backends.base import ShapeRange
from workbench.errors import PartitionError
from workbench.partitioning import Exclusion
from workbench.text import nearest, shown
from workbench.widgets import profiles
from workbench.widgets.choices import PRECISIONS
from workbench.widgets.desk import UNSET, Desk, split, titled, wide

_LABEL = {"description_width": "90px"}


class PrecisionPanel:
    """What nodes are computed in, and which stay in FP32."""

    def __init__(self, desk: Desk) -> None:
        """The present choices."""
        self.desk = desk
        self.precision = ipw.ToggleButtons(
            options=[(name.upper(), name) for name in PRECISIONS],
            style={"button_width": "66px"},
        )
        self.exact = ipw.Text(
            placeholder="stay in FP32: Softmax, /head/*", continuous_update=False, layout=wide()
        )
        self.precision.observe(desk.on(self._choose), "value")
        self.exact.observe(desk.on(self._choose_exact), "value")
        self.widget = titled("Precision", self.precision, self.exact)

    def _choose(self) -> None:
        try:
            self.desk.state.update(precision=self.precision.value)
        finally:
            self.choices_changed()

    def _choose_exact(self) -> None:
        self.desk.state.update(exact=split(self.exact.value))

    def choices_changed(self) -> None:
        """Show what is chosen."""
        now = self.desk.state.choices
        self.precision.value = now.precision
        self.exact.value = ", ".join(now.exact)


class ExclusionPanel:
    """What is kept out of engines: typed, or the node selected in the view."""

    def __init__(self, desk: Desk) -> None:
        """The present exclusions."""
        self.desk = desk
        self._shown = Exclusion()
        self.selected = ""
        self.name = ipw.Text(
            placeholder="operator, node or pattern/*",
            continuous_update=False,
            layout=ipw.Layout(flex="1"),
        )
        self.add = ipw.Button(description="Keep out", layout=ipw.Layout(width="80px"))
        self.add.on_click(desk.on(self.keep_out))
        self.name.observe(desk.on(self.keep_out), "value")
        self.this = ipw.Button(layout=wide())
        self.this.on_click(desk.on(self.toggle_selected))
        self.kept = ipw.HBox(layout=ipw.Layout(flex_flow="row wrap"))
        self.widget = titled(
            "Kept out of engines", ipw.HBox([self.name, self.add]), self.this, self.kept
        )
        self.select("")

    def keep_out(self) -> None:
        """Exclude what is typed: operator types by name, everything else as nodes.

        Raises:
            PartitionError: a name that is neither here, or a pattern that fits no node.
        """
        names = split(self.name.value)
        if not names:
            return
        graph = self.desk.state.graph
        kinds = {node.op_type for node in graph.nodes}
        types = tuple(name for name in names if name in kinds)
        nodes = tuple(name for name in names if name not in kinds)
        for name in nodes:
            if name not in graph.position and not any(mark in name for mark in "*?["):
                raise PartitionError(
                    f"nothing to keep out: graph {shown(graph.name)} has no operator type and no "
                    f"node {shown(name)}{nearest(name, (*sorted(kinds), *graph.position))}"
                )
        self.desk.state.exclude(op_types=types, nodes=nodes)
        self.name.value = ""

    def select(self, node: str) -> None:
        """Say which node the button is about."""
        self.selected = node
        out = node in self.desk.state.choices.exclude.nodes
        self.this.layout.display = "" if node else "none"
        self.this.description = f"{'Let in again' if out else 'Keep out'}: {shown(node, 36)}"

    def toggle_selected(self) -> None:
        """Exclude the selected node, or let it in again."""
        state = self.desk.state
        out = self.selected in state.choices.exclude.nodes
        change = state.admit if out else state.exclude
        change(nodes=(self.selected,))

    def choices_changed(self) -> None:
        """Show each rule as a button that takes it away."""
        rules = self.desk.state.choices.exclude
        if rules != self._shown:
            self._shown = rules
            self._show(rules)
        self.select(self.selected)

    def _show(self, rules: Exclusion) -> None:
        chips = [
            self._chip(name, {kind: (name,)})
            for kind in ("op_types", "nodes")
            for name in getattr(rules, kind)
        ]
        if rules.tensors or rules.subgraphs:
            chips.append(self._clear(len(rules.tensors) + len(rules.subgraphs)))
        self.kept.children = chips

    def _chip(self, name: str, rule: dict[str, Any]) -> ipw.Button:
        chip = ipw.Button(
            description=name[-40:], icon="times", tooltip=f"let {name[-80:]} in again"
        )
        chip.layout.width = "auto"
        chip.on_click(self.desk.on(partial(self.desk.state.admit, **rule)))
        return chip

    def _clear(self, count: int) -> ipw.Button:
        chip = ipw.Button(description=f"{count} more rules", icon="times")
        clear = partial(self.desk.state.update, exclude=Exclusion())
        chip.on_click(self.desk.on(clear))
        return chip


class ProfilePanel:
    """min, opt and max of every dynamic input."""

    def __init__(self, desk: Desk) -> None:
        """Fields are made by `choices_changed`."""
        self.desk = desk
        self.fields: dict[str, tuple[ipw.Text, ipw.Text, ipw.Text]] = {}
        self.rows = ipw.VBox()
        use = ipw.Button(description="Apply")
        use.on_click(desk.on(self.apply))
        fill = ipw.Button(description="Fill from data")
        fill.on_click(desk.on(self.fill))
        self.widget = titled("Shapes of dynamic inputs", self.rows, ipw.HBox([use, fill]))

    def apply(self) -> None:
        """Take the ranges typed in."""
        ranges = {
            name: ShapeRange(*(profiles.parse(field.value) for field in fields))
            for name, fields in self.fields.items()
        }
        self.desk.state.update(profiles=ranges)

    def fill(self) -> None:
        """Batch 1, and the other extents as the data have them."""
        state = self.desk.state
        state.update(profiles=profiles.usual(state.model.graph, state.data))

    def choices_changed(self) -> None:
        """Show the present ranges."""
        ranges = self.desk.state.choices.profiles
        if self.fields.keys() != ranges.keys():
            self.fields = {name: self._made() for name in ranges}
            self.rows.children = [
                ipw.VBox([ipw.HTML(markup.paragraph(f"{name}: min, opt, max")), ipw.HBox(fields)])
                for name, fields in self.fields.items()
            ]
        for name, fields in self.fields.items():
            asked = ranges[name]
            for field, shape in zip(fields, (asked.min, asked.opt, asked.max), strict=True):
                field.value = profiles.words(shape)
        self.widget.layout.display = "" if ranges else "none"

    def _made(self) -> tuple[ipw.Text, ipw.Text, ipw.Text]:
        low, best, high = (
            ipw.Text(
                layout=ipw.Layout(flex="1 1 0", width="auto", min_width="0"),
                tooltip=end,
                placeholder=end,
            )
            for end in ("min", "opt", "max")
        )
        return low, best, high


class SettingsPanel:
    """How engines are built and measured; folded away."""

    def __init__(self, desk: Desk) -> None:
        """The present settings."""
        self.desk = desk
        names = backends.names()
        self.fields: dict[str, Any] = {
            "backend": ipw.Dropdown(description="Engines by", options=names),
            "native": ipw.Dropdown(description="Rest by", options=names),
            "optimization_level": ipw.Dropdown(
                description="Level",
                options=[("the backend's own", UNSET), *((str(i), i) for i in range(6))],
            ),
            "threads": ipw.BoundedIntText(description="CPU threads", min=1, max=4096),
            "workspace_bytes": ipw.Dropdown(
                description="Workspace",
                options=[("the backend's own", UNSET)]
                + [(f"{2**i} MiB", 2 ** (i + 20)) for i in (6, 8, 10, 12)],
            ),
            "timeout": ipw.BoundedFloatText(description="Time limit s", min=1, max=1e6),
            "seconds": ipw.BoundedFloatText(description="Measure s", min=0.05, max=600),
            "tf32": ipw.Checkbox(description="TF32 may stand in for FP32", indent=False),
            "strict": ipw.Checkbox(description="a failed engine is an error", indent=False),
        }
        for name, widget in self.fields.items():
            if not isinstance(widget, ipw.Checkbox):
                widget.style = _LABEL
            widget.layout = wide()
            widget.observe(desk.on(partial(self._choose, name)), "value")
        rest = [self.fields[name] for name in list(self.fields)[2:]]
        folded = ipw.Accordion([ipw.VBox(rest)], titles=("Build settings",), selected_index=None)
        self.doctor = ipw.HTML()
        self.widget = titled(
            "Backends", self.fields["backend"], self.fields["native"], self.doctor, folded
        )

    def _choose(self, name: str) -> None:
        value = self.fields[name].value
        self.desk.state.update(**{name: None if value == UNSET else value})

    def choices_changed(self) -> None:
        """Show what is chosen."""
        for name, widget in self.fields.items():
            value = getattr(self.desk.state.choices, name)
            if isinstance(widget, ipw.Dropdown):
                widget.value = UNSET if value is None else value
            elif value is not None:
                widget.value = value

    def reported(self, reports: tuple[backends.Report, ...]) -> None:
        """Mark what is usable here, and say why the rest is not."""
        marked = [(_marked(report), report.name) for report in reports]
        for name in ("backend", "native"):
            field = self.fields[name]
            with self.desk.showing():
                field.options, field.value = marked, field.value
        told = "".join(map(_told, reports))
        self.doctor.value = markup.folded("what works here, and why not the rest", told)


def _marked(report: backends.Report) -> str:
    if report.usable:
        return report.name
    builds = "build" in report.can
    return f"{report.name} ({'builds, cannot run here' if builds else 'not usable here'})"


def _told(report: backends.Report) -> str:
    name = f"<b>{markup.escaped(report.name)} {markup.escaped(report.version)}</b>"
    if report.usable:
        return f"<p>{name}: builds and runs here</p>"
    why, remedy = markup.escaped(report.why_not), markup.escaped(report.remedy)
    return f"<p>{name}: {why}. To change that: {remedy}</p>"
