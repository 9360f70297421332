"""What runs in the worker process: build one piece, write its plan, run it once.

A crash, a hang or a memory hog ends here and not in the process that asked.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from workbench import scratch
from workbench.backends.base import Backend, BuildConfig, Engine
from workbench.errors import RunError, WorkbenchError
from workbench.hybrid.arrays import is_float, stand_in
from workbench.hybrid.record import graph_record
from workbench.model import Model, load
from workbench.progress import Event, Progress

MODEL_FILE = "model.onnx"
PLAN_FILE = "plan"


def make(
    folder: str,
    name: str,
    backend: Backend,
    config: BuildConfig,
    shapes: Mapping[str, tuple[int, ...]] | None,
    keep_plan: bool,
    progress: Progress,
) -> dict[str, Any]:
    """Build the model in `folder`, write its plan beside it, and say what came out.

    Args:
        folder: holds `MODEL_FILE`; gets `PLAN_FILE` if `keep_plan`.
        name: what the model is called.
        backend: what builds it.
        config: how to build.
        shapes: input shapes of the first run; None tries none.
        keep_plan: whether a plan is wanted.
        progress: told each phase.

    Returns:
        ``layers`` (a graph record), ``seconds`` of the build alone, and ``note``; or ``refused``,
        the words in which the backend refused the config.
    """
    with scratch.inside(folder):
        return _made(folder, name, backend, config, shapes, keep_plan, progress)


def _made(
    folder: str,
    name: str,
    backend: Backend,
    config: BuildConfig,
    shapes: Mapping[str, tuple[int, ...]] | None,
    keep_plan: bool,
    progress: Progress,
) -> dict[str, Any]:
    progress(Event("read", name))
    model = load(Path(folder) / MODEL_FILE, name=name, check=False)
    begun = time.perf_counter()
    progress(Event("build", name))
    try:
        engine = backend.build(model, config, progress)
    except ValueError as error:
        if isinstance(error, WorkbenchError):
            raise
        return {"refused": str(error)}
    layers = graph_record(engine.layers())
    if keep_plan:
        progress(Event("serialize", name))
        (Path(folder) / PLAN_FILE).write_bytes(engine.serialize())
    seconds = time.perf_counter() - begun
    progress(Event("first run", name))
    return {"layers": layers, "seconds": seconds, "note": first_run(engine, model, shapes)}


def evaluate(folder: str, backend: Backend) -> dict[str, np.ndarray]:
    """Outputs of the model in `folder`, which has no inputs."""
    model = load(Path(folder) / MODEL_FILE, check=False)
    with scratch.inside(folder), backend.build(model).session() as session:
        return session.run({})


def first_run(engine: Engine, model: Model, shapes: Mapping[str, tuple[int, ...]] | None) -> str:
    """Run the engine once on made-up values; why that says nothing, or ``""``.

    Raises:
        WorkbenchError: the run failed and made-up values cannot be why: every input is floating
            point, of known shape.
    """
    if shapes is None:
        return "no first run: the shapes of its inputs are not known"
    feeds: dict[str, np.ndarray] = {}
    for spec in engine.inputs:
        values = stand_in(spec.dtype, shapes[spec.name])
        if values is None:
            return f"no first run: {spec.dtype or 'an unknown type'} at its border"
        feeds[spec.name] = values
    try:
        session = engine.session()
    except RunError as error:
        # A plan for a device that is not here is a good plan; who opens the hybrid is told.
        return f"no first run: {error}"
    try:
        with session:
            session.run(feeds)
    except WorkbenchError:
        if all(is_float(spec.dtype) for spec in model.graph.inputs):
            raise
        return "the first run on made-up values failed; real ones may fit"
    return ""
