"""What the GPU suite saw, as JSON and Markdown; written after every test, so nothing is lost."""

from __future__ import annotations

import datetime
import json
import os
import platform
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import pytest

from workbench.backends import cuda, gpus
from workbench.backends.tensorrt import TensorRT
from workbench.measure.gpu import look

TITLES = {
    "latency": "Latency by CUDA events, microseconds",
    "accuracy": "Outputs against ONNX Runtime on the CPU in FP32",
    "hybrid": "Hybrids: cost over the sum of the parts, copies, overhead",
    "torch": "PyTorch, same networks and weights, other process, microseconds",
    "builds": "Builds",
    "facts": "What else was seen",
}


@dataclass
class Report:
    """Facts, tables and the outcome of every test."""

    OUTCOME: ClassVar = pytest.StashKey[tuple[str, float, str]]()
    folder: Path
    about: dict[str, Any]
    tables: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    tests: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def begun(cls) -> Report:
        folder = Path(os.environ.get("WORKBENCH_GPU_REPORT", "out/gpu"))
        folder.mkdir(parents=True, exist_ok=True)
        return cls(folder, _about())

    def add(self, table: str, **row: Any) -> None:
        """A row of a table."""
        print(table, row)
        self.tables.setdefault(table, []).append(row)
        self.write()

    def ended(self, item: pytest.Item) -> None:
        outcome, seconds, words = item.stash.get(self.OUTCOME, ("?", 0.0, ""))
        name = item.nodeid.split("tests/gpu/")[-1]
        words = "" if outcome == "passed" else words[-1500:]
        self.tests.append(
            {"test": name, "outcome": outcome, "seconds": round(seconds, 2), "words": words}
        )
        self.write()

    def write(self) -> None:
        """Both files, whole."""
        name = os.environ.get("WORKBENCH_GPU_REPORT_NAME", "gpu")
        content = {"about": self.about, "tables": self.tables, "tests": self.tests}
        (self.folder / f"{name}.json").write_text(json.dumps(content, indent=1, default=str))
        (self.folder / f"{name}.md").write_text(self.markdown())

    def markdown(self) -> str:
        passed = sum(test["outcome"] == "passed" for test in self.tests)
        lines = ["# TensorRT on a GPU: what was run", ""]
        lines += [f"* {key}: {value}" for key, value in self.about.items()]
        lines += [f"* tests: {passed} of {len(self.tests)} passed", ""]
        for name, title in TITLES.items():
            if name in self.tables:
                lines += [f"## {title}", "", *_table(self.tables[name]), ""]
        lines += ["## Tests", "", "| test | outcome | seconds |", "|---|---|---|"]
        for test in self.tests:
            lines.append(f"| {test['test']} | {test['outcome']} | {test['seconds']} |")
        for test in self.tests:
            if test["words"]:
                lines += ["", f"### {test['test']}", "", "```", test["words"], "```"]
        return "\n".join(lines) + "\n"


def _table(rows: list[dict[str, Any]]) -> list[str]:
    columns = list(dict.fromkeys(key for row in rows for key in row))
    lines = [f"| {' | '.join(columns)} |", "|" + "---|" * len(columns)]
    return lines + [f"| {' | '.join(_cell(row.get(key, '')) for key in columns)} |" for row in rows]


def _cell(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value).replace("|", "/")


def _about() -> dict[str, Any]:
    import onnxruntime

    about: dict[str, Any] = {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "device": ", ".join(f"{gpu} (CUDA {gpu.driver})" for gpu in gpus.devices()),
        "python": platform.python_version(),
        "onnxruntime": onnxruntime.__version__,
    }
    if not cuda.why_not():
        about["tensorrt"] = TensorRT().title
        about["cupy"] = cuda.library().__version__
        about["driver"] = _driver()
        about["gpu at the start"] = asdict(look())
    return about


def _driver() -> str:
    try:
        import pynvml
    except ImportError:
        return "not told, nvidia-ml-py is not installed"
    pynvml.nvmlInit()
    try:
        return str(pynvml.nvmlSystemGetDriverVersion())
    finally:
        pynvml.nvmlShutdown()
