"""The notebook application: linked graphs, the Explorer, and rich displays.

The only place that knows Jupyter. Names are loaded on first use, so that what needs no browser
(`State`, the displays) costs no widget library.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from workbench.errors import MissingDependencyError

if TYPE_CHECKING:
    from workbench.widgets.explorer import Explorer, explore
    from workbench.widgets.graphview import GraphView
    from workbench.widgets.state import State

_PUBLIC = {
    "Explorer": "workbench.widgets.explorer",
    "GraphView": "workbench.widgets.graphview",
    "State": "workbench.widgets.state",
    "explore": "workbench.widgets.explorer",
}

__all__ = ["Explorer", "GraphView", "State", "explore"]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        try:
            return getattr(importlib.import_module(_PUBLIC[name]), name)
        except ModuleNotFoundError as error:
            raise _explained(error) from error
    raise AttributeError(f"module 'workbench.widgets' has no attribute {name!r}")


def _explained(error: ModuleNotFoundError) -> ImportError:
    """What to install, where a notebook package is what is missing."""
    if error.name not in ("ipywidgets", "anywidget", "traitlets", "IPython"):
        return error
    return MissingDependencyError(
        f"{error.name} is not installed, and the application needs it; run "
        "`make lab` in the checkout, or `pip install -e '.[lab]'` there",
        backend="notebook",
    )
