"""A session that gives its outputs in the same memory every time, where it can."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from workbench.backends import cuda
from workbench.backends.base import Session
from workbench.model import Model


class Runner:
    """Runs a session for values that are looked at before the next run.

    New memory for a hundred megabytes of activations costs as much as computing them, so from the
    second run of a shape on the outputs are written where those of the first one are. A session on
    a GPU gets its feeds there, so activations never come to the host.
    """

    def __init__(self, model: Model, session: Session, *, reuse: bool) -> None:
        """Wrap a session.

        Args:
            model: what it runs.
            session: owned by the caller.
            reuse: whether to keep memory between runs at all.
        """
        self._session = session
        self._inputs = [spec.name for spec in model.graph.inputs]
        self._on_gpu = str(getattr(session, "device", "cpu")).startswith("cuda")
        self._reuse = reuse and not self._on_gpu and _decided(model)
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._buffers: dict[str, np.ndarray] = {}
        self._call: Callable[[], None] | None = None

    def __call__(self, values: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        """The outputs for the inputs among `values`; they are overwritten by the next call."""
        feeds = {name: values[name] for name in self._inputs}
        if self._on_gpu:
            # A session gives its outputs where its feeds lie, and they are counted there.
            return self._session.run(
                {k: v if cuda.is_device(v) else cuda.to_device(v) for k, v in feeds.items()}
            )
        shapes = {name: array.shape for name, array in feeds.items()}
        if shapes != self._shapes:
            outputs = self._session.run(feeds)
            self._shapes, self._call = (shapes, None) if self._reuse else ({}, None)
            self._buffers = dict(outputs) if self._reuse else {}
            return outputs
        if self._call is None:
            self._buffers = {
                **{name: np.array(array, order="C") for name, array in feeds.items()},
                **{
                    name: np.empty(array.shape, array.dtype)
                    for name, array in self._buffers.items()
                },
            }
            self._call = self._session.bind(self._buffers)
        for name, array in feeds.items():
            np.copyto(self._buffers[name], array)
        self._call()
        return {name: self._buffers[name] for name in self._buffers if name not in feeds}


def _decided(model: Model) -> bool:
    """Whether the shapes of all outputs follow from those of the inputs."""
    graph = model.graph
    known = {dim for spec in graph.inputs for dim in spec.shape or () if isinstance(dim, str)}
    return all(
        spec.shape is not None
        and all(isinstance(dim, int) or dim in known for dim in spec.shape)
        and spec.dtype in ("float32", "float64", "float16")
        for spec in graph.outputs
    )
