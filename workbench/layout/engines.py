"""Graphviz behind one function: DOT texts in, plain texts out, in a process that can be ended."""

from __future__ import annotations

import atexit
import contextlib
import importlib.util
import json
import os
import select
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from typing import Literal

from workbench.errors import CancelledError
from workbench.progress import Cancel

LayoutEngine = Literal["dot", "pygraphviz", "python"]

_TICK = 0.05


def engine_in_use() -> LayoutEngine:
    """Who lays out here: ``dot`` where it is on the path, else ``pygraphviz``, else ``python``."""
    if shutil.which("dot"):
        return "dot"
    return "pygraphviz" if importlib.util.find_spec("pygraphviz") else "python"


def drawn(
    sources: Sequence[str], engine: LayoutEngine, timeout: float, cancel: Cancel | None
) -> list[str | None]:
    """Graphviz's plain text for each DOT source; None for one it could not lay out in time.

    Raises:
        CancelledError: asked to stop; the process is ended.
    """
    if engine == "python" or not sources:
        return [None] * len(sources)
    run = _by_program if engine == "dot" else _by_library
    return run(sources, time.monotonic() + timeout, cancel)


def _by_program(sources: Sequence[str], end: float, cancel: Cancel | None) -> list[str | None]:
    command = ["dot", "-Tplain"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL) as process:
        data: bytes | None = "\n".join(sources).encode()
        out = b""
        while True:
            try:
                out, _ = process.communicate(data, timeout=_TICK)
                break
            except subprocess.TimeoutExpired:
                data = None
                if time.monotonic() > end or (cancel and cancel.requested):
                    process.kill()
                    out, _ = process.communicate()
                    break
    if cancel:
        cancel.check()
    answers: list[str | None] = [*out.decode(errors="replace").split("stop\n")[:-1]]
    return (answers + [None] * len(sources))[: len(sources)]


def _by_library(sources: Sequence[str], end: float, cancel: Cancel | None) -> list[str | None]:
    with _LIBRARY.lock:
        return [_LIBRARY.ask(source, end, cancel) for source in sources]


class _Library:
    """The child with pygraphviz; started on first use and again after it was ended."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.process: subprocess.Popen[bytes] | None = None
        self.owner = 0
        self.waiting = b""
        self.works = True

    def ask(self, source: str, end: float, cancel: Cancel | None) -> str | None:
        """The plain text for one source."""
        try:
            process = self._started(end, cancel)
            if process is None or process.stdin is None:
                return None
            process.stdin.write(json.dumps(source).encode() + b"\n")
            process.stdin.flush()
            return self._line(end, cancel)
        except OSError:
            self.stop()
            return None

    def _started(self, end: float, cancel: Cancel | None) -> subprocess.Popen[bytes] | None:
        if self.process and self.owner == os.getpid() and self.process.poll() is None:
            return self.process
        self.stop()
        if not self.works:
            return None
        self.process, self.owner, self.waiting = _child(), os.getpid(), b""
        # A wheel that cannot be loaded here is not asked again in this session.
        self.works = self._line(max(end, time.monotonic() + 20), cancel) == "ready"
        return self.process if self.works else None

    def _line(self, end: float, cancel: Cancel | None) -> str | None:
        stream = self.process.stdout if self.process else None
        if stream is None:
            return None
        while b"\n" not in self.waiting:
            ready, _, _ = select.select([stream], [], [], _TICK)
            if cancel and cancel.requested:
                self.stop()
                raise CancelledError("the layout was stopped as asked")
            if not ready and time.monotonic() > end:
                self.stop()
                return None
            if ready:
                got = os.read(stream.fileno(), 1 << 20)
                if not got:
                    self.stop()
                    return None
                self.waiting += got
        line, _, self.waiting = self.waiting.partition(b"\n")
        return json.loads(line)

    def stop(self) -> None:
        """End the child, if it is this process's."""
        process, self.process, self.waiting = self.process, None, b""
        if process and self.owner == os.getpid():
            process.kill()
            for stream in (process.stdin, process.stdout):
                if stream:
                    with contextlib.suppress(OSError):
                        stream.close()
            process.wait()


def _child() -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "workbench.layout.child"]
    pipe = subprocess.PIPE
    # Its own group: an interrupt typed at the notebook is for the kernel, not for the layout.
    return subprocess.Popen(
        command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, start_new_session=True
    )


_LIBRARY = _Library()
atexit.register(_LIBRARY.stop)
