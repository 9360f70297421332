"""ONNX Runtime on the CPU: runs nearly every ONNX operator, so it is the native side of hybrids.

The library is imported when it is first needed, never with this package.
"""

from __future__ import annotations

from workbench.backends.onnxruntime.backend import OnnxRuntime

__all__ = ["OnnxRuntime"]
