"""Temporary folders: gone at the end, and swept when their process was killed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from workbench import scratch

HOLD = """
import sys, time
from workbench import scratch
with scratch.folder("test") as folder:
    (folder / "model.onnx").write_bytes(b"x" * 1000)
    print(folder, flush=True)
    time.sleep(60)
"""
WORK = """
import time
from workbench.worker import Worker
worker = Worker()
worker.call(print)
print(worker.pid, flush=True)
worker.call(time.sleep, 60)
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def started(code: str, place: Path) -> tuple[subprocess.Popen[str], str]:
    """A process that runs `code`, and the first line it prints."""
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(place)},
    )
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def killed(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


def aged(folder: Path) -> None:
    before = time.time() - 3600
    os.utime(folder / ".owner", (before, before))


def test_a_folder_is_ours_alone_and_gone_at_the_end(place):
    with scratch.folder("ask") as folder:
        assert folder.parent == place
        assert folder.name.startswith("workbench-ask-")
        assert folder.stat().st_mode & 0o777 == 0o700
    assert not folder.exists()


def test_what_a_killed_process_left_is_swept_and_what_a_living_one_has_is_kept(place):
    dead, first = started(HOLD, place)
    killed(dead)
    living, second = started(HOLD, place)
    aged(Path(first))
    aged(Path(second))
    assert scratch.sweep(place) == (Path(first),)
    assert not Path(first).exists()
    assert Path(second, "model.onnx").is_file()
    killed(living)


def test_the_next_process_sweeps_by_itself(place):
    dead, first = started(HOLD, place)
    killed(dead)
    aged(Path(first))
    other, _ = started(HOLD, place)
    killed(other)
    assert not Path(first).exists()


def test_a_folder_just_made_is_left_alone(place):
    dead, first = started(HOLD, place)
    killed(dead)
    assert scratch.sweep(place) == ()
    assert Path(first).is_dir()


def test_foreign_folders_and_links_are_left_alone(place):
    dead, first = started(HOLD, place)
    killed(dead)
    aged(Path(first))
    hidden = place / "elsewhere"
    Path(first).rename(hidden)
    (place / "workbench-link").symlink_to(hidden)
    (place / f"workbench-{os.getuid()}").mkdir()
    (place / f"workbench-{os.getuid()}" / "plan.key").write_bytes(b"k" * 32)
    (place / "workbench-file").write_bytes(b"")
    (place / "workbench-piped").mkdir()
    os.mkfifo(place / "workbench-piped" / ".owner")
    before = sorted(place.rglob("*"))
    assert scratch.sweep(place) == ()
    assert sorted(place.rglob("*")) == before


def test_folders_of_a_child_lie_in_the_folder_of_its_parent(place):
    with scratch.folder() as outer, scratch.inside(outer), scratch.folder() as inner:
        assert inner.parent == outer


def test_a_worker_ends_when_its_parent_is_killed(place):
    process, pid = started(WORK, place)
    killed(process)
    deadline = time.monotonic() + 5
    while _runs(int(pid)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _runs(int(pid))


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
