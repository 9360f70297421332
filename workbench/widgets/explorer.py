"""The Explorer: a `State` with a view, controls and results, in a notebook or in Voila.

What it shows follows from the state, so a script that changes the state changes the picture. Work
that takes long runs in threads; closing the Explorer, or running its cell again, stops them.
"""

from __future__ import annotations

import secrets
import threading
import weakref
from contextlib import suppress
from importlib import resources
from typing import Any

import ipywidgets as ipw

from workbench import backends, markup
from workbench.cache import Cache
from workbench.graph import Graph
from workbench.partitioning import Partition
from workbench.progress import Cancel, Progress
from workbench.text import shown
from workbench.widgets.bench import Built
from workbench.widgets.comparing import overlays
from workbench.widgets.desk import Desk
from workbench.widgets.graphview import GraphView
from workbench.widgets.hook import bundle
from workbench.widgets.jobs import Job
from workbench.widgets.opening import DataSource, ModelSource, usual_data
from workbench.widgets.panels.building import BuildPanel
from workbench.widgets.panels.editing import (
    ExclusionPanel,
    PrecisionPanel,
    ProfilePanel,
    SettingsPanel,
)
from workbench.widgets.panels.network import NetworkPanel
from workbench.widgets.panels.node import NodePanel
from workbench.widgets.panels.partition import PartitionPanel
from workbench.widgets.panels.results import ResultsPanel
from workbench.widgets.state import State
from workbench.widgets.trees import close_all, send_all

PLANNED, LAYERS = "Engines as planned", "Layers as built"

TWIN_DELAY = 0.8
"""Seconds without a change after which the picture for saved notebooks is drawn anew."""

LARGEST_TWIN = 400_000
"""Bytes of the picture that stays in a saved notebook; beyond it there are tables only."""

_OPEN: dict[str, weakref.ref[Explorer]] = {}


class Explorer:
    """Widgets around a `State`; shows itself in a notebook. `explore` makes one.

    Attributes:
        state: everything that is shown.
        view: the linked graphs; None until the first plan is there.
        widget: the whole, to put into other widgets.
    """

    def __init__(self, state: State) -> None:
        """Show a state; planning begins in a thread."""
        self.state = state
        self.view: GraphView | None = None
        self.desk = desk = Desk(state)
        self.network = NetworkPanel(desk)
        self.partition = PartitionPanel(desk)
        self.precision = PrecisionPanel(desk)
        self.exclusion = ExclusionPanel(desk)
        self.profile = ProfilePanel(desk)
        self.settings = SettingsPanel(desk)
        self.building = BuildPanel(desk)
        self.node = NodePanel(desk, self._asked)
        self.results = ResultsPanel(desk, self._show_built)
        self._opening = ipw.HTML(_waiting("opening"))
        self._twin: Any = None
        self._token = f"workbench-twin-{secrets.token_hex(4)}"
        self._planning: Job | None = None
        self._timer: threading.Timer | None = None
        self._drawn: tuple[Graph | None, Partition | None, Built | None, Built | None] = (
            None, None, None, None,
        )  # fmt: skip
        self.mode = ipw.ToggleButtons(
            options=(PLANNED, LAYERS), style={"button_width": "auto"},
            layout=ipw.Layout(display="none"),
        )  # fmt: skip
        self.mode.observe(desk.on(self._mode_chosen), "value")
        self._stage = ipw.VBox([self._opening, self.mode])
        self._stage.add_class("workbench-stage")
        self.closed = False
        self.widget = self._assembled()
        self._end = state.observe(self._changed)
        self._show_choices()
        self._plan()
        self._survey = Job("survey", lambda *_: backends.survey(), self._surveyed)
        self._survey.start()

    def _assembled(self) -> ipw.VBox:
        controls = [
            self.partition, self.building, self.precision, self.exclusion, self.profile,
            self.settings,
        ]  # fmt: skip
        left = ipw.VBox([panel.widget for panel in controls])
        left.add_class("workbench-controls")
        right = ipw.VBox([self._stage, self.node.widget, self.results.widget])
        right.add_class("workbench-main")
        body = ipw.HBox([left, right])
        body.add_class("workbench-body")
        hidden = f"<style>.{self._token}{{display:none}}</style>"
        whole = ipw.VBox([ipw.HTML(_style() + hidden), self.desk.widget, self.network.widget, body])
        whole.add_class("workbench-explorer")
        whole._view_count = 0
        whole.observe(self._seen, "_view_count")
        return whole

    def _seen(self, _: object) -> None:
        """A page has begun to show it."""
        with self.desk.guard(), self.desk.lock:
            if not self.closed:
                send_all(self.widget)

    def __repr__(self) -> str:
        return f"<Explorer of {shown(self.state.model.name)}{', closed' if self.closed else ''}>"

    def _ipython_display_(self) -> None:
        """Two outputs: the widgets, and a picture that is there where they cannot live."""
        from IPython.display import display

        found: Any = self.widget._repr_mimebundle_()
        display({**found, "text/plain": repr(self)}, raw=True)
        self._twin = display(self._still(), raw=True, display_id=True)
        self._refresh_twin()

    def close(self) -> None:
        """Stop all work and take the widgets away; closing twice is fine."""
        if self.closed:
            return
        self.closed = True
        self._end()
        if self._timer is not None:
            self._timer.cancel()
        if self._planning is not None:
            self._planning.cancel.set()
        self.state.close()
        with self.desk.lock:
            close_all(self.widget)

    def __enter__(self) -> Explorer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def wait(self, timeout: float = 60.0) -> bool:
        """Whether planning and building are over within this time; for scripts and tests."""
        for job in (self._planning, self.state.job, self._survey):
            if job is not None and not job.wait(timeout):
                return False
        return True

    def _changed(self, names: frozenset[str]) -> None:
        with self.desk.guard(), self.desk.lock:
            if self.closed:
                return
            if names == {"job"}:
                self._job_moved()
                return
            if names == {"study"}:
                self._refresh_results()
                return
            self._show_choices()
            if names & {"model", "data"}:
                self._refresh_results()
            if self.state.ready:
                self._refresh()
            else:
                self._plan()

    def _show_choices(self) -> None:
        self.network.refresh()
        with self.desk.showing():
            for panel in (
                self.partition, self.precision, self.exclusion, self.profile, self.settings
            ):  # fmt: skip
                panel.choices_changed()

    def _job_moved(self) -> None:
        self.building.refresh()
        job = self.state.job
        if job is not None and not job.running:
            if job.error is not None:
                self.desk.tell(job.error)
            self._refresh_results()

    def _plan(self) -> None:
        """Type, shape and ask in a thread; the picture follows when it is done."""
        if self._planning is not None and self._planning.running:
            return
        self.partition.summary.value = _waiting("planning")
        self._planning = Job("plan", self._prepare, self._planned)
        self._planning.start()

    def _prepare(self, progress: Progress, cancel: Cancel) -> None:
        while True:
            asked = self.state.choices
            self.state.prepare(progress, cancel)
            if asked == self.state.choices or self.closed:
                return

    def _planned(self, job: Job) -> None:
        if job.running:
            return
        with self.desk.guard(), self.desk.lock:
            if self.closed:
                return
            if job.error is not None:
                self.desk.tell(job.error)
                self.partition.summary.value = _waiting("no plan: see the message above")
            elif self.state.ready:
                self._refresh()
            else:
                self._planning = None
                self._plan()

    def _surveyed(self, job: Job) -> None:
        if not job.running and job.error is None and not self.closed:
            with self.desk.guard(), self.desk.lock:
                self.settings.reported(job.result)

    def _refresh(self) -> None:
        """Bring everything up to date with a plan that is there."""
        self.partition.refresh()
        self._draw()
        self.node.refresh()
        if self.results.kind.value == "threshold curve":
            self.results.draw()
        self._refresh_twin()

    def _refresh_results(self) -> None:
        self.results.refresh()
        if self.state.ready:
            self._draw()
            self.node.refresh()
        self._refresh_twin()

    def _draw(self) -> None:
        """Bring the view up to date in one step; a new graph gets a new view."""
        graph, partition, built = self.state.graph, self.state.partition, self.state.built
        if self.view is None or self._drawn[0] is not graph:
            self._new_view(graph, partition)
        self.mode.layout.display = "" if built is not None else "none"
        shown_built = built if self.mode.value == LAYERS else None
        drawn = (graph, partition, built, shown_built)
        if self.view is not None and drawn != self._drawn:
            self.view.update(
                partition=partition,
                derived=shown_built.layers if shown_built is not None else None,
                overlays=overlays(built),
            )
        self._drawn = drawn

    def _mode_chosen(self) -> None:
        with self.desk.lock:
            if self.state.ready:
                self._draw()

    def _new_view(self, graph: Graph, partition: Partition) -> None:
        old = self.view
        self.view = view = GraphView(graph, partition=partition)
        self._drawn = (graph, partition, None, None)
        view.observe(self.desk.on(self._selected), "selection")
        # Nothing is taken out: ipywidgets fails on a child that goes while the page still makes it.
        self._opening.layout.display = "none"
        self._stage.children = (self._opening, self.mode, view)
        self.node.names_changed()
        if old is not None:
            old.close()

    def _selected(self) -> None:
        chosen = self.view.selection if self.view is not None else ()
        if chosen:
            self.node.ask(chosen[0])

    def _asked(self, node: str) -> None:
        """Mark the node that was typed, and bring it into view."""
        self.exclusion.select(node)
        if self.view is not None and self.view.selection[:1] != (node,):
            self.view.selection = (node,)
            self.view.center(node)

    def _show_built(self, built: Built) -> None:
        """The layers of a configuration beside the graph they come from."""
        if built.choices is not None:
            self.mode.value = LAYERS
        elif self.view is not None and self.state.ready:
            self._drawn = (self._drawn[0], None, None, None)
            self.view.update(derived=built.layers, overlays=overlays(built))

    def _still(self) -> dict[str, str]:
        """What a reader without a kernel sees: tables, and the picture where it is small."""
        parts, text = [], repr(self)
        with self.desk.guard():
            if self.state.ready:
                shown_now = bundle(self.state.partition)
                text = shown_now["text/plain"]
                parts = [shown_now["text/html"]]
                svg = self.view.static_svg() if self.view is not None else ""
                if 0 < len(svg) <= LARGEST_TWIN:
                    parts.append(markup.picture(svg, f"graph of {self.state.model.name}"))
            study = self.state.study
            if study is not None:
                parts.append(bundle(study)["text/html"])
        html = f'<div class="{self._token}">{"".join(parts)}</div>'
        return {"text/plain": text, "text/html": html}

    def _refresh_twin(self) -> None:
        """Draw the still picture once nothing has changed for a moment."""
        if self._timer is not None:
            self._timer.cancel()
        if self._twin is not None:
            self._timer = threading.Timer(TWIN_DELAY, self._draw_twin)
            self._timer.daemon = True
            self._timer.start()

    def _draw_twin(self) -> None:
        if self._twin is not None and not self.closed:
            self._twin.update(self._still(), raw=True)


def explore(
    model: ModelSource | None = None,
    data: DataSource = None,
    *,
    cache: Cache | bool = True,
    **choices: Any,
) -> Explorer:
    """The Explorer of a network, ready to be shown as the value of a cell.

    Running the cell again closes the Explorer it made before.

    Args:
        model: a model, a file, a network of the zoo, or None for the zoo's trained digit network.
        data: labelled data, ``digits``, ``noisy-digits``, an ``.npz`` file or a folder.
        cache: where engines are kept; True takes the usual folder, False keeps none.
        choices: what is chosen at first; fields of `workbench.widgets.choices.Choices`.

    Raises:
        ModelError: a model that cannot be opened.
        DataError: data that cannot be opened.
        ValueError: a choice outside its range.
    """
    source = "digits_inception" if model is None else model
    kept = cache if isinstance(cache, Cache) else Cache() if cache else None
    state = State(source, data if data is not None else usual_data(source), cache=kept, **choices)
    cell = _cell()
    earlier = _OPEN.pop(cell, None) if cell else None
    before = earlier() if earlier is not None else None
    if before is not None:
        before.close()
    made = Explorer(state)
    if cell:
        _OPEN[cell] = weakref.ref(made)
    return made


def _cell() -> str:
    """Identity of the notebook cell that runs, where the front end says it."""
    with suppress(Exception):
        from IPython.core.getipython import get_ipython

        shell = get_ipython()
        parent = shell.kernel.get_parent() if shell is not None else {}  # type: ignore[attr-defined]
        return str(parent.get("metadata", {}).get("cellId", ""))
    return ""


def _waiting(text: str) -> str:
    return f'<div role="status" class="workbench-quiet">{markup.escaped(text)} …</div>'


def _style() -> str:
    css = resources.files("workbench.widgets").joinpath("static", "explorer.css").read_text("utf-8")
    return f"<style>{markup.STYLE}{css}</style>"
