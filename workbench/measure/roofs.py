"""What a machine can do at most, measured: operations a second, bytes a second.

A backend multiplies two large matrices and adds two large arrays, in the same threads and with the
same settings as the networks that are held against it. Data sheets say more than any program
gets; what is measured here is what a good kernel gets.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from workbench.backends import cuda
from workbench.backends.base import Backend, BuildConfig, Engine, Session
from workbench.backends.feeds import numpy_dtype
from workbench.errors import BackendError, ModelError
from workbench.measure.gpu import gpu_latency
from workbench.measure.machine import processor
from workbench.measure.timing import Warmup, latency
from workbench.model import Model, from_proto
from workbench.progress import Cancel, Event, Progress, silent
from workbench.text import listed, plural, shown

_SIDES = {False: (384, 512, 768), True: (4096, 8192)}
"""Extents of the square matrices, off and on a GPU: no library is fastest at one and the same."""
PRECISIONS = ("float32", "float16", "bfloat16", "int8")
"""Of products that can be measured."""
_MEBIBYTES = {False: 64, True: 256}
"""Size of each of the three arrays that do not fit into a cache."""
_CACHED = 1
"""MiB of each of the three arrays that do."""


@dataclass(frozen=True, slots=True)
class Roofs:
    """Bounds of speed, and where they come from.

    Raises:
        ValueError: no bound, one that is no finite number above 0, or no word on the source.
    """

    flops: Mapping[str, float]
    """Precision that was computed in -> operations a second; a multiply-add is two."""
    bandwidth: float
    """Bytes a second from and to memory."""
    source: str
    """How the numbers were got; figures print it."""
    cached: float | None = None
    """Bytes a second where everything lies in a cache; None where that was not measured."""

    def __post_init__(self) -> None:
        rates = [*self.flops.values(), self.bandwidth]
        rates += [] if self.cached is None else [self.cached]
        if not self.flops or not all(math.isfinite(rate) and rate > 0 for rate in rates):
            raise ValueError("roofs must be finite numbers above 0, with one precision at least")
        if not self.source.strip():
            raise ValueError("say where the roofs come from: measured how, or which data sheet")

    def top(self, precision: str) -> float | None:
        """Operations a second in a precision; None where that was not measured.

        Integers of 8 bits are one precision, with and without sign.
        """
        same = {"uint8": "int8"}
        return self.flops.get(same.get(precision, precision))

    def attainable(self, intensity: float, precision: str) -> float | None:
        """Operations a second at so many operations a byte from memory; None as for `top`."""
        top = self.top(precision)
        return None if top is None else min(top, self.bandwidth * intensity)


def roofs(
    backend: Backend,
    *,
    precisions: Sequence[str] = ("float32",),
    config: BuildConfig = BuildConfig(),
    seconds: float = 0.3,
    progress: Progress = silent,
    cancel: Cancel | None = None,
) -> Roofs:
    """The bounds of this machine as a backend reaches them, the fastest sample of each counts.

    Operations: products of square matrices of a few sizes in each precision. A backend may compute
    in another precision than the network says; a roof is called by what it computed in. Bandwidth:
    a sum of two arrays, two read and one written, far larger than a cache; on a processor once
    more with arrays of 1 MiB.

    Args:
        backend: what runs the networks.
        precisions: of matrices, among `PRECISIONS`; float32 is measured in any case.
        config: threads and settings; shapes are ignored.
        seconds: time for the samples of each measurement.
        progress: told of each measurement.
        cancel: stops it between samples.

    Raises:
        ValueError: a precision that is none of these.
        BackendError: the backend cannot build or run the float32 product or the sums.
        CancelledError: stopped by `cancel`.
    """
    unknown = [name for name in precisions if name not in PRECISIONS]
    if unknown:
        raise ValueError(f"precisions {listed(unknown)}; must be among {', '.join(PRECISIONS)}")
    place = getattr(backend, "device", "cuda" if backend.name.startswith("tensorrt") else "cpu")
    ran = _Ran(backend, replace(config, shapes={}), seconds, progress, cancel, place != "cpu")
    tops = _tops(ran, dict.fromkeys(["float32", *precisions]))
    large = _MEBIBYTES[ran.gpu]
    bandwidth = ran.bandwidth(large)
    cached = None if ran.gpu else ran.bandwidth(_CACHED)
    return Roofs(tops, bandwidth, _words(ran, large), cached)


def _words(ran: _Ran, large: int) -> str:
    sides = " or ".join(str(side) for side in _SIDES[ran.gpu])
    backend, threads = ran.backend, ran.config.threads
    inside = "" if ran.gpu else f" (cache: {_CACHED} MiB)"
    place = "on the GPU" if ran.gpu else f"in {plural(threads, 'thread')} on {processor()}"
    return (
        f"measured here: product of square matrices of {sides} and sum of arrays of {large} MiB"
        f"{inside}, best sample, by {shown(backend.name)} {shown(backend.version)} {place}"
    )


def _tops(ran: _Ran, precisions: Iterable[str]) -> dict[str, float]:
    """Precision computed in -> operations a second; one a backend refuses has no roof."""
    found: dict[str, float] = {}
    for precision, side in [(one, side) for one in precisions for side in _SIDES[ran.gpu]]:
        ran.progress(Event("measure roofs", f"product of {side} x {side} matrices, {precision}"))
        try:
            engine = ran.backend.build(_PRODUCTS[precision](side), ran.config)
        except (BackendError, ModelError):
            if precision == "float32":
                raise
            continue
        achieved = _computed_in(engine)
        rate = 2 * side**3 / ran.fastest(engine)
        found[achieved] = max(rate, found.get(achieved, 0.0))
    return found


def _computed_in(engine: Engine) -> str:
    said = [
        str(node.attributes.get("precision") or "")
        for node in engine.layers().nodes
        if "product" in node.origin or node.name == "product"
    ]
    name = said[0] if said and said[0] else engine.inputs[0].dtype
    return "int8" if name == "uint8" else name


@dataclass(frozen=True, slots=True)
class _Ran:
    """How everything is run."""

    backend: Backend
    config: BuildConfig
    seconds: float
    progress: Progress
    cancel: Cancel | None
    gpu: bool

    def bandwidth(self, mebibytes: int) -> float:
        """Bytes a second of a sum of arrays of this size."""
        self.progress(Event("measure roofs", f"sum of arrays of {mebibytes} MiB"))
        engine = self.backend.build(_sum(mebibytes), self.config)
        return 3 * mebibytes * 2**20 / self.fastest(engine)

    def fastest(self, engine: Engine) -> float:
        """Seconds of the fastest sample."""
        with engine.session() as session:
            call = self._bound(engine, session)
            if self.gpu:
                timed = gpu_latency({"roof": call}, seconds=self.seconds, cancel=self.cancel)
                return min(timed[0].samples)
            return min(
                latency(
                    {"roof": call}, seconds=self.seconds, min_rounds=8,
                    warmup=Warmup(limit_seconds=0.3), cancel=self.cancel,
                )[0].wall
            )  # fmt: skip

    def _bound(self, engine: Engine, session: Session) -> Callable[[], None]:
        rng = np.random.default_rng(0)
        buffers: dict[str, Any] = {}
        for spec in engine.inputs:
            values = rng.standard_normal(_extents(spec.shape), np.float32)
            buffers[spec.name] = values.astype(numpy_dtype(spec.dtype))
        for spec in engine.outputs:
            buffers[spec.name] = np.zeros(_extents(spec.shape), numpy_dtype(spec.dtype))
        if self.gpu:
            buffers = {name: cuda.to_device(array) for name, array in buffers.items()}
        return session.bind(buffers)


def _extents(shape: Sequence[int | str] | None) -> tuple[int, ...]:
    return tuple(extent for extent in shape or () if isinstance(extent, int))


def _model(nodes: Sequence[Any], inputs: Sequence[Any], stored: Sequence[Any] = ()) -> Model:
    """Nodes as a network; its output ``y`` is like its inputs."""
    from onnx import ValueInfoProto, helper

    output = ValueInfoProto()
    output.CopyFrom(inputs[0])
    output.name = "y"
    graph = helper.make_graph([*nodes], "roof", [*inputs], [output], [*stored])
    return from_proto(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    )


def _sum(mebibytes: int) -> Model:
    from onnx import TensorProto, helper

    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, (mebibytes, 512, 512))
        for name in "ab"
    ]
    return _model([helper.make_node("Add", ["a", "b"], ["y"], "sum")], ends)


def _product(dtype: str) -> Callable[[int], Model]:
    """A product with a stored matrix, which backends bring into their own order beforehand."""

    def made(side: int) -> Model:
        from onnx import helper, numpy_helper

        values = np.random.default_rng(1).standard_normal((side, side), np.float32)
        stored = numpy_helper.from_array(values.astype(numpy_dtype(dtype)), "b")
        end = helper.make_tensor_value_info("a", stored.data_type, (side, side))
        return _model([helper.make_node("MatMul", ["a", "b"], ["y"], "product")], [end], [stored])

    return made


def _product_int8(side: int) -> Model:
    """The form in which backends take 8 bits: both operands quantized, the second one stored."""
    from onnx import TensorProto, helper, numpy_helper

    weights = np.random.default_rng(1).integers(-127, 128, (side, side), np.int8)
    stored = [
        numpy_helper.from_array(np.array(0.03, np.float32), "scale"),
        numpy_helper.from_array(np.array(0, np.int8), "zero"),
        numpy_helper.from_array(weights, "b"),
    ]
    nodes = [
        helper.make_node("QuantizeLinear", ["a", "scale", "zero"], ["q"], "quantize"),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["d"], "dequantize"),
        helper.make_node("DequantizeLinear", ["b", "scale", "zero"], ["w"], "weights"),
        helper.make_node("MatMul", ["d", "w"], ["y"], "product"),
    ]
    end = helper.make_tensor_value_info("a", TensorProto.FLOAT, (side, side))
    return _model(nodes, [end], stored)


_PRODUCTS: Mapping[str, Callable[[int], Model]] = {
    "float32": _product("float32"), "float16": _product("float16"),
    "bfloat16": _product("bfloat16"), "int8": _product_int8,
}  # fmt: skip
