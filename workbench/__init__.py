"""See, change and measure how TensorRT takes over a neural network.

Public names are loaded on first use (PEP 562), so `import workbench` costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_PUBLIC = {
    "load": "workbench.model",
    "Model": "workbench.model",
    "statistics": "workbench.model",
    "partition": "workbench.partitioning",
    "plan": "workbench.partitioning",
    "explain": "workbench.partitioning",
    "why_apart": "workbench.partitioning",
    "what_if": "workbench.partitioning",
    "Exclusion": "workbench.partitioning",
    "BuildConfig": "workbench.backends.base",
    "ShapeRange": "workbench.backends.base",
    "build": "workbench.hybrid",
    "build_engine": "workbench.hybrid",
    "LabelledData": "workbench.data",
    "WorkbenchError": "workbench.errors",
}
_MODULES = frozenset(
    {"backends", "cache", "data", "errors", "graph", "hybrid", "measure", "model", "partitioning"}
    | {"plot", "study", "testing", "zoo"}
)

__all__ = sorted({*_PUBLIC, *_MODULES})


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    if name in _MODULES:
        return importlib.import_module(f"workbench.{name}")
    raise AttributeError(f"module 'workbench' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
