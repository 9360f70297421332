"""Networks as values: load, look at, cut, fix shapes, count, save. The only place that knows ONNX.

`load` reads a file in a guarded child process; everything else is a method of `Model` or a
function of one.
"""

from workbench.model.core import Model
from workbench.model.counting import NodeCost, Statistics, statistics
from workbench.model.limits import Limits
from workbench.model.loading import from_proto, load
from workbench.model.opsets import OpsetReport, opset_report

__all__ = [
    "Limits", "Model", "NodeCost", "OpsetReport", "Statistics", "from_proto", "load",
    "opset_report", "statistics",
]  # fmt: skip
