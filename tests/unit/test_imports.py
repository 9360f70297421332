import json
import subprocess
import sys

import pytest

HEAVY = ("numpy", "onnx", "onnxruntime", "openvino", "matplotlib", "tensorrt_rtx", "torch")
JUPYTER = ("IPython", "ipywidgets", "anywidget", "jupyter_client", "ipykernel", "traitlets")


def _loaded_after(code: str) -> set[str]:
    """Top-level packages in a fresh interpreter after running `code`."""
    script = f"import json, sys\n{code}\nprint(json.dumps(sorted(sys.modules)))"
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return {name.split(".")[0] for name in json.loads(done.stdout.splitlines()[-1])}


def test_the_package_alone_imports_nothing_heavy():
    assert not _loaded_after("import workbench") & {*HEAVY, *JUPYTER}


def test_graph_and_partitioning_need_the_standard_library_only():
    assert not _loaded_after("import workbench.graph, workbench.partitioning") & {*HEAVY, *JUPYTER}


def test_the_core_imports_no_jupyter_package():
    modules = ("model", "data", "zoo", "backends", "hybrid", "measure", "study", "plot", "testing")
    code = "import " + ", ".join(f"workbench.{name}" for name in modules)
    assert not _loaded_after(code) & set(JUPYTER)


def test_backends_are_imported_without_the_libraries_behind_them():
    names = ("reference", "onnxruntime", "openvino", "tensorrt")
    code = "import " + ", ".join(f"workbench.backends.{name}" for name in names)
    assert not _loaded_after(code) & {"onnxruntime", "openvino", "tensorrt", "tensorrt_rtx"}


@pytest.mark.parametrize("package", [*HEAVY[:2], "json"])
def test_these_tests_would_notice(package: str):
    assert package in _loaded_after(f"import {package}")


def test_every_public_name_is_there():
    import workbench

    for name in workbench.__all__:
        assert getattr(workbench, name) is not None
    with pytest.raises(AttributeError, match="no attribute"):
        workbench.nothing
