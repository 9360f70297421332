"""The static picture beside a widget in a notebook, for readers without a kernel or a script.

JupyterLab shows no other format of a widget's own output when a notebook is opened again, only that
its model is not found; so the picture is an output of its own, renewed in place by its display id.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

_DELAY = 0.8
"""Seconds without a change before a picture is drawn anew."""


class Twins:
    """The pictures of one widget, as many as it is displayed."""

    def __init__(self, bundle: Callable[[], dict[str, str]]) -> None:
        """Pictures that are made by `bundle`: contents by media type."""
        self._bundle = bundle
        self._handles: list[Any] = []
        self._timer: threading.Timer | None = None
        self._lock = threading.Lock()

    def display(self) -> None:
        """Put the picture into the output of the running cell."""
        from IPython.display import display

        self._handles.append(display(self._bundle(), raw=True, display_id=True))

    def renew(self) -> None:
        """Draw the pictures anew once nothing has changed for a moment."""
        self.stop()
        with self._lock:
            if self._handles:
                self._timer = threading.Timer(_DELAY, self._draw)
                self._timer.daemon = True
                self._timer.start()

    def stop(self) -> None:
        """Draw nothing that is still waiting."""
        with self._lock:
            if self._timer:
                self._timer.cancel()

    def _draw(self) -> None:
        bundle = self._bundle()
        for handle in self._handles:
            handle.update(bundle, raw=True)
