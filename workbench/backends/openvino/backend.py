"""OpenVINO's CPU plugin as a backend: build, load, fingerprint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from workbench.backends.base import BuildConfig, ShapeRange
from workbench.backends.openvino import asking
from workbench.backends.openvino.checks import precision_hint, refuse_types, too_pointwise
from workbench.backends.openvino.engine import OpenVINOEngine
from workbench.backends.openvino.kernels import friendly_nodes, kernel_graph
from workbench.backends.openvino.library import (
    DEVICE,
    NAME,
    core,
    library,
    properties,
    requirements,
    version,
    words,
)  # fmt: skip
from workbench.backends.plan import refuse_other, unpack
from workbench.backends.records import (
    checked_ranges,
    layers_to_json,
    ranges_to_json,
    specs_to_json,
)  # fmt: skip
from workbench.backends.twins import stored_values
from workbench.errors import BuildError
from workbench.graph import TensorSpec
from workbench.partitioning import Capability
from workbench.progress import Event, Progress, silent
from workbench.text import shown

if TYPE_CHECKING:
    from workbench.model import Model


class OpenVINO:
    """Builds and runs engines with OpenVINO's CPU plugin.

    Of a `BuildConfig` it uses `shapes`, `threads` and `options`; the last are properties of the
    CPU plugin by OpenVINO's names, e.g. ``INFERENCE_PRECISION_HINT``.
    """

    @property
    def name(self) -> str:
        """``openvino``."""
        return NAME

    @property
    def version(self) -> str:
        """Version of OpenVINO."""
        return version()

    def fingerprint(self) -> str:
        """Version and instruction set, in OpenVINO's own words for what a blob needs."""
        return f"openvino {version()} {requirements()}"

    def capability(self, model: Model) -> Capability:
        """A verdict for every node: each kind of node is read and queried by itself, once."""
        return asking.capability(model)

    def build(
        self, model: Model, config: BuildConfig = BuildConfig(), progress: Progress = silent
    ) -> OpenVINOEngine:
        """An engine for the whole model, computing in the precisions the model has.

        Raises:
            BuildError: OpenVINO refused the model, or would compute float64 in float32.
            ValueError: an unknown option, or a shape range that does not fit.
        """
        graph = model.graph
        ranges = checked_ranges(graph.inputs, config.shapes)
        settings = properties(config.threads, precision_hint(graph), config.options)
        if too_pointwise(graph):
            settings.setdefault("SNIPPETS_MODE", "DISABLE")
        refuse_types(graph)
        progress(Event("build engine", f"{NAME}: {shown(graph.name)}"))
        try:
            imported = core().read_model(model.serialize())
            friendly = friendly_nodes(graph, imported)
            fixed = _narrow(imported, graph.inputs, ranges)
            compiled = core().compile_model(imported, DEVICE, settings)
            layers = kernel_graph(
                graph, friendly, compiled.get_runtime_model(), stored_values(model)
            )
        except RuntimeError as error:
            raise BuildError(
                f"OpenVINO cannot build {shown(graph.name)}: {words(error)}; keep these nodes out "
                "of the engine",
                backend=NAME,
                subgraph=tuple(node.name for node in graph.nodes),
                log=str(error),
            ) from error
        record = {
            **_here(),
            "model": graph.name,
            "properties": settings,
            "inputs": specs_to_json(_actual(graph.inputs, compiled.inputs)),
            "outputs": specs_to_json(_actual(graph.outputs, compiled.outputs)),
            "ranges": ranges_to_json(ranges),
            "fixed_outputs": fixed,
            "layers": layers_to_json(layers),
        }
        return OpenVINOEngine(record, compiled=compiled)

    def load(self, plan: bytes) -> OpenVINOEngine:
        """The engine of a plan; OpenVINO sees it only when the first session opens.

        Raises:
            BackendError: not a plan of this backend, damaged, or of another version or instruction
                set; the message says what differs.
        """
        record, blobs = unpack(plan, NAME)
        refuse_other(record, _here(), NAME)
        return OpenVINOEngine(record, blob=blobs["openvino"])


def _here() -> dict[str, str]:
    return {"library": version(), "requires": requirements()}


def _narrow(imported: Any, inputs: Sequence[TensorSpec], ranges: Mapping[str, ShapeRange]) -> bool:
    """Set the ranges of dynamic inputs; whether input shapes alone decide output shapes.

    The second is OpenVINO's own answer: with every extent at its best value nothing is left open.
    """
    ov = library()
    names = {name for port in imported.inputs for name in port.get_names()}
    open_shapes = {port.get_any_name(): port.get_partial_shape() for port in imported.inputs}
    tried = {
        name: [dim.get_length() if dim.is_static else 2 for dim in shape]
        for name, shape in open_shapes.items()
        if shape.rank.is_static
    }
    tried |= {name: list(limits.opt) for name, limits in ranges.items() if name in names}
    trial = imported.clone()
    try:
        trial.reshape({name: ov.PartialShape(shape) for name, shape in tried.items()})
        fixed = all(port.get_partial_shape().is_static for port in trial.outputs)
    except RuntimeError:
        fixed = False
    bounded = {
        name: ov.PartialShape([ov.Dimension(*ends) for ends in zip(r.min, r.max, strict=True)])
        for name, r in ranges.items()
        if name in names
    }
    if bounded:
        imported.reshape(bounded)
    return fixed


def _actual(specs: Sequence[TensorSpec], ports: Any) -> list[TensorSpec]:
    """The specs with the extents OpenVINO knows better than the model file."""
    found = {name: port.get_partial_shape() for port in ports for name in port.get_names()}
    known = []
    for spec in specs:
        shape = found.get(spec.name)
        if shape is not None and shape.rank.is_static:
            named = (
                spec.shape if spec.shape and len(spec.shape) == len(shape) else ["?"] * len(shape)
            )
            dims = tuple(
                dim.get_length() if dim.is_static else (name if isinstance(name, str) else "?")
                for dim, name in zip(shape, named, strict=True)
            )
            spec = replace(spec, shape=dims)
        known.append(spec)
    return known
