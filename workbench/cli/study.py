"""`workbench study`: thresholds x batches x backends, measured side by side, kept and drawn."""

from __future__ import annotations

import argparse
from pathlib import Path

from workbench import plot, study
from workbench.cache import Cache
from workbench.cli import common, sources
from workbench.partitioning import Exclusion
from workbench.study import Design, Study
from workbench.text import shown

JOURNAL = "journal.jsonl"
LONGEST_NAME = 120
"""Characters of a folder's name at most."""


def run(given: argparse.Namespace) -> int:
    """Measure what is left to measure, write table and figures; the status is 1 if nothing ran."""
    subjects = [sources.subject(name, given) for name in given.models]
    out = given.out or usual_folder("out/study", subjects)
    design = Design(
        thresholds=given.thresholds,
        batches=given.batches,
        backends=given.backends,
        native=given.native,
        policy=given.policy or "connected",
        exclude=Exclusion(given.exclude_op, given.exclude_node, given.exclude_tensor),
        source=given.source,
        threads=given.threads,
        seconds=given.seconds,
        accuracy_samples=given.limit,
        precisions=sources.precisions(given.precisions),
        method=given.method,
        strict=given.strict,
    )
    found = measured(subjects, design, out, fresh=given.fresh)
    finish(found, out, given.format)
    if all(one.failed for one in found.configurations):
        common.note("no configuration ran; the table says why, `workbench doctor` what to install")
        return 1
    return 0


def usual_folder(base: str, subjects: list[study.Subject]) -> Path:
    """A folder of its own for each choice of networks, so that studies do not meet in one."""
    return Path(base) / "+".join(subject.name for subject in subjects)[:LONGEST_NAME]


def measured(
    subjects: list[study.Subject], design: Design, out: Path, *, fresh: bool = False
) -> Study:
    """The study, resumed from the journal in `out` where there is one."""
    out.mkdir(parents=True, exist_ok=True)
    with common.progress_bar() as progress:
        return study.run(
            subjects, design, journal=out / JOURNAL, fresh=fresh, cache=Cache(), progress=progress
        )


def finish(found: Study, out: Path, suffix: str) -> None:
    """Print the table; write it and the figures, and say where."""
    print(found.text())
    files = [found.save(out / f"study.{suffix}"), *plot.save_figures(found, out)]
    print("\nwritten:")
    print("\n".join(f"  {path}" for path in files))
    note_departures(found)


def note_departures(found: Study) -> None:
    """Say which configurations compute in another precision than asked for."""
    for one in found.configurations:
        if one.departs and not one.failed:
            common.note(
                f"{shown(one.model)}, {shown(one.variant)}: does not compute in what was asked for "
                f"({one.achieved}); --strict makes that an error"
            )
