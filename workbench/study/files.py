"""Studies in files. JSON and Parquet give back an equal study; CSV is for spreadsheets."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.errors import StudyError
from workbench.study import journal
from workbench.study.codec import decoded, encoded, from_record, measurement
from workbench.study.environment import Environment
from workbench.study.results import Configuration, Study
from workbench.text import shown

if TYPE_CHECKING:
    import pyarrow

FORMAT = "workbench study 1"
_PARQUET_KEY = b"workbench.study"
SUFFIXES = (".csv", ".parquet", ".json")


def save(study: Study, path: Path) -> Path:
    """Write a study by the path's suffix; the file appears whole or not at all."""
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise StudyError(f"{shown(path)}: suffix must be {', '.join(SUFFIXES)}")
    content = {".csv": _csv, ".parquet": _parquet, ".json": _json}[suffix](study)
    beside = path.with_name(f".{path.name[:100]}.{secrets.token_hex(6)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.write_bytes(content)
        beside.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)
        raise StudyError(
            f"{shown(path)}: cannot be written ({shown(error.strerror)}); choose another file"
        ) from error
    return path


def _json(study: Study) -> bytes:
    return encoded({"format": FORMAT, **study.fields()}).encode()


def _parquet(study: Study) -> bytes:
    import pyarrow
    from pyarrow import parquet

    table = study.table()
    table = table.replace_schema_metadata({_PARQUET_KEY: _json(study)})
    sink = pyarrow.BufferOutputStream()
    parquet.write_table(table, sink, compression="zstd")
    return sink.getvalue().to_pybytes()


def _csv(study: Study) -> bytes:
    import pyarrow
    from pyarrow import csv

    sink = pyarrow.BufferOutputStream()
    csv.write_csv(harmless(study.table()), sink)
    return sink.getvalue().to_pybytes()


def harmless(table: pyarrow.Table) -> pyarrow.Table:
    """The table with no text that a spreadsheet would take for a formula.

    Text that begins with ``=``, ``+``, ``-``, ``@``, a tab or a line end gets an apostrophe before
    it (OWASP, CSV injection); control characters become escapes.
    """
    import pyarrow

    for place, column in enumerate(table.schema):
        if pyarrow.types.is_string(column.type):
            cells = [_harmless(cell) for cell in table.column(place).to_pylist()]
            table = table.set_column(place, column, pyarrow.array(cells, pyarrow.string()))
    return table


def _harmless(cell: str | None) -> str | None:
    if cell is None:
        return None
    safe = shown(cell, 1000)
    formula = cell.startswith(("\t", "\r", "\n")) or cell.lstrip().startswith(("=", "+", "-", "@"))
    return f"'{safe}" if formula else safe


def read(path: Path) -> Study:
    """The study of a file, by what is in it."""
    suffix = path.suffix.lower()
    if suffix == ".csv":
        raise StudyError(
            f"{shown(path)}: a CSV file holds the table without samples; load the .json or "
            ".parquet file or the journal of the study"
        )
    try:
        if suffix == ".parquet":
            record = _parquet_record(path)
        elif suffix == ".json":
            record = decoded(journal.content(path))
        else:
            return of_journal(path)
        if not isinstance(record, Mapping) or record.get("format") != FORMAT:
            raise StudyError("not a file that Study.save wrote, or of a newer version")
        return _study(record)
    except StudyError as error:
        if str(error).startswith(shown(path)):
            raise
        raise StudyError(f"{shown(path)}: {error}") from error


def _parquet_record(path: Path) -> Any:
    import pyarrow
    from pyarrow import parquet

    try:
        source = pyarrow.BufferReader(journal.content(path))
        metadata = parquet.read_schema(source).metadata or {}
    except pyarrow.ArrowInvalid as error:
        raise StudyError(f"not a Parquet file ({shown(error)})") from error
    if _PARQUET_KEY not in metadata:
        raise StudyError("a Parquet file without a study in it")
    return decoded(metadata[_PARQUET_KEY])


def _study(record: Mapping[str, Any]) -> Study:
    try:
        return Study(
            tuple(measurement(one) for one in record["measurements"]),
            from_record(Environment, record["environment"]),
            tuple(from_record(Configuration, one) for one in record["configurations"]),
            dict(record["baselines"]),
            bool(record["complete"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise StudyError(f"not the fields of a study: {shown(error)}") from error


def of_journal(path: Path) -> Study:
    """The study of a journal, as far as it came."""
    found, _ = journal.records(path)
    if not found:
        raise StudyError(f"{shown(path)}: is empty; nothing was measured")
    return of_records(found[0], found[1:])


def of_records(head: Mapping[str, Any], steps: list[dict[str, Any]]) -> Study:
    """The study that the steps of a journal make.

    Raises:
        StudyError: a record that is not of a study.
    """
    configurations = [step["configuration"] for step in steps if "configuration" in step]
    kept = [one for step in steps for one in step.get("measurements", ())]
    done = {tuple(step["group"]) for step in steps if "group" in step}
    wanted = {tuple(group) for group in head.get("groups", ())}
    record = {
        "environment": head.get("environment"),
        "baselines": head.get("baselines", {}),
        "complete": done >= wanted,
        "configurations": configurations,
        "measurements": kept,
    }
    return _study(record)
