"""Every notebook runs from top to bottom, twice the same, and none is stored with large outputs."""

import time
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

FOLDER = Path(__file__).parents[2] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
LIMIT = 120.0


def test_there_are_notebooks():
    assert [path.stem for path in NOTEBOOKS] == [
        "01_see_a_network",
        "02_partition_and_threshold",
        "03_build_and_measure",
        "04_calibration",
        "05_int8_and_mixed_precision",
    ]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_is_stored_without_outputs(path: Path):
    found = nbformat.read(path, as_version=4)
    assert all(not cell.get("outputs") for cell in found.cells)
    assert path.stat().st_size < 40_000


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs_from_top_to_bottom(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("PYDEVD_DISABLE_FILE_VALIDATION", "1")
    book = nbformat.read(path, as_version=4)
    begun = time.monotonic()
    NotebookClient(
        book,
        timeout=LIMIT,
        store_widget_state=False,
        resources={"metadata": {"path": str(tmp_path)}},
    ).execute()
    assert time.monotonic() - begun < LIMIT
    outputs = [output for cell in book.cells for output in cell.get("outputs", [])]
    assert outputs
    said = [o.get("text", "") for o in outputs if o.output_type == "stream" and o.name == "stderr"]
    assert "".join(said) == ""
    assert len(nbformat.writes(book)) < 1_500_000
