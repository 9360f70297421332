"""Specs, shape ranges and layers as the JSON values that go into a plan, and back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from workbench.backends.base import FOLDED, LAYER_DOMAIN, REMOVED, ShapeRange
from workbench.backends.origin import Attribution
from workbench.graph import Graph, Node, TensorSpec
from workbench.text import listed, nearest, shown


def specs_to_json(specs: Iterable[TensorSpec]) -> list[Any]:
    """Specs as lists of name, dtype and shape."""
    return [
        [spec.name, spec.dtype, None if spec.shape is None else list(spec.shape)] for spec in specs
    ]


def specs_from_json(values: Iterable[Any]) -> tuple[TensorSpec, ...]:
    """What `specs_to_json` was given."""
    return tuple(
        TensorSpec(name, dtype, None if shape is None else tuple(shape))
        for name, dtype, shape in values
    )


def ranges_to_json(ranges: Mapping[str, ShapeRange]) -> dict[str, Any]:
    """Shape ranges as lists of min, opt and max."""
    return {name: [list(r.min), list(r.opt), list(r.max)] for name, r in ranges.items()}


def ranges_from_json(values: Mapping[str, Any]) -> dict[str, ShapeRange]:
    """What `ranges_to_json` was given."""
    return {name: ShapeRange(*(tuple(ends) for ends in value)) for name, value in values.items()}


def layers_to_json(graph: Graph) -> dict[str, Any]:
    """A graph of layers as plain values; attributes must be JSON values already."""
    return {
        "name": graph.name,
        "inputs": specs_to_json(graph.inputs),
        "outputs": specs_to_json(graph.outputs),
        "tensors": specs_to_json(graph.tensors),
        "nodes": [
            [n.name, n.op_type, n.domain, n.inputs, n.outputs, dict(n.attributes), n.origin]
            for n in graph.nodes
        ],
    }


def layers_from_json(value: Mapping[str, Any]) -> Graph:
    """What `layers_to_json` was given."""
    nodes = tuple(
        Node(name, op_type, domain, tuple(inputs), tuple(outputs), attributes, tuple(origin))
        for name, op_type, domain, inputs, outputs, attributes, origin in value["nodes"]
    )
    inputs, outputs = specs_from_json(value["inputs"]), specs_from_json(value["outputs"])
    tensors = specs_from_json(value["tensors"])
    return Graph(value["name"], inputs, outputs, nodes, tensors=tensors)


def unrun_layers(attribution: Attribution, taken: Iterable[str]) -> tuple[Node, ...]:
    """The layers `FOLDED` and `REMOVED`, each only where something is in it."""
    names = set(taken)
    layers = []
    for op_type, origin in ((FOLDED, attribution.folded), (REMOVED, attribution.removed)):
        if origin:
            layers.append(
                Node(unique(op_type.lower(), names), op_type, LAYER_DOMAIN, origin=origin)
            )
    return tuple(layers)


def unique(name: str, taken: set[str]) -> str:
    """`name`, or `name` with a number where it is taken; it is taken from now on."""
    free, count = name, 1
    while not free or free in taken:
        count += 1
        free = f"{name or 'layer'}_{count}"
    taken.add(free)
    return free


def checked_ranges(
    inputs: Sequence[TensorSpec], shapes: Mapping[str, ShapeRange]
) -> dict[str, ShapeRange]:
    """The ranges of `BuildConfig.shapes`, once they fit the inputs of the model.

    Raises:
        ValueError: an input the model has not, another rank, or a range about a fixed extent.
    """
    known = {spec.name: spec for spec in inputs}
    for name, limits in shapes.items():
        if name not in known:
            raise ValueError(
                f"shape range for {shown(name)}, which is no input{nearest(name, known)}; "
                f"inputs are {listed(known) or 'none'}"
            )
        shape = known[name].shape
        if shape is None:
            continue
        fits = len(shape) == len(limits.min) and all(
            isinstance(dim, str) or low == dim == high
            for dim, low, high in zip(shape, limits.min, limits.max, strict=True)
        )
        if not fits:
            raise ValueError(
                f"shape range {limits.min} to {limits.max} does not fit input {shown(name)} of "
                f"shape ({listed(shape, 16)}); only extents that are not numbers can have a range"
            )
    return dict(shapes)
