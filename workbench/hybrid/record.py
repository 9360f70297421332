"""Graphs as JSON values and back, for what is kept beside a plan: its layers, its partition."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from workbench.graph import Dim, Graph, Node, TensorSpec
from workbench.partitioning import Code, Partition, Subgraph, Verdict


def graph_record(graph: Graph) -> dict[str, Any]:
    """JSON value of a graph; `graph_of` gives an equal graph back.

    An attribute that is no plain value is kept as its text.
    """
    return {
        "name": graph.name,
        "inputs": [spec_record(spec) for spec in graph.inputs],
        "outputs": [spec_record(spec) for spec in graph.outputs],
        "initializers": [spec_record(spec) for spec in graph.initializers],
        "tensors": [spec_record(spec) for spec in graph.tensors],
        "nodes": [_node_record(node) for node in graph.nodes],
    }


def graph_of(record: Mapping[str, Any]) -> Graph:
    """The graph of a record.

    Raises:
        GraphError: what it says is no graph.
        KeyError, TypeError, ValueError: it is no record of a graph.
    """
    return Graph(
        record["name"],
        tuple(spec_of(spec) for spec in record["inputs"]),
        tuple(spec_of(spec) for spec in record["outputs"]),
        tuple(_node_of(node) for node in record["nodes"]),
        tuple(spec_of(spec) for spec in record["initializers"]),
        tuple(spec_of(spec) for spec in record["tensors"]),
    )


def spec_record(spec: TensorSpec) -> list[Any]:
    """JSON value of a tensor's name, type and shape."""
    return [spec.name, spec.dtype, None if spec.shape is None else list(spec.shape)]


def spec_of(record: Any) -> TensorSpec:
    """The spec of a record."""
    name, dtype, shape = record
    dims: tuple[Dim, ...] | None = None if shape is None else tuple(shape)
    return TensorSpec(name, dtype, dims)


def partition_record(partition: Partition) -> dict[str, Any]:
    """JSON value of a partition with its graph."""
    return {
        "graph": graph_record(partition.graph),
        "verdicts": [[v.node, str(v.code), v.reason] for v in partition.verdicts],
        "min_subgraph_size": partition.min_subgraph_size,
        "policy": partition.policy,
        "subgraphs": [_subgraph_record(part) for part in partition.subgraphs],
        "native": [_subgraph_record(part) for part in partition.native],
        "order": [list(step) for step in partition.order],
    }


def partition_of(record: Mapping[str, Any]) -> Partition:
    """The partition of a record.

    Raises:
        GraphError, PartitionError: what it says breaks a rule.
        KeyError, TypeError, ValueError: it is no record of a partition.
    """
    return Partition(
        graph_of(record["graph"]),
        tuple(_subgraph_of(part) for part in record["subgraphs"]),
        tuple(Verdict(node, Code(code), reason) for node, code, reason in record["verdicts"]),
        record["min_subgraph_size"],
        record["policy"],
        tuple(_subgraph_of(part) for part in record["native"]),
        tuple((str(kind), int(index)) for kind, index in record["order"]),
    )


def _subgraph_record(part: Subgraph) -> list[Any]:
    return [part.index, list(part.nodes), list(part.inputs), list(part.outputs), list(part.folded)]


def _subgraph_of(record: Any) -> Subgraph:
    index, nodes, inputs, outputs, folded = record
    return Subgraph(index, tuple(nodes), tuple(inputs), tuple(outputs), tuple(folded))


def _node_record(node: Node) -> list[Any]:
    attributes = {name: _encoded(value) for name, value in node.attributes.items()}
    return [
        node.name, node.op_type, node.domain, list(node.inputs), list(node.outputs), attributes,
        list(node.origin), list(node.captured),
    ]  # fmt: skip


def _node_of(record: Any) -> Node:
    name, op_type, domain, inputs, outputs, attributes, origin, captured = record
    values = {key: _decoded(value) for key, value in attributes.items()}
    return Node(
        name, op_type, domain, tuple(inputs), tuple(outputs), values, tuple(origin), tuple(captured)
    )


def _encoded(value: Any) -> Any:
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else {"float": repr(value)}
        case bytes():
            return {"bytes": value.hex()}
        case TensorSpec():
            return {"tensor": spec_record(value)}
        case Graph():
            return {"graph": graph_record(value)}
        case tuple() | list():
            return [_encoded(item) for item in value]
        case _:
            return str(value)


def _decoded(value: Any) -> Any:
    match value:
        case {"float": text}:
            return float(text)
        case {"bytes": text}:
            return bytes.fromhex(text)
        case {"tensor": spec}:
            return spec_of(spec)
        case {"graph": graph}:
            return graph_of(graph)
        case list():
            return tuple(_decoded(item) for item in value)
        case _:
            return value
