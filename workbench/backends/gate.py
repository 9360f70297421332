"""The door of a session: one run at a time, and none after it is closed."""

from __future__ import annotations

import threading

from workbench.errors import RunError


class Gate:
    """A context manager around each run; a second thread waits until the first is through."""

    def __init__(self, backend: str) -> None:
        self._backend = backend
        self._lock = threading.Lock()
        self._closed = False

    def __enter__(self) -> None:
        self._lock.acquire()
        if self._closed:
            self._lock.release()
            raise RunError(
                "this session is closed; open another one with engine.session()",
                backend=self._backend,
            )

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def close(self) -> bool:
        """Let nobody in any more, once the run inside is through; whether it was open before."""
        with self._lock:
            was_open, self._closed = not self._closed, True
        return was_open
