"""The kernels OpenVINO really runs, with the original nodes behind each."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Iterator, Mapping
from typing import Any

from workbench.backends.base import LAYER_DOMAIN
from workbench.backends.openvino.library import NAME
from workbench.backends.origin import attributed
from workbench.backends.records import unique, unrun_layers
from workbench.graph import Graph, Node, TensorSpec

_DTYPES = {
    "f64": "float64", "f32": "float32", "f16": "float16", "bf16": "bfloat16", "i64": "int64",
    "i32": "int32", "i16": "int16", "i8": "int8", "i4": "int4", "u64": "uint64", "u32": "uint32",
    "u16": "uint16", "u8": "uint8", "u4": "uint4", "boolean": "bool", "f8e4m3": "float8e4m3fn",
    "f8e5m2": "float8e5m2", "f4e2m1": "float4e2m1", "f8e8m0": "float8e8m0", "string": "string",
}  # fmt: skip
_LONGEST_JOIN = 16
_CONVERTED_SUFFIX = re.compile(r"(\.\d+)+$")
_CONVERSIONS = frozenset({"Convert", "Reorder"})
_NO_STEPS = frozenset({"Constant", "Parameter", "Result"})
_NOT_KERNELS = frozenset({"Input", "Output"})


def friendly_nodes(graph: Graph, imported: Any) -> dict[str, tuple[str, ...]]:
    """OpenVINO's friendly name -> names of the nodes of `graph` whose tensors the operation makes.

    Friendly names are not node names: a node that makes an output of the graph takes the tensor's
    name. Tensor names survive the import on nearly all operations.

    Args:
        graph: the model's graph.
        imported: the ``openvino.Model`` read from the same model.
    """
    found: dict[str, tuple[str, ...]] = {}
    for operation in reversed(imported.get_ordered_ops()):
        tensors = {name for port in operation.outputs() for name in port.get_names()}
        nodes = {graph.nodes[graph.producer[t]].name for t in tensors if t in graph.producer}
        friendly = operation.get_friendly_name()
        if not nodes and friendly in graph.position:
            nodes = {friendly}
        elif not nodes and operation.get_type_name() not in _NO_STEPS:
            # One of several operations a node was taken apart into; the last has the tensor.
            nodes = {name for next_one in _users(operation) for name in found[next_one]}
        found[friendly] = tuple(sorted(nodes, key=graph.position.__getitem__))
    return found


def _users(operation: Any) -> Iterator[str]:
    for port in operation.outputs():
        for target in port.get_target_inputs():
            yield target.get_node().get_friendly_name()


def kernel_graph(
    graph: Graph,
    friendly: Mapping[str, tuple[str, ...]],
    runtime: Any,
    values: Mapping[str, Hashable],
) -> Graph:
    """The graph of layers of a compiled model.

    Args:
        graph: the model's graph.
        friendly: from `friendly_nodes`.
        runtime: what ``CompiledModel.get_runtime_model`` gave.
        values: content of small stored tensors.
    """
    infos = {op.get_friendly_name(): _info(op) for op in runtime.get_ordered_ops()}
    ops = {op.get_friendly_name(): op for op in runtime.get_ordered_ops()}
    constant = _constant(ops, infos)
    running = [
        name
        for name in ops
        if name not in constant and infos[name].get("layerType") not in _NOT_KERNELS
    ]
    claims = _claims(running, infos, friendly)
    reads = {name: [source for source, _ in _sources(ops[name])] for name in running}
    attribution = attributed(graph, claims, reads, values)
    tensors = _tensor_names(graph, ops, infos)
    nodes = []
    for name in running:
        sources = [pair for pair in _sources(ops[name]) if pair[0] not in constant]
        needed = tuple(tensors[pair] for pair in sources)
        nodes.append(_layer(ops[name], infos[name], needed, attribution.origin[name], tensors))
    nodes += unrun_layers(attribution, running)
    specs = tuple(
        _spec(ops[name].output(port), tensor)
        for (name, port), tensor in tensors.items()
        if name in claims
    )
    return Graph(graph.name, graph.inputs, graph.outputs, tuple(nodes), tensors=specs)


def _claims(
    running: Iterable[str],
    infos: Mapping[str, Mapping[str, str]],
    friendly: Mapping[str, tuple[str, ...]],
) -> dict[str, list[str]]:
    """Kernel -> the original nodes OpenVINO names behind it.

    Where it converts what a node makes, e.g. int32 to int64, the node's kernel is left with a
    number behind a dot; that kernel counts, the conversion is OpenVINO's own.
    """
    claims: dict[str, list[str]] = {}
    renamed: dict[str, str] = {}
    for name in running:
        joined = infos[name].get("originalLayersNames", "")
        known = list(_split(joined, friendly))
        claims[name] = [node for part in known for node in friendly[part]]
        if not known and infos[name].get("layerType") not in _CONVERSIONS:
            renamed[name] = _CONVERTED_SUFFIX.sub("", joined)
    found = {node for nodes in claims.values() for node in nodes}
    for name, before in renamed.items():
        claims[name] = [node for node in friendly.get(before, ()) if node not in found]
    return claims


def _info(operation: Any) -> dict[str, str]:
    return {key: value.astype(str) for key, value in operation.get_rt_info().items()}


def _sources(operation: Any) -> Iterator[tuple[str, int]]:
    for port in operation.inputs():
        source = port.get_source_output()
        yield source.get_node().get_friendly_name(), source.get_index()


def _constant(ops: Mapping[str, Any], infos: Mapping[str, Mapping[str, str]]) -> set[str]:
    """Names of what ran at build time: stored constants, and kernels that only these feed."""
    constant: set[str] = set()
    for name, operation in ops.items():
        sources = [source for source, _ in _sources(operation)]
        if infos[name].get("layerType") == "Const" or (sources and constant.issuperset(sources)):
            constant.add(name)
    return constant


def _split(joined: str, known: Mapping[str, object]) -> Iterator[str]:
    """The known names in a comma-separated list; names may have commas themselves."""
    parts = joined.split(",")
    start = 0
    while start < len(parts):
        for end in range(min(len(parts), start + _LONGEST_JOIN), start, -1):
            name = ",".join(parts[start:end])
            if name in known:
                yield name
                break
        else:
            end = start + 1
        start = end


def _tensor_names(
    graph: Graph, ops: Mapping[str, Any], infos: Mapping[str, Mapping[str, str]]
) -> dict[tuple[str, int], str]:
    """Kernel and output port -> tensor name; the graph's own names for its inputs and outputs."""
    names: dict[tuple[str, int], str] = {}
    taken = {spec.name for spec in (*graph.inputs, *graph.outputs)}
    outputs = {spec.name for spec in graph.outputs}
    inputs = {spec.name for spec in graph.inputs}
    for name, operation in ops.items():
        if infos[name].get("layerType") == "Output":
            source, port = next(_sources(operation))
            made = name.rsplit("/sink_port_", 1)[0]
            if made in outputs and source not in inputs:
                names.setdefault((source, port), made)
                outputs.discard(made)
    for name, operation in ops.items():
        for port in range(len(operation.outputs())):
            if name in inputs and infos[name].get("layerType") == "Input":
                names[name, port] = name
            elif (name, port) not in names:
                names[name, port] = unique(f"{name}:{port}", taken)
    return names


def _layer(
    operation: Any,
    info: Mapping[str, str],
    needed: tuple[str, ...],
    origin: tuple[str, ...],
    tensors: Mapping[tuple[str, int], str],
) -> Node:
    name = operation.get_friendly_name()
    precision = info.get("runtimePrecision", "")
    attributes = {
        "precision": _DTYPES.get(precision, precision),
        "kernel": info.get("primitiveType", ""),
        "layout": info.get("outputLayouts", ""),
    }
    made = tuple(tensors[name, port] for port in range(len(operation.outputs())))
    domain = NAME if origin else LAYER_DOMAIN
    return Node(name, info.get("layerType", ""), domain, needed, made, attributes, origin)


def _spec(port: Any, name: str) -> TensorSpec:
    shape = port.get_partial_shape()
    dims = (
        None
        if shape.rank.is_dynamic
        else tuple(dim.get_length() if dim.is_static else "?" for dim in shape)
    )
    kind = str(port.get_element_type().get_type_name())
    return TensorSpec(name, _DTYPES.get(kind, kind), dims)
