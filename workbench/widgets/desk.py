"""What the panels of an Explorer share: the state, and one place where errors are told in words."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import ipywidgets as ipw

from workbench import markup
from workbench.errors import CancelledError, WorkbenchError
from workbench.widgets.state import State

EXPECTED = (WorkbenchError, ValueError, TypeError, OSError, RuntimeError)
"""Errors whose message is meant for the user; others also show where they came from."""

UNSET = ""
"""Stands for None in a selection, where None would mean that nothing is selected."""


class Desk:
    """The state, a line for errors, and a guard that keeps every callback from failing unseen.

    Attributes:
        state: what is shown.
        widget: the line for errors; nothing while all is well.
        lock: held while panels are brought up to date; never while work is waited for.
    """

    def __init__(self, state: State) -> None:
        """An empty line."""
        self.state = state
        self.lock = threading.RLock()
        self._local = threading.local()
        self._words = ipw.HTML(layout=ipw.Layout(flex="1"))
        close = ipw.Button(description="Dismiss", layout=ipw.Layout(width="80px"))
        close.on_click(lambda _: self.clear())
        self.widget = ipw.HBox([self._words, close], layout=ipw.Layout(display="none"))
        self.widget.add_class("workbench-error")

    def clear(self) -> None:
        """Take the message away."""
        self.widget.layout.display = "none"
        self._words.value = ""

    def tell(self, error: BaseException) -> None:
        """Show an error in words; being cancelled is none."""
        if isinstance(error, CancelledError):
            return
        text = str(error) or type(error).__name__
        parts = [f'<div role="alert"><b>{markup.escaped(text, 3000)}</b></div>']
        log = getattr(error, "log", "")
        if log:
            parts.append(markup.folded("what the backend said", _pre(log)))
        if not isinstance(error, EXPECTED):
            where = "".join(traceback.format_exception(error))
            parts = [
                f'<div role="alert"><b>Something in the workbench went wrong: '
                f"{markup.escaped(type(error).__name__)}: {markup.escaped(text, 1000)}</b></div>",
                markup.folded("where, for a bug report", _pre(where)),
            ]
        self._words.value = "".join(parts)
        self.widget.layout.display = ""

    @contextmanager
    def guard(self) -> Iterator[None]:
        """Errors inside are told instead of raised; interrupting the kernel stays an interrupt."""
        try:
            yield
        except Exception as error:
            self.tell(error)

    @contextmanager
    def showing(self) -> Iterator[None]:
        """While fields are set to what the state says, in this thread, no callback acts on them."""
        before = getattr(self._local, "showing", False)
        self._local.showing = True
        try:
            yield
        finally:
            self._local.showing = before

    def on(self, action: Callable[[], Any]) -> Callable[[Any], None]:
        """A callback for a button or a trait: clears the last error, then acts, guarded.

        It does nothing for what `showing` sets: nobody chose that.
        """

        def callback(_: Any) -> None:
            if getattr(self._local, "showing", False):
                return
            self.clear()
            with self.guard():
                action()

        return callback


def _pre(text: str) -> str:
    lines = text.splitlines()[-60:]
    return f"<pre>{'<br>'.join(markup.escaped(line) for line in lines)}</pre>"


def titled(title: str, *children: ipw.Widget) -> ipw.VBox:
    """A group of controls under a heading."""
    head = ipw.HTML(f"<h4>{markup.escaped(title)}</h4>")
    box = ipw.VBox([head, *children])
    box.add_class("workbench-group")
    return box


def wide() -> ipw.Layout:
    """A layout of its own, as wide as there is room: a layout that is shared hides with others."""
    return ipw.Layout(width="auto")


def split(text: str) -> tuple[str, ...]:
    """Names joined by commas, without spaces around them."""
    return tuple(part.strip() for part in text.split(",") if part.strip())
