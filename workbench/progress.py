"""Progress of long work: plain values through a plain callback, and a way to stop it.

Work says which phase it is in and, where it is known, how many steps of how many are done. There
is no percentage, because nobody knows it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from workbench.errors import CancelledError


@dataclass(frozen=True, slots=True)
class Event:
    """One step of long work."""

    phase: str
    """What is going on, e.g. ``build engine``."""
    detail: str = ""
    """Which one, safe to print."""
    done: int | None = None
    """Steps finished, where steps are known."""
    total: int | None = None
    """Steps in all, where they are known."""


Progress = Callable[[Event], None]
"""Called from the thread that does the work; an exception it raises stops that work."""


class Cancel:
    """A flag that one thread sets and the work of another one looks at."""

    def __init__(self) -> None:
        self._flag = threading.Event()

    def set(self) -> None:
        """Ask the work to stop; it raises `CancelledError` within two seconds."""
        self._flag.set()

    @property
    def requested(self) -> bool:
        """Whether the work was asked to stop."""
        return self._flag.is_set()

    def check(self) -> None:
        """Raise `CancelledError` if the work was asked to stop."""
        if self.requested:
            raise CancelledError("stopped as asked; everything finished before is kept")


def silent(event: Event) -> None:
    """The progress callback that says nothing."""
