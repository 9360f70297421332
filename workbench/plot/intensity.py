"""How much a layer computes for each byte it moves, and how fast it did: a roofline's numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from workbench.backends.base import executed
from workbench.graph import ITEM_BITS, Graph, Node, TensorSpec
from workbench.measure import Roofs
from workbench.model import Model, Statistics, statistics
from workbench.plot.layers import label_of

KINDS: Mapping[str, frozenset[str]] = {
    "convolution": frozenset({"Conv", "ConvTranspose", "ConvInteger", "QLinearConv"}),
    "matrix product": frozenset(
        {"Gemm", "MatMul", "MatMulInteger", "QLinearMatMul", "Einsum", "RNN", "GRU", "LSTM"}
    ),
    "pooling": frozenset(
        {"MaxPool", "AveragePool", "LpPool", "GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool"}
    ),
    "normalization": frozenset(
        {"BatchNormalization", "LayerNormalization", "InstanceNormalization", "LRN", "Softmax",
         "GroupNormalization", "RMSNormalization", "LogSoftmax"}
    ),
}  # fmt: skip
"""Kind of a layer -> operators; a layer is of the kind of the operator that computes most."""

OTHER = "other"

_FLOATS = frozenset({"float64", "float32", "float16", "bfloat16"})


@dataclass(frozen=True, slots=True)
class RooflineNumbers:
    """One layer of a roofline plot."""

    name: str
    label: str
    """The user's name for it: the node that computes most, and how many more it stands for."""
    kind: str
    """One of `KINDS`, or ``other``."""
    precision: str
    """It computes in."""
    seconds: float
    share: float
    """Of the time of all layers, those that are not drawn too."""
    flops: float | None
    """Operations of the nodes it stands for; None where one of them cannot be counted."""
    nbytes: int | None
    """What it must read and write: its inputs, its outputs and its weights, each once, in the types
    it has them; None where a size is not known."""
    shared: bool
    """Whether a node behind it is behind other layers too; its operations are divided evenly."""
    ceiling: float | None
    """Operations a second that the roofs allow it; None without a roof for its precision."""

    @property
    def drawn(self) -> bool:
        """Whether it has a place in the plot: work, bytes and time, all known and above zero."""
        return bool(self.flops and self.nbytes and self.seconds > 0)

    @property
    def intensity(self) -> float:
        """Operations a byte; 0 where it is not `drawn`."""
        return (self.flops or 0.0) / self.nbytes if self.nbytes else 0.0

    @property
    def rate(self) -> float:
        """Operations a second that it reached; 0 where it is not `drawn`."""
        return (self.flops or 0.0) / self.seconds if self.seconds > 0 else 0.0


def roofline_numbers(
    layers: Graph, times: Mapping[str, float], model: Model, roofs: Roofs | None = None
) -> list[RooflineNumbers]:
    """Work, bytes and speed of every layer with a time, the slowest first.

    Bytes are those of the layer as it runs: a tensor between nodes that were fused into it is not
    moved. Of a batch normalization behind a product in one layer only the bias is left.

    Args:
        layers: `Engine.layers()`.
        times: layer -> seconds in one run, as `Session.profile` gives.
        model: the network the engine was built from, at the shapes it was run with
            (`Model.with_shapes`); an open first extent counts as 1.
        roofs: `measure.roofs`, for `RooflineNumbers.ceiling`.
    """
    counted = _Counted(model, layers)
    total = sum(times.values()) or 1.0
    rows = []
    for node in executed(layers):
        seconds = times.get(node.name)
        if seconds is None:
            continue
        precision = str(node.attributes.get("precision") or "")
        work, nbytes = counted.work(node), counted.moved(node)
        ceiling = None
        if roofs is not None and work and nbytes:
            ceiling = roofs.attainable(work / nbytes, precision)
        rows.append(
            RooflineNumbers(
                node.name, counted.label(node), counted.kind(node), precision, seconds,
                seconds / total, work, nbytes, counted.is_shared(node), ceiling,
            )
        )  # fmt: skip
    return sorted(rows, key=lambda row: -row.seconds)


class _Counted:
    """A network and its layers while they are counted."""

    def __init__(self, model: Model, layers: Graph) -> None:
        found: Statistics = statistics(model)
        self.layers = layers
        self.graph = model.graph
        self.sizes = found.sizes
        self.flops = {cost.node: cost.flops for cost in found.costs}
        folded = [model.graph.nodes[place] for place in model.folded]
        self.constant = {node.name for node in folded}
        self.stored = {spec.name for spec in (*self.graph.initializers, *layers.initializers)}
        self.stored.update(tensor for node in folded for tensor in node.makes)
        self.times_used = Counter(name for node in executed(layers) for name in node.origin)

    def origin(self, layer: Node) -> list[Node]:
        """The nodes behind a layer that compute something at run time, in the graph's order."""
        names = {*layer.origin} - self.constant
        return [node for node in self.graph.nodes if node.name in names]

    def is_shared(self, layer: Node) -> bool:
        """Whether other layers stand for one of its nodes too."""
        return any(self.times_used[name] > 1 for name in layer.origin)

    def work(self, layer: Node) -> float | None:
        """Operations of a layer."""
        known = [(node.name, self.flops[node.name]) for node in self.origin(layer)]
        if any(flops is None for _, flops in known):
            return None
        return sum((flops or 0) / max(1, self.times_used[name]) for name, flops in known)

    def main(self, layer: Node) -> Node | None:
        """The node that computes most in a layer; None where nothing is behind it."""
        nodes = self.origin(layer)
        return max(nodes, key=lambda node: self.flops[node.name] or 0) if nodes else None

    def kind(self, layer: Node) -> str:
        """The kind of what computes most in a layer."""
        most = self.main(layer)
        found = (kind for kind, types in KINDS.items() if most and most.op_type in types)
        return next(found, OTHER)

    def label(self, layer: Node) -> str:
        """What computes most in a layer, and how many more nodes are behind it."""
        most = self.main(layer)
        if most is None:
            return label_of(layer)
        more = len(layer.origin) - 1
        return f"{most.name} +{more}" if more else most.name

    def moved(self, layer: Node) -> int | None:
        """Bytes a layer reads and writes."""
        precision = str(layer.attributes.get("precision") or "")
        nodes = self.origin(layer)
        border = self._own(layer)
        if border is None:
            border = self._border(nodes, precision)
        sizes = [*border, *(self._size(spec, precision) for spec in self._weights(nodes))]
        return None if any(size is None for size in sizes) else sum(size or 0 for size in sizes)

    def _own(self, layer: Node) -> list[int | None] | None:
        """Sizes of the tensors the layer itself names; None where one of them is not known."""
        names = dict.fromkeys((*layer.reads, *layer.makes))
        sizes = [self.layers.spec(name).nbytes for name in names if name not in self.stored]
        return None if None in sizes or not sizes else sizes

    def _border(self, nodes: list[Node], precision: str) -> list[int | None]:
        """Sizes of the tensors that cross the border of the nodes behind a layer."""
        inside = {node.name for node in nodes}
        made = [tensor for node in nodes for tensor in node.makes]
        outputs = {spec.name for spec in self.graph.outputs}
        leaving = [
            tensor
            for tensor in made
            if tensor in outputs
            or any(
                self.graph.nodes[place].name not in inside
                for place in self.graph.consumers.get(tensor, ())
            )
        ]
        entering = [
            tensor
            for node in nodes
            for tensor in node.reads
            if tensor not in made and tensor not in self.stored
        ]
        crossing = dict.fromkeys((*entering, *leaving))
        return [self._size(self.graph.spec(name), precision) for name in crossing] or [None]

    def _weights(self, nodes: list[Node]) -> Iterable[TensorSpec]:
        """Stored tensors the nodes read, each once."""
        found: dict[str, TensorSpec] = {}
        product = False
        for node in nodes:
            reads = node.reads
            if node.op_type == "BatchNormalization" and product:
                reads = reads[2:3]
            product = product or node.op_type in KINDS["convolution"] | KINDS["matrix product"]
            found.update((name, self.graph.spec(name)) for name in reads if name in self.stored)
        return found.values()

    def _size(self, spec: TensorSpec, precision: str) -> int | None:
        """Bytes of a tensor of the network, floating-point ones in the layer's precision."""
        dims = spec.shape or ()
        shape = tuple(self.sizes.get(dim, dim) if isinstance(dim, str) else dim for dim in dims)
        known = precision in ITEM_BITS and spec.dtype in _FLOATS
        dtype = precision if known else spec.dtype
        return TensorSpec(spec.name, dtype, None if spec.shape is None else shape).nbytes
