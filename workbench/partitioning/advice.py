"""What a threshold is worth: the exact curve over all of them, and one recommended by a cost model.

The model is deliberately small, and its constants are assumptions until they are measured on the
device at hand: an engine costs a launch, a tensor that crosses costs a call and its bytes, and
every node in an engine saves a fixed time. A segment pays when it saves more than it costs; the
recommended threshold is the smallest one at which the segments that are kept save most together.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from workbench.partitioning.segments import Segments


@dataclass(frozen=True, slots=True)
class Totals:
    """What the engines of a partition come to."""

    engines: int
    nodes: int
    """Nodes in engines."""
    boundary_tensors: int
    """Inputs plus outputs of all engines."""
    boundary_bytes: int
    """Their bytes; a tensor of unknown size counts as 1."""
    flops: float
    """Sum over the nodes in engines of what `plan` was told each costs; 0 where it was not told."""


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """One step of the curve: all thresholds from one to another that give the same engines."""

    min_subgraph_size: int
    """The smallest of these thresholds."""
    until: int | None
    """The largest; None where every greater threshold gives the same."""
    totals: Totals


@dataclass(frozen=True, slots=True)
class CostModel:
    """Seconds; synthetic defaults (see `docs/partitioning.md`), to be replaced by measured ones."""

    engine_seconds: float = 20e-6
    """One launch of one engine."""
    tensor_seconds: float = 4e-6
    """Handing one tensor over."""
    bytes_per_second: float = 300e9
    """How fast a tensor's bytes cross."""
    saved_seconds: float = 15e-6
    """What one node saves by running inside an engine."""

    def profit(self, segments: Segments, index: int) -> float:
        """Seconds a run saves by having one segment in an engine; negative where it loses."""
        return (
            segments.nodes[index] * self.saved_seconds
            - self.engine_seconds
            - segments.tensors[index] * self.tensor_seconds
            - segments.nbytes[index] / self.bytes_per_second
        )


@dataclass(frozen=True, slots=True)
class Recommendation:
    """A threshold and why."""

    min_subgraph_size: int
    reason: str
    saved_seconds: float
    """What the model says a run saves against everything native."""


def curve_of(segments: Segments, totals: Callable[[int], Totals]) -> tuple[CurvePoint, ...]:
    """Every threshold at which something changes, from 1 on."""
    starts = [1, *sorted({size + 1 for size in segments.sizes if size > 0})]
    ends: list[int | None] = [start - 1 for start in starts[1:]]
    return tuple(
        CurvePoint(start, until, totals(start))
        for start, until in zip(starts, [*ends, None], strict=True)
    )


def recommendation(segments: Segments, model: CostModel) -> Recommendation:
    """The smallest threshold at which the kept segments save most."""
    best, best_count, saved = 0.0, 0, 0.0
    for index, size in enumerate(segments.sizes):
        saved += model.profit(segments, index)
        last = index + 1 == len(segments) or segments.sizes[index + 1] != size
        if last and saved > 0 and saved >= best:
            best, best_count = saved, index + 1
    if not best_count:
        largest = segments.sizes[0] if segments.sizes else 0
        return Recommendation(
            largest + 1, "no subgraph saves more than its engine costs; all stays native", 0.0
        )
    threshold = segments.sizes[best_count] + 1 if best_count < len(segments) else 1
    return Recommendation(max(1, threshold), _why(segments, best_count, best, model), best)


def _why(segments: Segments, count: int, best: float, model: CostModel) -> str:
    nodes = sum(segments.nodes[:count])
    text = (
        f"{count} engines with {nodes} nodes, estimated to save {best * 1e3:.3g} ms a run "
        f"({model.engine_seconds * 1e6:.3g} us an engine, {model.tensor_seconds * 1e6:.3g} us a "
        f"tensor that crosses, {model.saved_seconds * 1e6:.3g} us saved a node: assumed, "
        "not measured)"
    )
    left = len(segments) - count
    if not left:
        return f"{text}; keeping every subgraph saves most"
    lost = -sum(model.profit(segments, index) for index in range(count, len(segments)))
    return f"{text}; the {left} smaller ones would together lose {lost * 1e3:.3g} ms"
