"""The parts of a hybrid: engines whose plan is at hand and that are opened when first needed."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass

from workbench.backends.base import Backend, BuildConfig, Engine, Session
from workbench.graph import Graph, TensorSpec
from workbench.model import Model
from workbench.partitioning import Subgraph

PLAN = "plan"
"""Name of the blob that holds the plan."""


class PlannedEngine:
    """An engine that costs nothing until its first session: a plan, or a piece of a model.

    What the plan says of itself (inputs, outputs, layers) was written down when it was built.

    Attributes:
        config: how it was built.
    """

    def __init__(
        self,
        backend: Backend,
        model: Model | None,
        layers: Graph,
        *,
        specs: tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]],
        blobs: Mapping[str, bytes] | None = None,
        config: BuildConfig = BuildConfig(),
    ) -> None:
        """Put together what was built.

        Args:
            backend: what loads the plan, or builds the model.
            model: what it was built from; needed where there is no plan.
            layers: the layers it has.
            specs: inputs and outputs.
            blobs: holds the plan as `PLAN`; None builds `model` again at the first session,
                which is what native regions do: their plan would be the model itself.
            config: how `model` is built then.
        """
        self._backend = backend
        self._model = model
        self._layers = layers
        self._specs = specs
        self._blobs = blobs
        self.config = config
        self._engine: Engine | None = None
        self._lock = threading.Lock()

    @property
    def backend(self) -> str:
        """Name of the backend that made it."""
        return self._backend.name

    @property
    def version(self) -> str:
        """Version of the library behind that backend."""
        return self._backend.version

    @property
    def fingerprint(self) -> str:
        """What its plan depends on outside the model."""
        return self._backend.fingerprint()

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """What `run` needs."""
        return self._specs[0]

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """What `run` gives."""
        return self._specs[1]

    @property
    def has_plan(self) -> bool:
        """Whether a plan is at hand, rather than a model to build again."""
        return self._blobs is not None

    def layers(self) -> Graph:
        """The layers the backend reported when the engine was built."""
        return self._layers

    def session(self) -> Session:
        """A new session; the first one opens the engine.

        Raises:
            BackendError: the backend refuses the plan, e.g. on another device.
            CacheError: the plan's file was changed since the build.
        """
        return self._opened().session()

    def serialize(self) -> bytes:
        """The plan."""
        if self._blobs is not None:
            return self._blobs[PLAN]
        return self._opened().serialize()

    def _opened(self) -> Engine:
        with self._lock:
            if self._engine is None:
                if self._blobs is not None:
                    self._engine = self._backend.load(self._blobs[PLAN])
                else:
                    assert self._model is not None
                    self._engine = self._backend.build(self._model, self.config)
            return self._engine


@dataclass(frozen=True, slots=True)
class Part:
    """One engine or native region of a hybrid."""

    kind: str
    """``engine`` or ``native``."""
    subgraph: Subgraph
    """Its nodes and the tensors at its border."""
    engine: PlannedEngine
    cached: bool = False
    """Whether it came from the cache."""
    seconds: float = 0.0
    """Wall time of its build, or of finding it."""
    note: str = ""
    """What is worth knowing about the build, e.g. why no first run was tried."""

    @property
    def name(self) -> str:
        """``engine 0``, ``native 2``: kind and index."""
        return f"{self.kind} {self.subgraph.index}"

    @property
    def tensors(self) -> tuple[str, ...]:
        """Every tensor at its border."""
        return self.subgraph.inputs + self.subgraph.outputs
