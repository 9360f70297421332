"""The journal of a study: cut anywhere, damaged anywhere, written by two."""

import multiprocessing
from pathlib import Path

import pytest

from workbench.errors import StudyError
from workbench.study.design import StudyPlan
from workbench.study.journal import Journal, packed, records

PLAN = StudyPlan({"design": {"threads": 1}})
STEPS = [
    {"configuration": {"n": 1}},
    {"configuration": {"text": "ä\n\r\u2028"}},
    {"group": ["m", 1]},
]


def written(path, steps=STEPS):
    with Journal(path, PLAN, {"groups": []}) as journal:
        for step in steps:
            journal.add(step)
    return path.read_bytes()


def test_steps_come_back(tmp_path):
    path = tmp_path / "new" / "study.jsonl"
    written(path)
    with Journal(path, PLAN, {}) as journal:
        assert journal.earlier == STEPS
        assert journal.head["plan"] == PLAN.fields


def test_a_file_cut_anywhere_loses_only_what_was_cut(tmp_path):
    path = tmp_path / "study.jsonl"
    whole = written(path)
    ends = [i + 1 for i, byte in enumerate(whole) if byte == 10]
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        left = sum(end <= cut for end in ends)
        with Journal(path, PLAN, {"groups": []}) as journal:
            assert journal.earlier == STEPS[: max(0, left - 1)]
            for step in STEPS[len(journal.earlier) :]:
                journal.add(step)
        assert path.read_bytes() == whole


def test_damage_before_the_end_is_an_error_and_the_file_stays(tmp_path):
    path = tmp_path / "study.jsonl"
    whole = written(path)
    second = whole.index(b"\n") + 1
    for place in (0, 4, 12, second, second + 15):
        damaged = bytearray(whole)
        damaged[place] ^= 1
        path.write_bytes(damaged)
        with pytest.raises(StudyError, match=r"study\.jsonl, line [12]: damaged"):
            Journal(path, PLAN, {})
        assert path.read_bytes() == damaged


def test_a_journal_of_another_plan_is_refused_and_kept(tmp_path):
    path = tmp_path / "study.jsonl"
    whole = written(path)
    with pytest.raises(StudyError, match=r"another study \(threads: 1 in the file, 4 now\)"):
        Journal(path, StudyPlan({"design": {"threads": 4}}), {})
    assert path.read_bytes() == whole


def test_a_study_of_nothing_but_failures_does_not_stand_in_the_way(tmp_path):
    path = tmp_path / "study.jsonl"
    written(path, [{"configuration": {"failed": "no room"}}, {"group": ["m", 1]}])
    with Journal(path, StudyPlan({"design": {"threads": 4}}), {}) as journal:
        assert journal.earlier == []
    assert records(path)[0][0]["plan"] == {"design": {"threads": 4}}


def test_a_file_that_is_no_journal_is_refused_and_kept(tmp_path):
    path = tmp_path / "notes.txt"
    for content in (b"some notes\nof mine\n", packed({"format": "else"})):
        path.write_bytes(content)
        with pytest.raises(StudyError, match=r"notes\.txt"):
            Journal(path, PLAN, {})
        assert path.read_bytes() == content


def test_one_line_of_something_else_is_not_taken_for_a_cut(tmp_path):
    path = tmp_path / "precious.txt"
    path.write_bytes(b"my only line, without an end")
    with pytest.raises(StudyError, match="not the journal"):
        Journal(path, PLAN, {})
    assert path.read_bytes() == b"my only line, without an end"


def hold(path, held, release):
    with Journal(path, PLAN, {}):
        held.set()
        release.wait(20)


def test_two_processes_do_not_write_one_journal(tmp_path):
    context = multiprocessing.get_context("spawn")
    held, release = context.Event(), context.Event()
    other = context.Process(target=hold, args=(tmp_path / "study.jsonl", held, release))
    other.start()
    try:
        assert held.wait(20)
        with pytest.raises(StudyError, match="written by another process"):
            Journal(tmp_path / "study.jsonl", PLAN, {})
    finally:
        release.set()
        other.join(20)
    with Journal(tmp_path / "study.jsonl", PLAN, {}) as journal:
        assert journal.earlier == []


def test_places_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path, tmp_path / "file" / "study.jsonl"):
        with pytest.raises(StudyError, match="cannot be written"):
            Journal(path, PLAN, {})


def fill(path):
    import resource
    import signal

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    size = path.stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 10, size + 10))
    with Journal(path, PLAN, {}) as journal, pytest.raises(StudyError, match="make room"):
        journal.add({"much": "x" * 100})


def test_a_full_disk_leaves_the_finished_steps(tmp_path):
    path = tmp_path / "study.jsonl"
    whole = written(path)
    other = multiprocessing.get_context("spawn").Process(target=fill, args=(path,))
    other.start()
    other.join(30)
    assert other.exitcode == 0
    assert path.read_bytes() == whole


def test_devices_are_no_journals():
    for path in ("/dev/full", "/dev/zero"):
        with pytest.raises(StudyError, match="no regular file"):
            Journal(Path(path), PLAN, {})
        with pytest.raises(StudyError, match="no regular file"):
            records(Path(path))


def test_records_of_an_empty_file(tmp_path):
    path = tmp_path / "study.jsonl"
    path.write_bytes(b"")
    assert records(path) == ([], 0)
