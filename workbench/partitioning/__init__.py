"""Division of a graph into engine subgraphs and native regions: Paddle-TensorRT's integration."""

from workbench.partitioning.exclusion import Exclusion
from workbench.partitioning.planning import Plan, Totals, partition, plan
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
    "Capability",
    "Code",
    "Exclusion",
    "Partition",
    "Plan",
    "Segments",
    "Subgraph",
    "Totals",
    "Verdict",
    "partition",
    "plan",
    "takes_all",
]
