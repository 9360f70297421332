"""How fast and how right an engine is, with what the numbers can and cannot tell.

Latency takes plain callables, accuracy and deviation take an engine or a session: nothing here
knows which backend runs, or how a network was divided. Every sample is kept, every summary comes
with an interval, and where two configurations cannot be told apart the answer is "no difference".
"""

from __future__ import annotations

from workbench.measure.comparing import (
    DIFFERENCE,
    AccuracyComparison,
    Comparison,
    compare,
    compare_accuracy,
)
from workbench.measure.machine import Noise, noise, processor, usable_cpus
from workbench.measure.quality import accuracy, deviation
from workbench.measure.roofs import Roofs, roofs
from workbench.measure.statistics import mcnemar, median_interval, ratio_interval, wilson
from workbench.measure.timing import Warmup, latency
from workbench.measure.values import (
    Accuracy,
    Clock,
    Deviation,
    Latency,
    Measurement,
    OutputDeviation,
    Share,
)

__all__ = [
    "DIFFERENCE", "Accuracy", "AccuracyComparison", "Clock", "Comparison", "Deviation", "Latency",
    "Measurement", "Noise", "OutputDeviation", "Roofs", "Share", "Warmup", "accuracy", "compare",
    "compare_accuracy", "deviation", "latency", "mcnemar", "median_interval", "noise", "processor",
    "ratio_interval", "roofs", "usable_cpus", "wilson",
]  # fmt: skip
