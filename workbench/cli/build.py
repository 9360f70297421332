"""`workbench build`: the engines of a partition, and a hybrid to keep."""

from __future__ import annotations

import argparse

from workbench import hybrid
from workbench.backends.base import BuildConfig
from workbench.cli import common
from workbench.cli.plan import partition_of
from workbench.hybrid import Hybrid
from workbench.model import Model
from workbench.text import aligned, plural, shown


def run(given: argparse.Namespace) -> int:
    """Build, say what was built and what fell back, and save."""
    model = common.fixed(common.open_model(given.model, seed=given.seed), given.batch, given.shape)
    engine = build(model, given)
    rows = [
        (
            part.name,
            part.engine.backend,
            len(part.subgraph),
            common.duration(part.seconds),
            "cache" if part.cached else "built",
        )
        for part in engine.parts
    ]
    print(aligned(("part", "backend", "nodes", "build", "from"), rows))
    for verdict in engine.failures:
        print(f"native instead: {shown(verdict.node)}: {verdict.reason}")
    if given.out:
        print(f"saved {plural(len(engine.parts), 'part')} to {engine.save(given.out)}")
    return 0


def build(model: Model, given: argparse.Namespace) -> Hybrid:
    """The hybrid the options ask for."""
    with common.progress_bar() as progress:
        return hybrid.build(
            model,
            partition_of(common.planned(model, given), given),
            given.backend,
            native=given.native,
            config=BuildConfig(threads=given.threads),
            cache=common.cache_of(given),
            progress=progress,
            timeout=given.timeout,
            strict=given.strict,
        )
