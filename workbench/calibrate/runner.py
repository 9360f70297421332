"""A session for values that are counted before the next run."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from workbench.backends import cuda
from workbench.backends.base import Session
from workbench.calibrate.watching import Stage


class Runner:
    """Runs a stage: with the weights that are lent to it, and on a GPU without leaving it."""

    def __init__(self, stage: Stage, session: Session) -> None:
        """Wrap the session of a stage; the caller owns it."""
        self._session = session
        self._lent = stage.lent
        self._inputs = [s.name for s in stage.model.graph.inputs if s.name not in stage.lent]
        self._on_gpu = str(getattr(session, "device", "cpu")).startswith("cuda")

    def __call__(self, values: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        """The outputs for the inputs among `values`."""
        feeds = {name: values[name] for name in self._inputs}
        if self._on_gpu:
            # A session gives its outputs where its feeds lie, and they are counted there.
            feeds = {k: v if cuda.is_device(v) else cuda.to_device(v) for k, v in feeds.items()}
        return self._session.run({**feeds, **self._lent})
