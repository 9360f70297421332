"""OpenVINO on the CPU: fused, quantized and half-precision kernels without a GPU.

The library is imported when it is first needed, never with this package.
"""

from __future__ import annotations

from workbench.backends.openvino.backend import OpenVINO

__all__ = ["OpenVINO"]
