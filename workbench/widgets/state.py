"""`State`: everything the Explorer shows, without a browser.

A model, data and `Choices`; from them capability, plan and partition; and what was built and
measured so far. A script or a test drives it by the same calls as the widgets do. All of it may be
used from several threads: notebooks run callbacks in more than one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

from workbench.cache import Cache
from workbench.data import LabelledData
from workbench.graph import Graph
from workbench.model import Model
from workbench.partitioning import (
    PRESETS,
    Capability,
    CurvePoint,
    Exclusion,
    Explanation,
    Partition,
    Plan,
    Recommendation,
    explain,
)
from workbench.precision import PrecisionPlan
from workbench.progress import Cancel, Progress, silent
from workbench.study import Study
from workbench.text import nearest, shown
from workbench.widgets import profiles
from workbench.widgets.bench import Bench, Built
from workbench.widgets.choices import Choices
from workbench.widgets.jobs import Job
from workbench.widgets.opening import DataSource, ModelSource, open_data, open_model
from workbench.widgets.planner import Planner
from workbench.widgets.work import Subject

Listener = Callable[[frozenset[str]], None]


class State:
    """A network, what was chosen for it, and all that follows. Free it with `close`.

    Attributes:
        source: what the network was opened from.
        data_source: what the data were opened from.
        bench: what was built and measured.
        cache: where engines are kept and found; None keeps nothing.
        job: the latest work in a thread of its own, running or over.

    Example:
        >>> state = State("digits_inception", exclude=Exclusion(op_types=("Concat", "MaxPool")))
        >>> state.update(threshold=5)
        frozenset({'threshold'})
        >>> [len(part) for part in state.partition.subgraphs]
        [18, 6, 6]
    """

    def __init__(
        self,
        model: ModelSource,
        data: DataSource = None,
        *,
        calibration: LabelledData | None = None,
        cache: Cache | None = None,
        **choices: Any,
    ) -> None:
        """Open a network.

        Args:
            model: a model, a file, or a network of the zoo.
            data: for accuracy and shapes; see `opening.open_data`.
            calibration: for INT8; None takes what comes beside `data`, or `data`.
            cache: where engines are kept.
            choices: fields of `Choices`.

        Raises:
            ModelError: a model that cannot be opened.
            DataError: data that cannot be opened.
            ValueError: a choice outside its range.
        """
        self._lock = threading.RLock()
        self._listeners: list[Listener] = []
        self.cache = cache
        self.job: Job | None = None
        self.bench = Bench()
        self._open(model, data, _checked(choices), calibration)

    def __repr__(self) -> str:
        return f"<State of {shown(self.model.name)}: {shown(self.choices.label())}>"

    @property
    def model(self) -> Model:
        """The network as it was opened."""
        return self._planner.model

    @property
    def data(self) -> LabelledData | None:
        """Labelled data, if there are any."""
        return self._data

    @property
    def choices(self) -> Choices:
        """What is chosen now."""
        return self._choices

    def open(self, model: ModelSource, data: DataSource = None) -> None:
        """Turn to another network; what was measured of the one before is dropped.

        Exclusions, exact nodes, precision and profiles go too: they are of the network before.

        Raises:
            ModelError: a model that cannot be opened; the state is as before then.
            DataError: the same of data.
        """
        fresh = replace(
            self._choices, exclude=Exclusion(), exact=(), profiles={}, precision="fp32", preset=None
        )
        self._open(model, data, fresh, None)
        self._tell(frozenset({"model", "data"}))

    def set_data(self, data: DataSource) -> None:
        """Use other labelled data; what was measured with the ones before is dropped.

        Raises:
            DataError: data that cannot be opened or do not fit; the state is as before then.
        """
        test, calibration = open_data(data, self.model.graph)
        self.stop()
        with self._lock:
            self.data_source, self._data = data, test
            self._planner = Planner(self.model, calibration or test)
            self.bench.clear()
        self._tell(frozenset({"data"}))

    def _open(
        self,
        source: ModelSource,
        data: DataSource,
        choices: Choices,
        calibration: LabelledData | None,
    ) -> None:
        model = open_model(source)
        test, beside = open_data(data, model.graph)
        given = profiles.fitting(model.graph, choices.profiles)
        ranges = {**given, **profiles.usual(model.graph, test), **choices.profiles}
        self.stop()
        with self._lock:
            self._choices = replace(choices, profiles=ranges)
            self._planner = Planner(model, calibration or beside or test)
            self._data, self.source, self.data_source = test, source, data
            self.bench.clear()

    def update(self, **changes: Any) -> frozenset[str]:
        """Change choices, all or none of them; the names of those that differ now.

        A preset brings its policy and threshold along unless they are given too; a policy chosen
        by itself ends a preset.

        Raises:
            ValueError: no such choice, or one outside its range.
            PrecisionError: an exact node that is not there, or INT8 without data.
        """
        with self._lock:
            before = self._choices
            if "profiles" in changes:
                changes["profiles"] = profiles.fitting(self.model.graph, changes["profiles"])
            after = _checked(changes, before)
            self._planner.check(after)
            self._choices = after
            changed = self._choices.changed(before)
        if changed:
            self._tell(changed)
        return changed

    def exclude(self, *, op_types: tuple[str, ...] = (), nodes: tuple[str, ...] = ()) -> None:
        """Keep more out of engines.

        Raises:
            PartitionError: a name or pattern that fits nothing in the network.
        """
        more = Exclusion(op_types=op_types, nodes=nodes)
        more.matches(self.graph)
        self.update(exclude=_unique(self.choices.exclude | more))

    def admit(self, *, op_types: tuple[str, ...] = (), nodes: tuple[str, ...] = ()) -> None:
        """Take rules away that keep something out; the others stay."""
        now = self.choices.exclude
        kept = {
            "op_types": tuple(name for name in now.op_types if name not in op_types),
            "nodes": tuple(name for name in now.nodes if name not in nodes),
        }
        self.update(exclude=replace(now, **kept))

    def observe(self, listener: Listener) -> Callable[[], None]:
        """Have a function told what changed, in the thread that changed it; a call that ends this.

        It gets names of choices, and ``model``, ``data``, ``job`` and ``study``.
        """
        with self._lock:
            self._listeners.append(listener)

        def end() -> None:
            with self._lock, suppress(ValueError):
                self._listeners.remove(listener)

        return end

    def _tell(self, names: frozenset[str]) -> None:
        with self._lock:
            listeners = tuple(self._listeners)
        for listener in listeners:
            listener(names)

    @property
    def ready(self) -> bool:
        """Whether a partition costs milliseconds: nothing has to be typed, shaped or asked."""
        return self._planner.ready(self.choices)

    @property
    def precision_plan(self) -> PrecisionPlan:
        """The precision of every node as it is chosen."""
        return self._planner.precision_plan(self.choices)

    @property
    def prepared(self) -> Model:
        """The network in the precision chosen, inputs fixed where their profile has one shape.

        Raises:
            PrecisionError: INT8 without data, or an exact node that is not there.
        """
        return self._planner.shaped(self.choices)[0]

    @property
    def graph(self) -> Graph:
        """The graph that is divided; its nodes have their origin in the network as opened."""
        return self._planner.graph(self.choices)

    @property
    def capability(self) -> Capability:
        """Which nodes the source says can go into engines."""
        return self._planner.capability(self.choices)

    @property
    def plan(self) -> Plan:
        """Segments for every threshold, with the exclusions chosen."""
        return self._planner.plan(self.choices)

    @property
    def curve(self) -> tuple[CurvePoint, ...]:
        """Engines, nodes and boundary at every threshold where something changes."""
        return self._planner.curve(self.choices)

    @property
    def recommended(self) -> Recommendation:
        """The threshold that saves most by the cost model of `Plan.recommended`."""
        return self._planner.recommended(self.choices)

    @property
    def partition(self) -> Partition:
        """What goes into engines at the threshold chosen."""
        return self._planner.partition(self.choices)

    def explain(self, node: str) -> Explanation:
        """Why a node is where it is.

        Raises:
            PartitionError: the graph has no such node.
        """
        return explain(self.partition, node)

    @property
    def study(self) -> Study | None:
        """All configurations measured so far, or None before the first."""
        return self.bench.study()

    @property
    def built(self) -> Built | None:
        """What was built for exactly the present choices, or None."""
        return self.bench.find(self.choices)

    @property
    def busy(self) -> bool:
        """Whether a job is running."""
        return self.job is not None and self.job.running

    def prepare(self, progress: Progress = silent, cancel: Cancel | None = None) -> None:
        """Type, shape and ask, so that the state is `ready`."""
        self._planner.typed(self.choices, progress, cancel)
        self._planner.partition(self.choices)

    def build(self, progress: Progress = silent, cancel: Cancel | None = None) -> Built:
        """Build what is chosen, judge it, and time it in turns with everything built before.

        The network run whole by the native backend is built with the first one, to compare with.

        Raises:
            BuildError: it cannot be built.
            CancelledError: stopped by `cancel`.
        """
        choices, planner, data = self._choices, self._planner, self._data
        planner.typed(choices, progress, cancel)
        model, ranges = planner.shaped(choices)
        found = self.bench.run(
            Subject(planner.model, data, choices.profiles),
            choices,
            model,
            planner.partition(choices),
            ranges,
            source=planner.capability(choices).source,
            cache=self.cache,
            progress=progress,
            cancel=cancel or Cancel(),
        )
        self._tell(frozenset({"study"}))
        return found

    def start(self) -> Job:
        """`build` in a worker thread; observers are told ``job`` at each step and at its end.

        Raises:
            RuntimeError: another job is running.
        """
        return self.run("build", self.build)

    def run(self, name: str, work: Callable[[Progress, Cancel], Any]) -> Job:
        """Any work in a worker thread, one at a time.

        Raises:
            RuntimeError: another job is running.
        """
        with self._lock:
            if self.job is not None and self.job.running:
                raise RuntimeError(
                    f"{self.job.name} is running; wait for it or cancel it, then start again"
                )
            told = frozenset({"job"})
            self.job = Job(name, work, lambda job: self._tell(told))
            self.job.start()
            return self.job

    def stop(self, wait: float = 5.0) -> bool:
        """Cancel the running job, if there is one; whether it is over after `wait` seconds."""
        job = self.job
        if job is None or not job.running:
            return True
        job.cancel.set()
        return job.wait(wait)

    def close(self) -> None:
        """Stop work, forget engines and listeners; closing twice is fine."""
        with self._lock:
            self._listeners.clear()
        self.stop()
        self.bench.clear()

    def __enter__(self) -> State:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def python(self) -> str:
        """Python code that does by plain calls what is chosen now."""
        from workbench.widgets.script import script

        return script(self)


def _checked(changes: dict[str, Any], before: Choices | None = None) -> Choices:
    """Choices with these changes.

    Raises:
        ValueError: no such choice, or one outside its range.
    """
    known = Choices.__dataclass_fields__
    for name in changes:
        if name not in known:
            raise ValueError(
                f"there is nothing called {shown(name)} to choose{nearest(name, known)}; choices "
                f"are {', '.join(known)}"
            )
    rule = PRESETS.get(str(changes.get("preset")))
    if rule is not None:
        changes = {"policy": rule.policy, "threshold": rule.threshold(), **changes}
    elif "policy" in changes and "preset" not in changes:
        changes = {**changes, "preset": None}
    return replace(before or Choices(), **changes)


def _unique(rules: Exclusion) -> Exclusion:
    return Exclusion(
        tuple(dict.fromkeys(rules.op_types)),
        tuple(dict.fromkeys(rules.nodes)),
        tuple(dict.fromkeys(rules.tensors)),
        tuple(dict.fromkeys(rules.subgraphs)),
    )
