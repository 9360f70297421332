"""ONNX Runtime as a backend, on the CPU or with its CUDA provider: build, load, fingerprint."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench.backends.base import BuildConfig
from workbench.backends.gpus import devices
from workbench.backends.machine import cpu
from workbench.backends.onnxruntime import asking
from workbench.backends.onnxruntime.dividing import guarded
from workbench.backends.onnxruntime.engine import OnnxRuntimeEngine
from workbench.backends.onnxruntime.library import DEVICES, NAME, library, settings, words
from workbench.backends.onnxruntime.optimized import layer_graph, optimize
from workbench.backends.plan import refuse_other, unpack
from workbench.backends.records import (
    checked_ranges,
    layers_to_json,
    ranges_to_json,
    specs_to_json,
)  # fmt: skip
from workbench.backends.twins import stored_values
from workbench.errors import BuildError
from workbench.partitioning import Capability
from workbench.progress import Event, Progress, silent
from workbench.text import shown

if TYPE_CHECKING:
    from workbench.model import Model


class OnnxRuntime:
    """Builds and runs engines with ONNX Runtime, on the CPU or on an NVIDIA GPU.

    Of a `BuildConfig` it uses `shapes` (checked, not compiled for), `threads`,
    `optimization_level` (0 as written, 1 basic, 2 extended, 3 and above everything) and the options
    ``graph_optimization_level``, ``use_deterministic_compute``, ``allow_spinning`` and
    ``enable_cpu_mem_arena``; on a GPU `tf32` too.
    """

    def __init__(self, *, device: str = "cpu") -> None:
        """Say where engines run.

        Args:
            device: ``cpu``, or ``cuda`` for the CUDA provider, which needs onnxruntime-gpu and
                CuPy; an operator without a kernel there runs on the CPU, and `Session.device` says
                so.

        Raises:
            ValueError: another device.
        """
        if device not in DEVICES:
            raise ValueError(f"device is {shown(device)}; must be one of {', '.join(DEVICES)}")
        self.device = device

    @property
    def name(self) -> str:
        """``onnxruntime``."""
        return NAME

    @property
    def version(self) -> str:
        """Version of ONNX Runtime."""
        return library().__version__

    def fingerprint(self) -> str:
        """Version and processor; the layouts it chooses depend on the instruction set."""
        return " ".join(["onnxruntime", *self._here().values()])

    def capability(self, model: Model) -> Capability:
        """A verdict for every node: ONNX Runtime is made to open each kind of node, once."""
        return asking.capability(model)

    def build(
        self, model: Model, config: BuildConfig = BuildConfig(), progress: Progress = silent
    ) -> OnnxRuntimeEngine:
        """An engine for the whole model: its graph optimized once, and kept so.

        Raises:
            BuildError: ONNX Runtime refused the model.
            ValueError: an unknown option, or a shape range that does not fit.
        """
        graph = model.graph
        ranges = checked_ranges(graph.inputs, config.shapes)
        chosen = settings(config.optimization_level, config.options)
        progress(Event("build engine", f"{NAME}: {shown(graph.name)}"))
        written = guarded(model.serialize(), graph)
        try:
            content, proto = optimize(written, config.threads, chosen, self.device)
        except Exception as error:
            raise BuildError(
                f"ONNX Runtime cannot build {shown(graph.name)}: {words(error)}; keep these nodes "
                "out of the engine",
                backend=NAME,
                subgraph=tuple(node.name for node in graph.nodes),
                log=str(error),
            ) from error
        record = {
            **self._here(),
            "model": graph.name,
            "device": self.device,
            "tf32": config.tf32,
            "threads": config.threads,
            "options": chosen,
            "inputs": specs_to_json(graph.inputs),
            "outputs": specs_to_json(graph.outputs),
            "ranges": ranges_to_json(ranges),
            "layers": layers_to_json(layer_graph(graph, proto, stored_values(model))),
        }
        # CUDA's kernels are chosen when a session opens; the plan is the network as it was given.
        return OnnxRuntimeEngine(record, content if self.device == "cpu" else written)

    def load(self, plan: bytes) -> OnnxRuntimeEngine:
        """The engine of a plan; ONNX Runtime sees it only when a session opens.

        Raises:
            BackendError: not a plan of this backend, damaged, or of another version or processor;
                the message says what differs.
        """
        record, blobs = unpack(plan, NAME)
        refuse_other(record, self._here(), NAME)
        return OnnxRuntimeEngine(record, blobs["model"])

    def _here(self) -> dict[str, str]:
        if self.device == "cpu":
            return {"library": self.version, "processor": cpu()}
        gpus = ", ".join(str(gpu) for gpu in devices()) or "no GPU"
        return {"library": self.version, "processor": f"cuda {gpus}"}
