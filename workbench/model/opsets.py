"""Which operator sets a model uses, and which versions would do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import onnx

from workbench.graph import Graph, Node
from workbench.model.core import Model


@dataclass(frozen=True, slots=True)
class OpsetReport:
    """What `opset_report` found."""

    imported: Mapping[str, int]
    """Version the model imports, by domain; ``""`` is ONNX's own."""
    needed: Mapping[str, int]
    """Oldest version by domain in which every operator used already means what it means here."""
    newest: Mapping[str, tuple[str, ...]]
    """The operators that keep `needed` from being older, by domain."""
    beyond: tuple[str, ...]
    """Names of nodes whose operator changed after the version asked about; see `supported`."""
    supported: int | None
    """The version of ONNX's own set that was asked about, e.g. the newest a TensorRT reads."""
    unknown: tuple[str, ...]
    """Names of nodes whose operator has no definition here: custom ones, functions of the model."""


def opset_report(model: Model, *, supported: int | None = None) -> OpsetReport:
    """Operator sets of a model, the oldest that would do, and what is newer than a version.

    Args:
        model: any model.
        supported: newest version of ONNX's own operator set that somebody reads: the report lists
            the nodes it would not understand. TensorRT 8.6 reads 17, 10.16 and 11.1 read 24
            (docs/operators.md of onnx-tensorrt).

    Raises:
        ValueError: `supported` is no positive number.
    """
    if supported is not None and (isinstance(supported, bool) or supported < 1):
        raise ValueError(f"supported is {supported!r}; must be an operator set version, 1 or more")
    since: dict[str, dict[str, int]] = {}
    beyond: list[str] = []
    unknown: list[str] = []
    for outer, node in _nodes(model.graph):
        version = _since(node, model.opsets)
        if version is None:
            unknown.append(outer)
            continue
        since.setdefault(node.domain, {})[node.op_type] = version
        if node.domain == "" and supported is not None and version > supported:
            beyond.append(outer)
    needed = {domain: max(versions.values()) for domain, versions in since.items()}
    newest = {
        domain: tuple(sorted(op for op, version in ops.items() if version == needed[domain]))
        for domain, ops in since.items()
    }
    unique = (tuple(dict.fromkeys(names)) for names in (beyond, unknown))
    beyond_names, unknown_names = unique
    return OpsetReport(model.opsets, needed, newest, beyond_names, supported, unknown_names)


def _nodes(graph: Graph, outer: str = "") -> Iterator[tuple[str, Node]]:
    """Every node with the name of the top-level node it belongs to."""
    for node in graph.nodes:
        name = outer or node.name
        yield name, node
        for value in node.attributes.values():
            bodies = value if isinstance(value, tuple) else (value,)
            for body in bodies:
                if isinstance(body, Graph):
                    yield from _nodes(body, name)


def _since(node: Node, opsets: Mapping[str, int]) -> int | None:
    """Version in which the operator got the meaning it has in this model."""
    version = opsets.get(node.domain)
    if version is None or not onnx.defs.has(node.op_type, version, node.domain):
        return None
    return onnx.defs.get_schema(node.op_type, version, node.domain).since_version
