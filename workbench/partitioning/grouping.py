"""From nodes that can be grouped to groups, by either policy: the same for engines and natives."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from workbench.partitioning.boundary import nets
from workbench.partitioning.connected import connected
from workbench.partitioning.dag import Dag, Window, clusters, quotient, window
from workbench.partitioning.fewest import fewest
from workbench.partitioning.layout import Layout

POLICIES = ("connected", "fewest")


@dataclass(frozen=True, slots=True)
class Groups:
    """Nodes divided; groups are numbered by no rule, only which nodes share one counts."""

    label: list[int]
    """Node of the dag -> its group, -1 for nodes that are in none."""
    minimum: int
    """The fewest groups any plan can have, connected or not: the most runs on one path."""


def grouped(
    layout: Layout,
    dag: Dag,
    ours: Sequence[int],
    names: Sequence[str],
    at: Sequence[int],
    policy: str,
    absent: Collection[int] = (),
) -> Groups:
    """Groups of the nodes of `dag` that `ours` flags.

    Args:
        layout: the graph below, for the tensors that cross.
        dag: the graph itself or a quotient of it.
        ours: 1 for the nodes to group.
        names: a text for every node of `dag` that identifies it.
        at: node of the graph -> node of `dag`, -1 for nodes left out.
        policy: one of `POLICIES`.
        absent: nodes of `dag` to leave out, flagged 0 and above all others.
    """
    bounds = window(dag, ours)
    if not bounds.minimum:
        return Groups([-1] * len(dag), 0)
    label = clusters(dag, ours, bounds)
    for v in absent:
        label[v] = -1
    small = quotient(dag, label, names)
    mine = [ours[members[0]] for members in small.members]
    if policy == "fewest":
        crossing = nets(layout, [small.unit[v] if v >= 0 else -1 for v in at])
        found = fewest(small.dag, mine, _of_units(bounds, small.members), crossing)
    else:
        found = connected(small.dag, mine)
    found.append(-1)
    return Groups(
        [found[u] if own else -1 for u, own in zip(small.unit, ours, strict=True)],
        bounds.minimum,
    )


def _of_units(bounds: Window, members: list[list[int]]) -> Window:
    first = [nodes[0] for nodes in members]
    return Window([bounds.early[v] for v in first], [bounds.late[v] for v in first], bounds.minimum)
