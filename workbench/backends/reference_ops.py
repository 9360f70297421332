"""Operators the reference runs in an implementation of our own, and why.

`LRN`: onnx 1.23's evaluator walks the batch where it should walk the channels, so only the first
channels are normalised (seen: 6e-4 relative error in GoogLeNet, where ONNX Runtime and OpenVINO
agree to 1e-7). `MaxPool`: right, but a Python loop over every output pixel: 17 s of the 21 s of one
GoogLeNet; windows as a numpy view give the same values in 0.1 s. `DequantizeLinear`: missing below
operator set 19; the rule is the same there, with fewer types.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np


def local_response_norm(
    x: np.ndarray, *, size: int, alpha: float, beta: float, bias: float
) -> np.ndarray:
    """``x / (bias + alpha / size * s) ** beta``, ``s`` the sum of squares over `size` channels.

    Args:
        x: shape (n, c, ...).
        size: channels in a window, cut off at both ends; see ONNX's LRN for an even number.
        alpha: see ONNX's LRN.
        beta: see ONNX's LRN.
        bias: see ONNX's LRN.
    """
    before, after = math.floor((size - 1) / 2), math.ceil((size - 1) / 2)
    margins = [(0, 0)] * x.ndim
    margins[1] = (before, after)
    squares = np.pad(np.square(x), margins)
    windows = np.lib.stride_tricks.sliding_window_view(squares, size, axis=1)
    return (x / (bias + alpha / size * windows.sum(axis=-1)) ** beta).astype(x.dtype)


def max_pool(
    x: np.ndarray,
    kernel: Sequence[int],
    *,
    strides: Sequence[int],
    pads: Sequence[int],
    dilations: Sequence[int],
    ceil_mode: bool,
) -> np.ndarray:
    """The largest value of every window of a floating-point `x` of shape (n, c, ...).

    Args:
        x: what to pool.
        kernel: extents of a window, one a spatial axis.
        strides: steps between windows.
        pads: what is put before every axis, then what is put behind; never the largest.
        dilations: steps inside a window.
        ceil_mode: whether a last window may hang over the end. It must begin inside the input or
            its leading padding, as in ONNX since opset 22 and in ONNX Runtime.
    """
    axes = len(kernel)
    margins, steps = [(0, 0), (0, 0)], [slice(None), slice(None)]
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    for axis in range(axes):
        extent, lead, stride = x.shape[2 + axis], pads[axis], strides[axis]
        room = extent + lead + pads[axis + axes] - reach[axis]
        count = (math.ceil(room / stride) if ceil_mode else room // stride) + 1
        if ceil_mode and (count - 1) * stride >= extent + lead:
            count -= 1
        needed = (count - 1) * stride + reach[axis]
        margins.append((lead, max(0, needed - extent - lead)))
        steps.append(slice(0, (count - 1) * stride + 1, stride))
    padded = np.pad(x, margins, constant_values=-np.inf)
    over = tuple(range(2, 2 + axes))
    windows = np.lib.stride_tricks.sliding_window_view(padded, reach, axis=over)
    inside = tuple(slice(None, None, d) for d in dilations)
    return windows[(*steps, *inside)].max(axis=tuple(range(-axes, 0)))


_DEQUANTIZES = 19
"""Operator set from which on the evaluator has DequantizeLinear."""


@cache
def replacements(opset: int) -> list[type]:
    """Classes for the evaluator's ``new_ops``, for a model of ONNX's operator set `opset`."""
    from onnx.reference.op_run import OpRun
    from onnx.reference.ops.op_dequantize_linear import DequantizeLinear_25
    from onnx.reference.ops.op_max_pool import MaxPool as Original

    class LRN(OpRun):
        op_domain = ""

        def _run(self, x: np.ndarray, **attributes: Any) -> tuple[np.ndarray]:
            return (local_response_norm(x, **attributes),)

    class MaxPool(Original):
        op_domain = ""

        def _run(self, x: np.ndarray, **attributes: Any) -> Any:  # type: ignore[override]
            kernel = attributes["kernel_shape"]
            if (
                len(self.onnx_node.output) > 1
                or (attributes.get("auto_pad") or "NOTSET") != "NOTSET"
                or not np.issubdtype(x.dtype, np.floating)
            ):
                return super()._run(x, **attributes)
            ones = [1] * len(kernel)
            pooled = max_pool(
                x,
                kernel,
                strides=attributes.get("strides") or ones,
                pads=attributes.get("pads") or [0] * (2 * len(kernel)),
                dilations=attributes.get("dilations") or ones,
                ceil_mode=bool(attributes.get("ceil_mode")),
            )
            return (pooled,)

    older = type("DequantizeLinear", (DequantizeLinear_25,), {"op_domain": ""})
    return [LRN, MaxPool, older] if opset < _DEQUANTIZES else [LRN, MaxPool]
