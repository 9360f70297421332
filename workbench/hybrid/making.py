"""One part from its recipe: found in the cache, or built in a worker process and kept."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench import scratch
from workbench.backends.base import Backend
from workbench.cache import Cache, key_of
from workbench.errors import (
    BuildError,
    CancelledError,
    WorkbenchError,
    WorkerDiedError,
    WorkerError,
    WorkerTimeoutError,
)
from workbench.hybrid.child import MODEL_FILE, PLAN_FILE, evaluate, make
from workbench.hybrid.parts import PLAN, Part, PlannedEngine
from workbench.hybrid.recipe import Recipe
from workbench.hybrid.record import graph_of
from workbench.model import Model
from workbench.model.saving import write_apart
from workbench.progress import Cancel, Event, Progress
from workbench.text import shown
from workbench.worker import Worker

RECORD = "record"
"""Name of the blob that says what came out of a build, as JSON."""


@dataclass(frozen=True, slots=True)
class Workshop:
    """What all parts of one build share."""

    worker: Worker
    cache: Cache | None
    progress: Progress
    cancel: Cancel | None
    timeout: float | None
    """Seconds for each part."""

    def part(self, recipe: Recipe) -> Part:
        """The part of a recipe, from the cache where it is there.

        Raises:
            BuildError: it could not be built; names its first and last node.
            ValueError: the backend refuses the config.
            WorkerError: no room for the model in the folder for temporary files.
            CancelledError: the work was stopped.
        """
        if self.cancel is not None:
            self.cancel.check()
        begun = time.perf_counter()
        if self.cache is None:
            return _finished(recipe, self._built(recipe), begun, cached=False)
        fields = recipe.fields()
        key = key_of(fields)
        found = self.cache.get(key)
        if found is not None:
            return _finished(recipe, found.blobs, begun, cached=True)
        with self.cache.lock(key, self.cancel, progress=self.progress):
            found = self.cache.get(key)
            if found is not None:
                return _finished(recipe, found.blobs, begun, cached=True)
            blobs = self._built(recipe)
            self.cache.put(key, fields, blobs)
        return _finished(recipe, blobs, begun, cached=False)

    def _built(self, recipe: Recipe) -> dict[str, bytes]:
        self.progress(Event(f"build {recipe.kind}", f"{recipe.title} with {recipe.backend.name}"))
        keep_plan = recipe.kind == "engine"
        with scratch.folder() as folder:
            _hand_over(recipe.model, folder / MODEL_FILE, self.cancel)
            try:
                made = self.worker.call(
                    make,
                    str(folder),
                    recipe.model.name,
                    recipe.backend,
                    recipe.config,
                    recipe.typical,
                    keep_plan,
                    timeout=self.timeout,
                    progress=self.progress,
                    cancel=self.cancel,
                )
            except CancelledError:
                raise
            except WorkbenchError as error:
                raise _build_error(recipe, error) from error
            if "refused" in made:
                raise ValueError(f"{recipe.title}: {made['refused']}")
            blobs = {RECORD: json.dumps(made).encode()}
            if keep_plan:
                blobs[PLAN] = (folder / PLAN_FILE).read_bytes()
        return blobs

    def values(self, model: Model, tensors: Sequence[str], backend: Backend) -> dict[str, Any]:
        """Arrays of tensors of a model that follow from its weights alone."""
        if not tensors:
            return {}
        makers = {model.graph.nodes[model.graph.producer[name]].name for name in tensors}
        piece = model.extract(sorted(makers), outputs=tensors)
        with scratch.folder() as folder:
            _hand_over(piece, folder / MODEL_FILE, self.cancel)
            return self.worker.call(
                evaluate, str(folder), backend, timeout=self.timeout, cancel=self.cancel
            )


def _hand_over(model: Model, path: Path, cancel: Cancel | None) -> None:
    """Write a model for the worker.

    Raises:
        CancelledError: `cancel` was set.
        WorkerError: the disk refuses.
    """
    try:
        write_apart(model, path, cancel.check if cancel is not None else lambda: None)
    except OSError as error:
        raise WorkerError(
            f"model {shown(model.name)} of {model.weight_bytes} bytes could not be handed to the "
            f"builder in {shown(path.parent)}: {error.strerror or shown(error)}; make room there, "
            "or name another folder with TMPDIR"
        ) from error


def _finished(recipe: Recipe, blobs: Mapping[str, bytes], begun: float, *, cached: bool) -> Part:
    made = json.loads(blobs[RECORD])
    engine = PlannedEngine(
        recipe.backend,
        recipe.model,
        graph_of(made["layers"]),
        specs=(recipe.model.graph.inputs, recipe.model.graph.outputs),
        blobs=blobs if PLAN in blobs else None,
        config=recipe.config,
    )
    seconds = time.perf_counter() - begun
    return Part(recipe.kind, recipe.subgraph, engine, cached, seconds, made["note"])


def _build_error(recipe: Recipe, error: WorkbenchError) -> BuildError:
    words = str(error)
    if isinstance(error, WorkerDiedError):
        words = words.replace("the worker process died", "the builder died", 1)
    if isinstance(error, WorkerTimeoutError):
        words = f"the build was {words}"
    return BuildError(
        f"{recipe.title} of model {shown(recipe.model.name)} could not be built with "
        f"{recipe.backend.name}: {words}",
        backend=recipe.backend.name,
        subgraph=recipe.subgraph.nodes,
        log=getattr(error, "log", ""),
    )
