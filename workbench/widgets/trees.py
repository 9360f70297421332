"""What is done to a widget and to everything in it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from workbench.widgets.graphview import GraphView


def walk(widget: Any) -> Iterator[Any]:
    """A widget's parts, the innermost first, then the widget itself."""
    for child in getattr(widget, "children", ()):
        yield from walk(child)
    yield widget


def close_all(widget: Any) -> None:
    """Close a widget and everything in it."""
    for part in list(walk(widget)):
        part.close()


def send_all(widget: Any) -> None:
    """Tell the page the present state of everything in a widget; what it knows changes nothing.

    Between asking the kernel for all states and being ready for messages a page that loads is deaf.
    What a thread changes in that time is lost, so it is said again once the page shows the widget.
    """
    for part in list(walk(widget)):
        if not isinstance(part, GraphView):
            part.layout.send_state()
            part.send_state()
        elif part.rendered != part._rev:
            part.send_state()
