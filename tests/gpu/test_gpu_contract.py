"""The contract of backends on a GPU: TensorRT, and ONNX Runtime with its CUDA provider."""

from __future__ import annotations

from dataclasses import replace

import pytest
from gpu_cases import Exact

from workbench.backends.base import BuildConfig
from workbench.backends.onnxruntime import OnnxRuntime
from workbench.testing import checks


class ExactCuda(OnnxRuntime):
    def __init__(self) -> None:
        super().__init__(device="cuda")

    def build(self, model, config=BuildConfig(), progress=lambda event: None):
        return super().build(model, replace(config, tf32=False), progress)


@pytest.fixture(scope="module")
def exact():
    backend = Exact()
    yield backend
    backend.close()


@pytest.mark.parametrize("name", checks())
def test_tensorrt_keeps_the_contract(exact, name):
    checks()[name](exact)


@pytest.mark.parametrize("name", checks())
def test_the_cuda_provider_keeps_the_contract(name):
    checks()[name](ExactCuda())
