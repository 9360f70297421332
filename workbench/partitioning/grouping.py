"""From nodes that can be grouped to groups, by either policy: the same for engines and natives."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from workbench.partitioning.boundary import Nets
from workbench.partitioning.connected import connected
from workbench.partitioning.dag import Dag, Quotient, Window, clusters, quotient, window
from workbench.partitioning.fewest import fewest

POLICIES = ("connected", "fewest")


@dataclass(frozen=True, slots=True)
class Units:
    """Clusters of nodes that no good plan would part, and every other node on its own."""

    quotient: Quotient
    ours: list[int]
    """1 for units that can be grouped."""
    bounds: Window
    """Earliest and latest alternation of every unit."""


def units(dag: Dag, ours: Sequence[int], names: Sequence[str], absent: Collection[int]) -> Units:
    """Units of a dag, numbered in canonical topological order.

    Args:
        dag: a graph or a quotient of one.
        ours: 1 for the nodes to group.
        names: a text for every node that identifies it.
        absent: nodes to leave out, flagged 0 and above all others.
    """
    bounds = window(dag, ours)
    label = clusters(dag, ours, bounds)
    for v in absent:
        label[v] = -1
    small = quotient(dag, label, names)
    first = [members[0] for members in small.members]
    return Units(small, [ours[v] for v in first], bounds.of(first))


def divided(found: Units, policy: str, crossing: Nets | None) -> list[int]:
    """For every unit a number that its group shares, -1 for those that can be in none.

    Args:
        found: the units.
        policy: one of `POLICIES`.
        crossing: the tensors between the units; policy `fewest` needs them.
    """
    dag, ours = found.quotient.dag, found.ours
    if policy == "fewest" and crossing is not None:
        groups = fewest(dag, ours, found.bounds, crossing)
    else:
        groups = connected(dag, ours)
    return [group if mine else -1 for group, mine in zip(groups, ours, strict=True)]
