"""What TensorRT's inspector says of a plan: the layers as they will run. Needs the plan's GPU."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from workbench.backends.tensorrt.api import Library

NO_SHAPES: Mapping[str, tuple[int, ...]] = MappingProxyType({})


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


def context_of(trt: Library, engine: Any) -> Any:
    """A context that owns no memory to work in; None where TensorRT refuses."""
    if hasattr(engine, "create_execution_context_without_device_memory"):
        return engine.create_execution_context_without_device_memory()
    newer: Any = trt
    strategy = newer.ExecutionContextAllocationStrategy.__members__["USER_MANAGED"]
    return engine.create_execution_context(strategy)


def inspected(
    trt: Library, log: Any, plan: bytes, shapes: Mapping[str, tuple[int, ...]] = NO_SHAPES
) -> str:
    """The inspector's JSON of a plan; empty where the plan cannot be loaded here.

    Args:
        trt: the library.
        log: hears what TensorRT refuses.
        plan: TensorRT's own bytes.
        shapes: of the inputs with dynamic extents; without them the inspector tells neither types
            nor extents of the tensors between layers.
    """
    runtime, engine = deserialized(trt, log, plan)
    if runtime is None or engine is None:
        return ""
    inspector = engine.create_engine_inspector()
    if inspector is None:
        return ""
    context = context_of(trt, engine) if shapes else None
    if context is not None and all(context.set_input_shape(*one) for one in shapes.items()):
        inspector.execution_context = context
    return str(inspector.get_engine_information(trt.LayerInformationFormat.JSON))
