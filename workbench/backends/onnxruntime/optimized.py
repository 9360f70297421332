"""The network as ONNX Runtime rewrote it, with the original nodes behind each of its nodes."""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping
from typing import Any

import onnx

from workbench import scratch
from workbench.backends.base import LAYER_DOMAIN
from workbench.backends.onnxruntime import gpu
from workbench.backends.onnxruntime.library import NAME, PROVIDERS, library, session_options
from workbench.backends.origin import attributed
from workbench.backends.records import unique, unrun_layers
from workbench.graph import Graph, Node, TensorSpec

_BLOCKED = "com.microsoft.nchwc"
_REORDERS = frozenset({"ReorderInput", "ReorderOutput"})
_BLOCKED_SUFFIX = re.compile(r"(_bn|_mul)?_nchwc$")
_REPLACED_SUFFIX = re.compile(r"_token_\d+$")
_COPIED_SUFFIX = "/duplicated"
_INSERTED_CAST = "InsertedPrecisionFreeCast_"
_SHORT = {"float": "float32", "double": "float64"}
_QUANTIZED = ("QLinear", "QGemm", "QAttention", "ConvInteger", "MatMulInteger", "DynamicQuantize")
"""How operators that compute in 8 bits begin, whatever they give out."""
_EIGHT_BITS = frozenset({"int8", "uint8"})
_DTYPES = {
    value: _SHORT.get(name.lower(), name.lower())
    for name, value in onnx.TensorProto.DataType.items()
}


def optimize(
    model: bytes, threads: int, chosen: Mapping[str, Any], device: str = "cpu"
) -> tuple[bytes, onnx.ModelProto]:
    """The model as ONNX Runtime runs it after its graph optimizations, every node named uniquely.

    Args:
        model: a self-contained ONNX model.
        threads: as for the sessions.
        chosen: from `settings`.
        device: ``cpu`` or ``cuda``.
    """
    options = session_options(threads, chosen["graph_optimization_level"], chosen)
    providers = list(PROVIDERS) if device == "cpu" else gpu.providers({})
    with scratch.folder() as folder:
        path = folder / "optimized.onnx"
        options.optimized_model_filepath = str(path)
        gpu.refuse_other(library().InferenceSession(model, options, providers=providers), device)
        content = path.read_bytes()
    proto = onnx.load_model_from_string(content)
    if _name_uniquely(proto):
        content = proto.SerializeToString()
    return content, proto


def _name_uniquely(proto: onnx.ModelProto) -> bool:
    """Name nodes that have no name or one that is taken; whether there were any."""
    taken: set[str] = set()
    renamed = False
    for node in proto.graph.node:
        name = unique(node.name or node.op_type, taken)
        if name != node.name:
            node.name, renamed = name, True
    return renamed


def layer_graph(graph: Graph, proto: onnx.ModelProto, values: Mapping[str, Hashable]) -> Graph:
    """The layers of an optimized model.

    Args:
        graph: the graph of the model before.
        proto: from `optimize`.
        values: content of small stored tensors.
    """
    stored = {tensor.name for tensor in proto.graph.initializer}
    maker = {tensor: node for node in proto.graph.node for tensor in node.output}
    reads = {
        node.name: [maker[tensor].name for tensor in node.input if tensor in maker]
        for node in proto.graph.node
    }
    attribution = attributed(graph, _claims(graph, proto), reads, values)
    specs = {spec.name: spec for spec in (*graph.tensors, *graph.inputs, *graph.outputs)}
    specs |= {info.name: _spec(info) for info in proto.graph.value_info}
    dtypes = {name: spec.dtype for name, spec in specs.items()}
    dtypes |= {tensor.name: _DTYPES.get(tensor.data_type, "") for tensor in proto.graph.initializer}
    nodes = [
        _layer(node, attribution.origin[node.name], stored, _precision(node, dtypes))
        for node in proto.graph.node
    ]
    nodes += unrun_layers(attribution, attribution.origin)
    made = {name for node in nodes for name in node.makes}
    inner = tuple(specs[name] for name in sorted(made & specs.keys()))
    return Graph(graph.name, graph.inputs, graph.outputs, tuple(nodes), tensors=inner)


def _claims(graph: Graph, proto: onnx.ModelProto) -> dict[str, list[str]]:
    """Layer -> the original nodes it surely holds: the makers of its outputs, and its namesake.

    In blocked layout outputs have new names. The name of a layer is then that of the old output
    plus suffixes, and where the layout is changed back, the old tensor appears behind it.
    """
    claims: dict[str, list[str]] = {}
    shown_as = {
        node.input[0]: node.output[0]
        for node in proto.graph.node
        if node.domain == _BLOCKED and node.op_type == "ReorderOutput"
    }
    layers = {node.name for node in proto.graph.node}
    for node in proto.graph.node:
        if (node.op_type == "Cast" and node.name.startswith(_INSERTED_CAST)) or (
            node.domain == _BLOCKED and node.op_type in _REORDERS
        ):
            claims[node.name] = []
            continue
        tensors = {*node.output, *(shown_as.get(name, "") for name in node.output)}
        if node.domain == _BLOCKED:
            tensors.add(_BLOCKED_SUFFIX.sub("", node.name))
        # What runs in float32 for want of a float16 kernel makes tensors of a new name.
        tensors |= {name.removeprefix(_INSERTED_CAST) for name in tensors}
        made = [graph.producer[tensor] for tensor in tensors if tensor in graph.producer]
        names = [graph.nodes[i].name for i in sorted(made)]
        claims[node.name] = [*names, *_namesake(graph, node, layers)]
    return claims


def _namesake(graph: Graph, node: onnx.NodeProto, layers: set[str]) -> list[str]:
    """The original node a layer is called after: by its name, or by what it was copied from.

    ONNX Runtime marks copies with one suffix, replacements with another, and with the second also
    what it puts in by itself; so kinds must agree, and nothing may carry a replaced node's name.
    """
    if node.name in graph.position:
        return [node.name]
    plain = _REPLACED_SUFFIX.sub("", node.name)
    name = plain.removesuffix(_COPIED_SUFFIX)
    copied = name != plain
    place = graph.position.get(name)
    if place is None or not node.op_type.endswith(graph.nodes[place].op_type):
        return []
    return [name] if copied or name not in layers else []


def _precision(node: onnx.NodeProto, dtypes: dict[str, str]) -> str:
    """The dtype a node computes in; notes the dtypes of outputs that had none so far.

    ONNX Runtime casts around nodes it has no kernel for and gives the tensors between new names.
    These are of the type cast to, and where nothing is cast, of the type that goes in.
    """
    to = next((_DTYPES.get(item.i, "") for item in node.attribute if item.name == "to"), "")
    read = [dtypes[name] for name in node.input if dtypes.get(name)]
    small = next((dtype for dtype in read if dtype in _EIGHT_BITS), "")
    # Of what QLinear operators read, scales come first and are float; what they give out is not.
    given = (node.op_type.startswith("QLinear") and small) or next(iter(read), "")
    for name in node.output:
        if not dtypes.get(name):
            dtypes[name] = to if node.op_type == "Cast" else given
    if small and node.op_type.startswith(_QUANTIZED):
        return small
    return next((dtypes[name] for name in node.output if name), "")


def _layer(node: onnx.NodeProto, origin: tuple[str, ...], stored: set[str], precision: str) -> Node:
    domain = (node.domain or NAME) if origin else LAYER_DOMAIN
    attributes = {
        "precision": precision,
        "kernel": f"{node.domain or 'ai.onnx'}.{node.op_type}",
        "layout": "blocked" if node.domain == _BLOCKED else "",
    }
    inputs = tuple("" if name in stored else name for name in node.input)
    return Node(node.name, node.op_type, domain, inputs, tuple(node.output), attributes, origin)


def _spec(info: onnx.ValueInfoProto) -> TensorSpec:
    kind = info.type.tensor_type
    shape = None
    if kind.HasField("shape"):
        shape = tuple(
            dim.dim_value if dim.HasField("dim_value") else dim.dim_param or "?"
            for dim in kind.shape.dim
        )
    return TensorSpec(info.name, _DTYPES.get(kind.elem_type, ""), shape)
