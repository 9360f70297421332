"""`workbench precision`: networks in FP32 and INT8 side by side, in one table."""

from __future__ import annotations

import argparse

from workbench.cli import common, sources
from workbench.cli.study import measured, note_departures, usual_folder
from workbench.study import Design, Study, Subject, Whole
from workbench.study.beside import text
from workbench.text import shown


def run(given: argparse.Namespace) -> int:
    """Measure what is left to measure, print the table and write it; 1 if nothing ran."""
    given.precisions = given.precisions or ("fp32", "int8")
    subjects = [_subject(name, given) for name in given.models or sources.TRAINED]
    design = Design(
        thresholds=(),
        wholes=(Whole(given.backend),),
        batches=given.batches,
        backends=(given.backend,),
        threads=given.threads,
        seconds=given.seconds,
        accuracy_samples=given.limit,
        precisions=sources.precisions(given.precisions),
        method=given.method,
        strict=given.strict,
    )
    out = given.out or usual_folder("out/precision", subjects)
    found = measured(subjects, design, out, fresh=given.fresh)
    print(text(found))
    _footnotes(found)
    page = out / "precision.md"
    page.write_text(text(found, markdown=True), encoding="utf-8")
    print(f"\nwritten:\n  {page}\n  {found.save(out / f'study.{given.format}')}")
    return 1 if all(one.failed for one in found.configurations) else 0


def _subject(name: str, given: argparse.Namespace) -> Subject:
    usual = sources.TRAINED.get(name) if given.data is None else given.data
    found = sources.subject(name, argparse.Namespace(**{**vars(given), "data": usual}))
    sources.require(found.data, name)
    return found


def _footnotes(found: Study) -> None:
    print(
        "\nIn brackets: 95 % intervals. Latency: median wall time of the whole batch, all "
        "precisions of a\nnetwork in turns in one run. Gain: latency of the first precision over "
        "this one. Top-1 change:\npoints, by McNemar's test. Achieved: nodes that compute in what "
        "was asked for; wider, replaced: in\nanother type; kept: left out on purpose."
    )
    by = dict.fromkeys(one.measured_by for one in found.configurations if not one.failed)
    if by:
        print(f"Measured by {'; '.join(by)}. On {found.environment}.")
    for one in found.configurations:
        if one.failed:
            common.note(f"{shown(one.model)}, {shown(one.variant)}: {one.failed}")
    note_departures(found)
