"""Runs in a child process: what a TensorRT really does here, from parsing to loading a plan."""

from __future__ import annotations

from typing import Any

from workbench.backends import gpus
from workbench.backends.tensorrt import adapter
from workbench.backends.tensorrt.adapter import Abilities

# An ONNX model of one Relu on float[1], opset 13, in wire format.
_RELU = (
    b'\x08\x07:6\n\x0f\n\x01x\x12\x01y\x1a\x01r"\x04Relu\x12\x01g'
    b"Z\x0f\n\x01x\x12\n\n\x08\x08\x01\x12\x04\n\x02\x08\x01"
    b"b\x0f\n\x01y\x12\n\n\x08\x08\x01\x12\x04\n\x02\x08\x01B\x04\n\x00\x10\x0d"
)


def abilities(package: str) -> Abilities:
    """What the package does here: each step is tried, the first that fails says why."""
    trt = adapter.module(package)
    found, no_gpu = gpus.gpus()
    done = {"parse": False, "build": False, "run": False}
    why = remedy = ""
    log = adapter.logger(trt)
    try:
        _try(trt, log, done)
    except Exception as error:
        why = no_gpu or _words(log) or str(error)
        remedy = _remedy(package, done, no_gpu)
    return Abilities(
        package, adapter.title(package), adapter.version(package),
        **done, gpus=found, why_not=why, remedy=remedy,
    )  # fmt: skip


def _try(trt: Any, log: Any, done: dict[str, bool]) -> None:
    builder = trt.Builder(log)
    network = adapter.network(trt, builder)
    parser = trt.OnnxParser(network, log)
    if not parser.parse(_RELU):
        raise RuntimeError("its parser refuses a network of one Relu")
    done["parse"] = True
    config = builder.create_builder_config()
    adapter.aim(trt, config)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise RuntimeError("it does not build a network of one Relu")
    done["build"] = True
    log.lines.clear()
    if trt.Runtime(log).deserialize_cuda_engine(plan) is None:
        raise RuntimeError("it does not load the plan it built")
    done["run"] = True


def _words(log: Any) -> str:
    errors = [text for severity, text in log.lines if severity.endswith("ERROR")]
    return errors[0] if errors else ""


def _remedy(package: str, done: dict[str, bool], no_gpu: str) -> str:
    if no_gpu and done["build"]:
        return "to run engines use a machine with an NVIDIA GPU; plans and layers work here"
    if no_gpu:
        return f"use a machine with an NVIDIA GPU, or {adapter.INSTALL}"
    return f"use a version of {package} that knows this GPU, or reinstall it"
