"""Division of a graph into engine subgraphs and native regions: Paddle-TensorRT's integration."""

from workbench.partitioning.values import (
    Capability,
    Code,
    Partition,
    Subgraph,
    Verdict,
    takes_all,
)

__all__ = ["Capability", "Code", "Partition", "Subgraph", "Verdict", "takes_all"]
