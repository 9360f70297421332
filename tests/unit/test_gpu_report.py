"""The report of the GPU suite says what its records say."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "gpu" / "report.py"


@pytest.fixture(scope="module")
def report():
    spec = importlib.util.spec_from_file_location("gpu_report_page", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_tables_are_what_the_records_say(report):
    assert report.main(check=True) == 0


def test_a_changed_number_is_seen(report):
    page = (report.FOLDER / "README.md").read_text()
    changed = page.replace("| 2363 |", "| 2364 |")
    assert changed != page
    assert report.filled(changed) == page


def test_a_page_without_a_place_for_a_table_is_refused(report):
    with pytest.raises(SystemExit, match="no place for the table latency"):
        report.filled("# empty")


@pytest.mark.parametrize("folder", ["/root", "/tmp", "/home"])
def test_records_name_no_folders_of_the_machine(report, folder):
    assert not [path.name for path in report.FOLDER.glob("*.json") if folder in path.read_text()]
