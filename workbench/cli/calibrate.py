"""`workbench calibrate`: from data to a calibration table in the form that is wanted."""

from __future__ import annotations

import argparse

from workbench import calibrate
from workbench.calibrate.formats import Form
from workbench.cli import common, sources
from workbench.errors import DataError
from workbench.text import shown

FORMS: dict[str, Form] = {".json": "workbench", ".cache": "tensorrt"}


def run(given: argparse.Namespace) -> int:
    """Run the network over the data, print the table, write it."""
    form: Form | None = given.form or FORMS.get(given.out.suffix.lower())
    if form is None:
        raise ValueError(f"--out {shown(given.out)}: must end in .json or .cache, or give --form")
    if not given.out.resolve().parent.is_dir():
        raise DataError(f"--out {shown(given.out)}: there is no such folder; make it first")
    model = common.open_model(given.model, seed=given.seed)
    if given.shape:
        model = common.fixed(model, given.batch, given.shape)
    data = sources.require(sources.data(given.data, given, "calibration"), given.model)
    sources.refuse_misfit(data, model)
    with common.progress_bar() as progress:
        found = calibrate.collect(
            model,
            data.head(given.limit) if given.limit else data,
            threads=given.threads,
            journal=given.journal,
            progress=progress,
        )
    table = found.table(given.method)
    print(calibrate.describe(table, found, model=model))
    print(f"\nwritten: {calibrate.write(table, given.out, form)} ({form})")
    return 0
