"""What a model holds and costs: operators, parameters, operations, bytes moved."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from workbench.errors import ModelError
from workbench.graph import Dim, Graph, Node, Shape, TensorSpec
from workbench.model.core import Model
from workbench.model.formulas import Sized, UnknownError, bytes_moved, flops

_NO_PARAMETERS = frozenset({"int64", "int32", "bool", "string"})
"""Types of shapes, axes and indices; floating-point and quantized tensors are parameters."""


@dataclass(frozen=True, slots=True)
class NodeCost:
    """Work of one node."""

    node: str
    op_type: str
    flops: int | None
    """Operations, a multiply-add is two; None where a shape or the formula is unknown."""
    bytes_moved: int | None
    """Bytes read and written; None where a shape or type is unknown."""


@dataclass(frozen=True, slots=True)
class Statistics:
    """What `statistics` counted."""

    operators: Mapping[str, int]
    """Nodes by operator, the most frequent first; ``domain::type`` outside ONNX's own set."""
    parameters: int
    """Elements of stored floating-point and quantized tensors, running statistics included;
    shapes and indices (int64, int32, bool) are not."""
    weight_bytes: int
    """Bytes of everything stored."""
    flops: int
    """Operations of all nodes whose cost is known."""
    bytes_moved: int
    """Bytes moved by all nodes whose sizes are known."""
    costs: tuple[NodeCost, ...]
    """One for each node, in graph order; a node of constants alone costs nothing at run time."""
    unknown: tuple[str, ...]
    """Nodes whose operations could not be counted."""
    sizes: Mapping[str, int]
    """Extents that named dimensions were counted with."""


def statistics(model: Model, *, sizes: Mapping[str, int] | None = None) -> Statistics:
    """Nodes by operator, parameters, operations and bytes of a model; see `formulas` for how.

    Args:
        model: any model.
        sizes: extents of named dimensions. Without it the first axis of each input counts as 1 if
            it is named. What depends on any other name is unknown, and reported as that.

    Raises:
        ModelError: an extent that is no whole number above 0.

    Example:
        >>> statistics(model, sizes={"N": 8}).flops  # doctest: +SKIP
        65784872960
    """
    bound = dict(sizes) if sizes is not None else _batch_of_one(model.graph)
    for name, size in bound.items():
        if isinstance(size, bool) or not isinstance(size, int) or size < 1:
            raise ModelError(f"size of {name!r} is {size!r}; must be a whole number above 0")
    graph = _sized(model, bound)
    folded = model.folded
    opset = model.opsets.get("", 0)
    costs = tuple(
        NodeCost(node.name, node.op_type, 0, 0) if i in folded else _cost(graph, node, bound, opset)
        for i, node in enumerate(graph.nodes)
    )
    counts = Counter(
        f"{node.domain}::{node.op_type}" if node.domain else node.op_type for node in graph.nodes
    )
    return Statistics(
        operators=dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))),
        parameters=_parameters(model.graph),
        weight_bytes=model.weight_bytes,
        flops=sum(cost.flops or 0 for cost in costs),
        bytes_moved=sum(cost.bytes_moved or 0 for cost in costs),
        costs=costs,
        unknown=tuple(cost.node for cost in costs if cost.flops is None),
        sizes=bound,
    )


def _batch_of_one(graph: Graph) -> dict[str, int]:
    first = (spec.shape[0] for spec in graph.inputs if spec.shape)
    return {dim: 1 for dim in first if isinstance(dim, str)}


def _sized(model: Model, sizes: Mapping[str, int]) -> Graph:
    """The graph with the named extents of its inputs fixed, so that what follows is known too."""
    fixed = {
        spec.name: shape
        for spec in model.graph.inputs
        if spec.shape and any(isinstance(dim, str) for dim in spec.shape)
        if (shape := _numbers(_bound(spec.shape, sizes))) is not None
    }
    return model.with_shapes(fixed).graph if fixed else model.graph


def _bound(shape: Shape, sizes: Mapping[str, int]) -> tuple[Dim, ...]:
    return tuple(sizes.get(dim, dim) if isinstance(dim, str) else dim for dim in shape)


def _numbers(shape: Shape) -> tuple[int, ...] | None:
    numbers = tuple(dim for dim in shape if isinstance(dim, int))
    return numbers if len(numbers) == len(shape) else None


def _cost(graph: Graph, node: Node, sizes: Mapping[str, int], opset: int) -> NodeCost:
    def spec(tensor: str) -> TensorSpec | None:
        found = graph.spec(tensor) if tensor else None
        if found is None or found.shape is None:
            return found
        return TensorSpec(found.name, found.dtype, _bound(found.shape, sizes))

    sized = Sized(node, tuple(map(spec, node.inputs)), tuple(map(spec, node.outputs)), opset)
    work: list[int | None] = []
    for rule in (flops, bytes_moved):
        try:
            work.append(rule(sized))
        except (UnknownError, ValueError, IndexError):  # shapes that contradict the operator
            work.append(None)
    return NodeCost(node.name, node.op_type, *work)


def _parameters(graph: Graph) -> int:
    stored = [*graph.initializers]
    for node in graph.nodes:
        value = node.attributes.get("value")
        if node.op_type == "Constant" and isinstance(value, TensorSpec):
            stored.append(value)
    return sum(spec.elements or 0 for spec in stored if spec.dtype not in _NO_PARAMETERS)
