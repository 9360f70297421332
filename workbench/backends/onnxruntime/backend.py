"""ONNX Runtime's CPU provider as a backend: build, load, fingerprint."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench.backends.base import BuildConfig
from workbench.backends.machine import cpu
from workbench.backends.onnxruntime import asking
from workbench.backends.onnxruntime.engine import OnnxRuntimeEngine
from workbench.backends.onnxruntime.library import NAME, library, settings, words
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
    """Builds and runs engines with ONNX Runtime on the CPU.

    Of a `BuildConfig` it uses `shapes` (checked, not compiled for), `threads`,
    `optimization_level` (0 as written, 1 basic, 2 extended, 3 and above everything) and the options
    ``graph_optimization_level``, ``use_deterministic_compute`` and ``allow_spinning``.
    """

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
        return f"onnxruntime {self.version} {cpu()}"

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
        written = model.serialize()
        try:
            content, proto = optimize(written, config.threads, chosen)
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
            "threads": config.threads,
            "options": chosen,
            "inputs": specs_to_json(graph.inputs),
            "outputs": specs_to_json(graph.outputs),
            "ranges": ranges_to_json(ranges),
            "layers": layers_to_json(layer_graph(graph, proto, stored_values(model))),
        }
        return OnnxRuntimeEngine(record, content)

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
        return {"library": self.version, "processor": cpu()}
