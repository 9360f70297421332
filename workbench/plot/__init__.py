"""Figures of a study: compute, then draw. Each plot takes a value and gives matplotlib Axes back.

The numbers behind every plot are a function of their own (`latency_numbers` ...), so they can be
tested and drawn with something else. No pyplot: nothing here touches its global state. Names from
models are drawn as text, never as mathematics.
"""

from __future__ import annotations

from workbench.plot.calibration import (
    ClipNumbers,
    SettlingNumbers,
    clip_numbers,
    clips,
    settling,
    settling_numbers,
)
from workbench.plot.curve import CurveNumbers, curve_numbers, threshold_curve
from workbench.plot.figures import save_figures
from workbench.plot.intensity import RooflineNumbers, roofline_numbers
from workbench.plot.layers import LayerNumbers, layer_numbers, layer_times
from workbench.plot.numbers import (
    AccuracyNumbers,
    LatencyNumbers,
    TradeoffNumbers,
    accuracy_numbers,
    latency_numbers,
    tradeoff_numbers,
)
from workbench.plot.roof import roofline
from workbench.plot.rows import accuracy, latency
from workbench.plot.scatter import tradeoff

__all__ = [
    "AccuracyNumbers", "ClipNumbers", "CurveNumbers", "LatencyNumbers", "LayerNumbers",
    "RooflineNumbers", "SettlingNumbers", "TradeoffNumbers", "accuracy", "accuracy_numbers",
    "clip_numbers", "clips", "curve_numbers", "latency", "latency_numbers", "layer_numbers",
    "layer_times", "roofline", "roofline_numbers", "save_figures", "settling", "settling_numbers",
    "threshold_curve", "tradeoff", "tradeoff_numbers",
]  # fmt: skip
