"""Real Chromium, and real JupyterLab and Voila on this machine, for the browser tests.

Everything runs on 127.0.0.1 with folders of its own; every request that leaves the machine is
stopped and remembered, and a test that caused one fails, as does one with an error on the console.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
import pytest

ROOT = Path(__file__).parents[2]
SHOTS = Path(os.environ.get("WORKBENCH_SHOTS", ROOT / "out" / "shots"))
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
_QUIET = ("favicon",)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark everything here; say why it is skipped where there is no browser."""
    try:
        import playwright  # noqa: F401
    except ImportError:
        why = "Playwright is not installed: make environment-dev"
    else:
        why = "" if CHROMIUM else "no Chromium on the path: apt-get install chromium"
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)
            if why:
                item.add_marker(pytest.mark.skip(reason=why))


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@dataclass
class Watch:
    """What a page did that it should not."""

    outside: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


@pytest.fixture
def open_page(browser: Any) -> Iterator[Callable[..., Any]]:
    """`open_page(url, **context options)`: a page that is watched."""
    contexts, watches = [], []

    def opened(url: str, *, allow: tuple[str, ...] = (), **options: Any) -> Any:
        options.setdefault("viewport", {"width": 1400, "height": 900})
        context = browser.new_context(reduced_motion="reduce", **options)
        watch = Watch()

        def route(one: Any) -> None:
            target = one.request.url
            if target.startswith(("file:", "data:", "blob:")) or "//127.0.0.1:" in target:
                one.continue_()
            else:
                watch.outside.append(target)
                one.abort()

        context.route("**/*", route)
        page = context.new_page()

        def heard(message: Any) -> None:
            if message.type == "error" and not any(w in message.text for w in (*_QUIET, *allow)):
                watch.errors.append(message.text)

        page.on("console", heard)
        page.on("pageerror", lambda error: watch.errors.append(str(error)))
        contexts.append(context)
        watches.append((watch, allow))
        page.goto(url)
        return page

    yield opened
    for context in contexts:
        context.close()
    for watch, allow in watches:
        assert [u for u in watch.outside if not any(w in u for w in allow)] == []
        assert watch.errors == []


@pytest.fixture(scope="session")
def shots() -> Path:
    """Where screenshots are kept."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    return SHOTS


def _environment(home: Path) -> dict[str, str]:
    folders = {
        name: str(home / name.lower())
        for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")
    }
    folders["WORKBENCH_CACHE"] = str(home / "cache")
    folders["JUPYTERLAB_SETTINGS_DIR"] = str(home / "settings")
    folders["JUPYTERLAB_WORKSPACES_DIR"] = str(home / "workspaces")
    quiet = home / "settings" / "@jupyterlab" / "apputils-extension"
    quiet.mkdir(parents=True, exist_ok=True)
    (quiet / "notification.jupyterlab-settings").write_text('{"fetchNews": "false"}')
    tracker = home / "settings" / "@jupyterlab" / "notebook-extension"
    tracker.mkdir(parents=True, exist_ok=True)
    (tracker / "tracker.jupyterlab-settings").write_text('{"windowingMode": "none"}')
    return {**os.environ, **folders, "OMP_NUM_THREADS": "1"}


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def _stop(process: subprocess.Popen[bytes]) -> None:
    for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        if process.poll() is None:
            os.killpg(process.pid, sign)
            try:
                process.wait(3)
            except subprocess.TimeoutExpired:
                continue


@dataclass
class Server:
    """A running server of notebooks."""

    url: str
    token: str
    folder: Path

    def notebook(self, name: str, *cells: str) -> Path:
        """Write a notebook of code cells into the served folder."""
        book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])
        book.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
        path = self.folder / name
        nbformat.write(book, path)
        return path


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """JupyterLab on a folder of its own."""
    pytest.importorskip("jupyterlab", reason="JupyterLab is not installed: make environment-dev")
    home, folder = tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("notebooks")
    port, token = _free_port(), secrets.token_hex(16)
    command = [
        sys.executable, "-m", "jupyterlab", "--allow-root", "--no-browser", "--ip=127.0.0.1",
        f"--port={port}", f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={folder}",
        "--LabApp.expose_app_in_browser=True", "--ServerApp.port_retries=0",
    ]  # fmt: skip
    with _served(command, port, home):
        yield Server(f"http://127.0.0.1:{port}", token, folder)


@contextlib.contextmanager
def _served(command: list[str], port: int, home: Path) -> Iterator[str]:
    """A server in folders of its own, stopped at the end; its address."""
    log = home / "log.txt"
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, env=_environment(home), stdout=out, stderr=out, start_new_session=True
        )
    try:
        end = time.monotonic() + 120
        while True:
            assert process.poll() is None, log.read_text()[-2000:]
            assert time.monotonic() < end, f"the server did not start: {log.read_text()[-2000:]}"
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}/"
    finally:
        _stop(process)


@pytest.fixture
def serve(tmp_path: Path) -> Callable[..., contextlib.AbstractContextManager[str]]:
    """`with serve(module, *arguments) as url`: a Python module that serves on a free port."""

    def served(module: str, *arguments: str) -> contextlib.AbstractContextManager[str]:
        port = _free_port()
        command = [sys.executable, "-m", module, *arguments, f"--port={port}", "--no-browser"]
        return _served(command, port, tmp_path)

    return served


@pytest.fixture
def open_lab(lab: Server, open_page: Callable[..., Any]) -> Callable[..., Any]:
    """`open_lab(name, *cells)`: a notebook with these cells, run, in JupyterLab."""

    def opened(name: str, *cells: str, run: bool = True, **options: Any) -> Any:
        if cells:
            lab.notebook(name, *cells)
        page = open_page(f"{lab.url}/lab/tree/{name}?reset&token={lab.token}", **options)
        page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=60_000)
        page.wait_for_function("() => window.jupyterapp !== undefined")
        if run:
            page.wait_for_function(
                "() => { const c = window.jupyterapp.shell.currentWidget?.sessionContext?.session"
                "?.kernel; return c && c.status === 'idle'; }",
                timeout=60_000,
            )
            page.evaluate("window.jupyterapp.commands.execute('notebook:run-all-cells')")
        return page

    return opened
