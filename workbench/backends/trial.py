"""Whether a backend works here: it is given a network of one node."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx
from onnx import helper

from workbench.backends.base import Backend
from workbench.errors import RunError
from workbench.model import Model, from_proto


def tried(backend: Backend) -> Iterator[str]:
    """What works, one after the other: ``capability``, ``build``, ``run``.

    Raises:
        WorkbenchError: at the first thing that does not.
    """
    model = _network()
    backend.capability(model)
    yield "capability"
    engine = backend.build(model)
    yield "build"
    with engine.session() as session:
        result = session.run({"x": np.array([-1, 2], np.float32)})["y"]
    if result.tolist() != [0, 2]:
        raise RunError(
            f"Relu of -1 and 2 came back as {result.tolist()}; install the library again",
            backend=backend.name,
        )
    yield "run"


def _network() -> Model:
    ends = [helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, [2]) for n in ("x", "y")]
    node = helper.make_node("Relu", ["x"], ["y"], name="relu")
    graph = helper.make_graph([node], "trial", ends[:1], ends[1:])
    opsets = [helper.make_opsetid("", 13)]
    return from_proto(helper.make_model(graph, opset_imports=opsets, ir_version=8))
