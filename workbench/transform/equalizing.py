"""Cross-layer equalization: the cure for channels of very different size.

A channel can be made smaller in one layer and its reader's weights larger by the same factor
without a change in the result, as long as what lies between is homogeneous: f(s x) = s f(x) for
s > 0. One INT8 scale for a whole activation serves channels of like size well and others badly, so
the factors are chosen to make the weights' channels alike on both sides.

Source: Nagel et al. 2019, "Data-Free Quantization Through Weight Equalization and Bias Correction",
arXiv:1906.04721, section 4.1. Factors are rounded to powers of two here, so that float32 results
stay the same to the last bit but for denormals.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from workbench.graph import Node
from workbench.model import Draft, Model
from workbench.transform.folding import fold_batch_norm
from workbench.transform.values import Transformed, finished

HOMOGENEOUS = frozenset(
    {"AveragePool", "Dropout", "GlobalAveragePool", "GlobalMaxPool", "Identity", "LeakyRelu",
     "MaxPool", "Relu"}
)  # fmt: skip
"""Operators that may lie between two products: homogeneous, and each channel by itself."""

_FIRST = frozenset({"Conv", "Gemm"})
_SECOND = frozenset({"Conv", "Gemm"})


@dataclass(frozen=True, slots=True)
class Equalized:
    """Two products whose common channels were balanced."""

    first: str
    second: str
    before: float
    """Largest over smallest range of a channel of `first`, channels of zeros left out."""
    after: float


@dataclass(frozen=True)
class EqualizeReport:
    """The pairs that were balanced, in graph order."""

    pairs: tuple[Equalized, ...]
    rounds: int
    """Passes over all pairs until nothing moved any more."""


def equalize(model: Model, *, rounds: int = 20) -> Transformed:
    """The same function with channels of like size, batch normalization folded first.

    A pair is a Conv or Gemm whose result goes, through homogeneous operators only, to one other
    Conv or Gemm and to nothing else. Weights must be stored in float32.

    Args:
        model: in float32.
        rounds: most passes over all pairs; chains of pairs need several.

    Returns:
        The model, with an `EqualizeReport`.
    """
    folded = fold_batch_norm(model)
    draft = Draft(folded.model)
    weights: dict[str, _Weights] = {}
    nodes = draft.graph.nodes
    pairs = [pair for node in nodes if (pair := _pair(draft, node, weights)) is not None]
    before = [_imbalance(pair.outgoing()) for pair in pairs]
    passes, moved = 0, len(pairs)
    while moved and passes < rounds:
        moved = sum(pair.balance() for pair in pairs)
        passes += 1
    for one in weights.values():
        one.put_back(draft)
    report = EqualizeReport(
        tuple(
            Equalized(p.first.node.name, p.second.node.name, b, _imbalance(p.outgoing()))
            for p, b in zip(pairs, before, strict=True)
        ),
        passes,
    )
    return folded.then(finished(draft, {}, report=report))


class _Weights:
    """Weight and bias of a product while they are scaled; one object for each product."""

    def __init__(self, node: Node, weight: np.ndarray, bias: np.ndarray | None) -> None:
        self.node = node
        self.weight = weight.copy()
        self.bias = None if bias is None else bias.copy()
        self.moved = False

    @property
    def groups(self) -> int:
        return int(self.node.attributes.get("group", 1))

    def by_output(self) -> np.ndarray:
        """A view of the weight, shape (outputs, rest)."""
        turned = self.node.op_type == "Gemm" and not self.node.attributes.get("transB", 0)
        weight = self.weight.T if turned else self.weight
        return weight.reshape(len(weight), -1) if weight.ndim > 2 else weight

    def by_input(self) -> np.ndarray:
        """A view of the weight, shape (groups, inputs of a group, outputs of a group, rest)."""
        if self.node.op_type == "Gemm":
            return self.by_output().T[None, :, :, None]
        outputs, inputs = self.weight.shape[:2]
        grouped = self.weight.reshape(self.groups, outputs // self.groups, inputs, -1)
        return grouped.transpose(0, 2, 1, 3)

    def put_back(self, draft: Draft) -> None:
        if not self.moved:
            return
        name = self.node.name
        inputs = [*draft.nodes[name].inputs]
        inputs[1] = draft.store(f"{name}/equalized_weight", self.weight)
        if self.bias is not None:
            inputs[2] = draft.store(f"{name}/equalized_bias", self.bias)
        draft.rewire(name, inputs=tuple(inputs))


@dataclass(slots=True)
class _Pair:
    first: _Weights
    second: _Weights

    def outgoing(self) -> np.ndarray:
        """Largest magnitude of each output channel of the first, bias included."""
        return np.abs(self.first.by_output()).max(1)

    def incoming(self) -> np.ndarray:
        """Largest magnitude with which the second reads each channel."""
        return np.abs(self.second.by_input()).max((2, 3)).reshape(-1)

    def balance(self) -> bool:
        """Scale the common channels; whether any factor was not 1."""
        out, into = self.outgoing(), self.incoming()
        usable = (out > 0) & (into > 0)
        ratio = np.where(usable, out, 1) / np.where(usable, into, 1)
        # Only ratios within a layer count: the common factor is a matter of taste, and moving it
        # would carry scale from layer to layer without end.
        middle = np.exp(np.median(np.log(ratio[usable]))) if usable.any() else 1.0
        wish = np.where(usable, np.sqrt(ratio / middle), 1.0)
        factor = np.exp2(np.rint(np.log2(wish))).astype(np.float32)
        if (factor == 1).all():
            return False
        self.first.by_output()[...] /= factor[:, None]
        if self.first.bias is not None:
            self.first.bias /= factor
        view = self.second.by_input()
        view *= factor.reshape(view.shape[:2])[:, :, None, None]
        self.first.moved = self.second.moved = True
        return True


def _pair(draft: Draft, node: Node, shared: dict[str, _Weights]) -> _Pair | None:
    if node.op_type not in _FIRST or node.domain:
        return None
    second = _only_reader(draft, node)
    if second is None or second.op_type not in _SECOND or second.name == node.name:
        return None
    ends = []
    for one in (node, second):
        if one.name not in shared:
            found = _weights(draft, one)
            if found is None:
                return None
            shared[one.name] = found
        ends.append(shared[one.name])
    pair = _Pair(*ends)
    return pair if pair.outgoing().shape == pair.incoming().shape else None


def _only_reader(draft: Draft, node: Node) -> Node | None:
    """The next product, if only homogeneous operators lie between and nothing else reads."""
    graph = draft.graph
    outputs = {spec.name for spec in graph.outputs}
    at = node
    while True:
        made = at.outputs[0]
        readers = graph.consumers.get(made, ())
        if len(readers) != 1 or made in outputs or any(name for name in at.outputs[1:]):
            return None
        at = graph.nodes[readers[0]]
        if at.inputs[0] != made or at.inputs.count(made) != 1:
            return None
        if at.op_type in _SECOND:
            return at
        single = at.op_type == "Flatten" and _is_single(graph.spec(made).shape)
        if at.domain or not (at.op_type in HOMOGENEOUS or single):
            return None


def _is_single(shape: tuple[int | str, ...] | None) -> bool:
    """Whether every channel is one number."""
    return shape is not None and len(shape) > 2 and all(dim == 1 for dim in shape[2:])


def _weights(draft: Draft, node: Node) -> _Weights | None:
    weight = draft.values(node.inputs[1])
    third = next(iter(node.inputs[2:]), "")
    bias = draft.values(third) if third else None
    if weight is None or weight.dtype != np.float32 or (third and bias is None):
        return None
    if node.op_type == "Gemm" and (node.attributes.get("transA", 0) or weight.ndim != 2):
        return None
    if bias is not None and (bias.ndim != 1 or bias.dtype != np.float32):
        return None
    return _Weights(node, weight, bias)


def _imbalance(ranges: np.ndarray) -> float:
    some = ranges[ranges > 0]
    return float(some.max() / some.min()) if some.size else 1.0
