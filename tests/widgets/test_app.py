"""`workbench lab` and `workbench app`, up to where a server would start."""

import ast
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from workbench import zoo
from workbench.cli import app, lab, main, parser
from workbench.errors import MissingDependencyError


def test_the_page_is_a_valid_notebook_that_names_its_file_absolutely(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    zoo.load("digits_inception").save("it's.onnx")
    made = app.page("it's.onnx", "digits")
    nbformat.validate(nbformat.reads(json.dumps(made), as_version=4))
    (call,) = [
        n for n in ast.walk(ast.parse(made["cells"][1]["source"])) if isinstance(n, ast.Call)
    ]  # type: ignore[index]
    assert ast.literal_eval(call.args[0]) == str(tmp_path / "it's.onnx")
    assert ast.literal_eval(call.keywords[0].value) == "digits"
    assert f"chdir({str(tmp_path)!r})" in made["cells"][0]["source"]  # type: ignore[index]
    assert "wb.explore(None)" in app.page(None, None)["cells"][1]["source"]  # type: ignore[index]
    assert "'resnet50'" in app.page("resnet50", None)["cells"][1]["source"]  # type: ignore[index]


def test_the_template_fetches_nothing(tmp_path: Path):
    pytest.importorskip("voila", reason="voila comes with the lab extra")
    assert app.template(tmp_path)
    (text,) = [path.read_text() for path in tmp_path.rglob("index.html.j2")]
    assert "https://" not in text
    assert "voila_setup_labextensions" in text


def test_a_wrong_model_is_refused_before_a_server_starts(capsys: pytest.CaptureFixture[str]):
    pytest.importorskip("voila", reason="voila comes with the lab extra")
    assert main(["app", "resnet5"]) == 1
    assert "did you mean resnet50" in capsys.readouterr().err


def test_what_is_missing_is_said_with_what_to_install():
    with pytest.raises(MissingDependencyError, match=r"make lab`.*pip install -e '\.\[lab\]'"):
        lab.require("no_such_package")


def test_a_folder_that_is_not_there_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    pytest.importorskip("jupyterlab", reason="jupyterlab comes with the lab extra")
    assert main(["lab", str(tmp_path / "none")]) == 1
    assert "no folder" in capsys.readouterr().err


def test_the_options_are_there():
    given = parser().parse_args(["app", "resnet50", "--port", "9000", "--no-browser"])
    assert (given.model, given.port, given.no_browser) == ("resnet50", 9000, True)
    assert parser().parse_args(["lab"]).folder is None
    assert lab.NOTEBOOKS.is_dir()


def test_a_port_that_is_taken_is_told(capsys: pytest.CaptureFixture[str]):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        assert main(["app", "digits_resnet", "--no-browser", "--port", port]) == 1
    assert f"port {port}" in capsys.readouterr().err


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_the_server_ends_with_the_command(sent: int, tmp_path: Path):
    """The server here is any program that goes on; it says its process number."""
    lines = (
        "import sys",
        "from workbench.cli.lab import serve",
        "code = 'import os, time; print(os.getpid(), flush=True); time.sleep(600)'",
        "sys.exit(serve([sys.executable, '-c', code]))",
    )
    command = [sys.executable, "-c", "\n".join(lines)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as served:
        assert served.stdout is not None
        server = int(served.stdout.readline())
        served.send_signal(sent)
        assert served.wait(30) == 0
    with pytest.raises(ProcessLookupError):
        os.kill(server, 0)
