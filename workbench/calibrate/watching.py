"""Which tensors calibration looks at, and how a network is cut so that few are held at once.

A network is run in stages: contiguous runs of nodes in topological order, each a model of its own
whose outputs are the tensors that are watched there and those that later stages read. Nothing is
computed twice and weights are in one stage each. Large weights can be lent to a stage as inputs:
an engine that has them built in keeps several copies of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from workbench.errors import DataError
from workbench.graph import Graph, Node, TensorSpec
from workbench.model import Model
from workbench.partitioning.layout import layout
from workbench.text import listed, nearest, shown

WEIGHTED = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
"""Operators that run in INT8 when their inputs are quantized."""

_FOLLOWING = frozenset(
    {"Add", "Sum", "Mul", "MaxPool", "AveragePool", "GlobalAveragePool", "Concat", "Resize",
     "Softmax", "ReduceMean", "Flatten", "Reshape", "Squeeze", "Unsqueeze", "Transpose"}
)  # fmt: skip
"""Operators that run in INT8 between them, when inputs and output are quantized."""

_FUSED = frozenset({"BatchNormalization", "Relu", "Clip"})
"""Operators that become part of the one before them."""

_FLOATS = frozenset({"float32", "float16", "bfloat16", "float64"})

_UNKNOWN_BYTES = 1 << 24
"""Taken for a tensor whose size is not known."""

_LENT_BYTES = 1 << 16
"""Smaller weights are not worth lending."""


def activations(model: Model) -> tuple[str, ...]:
    """Names of the tensors whose ranges quantization asks for, in the graph's order.

    These are what weighted operators (Conv, ConvTranspose, Gemm, MatMul) and the operators that can
    run in INT8 between them (additions, pools, Concat, Resize ...) read, and what they give out
    once batch normalization and activation are done. Only floating tensors that depend on an input
    of the graph: weights need no data. It covers what `workbench.transform` needs in every form.
    """
    graph = model.graph
    fixed = _fixed(graph)
    found: set[str] = set()
    for i in graph.order:
        node = graph.nodes[i]
        if node.domain in ("", "ai.onnx") and node.op_type in WEIGHTED | _FOLLOWING:
            found.update(name for name in node.reads if name not in fixed)
            fused = _FUSED if node.op_type in WEIGHTED else _FUSED - {"BatchNormalization"}
            found.update(_settled(graph, name, fused) for name in node.makes)
    wanted = [name for name in found - fixed if graph.spec(name).dtype in _FLOATS]
    rank = _rank(graph)
    return tuple(sorted(wanted, key=lambda name: (rank.get(name, -1), name)))


def _settled(graph: Graph, name: str, fused: frozenset[str]) -> str:
    """The tensor that `name` becomes by operators of these types that are its only readers."""
    while True:
        readers = graph.consumers.get(name, ())
        if len(readers) != 1 or graph.nodes[readers[0]].op_type not in fused:
            return name
        name = graph.nodes[readers[0]].outputs[0]


def _rank(graph: Graph) -> dict[str, int]:
    return {name: at for at, i in enumerate(graph.order) for name in graph.nodes[i].makes}


def _fixed(graph: Graph) -> set[str]:
    """Tensors that depend on no input: weights, and what is computed from them."""
    found = {spec.name for spec in graph.initializers}
    found.difference_update(spec.name for spec in graph.inputs)
    for i in layout(graph).folded:
        found.update(graph.nodes[i].makes)
    return found


def checked(model: Model, tensors: Sequence[str] | None) -> tuple[str, ...]:
    """The tensors to watch: those asked for, each once, or `activations`.

    Raises:
        DataError: one that the graph has not, that is no floating tensor, or that is constant; or
            there are none.
    """
    graph = model.graph
    if tensors is None:
        found = activations(model)
        if not found:
            raise DataError(
                f"model {shown(model.name)} has no tensor that quantization would ask for; name "
                "some with tensors="
            )
        return found
    known = {*graph.producer, *(spec.name for spec in graph.inputs)} - _fixed(graph)
    for name in tensors:
        if name not in known:
            raise DataError(
                f"model {shown(model.name)} computes no tensor {shown(name)}{nearest(name, known)};"
                " give names of inputs and of nodes' outputs that depend on an input"
            )
    wrong = [name for name in tensors if graph.spec(name).dtype not in {*_FLOATS, ""}]
    if wrong:
        raise DataError(
            f"{listed(wrong)} hold no floating numbers; only these have a range to calibrate"
        )
    if not tensors:
        raise DataError("no tensors to watch; leave tensors= out to watch all that matter")
    return tuple(dict.fromkeys(tensors))


@dataclass(frozen=True)
class Stage:
    """A run of nodes as a model, with what happens to its outputs."""

    model: Model
    watched: tuple[str, ...]
    """Outputs to count."""
    dropped: tuple[str, ...]
    """Tensors that no later stage reads, to forget after this one."""
    lent: Mapping[str, np.ndarray]
    """Inputs that are weights."""


def stages(
    model: Model, watched: Iterable[str], samples: int, budget: int, *, lend: bool = False
) -> tuple[Stage, ...]:
    """The network as stages of which none gives out more than `budget` bytes of watched tensors.

    Args:
        model: the network.
        watched: tensors to give out.
        samples: in a run, for the extents that are only known then.
        budget: bytes; one tensor that is larger has a stage of its own.
        lend: whether large weights of products become inputs.
    """
    graph = model.graph
    wanted = {name for name in watched if name in graph.producer}
    folded = layout(graph).folded
    order = [i for i in graph.order if i not in folded]
    needed = _needed(graph, order, wanted)
    groups: list[list[int]] = [[]]
    room = budget
    for i in needed:
        size = sum(_bytes(graph.spec(name), samples) for name in graph.nodes[i].makes
                   if name in wanted)  # fmt: skip
        if size > room and room < budget and groups[-1]:
            groups.append([])
            room = budget
        groups[-1].append(i)
        room -= size
    return _cut(model, [group for group in groups if group], wanted, lend)


def _needed(graph: Graph, order: Sequence[int], wanted: set[str]) -> list[int]:
    """The nodes that a wanted tensor depends on, in order."""
    needed: set[int] = {graph.producer[name] for name in wanted}
    for i in reversed(order):
        if i in needed:
            needed.update(graph.predecessors[i])
    return [i for i in order if i in needed]


def _cut(model: Model, groups: list[list[int]], wanted: set[str], lend: bool) -> tuple[Stage, ...]:
    graph = model.graph
    reads = [
        {name for i in group for name in graph.nodes[i].reads if name in graph.producer}
        for group in groups
    ]
    found = []
    for at, group in enumerate(groups):
        later = set().union(*reads[at + 1 :])
        made = [name for i in group for name in graph.nodes[i].makes]
        outputs = [name for name in made if name in wanted or name in later]
        names = [graph.nodes[i].name for i in group]
        piece = model.extract(names, outputs=outputs)
        lent = _lendable(piece.graph) if lend else []
        if lent:
            inputs = [spec.name for spec in piece.graph.inputs]
            piece = model.extract(names, inputs=[*inputs, *lent], outputs=outputs)
        gone = (reads[at] | set(made)) - later
        found.append(
            Stage(
                piece, tuple(name for name in outputs if name in wanted), tuple(sorted(gone)),
                # Where they lie in memory unaligned, one copy here is better than one a run.
                {name: np.require(model.weights(name), requirements=["C", "A"]) for name in lent},
            )
        )  # fmt: skip
    return tuple(found)


def _lendable(graph: Graph) -> list[str]:
    """Large weights that only products read, which compute the same with weights as inputs."""
    return [
        spec.name
        for spec in graph.initializers
        if spec.dtype == "float32"
        and (spec.nbytes or 0) >= _LENT_BYTES
        and all(_is_product(graph.nodes[i]) for i in graph.consumers.get(spec.name, ()))
    ]


def _is_product(node: Node) -> bool:
    return node.domain in ("", "ai.onnx") and node.op_type in WEIGHTED


def _bytes(spec: TensorSpec, samples: int) -> int:
    if spec.shape is None:
        return _UNKNOWN_BYTES
    first = [samples] if spec.shape and isinstance(spec.shape[0], str) else []
    rest = spec.shape[len(first) :]
    if any(isinstance(dim, str) for dim in rest):
        return _UNKNOWN_BYTES
    fixed = TensorSpec(spec.name, spec.dtype, (*first, *rest))
    return fixed.nbytes or _UNKNOWN_BYTES


def bytes_a_sample(model: Model, tensors: Iterable[str]) -> int:
    """Bytes of the tensors for one sample."""
    return sum(_bytes(model.graph.spec(name), 1) for name in tensors)
