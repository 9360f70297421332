"""The one child process in which everything that reads an untrusted file runs."""

from __future__ import annotations

import atexit
import threading
from collections.abc import Callable
from typing import Any

from workbench.errors import ModelError, WorkerDiedError, WorkerError, WorkerTimeoutError
from workbench.model.limits import Limits
from workbench.worker import Worker

_workers: dict[int, Worker] = {}
"""By memory limit."""

_lock = threading.Lock()


def call(target: Callable[..., Any], *args: Any, limits: Limits = Limits()) -> Any:
    """What `target(*args)` returns, run in the child, which stays warm for the next call.

    Raises:
        ModelError: what `target` raised, or the child died or ran past its time.
    """
    with _lock:
        if not _workers:
            atexit.register(close)
        worker = _workers.setdefault(limits.memory_bytes, Worker(memory_bytes=limits.memory_bytes))
    try:
        return worker.call(target, *args, timeout=limits.seconds)
    except WorkerTimeoutError as error:
        raise ModelError(
            f"reading and checking it took longer than {limits.seconds:g} s and was stopped; "
            "if the file is trusted, allow more with Limits(seconds=...)"
        ) from error
    except WorkerDiedError as error:
        raise ModelError(
            f"reading it killed the process that checks files ({error}); the file is damaged or "
            "made to do harm, or needs more than Limits(memory_bytes=...) allows"
        ) from error
    except WorkerError as error:
        raise ModelError(
            f"checking it failed in a way nobody foresaw ({error}); the file is damaged, or this "
            "is a fault of the workbench: please report it with the file"
        ) from error


def close() -> None:
    """Stop the child processes; the next call starts a new one."""
    with _lock:
        for worker in _workers.values():
            worker.close()
        _workers.clear()
