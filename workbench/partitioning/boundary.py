"""What crosses between units: one net for every tensor that leaves the unit it is made in.

Weights and the results of folded nodes are no boundary: they are copied to whoever reads them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from workbench.partitioning.layout import Layout

UNKNOWN_BYTES = 1
"""Stands for the size of a tensor whose shape or type is not known."""


@dataclass(frozen=True, slots=True)
class Nets:
    """Tensors that cross, in parallel lists."""

    tensor: list[str] = field(default_factory=list)
    maker: list[int] = field(default_factory=list)
    """Unit that makes it; -1 for an input of the graph."""
    readers: list[tuple[int, ...]] = field(default_factory=list)
    """Units that read it, the maker not among them, each once, ascending."""
    given: list[bool] = field(default_factory=list)
    """Whether it is an output of the graph."""
    nbytes: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.tensor)


def nets(layout: Layout, unit: Sequence[int]) -> Nets:
    """The tensors that cross between units, in an order that depends on units and names only."""
    found: dict[str, tuple[int, set[int], bool]] = {
        tensor: (-1, {unit[v] for v in readers}, False)
        for tensor, readers in layout.external.items()
    }
    _add_crossing(layout, unit, found)
    for tensor, maker in layout.given.items():
        if unit[maker] >= 0:
            _, readers, _ = found.get(tensor, (0, set(), False))
            found[tensor] = (unit[maker], readers, True)
    result = Nets()
    specs = layout.graph.specs
    for tensor, (maker, readers, given) in found.items():
        spec = specs.get(tensor)
        result.tensor.append(tensor)
        result.maker.append(maker)
        result.readers.append(tuple(readers) if len(readers) == 1 else tuple(sorted(readers)))
        result.given.append(given)
        result.nbytes.append((spec.nbytes if spec else None) or UNKNOWN_BYTES)
    return result


def _add_crossing(
    layout: Layout, unit: Sequence[int], found: dict[str, tuple[int, set[int], bool]]
) -> None:
    nodes = layout.graph.nodes
    for v, (mine, above) in enumerate(zip(unit, layout.dag.before, strict=True)):
        for p in above:
            maker = unit[p]
            if maker != mine and maker >= 0:
                outputs = nodes[p].outputs
                if len(outputs) > 1:
                    reads = nodes[v].reads
                    outputs = [name for name in outputs if name and name in reads]
                for tensor in outputs:
                    known = found.get(tensor)
                    if known is None:
                        found[tensor] = (maker, {mine}, False)
                    else:
                        known[1].add(mine)
