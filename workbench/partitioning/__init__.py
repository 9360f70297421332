"""Division of a graph into engine subgraphs and native regions: Paddle-TensorRT's integration.

`plan` computes the segments of a graph once for a capability, exclusions and a policy; a threshold
(`min_subgraph_size`) then only filters them. Policy ``connected`` makes engines that hang together
by tensors and cannot be merged further; ``fewest`` makes the proved minimum of engines, which may
hold unrelated branches. `explain` and `why_apart` give reasons, `what_if` says what support would
be worth, and `PRESETS` hold other frameworks' rules. Standard library only.
"""

from workbench.partitioning.advice import CostModel, CurvePoint, Recommendation, Totals
from workbench.partitioning.exclusion import Exclusion
from workbench.partitioning.planning import Plan, partition, plan
from workbench.partitioning.presets import PRESETS, Preset, plan_preset
from workbench.partitioning.prospects import WhatIf, what_if
from workbench.partitioning.reasons import Apart, Explanation, Witness, explain, why_apart
from workbench.partitioning.segments import Segments
from workbench.partitioning.values import (
    Capability,
    Code,
    Partition,
    Subgraph,
    Verdict,
    takes_all,
)

__all__ = [
    "PRESETS",
    "Apart",
    "Capability",
    "Code",
    "CostModel",
    "CurvePoint",
    "Exclusion",
    "Explanation",
    "Partition",
    "Plan",
    "Preset",
    "Recommendation",
    "Segments",
    "Subgraph",
    "Totals",
    "Verdict",
    "WhatIf",
    "Witness",
    "explain",
    "partition",
    "plan",
    "plan_preset",
    "takes_all",
    "what_if",
    "why_apart",
]
