"""`collect`: run a network over data and count the values of its tensors, in constant memory."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal

import numpy as np

from workbench import backends
from workbench.backends.base import Backend, BuildConfig
from workbench.backends.onnxruntime import OnnxRuntime
from workbench.calibrate.histogram import Tally, merged
from workbench.calibrate.histograms import Histograms
from workbench.calibrate.items import Data, Items, Run
from workbench.calibrate.journal import Journal
from workbench.calibrate.runner import Runner
from workbench.calibrate.watching import Stage, bytes_a_sample, checked, stages
from workbench.data import LabelledData
from workbench.errors import CancelledError, DataError
from workbench.model import Model
from workbench.progress import Cancel, Event, Progress, silent
from workbench.text import listed, shown

BUDGET = 24 << 20
"""Bytes of watched tensors that are held at once."""

_LEAN = {"allow_spinning": False, "enable_cpu_mem_arena": False}
"""ONNX Runtime's settings: threads that spin while NumPy counts would only take time from it, and
each stage would keep memory for its largest run."""

SAVE_SECONDS = 5.0
"""Between two savings of the journal: what a crash costs at most."""

_BATCH = 32

Tallies = dict[str, Tally]


def collect(
    model: Model,
    data: Data,
    *,
    tensors: Sequence[str] | None = None,
    input: str | None = None,
    samples: int | None = None,
    batch: int | None = None,
    bins: int = 2048,
    backend: Backend | str = "onnxruntime",
    threads: int | None = None,
    nonfinite: Literal["error", "leave out"] = "error",
    journal: str | os.PathLike[str] | None = None,
    progress: Progress = silent,
    cancel: Cancel | None = None,
) -> Histograms:
    """Histograms of the tensors whose ranges quantization needs, over some data.

    Memory does not depend on the number of samples: the network runs in stages that give out about
    24 MB at a time. Engines are built in this process. Histograms are exact counts, so neither the
    batch nor an interruption changes them, beyond what the backend's kernels do.

    Args:
        model: the network, in floating point.
        data: labelled pictures, arrays, or anything to iterate over (`Data`).
        tensors: names of the tensors to look at; by default `activations(model)`.
        input: the input that pictures and plain arrays are for; a network with one needs none.
        samples: how many samples to take; by default all, of an iterator at most 512.
        batch: samples in a run; by default as many as fit the memory, 32 at most. A network with a
            fixed batch keeps it; what fills its last run up is not counted.
        bins: resolution of the histograms, at least so many up to the largest magnitude; 0 counts
            nothing and keeps the smallest and largest value only, which is all that ``minmax``
            needs.
        backend: what runs the network.
        threads: threads it may use; by default as many as this process may.
        nonfinite: what to do about NaN and infinite values: an ``error`` that names the tensor, or
            leave them out of the histogram, which counts them.
        journal: file to keep what was counted in every few seconds, so that a run that was stopped
            or died goes on where it was. It is bound to model, data and arguments, and deleted when
            the data turn out to be wrong.
        progress: told of each run.
        cancel: looked at before each run; what was counted stays in the journal.

    Raises:
        DataError: a sample that does not fit or cannot be read, or a tensor with NaN or infinity;
            names the item. Nothing is kept then.
        BackendError: the network cannot be built or run.
        CacheError: the journal cannot be written.
        ValueError: a number outside its range.
        CancelledError: stopped by `cancel`.
    """
    if nonfinite not in ("error", "leave out"):
        raise ValueError(f"nonfinite is {shown(nonfinite)}; must be 'error' or 'leave out'")
    watched = checked(model, tensors)
    size = batch or _fitting(model, watched)
    items = Items(model.graph.inputs, data, input, samples, size)
    work = Work(
        model, watched, items, bins=bins, backend=backend, threads=threads, nonfinite=nonfinite,
        progress=progress, cancel=cancel,
    )  # fmt: skip
    kept = None if journal is None else Journal(Path(journal), work.identity)
    with work:
        tallies = _resumed(work, kept) if kept else next(work.segments([]))
    return work.histograms(tallies)


def _blamed(run: Run, values: np.ndarray) -> str:
    """The item whose values are no numbers, or all of the run where rows are not items."""
    if len(values) != run.count:
        return run.where
    bad = [row for row, one in enumerate(values) if not bool((abs(one) < np.inf).all())]
    return f"item {run.first + bad[0]}"


def _fitting(model: Model, watched: Sequence[str]) -> int:
    return max(1, min(_BATCH, BUDGET // max(1, bytes_a_sample(model, watched))))


def _resumed(work: Work, journal: Journal) -> Tallies:
    """The tallies of all samples, saved every few seconds and where the work was cancelled."""
    state = journal.read(work.watched, work.bins)
    tallies, start, digest = state or (work.empty(), 0, "")
    work.done = saved = start
    due = time.monotonic() + SAVE_SECONDS
    try:
        for run in work.items.runs(start, digest):
            work.count(run, tallies)
            if time.monotonic() > due:
                journal.write(tallies, work.done, work.items.digest)
                saved, due = work.done, time.monotonic() + SAVE_SECONDS
    except CancelledError:
        # Looked at between runs, so the tallies are whole. After anything else they may not be.
        if work.done > saved:
            journal.write(tallies, work.done, work.items.digest)
        raise
    except DataError:
        if work.done > start:
            journal.delete()
        raise
    journal.write(tallies, work.done, work.items.digest)
    return tallies


class Work:
    """A network made ready to have its tensors counted. A context manager.

    Attributes:
        items: what is fed.
        watched: names of the tensors.
        bins: resolution.
        done: samples counted so far, those of an earlier run among them.
    """

    def __init__(
        self,
        model: Model,
        watched: Sequence[str],
        items: Items,
        *,
        bins: int = 2048,
        backend: Backend | str = "onnxruntime",
        threads: int | None = None,
        nonfinite: str = "error",
        progress: Progress = silent,
        cancel: Cancel | None = None,
    ) -> None:
        """Check and cut; entering builds."""
        self.model = model
        self.watched = tuple(watched)
        self.items = items
        self.bins = bins
        self.done = 0
        self._backend = backends.get(backend) if isinstance(backend, str) else backend
        self._threads = threads or len(os.sched_getaffinity(0))
        self._nonfinite = nonfinite
        self._progress = progress
        self._cancel = cancel or Cancel()
        self._stack = ExitStack()
        self._runners: list[tuple[Stage, Runner]] = []
        self.empty()

    def empty(self) -> Tallies:
        """Tallies of nothing."""
        return {name: Tally(self.bins) for name in self.watched}

    @property
    def identity(self) -> dict[str, Any]:
        """What must be equal for a stopped run to go on."""
        items = self.items
        return {
            "model": self.model.digest,
            "data": items.digest if isinstance(items.data, LabelledData) else "",
            "samples": items.samples,
            "batch": items.batch,
            "tensors": list(self.watched),
            "bins": self.bins,
            "backend": self._backend.name,
            "nonfinite": self._nonfinite,
        }

    def __enter__(self) -> Work:
        lean = isinstance(self._backend, OnnxRuntime) and self._backend.device == "cpu"
        config = BuildConfig(threads=self._threads, options=_LEAN if lean else {})
        cut = stages(self.model, self.watched, self.items.batch, BUDGET, lend=lean)
        with ExitStack() as stack:
            for number, stage in enumerate(cut):
                self._cancel.check()
                self._progress(Event("prepare calibration", "", number, len(cut)))
                engine = self._backend.build(stage.model, config)
                session = stack.enter_context(engine.session())
                self._runners.append((stage, Runner(stage, session)))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *args: object) -> None:
        self._runners.clear()
        self._stack.close()

    def segments(self, ends: Sequence[int]) -> Iterator[Tallies]:
        """Tallies of the samples up to each of `ends`, each from the end before, and of the rest.

        Runs are not cut: a batch of one makes the ends exact. Segments that no sample falls into
        are not given.
        """
        left, tallies = list(ends), self.empty()
        for run in self.items.runs():
            while left and run.first >= left[0]:
                left.pop(0)
                yield tallies
                tallies = self.empty()
            self.count(run, tallies)
        yield tallies

    def count(self, run: Run, tallies: Tallies) -> None:
        """Run the network once and count what comes out.

        Raises:
            DataError: a tensor holds NaN or infinity and that is an error; names tensor and items.
            CancelledError: stopped.
        """
        self._cancel.check()
        self._progress(Event("calibrate", run.where, self.done, self.items.total))
        values: dict[str, np.ndarray] = dict(run.feeds)
        for name in run.feeds:
            self._add(tallies, name, values[name], run)
        for stage, runner in self._runners:
            values.update(runner(values))
            for name in stage.watched:
                self._add(tallies, name, values[name], run)
            for name in stage.dropped:
                values.pop(name, None)
        self.items.include(run)
        self.done = run.first + run.count

    def _add(self, tallies: Tallies, name: str, values: np.ndarray, run: Run) -> None:
        if name not in tallies:
            return
        size = next(iter(run.feeds.values())).shape[:1]
        if size != (run.count,) and values.shape[:1] == size:
            values = values[: run.count]
        bad = tallies[name].add(values)
        if bad and self._nonfinite == "error":
            raise DataError(
                f"{_blamed(run, values)}: tensor {shown(name)} holds {bad} NaN or infinite of "
                f"{values.size} values; look at the model and at this item, or leave such "
                "values out with nonfinite='leave out'"
            )

    def histograms(self, tallies: Tallies) -> Histograms:
        """The histograms of everything counted; warns of values that were left out."""
        found = {name: tallies[name].result() for name in self.watched}
        bad = [f"{name} ({one.nonfinite})" for name, one in found.items() if one.nonfinite]
        if bad:
            warnings.warn(
                f"NaN and infinite values were left out, in {listed(bad)}; the network may be "
                "broken, or not meant for this data",
                RuntimeWarning,
                stacklevel=3,
            )
        return Histograms(
            found, self.model.digest, self.items.digest, self.done,
            {"backend": f"{self._backend.name} {self._backend.version}", "bins": self.bins},
        )  # fmt: skip


def merge_all(parts: Sequence[Tallies]) -> Tallies:
    """The sum of tallies of different samples."""
    return {name: merged([part[name] for part in parts]) for name in parts[0]}
