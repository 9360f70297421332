"""`GraphView`: the widget with two linked pictures of a network.

Python owns meaning: the scene, colours, words. The browser owns what is looked at. Traits whose
name starts with an underscore are the wire between the two; the page redraws when `_rev` changes.
Callbacks may come on any thread (JupyterLab runs some in a subshell), so one lock guards a view.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from workbench.errors import CancelledError, GraphError, WorkbenchError
from workbench.graph import Graph
from workbench.partitioning import Partition
from workbench.partitioning.segments import collector_paused
from workbench.progress import Cancel
from workbench.text import listed, plural, shown
from workbench.widgets import export
from workbench.widgets.export_page import html_text
from workbench.widgets.export_part import WHOLE, Part
from workbench.widgets.frontend import script, styles
from workbench.widgets.hearing import hear
from workbench.widgets.making import Making
from workbench.widgets.scene import (
    Scene,
    Subject,
    details_json,
    known_overlays,
    left_groups,
    names_json,
    paint_json,
    scene_of,
)
from workbench.widgets.scene_overlay import Overlay
from workbench.widgets.scene_pane import Pane, pane_json
from workbench.widgets.twin import Twins

LARGE = 8_000
"""From this many nodes on a scene is made on a thread of its own."""

PAGE = 400
"""Boxes of one picture in the static picture that a notebook keeps."""

_SAME: Any = object()


def _packed(value: object, _: object) -> str:
    """A large trait as one text on the wire: Jupyter would walk every number in it, twice."""
    return json.dumps(value, separators=(",", ":"))


class GraphView(anywidget.AnyWidget):
    """A network and what became of it, side by side and linked.

    On the left the original, engines as coloured regions; on the right the fused network, engines
    as boxes that open and close. Selecting something marks its counterparts in the other.

    Attributes:
        selection: names of the selected original nodes; both ways.
        overlay: what the colours show: ``partition``, ``reason``, ``precision``, ``bytes`` or the
            name of an overlay given; both ways.
        opened_blocks: keys of the blocks shown open on the left.
        opened_engines: names of the first original nodes of the engines shown open on the right.
        theme: ``auto`` follows the page.
        height: of the pictures, in pixels.
        rendered: revision of the scene that the page has drawn.
    """

    _esm = script() + "\nexport default { render: renderGraphView };\n"
    _css = styles()

    _names = traitlets.Dict().tag(sync=True, to_json=_packed)
    _left = traitlets.Dict().tag(sync=True, to_json=_packed)
    _right = traitlets.Dict().tag(sync=True, to_json=_packed)
    _paint = traitlets.Dict().tag(sync=True, to_json=_packed)
    _details = traitlets.Dict().tag(sync=True)
    _marked = traitlets.List(traitlets.Int()).tag(sync=True)
    _rev = traitlets.Int(0).tag(sync=True)
    _busy = traitlets.Unicode("").tag(sync=True)
    _notice = traitlets.Unicode("").tag(sync=True)
    _twin = traitlets.Unicode("").tag(sync=True)

    overlay = traitlets.Unicode("partition").tag(sync=True)
    theme = traitlets.Enum(("auto", "light", "dark"), "auto").tag(sync=True)
    height = traitlets.Int(560, min=240, max=4000).tag(sync=True)
    rendered = traitlets.Int(0).tag(sync=True)
    selection = traitlets.Tuple()
    opened_blocks = traitlets.Tuple()
    opened_engines = traitlets.Tuple()

    def __init__(
        self,
        original: Graph,
        derived: Graph | None = None,
        partition: Partition | None = None,
        *,
        overlays: Mapping[str, Overlay] | None = None,
        overlay: str = "partition",
        fold: bool | None = None,
        theme: str = "auto",
        height: int = 560,
    ) -> None:
        """A view of a graph.

        Args:
            original: the network.
            derived: layers of engines, each with its origin, e.g. `Hybrid.layers()`; without it
                the right side shows the partition.
            partition: the division of `original`.
            overlays: values by node to colour by, under the names of the menu.
            overlay: the one to begin with.
            fold: whether repeated blocks start as one box; default from 400 nodes on.
            theme: ``light``, ``dark`` or ``auto``.
            height: of the pictures, in pixels.

        Raises:
            GraphError: a partition of another graph.
            ValueError: an overlay that is not there.
        """
        subject = Subject(original, derived, partition, overlays)
        self._lock = threading.RLock()
        self._subject = subject
        self._blocks = left_groups(original, fold)
        self._own: tuple[Graph | None, dict[str, Overlay]] | None = None
        self._scene: Scene | None = None
        self._work: Making | None = None
        self._twins = Twins(self._twin_bundle)
        super().__init__(theme=theme, height=height, _twin=f"wb-twin-{uuid.uuid4().hex[:12]}")
        self._names = names_json(original)
        self.overlay = overlay
        self.on_msg(self._hear)
        self.observe(self._repaint, "overlay")
        self.observe(self._mark, "selection")
        self.observe(self._reopen, ["opened_blocks", "opened_engines"])
        self._refresh(left=True)

    @property
    def original(self) -> Graph:
        """The network."""
        return self._subject.original

    @property
    def scene(self) -> Scene:
        """The scene that is shown; waits for one that is being made.

        Raises:
            CancelledError: the user stopped its layout before there was any.
        """
        self.wait()
        if self._scene is None:
            raise CancelledError("the layout was stopped; call update() to start it again")
        return self._scene

    def update(
        self,
        *,
        partition: Partition | None = _SAME,
        derived: Graph | None = _SAME,
        overlays: Mapping[str, Overlay] | None = _SAME,
    ) -> None:
        """Show another partition, other layers or other overlays; what is not given stays.

        The picture of the original stays where it is; only colours and the right side are sent.

        Raises:
            GraphError: a partition of another graph.
        """
        with self._lock:
            old = self._subject
            self._subject = Subject(
                old.original,
                old.derived if derived is _SAME else derived,
                old.partition if partition is _SAME else partition,
                old.overlays if overlays is _SAME else overlays,
            )
        self._refresh()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the newest scene is there; whether it is. At once for small graphs."""
        work = self._work
        if work is not None and work is not threading.current_thread():
            work.join(timeout)
            return not work.is_alive()
        return True

    def center(self, node: str) -> None:
        """Bring an original node into view in every page that shows this view.

        Raises:
            GraphError: the graph has no such node.
        """
        self._subject.original.node(node)
        self.send({"do": "center", "origin": self._subject.original.position[node]})

    def close(self) -> None:
        """End the view and what it is doing."""
        self.stop()
        self._twins.stop()
        super().close()

    def static_svg(self, *, theme: str = "light") -> str:
        """Both pictures as one SVG without scripts, for a page: at most `PAGE` boxes of each.

        These are the nearest to the selection, else the first ones; the drawing says so. `save`
        writes all of them.
        """
        part = Part(near=self._marked, most=PAGE, hint='view.save("graph.svg") has all')
        return export.svg_text(self.scene, self.overlay, theme=theme, part=part)

    def to_html(self, *, title: str | None = None) -> str:
        """One stand-alone interactive page: no kernel, no request, no other file."""
        return html_text(self._subject, self._blocks, overlay=self.overlay, title=title)

    def save(
        self,
        path: str | os.PathLike[str],
        *,
        side: str = "left",
        near: Iterable[str] = (),
        steps: int = 3,
    ) -> Path:
        """Write what is shown, every box of it, by the ending: ``.svg .png .pdf .dot .html``.

        Args:
            path: where to.
            side: which picture a DOT file holds, ``left`` or ``right``.
            near: names of original nodes; SVG, PNG and PDF then hold only what is around them.
            steps: how many edges around.

        Raises:
            GraphError: `near` names a node that is not there.
            ValueError: another ending.
        """
        path = Path(path)
        if path.suffix.lower() == ".html":
            path.write_text(self.to_html(), "utf-8")
            return path
        places = [self.original.position[self.original.node(name).name] for name in near]
        part = Part(near=places, steps=steps) if places else WHOLE
        return export.save(self.scene, path, overlay=self.overlay, side=side, part=part)

    # --- scenes ------------------------------------------------------------------------------

    def _refresh(self, *, left: bool = False) -> None:
        """Make the scene anew and send it; a large one on a thread, the newest wish wins."""
        with self._lock:
            if self._work:
                self._work.cancel.set()
                self._work = None
            keep = None if left or self._scene is None else self._scene.left
            if len(self._subject.original.nodes) < LARGE:
                with collector_paused():
                    self._publish(self._made(keep, None))
                return
            self._busy = f"Laying out {plural(len(self._subject.original.nodes), 'node')} …"
            self._work = Making(
                lambda cancel: self._made(keep, cancel), self._arrived, self._failed
            )
            self._work.start()

    def _arrived(self, scene: Scene, cancel: Cancel) -> None:
        with self._lock:
            if not cancel.requested:
                self._publish(scene)

    def _failed(self, work: Making, error: Exception) -> None:
        with self._lock:
            if self._work is work:
                stopped = isinstance(error, CancelledError)
                words = "The layout was stopped; the old picture stays."
                self._busy, self._notice = "", words if stopped else shown(error, 600)

    def _made(self, left: Any, cancel: Cancel | None) -> Scene:
        subject = self._subject
        if self._own is None or self._own[0] is not subject.derived:
            self._own = subject.derived, known_overlays(subject.original, subject.derived)
        return scene_of(
            subject,
            blocks=self._blocks,
            opened_left=frozenset(self.opened_blocks),
            opened_right=frozenset(self.opened_engines),
            left=left,
            known=self._own[1],
            cancel=cancel,
        )

    def _publish(self, scene: Scene) -> None:
        with self._lock:
            rev = self._rev + 1
            fresh = self._scene is None or self._scene.left is not scene.left
            self._scene = scene
            overlay = self.overlay if self.overlay in scene.choices else "partition"
            paint = paint_json(scene, overlay, rev)
            with self.hold_sync():
                if fresh:
                    self._left = pane_json(scene.left, rev)
                self._right = pane_json(scene.right, rev)
                self._paint = paint
                self.overlay = overlay
                self._busy = self._notice = ""
                self._rev = rev
        self._twins.renew()

    def _repaint(self, _: object) -> None:
        with self._lock, self._reported():
            if self._scene is None or self._paint.get("overlay") == self.overlay:
                return
            paint = paint_json(self._scene, self.overlay, self._rev + 1)
            with self.hold_sync():
                self._paint = paint
                self._rev += 1
        self._twins.renew()

    def _reopen(self, change: Mapping[str, Any]) -> None:
        self._refresh(left=change["name"] == "opened_blocks")

    # --- selection ---------------------------------------------------------------------------

    @traitlets.validate("selection")
    def _known(self, proposal: Mapping[str, Any]) -> tuple[str, ...]:
        names = tuple(dict.fromkeys(proposal["value"]))
        position = self._subject.original.position
        strange = [name for name in names if name not in position]
        if strange:
            raise GraphError(
                f"graph {shown(self._subject.original.name)} has no node {listed(strange)}; "
                "select original nodes by their names"
            )
        return names

    def _mark(self, _: object) -> None:
        position = self._subject.original.position
        self._marked = [position[name] for name in self.selection]

    # --- messages of the page ----------------------------------------------------------------

    def _hear(self, _: object, message: Mapping[str, Any], __: object) -> None:
        with self._reported():
            hear(self, message)

    def pane(self, side: str, rev: int) -> Pane | None:
        """The picture a page speaks of; None where it is one that is gone."""
        sent = self._left if side == "left" else self._right
        if self._scene is None or sent.get("rev") != rev:
            return None
        return self._scene.left if side == "left" else self._scene.right

    def details(self, side: str, place: int, rev: int) -> dict[str, Any]:
        """What is known of a box of a picture that is shown; nothing of one that is gone."""
        with self._lock:
            pane = self.pane(side, rev)
            if self._scene is None or pane is None or not 0 <= place < len(pane.items):
                return {}
            return details_json(self._scene, side, place)

    def stop(self) -> None:
        """Stop the layout under way; the old picture stays."""
        if self._work:
            self._work.cancel.set()

    @contextlib.contextmanager
    def _reported(self) -> Any:
        """What goes wrong in a callback is said in the view; a notebook would lose it."""
        try:
            yield
        except (WorkbenchError, ValueError, KeyError, TypeError) as error:
            self._notice = shown(error, 600)

    # --- notebooks ---------------------------------------------------------------------------

    def twin_html(self) -> str:
        """The static picture that stands in for the widget where no kernel or script runs.

        Its class is hidden by the page while the widget itself is shown.
        """
        return export.figure_html(self.static_svg(), self._twin, self._paint["summary"])

    def _ipython_display_(self) -> None:
        from IPython.display import display

        self.wait()
        found = self._repr_mimebundle_()
        data, metadata = found if isinstance(found, tuple) else (found or {}, {})
        display(data, metadata=metadata, raw=True)
        if self._scene is not None:
            self._twins.display()

    def _twin_bundle(self) -> dict[str, str]:
        return {"text/html": self.twin_html(), "text/plain": self._paint["summary"]}
