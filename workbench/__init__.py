"""See, change and measure how TensorRT takes over a neural network.

Public names are loaded on first use (PEP 562), so `import workbench` costs next to nothing.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workbench import (
        backends,
        cache,
        calibrate,
        data,
        errors,
        graph,
        hybrid,
        measure,
        model,
        partitioning,
        plot,
        precision,
        ranges,
        report,
        sensitivity,
        study,
        testing,
        transform,
        widgets,
        zoo,
    )
    from workbench.backends.base import BuildConfig, ShapeRange
    from workbench.data import LabelledData
    from workbench.errors import WorkbenchError
    from workbench.hybrid import build, build_engine
    from workbench.model import Model, load, statistics
    from workbench.partitioning import Exclusion, explain, partition, plan, what_if, why_apart
    from workbench.widgets.explorer import explore

__version__ = "0.1.0"

_HOMES = {
    "BuildConfig": "backends.base",
    "Exclusion": "partitioning",
    "LabelledData": "data",
    "Model": "model",
    "ShapeRange": "backends.base",
    "WorkbenchError": "errors",
    "build": "hybrid",
    "build_engine": "hybrid",
    "explain": "partitioning",
    "explore": "widgets",
    "load": "model",
    "partition": "partitioning",
    "plan": "partitioning",
    "statistics": "model",
    "what_if": "partitioning",
    "why_apart": "partitioning",
}
"""Public name -> the module it comes from; every other public name is a module."""

__all__ = [
    "BuildConfig", "Exclusion", "LabelledData", "Model", "ShapeRange", "WorkbenchError", "backends",
    "build", "build_engine", "cache", "calibrate", "data", "errors", "explain", "explore", "graph",
    "hybrid", "load", "measure", "model", "partition", "partitioning", "plan", "plot", "precision",
    "ranges", "report", "sensitivity", "statistics", "study", "testing", "transform", "what_if",
    "why_apart", "widgets", "zoo",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"workbench.{_HOMES[name]}"), name)
    if name in __all__:
        return importlib.import_module(f"workbench.{name}")
    raise AttributeError(f"module 'workbench' has no attribute {name!r}")


def load_ipython_extension(shell: Any) -> None:
    """``%load_ext workbench``: values show themselves as tables and pictures in a notebook."""
    importlib.import_module("workbench.widgets.hook").register(shell)


def _in_notebook() -> None:
    """The same without asking, where IPython runs already; else nothing is imported."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if shell is not None:
        load_ipython_extension(shell)


_in_notebook()


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
