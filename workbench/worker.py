"""A child process for what may crash, hang or eat the machine: hostile files, builds, first runs.

`Worker.call` runs one function of one module in the child and gives back what it returned. The
child has limits on time and memory; when it dies, the caller gets an error and the next call
starts a fresh child. It is a plain `python -m` process rather than `multiprocessing`, which would
run the caller's `__main__` again and so breaks in scripts without a guard and in notebooks.
Standard library only; it knows nothing of models.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import pickle
import selectors
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from workbench.errors import (
    WorkbenchError,
    WorkerDiedError,
    WorkerError,
    WorkerTimeoutError,
)
from workbench.progress import Cancel, Progress, silent
from workbench.text import shown

_HEADER = struct.Struct("<Q")
_POLL_SECONDS = 0.05
_WATCH_SECONDS = 0.5
_LOG_BYTES = 64 * 1024
_PIECE_BYTES = 1 << 20
_POSIX = os.name == "posix"


class Worker:
    """One child process, started at the first call and reused by later ones.

    Calls from several threads wait for one another.
    """

    def __init__(self, *, memory_bytes: int | None = None) -> None:
        """Make a worker; no process starts yet.

        Args:
            memory_bytes: address space the child may take on top of what it has when it starts
                (enforced where the operating system can: Linux). None sets no limit.
        """
        self._memory_bytes = memory_bytes
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = os.getpid()
        self._log: Any = None
        self._lock = threading.Lock()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def call(
        self,
        target: Callable[..., Any],
        *args: Any,
        timeout: float | None = None,
        progress: Progress = silent,
        cancel: Cancel | None = None,
    ) -> Any:
        """What `target(*args)` returns, run in the child.

        Args:
            target: a function at the top of an importable module. If it has a parameter named
                `progress`, it gets a callback whose events reach `progress` here.
            args: picklable values.
            timeout: seconds until the child is stopped; None waits for ever.
            progress: called in this thread with each event of the child.
            cancel: looked at 20 times a second; when set, the child is stopped.

        Raises:
            WorkerTimeoutError: the time limit passed.
            WorkerDiedError: the child died; the message has the signal and its last words.
            CancelledError: `cancel` was set.
            WorkbenchError: `target` raised one; it comes through as it was.
            WorkerError: `target` raised something else; the message names it.
            ValueError: a time limit that is not above 0.
        """
        if timeout is not None and not timeout > 0:
            raise ValueError(f"timeout is {timeout}; must be above 0 seconds, or None for no limit")
        with self._lock:
            process = self._start()
            wait = _Wait(timeout, cancel)
            try:
                self._send((target.__module__, target.__qualname__, args), process, wait)
                while True:
                    kind, value = self._receive(process, wait)
                    if kind != "event":
                        break
                    progress(value)
            except BaseException:
                self._stop()
                raise
        if kind == "result":
            return value
        raise value

    def close(self) -> None:
        """Stop the child. The worker can be used again; a new child starts then."""
        with self._lock:
            self._stop()

    @property
    def pid(self) -> int | None:
        """Process id of the child, None while there is none."""
        return self._process.pid if self._process else None

    def _start(self) -> subprocess.Popen[bytes]:
        if self._owner != os.getpid():
            # After a fork the child belongs to the other process: leave it alone.
            self._process, self._log, self._owner = None, None, os.getpid()
        if self._process is not None and self._process.poll() is None:
            return self._process
        self._stop()
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the child
        here = Path(__file__).resolve().parent.parent
        path = os.pathsep.join(filter(None, [str(here), os.environ.get("PYTHONPATH", "")]))
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "workbench.worker", str(self._memory_bytes or 0)],
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env={**os.environ, "PYTHONPATH": path},
            start_new_session=True,
        )
        # A child that does not read must not hold the caller past its time.
        os.set_blocking(self._process.stdin.fileno(), False)  # type: ignore[union-attr]
        return self._process

    def _stop(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(OSError):
                if _POSIX and process.poll() is None:
                    # It leads a session of its own: what it started goes with it.
                    os.killpg(process.pid, signal.SIGKILL)
                else:
                    process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                with contextlib.suppress(OSError):
                    pipe.close()  # type: ignore[union-attr]
        if self._log is not None:
            self._log.close()
            self._log = None

    def _send(self, message: Any, process: subprocess.Popen[bytes], wait: _Wait) -> None:
        assert process.stdin is not None
        # What an earlier call left there would be taken for this one's last words.
        self._log.seek(0)
        self._log.truncate()
        pipe = process.stdin.fileno()
        data = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
        try:
            for part in (_HEADER.pack(len(data)), data):
                rest = memoryview(part)
                while rest:
                    try:
                        rest = rest[os.write(pipe, rest[:_PIECE_BYTES]) :]
                    except BlockingIOError:
                        wait.until(pipe, selectors.EVENT_WRITE)
        except OSError as error:
            raise self._died(process) from error

    def _receive(self, process: subprocess.Popen[bytes], wait: _Wait) -> tuple[str, Any]:
        assert process.stdout is not None
        pipe = process.stdout.fileno()

        def read(size: int) -> bytearray:
            data = bytearray()
            while len(data) < size:
                if wait.until(pipe, selectors.EVENT_READ):
                    piece = os.read(pipe, min(size - len(data), _PIECE_BYTES))
                    if not piece:
                        raise self._died(process)
                    data += piece
            return data

        (size,) = _HEADER.unpack(read(_HEADER.size))
        return pickle.loads(read(size))

    def _died(self, process: subprocess.Popen[bytes]) -> WorkerDiedError:
        code = process.wait()
        how = f"signal {-code} ({_signal_name(-code)})" if code < 0 else f"exit status {code}"
        return WorkerDiedError(f"the worker process died: {how}{self._last_words()}")

    def _last_words(self) -> str:
        if self._log is None:
            return ""
        size = self._log.seek(0, os.SEEK_END)
        self._log.seek(max(0, size - _LOG_BYTES))
        lines = self._log.read().decode("utf-8", "replace").strip().splitlines()
        return f"; its last line was: {shown(lines[-1], 300)}" if lines else ""


class _Wait:
    """Waiting for a pipe, with an eye on the clock and on who may have asked to stop."""

    def __init__(self, timeout: float | None, cancel: Cancel | None) -> None:
        self._timeout = timeout
        self._deadline = None if timeout is None else time.monotonic() + timeout
        self._cancel = cancel

    def until(self, pipe: int, event: int) -> bool:
        """Whether the pipe got ready within a moment.

        Raises:
            WorkerTimeoutError: the time is over.
            CancelledError: somebody asked to stop.
        """
        if self._cancel is not None:
            self._cancel.check()
        if self._deadline is not None and time.monotonic() > self._deadline:
            raise WorkerTimeoutError(
                f"stopped after its time limit of {self._timeout:g} s; "
                "allow more time or give it less"
            )
        with selectors.DefaultSelector() as selector:
            selector.register(pipe, event)
            return bool(selector.select(_POLL_SECONDS))


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "unknown"


def _limit_memory(extra_bytes: int) -> None:
    if not extra_bytes or not sys.platform.startswith("linux"):
        return
    import resource

    with open("/proc/self/statm") as statm:
        used = int(statm.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + extra_bytes, used + extra_bytes))


def _portable(error: BaseException) -> BaseException:
    """The error itself where it is ours and survives pickling, else a `WorkerError` about it."""
    if isinstance(error, WorkbenchError):
        with contextlib.suppress(Exception):
            pickle.loads(pickle.dumps(error))
            return error
    words = traceback.format_exception_only(error)[-1].strip()
    return WorkerError(f"failed in the worker process: {shown(words, 2000)}")


def _serve() -> None:
    """Answer calls from standard input until it ends.

    Replies go to a private copy of standard output; the real one is joined to standard error, so
    that a library that prints cannot damage a reply.
    """
    calls = os.fdopen(os.dup(0), "rb")
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    _limit_memory(int(sys.argv[1]))

    def reply(kind: str, value: Any) -> None:
        data = pickle.dumps((kind, value), protocol=pickle.HIGHEST_PROTOCOL)
        replies.write(_HEADER.pack(len(data)) + data)
        replies.flush()

    while header := calls.read(_HEADER.size):
        module, name, args = pickle.loads(calls.read(_HEADER.unpack(header)[0]))
        try:
            target = getattr(importlib.import_module(module), name)
            options = {}
            if "progress" in _parameters(target):
                options["progress"] = lambda event: reply("event", event)
            result = target(*args, **options)
            reply("result", result)
        except BaseException as error:
            reply("error", _portable(error))


def _end_with(parent: int) -> None:
    """End this process, and what it started, when the one that started it is gone."""
    while os.getppid() == parent:
        time.sleep(_WATCH_SECONDS)
    if _POSIX:
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


def _parameters(target: Callable[..., Any]) -> tuple[str, ...]:
    """Names of what a Python function takes; none for one written in C."""
    code = getattr(target, "__code__", None)
    return code.co_varnames[: code.co_argcount + code.co_kwonlyargcount] if code else ()


if __name__ == "__main__":
    _serve()
