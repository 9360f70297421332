"""One network in every precision that a design asks for, and what engines make of each."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from workbench.backends.base import Engine
from workbench.calibrate import check as check_table
from workbench.calibrate import collect
from workbench.data import LabelledData
from workbench.errors import PrecisionError
from workbench.graph import Graph
from workbench.precision import Outcome, Precision, PrecisionPlan, Resolution, achieved
from workbench.progress import Cancel, Progress
from workbench.ranges import CalibrationTable
from workbench.study.design import Design, Subject
from workbench.text import shown
from workbench.transform import Form, Transformed, lower

_FLOAT32 = frozenset({Precision.FP32, Precision.TF32})

_WORST_FIRST = (
    Outcome.WIDER, Outcome.NARROWER, Outcome.REPLACED, Outcome.UNKNOWN, Outcome.KEPT, Outcome.MET,
    Outcome.AROUND,
)  # fmt: skip


@dataclass(frozen=True)
class Typed:
    """A network as the engines of one configuration get it."""

    plan: PrecisionPlan
    wanted: Resolution
    """Precision of each node of the network as it was."""
    transformed: Transformed | None
    """None: the network as it was, because nothing but float32 is asked for."""


@dataclass
class Networks:
    """One network of a study, and what it was turned into so far."""

    subject: Subject
    design: Design
    progress: Progress
    cancel: Cancel
    _table: CalibrationTable | None = None
    _made: dict[tuple[PrecisionPlan, Form], Typed] = field(default_factory=dict)

    def table(self) -> CalibrationTable:
        """Ranges for INT8, taken from the calibration data once."""
        given = self.subject.calibration
        if isinstance(given, CalibrationTable):
            return given
        if self._table is None:
            assert isinstance(given, LabelledData)
            self._table = collect(
                self.subject.model, given, input=self.subject.input, threads=self.design.threads,
                progress=self.progress, cancel=self.cancel,
            ).table(self.design.method)  # fmt: skip
        return self._table

    def typed(self, name: str, backend: str, native: Iterable[str] = ()) -> Typed:
        """The network in the precision of this name.

        Args:
            name: of a plan of the design.
            backend: what gets it; ONNX Runtime has a form of INT8 of its own.
            native: nodes outside engines; they stay in float32.

        Raises:
            ModelError: an operator set that cannot be raised.
        """
        plan, model = self.design.plans[name], self.subject.model
        outside = tuple(native)
        if outside:
            plan = plan.but(Precision.FP32, nodes=outside)
        form = Form.ONNXRUNTIME if backend == "onnxruntime" else Form.TENSORRT
        if (plan, form) not in self._made:
            wanted = plan.resolve(model.graph)
            asked = set(wanted.precisions.values())
            table = self.table() if Precision.INT8 in asked else None
            done = None if asked <= _FLOAT32 else lower(model, plan, table, form=form)
            self._made[plan, form] = Typed(plan, wanted, done)
        return self._made[plan, form]


def check(subject: Subject, design: Design) -> None:
    """Refuse precisions that a network cannot have, before anything is measured.

    Raises:
        PrecisionError: a rule that fits nothing, or INT8 without calibration.
        DataError: a calibration table of another network.
    """
    for plan in design.plans.values():
        wanted = plan.resolve(subject.model.graph)
        if Precision.INT8 in set(wanted.precisions.values()) and subject.calibration is None:
            raise PrecisionError(
                f"{shown(subject.name)} is to be measured in INT8, which needs ranges: give "
                "calibration data or a table"
            )
    if design.plans and isinstance(subject.calibration, CalibrationTable):
        check_table(subject.calibration, subject.model)


def verdict(engine: Engine, typed: Typed, graph: Graph, inside: Iterable[str]) -> dict[str, Any]:
    """What became of the precision asked for, as fields of a `Configuration`: shares of the nodes
    `inside` that run, and what departing ones compute in instead.

    A node in several layers counts with the worst of them; layers around a product only where
    there is no other. Empty where no layer of the engine says what it computes in.
    """
    if typed.transformed is None:
        audit = achieved(engine, typed.wanted, graph)
    else:
        audit = typed.transformed.audit(engine, typed.wanted)
    among, found = set(inside), {}
    for layer in audit.layers:
        for node in among.intersection(layer.origin):
            rank = _WORST_FIRST.index(layer.outcome)
            found[node] = min(rank, found.get(node, rank))
    outcomes = [_WORST_FIRST[rank] for rank in found.values()]
    if not outcomes or set(outcomes) == {Outcome.UNKNOWN}:
        return {}
    groups = {
        "met": (Outcome.MET,),
        "wider": (Outcome.WIDER,),
        "replaced": (Outcome.REPLACED, Outcome.NARROWER),
        "kept": (Outcome.KEPT,),
        "around": (Outcome.AROUND,),
    }
    instead = {
        layer.achieved.value
        for layer in audit.layers
        if layer.silent and layer.achieved and among.intersection(layer.origin)
    }
    return {
        "instead": ", ".join(sorted(instead)),
        **{
            name: sum(outcome in members for outcome in outcomes) / len(outcomes)
            for name, members in groups.items()
        },
    }
