"""Capability by trying: each kind of node is cut out and shown to the backend by itself, once.

By itself, because a node a backend refuses spoils the answer about everything after it; once a
kind, because a network has a few dozen kinds and one try costs 1 to 30 ms.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from workbench.errors import WorkbenchError
from workbench.graph import Graph, Node, TensorSpec
from workbench.partitioning import Capability, Code, Verdict
from workbench.text import shown

if TYPE_CHECKING:
    from workbench.model import Model

Answer = tuple[Code, str]
"""What a backend says about one piece, and in which words."""

_MOST_KEPT = 20_000
_answers: dict[Any, Answer] = {}


def capability(model: Model, source: str, ask: Callable[[bytes], Answer]) -> Capability:
    """A verdict for every node of `model`.

    Args:
        model: what is asked about.
        source: who answers, with version; answers are kept for this process under this name.
        ask: the answer about a self-contained ONNX model of one node, given as its bytes.
    """
    specs = known_specs(model.graph)
    constants = {spec.name for spec in model.graph.initializers}
    verdicts = []
    for node in model.graph.nodes:
        if node.op_type == "Constant" and not node.domain:
            verdicts.append(Verdict(node.name, Code.TAKEN, "a stored constant"))
            continue
        key = (source, *_kind(node, specs, constants, model))
        if key not in _answers:
            if len(_answers) >= _MOST_KEPT:
                _answers.clear()
            _answers[key] = _asked(model, node, ask)
        verdicts.append(Verdict(node.name, *_answers[key]))
    return Capability(source, tuple(verdicts))


def known_specs(graph: Graph) -> Mapping[str, TensorSpec]:
    """Tensor name -> what is known of it, for all tensors of the graph."""
    everything = (*graph.tensors, *graph.inputs, *graph.outputs, *graph.initializers)
    return {spec.name: spec for spec in everything}


def _asked(model: Model, node: Node, ask: Callable[[bytes], Answer]) -> Answer:
    try:
        piece = model.extract([node.name]).serialize()
    except WorkbenchError as error:
        return Code.UNKNOWN, f"could not be cut out to ask about it: {error}"
    return ask(piece)


def _kind(
    node: Node, specs: Mapping[str, TensorSpec], constants: set[str], model: Model
) -> tuple[Any, ...]:
    """What decides the answer: operator, version, attributes, and types and ranks of tensors."""
    version = model.opsets.get(node.domain)
    attributes = tuple(sorted((name, _plain(value)) for name, value in node.attributes.items()))
    tensors = tuple(_sketch(name, specs, name in constants) for name in node.inputs)
    # A body or a function of the model's own is not described by names alone.
    own = bool(node.captured) or (node.domain, node.op_type) in model.functions
    own = own or any(isinstance(value, Graph) for value in node.attributes.values())
    made = tuple(_sketch(name, specs, False) for name in node.outputs)
    return (
        node.op_type, node.domain, version, attributes, tensors, made,
        (model.digest, node.name) if own else None,
    )  # fmt: skip


def _sketch(name: str, specs: Mapping[str, TensorSpec], constant: bool) -> Any:
    if not name:
        return None
    spec = specs.get(name, TensorSpec(name))
    known = None if spec.shape is None else tuple(isinstance(dim, int) for dim in spec.shape)
    return spec.dtype, known, constant


def _plain(value: Any) -> str:
    return shown(value.name) if isinstance(value, Graph) else repr(value)
