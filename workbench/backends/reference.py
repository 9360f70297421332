"""ONNX's own evaluator as a backend: slow, plain numpy, and by definition correct."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.backends import pieces
from workbench.backends.base import BuildConfig, Feeds, Outputs
from workbench.backends.feeds import checked_buffers, checked_feeds, numpy_dtype
from workbench.backends.gate import Gate
from workbench.backends.plan import pack, refuse_other, unpack
from workbench.backends.recorded import RecordedEngine
from workbench.backends.records import (
    checked_ranges,
    layers_to_json,
    ranges_to_json,
    specs_to_json,
)  # fmt: skip
from workbench.backends.reference_ops import replacements
from workbench.errors import BuildError, MissingDependencyError, RunError
from workbench.graph import Graph, TensorSpec
from workbench.partitioning import Capability, Code
from workbench.progress import Event, Progress, silent
from workbench.text import shown

if TYPE_CHECKING:
    from workbench.model import Model

NAME = "reference"


class Reference:
    """Runs models with ``onnx.reference.ReferenceEvaluator``; of a config it uses `shapes` only."""

    @property
    def name(self) -> str:
        """``reference``."""
        return NAME

    @property
    def version(self) -> str:
        """Version of the package onnx."""
        return _onnx().__version__

    def fingerprint(self) -> str:
        """Versions of onnx and numpy; the machine does not matter."""
        return f"reference onnx {self.version} numpy {np.__version__}"

    def capability(self, model: Model) -> Capability:
        """A verdict for every node: taken where the evaluator has an implementation."""
        return pieces.capability(model, f"ONNX {self.version} reference evaluator", _ask)

    def build(
        self, model: Model, config: BuildConfig = BuildConfig(), progress: Progress = silent
    ) -> ReferenceEngine:
        """An engine for the whole model.

        Raises:
            BuildError: an operator the evaluator has no implementation of.
            ValueError: any option, or a shape range that does not fit.
        """
        graph = model.graph
        if config.options:
            raise ValueError(f"the reference has no options; got {shown(sorted(config.options))}")
        ranges = checked_ranges(graph.inputs, config.shapes)
        progress(Event("build engine", f"{NAME}: {shown(graph.name)}"))
        content = model.serialize()
        try:
            _evaluator(content)
        except Exception as error:
            raise BuildError(
                f"the reference cannot build {shown(graph.name)}: {_words(error)}; keep these "
                "nodes out of the engine",
                backend=NAME,
                subgraph=tuple(node.name for node in graph.nodes),
                log=str(error),
            ) from error
        record = {
            **self._here(),
            "model": graph.name,
            "inputs": specs_to_json(graph.inputs),
            "outputs": specs_to_json(graph.outputs),
            "ranges": ranges_to_json(ranges),
            "layers": layers_to_json(_layers(graph)),
        }
        return ReferenceEngine(record, content)

    def load(self, plan: bytes) -> ReferenceEngine:
        """The engine of a plan.

        Raises:
            BackendError: not a plan of this backend, damaged, or of another version of onnx.
        """
        record, blobs = unpack(plan, NAME)
        refuse_other(record, self._here(), NAME)
        return ReferenceEngine(record, blobs["model"])

    def _here(self) -> dict[str, str]:
        return {"library": self.version}


class ReferenceEngine(RecordedEngine):
    """A model as it was given; every node is a layer."""

    def __init__(self, record: Mapping[str, Any], model: bytes | memoryview) -> None:
        """`record` is what `serialize` writes, `model` a self-contained ONNX model."""
        super().__init__(NAME, record)
        self._model = model

    def session(self) -> ReferenceSession:
        """A new session with an evaluator of its own."""
        return ReferenceSession(self, _evaluator(bytes(self._model)))

    def serialize(self) -> bytes:
        """The plan: a record and the model, under one checksum."""
        return pack(NAME, self._record, {"model": bytes(self._model)})


class ReferenceSession:
    """One evaluator; runs from several threads wait for one another."""

    def __init__(self, engine: ReferenceEngine, evaluator: Any) -> None:
        self._engine = engine
        self._evaluator: Any = evaluator
        self._gate = Gate(NAME)

    def __enter__(self) -> ReferenceSession:
        return self

    def __exit__(self, *args: object) -> None:
        self.close()

    def run(self, feeds: Feeds) -> Outputs:
        """Outputs for the feeds.

        Raises:
            DataError: feeds that do not fit.
            RunError: the evaluator failed, or the session is closed.
        """
        engine = self._engine
        arrays = checked_feeds(feeds, engine.inputs, engine.ranges)
        # Numpy operators may give back a view of an input, so the evaluator gets copies.
        copies = {name: array.copy() for name, array in arrays.items()}
        names = [spec.name for spec in engine.outputs]
        with self._gate:
            try:
                with np.errstate(all="ignore"):
                    results = self._evaluator.run(names, copies)
            except Exception as error:
                raise RunError(
                    f"the reference failed at a run: {_words(error)}; check shapes and values of "
                    "the inputs",
                    backend=NAME,
                ) from error
        return {
            spec.name: _owned(value, spec)
            for spec, value in zip(engine.outputs, results, strict=True)
        }

    def bind(self, buffers: Mapping[str, np.ndarray]) -> Callable[[], None]:
        """A call that runs and copies the results into the buffers.

        Raises:
            DataError: a buffer that does not fit.
            RunError: from the call: the run failed, an output has another shape than its buffer, or
                the session is closed.
        """
        engine = self._engine
        arrays = checked_buffers(buffers, engine.inputs, engine.outputs, engine.ranges)
        feeds = {spec.name: arrays[spec.name] for spec in engine.inputs}

        def call() -> None:
            for name, value in self.run(feeds).items():
                if value.shape != arrays[name].shape:
                    raise RunError(
                        f"output {shown(name)} has shape {value.shape} in this run, its buffer "
                        f"{arrays[name].shape}; bind a buffer of the right shape, or use run",
                        backend=NAME,
                    )
                np.copyto(arrays[name], value)

        return call

    def profile(self) -> dict[str, float]:
        """Nothing: times of the reference would say nothing."""
        return {}

    def close(self) -> None:
        """Free the evaluator."""
        if self._gate.close():
            self._evaluator = None


def _onnx() -> Any:
    try:
        import onnx
    except ImportError as error:
        raise MissingDependencyError(
            f"onnx cannot be imported ({shown(error)}); install it: pip install onnx",
            backend=NAME,
        ) from error
    return onnx


def _evaluator(model: bytes) -> Any:
    onnx = _onnx()
    from onnx.reference import ReferenceEvaluator

    proto = onnx.load_model_from_string(model)
    opsets = {item.domain: item.version for item in proto.opset_import}
    return ReferenceEvaluator(proto, new_ops=replacements(opsets.get("", 1)))


def _layers(graph: Graph) -> Graph:
    specs = pieces.known_specs(graph)
    nodes = []
    for node in graph.nodes:
        dtypes = [specs[name].dtype for name in node.makes if name in specs]
        attributes = {"precision": next(filter(None, dtypes), ""), "kernel": "numpy", "layout": ""}
        nodes.append(replace(node, attributes=attributes, origin=(node.name,)))
    return replace(graph, nodes=tuple(nodes), initializers=())


def _owned(value: Any, spec: TensorSpec) -> np.ndarray:
    """An array of the declared type that nothing else refers to.

    The evaluator gives scalars as numpy scalars, and some operators in a wider type.
    """
    return np.array(value, dtype=numpy_dtype(spec.dtype) if spec.dtype else None, order="C")


def _ask(piece: bytes) -> pieces.Answer:
    try:
        _evaluator(piece)
    except Exception as error:
        return Code.UNSUPPORTED_OP, _words(error)
    return Code.TAKEN, ""


def _words(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return shown(f"{type(error).__name__}: {text}" if text else type(error).__name__, 400)
