"""Shapes at the cuts: profiles of inner tensors, and which of them only the inputs decide.

An engine in the middle of a network has inputs whose ranges nobody wrote down; they follow from the
ranges of the network's inputs by shape inference. The same inference tells where an output's shape
depends on values: there it stays unknown though every input's shape is given, and a buffer for it
must not be bound.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from workbench.backends.base import BuildConfig, ShapeRange
from workbench.errors import WorkbenchError
from workbench.graph import Graph, TensorSpec
from workbench.model import Model
from workbench.text import listed, nearest, shown

Extents = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class CutShapes:
    """What is known of the tensors at the cuts of one model."""

    ranges: Mapping[str, ShapeRange]
    """Profiles: the given ones, and those that follow for inner tensors of dynamic shape."""
    typical: Mapping[str, Extents]
    """Shapes for a first run, where they are known."""
    decided: frozenset[str]
    """Tensors whose shape follows from the shapes of the inputs alone."""


def cut_shapes(
    model: Model, tensors: Iterable[str], config: BuildConfig, read: Collection[str] = ()
) -> CutShapes:
    """Shapes of these tensors of a model under the profile of a config.

    Args:
        model: the whole.
        tensors: at the border of any part.
        config: its profile may name, beside the model's inputs, inner tensors that a part reads:
            those whose range does not follow.
        read: what parts read.

    Raises:
        ValueError: the profile names what is neither an input nor at a cut.
    """
    graph, tensors = model.graph, tuple(tensors)
    _refuse_unknown(model, read, config)
    fixed = {name: shape for name in tensors if (shape := _extents(graph.spec(name))) is not None}
    if len(fixed) == len(tensors):
        return CutShapes(dict(config.shapes), fixed, frozenset(tensors))
    best = _known(_inferred(model, _corner(graph, config, "opt", free=1)), tensors)
    decided = frozenset(fixed | best)
    given = {name: limits.opt for name, limits in config.shapes.items() if name in tensors}
    ranges = dict(config.shapes)
    if config.shapes:
        low, middle, high = (
            _known(_inferred(model, _corner(graph, config, end)), tensors)
            for end in ("min", "opt", "max")
        )
        for name in low.keys() & middle.keys() & high.keys() - fixed.keys() - ranges.keys():
            ranges[name] = _range(low[name], middle[name], high[name])
    return CutShapes(ranges, given | fixed | best, decided)


def _refuse_unknown(model: Model, read: Collection[str], config: BuildConfig) -> None:
    names = [spec.name for spec in model.graph.inputs]
    for name in config.shapes:
        if name not in names and name not in read:
            raise ValueError(
                f"shapes names {shown(name)}{nearest(name, [*names, *sorted(read)])}; the inputs "
                f"of {shown(model.name)} are {listed(names)}, and no part reads it from another"
            )


def _corner(
    graph: Graph, config: BuildConfig, end: str, *, free: int | None = None
) -> dict[str, Extents]:
    """A shape for each dynamic input at one end of the profile.

    Args:
        graph: of the model.
        config: the profile.
        end: ``min``, ``opt`` or ``max``.
        free: what an extent without a range is; None leaves out the inputs that have one.
    """
    symbols: dict[str, int] = {}
    for spec in graph.inputs:
        if spec.name in config.shapes and spec.shape is not None:
            extents = getattr(config.shapes[spec.name], end)
            symbols.update(
                (dim, extent)
                for dim, extent in zip(spec.shape, extents, strict=False)
                if isinstance(dim, str)
            )
    shapes: dict[str, Extents] = {}
    for spec in graph.inputs:
        if spec.name in config.shapes:
            shapes[spec.name] = getattr(config.shapes[spec.name], end)
        elif spec.shape is not None and _extents(spec) is None:
            found = [symbols.get(dim, free) if isinstance(dim, str) else dim for dim in spec.shape]
            known = tuple(extent for extent in found if extent is not None)
            if len(known) == len(found):
                shapes[spec.name] = known
    return shapes


def _inferred(model: Model, shapes: Mapping[str, Extents]) -> Graph | None:
    try:
        return model.with_shapes(shapes).graph
    except WorkbenchError:
        return None


def _known(graph: Graph | None, tensors: Iterable[str]) -> dict[str, Extents]:
    if graph is None:
        return {}
    found = {name: _extents(graph.spec(name)) for name in tensors}
    return {name: extents for name, extents in found.items() if extents is not None}


def _extents(spec: TensorSpec) -> Extents | None:
    if spec.shape is None:
        return None
    extents = tuple(dim for dim in spec.shape if isinstance(dim, int))
    return extents if len(extents) == len(spec.shape) else None


def _range(low: Extents, best: Extents, high: Extents) -> ShapeRange:
    # An extent may shrink while the input grows, so the ends are sorted.
    columns = [sorted(column) for column in zip(low, best, high, strict=True)]
    return ShapeRange(tuple(c[0] for c in columns), best, tuple(c[-1] for c in columns))
