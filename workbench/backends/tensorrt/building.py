"""A plan from a model: parse, profile, build; runs in the process that calls it.

TensorRT answers None and says why in its log, so every line of the log is kept. A build is stopped
through its progress monitor: an error of the progress callback ends it within a step.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.backends.base import BuildConfig, ShapeRange
from workbench.backends.tensorrt import adapter
from workbench.backends.tensorrt.options import Options
from workbench.errors import BuildError, ModelError
from workbench.progress import Event, Progress
from workbench.text import shown

if TYPE_CHECKING:
    from workbench.model import Model

_BACKEND = "tensorrt"
_ALL = ("INTERNAL_ERROR", "ERROR", "WARNING", "INFO", "VERBOSE")
_LARGEST_IN_MEMORY = (1 << 31) - (1 << 24)
_LONGEST_WORDS = 1000
_MOST_LOG = 200_000
_NO_GPU = "checkMacros.cpp::catchCudaError"  # said beside every error on a machine without a GPU


@dataclass(frozen=True, slots=True)
class Built:
    """What came out of a build."""

    plan: bytes
    log: str
    """Every line TensorRT wrote, verbose ones included, after the model was parsed."""
    targets: tuple[str, ...]
    """GPU architectures the plan is for; empty where it is for the GPU at hand."""
    notes: tuple[str, ...]
    """TensorRT's warnings."""


def build_plan(
    package: str,
    model: Model,
    ranges: Mapping[str, ShapeRange],
    options: Options,
    config: BuildConfig,
    progress: Progress,
) -> Built:
    """Build a plan for the whole model.

    Args:
        package: importable name of the TensorRT.
        model: what to build; its weights are read.
        ranges: a range for each dynamic input.
        options: checked options.
        config: workspace, level, threads, TF32.
        progress: hears TensorRT's phases; an exception it raises ends the build and comes through.

    Raises:
        BuildError: TensorRT refused; has its words and the log.
        ValueError: a compute capability this version does not know.
    """
    trt = adapter.module(package)
    if not adapter.is_strongly_typed(trt):
        raise BuildError(
            f"{adapter.title(package)} lets the builder choose types; the workbench builds with "
            "TensorRT 10.0 or newer, or TensorRT-RTX, which keep those of the model",
            backend=_BACKEND,
        )
    log = adapter.logger(trt, keep=_ALL)
    builder = trt.Builder(log)
    builder.max_threads = config.threads
    network = adapter.network(trt, builder)
    parser = trt.OnnxParser(network, log)
    nodes = tuple(node.name for node in model.graph.nodes)
    progress(Event("parse", shown(model.name)))
    with _parsed(parser, model) as parsed:
        if not parsed:
            raise _failed("its parser refuses the model", log, nodes, _parser_words(parser))
        log.lines.clear()
        builder_config = builder.create_builder_config()
        targets = _configure(trt, builder, builder_config, config, options)
        _set_profile(builder, builder_config, network, ranges, options)
        monitor = _monitor(trt, progress)
        builder_config.progress_monitor = monitor
        plan = builder.build_serialized_network(network, builder_config)
    if monitor.stopped_by is not None:
        raise monitor.stopped_by
    if plan is None:
        raise _failed("it built no plan", log, nodes)
    warned = [text for severity, text in log.lines if severity == "WARNING"]
    return Built(bytes(plan), _text(log), targets, tuple(warned))


@contextlib.contextmanager
def _parsed(parser: Any, model: Model) -> Any:
    """Parse; what the parser refers to stays alive as long as the context."""
    if model.weight_bytes < _LARGEST_IN_MEMORY:
        with contextlib.suppress(ModelError):
            data = model.serialize()
            yield parser.parse(data)
            return
    with tempfile.TemporaryDirectory(prefix="workbench-build-") as folder:
        path = model.save(Path(folder, "model.onnx"), external_data=True)
        yield parser.parse_from_file(str(path))


def _configure(
    trt: Any, builder: Any, builder_config: Any, config: BuildConfig, options: Options
) -> tuple[str, ...]:
    builder_config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    if config.workspace_bytes is not None:
        pool = trt.MemoryPoolType.WORKSPACE
        builder_config.set_memory_pool_limit(pool, config.workspace_bytes)
    if config.optimization_level is not None:
        builder_config.builder_optimization_level = config.optimization_level
    if not config.tf32:
        builder_config.clear_flag(trt.BuilderFlag.TF32)
    return adapter.aim(trt, builder_config, options.compute_capabilities)


def _set_profile(
    builder: Any,
    builder_config: Any,
    network: Any,
    ranges: Mapping[str, ShapeRange],
    options: Options,
) -> None:
    inputs = [network.get_input(i) for i in range(network.num_inputs)]
    profile = builder.create_optimization_profile()
    needed = False
    for tensor in inputs:
        if tensor.is_shape_tensor:
            values = options.shape_values.get(tensor.name)
            if values is None:
                raise BuildError(
                    f"input {shown(tensor.name)} is a shape that is known only at run time; give "
                    f"the range of its values, options={{'shape_values': "
                    f"{{{shown(tensor.name)!r}: ShapeRange(min, opt, max)}}}}, or raise "
                    "min_subgraph_size past this subgraph",
                    backend=_BACKEND,
                )
            profile.set_shape_input(tensor.name, values.min, values.opt, values.max)
            needed = True
        if any(extent < 0 for extent in tensor.shape):
            limits = ranges[tensor.name]
            profile.set_shape(tensor.name, limits.min, limits.opt, limits.max)
            needed = True
    if needed and builder_config.add_optimization_profile(profile) < 0:
        raise BuildError(
            "TensorRT refuses the shape ranges; check that min <= opt <= max in each",
            backend=_BACKEND,
        )


def _monitor(trt: Any, progress: Progress) -> Any:
    """A progress monitor that tells phases, and stops the build when telling them raises."""

    class Monitor(trt.IProgressMonitor):
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self.steps: dict[str, int] = {}
            self.stopped_by: BaseException | None = None

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            self.steps[phase_name] = num_steps
            self.tell(phase_name, 0)

        def step_complete(self, phase_name: str, step: int) -> bool:
            self.tell(phase_name, step + 1)
            return self.stopped_by is None

        def phase_finish(self, phase_name: str) -> None:
            self.steps.pop(phase_name, None)

        def tell(self, phase: str, done: int) -> None:
            # Called on TensorRT's thread, where an exception would be printed and lost.
            if self.stopped_by is None:
                try:
                    progress(Event("build engine", shown(phase), done, self.steps.get(phase)))
                except BaseException as error:
                    self.stopped_by = error

    return Monitor()


def _parser_words(parser: Any) -> str:
    if not parser.num_errors:
        return ""
    error = parser.get_error(0)
    node = f"node {error.node_name()} ({error.node_operator()}): " if error.node_name() else ""
    return f"{error.code().name}: {node}{error.desc()}"


def _failed(what: str, log: Any, nodes: tuple[str, ...], words: str = "") -> BuildError:
    errors = [
        text for severity, text in log.lines if severity.endswith("ERROR") and _NO_GPU not in text
    ]
    said = " ".join((words or "; ".join(errors[:2]) or "it does not say why").split())
    return BuildError(
        f"TensorRT could not build an engine of {len(nodes)} nodes, {what}: "
        f"{shown(said, _LONGEST_WORDS)}; keep the nodes it names out of the engine, or change "
        "what it asks for (workspace, shapes)",
        backend=_BACKEND,
        subgraph=nodes,
        log=_text(log)[-_MOST_LOG:],
    )


def _text(log: Any) -> str:
    return "\n".join(text for _, text in log.lines)
