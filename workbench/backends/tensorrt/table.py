"""`SupportTable`: what a TensorRT version takes, from the published operator tables.

For planning for a version that is not here. A table knows operators, element types and some
restrictions; it is no parser, and a node it takes may still be refused by the real one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx

from workbench.backends.tensorrt.checks import Scope, broken
from workbench.backends.tensorrt.words import ONNX_DOMAINS
from workbench.errors import ModelError
from workbench.graph import Graph, Node
from workbench.partitioning import Capability, Code, Verdict
from workbench.text import shown

if TYPE_CHECKING:
    from workbench.model import Model

_TYPES = {
    "float32": "FP32", "float64": "FP32", "float16": "FP16", "bfloat16": "BF16", "int8": "INT8",
    "uint8": "UINT8", "int32": "INT32", "int64": "INT64", "bool": "BOOL", "float8e4m3fn": "FP8",
    "int4": "INT4", "float4e2m1": "FP4",
}  # fmt: skip
# Rows of these name what goes in first, not the masks, scales or integers beside it.
_FIRST_INPUT_ONLY = ("QuantizeLinear", "DequantizeLinear", "Attention")
_FIRST_WITH_INT64 = "9.3"  # earlier ones narrow INT64 to INT32


@dataclass(frozen=True, slots=True)
class Row:
    """What a table says of one operator."""

    types: frozenset[str] | None
    """Element types as the table writes them; None where the operator is not supported."""
    restriction: str = ""
    """The table's words on when it is supported."""


@dataclass(frozen=True, slots=True)
class _Finding:
    code: Code
    words: str


class SupportTable:
    """The operator table of one TensorRT version, as a source of capability."""

    def __init__(self, version: str) -> None:
        """Read the table of a version.

        Args:
            version: one of `versions()`, e.g. ``"8.6"`` or ``"11.1"``.

        Raises:
            ValueError: no table of that version here; lists those there are.
        """
        data = _data()
        if version not in data["versions"]:
            raise ValueError(
                f"no support table for TensorRT {shown(version)}; "
                f"there are tables for {', '.join(versions())}"
            )
        self.version = version
        self.source = f"support table TensorRT {version}"
        self._rows = _rows(version)
        self._opsets = data["versions"][version]
        self._narrows_int64 = versions().index(version) < versions().index(_FIRST_WITH_INT64)

    @staticmethod
    def newest() -> SupportTable:
        """The table of the newest version there is one for."""
        return _newest()

    @property
    def name(self) -> str:
        """``tensorrt-`` and the version, as typed on the command line."""
        return f"tensorrt-{self.version}"

    @property
    def provenance(self) -> str:
        """Document and commit the table was taken from."""
        return f"{_data()['source']}: {self._opsets['commit']}"

    @property
    def operators(self) -> frozenset[str]:
        """Operators of ONNX's own domain that the version supports."""
        return frozenset(name for name, row in self._rows.items() if row.types is not None)

    def row(self, operator: str) -> Row | None:
        """What the table says of an operator of ONNX's own domain, None if it is not in it."""
        return self._rows.get(operator)

    def note(self, operator: str) -> str:
        """What the table says of an operator in a sentence; empty where it has no more to say."""
        row = self.row(operator)
        if row is None or row.types is None:
            extra = f" ({row.restriction})" if row and row.restriction else ""
            return f"the {self.source} lists {shown(operator)} as not supported{extra}"
        if row.restriction:
            return f"the {self.source} says of {shown(operator)}: {row.restriction}"
        return ""

    def capability(self, model: Model) -> Capability:
        """A verdict for every node by operator, element types and checkable restrictions.

        A taken node whose restrictions could not all be checked, or whose opset is outside the
        documented ones, has the table's words as its reason. A body is judged with its outer node.
        """
        scope = Scope(model.graph, _stored(model))
        judge = _Judge(self, model.opsets.get("", 1), _calls(model))
        verdicts = []
        for node in model.graph.nodes:
            found = judge.finding(scope, node)
            code = found.code if found else Code.TAKEN
            text = f"{self.source}: {found.words}" if found else judge.warning(node)
            verdicts.append(Verdict(node.name, code, text))
        return Capability(self.source, tuple(verdicts))

    def type_name(self, dtype: str) -> str | None:
        """The table's name for an element type as this version treats it, None for one it lacks."""
        name = _TYPES.get(dtype)
        return "INT32" if name == "INT64" and self._narrows_int64 else name

    def opset_warning(self, opset: int) -> str:
        """Words about an opset outside the documented range, else nothing."""
        low, high = self._opsets["opset_min"], self._opsets["opset_max"]
        if opset > high:
            return f"opset {opset} is above {high}, the newest the table documents"
        if low is not None and opset < low:
            return f"opset {opset} is below {low}, the oldest the table documents"
        return ""


def versions() -> tuple[str, ...]:
    """TensorRT versions there are tables for, oldest first."""
    return tuple(_data()["versions"])


class _Judge:
    """Judges nodes of one model by one table."""

    def __init__(self, table: SupportTable, opset: int, functions: Mapping[Any, Any]) -> None:
        self._table = table
        self._opset = opset
        self._functions = functions
        self._old = table.opset_warning(opset)

    def warning(self, node: Node) -> str:
        row = self._table.row(node.op_type)
        told = [f"{self._table.source}: {row.restriction}"] if row and row.restriction else []
        return "; ".join(told + ([self._old] if self._old else []))

    def finding(self, scope: Scope, node: Node) -> _Finding | None:
        """Why the table does not take a node, None where it does."""
        if (node.domain, node.op_type) in self._functions:
            return self._inside_function(node)
        if node.domain not in ONNX_DOMAINS:
            return _Finding(
                Code.UNSUPPORTED_OP,
                f"{shown(node.op_type)} of domain {shown(node.domain)} is no ONNX operator; "
                "it needs a plugin",
            )
        row = self._table.row(node.op_type)
        if row is None or row.types is None:
            extra = f" ({row.restriction})" if row and row.restriction else ""
            words = f"operator {shown(node.op_type)} is not supported{extra}"
            return _Finding(Code.UNSUPPORTED_OP, words)
        return (
            self._wrong_type(scope, node, row)
            or self._broken(scope, node, row)
            or self._inside(scope, node)
        )

    def _wrong_type(self, scope: Scope, node: Node, row: Row) -> _Finding | None:
        assert row.types is not None
        for tensor in _typed(node, self._opset):
            dtype = scope.spec(tensor).dtype
            if dtype and self._table.type_name(dtype) not in row.types:
                return _type_finding(f"{node.op_type} takes", row.types, tensor, dtype)
        if node.op_type == "QuantizeLinear":
            return self._wrong_quantized(scope, node)
        return None

    def _wrong_quantized(self, scope: Scope, node: Node) -> _Finding | None:
        """The row of QuantizeLinear names what goes in; what comes out, the other one's takes."""
        row, dtype = self._table.row("DequantizeLinear"), scope.spec(node.outputs[0]).dtype
        types = (row.types if row and row.types else frozenset()) | {"UINT8"}
        if dtype and self._table.type_name(dtype) not in types:
            return _type_finding("QuantizeLinear makes", types, node.outputs[0], dtype)
        return None

    def _broken(self, scope: Scope, node: Node, row: Row) -> _Finding | None:
        check = broken(scope, node, row.restriction) if row.restriction else None
        if check is None:
            return None
        return _Finding(check.code, f"{shown(node.op_type)}: {check.phrase}")

    def _inside(self, scope: Scope, node: Node) -> _Finding | None:
        for name, body in node.attributes.items():
            if isinstance(body, Graph):
                inner = Scope(body, scope.values, scope)
                for child in body.nodes:
                    found = self.finding(inner, child)
                    if found:
                        where = f"node {shown(child.name)} inside {shown(name)}"
                        return _Finding(found.code, f"{where}: {found.words}")
        return None

    def _inside_function(self, node: Node) -> _Finding | None:
        for child in self._functions[node.domain, node.op_type]:
            row = self._table.row(child.op_type)
            foreign = child.domain not in ONNX_DOMAINS
            known = (child.domain, child.op_type) in self._functions
            if not known and (foreign or row is None or row.types is None):
                where = f"node {shown(child.name)} inside function {shown(node.op_type)}"
                words = f"{where}: operator {shown(child.op_type)} is not supported"
                return _Finding(Code.UNSUPPORTED_OP, words)
        return None


def _type_finding(what: str, types: frozenset[str], tensor: str, dtype: str) -> _Finding:
    allowed = ", ".join(sorted(types))
    words = f"{shown(what)} {allowed}; {shown(tensor)} is {shown(dtype)}"
    return _Finding(Code.UNSUPPORTED_TYPE, words)


def _typed(node: Node, opset: int) -> Iterator[str]:
    """Tensors of a node whose element type the table is about: not indices, sizes or conditions."""
    schema = _schema(node.op_type, opset)
    if schema is None:
        return
    about = _about(node.op_type, opset)
    for tensors, formals in ((node.inputs, schema.inputs), (node.outputs, schema.outputs)):
        for index, tensor in enumerate(tensors):
            formal = formals[min(index, len(formals) - 1)] if formals else None
            if tensor and formal is not None and formal.type_str in about:
                yield tensor


@cache
def _schema(operator: str, opset: int) -> onnx.defs.OpSchema | None:
    try:
        return onnx.defs.get_schema(operator, min(opset, onnx.defs.onnx_opset_version()))
    except onnx.defs.SchemaError:
        return None


@cache
def _about(operator: str, opset: int) -> frozenset[str]:
    """Type variables of an operator that can be floating point: data, as opposed to indices."""
    schema = _schema(operator, opset)
    if schema is None:
        return frozenset()
    if operator in _FIRST_INPUT_ONLY:
        return frozenset({schema.inputs[0].type_str})
    return frozenset(
        constraint.type_param_str
        for constraint in schema.type_constraints
        if any("float" in allowed for allowed in constraint.allowed_type_strs)
    )


def _stored(model: Model) -> Callable[[str], np.ndarray | None]:
    def value(tensor: str) -> np.ndarray | None:
        try:
            return model.weights(tensor)
        except ModelError:
            return None

    return value


def _calls(model: Model) -> dict[tuple[str, str], Iterable[Any]]:
    if not model.functions:
        return {}
    return {(key[0], key[1]): function for key, function in model.ir.functions.items()}


@cache
def _data() -> Any:
    folder = resources.files("workbench.backends.tensorrt")
    return json.loads((folder / "support.json").read_text("utf-8"))


@cache
def _newest() -> SupportTable:
    return SupportTable(versions()[-1])


@cache
def _rows(version: str) -> Mapping[str, Row]:
    order = versions()
    found = {}
    for operator, rows in _data()["operators"].items():
        for first, types, *restriction in rows:
            if order.index(first) <= order.index(version):
                known = None if types is None else frozenset(types.split())
                found[operator] = Row(known, restriction[0] if restriction else "")
    return found
