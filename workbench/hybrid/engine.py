"""`Hybrid`: a partition turned into engines and native regions, which is an engine again."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

import numpy as np

from workbench.backends.base import BuildConfig
from workbench.graph import Graph, TensorSpec
from workbench.hybrid.layers import LayerNames, merged
from workbench.hybrid.parts import Part
from workbench.hybrid.session import HybridSession, Itinerary
from workbench.model import Model
from workbench.partitioning import Code, Partition, Verdict


class Hybrid:
    """Engines and native regions that together run one network. Made by `build` or `open`.

    Attributes:
        partition: what was divided how. Nodes whose engine could not be built are native in it,
            with verdict ``build_failed`` and the reason.
        parts: engines and native regions in execution order.
        config: how the engines were built.
        decided: tensors at the cuts whose shape follows from the shapes of the inputs alone.
        constants: outputs that are weights or were folded, by name.
        model: what it was built from, or, if `opened`, what was saved: one node for each engine.
        opened: whether it was read from a file.
    """

    def __init__(
        self,
        model: Model,
        partition: Partition,
        parts: tuple[Part, ...],
        *,
        config: BuildConfig,
        decided: frozenset[str],
        constants: Mapping[str, np.ndarray],
        opened: bool = False,
    ) -> None:
        """Put built parts together; use `build` or `open`."""
        self.partition = partition
        self.parts = parts
        self.config = config
        self.decided = decided
        self.constants = constants
        self.model = model
        self.opened = opened

    def __repr__(self) -> str:
        engines = sum(part.kind == "engine" for part in self.parts)
        return f"<Hybrid: {engines} engines, {len(self.parts) - engines} native regions>"

    @property
    def backend(self) -> str:
        """``hybrid``; `parts` tells which backend runs what."""
        return "hybrid"

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """What `run` needs, in the model's order."""
        return self.partition.graph.inputs

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """What `run` gives, in the model's order."""
        return self.partition.graph.outputs

    @property
    def failures(self) -> tuple[Verdict, ...]:
        """Verdicts of the nodes whose engine could not be built, in the graph's order."""
        return tuple(v for v in self.partition.verdicts if v.code is Code.BUILD_FAILED)

    def layers(self) -> Graph:
        """The layers of all parts as one graph.

        Beside what the backends tell, each that runs has the attributes ``part`` (``engine 0``)
        and ``backend``; origins name nodes of the model.
        """
        return self._layers[0]

    def session(self) -> HybridSession:
        """A new session; the first one opens the plans.

        Raises:
            BackendError: a part cannot be opened here.
        """
        return HybridSession(self._itinerary)

    def serialize(self) -> bytes:
        """The hybrid as the bytes of a single file, as `save` writes it.

        Raises:
            ModelError: the native regions' weights are larger than one file can hold; `save` into
                a folder.
        """
        from workbench.hybrid.files import packed

        return packed(self)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the hybrid so that `open` reads it without the model; all or nothing.

        Args:
            path: ending in ``.hybrid``, a single file; else a folder. One that holds a hybrid is
                replaced, anything else is left alone.

        Returns:
            Where it is.

        Raises:
            WorkbenchError: something that is no hybrid is there, or the disk refuses; names it.
        """
        from workbench.hybrid.files import save

        return save(self, Path(path))

    @cached_property
    def _layers(self) -> tuple[Graph, LayerNames]:
        return merged(self.partition, self.parts)

    @cached_property
    def _itinerary(self) -> Itinerary:
        graph = self.partition.graph
        names = {name for part in self.parts for name in part.tensors}
        names.update(spec.name for spec in (*self.inputs, *self.outputs))
        return Itinerary(
            self.parts,
            self.inputs,
            self.outputs,
            {name: graph.spec(name) for name in names},
            self.decided,
            self.constants,
            self.config.shapes,
            self._layers[1],
        )
