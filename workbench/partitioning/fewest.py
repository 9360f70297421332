"""Policy `fewest`: the proved minimum number of groups, with little crossing between them.

Any numbering between earliest and latest alternation that never falls along an edge gives K groups.
Among those, local search moves one unit at a time to the number where fewer tensors cross; of equal
ones, where fewer bytes do. It starts once from the earliest and once from the latest numbering and
never makes either worse. Units that can move fall into regions that do not touch; each region takes
the better of its two results, so the whole has at most the boundary of either start.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from workbench.partitioning.boundary import Nets
from workbench.partitioning.dag import Dag, Window

SWEEPS = 6
"""Most sweeps from one start; sweeps stop earlier when one moves nothing."""

VISITS = 10_000
"""Where more units than this can move there are two sweeps: those after it gain under 0.2 %."""

WIDE = 64
"""A net read at more numbers than this is looked at in few places by a unit as free as that."""


@dataclass(frozen=True, slots=True)
class _Field:
    """What can move, and the nets it can change; the same for every start."""

    dag: Dag
    ours: Sequence[int]
    top: int
    free: list[int]
    """Units whose window is wider than one number."""
    reads: dict[int, list[int]]
    """Free unit of ours -> nets it reads."""
    makes: dict[int, list[int]]
    maker: list[int]
    """Unit of ours that makes each net, or -1."""
    readers: list[list[int]]
    """Units of ours that read each net."""
    fixed: list[bool]
    """Whether somebody outside all groups reads the net, so that it leaves its group anyway."""
    weight: list[int]
    region: dict[int, int]
    """Free unit -> a number it shares with the free units that can influence each other."""

    def region_of(self, n: int) -> int:
        """The region of a net: every net here has a free unit at one of its ends."""
        region = self.region
        if self.maker[n] in region:
            return region[self.maker[n]]
        return next(region[u] for u in self.readers[n] if u in region)


def fewest(dag: Dag, ours: Sequence[int], bounds: Window, nets: Nets) -> list[int]:
    """For every unit its number: units of ours with one number share a group.

    Args:
        dag: its nodes must be numbered in topological order.
        ours: 1 for units that can be grouped.
        bounds: earliest and latest alternation of the units.
        nets: tensors that cross between units.
    """
    field = _field(dag, ours, bounds, nets)
    late = _Search(field, bounds.late)
    late.run(up=False)
    early = _Search(field, bounds.early)
    early.run(up=True)
    gain = dict.fromkeys(field.region.values(), 0)
    for n, (one, other) in enumerate(zip(late.costs(), early.costs(), strict=True)):
        gain[field.region_of(n)] += one - other
    number = late.number
    for u, region in field.region.items():
        if gain[region] > 0:
            number[u] = early.number[u]
    return number


def _field(dag: Dag, ours: Sequence[int], bounds: Window, nets: Nets) -> _Field:
    top = 2 * bounds.minimum
    free = [
        u
        for u, (above, under) in enumerate(zip(bounds.early, bounds.below, strict=True))
        if above + under != top
    ]
    mine = [u for u in free if ours[u]]
    found = _Field(
        dag, ours, top, free, {u: [] for u in mine}, {u: [] for u in mine},
        [], [], [], [], {},
    )  # fmt: skip
    movable = found.reads.keys()
    # One crossing weighs more than all bytes together: tensors first, bytes break ties.
    crossing = 1 + sum(nets.nbytes) * (len(ours) + 1)
    for maker, readers, given, size in nets.rows():
        if maker not in movable and movable.isdisjoint(readers):
            continue
        n = len(found.maker)
        inner = [u for u in readers if ours[u]]
        for u in inner:
            if u in movable:
                found.reads[u].append(n)
        if maker in movable:
            found.makes[maker].append(n)
        found.maker.append(maker if maker >= 0 and ours[maker] else -1)
        found.readers.append(inner)
        found.fixed.append(given or len(inner) < len(readers) or found.maker[n] < 0)
        found.weight.append(crossing + size)
    found.region.update(_regions(found))
    return found


def _regions(field: _Field) -> dict[int, int]:
    root = {u: u for u in field.free}

    def find(u: int) -> int:
        while root[u] != u:
            root[u] = root[root[u]]
            u = root[u]
        return u

    for u in field.free:
        for s in field.dag.after[u]:
            if s in root:
                root[find(s)] = find(u)
    touched: dict[int, int] = {}
    for nets_of in (field.reads, field.makes):
        for u, nets in nets_of.items():
            for n in nets:
                root[find(touched.setdefault(n, u))] = find(u)
    return {u: find(u) for u in field.free}


class _Search:
    """A numbering under way, with for every net how many readers stand at which number."""

    def __init__(self, field: _Field, start: list[int]) -> None:
        self.field = field
        self.number = list(start)
        self.at: list[dict[int, int]] = []
        for readers in field.readers:
            counts: dict[int, int] = {}
            for u in readers:
                counts[start[u]] = counts.get(start[u], 0) + 1
            self.at.append(counts)

    def run(self, *, up: bool) -> None:
        """Sweep in turns, upwards or downwards first, until nothing moves."""
        most = max(2, min(SWEEPS, VISITS // max(1, len(self.field.free))))
        for sweep in range(most):
            if not self.sweep(up=up == (sweep % 2 == 0)) and sweep:
                break

    def costs(self) -> list[int]:
        """Weight of the crossings of every net that can change."""
        found = []
        field, number = self.field, self.number
        for counts, maker, fixed, weight in zip(
            self.at, field.maker, field.fixed, field.weight, strict=True
        ):
            own = number[maker] if maker >= 0 else -1
            entering = len(counts) - (own in counts)
            leaving = maker >= 0 and (fixed or entering > 0)
            found.append((entering + leaving) * weight)
        return found

    def sweep(self, *, up: bool) -> bool:
        """Offer every unit a better number; nodes of theirs only make room."""
        number, ours, top = self.number, self.field.ours, self.field.top
        before, after = self.field.dag.before, self.field.dag.after
        moved = False
        for u in reversed(self.field.free) if up else self.field.free:
            mine = ours[u]
            low = max([number[p] for p in before[u]]) if before[u] else 0
            low += (low ^ mine) & 1
            high = min([number[s] for s in after[u]]) if after[u] else top
            high -= (high ^ mine) & 1
            if low == high:
                continue
            if not mine:
                number[u] = high if up else low
            elif self.improve(u, low, high):
                moved = True
        return moved

    def improve(self, u: int, low: int, high: int) -> bool:
        """Move `u` to where most weight is saved; of equal places it stays, or takes the lowest."""
        here = self.number[u]
        saved = self.savings(u, low, high)
        best, target = saved.get(here, 0), here
        for there in sorted(saved):
            if saved[there] > best:
                best, target = saved[there], there
        if target == here:
            return False
        for n in self.field.reads[u]:
            counts = self.at[n]
            if counts[here] == 1:
                del counts[here]
            else:
                counts[here] -= 1
            counts[target] = counts.get(target, 0) + 1
        self.number[u] = target
        return True

    def savings(self, u: int, low: int, high: int) -> dict[int, int]:
        """Number in the window -> weight that does not cross if `u` stands there; else 0."""
        field, number, at = self.field, self.number, self.at
        here = number[u]
        saved: dict[int, int] = {}
        for n in field.reads[u]:
            counts, weight, maker = at[n], field.weight[n], field.maker[n]
            own = number[maker] if maker >= 0 else -1
            alone = counts[here] == 1
            for there in _within(counts, low, high, here):
                if there != own and (there != here or not alone):
                    saved[there] = saved.get(there, 0) + weight
            if low <= own <= high:
                others = len(counts) - (own in counts) - (alone and here != own)
                saved[own] = saved.get(own, 0) + weight * (1 if others or field.fixed[n] else 2)
        for n in field.makes[u]:
            counts, weight = at[n], field.weight[n]
            if len(counts) == 1 and not field.fixed[n]:
                weight *= 2
            for there in _within(counts, low, high, here):
                saved[there] = saved.get(there, 0) + weight
        return saved


def _within(counts: dict[int, int], low: int, high: int, here: int) -> list[int]:
    """Numbers of a net inside a window; only the window's ends and `here` where both are wide."""
    if len(counts) <= WIDE:
        return [there for there in counts if low <= there <= high]
    places = range(low, high + 1, 2) if high - low <= 2 * WIDE else {low, here, high}
    return [there for there in places if there in counts]
