"""Where INT8 hurts, and how to have most of its speed without the harm."""

from __future__ import annotations

from workbench.sensitivity.judging import Judge, Score
from workbench.sensitivity.ranking import (
    Effect,
    Sensitivity,
    prefix_groups,
    product_groups,
    sensitivity,
)
from workbench.sensitivity.search import Budget, Candidate, MixedPrecision, mixed_precision

__all__ = [
    "Budget", "Candidate", "Effect", "Judge", "MixedPrecision", "Score", "Sensitivity",
    "mixed_precision", "prefix_groups", "product_groups", "sensitivity",
]  # fmt: skip
