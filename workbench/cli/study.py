"""`workbench study`: thresholds x batches x backends, measured side by side, kept and drawn."""

from __future__ import annotations

import argparse
from pathlib import Path

from workbench import plot, study, zoo
from workbench.cache import Cache
from workbench.cli import common
from workbench.data import LabelledData
from workbench.data.preprocessing import Changes
from workbench.partitioning import Exclusion
from workbench.study import Design, Study, Subject
from workbench.study.design import Weights

JOURNAL = "journal.jsonl"


def run(given: argparse.Namespace) -> int:
    """Measure what is left to measure, write table and figures; the status is 1 if nothing ran."""
    subjects = [_subject(name, given) for name in given.models]
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
    )
    found = measured(subjects, design, given.out, fresh=given.fresh)
    finish(found, given.out, given.format)
    if all(one.failed for one in found.configurations):
        common.note("no configuration ran; the table says why, `workbench doctor` what to install")
        return 1
    return 0


def measured(subjects: list[Subject], design: Design, out: Path, *, fresh: bool = False) -> Study:
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


def _subject(name: str, given: argparse.Namespace) -> Subject:
    model = common.open_model(name, seed=given.seed)
    in_zoo = not Path(name).exists()
    weights: Weights = "unknown"
    if in_zoo:
        weights = "trained" if zoo.info(name).trained else "random"
    return Subject(model, data=_data(name, given), title=Path(name).stem, weights=weights)


def _data(model: str, given: argparse.Namespace) -> LabelledData | None:
    if given.data in ("digits", "noisy-digits"):
        return zoo.digits(noisy=given.data.startswith("noisy"))
    if given.data is None:
        return None
    changes = _changes(given)
    if Path(given.data).is_dir():
        return LabelledData.from_folder(given.data, given.list_file, **changes)
    return LabelledData.from_npz(given.data, **changes)


def _changes(given: argparse.Namespace) -> Changes:
    changes: Changes = {}
    if given.resize:
        changes["size"] = given.resize
    if given.crop:
        changes["crop"] = given.crop
    if given.scale is not None:
        changes["scale"] = given.scale
    if given.mean is not None:
        changes["mean"] = given.mean
    if given.std is not None:
        changes["std"] = given.std
    return changes
