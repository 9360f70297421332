"""Counting on a GPU gives the same numbers as on the processor."""

from __future__ import annotations

import numpy as np
import pytest

from workbench.calibrate.histogram import Tally

pytestmark = pytest.mark.gpu

SHAPE = (4, 16, 56, 56)


def parts(kind: str) -> list[np.ndarray]:
    values = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
    if kind == "relu":
        return [np.maximum(values, 0)]
    if kind == "half":
        return [values.astype(np.float16)]
    if kind == "no numbers":
        values[0, 0, 0, :4] = [np.nan, np.inf, -np.inf, 1]
        return [values]
    if kind == "zeros":
        return [values * 0, values[:1] * 0]
    return [values[i] * np.float32(10.0**i) for i in range(len(values))]


@pytest.mark.parametrize("kind", ["relu", "half", "no numbers", "zeros", "growing"])
def test_arrays_on_the_gpu_are_counted_alike(kind: str):
    cupy = pytest.importorskip("cupy")
    host, device = Tally(2048), Tally(2048)
    for part in parts(kind):
        assert host.add(part) == device.add(cupy.asarray(part))
    assert host.result().same_as(device.result())
