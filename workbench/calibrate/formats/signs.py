"""Signs for tables of files that keep magnitudes only.

ONNX Runtime fuses a convolution with its Relu only where the range behind them begins at zero, so
what can never be negative is told apart by the operators that make it.
"""

from __future__ import annotations

import numpy as np

from workbench.errors import ModelError
from workbench.graph import Node
from workbench.model import Model
from workbench.ranges import CalibrationTable, Range

_MAKERS = frozenset({"Abs", "Exp", "HardSigmoid", "Relu", "Sigmoid", "Softmax", "Softplus", "Sqrt"})
"""Operators that never give out a negative number."""

_KEEPERS = frozenset(
    {"Add", "AveragePool", "Concat", "Dropout", "Flatten", "GlobalAveragePool", "GlobalMaxPool",
     "Identity", "LRN", "Max", "MaxPool", "Mul", "Sum", "Reshape", "Squeeze", "Transpose",
     "Unsqueeze"}
)  # fmt: skip
"""Operators that give out none where all numbers that go in are none."""


def signed(table: CalibrationTable, model: Model) -> CalibrationTable:
    """The table with ranges that begin at 0 for tensors that are never negative."""
    found = _never_negative(model)
    changes = {
        name: Range(0.0, one.high)
        for name, one in table.ranges.items()
        if name in found and one.low == -one.high
    }
    return table.but(changes)


def _never_negative(model: Model) -> set[str]:
    graph, found = model.graph, set[str]()
    for i in graph.order:
        node = graph.nodes[i]
        if node.domain not in ("", "ai.onnx"):
            continue
        floats = [n for n in node.reads if graph.spec(n).dtype.startswith(("float", "bfloat"))]
        keeps = node.op_type in _KEEPERS and all(name in found for name in floats)
        if node.op_type in _MAKERS or keeps or _clips(model, node):
            found.update(node.makes)
    return found


def _clips(model: Model, node: Node) -> bool:
    """Whether a Clip cuts negative numbers off."""
    if node.op_type != "Clip":
        return False
    low = node.attributes.get("min")
    if len(node.inputs) > 1 and node.inputs[1]:
        try:
            low = np.ravel(model.weights(node.inputs[1]))[0]
        except ModelError:
            return False
    return low is not None and float(low) >= 0
