"""`workbench lab`: JupyterLab on the notebooks."""

from __future__ import annotations

import argparse
import importlib.util
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from workbench.cli import common
from workbench.errors import MissingDependencyError

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
"""Beside the package in a checkout; not there in an installed copy."""


def run(given: argparse.Namespace) -> int:
    """Open JupyterLab; returns when it is stopped."""
    require("jupyterlab")
    folder = given.folder or (NOTEBOOKS if NOTEBOOKS.is_dir() else Path.cwd())
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is no folder; give one with notebooks")
    common.note(f"JupyterLab on {folder}; stop it with Ctrl-C")
    command = [sys.executable, "-m", "jupyterlab", f"--notebook-dir={folder}"]
    return serve(command, given.port, given.no_browser)


def require(package: str) -> None:
    """Refuse to go on without a package of the notebook side.

    Raises:
        MissingDependencyError: it is not installed.
    """
    if importlib.util.find_spec(package) is None:
        raise MissingDependencyError(
            f"{package} is not installed; run `make lab` in the checkout, or "
            "`pip install -e '.[lab]'` there",
            backend=package,
        )


def serve(
    command: list[str],
    port: int | None = None,
    no_browser: bool = False,
    environment: dict[str, str] | None = None,
) -> int:
    """Run a server in the foreground until it ends; its exit status.

    Ctrl-C is a normal end, and so is being terminated; the server never outlives this process then.

    Raises:
        OSError: the port is taken.
    """
    if port:
        _refuse_taken(port)
        command = [*command, f"--port={port}"]
    if no_browser:
        command = [*command, "--no-browser"]
    with _terminated_like_ctrl_c(), subprocess.Popen(command, env=environment) as server:
        try:
            return server.wait()
        except KeyboardInterrupt:
            return 0
        finally:
            server.terminate()
            server.wait()


def _refuse_taken(port: int) -> None:
    """Servers take the next free port instead, where nobody looks."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise OSError(
                f"port {port} of this machine cannot be had ({error.strerror}); stop what serves "
                "there, or give another with --port"
            ) from error


@contextmanager
def _terminated_like_ctrl_c() -> Iterator[None]:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
