"""Configurations measured so far: choose, compare, draw, keep."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import ipywidgets as ipw

from workbench import markup, plot, report
from workbench.errors import StudyError
from workbench.study import Study
from workbench.study.tables import NOTHING, PRINTED
from workbench.text import shown
from workbench.widgets.bench import Built
from workbench.widgets.comparing import layer_rows, side_by_side
from workbench.widgets.desk import Desk

PLOTS = (
    "latency", "accuracy", "trade-off", "layers by time", "roofline", "threshold curve"
)  # fmt: skip
_WIDTHS = {
    "configuration": "2fr", "engines": "4.8em", "nodes": "4em", "latency ms": "1.8fr",
    "CPU ms": "3.6em", "to baseline": "1.2fr", "top-1 %": "1.5fr", "SNR dB": "3.6em",
    "agree": "3.6em",
}  # fmt: skip
"""Widths of columns by their head; any other has a share."""


class ResultsPanel:
    """A row for each configuration, and what can be done with one or two of them.

    Attributes:
        on_show: called with a configuration whose layers are to be shown in the view.
    """

    def __init__(self, desk: Desk, on_show: Callable[[Built], None]) -> None:
        """No configuration yet."""
        self.desk = desk
        self.on_show = on_show
        self.rows = ipw.VBox()
        self.ticks: dict[str, ipw.Checkbox] = {}
        self._table: list[tuple[str, ...]] | None = None
        hint = "Nothing is measured yet: choose, then press Build and measure."
        self._hint = ipw.HTML(markup.paragraph(hint, quiet=True))
        self.compared = ipw.HTML()
        self.kind = ipw.Dropdown(description="Plot", options=PLOTS)
        self.drawn = ipw.HTML()
        self.path = ipw.Text(value="study.json", description="File", layout=ipw.Layout(flex="1"))
        self.said = ipw.HTML()
        self.code = ipw.Textarea(
            rows=14, layout=ipw.Layout(width="auto", display="none"), disabled=False
        )
        self.code.add_class("workbench-code")
        actions = [
            ("Save study", "save", self.save),
            ("Export report", "file", self.export),
            ("Copy as Python", "code", self.copy),
        ]
        buttons = [_button(text, icon, desk.on(action)) for text, icon, action in actions]
        self._remove = _button("Remove ticked", "trash", desk.on(self.remove))
        results = ipw.VBox([self.rows, ipw.HBox([self._remove]), self.compared])
        files_row = ipw.HBox([self.path, *buttons], layout=ipw.Layout(flex_flow="row wrap"))
        files = [files_row, self.said, self.code]
        self.widget = ipw.Tab(
            [results, ipw.VBox([self.kind, self.drawn]), ipw.VBox(files)],
            titles=("Configurations", "Plots", "Save, report, code"),
        )
        self.kind.observe(desk.on(self._chosen), "value")
        self.widget.observe(desk.on(self._chosen), "selected_index")
        self.refresh()

    def refresh(self) -> None:
        """Show every configuration and redraw what depends on them."""
        built, study = self.desk.state.bench.built, self.desk.state.study
        self._remove.layout.display = "none" if study is None else ""
        if study is None:
            self.rows.children = (self._hint,)
            self.ticks, self._table = {}, None
        else:
            self._fill(built)
        self.compare()
        self.draw()

    def _fill(self, built: tuple[Built, ...]) -> None:
        rows = self.desk.state.bench.rows()
        columns = [
            (head, make) for head, make in PRINTED if any(make(row) != NOTHING for row in rows)
        ]
        table = [tuple(make(row) for _, make in columns) for row in rows]
        if table == self._table:
            return
        self._table = table
        kept = {name for name, tick in self.ticks.items() if tick.value}
        self.ticks = {}
        widths = " ".join(_WIDTHS.get(head, "1fr") for head, _ in columns)
        lines: list[ipw.Widget] = [_cells(None, [head for head, _ in columns], None, widths)]
        by_key = {one.configuration.key: one for one in built}
        for row in rows:
            one = by_key.get((row["model"], row["batch"], row["variant"]))  # type: ignore[arg-type]
            if one is None:
                continue
            name = one.configuration.variant
            tick = self._tick(name, name in kept)
            show = _button("Show", "", self.desk.on(partial(self.show, one)))
            show.layout.width = "64px"
            lines.append(_cells(tick, [make(row) for _, make in columns], show, widths))
        self.rows.children = lines

    def _tick(self, name: str, value: bool) -> ipw.Checkbox:
        tick = ipw.Checkbox(value=value, indent=False, layout=ipw.Layout(width="24px"))
        tick.tooltip = "tick two to compare them"
        tick.observe(self.desk.on(self.compare), "value")
        self.ticks[name] = tick
        return tick

    def show(self, one: Built) -> None:
        """Set the choices a configuration was built with, and show its layers."""
        if one.choices is not None:
            self.desk.state.update(
                **{name: getattr(one.choices, name) for name in one.choices.__dataclass_fields__}
            )
        self.on_show(one)

    def ticked(self) -> list[Built]:
        """The ticked configurations, in the table's order."""
        names = {name for name, tick in self.ticks.items() if tick.value}
        return [one for one in self.desk.state.bench.built if one.configuration.variant in names]

    def compare(self) -> None:
        """Show one ticked configuration's layers, or two side by side."""
        chosen, study = self.ticked(), self.desk.state.study
        if study is None or not chosen:
            self.compared.value = ""
        elif len(chosen) == 2:
            self.compared.value = side_by_side(chosen[0], chosen[1], study)
        elif len(chosen) == 1:
            header = ("layer", "kind", "part", "precision", "µs", "stands for")
            table = markup.table(header, layer_rows(chosen[0]), most=200)
            self.compared.value = markup.block(
                markup.paragraph("Tick a second one to compare."),
                markup.folded(f"layers of {chosen[0].configuration.variant}", table),
            )
        else:
            self.compared.value = markup.block(markup.paragraph("Tick two, not more, to compare."))

    def remove(self) -> None:
        """Forget the ticked configurations; the whole network run natively stays."""
        names = {one.configuration.variant for one in self.ticked()}
        self.desk.state.bench.remove(names)
        self.refresh()

    def _chosen(self) -> None:
        """Draw what was chosen; a roofline needs roofs, which are measured once."""
        self.draw()
        one, state = self._drawn_one(), self.desk.state
        looked_at = self.widget.selected_index == 1 and self.kind.value == "roofline"
        if looked_at and one is not None and state.bench.roofs(one) is None:
            state.run("measure roofs", partial(state.bench.find_roofs, one))

    def _drawn_one(self) -> Built | None:
        """The configuration whose layers are drawn: ticked, as chosen, or the newest."""
        state = self.desk.state
        if state.study is None:
            return None
        return (self.ticked() or [state.built or state.bench.built[-1]])[0]

    def draw(self) -> None:
        """Draw the chosen plot, if plots are looked at: drawing takes a while."""
        if self.widget.selected_index != 1:
            return
        picture = self._picture(self.kind.value or PLOTS[0])
        self.drawn.value = picture or markup.paragraph("Nothing to draw yet.", quiet=True)

    def _picture(self, kind: str) -> str:
        state = self.desk.state
        if kind == "threshold curve":
            if not state.ready:
                return ""
            axes = plot.threshold_curve(
                state.curve, state.recommended, nodes=len(state.graph.nodes),
                name=state.model.name,
            )[0]  # fmt: skip
            return markup.picture(report.svg(axes), kind)
        study = state.study
        if study is None:
            return ""
        if kind in ("layers by time", "roofline"):
            return self._layers_picture(kind)
        return "".join(
            _drawn(kind, study, model, b) for model in study.models for b in study.batches(model)
        )

    def _layers_picture(self, kind: str) -> str:
        one = self._drawn_one()
        if one is None:
            return ""
        name = one.configuration.variant
        if kind == "layers by time":
            axes = plot.layer_times(one.layers, one.times, name=name)
            return markup.picture(report.svg(axes), kind)
        roofs = self.desk.state.bench.roofs(one)
        if roofs is None:
            words = (
                "What this machine can do at most is measured first: a few seconds, begun whenever "
                "this plot is chosen."
            )
            return markup.paragraph(words, quiet=True)
        axes = plot.roofline(one.layers, one.times, one.model, roofs, name=name)
        return markup.picture(report.svg(axes), kind)

    def save(self) -> None:
        """Write the study."""
        self.said.value = _done(self._study().save(self._target()))

    def export(self) -> None:
        """Write the report as HTML, with the code that reproduces the present choices."""
        target = self._target().with_suffix(".html")
        layers = {
            one.configuration.key: report.Layers(one.model.graph, one.layers, one.times)
            for one in self.desk.state.bench.built
        }
        path = report.save(self._study(), target, notes=self.desk.state.python(), layers=layers)
        self.said.value = _done(path)

    def copy(self) -> None:
        """Show the code that does what is chosen now."""
        self.code.value = self.desk.state.python()
        self.code.layout.display = ""

    def _target(self) -> Path:
        name = self.path.value.strip()
        if not name:
            raise StudyError("no file name; type one that ends in .json, .parquet or .csv")
        target = Path(name).expanduser()
        target.parent.mkdir(parents=True, exist_ok=True)
        return target

    def _study(self) -> Study:
        study = self.desk.state.study
        if study is None:
            raise StudyError("nothing is measured yet; build a configuration first")
        return study


def _drawn(kind: str, study: Study, model: str, batch: int) -> str:
    draw: dict[str, Any] = {
        "latency": plot.latency,
        "accuracy": plot.accuracy,
        "trade-off": plot.tradeoff,
    }
    return markup.picture(report.svg(draw[kind](study, model, batch)), f"{kind} of {model}")


def _button(text: str, icon: str, action: Callable[[Any], None]) -> ipw.Button:
    button = ipw.Button(description=text, icon=icon, layout=ipw.Layout(width="auto"))
    button.on_click(action)
    return button


def _cells(
    tick: ipw.Widget | None, cells: list[str], show: ipw.Widget | None, widths: str
) -> ipw.HBox:
    """One line of the table: a box to tick, cells in columns, a button; the head has neither."""
    weight = "600" if tick is None else "400"
    spans = "".join(f"<span>{markup.escaped(cell)}</span>" for cell in cells)
    line = ipw.HTML(
        f'<div class="workbench-row" style="grid-template-columns:{widths};'
        f'font-weight:{weight}">{spans}</div>',
        layout=ipw.Layout(flex="1"),
    )
    blank = ipw.HTML(layout=ipw.Layout(width="24px"))
    end = ipw.HTML(layout=ipw.Layout(width="64px"))
    return ipw.HBox([tick or blank, line, show or end])


def _done(path: Path) -> str:
    return f'<div role="status">written: {shown_path(path.resolve())}</div>'


def shown_path(path: Path) -> str:
    """A path as text for a page."""
    return markup.escaped(shown(path, 300))
