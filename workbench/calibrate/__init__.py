"""From data to ranges: run a network, count the values of its tensors, choose where to clip.

`collect` runs once and gives histograms; every method makes its table from them without running
again. Tables are values (`workbench.ranges`) that are described, compared, written to and read from
the files of TensorRT, Paddle2ONNX and ONNX Runtime (`workbench.calibrate.formats`).
"""

from __future__ import annotations

from workbench.calibrate.collecting import collect
from workbench.calibrate.histogram import Histogram
from workbench.calibrate.histograms import Histograms
from workbench.calibrate.methods import METHODS
from workbench.calibrate.watching import activations
from workbench.ranges import CalibrationTable, Range

__all__ = [
    "METHODS", "CalibrationTable", "Histogram", "Histograms", "Range", "activations", "collect",
]  # fmt: skip
