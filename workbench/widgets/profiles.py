"""Ranges of dynamic inputs: a first guess, one from data, and the text in the profile editor."""

from __future__ import annotations

from collections.abc import Mapping

from workbench.backends.base import ShapeRange
from workbench.data import LabelledData
from workbench.errors import ModelError
from workbench.graph import Graph, TensorSpec
from workbench.model import Model
from workbench.text import plural, shown

PICTURE = 224
"""Height and width of a picture that neither network nor data say."""

SEQUENCE = 16
"""Any other extent that nobody says."""


def dynamic(graph: Graph) -> tuple[TensorSpec, ...]:
    """The inputs with an extent known only at run time.

    Raises:
        ModelError: an input of unknown rank, for which no range can be written down.
    """
    found = []
    for spec in graph.inputs:
        if spec.shape is None:
            raise ModelError(
                f"input {shown(spec.name)} of {shown(graph.name)} has no shape; export the "
                "network with one, or with named extents"
            )
        if any(isinstance(dim, str) for dim in spec.shape):
            found.append(spec)
    return tuple(found)


def usual(graph: Graph, data: LabelledData | None = None) -> dict[str, ShapeRange]:
    """A range for every dynamic input: batch 1, and extents from the data where they say them.

    A name that several extents share gets one number.
    """
    example = _example(graph, data)
    ranges, bound = {}, dict[str, int]()
    for spec in dynamic(graph):
        extents = tuple(
            dim if isinstance(dim, int)
            else bound.setdefault(dim, _extent(spec, axis, example.get(spec.name)))
            for axis, dim in enumerate(spec.shape or ())
        )  # fmt: skip
        ranges[spec.name] = ShapeRange(extents, extents, extents)
    return ranges


def _example(graph: Graph, data: LabelledData | None) -> Mapping[str, tuple[int, ...]]:
    if data is None or not len(data) or not graph.inputs:
        return {}
    pictures, _ = next(data.batches(1))
    return {graph.inputs[0].name: pictures.shape}


def _extent(spec: TensorSpec, axis: int, example: tuple[int, ...] | None) -> int:
    shape = spec.shape or ()
    if axis == 0:
        return 1
    if example is not None and len(example) == len(shape):
        return example[axis]
    return PICTURE if len(shape) == 4 and axis >= 2 else SEQUENCE


def fitting(graph: Graph, ranges: Mapping[str, ShapeRange]) -> dict[str, ShapeRange]:
    """These ranges, with the usual ones for dynamic inputs they leave out.

    Raises:
        ValueError: a range for an input that is not there or not dynamic, of another rank, or that
            would change a fixed extent.
    """
    open_inputs = {spec.name: spec for spec in dynamic(graph)}
    for name, asked in ranges.items():
        if name not in open_inputs:
            raise ValueError(
                f"profile of {shown(name)}: {shown(graph.name)} has no dynamic input of that name"
            )
        _check(open_inputs[name], asked)
    return {**usual(graph), **ranges}


def _check(spec: TensorSpec, asked: ShapeRange) -> None:
    shape = spec.shape or ()
    if len(asked.opt) != len(shape):
        raise ValueError(
            f"profile of {shown(spec.name)} has {plural(len(asked.opt), 'extent')}, the input "
            f"{len(shape)}: {words(shape)}"
        )
    for axis, dim in enumerate(shape):
        given = {asked.min[axis], asked.opt[axis], asked.max[axis]}
        if isinstance(dim, int) and given != {dim}:
            raise ValueError(
                f"profile of {shown(spec.name)}, axis {axis}: the network fixes it to {dim}"
            )
        if min(given) < 1:
            raise ValueError(
                f"profile of {shown(spec.name)}, axis {axis}: {min(given)}; must be from 1"
            )


def prepared(model: Model, ranges: Mapping[str, ShapeRange]) -> tuple[Model, dict[str, ShapeRange]]:
    """The model with single-valued ranges fixed, and the ranges that are left for a profile."""
    fixed = {name: one.opt for name, one in ranges.items() if one.min == one.max}
    left = {name: one for name, one in ranges.items() if name not in fixed}
    return (model.with_shapes(fixed) if fixed else model), left


def parse(text: str) -> tuple[int, ...]:
    """The extents of ``1x3x224x224``.

    Raises:
        ValueError: anything else.
    """
    try:
        return tuple(int(part) for part in text.replace("×", "x").replace(",", "x").split("x"))
    except ValueError:
        raise ValueError(f"{shown(text)} is no shape; write 1x3x224x224") from None


def words(shape: tuple[int | str, ...]) -> str:
    """A shape as ``1x3x224x224``."""
    return "x".join(shown(extent, 20) for extent in shape)
