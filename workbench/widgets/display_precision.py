"""What an engine's layers compute in against what its model's types ask for, as a table."""

from __future__ import annotations

from workbench import markup
from workbench.graph import Graph, Node
from workbench.precision import Precision, Resolution, achieved
from workbench.text import listed, plural

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


def precision_parts(layers: Graph, graph: Graph) -> tuple[str, list[str]]:
    """A line in words and pieces of HTML; nothing where no layer says what it computes in.

    Args:
        layers: of an engine, their origins name nodes of `graph`.
        graph: the model it was built from.
    """
    audit = achieved(layers, asked(graph), graph)
    known = [one for one in audit.layers if one.achieved is not None]
    if not known:
        return "", []
    departures = len(audit.departures)
    words = f"{plural(len(known), 'layer')} say what they compute in; " + (
        f"{departures} not in what the model's types ask for"
        if departures
        else "all in what the model's types ask for"
    )
    rows = [
        (one.layer, one.requested.value, one.achieved, str(one.outcome), listed(one.origin, 3))
        for one in sorted(known, key=lambda one: not one.silent)
    ]
    header = ("layer", "asked for", "computed in", "outcome", "stands for")
    return words, [markup.folded(words, markup.table(header, rows, most=30))]
