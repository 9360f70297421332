"""What a weakly typed builder must be told so that it may compute in a model's types.

TensorRT 8.6 keeps a network's types only where flags allow them; from 10 on the types alone decide.
"""

from __future__ import annotations

from workbench.graph import Graph
from workbench.precision.resolution import Precision, Resolution


def builder_flags(graph: Graph) -> tuple[str, ...]:
    """Names of the ``BuilderFlag`` members that the types in a graph ask for, in a fixed order.

    Source: TensorRT 8.6 developer guide, "Reduced Precision"; INT8 there means Q/DQ in the graph.
    """
    dtypes = {spec.dtype for spec in (*graph.tensors, *graph.initializers, *graph.outputs)}
    quantized = any(node.op_type == "QuantizeLinear" for node in graph.nodes)
    flags = {"FP16": "float16" in dtypes, "BF16": "bfloat16" in dtypes, "INT8": quantized}
    return tuple(flag for flag, wanted in flags.items() if wanted)


def uses_tf32(resolution: Resolution) -> bool:
    """Whether TF32 may be on for the engine: some nodes ask for it and none for strict FP32.

    The switch is one for the whole engine (`BuildConfig.tf32`); strict FP32 anywhere turns it off.
    """
    asked = set(resolution.precisions.values())
    return Precision.TF32 in asked and Precision.FP32 not in asked
