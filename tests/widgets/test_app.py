"""`workbench lab` and `workbench app`, up to where a server would start."""

import ast
import json
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
        n for n in ast.walk(ast.parse(made["cells"][0]["source"])) if isinstance(n, ast.Call)
    ]  # type: ignore[index]
    assert ast.literal_eval(call.args[0]) == str(tmp_path / "it's.onnx")
    assert ast.literal_eval(call.keywords[0].value) == "digits"
    assert "wb.explore(None)" in app.page(None, None)["cells"][0]["source"]  # type: ignore[index]
    assert "'resnet50'" in app.page("resnet50", None)["cells"][0]["source"]  # type: ignore[index]


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
    with pytest.raises(MissingDependencyError, match=r"pip install 'workbench\[lab\]'"):
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
