"""Which TensorRT is here and what it does, found by trying it in a child process."""

import ast
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from workbench.backends.tensorrt import adapter

pytestmark = pytest.mark.skipif(
    "tensorrt_rtx" not in adapter.installed(), reason="tensorrt_rtx is not installed"
)


@pytest.fixture(scope="module")
def abilities():
    return next(found for found in adapter.survey() if found.package == "tensorrt_rtx")


def test_it_parses_and_builds_on_any_machine(abilities):
    assert abilities.parse
    assert abilities.build
    assert abilities.title == f"TensorRT-RTX {abilities.version}"


def test_what_it_cannot_do_has_a_reason_and_a_remedy(abilities):
    assert abilities.run or (abilities.why_not and abilities.remedy)
    if not abilities.gpus:
        assert not abilities.run
        assert "NVIDIA" in abilities.why_not
        assert "NVIDIA GPU" in abilities.remedy


def test_choosing_and_asking_for_the_version_imports_no_tensorrt():
    code = (
        "import sys; from workbench.backends.tensorrt import TensorRT;"
        "TensorRT('tensorrt_rtx').version;"
        "assert 'tensorrt_rtx' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_the_installed_one_is_chosen():
    assert adapter.choose() in adapter.installed()
    assert adapter.choose("tensorrt_rtx") == "tensorrt_rtx"


def test_a_logger_keeps_only_what_it_was_asked_for():
    trt = adapter.module("tensorrt_rtx")
    log = adapter.logger(trt, keep=("ERROR",))
    log.log(trt.ILogger.Severity.INFO, "nothing")
    log.log(trt.ILogger.Severity.ERROR, "something")
    assert log.lines == [("ERROR", "something")]


def run(code: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        check=True, timeout=120, capture_output=True, text=True, env=os.environ | environment,
    )  # fmt: skip
    return done.stdout


def test_without_any_tensorrt_the_import_works_and_use_says_what_to_install():
    said = run(
        "import sys\n"
        "sys.modules.update(dict.fromkeys(('tensorrt', 'tensorrt_rtx', 'tensorrt_bindings')))\n"
        "from workbench.backends.tensorrt import SupportTable, TensorRT\n"
        "from workbench.errors import MissingDependencyError\n"
        "print(SupportTable('8.6').name)\n"
        "try: TensorRT()\n"
        "except MissingDependencyError as error: print(error)\n"
    )
    assert said.startswith("tensorrt-8.6\n")
    assert "pip install tensorrt-rtx" in said
    assert "pip install tensorrt (needs an NVIDIA GPU)" in said


def test_a_broken_package_is_passed_over_for_one_that_works(tmp_path):
    broken = tmp_path / "tensorrt"
    broken.mkdir()
    (broken / "__init__.py").write_text("raise ImportError('libnvinfer.so.11: not found')\n")
    said = run(
        "from workbench.backends.tensorrt import TensorRT, adapter\n"
        "print(TensorRT().title)\n"
        "print([found.why_not for found in adapter.survey()][0])\n",
        PYTHONPATH=str(tmp_path),
    )
    assert said.startswith("TensorRT-RTX 1.")
    assert "tensorrt is installed but cannot be imported: libnvinfer.so.11: not found" in said


@pytest.mark.parametrize(
    ("module", "right", "wrong"),
    [
        ("runtime.py", "execute_async_v3", "execute_async_v4"),
        ("asking.py", "supports_model_v2", "supports_model_v7"),
        ("building.py", "trt.OnnxParser(", "trt.OnnxParserr("),
        ("inspecting.py", "create_engine_inspector", "create_inspector"),
    ],
)
def test_the_check_against_the_stubs_sees_a_name_that_no_version_has(
    tmp_path, monkeypatch, module, right, wrong
):
    root = Path(__file__).parents[2]
    stubs = sorted((root.parent / "shared" / "trt" / "stubs").glob("*.pyi"))
    if not stubs:
        pytest.skip("no stubs of TensorRT here")
    place = root / "scripts" / "gpu" / "check_types.py"
    spec = importlib.util.spec_from_file_location("check_types", place)
    assert spec is not None
    assert spec.loader is not None
    check = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(check)
    trees = [ast.parse(stub.read_text()) for stub in stubs]
    assert check.misspelt(trees) == []
    copy = tmp_path / check.BACKEND
    shutil.copytree(root / check.BACKEND, copy)
    changed = (copy / module).read_text().replace(right, wrong)
    assert wrong in changed
    (copy / module).write_text(changed)
    monkeypatch.setattr(check, "ROOT", tmp_path)
    assert any(f"{module}:" in line for line in check.misspelt(trees))
