"""The sealed container of plans."""

from __future__ import annotations

import pytest

from workbench.backends.plan import pack, refuse_other, unpack
from workbench.errors import BackendError

PLAN = pack("example", {"threads": 2, "names": ["a"]}, {"one": b"12345", "two": b"", "three": b"x"})


def test_round_trip() -> None:
    record, blobs = unpack(PLAN, "example")
    assert record == {"threads": 2, "names": ["a"]}
    assert {name: bytes(blob) for name, blob in blobs.items()} == {
        "one": b"12345", "two": b"", "three": b"x",
    }  # fmt: skip
    assert unpack(bytearray(PLAN), "example")[0] == record
    assert pack("example", record, blobs) == PLAN


def test_any_flipped_bit_is_found() -> None:
    for at in range(len(PLAN)):
        for bit in range(8):
            changed = bytearray(PLAN)
            changed[at] ^= 1 << bit
            with pytest.raises(BackendError) as caught:
                unpack(bytes(changed), "example")
            assert caught.value.backend == "example"


def test_any_cut_or_addition_is_found() -> None:
    for size in range(len(PLAN)):
        with pytest.raises(BackendError):
            unpack(PLAN[:size], "example")
    for more in (b"\0", PLAN):
        with pytest.raises(BackendError, match=r"should have .* bytes and has"):
            unpack(PLAN + more, "example")


def test_what_it_is_instead_is_said() -> None:
    with pytest.raises(BackendError, match="not a plan of the workbench"):
        unpack(b"ONNX" * 100, "example")
    with pytest.raises(BackendError, match="made by backend example; load it with backend example"):
        unpack(PLAN, "other")
    newer = bytearray(PLAN)
    newer[8] = 2
    with pytest.raises(BackendError, match="format version 2; this workbench reads 1"):
        unpack(bytes(newer), "example")


def test_differences_are_listed() -> None:
    record = {"library": "1.0", "processor": "a"}
    refuse_other(record, record, "example")
    with pytest.raises(BackendError) as caught:
        refuse_other(record, {"library": "2.0", "processor": "a", "driver": "9"}, "example")
    assert "library: plan has 1.0, here is 2.0" in str(caught.value)
    assert "driver: plan has None, here is 9" in str(caught.value)
    assert "processor" not in str(caught.value)
