"""Which nodes ONNX Runtime's CPU provider takes: it is made to open each kind of node."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

import onnx

from workbench.backends import pieces
from workbench.backends.onnxruntime.library import (
    PROVIDERS,
    library,
    session_options,
    settings,
    words,
)  # fmt: skip
from workbench.partitioning import Capability, Code

if TYPE_CHECKING:
    from workbench.model import Model

_NO_OPERATOR = re.compile(r"No Op registered|not a registered function/op", re.IGNORECASE)
_NO_TYPE = re.compile(r"Type Error|is invalid|Unexpected data type|type .* not supported")


def capability(model: Model) -> Capability:
    """A verdict for every node."""
    source = f"ONNX Runtime {library().__version__} CPU"
    return pieces.capability(model, source, _ask)


def _ask(piece: bytes) -> pieces.Answer:
    options = session_options(1, "disable_all", settings(0, {}))
    try:
        library().InferenceSession(piece, options, providers=list(PROVIDERS))
    except Exception as error:
        said = words(error)
        return _code(said, piece), said
    return Code.TAKEN, ""


def _code(said: str, piece: bytes) -> Code:
    if _NO_OPERATOR.search(said):
        return Code.UNSUPPORTED_OP
    if "Could not find an implementation" in said:
        # The same words where an operator has no kernel at all and where it has none of the type.
        kinds = {(node.domain, node.op_type) for node in onnx.load_from_string(piece).graph.node}
        return Code.UNSUPPORTED_TYPE if kinds <= _with_kernels() else Code.UNSUPPORTED_OP
    return Code.UNSUPPORTED_TYPE if _NO_TYPE.search(said) else Code.UNSUPPORTED_ATTRIBUTE


@lru_cache(maxsize=1)
def _with_kernels() -> frozenset[tuple[str, str]]:
    """Domain and name of the operators the CPU provider has any kernel of."""
    from onnxruntime.capi.onnxruntime_pybind11_state import get_all_opkernel_def

    return frozenset(
        (kernel.domain, kernel.op_name)
        for kernel in get_all_opkernel_def()
        if kernel.provider in PROVIDERS
    )
