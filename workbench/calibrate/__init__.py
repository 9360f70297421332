"""From data to ranges: run a network, count the values of its tensors, choose where to clip.

`collect` runs once and gives histograms; every method makes its table from them without running
again. Tables are values (`workbench.ranges`) that are described, compared, written to and read from
the files of TensorRT, Paddle2ONNX and ONNX Runtime (`workbench.calibrate.formats`).
"""

from __future__ import annotations

from workbench.calibrate.checking import check
from workbench.calibrate.collecting import collect
from workbench.calibrate.formats import from_quantized, read, write
from workbench.calibrate.histogram import Histogram
from workbench.calibrate.histograms import Histograms
from workbench.calibrate.items import Data
from workbench.calibrate.looking import (
    Description,
    Difference,
    Row,
    TableDiff,
    describe,
    diff,
)
from workbench.calibrate.methods import METHODS
from workbench.calibrate.settling import Convergence, Step, convergence
from workbench.calibrate.watching import activations
from workbench.ranges import CalibrationTable, Range

__all__ = [
    "METHODS", "CalibrationTable", "Convergence", "Data", "Description", "Difference", "Histogram",
    "Histograms", "Range", "Row", "Step", "TableDiff", "activations", "check", "collect",
    "convergence", "describe", "diff", "from_quantized", "read", "write",
]  # fmt: skip
