"""The cache under several processes, kills, interrupts and a disk that ends in the middle."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from workbench.cache import Cache, CacheWarning, key_of
from workbench.cache.lock import Lock, Owner, owner_of, this_process
from workbench.errors import CancelledError
from workbench.progress import Cancel, Event

FIELDS = {"model": "m"}
KEY = key_of(FIELDS)
PLAN = bytes(range(256)) * 8000

HEAD = """
import os, sys, time, warnings
from workbench.cache import Cache, key_of
FIELDS = {"model": "m"}
KEY = key_of(FIELDS)
PLAN = bytes(range(256)) * 8000
cache = Cache(sys.argv[1])
"""


def start(body: str, *args: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", HEAD + textwrap.dedent(body), *map(str, args)],
        stdout=subprocess.PIPE,
        text=True,
    )


def finished(process: subprocess.Popen[str]) -> str:
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    return out


def free(path: Path) -> bool:
    lock = Lock(path)
    taken = lock.try_acquire()
    lock.release()
    return taken


def temporaries(folder: Path) -> list[Path]:
    return list(folder.glob("*.tmp"))


def test_four_processes_make_one_entry_once(tmp_path: Path) -> None:
    body = """
        with cache.lock(KEY):
            entry = cache.get(KEY)
            if entry is None:
                print("built")
                time.sleep(0.3)
                entry = cache.put(KEY, FIELDS, {"plan": PLAN})
        assert entry.blobs["plan"] == PLAN
        """
    outs = [finished(process) for process in [start(body, tmp_path / "c") for _ in range(4)]]
    assert "".join(outs).count("built") == 1
    assert [path.suffix for path in (tmp_path / "c").iterdir()] == [".plan"]


def test_two_keys_do_not_wait_for_each_other(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    with cache.lock(KEY), cache.lock(key_of({"model": "n"})):
        pass


@pytest.mark.slow
def test_readers_are_right_while_another_process_evicts(tmp_path: Path) -> None:
    body = """
        small = Cache(sys.argv[1], limit_bytes=2_500_000)
        end = time.time() + 3
        while time.time() < end:
            for model in ("m", "n"):
                fields = {"model": model}
                small.put(key_of(fields), fields, {"plan": PLAN})
        """
    process = start(body, tmp_path)
    found = 0
    while process.poll() is None:
        entry = Cache(tmp_path).get(KEY)
        if entry is not None:
            found += 1
            assert entry.blobs["plan"] == PLAN
    finished(process)
    assert found > 0


@pytest.mark.slow
def test_killed_at_any_moment_of_a_write_nothing_half_is_left(tmp_path: Path) -> None:
    body = """
        print("ready", flush=True)
        while True:
            with cache.lock(KEY):
                cache.put(KEY, FIELDS, {"plan": PLAN})
        """
    rng = random.Random(3)
    cache = Cache(tmp_path)
    half = 0
    for _ in range(50):
        process = start(body, tmp_path)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(rng.uniform(0, 0.02))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        half += len(temporaries(tmp_path))
        entry = cache.get(KEY)
        assert entry is None or entry.blobs["plan"] == PLAN
        with cache.lock(KEY, timeout=1):
            assert cache.put(KEY, FIELDS, {"plan": PLAN}) is not None
    assert half > 0, "no kill hit a write; the test shows nothing"
    yesterday = time.time() - 90000
    for path in temporaries(tmp_path):
        os.utime(path, (yesterday, yesterday))
    Cache(tmp_path).put(KEY, FIELDS, {"plan": PLAN})
    assert temporaries(tmp_path) == []


@pytest.mark.slow
def test_an_interrupt_in_the_middle_of_a_write_leaves_nothing(tmp_path: Path) -> None:
    body = """
        earlier = {"model": "earlier"}
        cache.put(key_of(earlier), earlier, {"plan": b"kept"})
        print("ready", flush=True)
        try:
            with cache.lock(KEY):
                while True:
                    cache.put(KEY, FIELDS, {"plan": PLAN * 8})
                    os.unlink(os.path.join(sys.argv[1], KEY + ".plan"))
        except KeyboardInterrupt:
            print("interrupted")
        """
    for wait in (0.0, 0.01, 0.02, 0.03, 0.05):
        process = start(body, tmp_path)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(wait)
        begun = time.monotonic()
        process.send_signal(signal.SIGINT)
        assert "interrupted" in finished(process)
        assert time.monotonic() - begun < 2
        assert temporaries(tmp_path) == []
        assert free(tmp_path / f"{KEY}.lock")
        entry = Cache(tmp_path).get(key_of({"model": "earlier"}))
        assert entry is not None
        assert entry.blobs["plan"] == b"kept"


def test_a_disk_that_ends_at_any_byte_leaves_no_part(tmp_path: Path) -> None:
    body = """
        import resource, signal
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        for limit in (0, 1, 47, 48, 100, 4096, 65536, 524288, len(PLAN), 100 << 20):
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
            with warnings.catch_warnings(record=True) as seen:
                warnings.simplefilter("always")
                kept = cache.put(KEY, FIELDS, {"plan": PLAN})
            assert not [name for name in os.listdir(sys.argv[1]) if name.endswith(".tmp")]
            if kept is None:
                assert cache.get(KEY) is None
                (warning,) = seen
                text = str(warning.message)
                assert sys.argv[1] in text and str(len(PLAN)) in text and "large" in text, text
            else:
                assert limit == 100 << 20 and cache.get(KEY).blobs["plan"] == PLAN
                print("kept in the end")
        """
    assert "kept in the end" in finished(start(body, tmp_path / "c"))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")
def test_a_full_file_system_leaves_no_part(tmp_path: Path) -> None:
    for size in ("4k", "64k", "512k"):
        folder = tmp_path / size
        folder.mkdir(mode=0o700)
        mount = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "tmpfs", str(folder)]
        if subprocess.run(mount, capture_output=True).returncode:
            pytest.skip("mounting is not allowed here")
        try:
            cache = Cache(folder)
            with pytest.warns(CacheWarning, match=f"{folder}: a plan of {len(PLAN)} bytes"):
                assert cache.put(KEY, FIELDS, {"plan": PLAN}) is None
            assert list(folder.iterdir()) == []
            small = {"model": "small"}
            if size != "4k":
                assert cache.put(key_of(small), small, {"plan": b"x"}) is not None
        finally:
            subprocess.run(["umount", str(folder)], check=True)


# Locks -------------------------------------------------------------------------------------------

KINDS = pytest.mark.parametrize("flock", [True, False], ids=["flock", "owner file"])


@KINDS
def test_a_lock_has_one_owner_and_says_who(tmp_path: Path, flock: bool) -> None:
    path = tmp_path / "x.lock"
    first, second = Lock(path, flock=flock), Lock(path, flock=flock)
    assert first.try_acquire()
    assert owner_of(first.path) == this_process()
    assert not second.try_acquire()
    first.release()
    assert not first.exists
    assert second.try_acquire()
    second.release()


@KINDS
def test_threads_hold_a_lock_one_after_the_other(tmp_path: Path, flock: bool) -> None:
    inside, most = 0, 0

    def work() -> None:
        nonlocal inside, most
        for _ in range(5):
            lock = Lock(tmp_path / "x.lock", flock=flock)
            assert lock.acquire(timeout=20)
            inside += 1
            most = max(most, inside)
            time.sleep(0.001)
            inside -= 1
            lock.release()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1


@KINDS
def test_the_lock_of_a_killed_process_is_free(tmp_path: Path, flock: bool) -> None:
    body = """
        from pathlib import Path
        from workbench.cache.lock import Lock
        lock = Lock(Path(sys.argv[1]) / "x.lock", flock=sys.argv[2] == "True")
        assert lock.try_acquire()
        print("held", flush=True)
        time.sleep(60)
        """
    process = start(body, tmp_path, flock)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    lock = Lock(tmp_path / "x.lock", flock=flock)
    said: list[Event] = []
    assert not lock.acquire(timeout=0.2, progress=said.append)
    (event,) = said
    assert event.detail.startswith(f"waiting for pid {process.pid} on host ")
    process.kill()
    process.communicate()
    assert lock.acquire(timeout=5)
    lock.release()


def test_a_reused_process_id_does_not_keep_a_lock(tmp_path: Path) -> None:
    here = this_process()
    lock = Lock(tmp_path / "x.lock", flock=False)
    lock.path.write_text(json.dumps({"pid": here.pid, "started": "1", "host": here.host}))
    assert lock.acquire(timeout=5)


def test_a_lock_file_nobody_signed_is_broken_after_a_minute(tmp_path: Path) -> None:
    lock = Lock(tmp_path / "x.lock", flock=False)
    lock.path.write_bytes(b"")
    assert not lock.acquire(timeout=0.1)
    os.utime(lock.path, (time.time() - 100, time.time() - 100))
    assert lock.acquire(timeout=5)
    lock.release()


def test_an_owner_on_another_host_is_waited_for_until_the_limit(tmp_path: Path) -> None:
    lock = Lock(tmp_path / "x.lock", flock=False)
    lock.path.write_text(json.dumps({"pid": 1, "started": "1", "host": "far\x1baway"}))
    said: list[Event] = []
    assert not lock.acquire(timeout=0.2, progress=said.append)
    assert said[0].detail == r"waiting for pid 1 on host far\x1baway"
    assert not Owner(1, "1", "faraway").gone


def test_a_wait_ends_when_cancelled(tmp_path: Path) -> None:
    cache, cancel = Cache(tmp_path), Cancel()
    threading.Timer(0.1, cancel.set).start()
    begun = time.monotonic()
    with cache.lock(KEY), pytest.raises(CancelledError), Cache(tmp_path).lock(KEY, cancel):
        raise AssertionError("got a lock that is held")
    assert time.monotonic() - begun < 2


def test_work_goes_on_after_the_limit_with_a_warning(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    with (
        cache.lock(KEY),
        pytest.warns(CacheWarning, match="not free within 0.1 s"),
        Cache(tmp_path).lock(KEY, timeout=0.1),
    ):
        pass
    assert list(tmp_path.iterdir()) == []


def test_without_flock_locks_still_work_and_say_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    # No file system without flock can be mounted in a test, so its answer is given by hand.
    monkeypatch.setattr(fcntl, "flock", refuse)
    cache = Cache(tmp_path)
    lock = cache.lock(KEY)
    with pytest.warns(CacheWarning, match="has no flock"):
        lock.__enter__()
    assert not free(tmp_path / f"{KEY}.lock")
    assert cache.put(KEY, FIELDS, {"plan": PLAN}) is not None
    lock.__exit__(None, None, None)
    assert free(tmp_path / f"{KEY}.lock")
    assert [path.suffix for path in tmp_path.iterdir()] == [".plan"]
