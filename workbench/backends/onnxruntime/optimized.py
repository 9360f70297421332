"""The network as ONNX Runtime rewrote it, with the original nodes behind each of its nodes."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx

from workbench.backends.base import LAYER_DOMAIN
from workbench.backends.onnxruntime.library import NAME, PROVIDERS, library, session_options
from workbench.backends.origin import attributed
from workbench.backends.records import unique, unrun_layers
from workbench.graph import Graph, Node, TensorSpec

_BLOCKED = "com.microsoft.nchwc"
_REORDERS = frozenset({"ReorderInput", "ReorderOutput"})
_BLOCKED_SUFFIX = "_nchwc"
_DTYPES = {
    value: name.lower().removesuffix("fn").replace("float8e4m3", "float8e4m3fn")
    for name, value in onnx.TensorProto.DataType.items()
} | {onnx.TensorProto.FLOAT: "float32", onnx.TensorProto.DOUBLE: "float64"}


def optimize(model: bytes, threads: int, chosen: Mapping[str, Any]) -> onnx.ModelProto:
    """The model as ONNX Runtime runs it after its graph optimizations, every node named uniquely.

    Args:
        model: a self-contained ONNX model.
        threads: as for the sessions.
        chosen: from `settings`.
    """
    options = session_options(threads, chosen["graph_optimization_level"], chosen)
    with tempfile.TemporaryDirectory(prefix="workbench-") as folder:
        path = Path(folder) / "optimized.onnx"
        options.optimized_model_filepath = str(path)
        library().InferenceSession(model, options, providers=list(PROVIDERS))
        proto = onnx.load_model(path, load_external_data=True)
    taken: set[str] = set()
    for node in proto.graph.node:
        node.name = unique(node.name or node.op_type, taken)
    return proto


def layer_graph(graph: Graph, proto: onnx.ModelProto) -> Graph:
    """The layers of an optimized model.

    Args:
        graph: the graph of the model before.
        proto: from `optimize`.
    """
    stored = {tensor.name for tensor in proto.graph.initializer}
    claims = {node.name: _claimed(graph, node) for node in proto.graph.node}
    attribution = attributed(graph, claims)
    specs = {spec.name: spec for spec in (*graph.tensors, *graph.inputs, *graph.outputs)}
    specs |= {info.name: _spec(info) for info in proto.graph.value_info}
    nodes = [
        _layer(node, attribution.origin[node.name], stored, specs, graph)
        for node in proto.graph.node
    ]
    nodes += unrun_layers(attribution, claims)
    made = {name for node in nodes for name in node.makes}
    inner = tuple(specs[name] for name in sorted(made & specs.keys()))
    return Graph(graph.name, graph.inputs, graph.outputs, tuple(nodes), tensors=inner)


def _claimed(graph: Graph, node: onnx.NodeProto) -> list[str]:
    """Original nodes a node surely holds: the makers of its outputs, and the one with its name.

    A convolution in blocked layout has new outputs; its name is that of the old output plus a
    suffix. A change of layout makes an old tensor but computes nothing of it.
    """
    if node.domain == _BLOCKED and node.op_type in _REORDERS:
        return []
    tensors = [*node.output, node.name.removesuffix(_BLOCKED_SUFFIX)]
    found = [graph.nodes[graph.producer[name]].name for name in tensors if name in graph.producer]
    return [*found, node.name] if node.name in graph.position else found


def _layer(
    node: onnx.NodeProto,
    origin: tuple[str, ...],
    stored: set[str],
    specs: Mapping[str, TensorSpec],
    graph: Graph,
) -> Node:
    domain = (node.domain or NAME) if origin else LAYER_DOMAIN
    old = [tensor for name in origin for tensor in graph.nodes[graph.position[name]].makes]
    computed = [specs[name].dtype for name in (*node.output, *reversed(old)) if name in specs]
    attributes = {
        "precision": next(filter(None, computed), ""),
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
