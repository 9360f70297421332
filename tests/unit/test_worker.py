"""The child process: results, errors, deaths, limits, and that nothing is left behind."""

import gc
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from workbench.errors import (
    BuildError,
    CancelledError,
    ModelError,
    WorkerDiedError,
    WorkerError,
    WorkerTimeoutError,
)
from workbench.progress import Cancel, Event
from workbench.worker import Worker

TARGETS = """
import os, signal, sys, time
from workbench.errors import BuildError, ModelError
from workbench.progress import Event

def add(a, b): return a + b
def size(data): return len(data)
def own(): return os.getpid()
def sleep(seconds): time.sleep(seconds)
def die(number): os.kill(os.getpid(), number)
def leave(status): print("last words", flush=True); os._exit(status)
def speak(): print("noise"); os.write(1, b"more noise"); return "answer"
def refuse(): raise ModelError("file \\x1b: refused")
def fail(): raise KeyError("some\\nkey")
def build(): raise BuildError("b", backend="x", subgraph=("n",), log="l")
def eat(count): return len(bytearray(count))
def strange(): return lambda: None
def steps(count, progress):
    for i in range(count): progress(Event("step", done=i, total=count))
    return count
def grandchild(path):
    import subprocess
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    open(path, "w").write(str(child.pid))
    time.sleep(60)
"""


@pytest.fixture(scope="module")
def targets(tmp_path_factory):
    folder = tmp_path_factory.mktemp("targets")
    (folder / "worker_targets.py").write_text(TARGETS)
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = str(folder)
    sys.path.insert(0, str(folder))
    import worker_targets  # pyright: ignore[reportMissingImports]

    yield worker_targets
    sys.path.remove(str(folder))
    os.environ.pop("PYTHONPATH")
    if before is not None:
        os.environ["PYTHONPATH"] = before


@pytest.fixture
def worker(targets):
    with Worker() as made:
        yield made


def test_the_child_stays_and_is_another_process(worker, targets):
    assert worker.pid is None
    first = worker.call(targets.own)
    assert first == worker.call(targets.own) == worker.pid != os.getpid()
    assert worker.call(targets.add, "a", b := "b") == "a" + b
    worker.close()
    assert worker.pid is None
    assert worker.call(targets.own) != first


def test_large_arguments_and_results(worker, targets):
    data = os.urandom(5_000_000)
    assert worker.call(targets.add, data, data) == data + data


def test_printing_does_not_damage_replies(worker, targets):
    assert worker.call(targets.speak) == "answer"
    assert worker.call(targets.add, 1, 2) == 3


def test_our_errors_come_through_and_the_child_stays(worker, targets):
    pid = worker.call(targets.own)
    with pytest.raises(ModelError, match="refused"):
        worker.call(targets.refuse)
    with pytest.raises(WorkerError, match=r"KeyError.*some\\nkey|some\\\\nkey"):
        worker.call(targets.fail)
    with pytest.raises(WorkerError, match=r"pickle|lambda"):
        worker.call(targets.strange)
    assert worker.call(targets.own) == pid


def test_errors_keep_their_fields(worker, targets):
    with pytest.raises(BuildError) as caught:
        worker.call(targets.build)
    error = caught.value
    assert (str(error), error.backend, error.subgraph, error.log) == ("b", "x", ("n",), "l")


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGKILL, signal.SIGFPE, signal.SIGABRT])
def test_a_signal_is_an_error_and_the_next_call_works(worker, targets, number):
    with pytest.raises(WorkerDiedError, match=f"signal {int(number)} .{number.name}"):
        worker.call(targets.die, number)
    assert worker.call(targets.add, 1, 1) == 2


def test_last_words_are_those_of_this_call(worker, targets):
    with pytest.raises(WorkerDiedError, match="exit status 3; its last line was: last words"):
        worker.call(targets.leave, 3)
    worker.call(targets.speak)
    with pytest.raises(WorkerDiedError) as caught:
        worker.call(targets.die, signal.SIGKILL)
    assert "noise" not in str(caught.value)


def test_time_limit(worker, targets):
    worker.call(targets.own)
    start = time.monotonic()
    with pytest.raises(WorkerTimeoutError, match=r"0\.2 s"):
        worker.call(targets.sleep, 60, timeout=0.2)
    assert time.monotonic() - start < 2
    assert worker.call(targets.add, 1, 1, timeout=30) == 2


def test_time_limit_while_the_child_does_not_read(worker, targets):
    pid = worker.call(targets.own)
    os.kill(pid, signal.SIGSTOP)
    start = time.monotonic()
    with pytest.raises(WorkerTimeoutError):
        worker.call(targets.size, bytes(50_000_000), timeout=0.3)
    assert time.monotonic() - start < 3


def test_cancel(worker, targets):
    cancel = Cancel()
    threading.Timer(0.2, cancel.set).start()
    start = time.monotonic()
    with pytest.raises(CancelledError):
        worker.call(targets.sleep, 60, cancel=cancel)
    assert time.monotonic() - start < 2


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="address space limits of Linux")
def test_memory_limit(targets):
    with Worker(memory_bytes=200 << 20) as worker:
        with pytest.raises(WorkerError, match="MemoryError"):
            worker.call(targets.eat, 400 << 20)
        assert worker.call(targets.eat, 10 << 20) == 10 << 20


def test_progress_and_errors_in_it(worker, targets):
    seen: list[Event] = []
    assert worker.call(targets.steps, 3, progress=seen.append) == 3
    assert [event.done for event in seen] == [0, 1, 2]

    def refuse(event: Event) -> None:
        raise ValueError("enough")

    with pytest.raises(ValueError, match="enough"):
        worker.call(targets.steps, 3, progress=refuse)
    assert worker.call(targets.steps, 2) == 2


def test_threads_take_turns(worker, targets):
    results: list[int] = []
    threads = [
        threading.Thread(target=lambda i=i: results.append(worker.call(targets.add, i, i)))
        for i in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == [2 * i for i in range(8)]


def _gone(pid: int) -> bool:
    for _ in range(100):
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except FileNotFoundError:
            return True
        time.sleep(0.05)
    return False


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_what_the_child_started_goes_with_it(worker, targets, tmp_path):
    note = tmp_path / "pid"
    with pytest.raises(WorkerTimeoutError):
        worker.call(targets.grandchild, str(note), timeout=1.5)
    assert _gone(int(note.read_text()))


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")
def test_no_descriptor_is_left(targets):
    def once():
        with Worker() as worker:
            worker.call(targets.add, 1, 2)

    once()
    gc.collect()
    before = len([*Path("/proc/self/fd").iterdir()])
    for _ in range(5):
        once()
    gc.collect()
    assert len([*Path("/proc/self/fd").iterdir()]) <= before


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_process_gets_a_child_of_its_own(targets):
    code = textwrap.dedent(
        """
        import os, warnings
        import worker_targets as t
        from workbench.worker import Worker
        worker = Worker()
        first = worker.call(t.own)
        pid = os.fork()
        if pid == 0:
            second = worker.call(t.own)
            worker.close()
            os._exit(0 if second != first else 1)
        assert os.waitpid(pid, 0)[1] == 0
        assert worker.call(t.own) == first
        worker.close()
        """
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_file_in_the_working_folder_is_not_imported(worker, targets, tmp_path, monkeypatch):
    (tmp_path / "pickle.py").write_text("raise SystemExit('imported')")
    monkeypatch.chdir(tmp_path)
    assert worker.call(targets.add, 1, 2) == 3
