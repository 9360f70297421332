"""Where every ONNX node went: into a layer, folded, removed, or nowhere to be found.

TensorRT names the nodes it runs; it never says what it dropped. Folded and removed nodes are
therefore worked out from the ONNX graph: what a constant expression is, which operators change
nothing at inference, what only computes shapes. A node for which no reason holds is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from workbench.graph import Graph, Node

_SAME = frozenset({"Identity", "Dropout"})
_VIEWS = frozenset({"Reshape", "Flatten", "Squeeze", "Unsqueeze"})
_PLACED = frozenset(
    {"Transpose", "DepthToSpace", "SpaceToDepth", "Concat", "Split", "Slice", "Expand", "Pad"}
)
_SHAPE_INPUTS: Mapping[str, tuple[int, ...]] = {
    "Reshape": (1,), "Expand": (1,), "Slice": (1, 2, 3, 4), "Resize": (1, 2, 3), "Upsample": (1,),
    "Tile": (1,), "ConstantOfShape": (0,), "Range": (0, 1, 2), "Pad": (1, 3), "Unsqueeze": (1,),
    "Squeeze": (1,), "ReduceSum": (1,), "ReduceMean": (1,), "ReduceMax": (1,), "TopK": (1,),
    "Split": (1,), "OneHot": (1,), "Gather": (1,), "Shape": (0,), "Size": (0,),
}  # fmt: skip
_WEIGHTED = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
_INTO_WEIGHTS = frozenset({"BatchNormalization", "Mul", "Div", "Add", "Sub"})
_QUANTIZE = frozenset({"QuantizeLinear", "DequantizeLinear"})


@dataclass(frozen=True)
class Account:
    """What became of each ONNX node; every node is in exactly one of the four, in graph order."""

    layer: Mapping[str, tuple[str, ...]] = field(hash=False)
    """Node -> the layers that run it; helper layers only where there is no other."""
    folded: Mapping[str, str] = field(hash=False)
    """Node of a constant expression -> why it could be computed at build time."""
    removed: Mapping[str, str] = field(hash=False)
    """Node that runs nowhere -> the reason."""
    missing: tuple[str, ...] = ()
    """Nodes for which neither a layer nor a reason was found."""

    @property
    def complete(self) -> bool:
        """Whether every node is accounted for."""
        return not self.missing


def account(onnx_graph: Graph, engine_graph: Graph) -> Account:
    """Where each node of the ONNX graph is in the engine's graph.

    Args:
        onnx_graph: what the engine was built from.
        engine_graph: its layers, made by `to_graph` with that ONNX graph.
    """
    layers = _layers(engine_graph)
    constant = _constants(onnx_graph)
    folded: dict[str, str] = {}
    removed: dict[str, str] = {}
    missing: list[str] = []
    running: dict[str, tuple[str, ...]] = {}
    view = _View(onnx_graph, constant, layers)
    for i, node in enumerate(onnx_graph.nodes):
        if node.name in layers:
            running[node.name] = layers[node.name]
        elif i in constant:
            folded[node.name] = constant[i]
        elif reason := view.reason(i):
            removed[node.name] = reason
        else:
            missing.append(node.name)
    return Account(running, folded, removed, tuple(missing))


def _layers(engine_graph: Graph) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[list[str], list[str]]] = {}
    for node in engine_graph.nodes:
        for name in node.origin:
            found.setdefault(name, ([], []))["helper" in node.attributes].append(node.name)
    return {name: tuple(own or helpers) for name, (own, helpers) in found.items()}


def _constants(graph: Graph) -> dict[int, str]:
    """Places of nodes that compute with constants only, and why; random sources are none."""
    fixed = {spec.name for spec in graph.initializers} - {spec.name for spec in graph.inputs}
    shapes = {spec.name: spec for spec in graph.specs.values()}
    found: dict[int, str] = {}
    for i in graph.order:
        node = graph.nodes[i]
        if "Random" in node.op_type or node.op_type in ("Bernoulli", "Multinomial"):
            continue
        spec = shapes.get(node.reads[0]) if node.reads else None
        static = spec is not None and spec.elements is not None
        if all(name in fixed for name in node.reads):
            found[i] = "all its inputs are constants" if node.reads else "a constant"
        elif node.op_type in ("Shape", "Size") and static:
            found[i] = f"the shape of {node.reads[0]!a} is fixed"
        else:
            continue
        fixed.update(node.makes)
    return found


class _View:
    """Reasons why nodes that no layer names may be gone, tried in order."""

    def __init__(
        self, graph: Graph, constant: Mapping[int, str], layers: Mapping[str, object]
    ) -> None:
        self._graph, self._constant, self._layers = graph, constant, layers
        self._given = {spec.name for spec in graph.inputs}
        self._ends = {spec.name for spec in graph.outputs}
        self._unused = self._closed(lambda reader, place: False)
        self._sizes = self._closed(
            lambda reader, place: place in _SHAPE_INPUTS.get(reader.op_type, ())
        )

    def reason(self, i: int) -> str:
        """Why node `i` runs in no layer, or ``""``."""
        own = self._own_reason(i)
        return own or (self._absorbed(self._graph.nodes[i]) if self._between_layers(i) else "")

    def _own_reason(self, i: int) -> str:
        """A reason that needs no layer around the node."""
        node = self._graph.nodes[i]
        tests: Iterable[tuple[bool, str]] = (
            (i in self._unused, "nothing uses what it computes"),
            (node.op_type in _SAME, f"{node.op_type} changes nothing at inference"),
            (node.op_type == "Cast" and self._same_type(node), "casts to the type it has"),
            (i in self._sizes, "computes only shapes: done at build time or on the host"),
            (self._into_weights(node), "folded into the weights of the layer before or after it"),
            (self._pools_nothing(node), "pools over one element"),
        )
        return next((reason for holds, reason in tests if holds), "")

    @staticmethod
    def _absorbed(node: Node) -> str:
        """The reason why the layers around it may do its work."""
        if node.op_type in _QUANTIZE:
            return "moved or merged with the quantization beside it"
        if node.op_type in _VIEWS:
            return "only renames extents: absorbed by the layers around it"
        if node.op_type in _PLACED:
            return "only moves data: the layers around it address it in place"
        if node.op_type == "Cast":
            return "done where the layers around it read or write"
        return ""

    def _between_layers(self, i: int) -> bool:
        """Whether everything around `i` and the like of it runs in layers, or is the border."""
        graph = self._graph
        for steps in (graph.predecessors, graph.successors):
            seen, waiting = {i}, [i]
            while waiting:
                for j in steps[waiting.pop()]:
                    node = graph.nodes[j]
                    if j in seen or j in self._constant or node.name in self._layers:
                        continue
                    if not (self._absorbed(node) or self._own_reason(j)):
                        return False
                    seen.add(j)
                    waiting.append(j)
        return True

    def _closed(self, allowed: Callable[[Node, int], bool]) -> set[int]:
        """Places of nodes all of whose readers are in the set, or read them as `allowed`."""
        graph, found = self._graph, set[int]()
        for i in reversed(graph.order):
            node = graph.nodes[i]
            if self._ends.intersection(node.makes):
                continue
            uses = (
                j in found or any(n == name and allowed(graph.nodes[j], k) for k, n in places)
                for name in node.makes
                for j in graph.consumers.get(name, ())
                for places in [tuple(enumerate(graph.nodes[j].inputs))]
            )
            if all(uses):
                found.add(i)
        return found

    def _same_type(self, node: Node) -> bool:
        before, after = self._graph.spec(node.reads[0]).dtype, self._graph.spec(node.makes[0]).dtype
        return bool(before) and before == after

    def _into_weights(self, node: Node) -> bool:
        """A scale, bias or normalization by constants, next to a weighted node that is there."""
        graph, position = self._graph, self._graph.position[node.name]
        if node.op_type not in _INTO_WEIGHTS:
            return False
        data = [j for j in graph.predecessors[position] if j not in self._constant]
        near = [*data, *graph.successors[position]] if len(data) <= 1 else []
        return any(
            graph.nodes[j].op_type in _WEIGHTED and graph.nodes[j].name in self._layers
            for j in near
        )

    @staticmethod
    def _pools_nothing(node: Node) -> bool:
        kernel = node.attributes.get("kernel_shape")
        return node.op_type in ("MaxPool", "AveragePool") and bool(kernel) and set(kernel) == {1}
