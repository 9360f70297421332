"""Which TensorRT is here and what it does, found by trying it in a child process."""

import subprocess
import sys

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
