"""Whatever is in a file, reading it ends in a value or in a `ModelError`."""

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from workbench.backends.tensorrt.layers import Bundle, account, gather, join, to_graph
from workbench.errors import ModelError

GOLDEN = Path(__file__).parents[1] / "golden" / "tensorrt"
DATA = [
    (GOLDEN / name).read_bytes()
    for name in (
        "trt8.6-cnn-fp16.layers.json",
        "trt10.16-layers.json",
        "rtx1.7-cnn-int8.layers.txt",
        "rtx1.7-names.log",
        "rtx1.7-summary.log",
        "trtexec10.16-profile.log",
        "trex-fp16/resnet.onnx.engine.profile.json",
        "trex-qat/resnet-qat.onnx.engine.profile.metadata.json",
    )
]
JUNK = st.sampled_from(
    [
        b'"', b"\\", b"[", b"]", b"{", b"}", b",", b"null", b"1e999", b"-1", b"NaN", b"\n", b"\x1e",
        b"\xff", b"\0", b"[" * 2000, b"true", b" + ", b"{ForeignNode[", b"...", b" [profile 1]",
        b"Layers:\n", b"Name: ", b"[I] ", b"9" * 5000, b"Outputs: [", b"Metadata: ", b'"Layers": ',
    ]
)  # fmt: skip
QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def exercise(data):
    """Read it and, if it reads, do with it what a viewer does. True if it read."""
    refusal = ""
    try:
        found = gather([data])
    except ModelError as error:
        refusal, found = str(error), Bundle()
    assert "\n" not in refusal
    assert len(refusal) < 1500
    for engine in found.engines:
        graph = to_graph(engine)
        assert account(graph, to_graph(engine, graph, profile=None)) is not None
        for profile in found.profiles:
            joined = join(engine, profile)
            assert len(joined.seconds) + len(joined.unmatched) == len(profile.rows)
    return not refusal


@pytest.mark.parametrize("data", DATA, ids=range(len(DATA)))
def test_the_whole_file_reads(data):
    assert exercise(data)


@QUICK
@given(st.sampled_from(DATA), st.data())
def test_a_cut_file(data, draw):
    exercise(data[: draw.draw(st.integers(0, len(data)))])


@QUICK
@given(st.sampled_from(DATA), st.data())
def test_a_changed_file(data, draw):
    changed = bytearray(data)
    for _ in range(draw.draw(st.integers(1, 4))):
        at = draw.draw(st.integers(0, len(changed)))
        length = draw.draw(st.sampled_from((0, 1, 5, 300)))
        changed[at : at + length] = draw.draw(JUNK)
    exercise(bytes(changed))


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ("Layers", "Name", "LayerType", "Inputs", "Outputs", "Constants", "Dimensions",
                 "Metadata", "Bindings", "I/O Tensors", "ProfileInfo", "Weights", "StreamId",
                 "name", "count", "timeMs", "averageMs", "latencyMs", "Format/Datatype",
                 "performance_summary", "build_options", "TacticName")
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)  # fmt: skip


@settings(QUICK, max_examples=80)
@given(VALUES, st.sampled_from(('{"Layers": [%s]}', '{"Layers": ["a"], "Bindings": %s}', "[%s]")))
def test_any_json_of_known_keys(value, frame):
    exercise((frame % json.dumps(value)).encode())


@settings(QUICK, max_examples=100)
@given(st.binary(max_size=400) | st.text(max_size=400).map(lambda text: text.encode()))
def test_anything(data):
    exercise(data)
