"""What TensorRT's inspector says of a plan: the layers as they will run. Needs the plan's GPU."""

from __future__ import annotations

from typing import Any

from workbench.backends.tensorrt.api import Library


def deserialized(trt: Library, log: Any, plan: bytes | memoryview) -> tuple[Any, Any]:
    """Runtime and engine of a plan; the engine is None where TensorRT refuses, `log` says why.

    The runtime has to live as long as the engine.
    """
    runtime = trt.Runtime(log)
    if runtime is None:
        return None, None
    if hasattr(runtime, "engine_host_code_allowed"):
        # Plans for several versions hold host code; a plan comes here only if it is ours.
        runtime.engine_host_code_allowed = True
    return runtime, runtime.deserialize_cuda_engine(memoryview(plan))


def inspected(trt: Library, log: Any, plan: bytes) -> str:
    """The inspector's JSON of a plan; empty where the plan cannot be loaded here."""
    runtime, engine = deserialized(trt, log, plan)
    if runtime is None or engine is None:
        return ""
    inspector = engine.create_engine_inspector()
    if inspector is None:
        return ""
    return str(inspector.get_engine_information(trt.LayerInformationFormat.JSON))
