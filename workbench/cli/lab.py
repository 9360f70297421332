"""`workbench lab`: JupyterLab on the notebooks."""

from __future__ import annotations

import argparse
import importlib.util
import subprocess
import sys
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
    return serve([*command, f"--port={given.port}"] if given.port else command, given.no_browser)


def require(package: str) -> None:
    """Refuse to go on without a package of the notebook side.

    Raises:
        MissingDependencyError: it is not installed.
    """
    if importlib.util.find_spec(package) is None:
        raise MissingDependencyError(
            f"{package} is not installed; run `pip install 'workbench[lab]'`", backend=package
        )


def serve(
    command: list[str], no_browser: bool = False, environment: dict[str, str] | None = None
) -> int:
    """Run a server in the foreground until it ends; its exit status. Ctrl-C is a normal end."""
    if no_browser:
        command = [*command, "--no-browser"]
    with subprocess.Popen(command, env=environment) as server:
        try:
            return server.wait()
        except KeyboardInterrupt:
            server.terminate()
            server.wait()
            return 0
