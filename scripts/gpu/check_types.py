"""Check the TensorRT backend against type stubs of every TensorRT version there are stubs of.

    python scripts/gpu/check_types.py [FOLDER]

FOLDER holds ``tensorrt-8.6.pyi`` and the like, made from NVIDIA's bindings; they are not part of
this repository. Without the folder the check is skipped, and says so. `api.py` has Any for each
type; a copy of the backend gets the real ones in its place.
"""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BACKEND = Path("workbench/backends/tensorrt")
TYPES = {
    "Builder": "Builder",
    "Config": "IBuilderConfig",
    "Network": "INetworkDefinition",
    "Engine": "ICudaEngine",
    "Context": "IExecutionContext",
}


def main(folder: Path) -> int:
    """Exit status: 0 where every version fits, or there are no stubs."""
    stubs = sorted(folder.glob("*.pyi"))
    if not stubs:
        print(f"check of types against TensorRT skipped: no stubs in {folder}")
        return 0
    return max(checked(stub) for stub in stubs)


def checked(stub: Path) -> int:
    """Exit status of pyright on a copy of the backend with the types of one version."""
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        shutil.copytree(ROOT / "workbench", place / "workbench")
        (place / "trt_under_check.pyi").write_text(stub.read_text())
        (place / BACKEND / "api.py").write_text(api(stub))
        (place / "pyrightconfig.json").write_text(
            f'{{"venvPath": "{ROOT}", "venv": ".venv", "pythonVersion": "3.11", '
            f'"include": ["{BACKEND}"], "reportMissingModuleSource": false}}'
        )
        pyright = Path(sys.executable).with_name("pyright")
        done = subprocess.run([pyright, "-p", place], capture_output=True, text=True)
        said = done.stdout.replace(f"{place}{os.sep}", "")
        print(f"{stub.stem}: {said.strip().splitlines()[-1]}")
        if done.returncode:
            print(said)
        return done.returncode


def api(stub: Path) -> str:
    """`api.py` with the types of a stub: the module as a class of its public names."""
    lines = ["import trt_under_check as _trt"]
    lines += [f"{name} = _trt.{real}" for name, real in TYPES.items()]
    lines += ["class Library:", "    __version__: str"]
    for node in ast.parse(stub.read_text()).body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            lines.append(f"    {node.name} = _trt.{node.name}")
        elif isinstance(node, ast.FunctionDef):
            lines.append(f"    {node.name} = staticmethod(_trt.{node.name})")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    given = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("WORKBENCH_TRT_STUBS", "")
    sys.exit(main(Path(given) if given else ROOT.parent / "shared" / "trt" / "stubs"))
