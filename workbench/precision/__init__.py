"""What precision was asked for, node by node, and what an engine made of it.

A `PrecisionPlan` is a wish: a default and rules. Transforms turn it into types of the model,
engines into kernels, and `achieved` reads back what those kernels compute in. Nothing here knows
weights or a backend: graphs and plain values only.
"""

from workbench.precision.achieved import Achieved, Audit, Outcome, achieved
from workbench.precision.asking import asked
from workbench.precision.flags import builder_flags, uses_tf32
from workbench.precision.plan import Precision, PrecisionPlan, Rule
from workbench.precision.resolution import Change, Resolution

__all__ = [
    "Achieved", "Audit", "Change", "Outcome", "Precision", "PrecisionPlan", "Resolution", "Rule",
    "achieved", "asked", "builder_flags", "uses_tf32",
]  # fmt: skip
