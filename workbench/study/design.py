"""What a study measures: networks, and the ways to run each. Plain values, checked at once."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from workbench.calibrate import METHODS
from workbench.data import LabelledData
from workbench.errors import StudyError
from workbench.model import Model
from workbench.partitioning import Exclusion
from workbench.precision import Precision, PrecisionPlan
from workbench.precision.resolution import parsed
from workbench.ranges import CalibrationTable
from workbench.study.codec import decoded, encoded
from workbench.text import listed, shown

Weights = Literal["trained", "random", "unknown"]


@dataclass(frozen=True, eq=False)
class Subject:
    """A network to measure, and what to measure it on."""

    model: Model
    data: LabelledData | None = None
    """For accuracy and deviation; without it, deviation is taken on seeded random input."""
    title: str = ""
    """What tables and figures call it; the model's name if empty."""
    weights: Weights = "unknown"
    """Said beside every number: accuracy of random weights means nothing, latency does."""
    input: str | None = None
    """Input that labelled data go to; a network with one input needs none."""
    output: str | None = None
    """Output that holds the scores; a network with one output needs none."""
    exclude: Exclusion = field(default_factory=Exclusion)
    """Nodes of this network to keep out of engines, beside those the design keeps out."""
    calibration: LabelledData | CalibrationTable | None = None
    """Ranges for INT8, or pictures to take them from, best none of `data`."""

    @property
    def name(self) -> str:
        """What tables and figures call it."""
        return self.title or self.model.name


@dataclass(frozen=True, slots=True)
class Whole:
    """The whole network run by one backend, without a partition; something to compare with."""

    backend: str
    level: int | None = None
    """Optimisation level 0 to 5 as in `BuildConfig`; None is the backend's default."""

    @property
    def label(self) -> str:
        """What tables and figures call it."""
        if self.level is None:
            return f"{self.backend}, whole"
        return f"{self.backend}, " + ("unoptimised" if self.level == 0 else f"level {self.level}")


@dataclass(frozen=True, kw_only=True)
class Design:
    """Which configurations a study measures, and how long.

    Every threshold is combined with every backend and every batch; `wholes` are measured beside
    them.

    Raises:
        ValueError: a field outside its range; the message names it.
    """

    thresholds: tuple[int, ...] = (1, 3, 5, 10)
    """Smallest numbers of operators worth an engine."""
    batches: tuple[int, ...] = (1,)
    backends: tuple[str, ...] = ("openvino",)
    """What builds and runs the engines."""
    native: str = "onnxruntime"
    """What runs the nodes outside engines."""
    policy: str = "connected"
    exclude: Exclusion = field(default_factory=Exclusion)
    source: str | None = None
    """Who says which nodes can go into engines, by the name of a capability source; None asks the
    TensorRT parser, or the newest support table where there is none."""
    wholes: tuple[Whole, ...] | None = None
    """None: the native backend, the same with its optimisations off, and every backend."""
    threads: int = 1
    """Processor threads of every engine."""
    precisions: tuple[PrecisionPlan | Precision | str, ...] = ()
    """What engines compute in: names such as ``int8``, or plans. Every configuration is measured in
    each, but for unoptimised ones, which are measured in the first. Nodes outside engines stay as
    they are. Empty: networks are run as they are. Kept as plans."""
    method: str = "entropy"
    """Rule that makes ranges of calibration data, for INT8."""
    strict: bool = False
    """Whether a configuration fails of which nodes compute in another precision than asked for."""
    reference: str = "reference"
    """Backend whose outputs count as right."""
    deviation_samples: int = 16
    """Samples deviation is taken on, at most."""
    reference_seconds: float = 10.0
    """Time the reference may take; a slow one is asked for fewer samples, one batch in any case."""
    accuracy_samples: int | None = None
    """Samples accuracy is taken on, from the first; None takes all."""
    seconds: float = 2.0
    """Time for the rounds of each configuration (`measure.latency`)."""
    min_rounds: int = 20
    max_rounds: int = 300
    build_timeout: float | None = 600.0
    """Seconds a build may take before it is given up."""
    seed: int = 0
    """Of random input and of the order within rounds."""

    def __post_init__(self) -> None:
        for name in ("thresholds", "batches"):
            values = getattr(self, name)
            wrong = [v for v in values if not isinstance(v, int) or isinstance(v, bool) or v < 1]
            if wrong or not (values or name == "thresholds"):
                raise ValueError(f"{name} is {shown(values)}; must be whole numbers from 1")
            object.__setattr__(self, name, tuple(dict.fromkeys(values)))
        if isinstance(self.backends, str):
            raise ValueError(f"backends is {shown(self.backends)}; must be a sequence of names")
        object.__setattr__(self, "backends", tuple(dict.fromkeys(self.backends)))
        if isinstance(self.precisions, str | PrecisionPlan):
            raise ValueError("precisions must be a sequence of names or plans")
        made = (
            one if isinstance(one, PrecisionPlan) else PrecisionPlan(parsed(one))
            for one in self.precisions
        )
        object.__setattr__(self, "precisions", tuple(dict.fromkeys(made)))
        if self.method not in METHODS:
            raise ValueError(f"method is {shown(self.method)}; must be one of {', '.join(METHODS)}")
        if self.policy not in ("connected", "fewest"):
            raise ValueError(f"policy is {shown(self.policy)}; must be connected or fewest")
        if not self.all_wholes and not (self.thresholds and self.backends):
            raise ValueError("nothing to measure: no wholes, and no thresholds or no backends")
        for name in ("deviation_samples", "threads", "accuracy_samples"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int) or value < 1):
                raise ValueError(f"{name} is {shown(value)}; must be a whole number from 1")
        for name in ("seconds", "reference_seconds"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} is {getattr(self, name)}; must be above 0 and finite")
        if not 6 <= self.min_rounds <= self.max_rounds:
            raise ValueError(
                f"min_rounds is {self.min_rounds} and max_rounds {self.max_rounds}; must be 6 <= "
                "min_rounds <= max_rounds"
            )

    @property
    def all_wholes(self) -> tuple[Whole, ...]:
        """`wholes`, or what stands for them."""
        if self.wholes is not None:
            return self.wholes
        every = (Whole(self.native), Whole(self.native, 0), *map(Whole, self.backends))
        return tuple(dict.fromkeys(every))

    @property
    def plans(self) -> dict[str, PrecisionPlan]:
        """Precision plans by what tables call them: the default, or ``mixed int8`` with rules."""
        found: dict[str, PrecisionPlan] = {}
        seen: Counter[str] = Counter()
        for one in self.precisions:
            assert isinstance(one, PrecisionPlan)
            name = f"mixed {one.default.value}" if one.rules else one.default.value
            seen[name] += 1
            found[name if seen[name] == 1 else f"{name} {seen[name]}"] = one
        return found

    def fields(self) -> dict[str, Any]:
        """The design as plain JSON values; two designs are the same if these are."""
        found = {name: getattr(self, name) for name in self.__dataclass_fields__}
        found["wholes"] = [whole.label for whole in self.all_wholes]
        found["exclude"] = repr(self.exclude)
        # Journals of designs without precisions stay those of the same design.
        del found["precisions"], found["method"], found["strict"]
        if self.plans:
            found |= {"precisions": [p.to_json() for p in self.plans.values()]}
            found |= {"method": self.method}
            found |= {"strict": True} if self.strict else {}
        return {k: list(v) if isinstance(v, tuple) else v for k, v in found.items()}


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to run a network: a whole backend, or engines of a backend from a threshold on."""

    label: str
    backend: str
    threshold: int | None = None
    level: int | None = None
    precision: str = ""
    """Name of a plan of `Design.plans`; empty: the network as it is."""

    def at(self, precision: str) -> Variant:
        """The same in a precision of this name."""
        return replace(self, label=f"{self.label}, {precision}", precision=precision)


def variants(design: Design) -> tuple[Variant, ...]:
    """Every way to run a network at one batch, in the order tables have."""
    every, names = _ways(design), list(design.plans)
    if not names:
        return every
    return tuple(way.at(name) for way in every for name in (names[:1] if way.level == 0 else names))


def _ways(design: Design) -> tuple[Variant, ...]:
    policy = "" if design.policy == "connected" else f", {design.policy}"
    wholes = (Variant(w.label, w.backend, None, w.level) for w in design.all_wholes)
    hybrids = (
        Variant(f"{backend}, min {threshold}{policy}", backend, threshold)
        for backend in design.backends
        for threshold in design.thresholds
    )
    return (*wholes, *hybrids)


@dataclass(frozen=True)
class StudyPlan:
    """Everything that decides what is measured, as plain JSON values."""

    fields: Mapping[str, Any] = field(hash=False)

    @classmethod
    def of(
        cls, subjects: tuple[Subject, ...], design: Design, identity: Mapping[str, Any]
    ) -> StudyPlan:
        """The plan of a study.

        Raises:
            StudyError: nothing to measure, or two networks of one name.
        """
        names = [subject.name for subject in subjects]
        twins = sorted({name for name in names if names.count(name) > 1})
        if twins or not names:
            raise StudyError(
                f"networks called the same: {listed(twins)}; give them titles that differ"
                if twins
                else "no network to measure; give at least one"
            )
        networks = {
            subject.name: {
                "content": subject.model.digest,
                "data": subject.data.digest if subject.data else None,
                "weights": subject.weights,
                "input": subject.input,
                "output": subject.output,
                "exclude": repr(subject.exclude),
                **_calibration(subject, design),
            }
            for subject in subjects
        }
        fields = {"design": design.fields(), "networks": networks, "machine": dict(identity)}
        # As it will come back from a journal: tuples are lists there.
        return cls(decoded(encoded(fields)))

    def differences(self, other: StudyPlan) -> tuple[str, ...]:
        """What differs, in words: ``threads: 1 in the file, 2 now``; self is the file's."""

        def both(part: str) -> tuple[Any, Any]:
            return self.fields.get(part, {}), other.fields.get(part, {})

        return (
            *_network_differences(*both("networks")),
            *_differences(*both("design"), ""),
            *_differences(_own(self), _own(other), "machine"),
        )


def _calibration(subject: Subject, design: Design) -> dict[str, str | None]:
    if not design.plans:
        return {}
    return {"calibration": subject.calibration.digest if subject.calibration else None}


def _own(plan: StudyPlan) -> dict[str, Any]:
    """What is the machine's alone: the threads it notes are those of the design."""
    return {key: value for key, value in plan.fields.get("machine", {}).items() if key != "threads"}


_OTHER = {
    "content": "another model of this name", "data": "other data", "precisions": "other precisions",
    "calibration": "other calibration", "exclude": "other nodes kept out of engines",
}  # fmt: skip
"""What differs where the values themselves, digests and the like, say nothing to a reader."""


def _network_differences(mine: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Other networks by their names; of the same ones, what is new about each."""
    if mine.keys() != other.keys():
        return [f"networks: {listed(mine)} in the file, now {listed(other)}"]
    return [
        difference
        for name in mine
        for difference in _differences(mine[name], other[name], f"network {shown(name)}")
    ]


def _differences(mine: Any, other: Any, path: str) -> list[str]:
    if isinstance(mine, Mapping) and isinstance(other, Mapping):
        found = []
        for key in dict.fromkeys([*mine, *other]):
            one, two = mine.get(key, "nothing"), other.get(key, "nothing")
            if key in _OTHER and one != two:
                found.append(f"{path}: {_OTHER[key]}".removeprefix(": "))
            else:
                found += _differences(one, two, f"{path} {shown(key)}".strip())
        return found
    if mine == other:
        return []
    return [f"{path}: {_told(mine)} in the file, {_told(other)} now"]


def _told(value: Any) -> str:
    if isinstance(value, list | tuple):
        return listed(value, 12) or "none"
    return "none" if value is None else shown(value, 60)
