"""What crosses between units: one net for every tensor that leaves the unit it is made in.

Weights and the results of folded nodes are no boundary: they are copied to whoever reads them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from workbench.graph import Shape, TensorSpec
from workbench.partitioning.layout import Layout

UNKNOWN_BYTES = 1
"""Stands for the size of a tensor whose shape or type is not known."""


@dataclass(slots=True)
class Nets:
    """Tensors that cross, in parallel lists."""

    tensor: list[str] = field(default_factory=list)
    maker: list[int] = field(default_factory=list)
    """Unit that makes it; -1 for an input of the graph."""
    given: list[bool] = field(default_factory=list)
    """Whether it is an output of the graph."""
    reader: list[int] = field(default_factory=list)
    """Units that read each net, the maker not among them, each once; one net after the other."""
    ends: list[int] = field(default_factory=list)
    """Where the readers of each net end in `reader`."""
    nbytes: list[int] = field(default_factory=list)

    def rows(self) -> Iterator[tuple[int, list[int], bool, int]]:
        """Maker, readers, given and bytes of every net."""
        start = 0
        for maker, end, given, size in zip(
            self.maker, self.ends, self.given, self.nbytes, strict=True
        ):
            yield maker, self.reader[start:end], given, size
            start = end


def nets(layout: Layout, unit: Sequence[int]) -> Nets:
    """The tensors that cross between units.

    Args:
        layout: the graph.
        unit: node -> unit, -1 for nodes left out.
    """
    found = Nets()
    for tensor, readers in layout.external.items():
        _add(found, tensor, -1, {unit[v] for v in readers}, given=False)
    crossing, base = _crossing(layout, unit)
    given, nodes, reader, ends = layout.given, layout.graph.nodes, found.reader, found.ends
    last, outputs = -1, ()
    for code in sorted(crossing):
        p = code // base
        if p != last:
            last, outputs = p, nodes[p].outputs
            if len(outputs) == 1:
                found.tensor.append(outputs[0])
                found.maker.append(unit[p])
                found.given.append(outputs[0] in given)
                ends.append(0)
            else:
                _add_branching(found, layout, unit, p)
        if len(outputs) == 1:
            reader.append(code - p * base)
            ends[-1] = len(reader)
    present = set(found.tensor)
    for tensor, p in given.items():
        if tensor not in present and unit[p] >= 0:
            _add(found, tensor, unit[p], set(), given=True)
    found.nbytes = _sizes(layout, found.tensor)
    return found


def _add(found: Nets, tensor: str, maker: int, readers: set[int], *, given: bool) -> None:
    found.tensor.append(tensor)
    found.maker.append(maker)
    found.given.append(given)
    found.reader.extend(sorted(readers))
    found.ends.append(len(found.reader))


def _crossing(layout: Layout, unit: Sequence[int]) -> tuple[set[int], int]:
    """Node times a base plus a unit that reads from it, and the base.

    Integers in one set rather than a set for each tensor: a third of the time.
    """
    base = max(unit, default=0) + 1
    crossing: set[int] = set()
    for mine, above in zip(unit, layout.dag.before, strict=True):
        for p in above:
            maker = unit[p]
            if maker != mine and maker >= 0:
                crossing.add(p * base + mine)
    return crossing, base


def _add_branching(found: Nets, layout: Layout, unit: Sequence[int], p: int) -> None:
    nodes, mine = layout.graph.nodes, unit[p]
    away = [(unit[v], nodes[v].reads) for v in layout.dag.after[p] if unit[v] != mine]
    for tensor in nodes[p].makes:
        readers = {reader for reader, reads in away if tensor in reads}
        if readers:
            _add(found, tensor, mine, readers, given=tensor in layout.given)


def _sizes(layout: Layout, tensors: list[str]) -> list[int]:
    graph = layout.graph
    specs = {spec.name: spec for spec in graph.tensors}
    specs.update({spec.name: spec for spec in (*graph.outputs, *graph.inputs)})
    known: dict[tuple[str, Shape | None], int] = {}
    sizes = []
    unknown = TensorSpec("")
    for tensor in tensors:
        spec = specs.get(tensor, unknown)
        kind = spec.dtype, spec.shape
        size = known.get(kind)
        if size is None:
            size = known[kind] = spec.nbytes or UNKNOWN_BYTES
        sizes.append(size)
    return sizes
