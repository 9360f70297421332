"""Types of the graph's inputs and outputs."""

from __future__ import annotations

import onnx

from workbench.errors import ModelError
from workbench.model.payload import dtype_name
from workbench.text import shown

_LARGEST = 1 << 40
"""An extent beyond this fits no machine."""


def check_interface(graph: onnx.GraphProto) -> list[str]:
    """Refuse inputs and outputs of impossible type, name unnamed extents; warnings.

    Args:
        graph: changed in place: extents of inputs that are open get a name.
    """
    warnings: list[str] = []
    for info in graph.input:
        if info.type.WhichOneof("value") is None:
            raise ModelError(
                f"graph input {shown(info.name)} has no type; export it anew with input types"
            )
        if info.type.HasField("tensor_type"):
            warnings += _check_tensor("input", info)
    for info in graph.output:
        if info.type.HasField("tensor_type") and info.type.tensor_type.elem_type:
            warnings += _check_tensor("output", info)
    return warnings


def _check_tensor(kind: str, info: onnx.ValueInfoProto) -> list[str]:
    label = f"graph {kind} {shown(info.name)}"
    tensor = info.type.tensor_type
    if not dtype_name(tensor.elem_type):
        raise ModelError(
            f"{label} has element type {tensor.elem_type}, which ONNX {onnx.__version__} does not "
            "have; the file is damaged or newer"
        )
    warnings = []
    for axis, dim in enumerate(tensor.shape.dim):
        if dim.HasField("dim_value"):
            if dim.dim_value == -1:
                warnings.append(f"{label}, axis {axis}: extent -1 is taken as dynamic")
                dim.ClearField("dim_value")
            elif kind == "input" and not 0 < dim.dim_value <= _LARGEST:
                raise ModelError(
                    f"{label}, axis {axis}: extent {dim.dim_value}; must be from 1 to {_LARGEST}, "
                    "or named where it is dynamic"
                )
            elif not 0 <= dim.dim_value <= _LARGEST:
                raise ModelError(
                    f"{label}, axis {axis}: extent {dim.dim_value}; must be from 0 to {_LARGEST}"
                )
        if kind == "input" and not dim.HasField("dim_value") and not dim.dim_param:
            dim.dim_param = f"{info.name}.{axis}"
    return warnings
