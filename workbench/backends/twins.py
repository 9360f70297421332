"""Nodes that compute the same value, which backends compute once.

Seen in OpenVINO and ONNX Runtime: two convolutions of one tensor with equal weights become one, and
only one of the two names is left.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING

from workbench.errors import ModelError
from workbench.graph import Graph, Node

if TYPE_CHECKING:
    from workbench.model import Model

_LARGEST = 1024
"""Bytes of a stored tensor up to which its content is compared; larger ones are told by name."""

_RANDOM = frozenset(
    {"RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike", "Multinomial",
     "Bernoulli"}
)  # fmt: skip


def stored_values(model: Model) -> dict[str, Hashable]:
    """Tensor name -> dtype, shape and bytes, for small stored tensors and Constant nodes."""
    made = [
        name
        for node in model.graph.nodes
        if node.op_type == "Constant" and not node.domain
        for name in node.makes
    ]
    small = [spec.name for spec in model.graph.initializers if (spec.nbytes or 0) <= _LARGEST]
    values: dict[str, Hashable] = {}
    for name in (*small, *made):
        try:
            array = model.weights(name)
        except ModelError:
            continue
        if array.nbytes <= _LARGEST and array.dtype != object:
            values[name] = (str(array.dtype), array.shape, array.tobytes())
    return values


def twins(graph: Graph, values: Mapping[str, Hashable]) -> dict[int, int]:
    """Place of each node -> place of the first node, in topological order, of the same value.

    Args:
        graph: any graph.
        values: from `stored_values`.
    """
    numbers: dict[Hashable, int] = {}
    tensors: dict[str, Hashable] = dict(values)
    first: dict[int, int] = {}
    for i in graph.order:
        node = graph.nodes[i]
        key = _key(node, tensors)
        first[i] = i if key is None else numbers.setdefault(key, i)
        for port, name in enumerate(node.outputs):
            if name:
                tensors.setdefault(name, (first[i], port))
    return first


def _key(node: Node, tensors: Mapping[str, Hashable]) -> Hashable:
    """What decides the value of a node; None where two equal keys may still differ."""
    constant = node.op_type == "Constant"
    if constant or node.captured or node.op_type in _RANDOM:
        return tensors.get(node.outputs[0]) if constant else None
    if any(isinstance(value, Graph) for value in node.attributes.values()):
        return None
    attributes = tuple(sorted((name, repr(value)) for name, value in node.attributes.items()))
    inputs = tuple(tensors.get(name, name) for name in node.inputs)
    return node.op_type, node.domain, attributes, inputs, len(node.outputs)
