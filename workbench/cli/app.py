"""`workbench app`: the Explorer as a page of its own, by Voila, and nothing from elsewhere."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from workbench import scratch
from workbench.cli import common
from workbench.cli.lab import require, serve

DENIED = ("@voila-dashboards/jupyterlab-preview", "@jupyter-notebook/lab-extension")
"""Extensions that fail outside JupyterLab and only make noise on the page."""


def run(given: argparse.Namespace) -> int:
    """Serve the Explorer of a network; returns when it is stopped."""
    require("voila")
    require("ipywidgets")
    if given.model:
        common.open_model(given.model)
    with scratch.folder("app") as folder:
        notebook = folder / "workbench.ipynb"
        notebook.write_text(json.dumps(page(given.model, given.data)), encoding="utf-8")
        command = [
            sys.executable, "-m", "voila", str(notebook),
            f"--VoilaConfiguration.extension_denylist={list(DENIED)!r}",
        ]  # fmt: skip
        environment = dict(os.environ)
        if template(folder):
            command.append("--template=workbench")
            found = environment.get("JUPYTER_PATH")
            environment["JUPYTER_PATH"] = str(folder) + (os.pathsep + found if found else "")
        port = given.port or 8866
        common.note(f"the Explorer is at http://localhost:{port}; Ctrl-C stops it")
        return serve(command, port, given.no_browser, environment)


def page(model: str | None, data: str | None) -> dict[str, object]:
    """The notebook that shows the Explorer, at work in this folder: what is saved goes there."""
    asked = ", ".join(
        [repr(_absolute(model)) if model else "None"]
        + ([f"data={_absolute(data)!r}"] if data else [])
    )
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return {
        "cells": [
            _cell("folder", f"import os\n\nos.chdir({str(Path.cwd())!r})"),
            _cell("explorer", f"import workbench as wb\n\nwb.explore({asked})"),
        ],
        "metadata": {"kernelspec": kernel, "title": "workbench"},
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def _cell(name: str, source: str) -> dict[str, object]:
    return {
        "cell_type": "code",
        "execution_count": None,
        "id": name,
        "metadata": {},
        "outputs": [],
        "source": source,
    }


def _absolute(name: str) -> str:
    return str(Path(name).resolve()) if Path(name).exists() else name


def template(folder: Path) -> bool:
    """Write Voila's own template without what it fetches from a CDN; whether it was found."""
    from jupyter_core.paths import jupyter_path

    for place in jupyter_path("voila", "templates"):
        source = Path(place) / "lab" / "index.html.j2"
        if source.is_file():
            lines = source.read_text(encoding="utf-8").splitlines(keepends=True)
            target = folder / "voila" / "templates" / "workbench"
            target.mkdir(parents=True)
            (target / "conf.json").write_text('{"base_template": "lab"}', encoding="utf-8")
            kept = "".join(line for line in lines if "https://" not in line)
            (target / "index.html.j2").write_text(kept, encoding="utf-8")
            return True
    return False
