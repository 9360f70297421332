"""What is looked at in a graph before OpenVINO gets it."""

from __future__ import annotations

from workbench.backends.openvino.asking import is_double
from workbench.backends.openvino.library import NAME, has_fp16
from workbench.backends.pieces import known_specs
from workbench.errors import BuildError
from workbench.graph import Graph, Node
from workbench.text import listed, shown

_CROSSES = frozenset(
    {"float32", "float16", "bfloat16", "float8e4m3fn", "float8e5m2", "bool", "int8", "uint8",
     "int16", "uint16", "int32", "uint32", "int64", "uint64", "float64"}
)  # fmt: skip
_TYPE_CHANGES = frozenset({"Cast", "CastLike", "QuantizeLinear", "DequantizeLinear"})
_POINTWISE = frozenset(
    [
        "Abs",
        "Add",
        "And",
        "BitwiseAnd",
        "BitwiseNot",
        "BitwiseOr",
        "BitwiseXor",
        "Ceil",
        "Celu",
        "Clip",
        "Cos",
        "Div",
        "Elu",
        "Equal",
        "Erf",
        "Exp",
        "Floor",
        "Gelu",
        "Greater",
        "GreaterOrEqual",
        "HardSigmoid",
        "HardSwish",
        "LeakyRelu",
        "Less",
        "LessOrEqual",
        "Log",
        "Max",
        "Min",
        "Mish",
        "Mod",
        "Mul",
        "Neg",
        "Not",
        "Or",
        "PRelu",
        "Pow",
        "Reciprocal",
        "Relu",
        "Round",
        "Selu",
        "Sigmoid",
        "Sign",
        "Sin",
        "Softplus",
        "Softsign",
        "Sqrt",
        "Sub",
        "Sum",
        "Swish",
        "Tanh",
        "ThresholdedRelu",
        "Where",
        "Xor",
    ]
)
_LONGEST_POINTWISE = 200
"""Joined pointwise nodes from which on OpenVINO's JIT of them is switched off.

It packs a chain into one kernel and its time grows faster than with the square: 1 s for 500 nodes,
over 4 minutes for 10,000. Measured with OpenVINO 2026.4.
"""


def precision_hint(graph: Graph) -> str:
    """``f32``, or ``f16`` where the model computes in float16 alone and the CPU can.

    With ``f32`` OpenVINO computes bfloat16 and INT8 nodes as they are typed, and never lower than
    typed; ``f16`` on a CPU without it would silently mean bfloat16.
    """
    specs = {spec.name: spec.dtype for spec in (*graph.tensors, *graph.outputs)}
    computed = {
        specs.get(name, "")
        for node in graph.nodes
        if node.op_type not in _TYPE_CHANGES
        for name in node.makes
    }
    floats = {dtype for dtype in computed if dtype.startswith(("float", "bfloat")) or not dtype}
    return "f16" if floats == {"float16"} and has_fp16() else "f32"


def refuse_types(graph: Graph) -> None:
    """Refuse a model whose numbers OpenVINO would change.

    Raises:
        BuildError: an element type that cannot cross into an engine, or float64 arithmetic.
    """
    for spec in (*graph.inputs, *graph.outputs):
        if spec.dtype not in _CROSSES:
            raise BuildError(
                f"{shown(spec.name)} is {shown(spec.dtype) or 'of unknown type'}, which cannot "
                "cross into an OpenVINO engine; keep it out of the engine",
                backend=NAME,
                subgraph=tuple(node.name for node in graph.nodes),
            )
    specs = known_specs(graph)
    lossy = [node.name for node in graph.nodes if is_double(node, specs)]
    if lossy:
        raise BuildError(
            f"OpenVINO's CPU plugin computes float64 in float32: {listed(lossy)}; keep these nodes "
            "out of the engine, or cast the model to float32",
            backend=NAME,
            subgraph=tuple(lossy),
        )


def too_pointwise(graph: Graph) -> bool:
    """Whether so many pointwise nodes are joined that OpenVINO's JIT of them must be off."""
    return _joined_pointwise(graph) > _LONGEST_POINTWISE


def _joined_pointwise(graph: Graph) -> int:
    """Nodes in the largest group of pointwise nodes joined by edges."""
    group: dict[int, int] = {}

    def root(i: int) -> int:
        while group[i] != i:
            group[i] = group[group[i]]
            i = group[i]
        return i

    def pointwise(node: Node) -> bool:
        return not node.domain and node.op_type in _POINTWISE

    sizes: dict[int, int] = {}
    for i in graph.order:
        if not pointwise(graph.nodes[i]):
            continue
        group[i], sizes[i] = i, 1
        for j in graph.predecessors[i]:
            if j in group and (a := root(j)) != (b := root(i)):
                group[a] = b
                sizes[b] += sizes.pop(a)
    return max(sizes.values(), default=0)
