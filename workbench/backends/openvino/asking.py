"""Which nodes OpenVINO's CPU plugin takes, in its own words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from workbench.backends import pieces
from workbench.backends.openvino.library import DEVICE, core, version, words
from workbench.graph import Node, TensorSpec
from workbench.partitioning import Capability, Code, Verdict

if TYPE_CHECKING:
    from workbench.model import Model

_EXACT_AS_DOUBLE = frozenset(
    {"float32", "float16", "bfloat16", "bool", "int8", "uint8", "int16", "uint16"}
)
_WIDE = frozenset({"int64", "uint64", "uint32"})
_LOSSY = "OpenVINO's CPU plugin computes float64 in float32"
_NARROWED = "taken; OpenVINO's CPU plugin computes {} in int32"


def capability(model: Model) -> Capability:
    """A verdict for every node: read by itself, then queried."""
    asked = pieces.capability(model, f"OpenVINO {version()} CPU plugin", _ask)
    specs = pieces.known_specs(model.graph)
    verdicts = (
        _with_types(verdict, node, specs)
        for verdict, node in zip(asked.verdicts, model.graph.nodes, strict=True)
    )
    return Capability(asked.source, tuple(verdicts))


def is_double(node: Node, specs: Mapping[str, TensorSpec]) -> bool:
    """Whether the node computes with float64 values that float32 cannot hold."""
    read = {specs[name].dtype for name in node.reads if name in specs}
    made = {specs[name].dtype for name in node.makes if name in specs}
    if "float64" not in read | made:
        return False
    if node.op_type == "Cast" and not node.domain:
        narrowed = read == {"float64"} and made == {"float32"}
        return not (narrowed or (made == {"float64"} and read <= _EXACT_AS_DOUBLE))
    return node.op_type != "Constant"


def _with_types(verdict: Verdict, node: Node, specs: Mapping[str, TensorSpec]) -> Verdict:
    if not verdict.taken:
        return verdict
    if is_double(node, specs):
        return Verdict(node.name, Code.UNSUPPORTED_TYPE, _LOSSY)
    wide = sorted({specs[name].dtype for name in node.makes if name in specs} & _WIDE)
    return Verdict(node.name, Code.TAKEN, _NARROWED.format(", ".join(wide))) if wide else verdict


def _ask(piece: bytes) -> pieces.Answer:
    try:
        model = core().read_model(piece)
    except Exception as error:
        said = words(error)
        return _code(said), said
    try:
        supported = core().query_model(model, DEVICE)
    except Exception as error:
        said = words(error)
        return _code(said), said
    left = [op for op in model.get_ops() if op.get_friendly_name() not in supported]
    if left:
        kinds = ", ".join(sorted({op.get_type_name() for op in left}))
        return Code.UNSUPPORTED_OP, f"query_model does not list {kinds} for the CPU"
    return Code.TAKEN, ""


def _code(said: str) -> Code:
    lower = said.lower()
    if "no conversion rule" in lower:
        return Code.UNSUPPORTED_OP
    if "element type" in lower or "data type" in lower or "precision" in lower:
        return Code.UNSUPPORTED_TYPE
    if "static" in lower or "dynamic" in lower or "has to be known" in lower:
        return Code.DYNAMIC_SHAPE
    return Code.UNSUPPORTED_ATTRIBUTE
