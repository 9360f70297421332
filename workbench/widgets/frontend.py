"""The front end of the graph view as texts: plain JavaScript and CSS, no build, nothing fetched."""

from __future__ import annotations

from functools import cache
from importlib import resources

from workbench.widgets.scene_palette import css_text

SCRIPTS = ("graph_dom.js", "graph_pane.js", "graph_hands.js", "graph_panel.js", "graph_view.js")


@cache
def static(name: str) -> str:
    """A file of the front end."""
    return (resources.files("workbench.widgets") / "static" / name).read_text("utf-8")


@cache
def script() -> str:
    """The front end as one script, without the line that makes it a module."""
    return "\n".join(static(name) for name in SCRIPTS)


@cache
def styles() -> str:
    """The style sheet, colours of the palette included."""
    return static("graph.css") + css_text()
