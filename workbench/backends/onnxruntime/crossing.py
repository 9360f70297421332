"""What crosses into ONNX Runtime as plain memory, and its errors on the way back."""

from __future__ import annotations

from typing import Any

from workbench.backends.onnxruntime.library import NAME, words
from workbench.errors import RunError
from workbench.graph import TensorSpec
from workbench.text import shown

ELEMENT_TYPES = {
    "float32": 1, "uint8": 2, "int8": 3, "uint16": 4, "int16": 5, "int32": 6, "int64": 7,
    "bool": 9, "float16": 10, "float64": 11, "uint32": 12, "uint64": 13, "bfloat16": 16,
    "float8e4m3fn": 17, "float8e4m3fnuz": 18, "float8e5m2": 19, "float8e5m2fnuz": 20,
}  # fmt: skip
"""ONNX's numbers of the element types that cross as plain memory."""


def memory(array: Any, spec: TensorSpec) -> tuple[int, tuple[int, ...], int]:
    """Element type, shape and address of an array, on the GPU or in the processor's memory.

    Raises:
        RunError: an element type without a memory layout.
    """
    where = array.data.ptr if hasattr(array, "__cuda_array_interface__") else array.ctypes.data
    if spec.dtype not in ELEMENT_TYPES:
        raise RunError(
            f"tensor {shown(spec.name)} is {shown(spec.dtype)}, which ONNX Runtime cannot read "
            "from plain memory; use run",
            backend=NAME,
        )
    return ELEMENT_TYPES[spec.dtype], array.shape, where


def failed(error: Exception) -> RunError:
    """The error for what ONNX Runtime raised at a run."""
    return RunError(
        f"ONNX Runtime failed at a run: {words(error)}; check shapes and values of the inputs",
        backend=NAME,
    )
