"""Which single operator type, if it were supported, would remove most engines."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from workbench.partitioning.planning import Plan
from workbench.partitioning.values import Capability, Code, Verdict


@dataclass(frozen=True, slots=True)
class WhatIf:
    """What supporting one operator type would change at a threshold."""

    op_type: str
    """Operator type, with its domain where that is not ONNX's own."""
    nodes: int
    """Nodes of this type that are native now."""
    engines_fewer: int
    """Engines now less engines then; below 0 where new segments pass the threshold."""
    nodes_gained: int
    """Nodes in engines then less now: the new ones, and neighbours that pass the threshold."""
    engines: int
    """Engines then."""


def what_if(plan: Plan, min_subgraph_size: int = 3, *, most: int = 24) -> tuple[WhatIf, ...]:
    """For each operator type that is not taken, the engines fewer if it were; best first.

    Each is a full plan with all nodes of the type taken, so the numbers are exact. What is folded
    or excluded by the user stays so.

    Args:
        plan: the plan to ask about.
        min_subgraph_size: the threshold at which engines are counted.
        most: how many types are tried, those with most nodes first: bounds the time to as many
            plans.
    """
    kinds = _native_kinds(plan)
    now = plan.totals(min_subgraph_size)
    found = []
    for (domain, op_type), places in kinds.most_common(most):
        verdicts = tuple(
            Verdict(verdict.node, Code.TAKEN)
            if (kind := plan.graph.node(verdict.node)).op_type == op_type and kind.domain == domain
            else verdict
            for verdict in plan.capability.verdicts
        )
        then = plan.replan(capability=Capability(plan.capability.source, verdicts)).totals(
            min_subgraph_size
        )
        found.append(
            WhatIf(
                f"{domain}::{op_type}" if domain else op_type,
                places,
                now.engines - then.engines,
                then.nodes - now.nodes,
                then.engines,
            )
        )
    return tuple(
        sorted(found, key=lambda what: (-what.engines_fewer, -what.nodes_gained, what.op_type))
    )


def _native_kinds(plan: Plan) -> Counter[tuple[str, str]]:
    """Nodes a capability leaves out, by domain and type, in a fixed order among equals."""
    kinds: Counter[tuple[str, str]] = Counter()
    for v, node in enumerate(plan.graph.nodes):
        free = plan.segment_of[v] < 0 and v not in plan.layout.folded
        if free and node.name not in plan.excluded and node.name in plan.capability.by_node:
            kinds[node.domain, node.op_type] += 1
    return Counter(dict(sorted(kinds.items())))
