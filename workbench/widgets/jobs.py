"""Long work in a thread of its own: told of, cancelled, waited for. Knows no widget."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from workbench.errors import CancelledError
from workbench.progress import Cancel, Event, Progress

KEPT = 500
"""Lines of a log that are kept."""

Work = Callable[[Progress, Cancel], Any]


class Job:
    """One piece of work in a daemon thread.

    Attributes:
        name: what it does, for people.
        cancel: set it to stop the work.
        log: seconds since the start and the event, of the last steps; of a step that counts, when
            it began and how far it came.
        result: what the work returned.
        error: what it raised, cancellation included; None while it runs and if it did well.
    """

    def __init__(self, name: str, work: Work, listener: Callable[[Job], None]) -> None:
        """Prepare; `start` begins.

        Args:
            name: what it does.
            work: called with a progress callback and a cancel flag in a new thread.
            listener: called in that thread after each event and once when it is over.
        """
        self.name = name
        self.cancel = Cancel()
        self.log: deque[tuple[float, Event]] = deque(maxlen=KEPT)
        self.result: Any = None
        self.error: BaseException | None = None
        self._work = work
        self._listener = listener
        self._begun = time.monotonic()
        self._ended: float | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"workbench {name}", daemon=True)

    def start(self) -> None:
        """Begin the work."""
        self._thread.start()

    @property
    def running(self) -> bool:
        """Whether the work goes on."""
        return not self._over.is_set()

    @property
    def cancelled(self) -> bool:
        """Whether it ended because it was asked to."""
        return isinstance(self.error, CancelledError)

    @property
    def seconds(self) -> float:
        """Time since the start, up to the end."""
        return (self._ended or time.monotonic()) - self._begun

    def wait(self, timeout: float | None = None) -> bool:
        """Whether the work is over within this time in seconds, and its listener told.

        Always False in the thread that does the work, which cannot wait for itself.
        """
        if threading.current_thread() is self._thread:
            return False
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _tell(self, event: Event) -> None:
        self.cancel.check()
        begun = self.seconds
        if self.log and _same_step(self.log[-1][1], event):
            begun = self.log.pop()[0]
        self.log.append((begun, event))
        self._listener(self)

    def _run(self) -> None:
        try:
            self.result = self._work(self._tell, self.cancel)
        except BaseException as error:
            self.error = error
        finally:
            self._ended = time.monotonic()
            self._over.set()
            self._listener(self)


def _same_step(one: Event, other: Event) -> bool:
    return (one.phase, one.detail, one.total) == (other.phase, other.detail, other.total)
