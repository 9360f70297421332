"""`workbench kernels`: one table of what an engine builder makes of networks' nodes."""

from __future__ import annotations

import argparse
import datetime
import platform
from collections.abc import Sequence
from pathlib import Path

from workbench import backends, hybrid, transform, zoo
from workbench.backends.base import BuildConfig
from workbench.cli import common, sources
from workbench.cli.plan import partition_of
from workbench.hybrid import Census
from workbench.model import Model
from workbench.precision import PrecisionPlan
from workbench.precision.resolution import parsed
from workbench.text import aligned, listed, plural, shown

HEADER = (
    "network", "precision", "nodes", "engines", "kernels", "helper layers", "nodes in kernels",
    "folded", "removed", "native", "missing", "build s", "plan MB",
)  # fmt: skip


def run(given: argparse.Namespace) -> int:
    """Plan and build every network in every precision; 1 if a node is missing or nothing built."""
    rows, notes, sound = [], [], True
    for name in given.models or zoo.names():
        model = common.fixed(common.open_model(name, seed=given.seed), given.batch, given.shape)
        for precision in given.precisions:
            found = _counted(model, precision, given)
            rows.append((Path(name).stem, precision, *_cells(found)))
            notes += [f"{shown(name)} {precision}: {text}" for text in _remarks(found)]
            sound &= not found.missing and found.engines > 0
            common.note(f"{shown(name)} {precision}: {plural(found.kernels, 'kernel')}")
    words = _about(given)
    print(aligned(HEADER, rows))
    print("\n" + "\n".join([words, *notes]))
    if given.out:
        given.out.write_text(_page(rows, words, notes), encoding="utf-8")
        print(f"\nwritten: {given.out}")
    return 0 if sound else 1


def _counted(model: Model, precision: str, given: argparse.Namespace) -> Census:
    typed = _typed(model, precision)
    with common.progress_bar() as progress:
        return hybrid.census(
            hybrid.build(
                typed,
                partition_of(common.planned(typed, given), given),
                given.backend,
                config=BuildConfig(threads=given.threads),
                progress=progress,
                timeout=given.timeout,
            )
        )


def _typed(model: Model, name: str) -> Model:
    (plan,) = sources.precisions((name,))
    plan = PrecisionPlan(parsed(plan)) if isinstance(plan, str) else plan
    return transform.lower(model, plan).model


def _cells(found: Census) -> tuple[object, ...]:
    return (
        found.nodes, found.engines, found.kernels, found.helpers, found.in_layers, found.folded,
        found.removed, found.native, len(found.missing), f"{found.seconds:.1f}",
        f"{found.plan_bytes / 1e6:.1f}",
    )  # fmt: skip


def _remarks(found: Census) -> list[str]:
    lost = [f"no trace of {listed(found.missing)}"] if found.missing else []
    return lost + [f"native instead of an engine: {reason}" for reason in found.failures]


def _about(given: argparse.Namespace) -> str:
    maker = backends.get(given.backend)
    today = datetime.datetime.now(datetime.UTC).date()
    return (
        f"Built by {shown(maker.name)} {shown(maker.version)} ({shown(maker.fingerprint())}) on "
        f"{platform.system()} {platform.machine()}, {today}; batch {given.batch}, threshold "
        f"{given.min_subgraph_size or common.DEFAULT_THRESHOLD}."
    )


def _page(rows: Sequence[Sequence[object]], words: str, notes: Sequence[str]) -> str:
    lines = [HEADER, ["---"] * 2 + ["---:"] * (len(HEADER) - 2), *rows]
    cells = [[shown(cell).replace("|", "\\|") for cell in line] for line in lines]
    table = ["| " + " | ".join(line) + " |" for line in cells]
    return "\n".join([words, "", *table, "", *(f"* {note}" for note in notes)]).rstrip() + "\n"
