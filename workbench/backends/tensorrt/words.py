"""What the parser says, turned into a verdict: our code for its reason, and its own words."""

from __future__ import annotations

import re
from collections.abc import Collection

from workbench.backends.tensorrt.asking import Complaint
from workbench.graph import Node
from workbench.partitioning import Code
from workbench.text import shown

ONNX_DOMAINS = ("", "ai.onnx")
"""How files write ONNX's own operator set."""

LONGEST_REASON = 600
"""Characters of a reason at most; the parser's texts can fill pages."""

_BY_CODE = {
    "UNSUPPORTED_NODE_ATTR": Code.UNSUPPORTED_ATTRIBUTE,
    "UNSUPPORTED_NODE_INPUT": Code.UNSUPPORTED_ATTRIBUTE,
    "UNSUPPORTED_NODE_DATATYPE": Code.UNSUPPORTED_TYPE,
    "UNSUPPORTED_NODE_DYNAMIC": Code.DYNAMIC_SHAPE,
    "UNSUPPORTED_NODE_SHAPE": Code.UNSUPPORTED_ATTRIBUTE,
    "INTERNAL_ERROR": Code.UNKNOWN,
    "MEM_ALLOC_FAILED": Code.UNKNOWN,
    "MODEL_DESERIALIZE_FAILED": Code.UNKNOWN,
}
_TYPE_WORDS = re.compile(
    r"convertDtype|must have same input types|[Dd]ata ?[Tt]ype|must be of type|must have type"
    r"|validateTypes|requires (bool|activation|floating|integer)"
    r"|types? .{0,40}(is|are) not supported"
)
_DYNAMIC_WORDS = re.compile(r"getSymbolicValue|[Dd]ynamic|isDynamic")
# Said by every failing call on a machine with no GPU; it has nothing to do with the node.
_NOISE = re.compile(r"\n?\[checkMacros\.cpp::catchCudaError::\d+\][^\n]*")
_NO_PLUGIN = re.compile(r"Plugin not found|plugin (creator .* )?was not found")


def code_of(complaint: Complaint, known: Collection[str]) -> Code:
    """The reason code of a complaint.

    Args:
        complaint: what the parser said.
        known: operators the parser knows by name; a fault in one of them is not the operator's.
    """
    if complaint.code in _BY_CODE:
        return _BY_CODE[complaint.code]
    if _NO_PLUGIN.search(complaint.text):
        return Code.UNSUPPORTED_OP
    if _TYPE_WORDS.search(complaint.text):
        return Code.UNSUPPORTED_TYPE
    if complaint.operator and complaint.operator not in known:
        return Code.UNSUPPORTED_OP
    if _DYNAMIC_WORDS.search(complaint.text):
        return Code.DYNAMIC_SHAPE
    return Code.UNSUPPORTED_ATTRIBUTE


def reason_of(complaint: Complaint, code: Code, node: Node, source: str, note: str) -> str:
    """The words for people: what is wrong where that is known, then who says it and how, where
    inside, what the tables add.

    Args:
        complaint: what the parser said.
        code: what `code_of` makes of it.
        node: the node of the graph it is said of.
        source: who says it.
        note: what the operator tables say of the operator; may be empty.
    """
    inside = ""
    if complaint.stack:
        path = " > ".join(shown(step) for step in complaint.stack)
        inside = f" of node {shown(complaint.name)} ({shown(complaint.operator)}) inside {path}"
    text = " ".join(_NOISE.sub("", complaint.text).split())
    said = f"{source} says {complaint.code}{inside}: {shown(text, LONGEST_REASON)}"
    if code is Code.UNSUPPORTED_OP:
        operator = complaint.operator or node.op_type
        domain = f" of domain {shown(node.domain)}" if node.domain and not inside else ""
        said = f"TensorRT has no layer or plugin for operator {shown(operator)}{domain}; {said}"
    return f"{said}; {note}" if note else said
