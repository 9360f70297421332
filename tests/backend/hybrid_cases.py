"""Small networks with one oddity each, random divisions of them, and backends that go wrong."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Mapping

import numpy as np
import onnx
import onnx.numpy_helper
import onnx.parser

from workbench import backends
from workbench.backends.base import BuildConfig, Engine
from workbench.errors import BuildError
from workbench.graph import Graph
from workbench.model import Model, from_proto
from workbench.partitioning import Capability, Code, Plan, Verdict, plan
from workbench.progress import Progress, silent

BRANCHES = """
<ir_version: 8, opset_import: ["" : 17]>
branches (float[N,3,8,8] x) => (float[N,4,8,8] y, float[N,3,8,8] z, float[N] m)
<float[4,3,1,1] w, float[4,4,3,3] v>
{
  [a] a = Relu(x)
  [b] b = Conv(a, w)
  [c] c = Sigmoid(b)
  [d] d = Conv<pads=[1,1,1,1]>(c, v)
  [e] e = Add(d, b)
  [f] y = Tanh(e)
  [g] g = Exp(a)
  [h] z = Sub(g, x)
  [i] m = ReduceMean<axes=[1,2,3], keepdims=0>(y)
}
"""

CAPTURED = """
<ir_version: 8, opset_import: ["" : 17]>
captured (float[N,4] x, bool c) => (float[N,4] y, float[N,4] z)
<float[4] b = {1,-1,0.5,2}>
{
  [a] h = Relu(x)
  [b] h2 = Add(h, b)
  [cond] i = If(c) <
    then_branch = t () => (float[N,4] o) { [t1] o = Mul(h2, b) },
    else_branch = e () => (float[N,4] o2) { [e1] o2 = Sub(h2, h) }
  >
  [d] y = Tanh(i)
  [e2] s = Exp(h)
  [f] z = Sub(s, y)
}
"""

ODD_OUTPUTS = """
<ir_version: 8, opset_import: ["" : 17]>
odd (float[N,4] x, float[4] unused) =>
    (float[N,4] y, float[N,4] x, float[2] w, float[2] folded, int64 count)
<float[2] w = {1,2}>
{
  [a] h = Relu(x)
  [b] h2 = Neg(h)
  [c] y = Exp(h2)
  [k1] one = Constant <value = float[2] {3,4}>()
  [k2] folded = Mul(w, one)
  [n0] ax = Constant <value = int64[1] {1}>()
  [n1] where = NonZero(h)
  [n2] shape = Shape(where)
  [n3] count = ReduceMax<keepdims=0>(shape)
  [dead] nobody = Neg(h)
}
"""

HALF = """
<ir_version: 8, opset_import: ["" : 17]>
half (float16[2,8] x) => (float16[2,8] y, bfloat16[2,8] z)
{
  [a] a = Relu(x)
  [b] b = Add(a, x)
  [c] c = Cast<to=16>(b)
  [d] z = Add(c, c)
  [e] y = Tanh(b)
}
"""


def network(text: str) -> Model:
    """The model of a text in ONNX's notation; weights it gives no values are drawn from a seed."""
    proto = onnx.parser.parse_model(text)
    rng = np.random.default_rng(5)
    for info in proto.graph.value_info:
        shape = tuple(dim.dim_value for dim in info.type.tensor_type.shape.dim)
        values = rng.standard_normal(shape).astype(np.float32) * 0.3
        proto.graph.initializer.append(onnx.numpy_helper.from_array(values, info.name))
    del proto.graph.value_info[:]
    return from_proto(proto)


def random_plan(graph: Graph, seed: int, share: float = 0.6) -> Plan:
    """The plan of a capability that takes each node with this probability."""
    rng = random.Random(seed)
    verdicts = tuple(
        Verdict(node.name, Code.TAKEN if rng.random() < share else Code.UNSUPPORTED_OP)
        for node in graph.nodes
    )
    return plan(graph, Capability(f"dice {seed}", verdicts))


def feeds_of(model: Model, batch: int = 2, seed: int = 0) -> dict[str, np.ndarray]:
    """Values for every input; named extents become `batch`."""
    rng = np.random.default_rng(seed)
    feeds = {}
    for spec in model.graph.inputs:
        shape = tuple(batch if isinstance(dim, str) else dim for dim in spec.shape or ())
        values = rng.standard_normal(shape)
        feeds[spec.name] = (
            np.asarray(values > 0) if spec.dtype == "bool" else values.astype(spec.dtype)
        )
    return feeds


def truth(model: Model, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What the reference says."""
    with backends.get("reference").build(model).session() as session:
        return session.run(feeds)


def assert_close(
    got: Mapping[str, np.ndarray], want: Mapping[str, np.ndarray], tolerance: float = 2e-5
) -> None:
    """Same names, types and shapes, and values within the tolerance of the largest."""
    assert got.keys() == want.keys()
    for name, value in want.items():
        assert got[name].dtype == value.dtype, name
        assert got[name].shape == value.shape, name
        np.testing.assert_allclose(
            got[name].astype(np.float64),
            value.astype(np.float64),
            rtol=tolerance,
            atol=tolerance * max(1.0, float(np.abs(value.astype(np.float64)).max(initial=0))),
            err_msg=name,
        )


class Troubled:
    """ONNX Runtime, but a piece that holds the node `where` goes wrong in the way of `how`.

    Wrong ways: ``refuse``, ``crash`` (signal 11), ``hang``.
    """

    def __init__(self, where: str, how: str) -> None:
        self.where = where
        self.how = how
        self.inner = backends.get("onnxruntime")

    @property
    def name(self) -> str:
        return "onnxruntime"

    @property
    def version(self) -> str:
        return self.inner.version

    def fingerprint(self) -> str:
        return self.inner.fingerprint()

    def capability(self, model: Model) -> Capability:
        return self.inner.capability(model)

    def load(self, plan: bytes) -> Engine:
        return self.inner.load(plan)

    def build(
        self, model: Model, config: BuildConfig = BuildConfig(), progress: Progress = silent
    ) -> Engine:
        if self.where in model.graph.position:
            if self.how == "refuse":
                raise BuildError("no kernel for this", backend=self.name, log="line 1\nline 2")
            if self.how == "crash":
                os.kill(os.getpid(), signal.SIGSEGV)
            time.sleep(60)
        return self.inner.build(model, config, progress)
