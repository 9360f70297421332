"""Each part of a hybrid beside its native twin, and the search for the layer that goes wrong.

The isolated error of a part is what it adds itself: it gets the twin's inputs. The accumulated
error is what has gathered up to its outputs in the hybrid's own run. A part whose accumulated error
is large and whose isolated error is small only passes on what came before.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np

from workbench.backends.base import Backend, Session
from workbench.data import LabelledData
from workbench.errors import DataError
from workbench.hybrid import Hybrid
from workbench.hybrid.parts import Part
from workbench.model import Model
from workbench.progress import Cancel, Event, Progress, silent
from workbench.sensitivity.twin import Twin, Values, decibels, feeds_of, worst_of
from workbench.text import aligned, plural


@dataclass(frozen=True, slots=True)
class PartError:
    """What one part of a hybrid does to its outputs."""

    part: str
    """``engine 0``, ``native 1``."""
    nodes: tuple[str, ...]
    isolated_db: float
    """Signal-to-noise ratio of its worst output on the twin's inputs; infinite where nothing
    differs, NaN where no output has a twin or one is no number."""
    accumulated_db: float
    """The same in the hybrid's own run."""
    tensor: str
    """The output with the largest isolated error; empty where none has a twin."""


@dataclass(frozen=True)
class Shadow:
    """All parts of a hybrid in execution order."""

    parts: tuple[PartError, ...]
    samples: int

    @property
    def worst(self) -> PartError:
        """The part with the largest isolated error; one that is no number counts as largest.

        Raises:
            DataError: no part has an output with a twin.
        """
        known = [part for part in self.parts if part.tensor]
        if not known:
            raise DataError("no output of a part is in the reference; give the model it is made of")
        return min(known, key=lambda p: -math.inf if math.isnan(p.isolated_db) else p.isolated_db)

    def __str__(self) -> str:
        rows = [
            (p.part, plural(len(p.nodes), "node"), decibels(p.isolated_db),
             decibels(p.accumulated_db), p.tensor or "–")
            for p in self.parts
        ]  # fmt: skip
        head = ("part", "size", "isolated, dB", "accumulated, dB", "worst output")
        return f"{aligned(head, rows)}\non {plural(self.samples, 'sample')}"


def shadow(
    hybrid: Hybrid,
    data: LabelledData | Iterable[Mapping[str, np.ndarray]],
    *,
    reference: Model | None = None,
    native: Backend | str = "onnxruntime",
    samples: int = 32,
    batch: int = 8,
    progress: Progress = silent,
    cancel: Cancel | None = None,
) -> Shadow:
    """Every part of a hybrid beside its native twin, on the same inputs.

    Args:
        hybrid: what to judge.
        data: labelled pictures, or feeds.
        reference: what counts as right, with the same tensor names at the borders; the hybrid's own
            model by default. Give the float32 model to judge a hybrid of a quantized one.
        native: runs the reference.
        samples: how many to run; the values at all borders are kept for them.
        batch: samples in a run of labelled pictures.
        progress: told of each run.
        cancel: stops a build within two seconds, and is looked at before each run.

    Raises:
        DataError: no samples, or none of a part's tensors is in the reference.
        BackendError: something cannot be built or run.
    """
    stop = cancel or Cancel()
    with ExitStack() as stack:
        borders = {name for part in hybrid.parts for name in part.tensors}
        twin = stack.enter_context(Twin(hybrid, reference or hybrid.model, native, borders, cancel))
        sessions = [(part, stack.enter_context(part.engine.session())) for part in hybrid.parts]
        rights: list[Values] = []
        mine: list[Values] = []
        alone: list[Values] = []
        done = 0
        for feeds, count in feeds_of(hybrid, data, samples, batch):
            stop.check()
            progress(Event("shadow run", "", done, samples))
            right = twin.run(feeds)
            rights.append(right)
            mine.append(_chained(sessions, feeds))
            alone.append(_isolated(sessions, right))
            done += count
    if not done:
        raise DataError("no samples to run; give at least one")
    parts = [_error(part, twin.comparable, rights, mine, alone) for part in hybrid.parts]
    return Shadow(tuple(parts), done)


def _chained(sessions: Sequence[tuple[Part, Session]], feeds: Values) -> Values:
    values = dict(feeds)
    for part, session in sessions:
        values.update(session.run({name: values[name] for name in part.subgraph.inputs}))
    return values


def _isolated(sessions: Sequence[tuple[Part, Session]], right: Values) -> Values:
    values: Values = {}
    for part, session in sessions:
        values.update(session.run({name: right[name] for name in part.subgraph.inputs}))
    return values


def _error(
    part: Part,
    comparable: frozenset[str],
    rights: Sequence[Values],
    mine: Sequence[Values],
    alone: Sequence[Values],
) -> PartError:
    names = [name for name in part.subgraph.outputs if name in comparable]
    if not names:
        return PartError(part.name, part.subgraph.nodes, math.nan, math.nan, "")
    isolated, tensor = worst_of(names, alone, rights)
    accumulated, _ = worst_of(names, mine, rights)
    return PartError(part.name, part.subgraph.nodes, isolated, accumulated, tensor)
