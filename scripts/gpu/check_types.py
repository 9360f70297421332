"""Check the TensorRT backend against type stubs of every TensorRT version there are stubs of.

    python scripts/gpu/check_types.py [FOLDER]

FOLDER holds ``tensorrt-8.6.pyi`` and the like, made from NVIDIA's bindings; they are not part of
this repository. Without the folder the check is skipped, and says so. `api.py` has Any for each
type; a copy of the backend gets the real ones in its place.

Much of the backend serves versions that differ, and holds TensorRT's objects as Any. For these a
second check is by name: what is asked of an object that is called `parser` has to be a member of
`OnnxParser` in some version.
"""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
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

OBJECTS = {
    "builder": "Builder", "parser": "OnnxParser", "builder_config": "IBuilderConfig",
    "refitter": "Refitter", "inspector": "EngineInspector", "runtime": "Runtime",
    "_runtime": "Runtime", "profile": "IOptimizationProfile", "tensor": "ITensor",
    "engine": "ICudaEngine", "context": "IExecutionContext", "network": "INetworkDefinition",
}  # fmt: skip
"""What an object is called in the backend -> its class."""
OURS = {
    "backend.py": {"engine"}, "engine.py": {"engine"}, "session.py": {"engine"},
    "live.py": {"runtime"}, "binding.py": {"engine"}, "skeleton.py": {"tensor"},
    "older.py": {"tensor"}, "options.py": {"profile"}, "refitting.py": {"parser"},
}  # fmt: skip
"""Modules in which a name means something of ours."""


def main(folder: Path) -> int:
    """Exit status: 0 where every version fits, or there are no stubs."""
    stubs = sorted(folder.glob("*.pyi"))
    if not stubs:
        print(f"check of types against TensorRT skipped: no stubs in {folder}")
        return 0
    unknown = misspelt([ast.parse(stub.read_text()) for stub in stubs])
    print(f"members by name: {len(unknown)} unknown to every version", *unknown, sep="\n  ")
    return max(bool(unknown), *(checked(stub) for stub in stubs))


def misspelt(stubs: Sequence[ast.Module]) -> list[str]:
    """Places where the backend asks TensorRT for what no version has."""
    members: dict[str, set[str]] = {"": set()}
    for stub in stubs:
        for node in stub.body:
            if isinstance(node, ast.ClassDef):
                members[""].add(node.name)
                members.setdefault(node.name, set()).update(_members(node))
            elif isinstance(node, ast.FunctionDef):
                members[""].add(node.name)
    every = set().union(*members.values())
    found = []
    for path in sorted((ROOT / BACKEND).glob("*.py")):
        for line, kind, name in _asked(ast.parse(path.read_text()), OURS.get(path.name, set())):
            known = every if kind is None else members.get(kind, set())
            if name not in known and not name.startswith("__"):
                found.append(f"{BACKEND / path.name}:{line}: {kind or 'TensorRT'} has no {name}")
    return found


def _members(node: ast.ClassDef) -> Iterator[str]:
    for one in node.body:
        if isinstance(one, ast.FunctionDef | ast.ClassDef):
            yield one.name
        elif isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name):
            yield one.target.id
        elif isinstance(one, ast.Assign):
            yield from (target.id for target in one.targets if isinstance(target, ast.Name))


def _asked(tree: ast.Module, ours: set[str]) -> Iterator[tuple[int, str | None, str]]:
    """Line, class (``""``: the module itself, None: any) and name of each member asked for."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            holder = node.value
            called = holder.attr if isinstance(holder, ast.Attribute) else getattr(holder, "id", "")
            if called == "trt":
                yield node.lineno, "", node.attr
            elif called in OBJECTS and called not in ours:
                yield node.lineno, OBJECTS[called], node.attr
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") == "hasattr":
            holder, name = node.args
            value = name.value if isinstance(name, ast.Constant) else None
            if isinstance(value, str) and getattr(holder, "id", "") != "os":
                yield node.lineno, None, value


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
