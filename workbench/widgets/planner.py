"""What follows from choices before anything is built: typed model, capability, plan, partition.

Each step is computed when first asked for and kept while what it depends on stays, so moving the
threshold asks nobody anything. One planner serves one network; several threads may use it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

from workbench import backends
from workbench.backends.base import ShapeRange
from workbench.calibrate import collect
from workbench.data import LabelledData
from workbench.errors import MissingDependencyError, PrecisionError
from workbench.graph import Graph, traced
from workbench.model import Model
from workbench.partitioning import (
    PRESETS,
    Capability,
    CurvePoint,
    Partition,
    Plan,
    Recommendation,
    plan,
)
from workbench.precision import Precision, PrecisionPlan
from workbench.progress import Cancel, Progress, silent
from workbench.ranges import CalibrationTable
from workbench.transform import Form, Transformed, lower
from workbench.widgets import profiles
from workbench.widgets.choices import Choices

FALLBACK_SOURCE = "tensorrt-11.1"
"""Support table that is asked where no TensorRT parser is installed."""

CALIBRATION_SAMPLES = 128

T = TypeVar("T")
Shaped = tuple[Model, dict[str, ShapeRange]]


class Planner:
    """One network and its data, and what was found out about it for the latest choices.

    Attributes:
        model: the network as opened.
        calibration: data for INT8, or None.
    """

    def __init__(self, model: Model, calibration: LabelledData | None) -> None:
        """Nothing is computed yet."""
        self.model = model
        self.calibration = calibration
        self._lock = threading.Lock()
        self._locks: dict[str, threading.RLock] = {}
        self._memo: dict[str, tuple[Hashable, Any]] = {}

    def _kept(self, name: str, key: Hashable, make: Callable[[], T]) -> T:
        """What was made for this key before, or is made now; one thread at a time makes it."""
        with self._lock:
            lock = self._locks.setdefault(name, threading.RLock())
        with lock:
            known = self._memo.get(name)
            if known is None or known[0] != key:
                known = (key, make())
                self._memo[name] = known
            return known[1]

    def ready(self, choices: Choices) -> bool:
        """Whether the capability is at hand, so that a partition costs milliseconds."""
        known = self._memo.get("capability")
        return known is not None and known[0] == self._capability_key(choices)

    def _typed_key(self, choices: Choices) -> Hashable:
        form = _form(choices) if choices.precision == Precision.INT8.value else None
        return choices.precision, choices.exact, form

    def _shaped_key(self, choices: Choices) -> Hashable:
        return self._typed_key(choices), tuple(choices.profiles.items())

    def _capability_key(self, choices: Choices) -> Hashable:
        return self._shaped_key(choices), choices.source

    def _plan_key(self, choices: Choices) -> Hashable:
        now = choices
        return self._capability_key(now), now.policy, now.preset, now.exclude

    def precision_plan(self, choices: Choices) -> PrecisionPlan:
        """The precision of every node as it is chosen."""
        chosen = PrecisionPlan(Precision(choices.precision))
        kinds = {node.op_type for node in self.model.graph.nodes}
        types = tuple(name for name in choices.exact if name in kinds)
        names = tuple(name for name in choices.exact if name not in kinds)
        return chosen.but("fp32", op_types=types, nodes=names) if choices.exact else chosen

    def check(self, choices: Choices) -> None:
        """Refuse a precision that cannot be had.

        Raises:
            PrecisionError: an exact node that is not there, or INT8 without data.
        """
        if choices.precision == Precision.INT8.value and self.calibration is None:
            raise PrecisionError(
                "INT8 needs ranges, and ranges need data: open labelled data first"
            )
        self.precision_plan(choices).resolve(self.model.graph)

    def typed(
        self, choices: Choices, progress: Progress = silent, cancel: Cancel | None = None
    ) -> Transformed:
        """The network in the precision chosen; INT8 is calibrated on the data first.

        Raises:
            PrecisionError: an exact node that is not there, or INT8 without data.
            CancelledError: stopped by `cancel`.
        """

        def make() -> Transformed:
            table = self._table(progress, cancel) if choices.precision == "int8" else None
            return lower(self.model, self.precision_plan(choices), table, form=_form(choices))

        return self._kept("typed", self._typed_key(choices), make)

    def _table(self, progress: Progress, cancel: Cancel | None) -> CalibrationTable | None:
        data, model = self.calibration, self.model
        if data is None:
            return None

        def make() -> CalibrationTable:
            count, source = min(len(data), CALIBRATION_SAMPLES), model.graph.inputs[0].name
            return collect(
                model, data, input=source, samples=count, progress=progress, cancel=cancel
            ).table()

        return self._kept("table", id(data), make)

    def shaped(self, choices: Choices) -> Shaped:
        """The typed network with single-shape inputs fixed, and the ranges that are left."""

        def make() -> Shaped:
            return profiles.prepared(self.typed(choices).model, choices.profiles)

        return self._kept("shaped", self._shaped_key(choices), make)

    def graph(self, choices: Choices) -> Graph:
        """The graph that is divided; its nodes have their origin in the network as opened."""

        def make() -> Graph:
            return traced(self.shaped(choices)[0].graph, self.typed(choices).graph)

        return self._kept("graph", self._shaped_key(choices), make)

    def capability(self, choices: Choices) -> Capability:
        """Which nodes the source says can go into engines.

        Raises:
            MissingDependencyError: the source is not installed.
        """

        def make() -> Capability:
            model, _ = self.shaped(choices)
            if choices.source is not None:
                return backends.source(choices.source).capability(model)
            try:
                return backends.source("tensorrt").capability(model)
            except MissingDependencyError:
                return backends.source(FALLBACK_SOURCE).capability(model)

        return self._kept("capability", self._capability_key(choices), make)

    def plan(self, choices: Choices) -> Plan:
        """Segments for every threshold.

        Raises:
            PartitionError: an exclusion that fits nothing.
        """

        def make() -> Plan:
            rule = PRESETS[choices.preset] if choices.preset else None
            return plan(
                self.graph(choices),
                self.capability(choices),
                policy=choices.policy,
                exclude=choices.exclude,
                uncounted=rule.uncounted if rule else frozenset(),
            )

        return self._kept("plan", self._plan_key(choices), make)

    def curve(self, choices: Choices) -> tuple[CurvePoint, ...]:
        """Engines, nodes and boundary at every threshold where something changes."""
        return self._kept("curve", self._plan_key(choices), self.plan(choices).curve)

    def recommended(self, choices: Choices) -> Recommendation:
        """The threshold that saves most by the cost model of `Plan.recommended`."""
        return self._kept("advice", self._plan_key(choices), self.plan(choices).recommended)

    def partition(self, choices: Choices) -> Partition:
        """What goes into engines at the threshold chosen."""

        def make() -> Partition:
            limit = PRESETS[choices.preset].max_engines if choices.preset else None
            return self.plan(choices).at(choices.threshold, max_engines=limit)

        return self._kept("partition", (self._plan_key(choices), choices.threshold), make)


def _form(choices: Choices) -> Form:
    """How INT8 is written down so that the backend has kernels for it."""
    return Form.ONNXRUNTIME if choices.backend == "onnxruntime" else Form.TENSORRT
