"""Networks, feeds and helpers of the GPU suite."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from workbench import zoo
from workbench.backends.base import BuildConfig, Engine, ShapeRange
from workbench.backends.onnxruntime import OnnxRuntime
from workbench.backends.tensorrt import TensorRT
from workbench.model import Model
from workbench.precision import PrecisionPlan
from workbench.progress import Progress, silent
from workbench.transform.casting import cast

NETWORKS = ("digits_inception", "digits_resnet", "resnet50", "mobilenet_v2", "googlenet")
BATCHES = (1, 8, 32)
LEVEL = 2
"""Optimization level of the large networks: 8.6 takes half a minute for each at this one."""


class Exact(TensorRT):
    """TensorRT without TF32, to be held to the tolerances of FP32."""

    def build(self, model: Model, config: BuildConfig = BuildConfig(), progress: Progress = silent):
        return super().build(model, replace(config, tf32=False), progress)


@functools.cache
def network(name: str, precision: str = "fp32") -> Model:
    model = zoo.load(name)
    if precision == "fp32":
        return model
    return cast(model, PrecisionPlan(precision), sensitive=()).model


def ranges(model: Model, batches: tuple[int, ...] = BATCHES) -> dict[str, ShapeRange]:
    low, best, high = batches
    return {
        spec.name: ShapeRange(*((n, *tail(spec.shape or ())) for n in (low, best, high)))
        for spec in model.graph.inputs
    }


def tail(shape: tuple[int | str, ...]) -> tuple[int, ...]:
    return tuple(dim for dim in shape[1:] if isinstance(dim, int))


def config(model: Model, **more) -> BuildConfig:
    return BuildConfig(shapes=ranges(model), optimization_level=LEVEL, threads=8, **more)


def picture(model: Model, batch: int, seed: int = 0) -> dict[str, np.ndarray]:
    (spec,) = model.graph.inputs
    values = np.random.default_rng(seed).standard_normal((batch, *tail(spec.shape or ())))
    return {spec.name: values.astype(np.float32)}


@functools.cache
def _on_cpu(name: str) -> Engine:
    model = network(name)
    return OnnxRuntime().build(model, BuildConfig(shapes=ranges(model), threads=8))


def expected(name: str, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What ONNX Runtime says on the CPU in FP32."""
    with _on_cpu(name).session() as session:
        return session.run(feeds)


def error(got: Mapping[str, np.ndarray], right: Mapping[str, np.ndarray]) -> float:
    """Largest difference over the largest value, over all outputs."""
    return max(
        float(np.abs(np.asarray(got[n], np.float64) - v).max() / max(np.abs(v).max(), 1e-30))
        for n, v in right.items()
    )


def placed(cupy, model: Model, batch: int, shapes: Mapping[str, tuple[int, ...]]):
    """Buffers on the GPU for every input and output."""
    buffers = {name: cupy.asarray(value) for name, value in picture(model, batch).items()}
    for spec in model.graph.outputs:
        buffers[spec.name] = cupy.empty(shapes[spec.name], spec.dtype)
    return buffers
