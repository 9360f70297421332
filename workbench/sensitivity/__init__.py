"""Where INT8 hurts, and how to have most of its speed without the harm."""

from __future__ import annotations

from workbench.sensitivity.bisecting import Culprit, bisect
from workbench.sensitivity.judging import Judge, Score
from workbench.sensitivity.ranking import (
    Effect,
    Sensitivity,
    prefix_groups,
    product_groups,
    sensitivity_of,
)
from workbench.sensitivity.search import Budget, Candidate, MixedPrecision, mixed_precision
from workbench.sensitivity.shadowing import PartError, Shadow, shadow

__all__ = [
    "Budget", "Candidate", "Culprit", "Effect", "Judge", "MixedPrecision", "PartError", "Score",
    "Sensitivity", "Shadow", "bisect", "mixed_precision", "prefix_groups", "product_groups",
    "sensitivity_of", "shadow",
]  # fmt: skip
