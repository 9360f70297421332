"""Which boxes of a picture go on a sheet: all, as many as a page carries, or what is near some."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from workbench.widgets.scene_pane import Pane


@dataclass(frozen=True)
class Part:
    """Which boxes of each picture are drawn; nothing said means all."""

    near: Collection[int] = ()
    """Places of original nodes to begin with."""
    steps: int | None = None
    """How many edges away from these a box may be; None leaves it to `most`."""
    most: int | None = None
    """Boxes of one picture at most: the nearest, else the first ones."""
    hint: str = ""
    """Where the rest is, said if any is left out."""

    def of(self, pane: Pane) -> tuple[list[int], str]:
        """Places of the boxes from top to bottom, and what was left out, in words."""
        count, rows = len(pane.items), [y for _, y in pane.placement.centers]
        found = sorted(range(count), key=rows.__getitem__)
        wanted = set(self.near)
        start = [i for i in found if not wanted.isdisjoint(pane.items[i].origins)]
        if start and self.steps is not None:
            found = around(pane, start, self.steps)
        if self.most is not None and len(found) > self.most:
            found = (around(pane, start, count) if start else found)[: self.most]
        if len(found) == count:
            return found, ""
        words = f"{len(found):,} of {count:,} boxes"
        if not start:
            words = f"first {words}"
        elif self.steps is None:
            words += " around the selection"
        else:
            words += f", up to {self.steps} edges away"
        return sorted(found, key=rows.__getitem__), f"{words}; {self.hint}" if self.hint else words


WHOLE = Part()


def around(pane: Pane, start: Sequence[int], steps: int) -> list[int]:
    """Boxes in order of their distance from the first ones, along edges either way."""
    beside: list[list[int]] = [[] for _ in pane.items]
    for a, b in pane.edges:
        beside[a].append(b)
        beside[b].append(a)
    found = dict.fromkeys(start)
    rim = list(start)
    for _ in range(steps):
        rim = list(dict.fromkeys(n for i in rim for n in beside[i] if n not in found))
        if not rim:
            break
        found.update(dict.fromkeys(rim))
    return list(found)
