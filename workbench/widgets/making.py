"""The making of a scene off the kernel's main thread; the newest wish wins."""

from __future__ import annotations

import threading
from collections.abc import Callable

from workbench.partitioning.segments import collector_paused
from workbench.progress import Cancel
from workbench.widgets.scene import Scene


class Making(threading.Thread):
    """One scene that is being made."""

    def __init__(
        self,
        make: Callable[[Cancel], Scene],
        done: Callable[[Scene, Cancel], None],
        failed: Callable[[Making, Exception], None],
    ) -> None:
        """A thread that calls `make`, then one of the others."""
        super().__init__(name="workbench-layout", daemon=True)
        self.cancel = Cancel()
        self._make, self._done, self._failed = make, done, failed

    def run(self) -> None:
        """Make it and hand it over."""
        try:
            # Half of the time of a large scene would be the collector looking at graphs that stay;
            # it runs when the scene has been sent.
            with collector_paused():
                self._done(self._make(self.cancel), self.cancel)
        except Exception as error:
            # A thread has nobody above it to tell.
            self._failed(self, error)
