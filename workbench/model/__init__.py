"""Networks as values: load, look at, cut, fix shapes, count, save. The only place that knows ONNX.

`load` reads a file in a guarded child process; everything else is a method of `Model` or a
function of one. Names are loaded on first use (PEP 562): the child needs only the checks.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workbench.model.core import Model
    from workbench.model.counting import NodeCost, Statistics, statistics
    from workbench.model.editing import Draft, with_opset
    from workbench.model.limits import Limits
    from workbench.model.loading import from_proto, load
    from workbench.model.opsets import OpsetReport, opset_report

_HOMES = {
    "Draft": "editing", "Limits": "limits", "Model": "core", "NodeCost": "counting",
    "OpsetReport": "opsets", "Statistics": "counting", "from_proto": "loading", "load": "loading",
    "opset_report": "opsets", "statistics": "counting", "with_opset": "editing",
}  # fmt: skip

__all__ = [
    "Draft", "Limits", "Model", "NodeCost", "OpsetReport", "Statistics", "from_proto", "load",
    "opset_report", "statistics", "with_opset",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
