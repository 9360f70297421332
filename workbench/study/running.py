"""`run`: build, judge and time every configuration of a design, one step after the other.

The latency of all configurations of one network and batch is taken in one run, so that they can be
compared by round; what is right about each is taken before that, and every step goes to the journal
as soon as it is finished.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from workbench import backends
from workbench.backends.base import Session
from workbench.cache import Cache
from workbench.errors import BuildError, MissingDependencyError
from workbench.measure import latency
from workbench.progress import Cancel, Event, Progress, silent
from workbench.study.building import FAILURES, Group
from workbench.study.codec import from_record
from workbench.study.design import Design, StudyPlan, Subject, Variant, variants
from workbench.study.environment import describe
from workbench.study.files import of_records
from workbench.study.journal import Journal
from workbench.study.judging import Reference, first_feeds, judged, latencies, timed_calls
from workbench.study.precisions import Networks, check
from workbench.study.results import Configuration, Study
from workbench.text import shown


def run(
    subjects: Subject | Sequence[Subject],
    design: Design = Design(),
    *,
    journal: str | Path | None = None,
    fresh: bool = False,
    cache: Cache | None = None,
    progress: Progress = silent,
    cancel: Cancel | None = None,
) -> Study:
    """Measure every configuration of a design, or what is left of it.

    A configuration that cannot be built or run is kept with the reason, and the study goes on.
    Thresholds that give the same partition share one engine and one measurement.

    Args:
        subjects: the networks.
        design: what is compared, and how long.
        journal: file that every finished step is added to. If it holds steps of the same study,
            they are not repeated. None keeps nothing.
        fresh: start over even if the journal holds a study.
        cache: where engines are kept; None builds each one.
        progress: told of each step.
        cancel: stops the study within seconds; run it again to go on.

    Raises:
        StudyError: the journal holds another study (the message says what differs) or cannot be
            written, or a network cannot be run at a batch of the design.
        DataError: labelled data that do not fit their network, or a calibration table of another.
        PrecisionError: a precision plan that does not fit a network, or INT8 without calibration.
        CancelledError: stopped by `cancel`.
    """
    subjects = (subjects,) if isinstance(subjects, Subject) else tuple(subjects)
    environment = describe(design.threads)
    plan = StudyPlan.of(subjects, design, environment.identity())
    head = {
        "environment": asdict(environment),
        "baselines": {subject.name: _baseline(design) for subject in subjects},
        "groups": [[subject.name, batch] for subject in subjects for batch in design.batches],
    }
    for subject in subjects:
        check(subject, design)
    _refuse_unknown(design)
    path = Path(journal) if journal is not None else None
    if path and fresh:
        path.unlink(missing_ok=True)
    with ExitStack() as stack:
        kept = Kept(head, stack.enter_context(Journal(path, plan, head)) if path else None)
        for subject in subjects:
            networks = Networks(subject, design, progress, cancel or Cancel())
            for batch in design.batches:
                if not kept.finished(subject.name, batch):
                    group = Group(networks, batch, cache)
                    _measure(group, kept)
        return kept.study()


def _refuse_unknown(design: Design) -> None:
    """Refuse names of backends that there are not; those not installed fail when they are built."""
    for name in {design.native, *design.backends, *(whole.backend for whole in design.all_wholes)}:
        with suppress(MissingDependencyError):
            backends.get(name)


def _baseline(design: Design) -> str:
    """The native backend alone if it is measured, else whatever comes first."""
    labels = [variant.label for variant in variants(design)]
    plain = ", ".join([f"{design.native}, whole", *list(design.plans)[:1]])
    return plain if plain in labels else labels[0]


class Kept:
    """Finished steps, of earlier runs and of this one."""

    def __init__(self, head: Mapping[str, Any], journal: Journal | None) -> None:
        self._journal = journal
        self._head = (journal.head if journal else None) or head
        self._steps = list(journal.earlier) if journal else []
        early = (s["configuration"] for s in self._steps if "configuration" in s)
        self._early = {one.key: one for one in (from_record(Configuration, s) for s in early)}

    def add(self, step: dict[str, Any]) -> None:
        """Keep a finished step."""
        if self._journal:
            self._journal.add(step)
        self._steps.append(step)

    def configuration(self, model: str, batch: int, variant: str) -> Configuration | None:
        """What an earlier run found out about a configuration."""
        return self._early.get((model, batch, variant))

    def finished(self, model: str, batch: int) -> bool:
        """Whether an earlier run finished every configuration of a network and batch."""
        return any(step.get("group") == [model, batch] for step in self._steps)

    def study(self) -> Study:
        """Everything so far."""
        return of_records(self._head, self._steps)


@dataclass
class _Bench:
    """What the steps of one group share while they run."""

    group: Group
    kept: Kept
    reference: Reference
    stack: ExitStack
    ready: dict[Configuration, Session] = field(default_factory=dict)
    twins: dict[tuple[object, ...], Configuration] = field(default_factory=dict)


def _measure(group: Group, kept: Kept) -> None:
    name, batch, every = group.subject.name, group.batch, variants(group.design)
    with ExitStack() as stack:
        reference = stack.enter_context(closing(Reference(group)))
        bench = _Bench(group, kept, reference, stack)
        for done, variant in enumerate(every):
            group.cancel.check()
            detail = f"{shown(name)}, batch {batch}: {shown(variant.label)}"
            group.progress(Event("configuration", detail, done, len(every)))
            _one(bench, variant)
        kept.add({"group": [name, batch], "measurements": _timed(bench)})


def _one(bench: _Bench, variant: Variant) -> None:
    """Build and judge one variant, or find out that it is like an earlier one."""
    group, kept = bench.group, bench.kept
    early = kept.configuration(group.subject.name, group.batch, variant.label)
    if early is not None and early.failed:
        return
    division = group.division(variant)
    twin = bench.twins.get(division) if division else None
    if twin is not None:
        if early is None:
            same = replace(group.configuration(variant), **_copied(twin))
            kept.add({"configuration": asdict(same), "measurements": []})
        return
    configuration = None
    try:
        configuration, engine = group.built(variant)
        if group.design.strict and configuration.departs:
            raise BuildError(
                f"strict: asked for {configuration.precision}, achieved: {configuration.achieved}; "
                f"ask for what {configuration.backend} has here, or measure it without strict"
            )
        session = bench.stack.enter_context(engine.session())
        found = [] if early else judged(group, configuration, session, bench.reference)
    except FAILURES as error:
        known = configuration or group.configuration(variant)
        failed = replace(known, failed=shown(error, 2000))
        kept.add({"configuration": asdict(failed), "measurements": []})
        return
    if early is None:
        measured = [asdict(one) for one in found]
        kept.add({"configuration": asdict(configuration), "measurements": measured})
    bench.ready[configuration] = session
    if division:
        bench.twins[division] = configuration


def _copied(twin: Configuration) -> dict[str, Any]:
    """What a configuration has from the one it is the same as: engines may have failed to build."""
    names = ("engines", "engine_nodes", "native_nodes", "build_failures", "build_seconds",
             "met", "wider", "replaced", "kept", "around", "instead")  # fmt: skip
    return {"same_as": twin.variant} | {name: getattr(twin, name) for name in names}


def _timed(bench: _Bench) -> list[dict[str, Any]]:
    """Latency of everything that runs, in one run."""
    if not bench.ready:
        return []
    group, design = bench.group, bench.group.design
    by_name = {configuration.variant: configuration for configuration in bench.ready}
    sessions = {configuration.variant: session for configuration, session in bench.ready.items()}
    calls, bound = timed_calls(sessions, first_feeds(group))
    found = latency(
        calls,
        seconds=design.seconds,
        min_rounds=design.min_rounds,
        max_rounds=design.max_rounds,
        seed=design.seed,
        progress=group.progress,
        cancel=group.cancel,
    )
    return [
        asdict(measurement)
        for one in found
        for measurement in latencies(by_name[one.name], one, bound=bound)
    ]
