"""Readers for what TensorRT writes about an engine: layers, per-layer times, runs.

Pure functions over text and values: no TensorRT is needed to look at an engine that someone else
built. `read` takes any file, `read_build_log` the layer list of a verbose build log; `to_graph`
makes the fused graph with its origins, `account` says where every ONNX node went, and `join` puts
times on layers.
"""

from workbench.backends.tensorrt.layers.accounting import Account, account
from workbench.backends.tensorrt.layers.graphs import to_graph
from workbench.backends.tensorrt.layers.inspector import read_engine
from workbench.backends.tensorrt.layers.log import read_build_log, read_log_engines
from workbench.backends.tensorrt.layers.oneline import read_oneline
from workbench.backends.tensorrt.layers.origin import Resolver
from workbench.backends.tensorrt.layers.reading import gather, read
from workbench.backends.tensorrt.layers.times import Joined, join, spread
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
    "Account",
    "Binding",
    "Bundle",
    "EngineLayers",
    "Joined",
    "Layer",
    "LayerTensor",
    "Profile",
    "ProfileRow",
    "Resolver",
    "Timing",
    "account",
    "gather",
    "join",
    "read",
    "read_build_log",
    "read_engine",
    "read_log_engines",
    "read_oneline",
    "spread",
    "to_graph",
]
