"""One score for every way to compute a network: against its own float32 outputs, and labels."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from workbench.backends.base import Backend, BuildConfig, Engine
from workbench.data import LabelledData
from workbench.hybrid import build_engine
from workbench.measure import Share, accuracy, deviation
from workbench.model import Model
from workbench.progress import Cancel
from workbench.worker import Worker


@dataclass(frozen=True, slots=True)
class Score:
    """How near a network's outputs are to those in float32, and how right they are."""

    snr_db: float
    """Signal-to-noise ratio of the worst output in dB; infinite where nothing differs."""
    agreement: Share | None = None
    """Samples that get the same class as in float32; None where the outputs are no classes."""
    top1: Share | None = None
    """Samples that get the right class; None where the outputs are no classes."""

    def __str__(self) -> str:
        parts = [f"{self.snr_db:.1f} dB"]
        if self.agreement is not None:
            parts.append(f"{100 * self.agreement.value:.2f} % as in float32")
        if self.top1 is not None:
            parts.append(f"{100 * self.top1.value:.2f} % right")
        return ", ".join(parts)


class Judge:
    """Runs networks on some data and scores them against the float32 network.

    Engines are built and run once in a worker process, which lives as long as the judge.

    Attributes:
        reference: the score of the float32 network itself.
    """

    def __init__(
        self,
        model: Model,
        data: LabelledData,
        *,
        backend: Backend | str = "openvino",
        native: Backend | str = "onnxruntime",
        batch: int = 32,
        config: BuildConfig = BuildConfig(),
        cancel: Cancel | None = None,
    ) -> None:
        """Run the float32 network once.

        Args:
            model: the float32 network; of one input.
            data: what to run; kept at hand.
            backend: builds what is judged.
            native: runs the float32 network.
            batch: samples a run.
            config: for both.
            cancel: stops a build within two seconds.

        Raises:
            DataError: the network does not fit the data.
            BackendError: it cannot be built or run.
        """
        self._backend = backend
        self._config = config
        self._data = data
        self._cancel = cancel
        self._worker = Worker()
        weakref.finalize(self, self._worker.close)
        shape = model.graph.inputs[0].shape
        fixed = shape[0] if shape else None
        self._batch = fixed if isinstance(fixed, int) else min(batch, len(data))
        self._right = self._outputs(self._built(model, native))
        self.reference = self._score(self._right)

    def engine(self, model: Model) -> Engine:
        """An engine of a network by the backend that is judged.

        Raises:
            BuildError: the backend refused it, or did not survive it.
        """
        return self._built(model, self._backend)

    def score(self, candidate: Model | Engine) -> Score:
        """The score of a network, or of an engine.

        Raises:
            BackendError: it cannot be built or run.
        """
        engine = self.engine(candidate) if isinstance(candidate, Model) else candidate
        return self._score(self._outputs(engine))

    def _built(self, model: Model, backend: Backend | str) -> Engine:
        return build_engine(
            model, backend, config=self._config, cancel=self._cancel, worker=self._worker
        )

    def _outputs(self, engine: Engine) -> list[Mapping[str, np.ndarray]]:
        """Outputs of every batch; they are small beside the activations behind them."""
        kept: list[Mapping[str, np.ndarray]] = []
        with engine.session() as session:
            name = engine.inputs[0].name
            for pictures, _ in self._data.batches(self._batch):
                missing = self._batch - len(pictures)
                last = np.repeat(pictures[-1:], missing, axis=0)
                kept.append(session.run({name: np.concatenate([pictures, last])}))
        return kept

    def _score(self, outputs: list[Mapping[str, np.ndarray]]) -> Score:
        found = deviation(
            Replay(outputs), Replay(self._right), self._data, batch=self._batch, input="x"
        ).worst
        classes = found.agreement is not None and len(outputs[0]) == 1
        top1 = (
            accuracy(Replay(outputs), self._data, batch=self._batch, input="x", top=(1,)).top(1)
            if classes
            else None
        )
        return Score(found.snr_db, found.agreement, top1)


class Replay:
    """Gives outputs of before again, one a run."""

    def __init__(self, outputs: list[Mapping[str, np.ndarray]]) -> None:
        self._left: Iterator[Mapping[str, np.ndarray]] = iter(outputs)

    def run(self, feeds: Mapping[str, np.ndarray], /) -> Mapping[str, np.ndarray]:
        """The next outputs."""
        return next(self._left)
