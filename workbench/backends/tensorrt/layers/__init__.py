"""Readers for what TensorRT writes about an engine: layers, per-layer times, runs.

Pure functions over text and values: no TensorRT is needed to look at an engine that someone else
built. `read_build_log` is the layer list of a verbose build log.
"""

from workbench.backends.tensorrt.layers.log import read_build_log, read_log_engines
from workbench.backends.tensorrt.layers.oneline import read_oneline
from workbench.backends.tensorrt.layers.values import (
    Binding,
    Bundle,
    EngineLayers,
    Layer,
    LayerTensor,
    Profile,
    ProfileRow,
    Timing,
)

__all__ = [
    "Binding",
    "Bundle",
    "EngineLayers",
    "Layer",
    "LayerTensor",
    "Profile",
    "ProfileRow",
    "Timing",
    "read_build_log",
    "read_log_engines",
    "read_oneline",
]
