"""Where quantization goes in a network: which products, and which tensors on their way in.

Two layouts are known. TensorRT wants pairs of QuantizeLinear and DequantizeLinear on what products
*read* and nothing between a product and its activation. ONNX Runtime wants them on what products
*write*, so that every kernel has 8 bits on both sides. This module decides and changes nothing.

Source of TensorRT's rules: its developer guide, "Working with Quantized Types", and what TensorRT
8.6 to RTX 1.7 were seen to do; of ONNX Runtime's: its QDQ selectors and actions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from workbench.graph import Graph, Node
from workbench.model import Draft
from workbench.precision import Precision, Resolution

PRODUCTS = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
SUMS = frozenset({"Add", "Sum"})
SAME_VALUES = frozenset(
    {"MaxPool", "Concat", "Flatten", "Reshape", "Squeeze", "Transpose", "Unsqueeze"}
)
"""Operators that only choose or move values: 8 bits in are 8 bits out, exactly, at one scale."""

ACTIVATIONS = frozenset({"Relu", "Clip"})
AVERAGES = frozenset({"AveragePool", "GlobalAveragePool"})

_SUM = (
    "its skip branch is INT8; the sum is taken in the product's accumulator, unless an engine "
    "fuses both"
)

Use = tuple[str, int]
"""A node and the position of one of its inputs."""


@dataclass
class Placement:
    """What is to be quantized."""

    products: list[str] = field(default_factory=list)
    """Nodes whose weights and inputs are quantized, in graph order."""
    uses: dict[str, set[Use]] = field(default_factory=dict)
    """Tensor -> the places that read it through a pair; for ONNX Runtime: all that read it."""
    kept: dict[str, str] = field(default_factory=dict)
    """Node that was to be INT8 -> why it is not."""
    classes: dict[str, str] = field(default_factory=dict)
    """Tensor -> representative of the tensors that must have one scale with it."""

    def root(self, tensor: str) -> str:
        """The representative of a tensor's class."""
        while self.classes.get(tensor, tensor) != tensor:
            tensor = self.classes[tensor]
        return tensor

    def join(self, first: str, second: str) -> None:
        """Give two tensors, and all that go with them, one scale."""
        self.classes[self.root(second)] = self.root(first)

    def members(self) -> dict[str, list[str]]:
        """Representative -> the tensors of its class that are used, for every class."""
        found: dict[str, list[str]] = {}
        for tensor in dict.fromkeys((*self.uses, *self.classes)):
            found.setdefault(self.root(tensor), []).append(tensor)
        return found


def weight_axis(node: Node, weight: np.ndarray) -> int | None:
    """Axis of the output channels in a product's weight; None where one scale must do for all.

    Source: TensorRT's operator rules; ONNX Runtime's quantizer uses the same axes.
    """
    if node.op_type == "Conv":
        return 0
    if node.op_type == "ConvTranspose":
        return 1
    if node.op_type == "Gemm":
        return 0 if node.attributes.get("transB", 0) else 1
    return 1 if weight.ndim == 2 else None


def products_to_quantize(
    draft: Draft, wanted: Resolution, origin: Mapping[str, Iterable[str]], *, first: bool,
    last: bool,
) -> Placement:  # fmt: skip
    """The products that become INT8, and for every other node that was asked to the reason.

    Args:
        draft: the network, batch normalization folded.
        wanted: precisions of the user's nodes.
        origin: node of the draft -> the user's nodes in it.
        first: whether products that nothing else comes before may be quantized.
        last: whether products that nothing else comes after may be.
    """
    placement = Placement()
    ends = _ends(draft.graph)
    for node in draft.graph.nodes:
        asked = [name for name in origin.get(node.name, (node.name,)) if name in wanted.precisions]
        if not asked or wanted[asked[0]] is not Precision.INT8:
            continue
        why = _unfit(draft, node)
        if not why and node.name in ends[0] and not first:
            why = "the first products are kept in float"
        if not why and node.name in ends[1] and not last:
            why = "the last products are kept in float"
        if why:
            placement.kept[node.name] = why
        else:
            placement.products.append(node.name)
    return placement


def _unfit(draft: Draft, node: Node) -> str:
    """Why a node cannot be an INT8 product; empty if it can."""
    if node.op_type not in PRODUCTS or node.domain:
        return (
            f"{node.op_type} has no INT8 form of its own; it runs in INT8 only where an engine "
            "fuses it with a product or passes 8 bits through"
        )
    graph = draft.graph
    makers = [graph.producer.get(name) for name in node.inputs[:2]]
    if any(i is not None and graph.nodes[i].op_type == "DequantizeLinear" for i in makers):
        return "it came quantized"
    if graph.spec(node.outputs[0]).dtype not in ("float32", ""):
        return f"it computes in {graph.spec(node.outputs[0]).dtype}; quantize before casting"
    weight = draft.values(node.inputs[1])
    if weight is None:
        return "" if node.op_type == "MatMul" else "its weight is computed, not stored"
    if draft.values(node.inputs[0]) is not None:
        return "its input is a constant"
    if weight.dtype != np.float32:
        return f"its weight is {weight.dtype}, not float32"
    if not weight.any():
        return "its weight is zero everywhere"
    return ""


def _ends(graph: Graph) -> tuple[set[str], set[str]]:
    """Products that no product comes before, and products that none comes after."""
    before, after = [False] * len(graph.nodes), [False] * len(graph.nodes)
    ends: tuple[set[str], set[str]] = (set(), set())
    for order, near, seen, end in (
        (graph.order, graph.predecessors, before, ends[0]),
        (reversed(graph.order), graph.successors, after, ends[1]),
    ):
        for i in order:
            node = graph.nodes[i]
            earlier = any(seen[j] for j in near[i])
            if node.op_type in PRODUCTS and not earlier:
                end.add(node.name)
            seen[i] = earlier or node.op_type in PRODUCTS
    return ends


def place_for_tensorrt(draft: Draft, placement: Placement, wanted: set[str]) -> None:
    """Pairs on what products read, on the skip branch of sums, and in front of pooling.

    Of a residual sum only the skip branch gets a pair: the other stays in the convolution's own
    float accumulator, so that Conv, Add and Relu become one kernel. Pairs on both were refused by
    TensorRT 8.6 (``toExpr: Assertion outScales.size() == 1``).

    Pooling and concatenation get pairs where all that read them are quantized: then what is before
    them can write 8 bits. Since they only choose values, and get the scale their readers have, this
    changes no number.

    Args:
        draft: the network.
        placement: filled further.
        wanted: nodes of the draft that may take part.
    """
    graph = draft.graph
    for name in placement.products:
        node = draft.nodes[name]
        for i in (0, 1) if draft.values(node.inputs[1]) is None else (0,):
            placement.uses.setdefault(node.inputs[i], set()).add((name, i))
    depth = _depths(graph)
    for node in graph.nodes:
        if node.op_type in SUMS and node.name in wanted:
            skip = _skip_branch(graph, node, set(placement.products), depth)
            if skip is not None:
                placement.uses.setdefault(node.inputs[skip], set()).add((node.name, skip))
                placement.kept[node.name] = _SUM
    for i in reversed(graph.order):
        node = graph.nodes[i]
        if node.op_type in ("MaxPool", "Concat") and node.name in wanted:
            _pass_through(draft, placement, node)


def _depths(graph: Graph) -> list[int]:
    """For each node the most products on a path to it."""
    depth = [0] * len(graph.nodes)
    for i in graph.order:
        own = graph.nodes[i].op_type in PRODUCTS
        depth[i] = max((depth[j] for j in graph.predecessors[i]), default=0) + own
    return depth


def _skip_branch(graph: Graph, node: Node, products: set[str], depth: list[int]) -> int | None:
    """Which of two summed tensors is the skip branch; None where this is no residual sum."""
    if len(node.inputs) != 2 or node.inputs[0] == node.inputs[1]:
        return None
    shapes = [graph.spec(name).shape for name in node.inputs]
    makers = [graph.producer.get(name) for name in node.inputs]
    if shapes[0] is None or shapes[0] != shapes[1] or None in makers:
        return None
    main = [
        i
        for i, maker in enumerate(makers)
        if maker is not None
        and graph.nodes[maker].name in products
        and len(graph.consumers[node.inputs[i]]) == 1
    ]
    if not main:
        return None
    return 1 - max(main, key=lambda i: (depth[makers[i] or 0], -i))


def _pass_through(draft: Draft, placement: Placement, node: Node) -> None:
    graph, made = draft.graph, node.outputs[0]
    readers = {
        (graph.nodes[j].name, i)
        for j in graph.consumers.get(made, ())
        for i, name in enumerate(graph.nodes[j].inputs)
        if name == made
    }
    outputs = {spec.name for spec in graph.outputs}
    inputs = [name for name in node.reads if draft.values(name) is None]
    single = len(node.makes) == 1 and len(inputs) == len(node.reads)
    if not readers or made in outputs or not single or readers != placement.uses.get(made):
        return
    for i, name in enumerate(node.inputs):
        placement.uses.setdefault(name, set()).add((node.name, i))
        placement.join(made, name)
    placement.kept.pop(node.name, None)


def place_for_onnxruntime(draft: Draft, placement: Placement, wanted: set[str]) -> None:
    """Pairs on what products and the operators between them write, activation included.

    ONNX Runtime turns an operator into its 8-bit kernel when all it reads comes from a
    DequantizeLinear and what it writes goes to a QuantizeLinear only; so all readers of a quantized
    tensor read it back.

    Args:
        draft: the network.
        placement: filled further.
        wanted: nodes of the draft that may take part.
    """
    graph = draft.graph
    products = set(placement.products)
    for i in graph.order:
        node = graph.nodes[i]
        dynamic = [name for name in node.reads if draft.values(name) is None]
        if node.name in products:
            for name in dynamic:
                _quantize_all(graph, placement, name)
        elif (
            not _passes_8_bits(node)
            or node.name not in wanted
            or not dynamic
            or any(name not in placement.uses for name in dynamic)
        ):
            continue
        _quantize_output(graph, placement, node)
        placement.kept.pop(node.name, None)
        if node.op_type in SAME_VALUES and node.op_type != "Concat":
            placement.join(node.inputs[0], node.outputs[0])


def _passes_8_bits(node: Node) -> bool:
    return not node.domain and (
        node.op_type == "Add" or node.op_type in SAME_VALUES or node.op_type in AVERAGES
    )


def _quantize_output(graph: Graph, placement: Placement, node: Node) -> None:
    """Quantize what a node makes, after its activation; not what the model gives out."""
    made = node.outputs[0]
    readers = graph.consumers.get(made, ())
    if len(readers) == 1 and graph.nodes[readers[0]].op_type in ACTIVATIONS:
        placement.kept.pop(graph.nodes[readers[0]].name, None)
        made = graph.nodes[readers[0]].outputs[0]
    _quantize_all(graph, placement, made)


def _quantize_all(graph: Graph, placement: Placement, tensor: str) -> None:
    if tensor in {spec.name for spec in graph.outputs}:
        return
    placement.uses[tensor] = {
        (graph.nodes[j].name, i)
        for j in graph.consumers.get(tensor, ())
        for i, name in enumerate(graph.nodes[j].inputs)
        if name == tensor
    }
