"""What crosses into and out of TensorRT in another type than the model's.

Before version 10 TensorRT has no 64-bit integers: the model's int64 crosses as INT32. Values are
looked at where that costs nothing beside the copy; nothing is ever cut off silently in `run`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from workbench.backends import cuda
from workbench.backends.feeds import numpy_dtype
from workbench.backends.tensorrt.runtime import BACKEND, Port
from workbench.errors import DataError, RunError
from workbench.graph import TensorSpec
from workbench.text import shown

_INT32 = np.iinfo(np.int32)


def crosses(spec: TensorSpec, port: Port) -> bool:
    """Whether a tensor has the model's type also in TensorRT.

    Raises:
        RunError: the types are such that values could not cross unchanged.
    """
    if spec.dtype == port.dtype:
        return True
    if (spec.dtype, port.dtype) == ("int64", "int32"):
        return False
    raise RunError(
        f"tensor {shown(spec.name)} is {shown(spec.dtype)} in the model and {port.dtype} in the "
        "engine, which would change its values; keep it out of the engine",
        backend=BACKEND,
    )


def narrowed(array: Any, spec: TensorSpec, port: Port, stream: Any) -> Any:
    """An input as TensorRT takes it: in its type, on the GPU, or on the host for a shape.

    Raises:
        DataError: a 64-bit integer that does not fit into 32 bits.
    """
    if not crosses(spec, port):
        if array.size:
            _refuse_wide(int(array.min()), int(array.max()), spec)
        array = array.astype(np.int32)
    if port.on_host:
        return np.ascontiguousarray(array.get() if cuda.is_device(array) else array)
    if not cuda.is_device(array):
        return cuda.to_device(array, stream)
    return array if cuda.is_placed(array) else array.copy()


def widened(array: Any, spec: TensorSpec, port: Port) -> Any:
    """An output on the GPU in the model's type."""
    return array if crosses(spec, port) else array.astype(numpy_dtype(spec.dtype))


def _refuse_wide(low: int, high: int, spec: TensorSpec) -> None:
    if low < _INT32.min or high > _INT32.max:
        raise DataError(
            f"input {shown(spec.name)} holds {low if low < _INT32.min else high}; this TensorRT "
            f"computes int64 as int32, so values must lie in {_INT32.min} to {_INT32.max}; run "
            "this part with another backend"
        )
