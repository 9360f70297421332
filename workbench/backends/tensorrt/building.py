"""A plan from a model: parse, profile, build; runs in the process that calls it.

TensorRT answers None and says why in its log, so every line of the log is kept. A build is stopped
through its progress monitor: an error of the progress callback ends it within a step. Versions
before 10.0 have no monitor; there only the end of the process stops a build, which is how
`workbench.hybrid` stops one.
"""

from __future__ import annotations

import atexit
import contextlib
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from workbench import scratch
from workbench.backends import cuda
from workbench.backends.base import BuildConfig, ShapeRange
from workbench.backends.tensorrt import adapter
from workbench.backends.tensorrt.api import Builder, Config, Library, Network
from workbench.backends.tensorrt.flags import configure, keep_types
from workbench.backends.tensorrt.inspecting import inspected
from workbench.backends.tensorrt.older import rewritten
from workbench.backends.tensorrt.options import Options
from workbench.backends.tensorrt.timing_cache import TimingCache
from workbench.errors import BuildError, ModelError
from workbench.graph import Graph
from workbench.progress import Event, Progress
from workbench.text import shown

if TYPE_CHECKING:
    from workbench.model import Model

_BACKEND = "tensorrt"
_ALL = ("INTERNAL_ERROR", "ERROR", "WARNING", "INFO", "VERBOSE")
_LARGEST_IN_MEMORY = (1 << 31) - (1 << 24)
_LONGEST_WORDS = 1000
_MOST_LOG = 200_000
_guard = threading.Lock()
_kept: dict[str, Builder] = {}
"""Importable name -> an idle builder."""
atexit.register(_kept.clear)
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
    inspected: str = ""
    """What TensorRT's inspector says of the layers, as JSON; empty where it needs a GPU."""


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
    _refuse_double(model)
    log = adapter.logger(trt, keep=_ALL)
    builder = _builder(trt, log)
    if not adapter.is_strongly_typed(trt):
        _keep_one(package, trt)
    network = adapter.network(trt, builder)
    parser = trt.OnnxParser(network, log)
    nodes = tuple(node.name for node in model.graph.nodes)
    progress(Event("parse", shown(model.name)))
    with _parsed(trt, parser, model) as parsed:
        if not parsed:
            raise _failed(
                "its parser refuses the model", log, nodes, _parser_words(parser, model.graph)
            )
        log.lines.clear()
        builder_config = builder.create_builder_config()
        targets = configure(trt, builder, builder_config, config, options)
        keep_types(trt, builder_config, network, model.graph, half=options.half)
        _set_profile(builder, builder_config, network, ranges, options)
        times = _times(package, trt, options)
        plan = _plan(trt, builder, network, builder_config, times, log, progress)
        del builder_config
        if times is not None:
            times.close()
    if plan is None:
        raise _failed("it built no plan", log, nodes)
    warned = [text for severity, text in log.lines if severity == "WARNING"]
    said = _text(log)
    shapes = {name: ends.opt for name, ends in ranges.items()}
    return Built(plan, said, targets, tuple(warned), inspected(trt, log, plan, shapes))


def _builder(trt: Library, log: Any) -> Builder:
    try:
        return trt.Builder(log)
    except TypeError as error:  # How the bindings say that there is none.
        reason = cuda.why_not() or _text(log)[-_LONGEST_WORDS:]
        raise BuildError(
            f"TensorRT {trt.__version__} cannot build here, it needs an NVIDIA GPU: "
            f"{shown(reason, 400)}; pip install tensorrt-rtx builds without one",
            backend=_BACKEND,
        ) from error


def _keep_one(package: str, trt: Library) -> None:
    """Make an idle builder that stays until `release`.

    8.6 loads a gigabyte of kernels for the first builder and frees them with the last: with one
    that stays, each later build on an H200 took 6 seconds less.
    """
    with _guard, contextlib.suppress(BuildError):
        if package not in _kept:
            _kept[package] = _builder(trt, adapter.logger(trt))


def release(package: str) -> None:
    """Free what builds with this TensorRT keep for the next ones."""
    with _guard:
        _kept.pop(package, None)


def _plan(
    trt: Library,
    builder: Builder,
    network: Network,
    config: Config,
    times: TimingCache | None,
    log: Any,
    progress: Progress,
) -> bytes | None:
    """Build; once more without the times of earlier builds where it fails with them."""
    if times is not None:
        times.give(config)
    plan = _watched(trt, builder, network, config, progress)
    if plan is None and times is not None and times.given:
        log.lines.clear()
        times.withdraw(config)
        plan = _watched(trt, builder, network, config, progress)
    if plan is not None and times is not None:
        times.take(config)
    return plan


def _watched(
    trt: Library, builder: Builder, network: Network, config: Config, progress: Progress
) -> bytes | None:
    """Build while telling phases, where the version tells them."""
    if not hasattr(trt, "IProgressMonitor"):
        progress(Event("build engine", f"TensorRT {trt.__version__} tells no phases"))
        plan = builder.build_serialized_network(network, config)
        return None if plan is None else bytes(plan)
    newer: Any = config
    monitor = _monitor(trt, progress)
    newer.progress_monitor = monitor
    plan = builder.build_serialized_network(network, config)
    if monitor.stopped_by is not None:
        raise monitor.stopped_by
    return None if plan is None else bytes(plan)


def _times(package: str, trt: Library, options: Options) -> TimingCache | None:
    if hasattr(trt, "ComputeCapability"):
        return None  # TensorRT-RTX has deprecated it and does nothing with it.
    wanted = options.timing_cache
    wanted = adapter.is_strongly_typed(trt) if wanted is None else wanted
    return TimingCache(package) if wanted else None


def _refuse_double(model: Model) -> None:
    """TensorRT would compute float64 in float32 without a word."""
    for spec in (*model.graph.inputs, *model.graph.outputs):
        if spec.dtype == "float64":
            raise BuildError(
                f"tensor {shown(spec.name)} is float64, which TensorRT computes in float32; keep "
                "the nodes that read or make it out of the engine, or cast the model to float32",
                backend=_BACKEND,
                subgraph=tuple(node.name for node in model.graph.nodes),
            )


@contextlib.contextmanager
def _parsed(trt: Library, parser: Any, model: Model) -> Any:
    """Parse; what the parser refers to stays alive as long as the context."""
    if model.weight_bytes < _LARGEST_IN_MEMORY:
        with contextlib.suppress(ModelError):
            data = model.serialize()
            if not adapter.is_strongly_typed(trt):
                data = rewritten(data)
            yield parser.parse(data)
            return
    with scratch.folder("build") as folder:
        path = model.save(folder / "model.onnx", external_data=True)
        yield parser.parse_from_file(str(path))


def _set_profile(
    builder: Builder,
    builder_config: Config,
    network: Network,
    ranges: Mapping[str, ShapeRange],
    options: Options,
) -> None:
    found = (network.get_input(i) for i in range(network.num_inputs))
    inputs = [tensor for tensor in found if tensor is not None]
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
            ends = (list(values.min), list(values.opt), list(values.max))
            profile.set_shape_input(tensor.name, *ends)
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


def _parser_words(parser: Any, graph: Graph) -> str:
    if not parser.num_errors:
        return ""
    error = parser.get_error(0)
    return f"{error.code().name}: {_blamed(error, graph)}{error.desc()}"


def _blamed(error: Any, graph: Graph) -> str:
    """The node an error is about; 8.6 knows only its place in the order it parsed."""
    if hasattr(error, "node_name"):
        name, operator = error.node_name(), error.node_operator()
    elif 0 <= error.node() < len(graph.nodes):
        node = graph.nodes[graph.order[error.node()]]
        name, operator = node.name, node.op_type
    else:
        return ""
    return f"node {name} ({operator}): " if name else ""


def _failed(what: str, log: Any, nodes: tuple[str, ...], words: str = "") -> BuildError:
    errors = [
        text for severity, text in log.lines if severity.endswith("ERROR") and _NO_GPU not in text
    ]
    said = " ".join((words or "; ".join(errors[:2]) or "it does not say why").split())
    said += "" if words else cuda.crowded()
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
