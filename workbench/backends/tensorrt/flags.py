"""A builder config set as asked, for each version of TensorRT by what that version knows."""

from __future__ import annotations

from typing import Any

from workbench.backends.base import BuildConfig
from workbench.backends.tensorrt import adapter
from workbench.backends.tensorrt.api import Builder, Config, Library, Network
from workbench.backends.tensorrt.options import Options
from workbench.errors import BuildError
from workbench.graph import Graph
from workbench.precision.flags import builder_flags

_BACKEND = "tensorrt"
_TOO_NEW = frozenset({"bfloat16", "float8e4m3fn", "float8e5m2", "int4", "uint4", "float4e2m1"})
_COMPUTING = frozenset(
    {
        "ACTIVATION", "CONVOLUTION", "DECONVOLUTION", "ELEMENTWISE", "LRN", "MATRIX_MULTIPLY",
        "NORMALIZATION", "POOLING", "REDUCE", "RESIZE", "SCALE", "SOFTMAX", "UNARY",
    }
)  # fmt: skip


def configure(
    trt: Library, builder: Builder, target: Config, config: BuildConfig, options: Options
) -> tuple[str, ...]:
    """Set all that does not depend on the model.

    Returns:
        GPU architectures the plan is for; empty where it is for the GPU at hand.

    Raises:
        BuildError: this version has not what an option asks for.
        ValueError: an architecture that this version does not know.
    """
    builder.max_threads = config.threads
    target.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    if config.workspace_bytes is not None:
        target.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, config.workspace_bytes)
    if config.optimization_level is not None:
        target.builder_optimization_level = config.optimization_level
    if not config.tf32:
        target.clear_flag(trt.BuilderFlag.TF32)
    if options.hardware:
        level = _member(trt, "HardwareCompatibilityLevel", options.hardware)
        target.hardware_compatibility_level = level
    for wanted, flag in (
        (options.version_compatible, "VERSION_COMPATIBLE"),
        (options.refit, "REFIT"),
        (options.weight_streaming_bytes is not None, "WEIGHT_STREAMING"),
    ):
        if wanted:
            target.set_flag(_member(trt, "BuilderFlag", flag))
    if "PROFILE_SHARING_0806" in _members(trt, "PreviewFeature"):
        # From 10 on always so: several sessions of an engine use its one profile.
        target.set_preview_feature(_member(trt, "PreviewFeature", "PROFILE_SHARING_0806"), True)
    return adapter.aim(trt, target, options.compute_capabilities)


def keep_types(
    trt: Library, target: Config, network: Network, graph: Graph, *, half: bool = False
) -> None:
    """Let a version without strongly typed networks compute in the types of the model.

    It gets the flags of the narrow types that the model has, and each layer of a model with FP16 is
    asked to keep its type: the builder is free otherwise, and takes whichever is faster.

    Args:
        trt: the library.
        target: the config to set.
        network: parsed from the model.
        graph: of the model.
        half: leave the builder that freedom for what is FP32 in the model.

    Raises:
        BuildError: a type that this version lacks, or `half` for one that keeps all types.
    """
    if adapter.is_strongly_typed(trt):
        if half:
            raise BuildError(
                f"TensorRT {trt.__version__} computes in the types of the model, so the option "
                "half means nothing to it; lower the model with around='fp16' instead",
                backend=_BACKEND,
            )
        return
    types = {spec.name: spec.dtype for spec in (*graph.tensors, *graph.inputs, *graph.outputs)}
    held = {*types.values(), *(spec.dtype for spec in graph.initializers)}
    lacking = held & _TOO_NEW
    if lacking:
        raise BuildError(
            f"TensorRT {trt.__version__} has no {', '.join(sorted(lacking))}; use a model in "
            "float32 or float16, or TensorRT 10 or newer",
            backend=_BACKEND,
        )
    flags = builder_flags(graph)
    for flag in dict.fromkeys((*flags, *(("FP16",) if half else ()))):
        target.set_flag(_member(trt, "BuilderFlag", flag))
    if "FP16" in flags and "INT8" not in flags and not half:
        _constrain(trt, target, network, types)


def _constrain(trt: Library, target: Config, network: Network, types: dict[str, str]) -> None:
    asked = {
        "float32": _member(trt, "DataType", "FLOAT"),
        "float16": _member(trt, "DataType", "HALF"),
    }
    target.set_flag(_member(trt, "BuilderFlag", "PREFER_PRECISION_CONSTRAINTS"))
    for layer in (network.get_layer(i) for i in range(network.num_layers)):
        if layer is None or layer.type.name not in _COMPUTING:
            continue
        made = layer.get_output(0)
        dtype = types.get(made.name, "") if made is not None else ""
        if dtype in asked:
            # Only versions before 11 come here; later ones have no such property.
            setattr(layer, "precision", asked[dtype])  # noqa: B010


def _members(trt: Library, enum: str) -> Any:
    return getattr(trt, enum).__members__ if hasattr(trt, enum) else {}


def _member(trt: Library, enum: str, name: str) -> Any:
    """A member by name.

    Raises:
        BuildError: this version does not have it.
    """
    members = _members(trt, enum)
    if name not in members:
        raise BuildError(
            f"TensorRT {trt.__version__} has no {enum}.{name}; leave that option out, or use a "
            f"version that has it. It has {', '.join(sorted(members)) or 'no such thing'}",
            backend=_BACKEND,
        )
    return members[name]
