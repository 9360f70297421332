"""INT8 networks of the GPU suite: ranges by our calibrator, pairs by our placement."""

from __future__ import annotations

import functools
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from gpu_cases import config, network, picture, tail

from workbench import zoo
from workbench.backends.tensorrt import TensorRT
from workbench.calibrate import collect
from workbench.errors import BuildError
from workbench.precision import Audit, Precision, PrecisionPlan, Rule
from workbench.ranges import CalibrationTable
from workbench.transform import Transformed, lower, needed_ranges

INT8, FP32 = Precision.INT8, Precision.FP32
PLANS = {
    "as placed": PrecisionPlan(INT8),
    "Gemm in float": PrecisionPlan(INT8, (Rule(FP32, op_types=("Gemm",)),)),
    "sums in float": PrecisionPlan(INT8, (Rule(FP32, op_types=("Add", "Gemm")),)),
    "sums and pooling in float": PrecisionPlan(
        INT8, (Rule(FP32, op_types=("Add", "Gemm", "MaxPool", "Concat")),)
    ),
}
"""What is tried, one after the other, until TensorRT builds it."""

_order: list[str] = list(PLANS)
"""Plans as they are tried: one that TensorRT took comes first for the next network."""

NOISY = {"digits_resnet": True, "digits_inception": False}
_PICTURES = 16


@dataclass(frozen=True)
class Int8:
    """An INT8 engine and what became of the request."""

    network: str
    engine: Any
    audit: Audit
    seconds: float
    """Of the build."""
    plan: str
    refused: dict[str, str]
    """Plan that TensorRT did not build -> its words."""

    def convolutions(self) -> Counter[str]:
        """Precision -> how many convolutions of the network compute in it."""
        found = self.audit.overlay()
        convolutions = (n.name for n in network(self.network).graph.nodes if n.op_type == "Conv")
        return Counter(found.get(name, "none") for name in convolutions)


@functools.cache
def ranges_of(name: str) -> CalibrationTable:
    """Extremes over pictures: those held back for it, else random ones as they are timed with."""
    model = network(name)
    if name in NOISY:
        pictures = next(zoo.digits(NOISY[name], part="calibration").batches(150))[0]
    else:
        (spec,) = model.graph.inputs
        pictures = np.random.default_rng(7).standard_normal((_PICTURES, *tail(spec.shape or ())))
        pictures = pictures.astype(np.float32)
    names = needed_ranges(model)
    return collect(model, pictures, tensors=names, bins=0, threads=8).table("minmax")


@functools.cache
def lowered(name: str, plan: str = "as placed") -> Transformed:
    """The network with pairs of QuantizeLinear and DequantizeLinear; float32 beside them."""
    return lower(network(name), PLANS[plan], ranges_of(name))


@functools.cache
def build_int8(trt: TensorRT, name: str) -> Int8:
    """An engine by the first plan that TensorRT takes, FP16 allowed for what is not INT8.

    Raises:
        BuildError: none of them; has the words about the last.
    """
    refused: dict[str, str] = {}
    for plan in tuple(_order):
        done = lowered(name, plan)
        begun = time.perf_counter()
        try:
            half = trt.version.startswith("8.")
            engine = trt.build(done.model, config(done.model, options={"half": half}))
        except BuildError as error:
            refused[plan] = str(error)[:600]
            if len(refused) == len(PLANS):
                raise
            continue
        seconds = time.perf_counter() - begun
        _order.insert(0, _order.pop(_order.index(plan)))
        audit = done.audit(engine, PLANS[plan].resolve(network(name).graph))
        return Int8(name, engine, audit, seconds, plan, refused)
    raise AssertionError("no plans")


def several(name: str, count: int, batch: int) -> Iterator[dict[str, np.ndarray]]:
    """Feeds of different pictures, of the kind that the ranges were taken from."""
    real = zoo.digits(NOISY[name]).batches(batch) if name in NOISY else None
    for seed in range(count):
        if real is None:
            yield picture(network(name), batch, seed=100 + seed)
        else:
            yield {"image": next(real)[0]}
