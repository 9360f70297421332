"""TensorRT: what it takes, and why not the rest.

`TensorRT` asks the parser of the TensorRT that is installed here (TensorRT-RTX answers and builds
on a machine with no GPU); `SupportTable` answers for a version that is not here, from the published
operator tables. The library is imported in the child process that asks it, and never with this
package.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workbench.backends.tensorrt.backend import TensorRT
    from workbench.backends.tensorrt.table import SupportTable

__all__ = ["SupportTable", "TensorRT"]

_HOME = {"TensorRT": "backend", "SupportTable": "table"}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
