"""Ranges for tests by the plainest calibration there is: the extremes over some pictures."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import onnxruntime

from workbench.model import Model
from workbench.ranges import CalibrationTable, Range


def extremes(model: Model, tensors: Iterable[str], pictures: np.ndarray) -> CalibrationTable:
    """Smallest and largest value of each tensor.

    Args:
        model: with one input.
        tensors: which.
        pictures: shape (batches, *input shape).
    """
    names = list(tensors)
    proto = model.to_proto()
    infos = {info.name: info for info in proto.graph.value_info}
    given = model.graph.inputs[0].name
    have = {given, *(output.name for output in proto.graph.output)}
    proto.graph.output.extend(infos[name] for name in names if name not in have)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    made = [output.name for output in session.get_outputs()]
    found: dict[str, tuple[float, float]] = {}
    for batch in pictures:
        arrays = {given: batch, **dict(zip(made, session.run(None, {given: batch}), strict=True))}
        for name in names:
            low, high = float(arrays[name].min()), float(arrays[name].max())
            seen = found.get(name, (low, high))
            found[name] = (min(low, seen[0]), max(high, seen[1]))
    ranges = {name: Range(*ends) for name, ends in found.items()}
    return CalibrationTable("minmax", ranges, model.digest, "", len(pictures))


def random_pictures(model: Model, count: int = 2) -> np.ndarray:
    shape = tuple(int(dim) for dim in model.graph.inputs[0].shape or ())
    return np.random.default_rng(0).standard_normal((count, *shape)).astype(np.float32)
