"""What the types of a model ask for: the wish behind a model that was made elsewhere."""

from __future__ import annotations

from workbench.graph import Graph, Node
from workbench.precision.resolution import Precision, Resolution

_BY_DTYPE = {
    "float16": Precision.FP16, "bfloat16": Precision.BF16, "int8": Precision.INT8,
    "uint8": Precision.INT8,
}  # fmt: skip
_WEIGHTED = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})


def asked(graph: Graph) -> Resolution:
    """What the types of a model ask for, node by node.

    A product that reads what a DequantizeLinear makes is meant to be INT8; other nodes are meant
    to compute in the type of their first result, float32 where that is not known or no float.
    """
    found = {node.name: _asked(graph, node) for node in graph.nodes}
    return Resolution(found, dict.fromkeys(found, "the model's types"))


def _asked(graph: Graph, node: Node) -> Precision:
    if node.op_type in _WEIGHTED:
        maker = graph.producer.get(next(iter(node.reads), ""))
        if maker is not None and graph.nodes[maker].op_type == "DequantizeLinear":
            return Precision.INT8
    dtype = next((graph.spec(tensor).dtype for tensor in node.makes), "")
    return _BY_DTYPE.get(dtype, Precision.FP32)
