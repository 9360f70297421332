"""Versions: file format, operator sets, and operators nobody here knows."""

from __future__ import annotations

import onnx

from workbench.errors import ModelError
from workbench.model.plain import bodies_of
from workbench.text import shown

OLDEST_IR = 3
"""Before IR version 3 a file did not say which operator set it means."""

UNKNOWN = "workbench.unknown"


def check_header(model: onnx.ModelProto) -> None:
    """Refuse a model without a graph or with versions that do not exist here."""
    if not model.HasField("graph"):
        raise ModelError("it has no graph, so it is no ONNX model or is cut off; export it anew")
    if not OLDEST_IR <= model.ir_version <= onnx.IR_VERSION:
        found = model.ir_version if model.HasField("ir_version") else "missing"
        raise ModelError(
            f"IR version is {found}; {OLDEST_IR} to {onnx.IR_VERSION} can be read here. "
            f"Export it with a supported version, or update the onnx package ({onnx.__version__})"
        )
    seen: set[str] = set()
    for item in model.opset_import:
        domain = _plain(item.domain)
        if domain in seen:
            raise ModelError(
                f"operator set {_shown(domain)} is imported twice; keep one of the imports"
            )
        seen.add(domain)
        newest = newest_opset(domain)
        if item.version < 1 or (newest and item.version > newest):
            raise ModelError(
                f"operator set {_shown(domain)} has version {item.version}; 1 to {newest or 'any'} "
                f"can be read here. Export it for one of those, or update the onnx package "
                f"({onnx.__version__})"
            )
    if "" not in seen and any(not _plain(node.domain) for node in model.graph.node):
        raise ModelError(
            "it has nodes of ONNX's own operator set but does not import it, so they have no "
            f"meaning; export it anew for operator set 1 to {newest_opset('')}"
        )
    if not seen:
        raise ModelError(
            f"it imports no operator set, so its operators have no meaning; export it anew for "
            f"operator set 1 to {newest_opset('')}"
        )


def newest_opset(domain: str) -> int:
    """Newest version of an operator set of ONNX here; 0 for a domain that is not ONNX's."""
    if domain == "":
        return onnx.defs.onnx_opset_version()
    if domain == "ai.onnx.ml":
        return onnx.defs.onnx_ml_opset_version()
    return 0


def unknown_operators(model: onnx.ModelProto) -> tuple[set[tuple[str, str]], list[str]]:
    """Domain and type of operators without a definition here, and warnings about them."""
    versions = {_plain(item.domain): item.version for item in model.opset_import}
    local = {(item.domain, item.name) for item in model.functions}
    unknown: dict[tuple[str, str], str] = {}
    known: set[tuple[str, str]] = set()
    todo = [*reversed(model.graph.node)]
    while todo:
        node = todo.pop()
        key = _plain(node.domain), node.op_type
        if node.attribute:
            todo.extend(inner for body in bodies_of(node) for inner in body.node)
        if key in known or key in unknown:
            continue
        defined = key in local or (
            key[0] in versions and onnx.defs.has(key[1], versions[key[0]], key[0])
        )
        if defined:
            known.add(key)
        else:
            unknown[key] = node.name
    warnings = [_unknown_words(key, node, versions) for key, node in unknown.items()]
    if len(warnings) > 20:
        warnings = [*warnings[:20], f"and {len(warnings) - 20} more unknown operators"]
    return set(unknown), warnings


def _unknown_words(key: tuple[str, str], node: str, versions: dict[str, int]) -> str:
    domain, op_type = key
    where = f"operator {shown(op_type)} (node {shown(node)})"
    if domain not in versions:
        return (
            f"{where} is of operator set {_shown(domain)}, which the model does not import; it can "
            "be looked at, but nothing will build it"
        )
    if newest_opset(domain):
        return (
            f"{where} does not exist in operator set {_shown(domain)} version "
            f"{versions[domain]}; it can be looked at, but nothing will build it"
        )
    return (
        f"{where} is a custom operator of {_shown(domain)}; only a backend with its implementation "
        "can run it"
    )


def check_with_onnx(model: onnx.ModelProto, unknown: set[tuple[str, str]]) -> None:
    """ONNX's own checker: attributes and inputs each operator may have.

    Args:
        model: a skeleton whose marks begin with ``#``, which the checker takes for memory.
        unknown: operators to leave out, as `unknown_operators` gives them.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    _disguise(copy.graph, unknown)
    if not any(item.domain == UNKNOWN for item in copy.opset_import):
        copy.opset_import.add(domain=UNKNOWN, version=1)
    for item in copy.opset_import:
        if item.domain == "ai.onnx":
            item.domain = ""
    for info in (*copy.graph.input, *copy.graph.output):
        # The checker wants a shape where ONNX itself asks for none.
        if info.type.WhichOneof("value") in (None, "tensor_type"):
            tensor = info.type.tensor_type
            tensor.elem_type = tensor.elem_type or 1
            tensor.shape.SetInParent()
    try:
        onnx.checker.check_model(copy.SerializeToString())
    except Exception as error:
        lines = [line.strip() for line in str(error).strip().splitlines() if line.strip()]
        words = shown(" ".join(lines) or type(error).__name__, 500)
        raise ModelError(f"ONNX's checker refuses it: {words}; export it anew") from error


def _disguise(graph: onnx.GraphProto, unknown: set[tuple[str, str]]) -> None:
    for node in graph.node:
        if (_plain(node.domain), node.op_type) in unknown:
            node.domain = UNKNOWN
        elif node.domain == "ai.onnx":
            node.domain = ""
        for body in bodies_of(node) if node.attribute else ():
            _disguise(body, unknown)


def _plain(domain: str) -> str:
    return "" if domain == "ai.onnx" else domain


def _shown(domain: str) -> str:
    return shown(domain) if domain else "ai.onnx"
