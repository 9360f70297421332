"""What the cache promises about its entries: found by content, checked at every read."""

from __future__ import annotations

import gc
import json
import os
import random
import stat
import struct
import time
import warnings
from pathlib import Path

import pytest

from workbench.cache import Cache, CacheWarning, default_folder, key_of
from workbench.errors import CacheError

FIELDS = {"model": "a" * 64, "shapes": {"x": [[1, 3], [4, 3]]}, "backend": {"version": "2026.4.1"}}
KEY = key_of(FIELDS)
BLOBS = {"plan": bytes(range(256)) * 4, "layers": b"{}"}


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


def entry_file(cache: Cache, key: str = KEY) -> Path:
    return cache.folder / f"{key}.plan"


def filled(cache: Cache) -> Path:
    assert cache.put(KEY, FIELDS, BLOBS) is not None
    return entry_file(cache)


def test_what_was_put_is_found_by_another_cache_object(cache: Cache) -> None:
    filled(cache)
    found = Cache(cache.folder).get(KEY)
    assert found is not None
    assert dict(found.blobs) == BLOBS
    assert found.fields == FIELDS
    assert found.key == KEY


def test_large_blobs_are_read_when_asked_for_and_survive_eviction(cache: Cache) -> None:
    big = {"plan": os.urandom(3 << 20), "empty": b""}
    cache.put(KEY, FIELDS, big)
    found = cache.get(KEY)
    assert found is not None
    entry_file(cache).unlink()
    assert dict(found.blobs) == big
    assert found.blobs["plan"] == big["plan"]


def test_a_large_blob_changed_after_the_check_is_not_given_out(cache: Cache) -> None:
    cache.put(KEY, FIELDS, {"plan": bytes(3 << 20)})
    found = cache.get(KEY)
    assert found is not None
    with entry_file(cache).open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"\x01")
    with pytest.raises(CacheError, match="does not match the checksum"):
        found.blobs["plan"]


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_open_entries_leak_no_descriptors(cache: Cache) -> None:
    cache.put(KEY, FIELDS, {"plan": bytes(3 << 20)})
    cache.get(KEY)
    gc.collect()
    before = open_descriptors()
    for _ in range(20):
        cache.get(KEY)
    gc.collect()
    assert open_descriptors() == before


def test_key_is_of_the_content_and_not_of_the_order() -> None:
    turned = dict(reversed(list(FIELDS.items())))
    assert key_of(turned) == KEY
    assert key_of({**FIELDS, "model": "b" * 64}) != KEY
    assert key_of({"a": (1, 2)}) == key_of({"a": [1, 2]})


@pytest.mark.parametrize("value", [{1: 2}, {"a": {2: 3}}, {"a": {1, 2}}, {"a": b"x"}])
def test_key_refuses_what_json_would_confuse(value: dict) -> None:
    with pytest.raises(TypeError):
        key_of(value)


def test_key_refuses_nan() -> None:
    with pytest.raises(ValueError, match="JSON"):
        key_of({"a": float("nan")})


@pytest.mark.parametrize("key", ["", "../../etc/passwd", "A" * 64, "a" * 63, "a" * 65])
def test_only_hashes_become_file_names(cache: Cache, key: str) -> None:
    with pytest.raises(ValueError, match="no key"):
        cache.get(key)


def test_put_refuses_a_key_of_other_fields(cache: Cache) -> None:
    with pytest.raises(ValueError, match="not the key of its fields"):
        cache.put("0" * 64, FIELDS, BLOBS)


def test_folder_and_entries_are_for_this_user_alone(cache: Cache) -> None:
    path = filled(cache)
    assert stat.S_IMODE(cache.folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_default_folder_follows_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path / "x"))
    assert Cache().folder == default_folder() == tmp_path / "x"
    monkeypatch.setenv("WORKBENCH_CACHE", "  ")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_folder() == tmp_path / ".cache" / "workbench"


# Damage ------------------------------------------------------------------------------------------


def assert_removed_and_rebuilt(cache: Cache, match: str = "damaged") -> None:
    with pytest.warns(CacheWarning, match=match):
        assert cache.get(KEY) is None
    assert not entry_file(cache).exists()
    assert cache.get(KEY) is None
    filled(cache)
    found = cache.get(KEY)
    assert found is not None
    assert dict(found.blobs) == BLOBS


def test_every_single_flipped_bit_is_noticed(cache: Cache) -> None:
    path = filled(cache)
    good = path.read_bytes()
    rng = random.Random(7)
    bits = rng.sample(range(8 * len(good)), 1500) + list(range(8 * 64))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CacheWarning)
        for bit in bits:
            bad = bytearray(good)
            bad[bit // 8] ^= 1 << bit % 8
            path.write_bytes(bad)
            assert cache.get(KEY) is None, f"bit {bit} went unnoticed"
            assert not path.exists()
    path.write_bytes(good)
    assert cache.get(KEY) is not None


@pytest.mark.parametrize(
    "spoil",
    [
        lambda good: b"",
        lambda good: good[:1],
        lambda good: good[:47],
        lambda good: good[:48],
        lambda good: good[:100],
        lambda good: good[: len(good) // 2],
        lambda good: good[:-1],
        lambda good: good + b"\0",
        lambda good: good + good,
        lambda good: bytes(len(good)),
        lambda good: random.Random(1).randbytes(len(good)),
        lambda good: good[:8] + struct.pack("<I", 9) + good[12:],
        lambda good: good[:12] + struct.pack("<I", 0xFFFFFFFF) + good[16:],
    ],
)
def test_damage_is_noticed_removed_and_rebuilt(cache: Cache, spoil) -> None:
    path = filled(cache)
    path.write_bytes(spoil(path.read_bytes()))
    assert_removed_and_rebuilt(cache)


def test_swapped_entries_are_noticed(cache: Cache) -> None:
    other = {**FIELDS, "model": "b" * 64}
    cache.put(key_of(other), other, {"plan": b"other"})
    filled(cache)
    entry_file(cache).write_bytes(entry_file(cache, key_of(other)).read_bytes())
    assert_removed_and_rebuilt(cache, "another key")


def test_a_link_is_removed_and_its_target_kept(cache: Cache, tmp_path: Path) -> None:
    path = filled(cache)
    target = tmp_path / "elsewhere"
    path.rename(target)
    path.symlink_to(target)
    assert_removed_and_rebuilt(cache, "symbolic link")
    assert target.exists()


def test_a_folder_in_the_place_of_an_entry_is_moved_aside_whole(cache: Cache) -> None:
    path = filled(cache)
    path.unlink()
    path.mkdir()
    (path / "precious").write_text("mine")
    assert_removed_and_rebuilt(cache, "moved aside")
    (kept,) = cache.folder.glob("*.aside")
    assert (kept / "precious").read_text() == "mine"


def test_a_pipe_in_the_place_of_an_entry_does_not_hang(cache: Cache) -> None:
    path = filled(cache)
    path.unlink()
    os.mkfifo(path, 0o600)
    assert_removed_and_rebuilt(cache, "no regular file")


def test_an_entry_of_a_newer_format_is_left_alone(cache: Cache) -> None:
    import hashlib

    path = filled(cache)
    record = json.dumps({"something": "new"}).encode()
    prefix = struct.pack("<8sII", b"\x89WBKEPT\n", 2, len(record))
    path.write_bytes(prefix + hashlib.sha256(prefix + record).digest() + record + b"rest")
    with pytest.warns(CacheWarning, match="ignored: its format is 2"):
        assert cache.get(KEY) is None
    assert path.exists()


def test_an_entry_others_may_write_is_ignored(cache: Cache) -> None:
    path = filled(cache)
    path.chmod(0o622)
    with pytest.warns(CacheWarning, match="other users may write"):
        assert cache.get(KEY) is None
    assert path.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_an_entry_of_another_user_is_ignored(cache: Cache) -> None:
    os.chown(filled(cache), 12345, 12345)
    with pytest.warns(CacheWarning, match="belongs to user 12345"):
        assert cache.get(KEY) is None


def test_a_folder_everyone_may_write_is_not_used(cache: Cache) -> None:
    filled(cache)
    cache.folder.chmod(0o777)
    with pytest.warns(CacheWarning, match="every user may write"):
        assert cache.get(KEY) is None
    with pytest.warns(CacheWarning, match="every user may write"):
        assert cache.put(KEY, FIELDS, BLOBS) is None


# Folders that cannot be used ---------------------------------------------------------------------


def assert_works_uncached(cache: Cache) -> None:
    with pytest.warns(CacheWarning, match="without a lock"), cache.lock(KEY):
        pass
    with pytest.warns(CacheWarning, match=f"{cache.folder}: a plan of 1026 bytes is not kept"):
        assert cache.put(KEY, FIELDS, BLOBS) is None


def test_a_file_instead_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("I am a file")
    cache = Cache(tmp_path / "cache")
    assert_works_uncached(cache)
    with pytest.warns(CacheWarning):
        assert cache.get(KEY) is None
    assert (tmp_path / "cache").read_text() == "I am a file"


def test_a_file_instead_of_the_folder_above(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("I am a file")
    assert_works_uncached(Cache(tmp_path / "file" / "deeper" / "cache"))


def test_a_folder_that_cannot_be_made() -> None:
    assert_works_uncached(Cache("/proc/nowhere/cache"))


def test_a_folder_that_vanishes_is_made_again(cache: Cache) -> None:
    path = filled(cache)
    path.unlink()
    cache.folder.rmdir()
    assert cache.get(KEY) is None
    filled(cache)
    assert cache.get(KEY) is not None


# Size --------------------------------------------------------------------------------------------


def put_numbered(cache: Cache, number: int, size: int = 1000) -> str:
    fields = {"number": number}
    assert cache.put(key_of(fields), fields, {"plan": bytes(size)}) is not None
    return key_of(fields)


def test_the_entry_unused_for_longest_goes_first(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "c", limit_bytes=3600)
    keys = [put_numbered(cache, i) for i in range(3)]
    for age, key in enumerate(keys):
        os.utime(entry_file(cache, key), (1000 + age, 1000 + age))
    assert cache.get(keys[0]) is not None
    put_numbered(cache, 3)
    assert not entry_file(cache, keys[1]).exists()
    assert entry_file(cache, keys[0]).exists()
    assert entry_file(cache, keys[2]).exists()


def test_the_entry_just_written_stays_when_the_clock_was_set_back(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "c", limit_bytes=2400)
    keys = [put_numbered(cache, i) for i in range(2)]
    ahead = time.time() + 1e6
    for key in keys:
        os.utime(entry_file(cache, key), (ahead, ahead))
    assert cache.get(put_numbered(cache, 2)) is not None


def test_an_entry_that_is_locked_stays(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "c", limit_bytes=2400)
    old = put_numbered(cache, 0)
    os.utime(entry_file(cache, old), (1000, 1000))
    with cache.lock(old):
        put_numbered(cache, 1)
        put_numbered(cache, 2)
        assert entry_file(cache, old).exists()


def test_a_plan_larger_than_the_limit_is_not_kept_and_evicts_nothing(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "c", limit_bytes=2400)
    key = put_numbered(cache, 0)
    with pytest.warns(CacheWarning, match="5000 bytes is not kept: the limit is 2400"):
        assert cache.put(KEY, FIELDS, {"plan": bytes(5000)}) is None
    assert cache.get(key) is not None


def test_a_limit_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="limit_bytes is 0"):
        Cache(limit_bytes=0)


def test_temporary_files_go_after_a_day_and_not_before(cache: Cache) -> None:
    filled(cache)
    old, young, lock = (cache.folder / name for name in ("a.1.x.tmp", "b.2.y.tmp", "c.lock"))
    for path in (old, young, lock):
        path.write_bytes(b"half")
    for path in (old, lock):
        os.utime(path, (time.time() - 90000, time.time() - 90000))
    Cache(cache.folder).put(KEY, FIELDS, BLOBS)
    assert not old.exists()
    assert not lock.exists()
    assert young.exists()


# Misses ------------------------------------------------------------------------------------------


def test_a_miss_names_the_field_that_differs(cache: Cache) -> None:
    assert "nothing is cached" in cache.explain_miss(FIELDS)
    filled(cache)
    far = {"model": "c" * 64}
    cache.put(key_of(far), far, BLOBS)
    assert "exactly these fields" in cache.explain_miss(FIELDS)
    wanted = {**FIELDS, "backend": {"version": "2026.5.0"}}
    said = cache.explain_miss(wanted)
    assert "backend.version is '2026.5.0', cached is '2026.4.1'" in said
    assert "model" not in said


def test_explaining_a_miss_passes_over_damaged_entries(cache: Cache) -> None:
    filled(cache).write_bytes(b"noise")
    assert "nothing is cached" in cache.explain_miss(FIELDS)
