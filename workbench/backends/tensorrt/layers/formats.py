"""Element types and memory layouts out of TensorRT's prose.

Three generations describe a tensor as ``Thirty-two wide channel vectorized row major Int8
format``, as ``Half``, and as ``Datatype: Half`` with ``Format: (NHWC) Channel major format``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from workbench.graph import Shape

_DTYPES = {
    "float": "float32", "fp32": "float32", "float32": "float32", "half": "float16",
    "fp16": "float16", "float16": "float16", "bf16": "bfloat16", "bfloat16": "bfloat16",
    "double": "float64", "fp64": "float64", "float64": "float64", "fp8": "float8e4m3fn",
    "fp8e4m3": "float8e4m3fn", "e4m3": "float8e4m3fn", "e8m0": "float8e8m0",
    "fp8e8m0": "float8e8m0", "fp4": "float4e2m1", "fp4e2m1": "float4e2m1", "int4": "int4",
    "int8": "int8", "int16": "int16", "int32": "int32", "int64": "int64", "uint8": "uint8",
    "uint16": "uint16", "uint32": "uint32", "uint64": "uint64", "bool": "bool",
}  # fmt: skip

_WIDE = {"two": 2, "four": 4, "eight": 8, "sixteen": 16, "thirty-two": 32}
_WORD = re.compile(r"[A-Za-z]+\d*(?:[A-Za-z]\d+)*")
_MODULO = re.compile(r"channel % (\d+) == 0")
_VECTOR = re.compile(r"(two|four|eight|sixteen|thirty-two) wide channel vectorized")


def dtype_of(text: str) -> str:
    """ONNX's name of the element type that a description or a type name speaks of, or ``""``."""
    for word in _WORD.findall(text):
        found = _DTYPES.get(word.lower())
        if found:
            return found
    return ""


def layout_of(text: str) -> str:
    """TensorRT's `TensorFormat` name, without the k, of a description; ``""`` if it tells none."""
    low = text.lower()
    if "dla" in low:
        return "DLA_HWC4" if "image" in low else "DLA_LINEAR"
    vector = _VECTOR.search(low)
    if vector:
        return f"{'CDHW' if '3 spatial' in low else 'CHW'}{_WIDE[vector[1]]}"
    if "channel major" in low or "(nhwc)" in low:
        modulo = _MODULO.search(low)
        volume = "D" if "3 spatial" in low else ""
        return f"{volume}HWC{modulo[1] if modulo else ''}"
    if "transposed" in low:
        return "TRANSPOSED"
    return "LINEAR" if "linear" in low else ""


def shape_of(extents: Sequence[int]) -> Shape:
    """A shape, ``"?"`` for every extent that is negative: TensorRT's -1 is fixed at run time."""
    return tuple("?" if extent < 0 else extent for extent in extents)
