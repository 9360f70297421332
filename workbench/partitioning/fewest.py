"""Policy `fewest`: the proved minimum number of groups, with little crossing between them.

Any numbering between earliest and latest alternation that never falls along an edge gives K groups.
Among those, local search moves one unit at a time to the number where fewer tensors cross; of equal
ones, where fewer bytes do. It starts once from the earliest and once from the latest numbering and
never makes either worse, so the better of both has at most the boundary of either.
"""

from __future__ import annotations

from collections.abc import Sequence

from workbench.partitioning.boundary import Nets
from workbench.partitioning.dag import Dag, Window

SWEEPS = 6
"""Most sweeps from one start; sweeps stop earlier when one moves nothing."""


def fewest(dag: Dag, ours: Sequence[int], bounds: Window, nets: Nets) -> list[int]:
    """For every unit its number: units of ours with one number share a group.

    Args:
        dag: its nodes must be numbered in topological order.
        bounds: earliest and latest alternation of the units.
        nets: tensors that cross between units.
    """
    starts = (bounds.late, bounds.early)
    return min(_Search(dag, ours, bounds, nets, start).run() for start in starts)[1]


class _Search:
    """A numbering under way, with for every net how many readers stand at which number."""

    def __init__(
        self, dag: Dag, ours: Sequence[int], bounds: Window, nets: Nets, start: list[int]
    ) -> None:
        self.dag, self.ours, self.nets = dag, ours, nets
        self.number = list(start)
        self.top = 2 * bounds.minimum
        self.free = [
            u for u, (e, l) in enumerate(zip(bounds.early, bounds.late, strict=True)) if e != l
        ]
        # One crossing weighs more than all bytes together: tensors first, bytes break ties.
        many = 1 + 2 * sum(
            size * (1 + len(r)) for size, r in zip(nets.nbytes, nets.readers, strict=True)
        )
        self.weight = [many + size for size in nets.nbytes]
        self.at: list[dict[int, int]] = []
        self.fixed: list[bool] = []
        self.reads: dict[int, list[int]] = {u: [] for u in self.free if ours[u]}
        self.makes: dict[int, list[int]] = {u: [] for u in self.free if ours[u]}
        self._count()

    def _count(self) -> None:
        nets, number, ours = self.nets, self.number, self.ours
        for n, (maker, readers, given) in enumerate(
            zip(nets.maker, nets.readers, nets.given, strict=True)
        ):
            counts: dict[int, int] = {}
            fixed = given
            for u in readers:
                if ours[u]:
                    counts[number[u]] = counts.get(number[u], 0) + 1
                    if u in self.reads:
                        self.reads[u].append(n)
                else:
                    fixed = True
            self.at.append(counts)
            self.fixed.append(fixed or maker < 0 or not ours[maker])
            if maker in self.makes:
                self.makes[maker].append(n)

    def run(self) -> tuple[int, list[int]]:
        backward = list(reversed(self.free))
        for sweep in range(SWEEPS):
            moved = self.sweep(backward if sweep % 2 == 0 else self.free, up=sweep % 2 == 0)
            if not moved and sweep:
                break
        return self.cost(), self.number

    def cost(self) -> int:
        """Weight of all crossings; comparable between searches over the same nets."""
        total = 0
        for n, counts in enumerate(self.at):
            maker = self.nets.maker[n]
            own = self.number[maker] if maker >= 0 and self.ours[maker] else -1
            ins = len(counts) - (own in counts)
            out = own >= 0 and (self.fixed[n] or ins > 0)
            total += (ins + out) * self.weight[n]
        return total

    def sweep(self, units: list[int], up: bool) -> bool:
        """Offer every unit a better number; nodes of theirs only make room."""
        number, ours = self.number, self.ours
        before, after = self.dag.before, self.dag.after
        top = self.top
        moved = False
        for u in units:
            mine = ours[u]
            low = max([number[p] for p in before[u]], default=0)
            low += (low ^ mine) & 1
            high = min([number[s] for s in after[u]], default=top)
            high -= (high ^ mine) & 1
            if low == high:
                continue
            if not mine:
                number[u] = high if up else low
            elif self.improve(u, low, high):
                moved = True
        return moved

    def improve(self, u: int, low: int, high: int) -> bool:
        number, at = self.number, self.at
        here = number[u]
        options = {low, high}
        for n in self.reads[u]:
            options.update(at[n])
            if self.nets.maker[n] >= 0:
                options.add(number[self.nets.maker[n]])
        for n in self.makes[u]:
            options.update(at[n])
        best, target = 0, here
        for there in sorted(options):
            if low <= there <= high and there & 1 and there != here:
                gain = self.gain(u, here, there)
                if gain > best:
                    best, target = gain, there
        if target == here:
            return False
        for n in self.reads[u]:
            counts = at[n]
            counts[here] -= 1
            if not counts[here]:
                del counts[here]
            counts[target] = counts.get(target, 0) + 1
        number[u] = target
        return True

    def gain(self, u: int, here: int, there: int) -> int:
        """By how much the weight of all crossings falls when `u` moves."""
        gain = 0
        number, ours, nets = self.number, self.ours, self.nets
        for n in self.reads[u]:
            counts, maker = self.at[n], nets.maker[n]
            own = number[maker] if maker >= 0 and ours[maker] else -1
            was = len(counts) - (own in counts)
            now = was - (counts[here] == 1 and here != own) + (there not in counts and there != own)
            if not self.fixed[n]:
                was, now = was + (was > 0), now + (now > 0)
            gain += (was - now) * self.weight[n]
        for n in self.makes[u]:
            counts = self.at[n]
            was = len(counts) - (here in counts)
            now = len(counts) - (there in counts)
            if not self.fixed[n]:
                was, now = was + (was > 0), now + (now > 0)
            gain += (was - now) * self.weight[n]
        return gain
