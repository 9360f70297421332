"""A saved hybrid: opens elsewhere with the same numbers, and never when a byte of it changed."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import onnx
import pytest
from hybrid_cases import (
    BRANCHES,
    CAPTURED,
    ODD_OUTPUTS,
    Troubled,
    assert_close,
    feeds_of,
    network,
    random_plan,
    truth,
)

from workbench import hybrid
from workbench.backends.base import BuildConfig, ShapeRange
from workbench.errors import BackendError, ModelError
from workbench.hybrid import Hybrid
from workbench.hybrid.files import sealed
from workbench.model import Model, load
from workbench.partitioning import Capability, Code, Verdict, plan

PLACES = pytest.mark.parametrize("place", ["folder", "single.hybrid"])


@pytest.fixture(scope="module")
def model() -> Model:
    return network(BRANCHES)


@pytest.fixture(scope="module")
def made(model: Model) -> Hybrid:
    return hybrid.build(model, random_plan(model.graph, 1).at(1))


def assert_same(opened: Hybrid, made: Hybrid, model: Model) -> None:
    assert opened.inputs == made.inputs
    assert opened.outputs == made.outputs
    assert opened.partition == made.partition
    assert opened.layers() == made.layers()
    assert [part.name for part in opened.parts] == [part.name for part in made.parts]
    with opened.session() as session:
        for batch in (2, 2, 3):
            feeds = feeds_of(model, batch)
            assert_close(session.run(feeds), truth(model, feeds))


@PLACES
@pytest.mark.parametrize("text", [BRANCHES, CAPTURED, ODD_OUTPUTS], ids=["branches", "if", "odd"])
def test_saved_and_opened_it_is_the_same(text: str, place: str, tmp_path: Path) -> None:
    model = network(text)
    made = hybrid.build(model, random_plan(model.graph, 2).at(1))
    assert {part.kind for part in made.parts} == {"engine", "native"}
    path = made.save(tmp_path / place)
    opened = hybrid.open(path)
    assert_same(opened, made, model)
    # What was opened can be saved again, over the first too.
    opened.save(path)
    assert_same(hybrid.open(path), made, model)
    assert sorted(p.name for p in tmp_path.iterdir()) == [place]


@PLACES
def test_it_opens_in_another_process_without_the_model(
    model: Model, made: Hybrid, place: str, tmp_path: Path
) -> None:
    path = made.save(tmp_path / place)
    feeds = feeds_of(model)
    np.savez(tmp_path / "feeds.npz", **feeds)
    body = """
        import sys
        import numpy as np
        from workbench import hybrid
        with hybrid.open(sys.argv[1]).session() as session:
            np.savez(sys.argv[3], **session.run(dict(np.load(sys.argv[2]))))
        """
    args = [str(path), str(tmp_path / "feeds.npz"), str(tmp_path / "out.npz")]
    subprocess.run([sys.executable, "-c", textwrap.dedent(body), *args], check=True, timeout=60)
    assert_close(dict(np.load(tmp_path / "out.npz")), truth(model, feeds))


def test_serialize_gives_the_single_file(made: Hybrid, tmp_path: Path) -> None:
    path = made.save(tmp_path / "a.hybrid")
    assert path.read_bytes() == made.serialize()


def test_profiles_and_failures_are_kept(model: Model, tmp_path: Path) -> None:
    config = BuildConfig(shapes={"x": ShapeRange((1, 3, 8, 8), (2, 3, 8, 8), (4, 3, 8, 8))})
    where = random_plan(model.graph, 1).at(1).subgraphs[0].nodes[0]
    made = hybrid.build(
        model, random_plan(model.graph, 1).at(1), Troubled(where, "refuse"), config=config
    )
    assert made.failures
    opened = hybrid.open(made.save(tmp_path / "x"))
    assert opened.failures == made.failures
    assert opened.config.shapes == made.config.shapes
    assert [part.engine.config.shapes for part in opened.parts] == [
        part.engine.config.shapes for part in made.parts
    ]


def test_the_network_is_onnx_with_ep_context_nodes(
    model: Model, made: Hybrid, tmp_path: Path
) -> None:
    path = made.save(tmp_path / "x")
    proto = onnx.load(path / "model.onnx")
    onnx.checker.check_model(proto)
    contexts = [node for node in proto.graph.node if node.op_type == "EPContext"]
    assert len(contexts) == len(made.partition.subgraphs)
    for node, subgraph in zip(contexts, made.partition.subgraphs, strict=True):
        assert node.domain == "com.microsoft"
        values = {item.name: onnx.helper.get_attribute_value(item) for item in node.attribute}
        assert values["main_context"] == 1
        assert values["embed_mode"] == 0
        assert (path / values["ep_cache_context"].decode()).is_file()
        assert values["partition_name"] == f"engine {subgraph.index}".encode()
        assert values["source"] == b"workbench:openvino"
        assert values["ep_sdk_version"]
        assert tuple(node.input) == subgraph.inputs
        assert tuple(node.output) == subgraph.outputs
    native = {name for part in made.partition.native for name in part.nodes}
    assert {node.name for node in proto.graph.node if node.op_type != "EPContext"} == native
    # Weights that only engines need are in their plans.
    needed = {name for node in proto.graph.node for name in node.input}
    assert {tensor.name for tensor in proto.graph.initializer} <= needed
    assert load(path / "model.onnx").graph.outputs == model.graph.outputs


# Damage ------------------------------------------------------------------------------------------


def test_every_flipped_bit_of_a_single_file_is_noticed(made: Hybrid, tmp_path: Path) -> None:
    path = made.save(tmp_path / "x.hybrid")
    good = path.read_bytes()
    rng = random.Random(11)
    for bit in rng.sample(range(8 * len(good)), 150):
        bad = bytearray(good)
        bad[bit // 8] ^= 1 << bit % 8
        path.write_bytes(bad)
        with pytest.raises(ModelError, match=r"x\.hybrid"):
            hybrid.open(path)
    for bad in (b"", good[:40], good[: len(good) // 2], good[:-1], good + b"\0", bytes(500)):
        path.write_bytes(bad)
        with pytest.raises(ModelError, match=r"x\.hybrid"):
            hybrid.open(path)


def test_any_changed_file_of_a_folder_is_named(made: Hybrid, tmp_path: Path) -> None:
    path = made.save(tmp_path / "x")
    files = [p for p in path.rglob("*") if p.is_file()]
    assert len(files) >= 3
    for file in files:
        good = file.read_bytes()
        for bad in (good[:-1], good + b"\n{}", good.replace(b"x", b"y", 1), b""):
            file.write_bytes(bad)
            with pytest.raises(ModelError, match=r"damaged or was edited|is no hybrid") as caught:
                hybrid.open(path)
            assert file.name in str(caught.value)
        file.unlink()
        with pytest.raises(ModelError, match=file.name):
            hybrid.open(path)
        file.write_bytes(good)
    hybrid.open(path)


def test_swapped_plans_are_noticed(made: Hybrid, tmp_path: Path) -> None:
    path = made.save(tmp_path / "x")
    first, second = sorted((path / "plans").iterdir())[:2]
    data = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(data)
    with pytest.raises(ModelError, match=r"0\.plan does not match its checksum"):
        hybrid.open(path)


def resealed(path: Path, change) -> None:
    """Edit a manifest as somebody would who knows how its checksum is made."""
    manifest = json.loads((path / "manifest.json").read_bytes())
    change(manifest)
    manifest["sha256"] = sealed(manifest)
    (path / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize("name", ["../outside", "/etc/passwd", "plans/../../outside", "other.txt"])
def test_a_manifest_cannot_lead_outside(made: Hybrid, tmp_path: Path, name: str) -> None:
    path = made.save(tmp_path / "x")
    resealed(path, lambda manifest: manifest["files"].update({name: "0" * 64}))
    with pytest.raises(ModelError, match="names a file"):
        hybrid.open(path)


def test_a_link_in_the_place_of_a_plan_is_refused(made: Hybrid, tmp_path: Path) -> None:
    path = made.save(tmp_path / "x")
    plan_file = path / "plans" / "0.plan"
    plan_file.rename(tmp_path / "elsewhere")
    plan_file.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ModelError, match=r"0\.plan is missing or is no regular file"):
        hybrid.open(path)


@pytest.mark.parametrize(
    "change",
    [
        lambda manifest: manifest.pop("partition"),
        lambda manifest: manifest.update(parts=3),
        lambda manifest: manifest["parts"][0].update(index=99),
        lambda manifest: manifest["parts"][0].update(backend="nobody"),
        lambda manifest: manifest["partition"].update(verdicts=[]),
        lambda manifest: manifest["config"].update(threads=-1),
    ],
)
def test_nonsense_in_a_manifest_is_refused(made: Hybrid, tmp_path: Path, change) -> None:
    path = made.save(tmp_path / "x")
    resealed(path, change)
    with pytest.raises(ModelError, match="damaged or was edited"):
        hybrid.open(path)


def test_a_newer_format_is_refused(made: Hybrid, tmp_path: Path) -> None:
    path = made.save(tmp_path / "x")
    resealed(path, lambda manifest: manifest.update(format=2))
    with pytest.raises(ModelError, match="has format 2, this version reads 1"):
        hybrid.open(path)


@PLACES
def test_another_machine_is_told_what_differs(made: Hybrid, tmp_path: Path, place: str) -> None:
    path = made.save(tmp_path / place)
    body = """
        import sys
        from workbench import hybrid
        from workbench.errors import BackendError
        try:
            hybrid.open(sys.argv[1])
        except BackendError as error:
            print(error)
        """
    # oneDNN's own switch makes this processor look like one without AVX-512.
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(body), str(path)],
        env={**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX2"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    if not done.stdout and done.returncode == 0:
        pytest.skip("this processor has no more than AVX2")
    assert "was built by openvino for" in done.stdout
    assert "here is openvino for" in done.stdout
    assert "build the hybrid again" in done.stdout


def test_a_plan_of_another_backend_is_refused(made: Hybrid, tmp_path: Path) -> None:
    path = made.save(tmp_path / "x")
    with pytest.raises(BackendError, match="was built by openvino"):
        hybrid.open(path, backend=Troubled("nothing", "refuse"))


@pytest.mark.parametrize("content", [None, b"hello", b"\x08\x07"], ids=["nothing", "text", "onnx"])
@PLACES
def test_what_is_no_hybrid_is_refused(tmp_path: Path, place: str, content: bytes | None) -> None:
    path = tmp_path / place
    if content is not None:
        if path.suffix:
            path.write_bytes(content)
        else:
            path.mkdir()
            (path / "manifest.json").write_bytes(content)
    with pytest.raises(ModelError, match=place):
        hybrid.open(path)


# Writing -----------------------------------------------------------------------------------------


def test_only_hybrids_are_written_over(made: Hybrid, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "file.hybrid").write_text("mine")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "notes.txt").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "folder")
    for place in ("file", "file.hybrid", "folder", "link"):
        with pytest.raises(ModelError, match=f"cannot save to .*{place}"):
            made.save(tmp_path / place)
    assert (tmp_path / "file").read_text() == "mine"
    assert (tmp_path / "file.hybrid").read_text() == "mine"
    assert (tmp_path / "folder" / "notes.txt").read_text() == "mine"


def test_a_file_put_into_a_saved_hybrid_is_not_lost(made: Hybrid, tmp_path: Path) -> None:
    path = made.save(tmp_path / "x")
    (path / "notes.txt").write_text("mine")
    with pytest.raises(ModelError, match=r"notes\.txt"):
        made.save(path)
    assert (path / "notes.txt").read_text() == "mine"
    (path / "notes.txt").unlink()
    made.save(path)
    (tmp_path / "empty").mkdir()
    made.save(tmp_path / "empty")


@PLACES
def test_a_failed_save_leaves_the_old_one(
    made: Hybrid, model: Model, tmp_path: Path, place: str
) -> None:
    path = made.save(tmp_path / place)
    body = """
        import resource, signal, sys
        from workbench import hybrid
        from workbench.errors import ModelError
        made = hybrid.open(sys.argv[1])
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        for limit in (0, 100, 1000):
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
            try:
                made.save(sys.argv[1])
            except ModelError as error:
                print("refused", error)
        """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(body), str(path)],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.stdout.count("refused") == 3, done.stderr
    assert [p.name for p in tmp_path.iterdir()] == [place]
    assert_same(hybrid.open(path), made, model)


def test_a_copied_folder_opens_where_it_is(made: Hybrid, model: Model, tmp_path: Path) -> None:
    path = made.save(tmp_path / "x")
    shutil.copytree(path, tmp_path / "y z" / "ü")
    shutil.rmtree(path)
    assert_same(hybrid.open(tmp_path / "y z" / "ü"), made, model)


BODY_IN_ENGINE = """
<ir_version: 8, opset_import: ["" : 17]>
body (float[N,4] x, bool c) => (float[N,4] y)
<float[4] b = {1,-1,0.5,2}>
{
  [a] h = Relu(x)
  [cond] i = If(c) <
    then_branch = t () => (float[N,4] o) { [t1] o = Mul(h, b) },
    else_branch = e () => (float[N,4] o2) { [e1] o2 = Neg(h) }
  >
  [d] y = Tanh(i)
}
"""

DEAD_FIRST = """
<ir_version: 8, opset_import: ["" : 17]>
dead (float[N,4] x) => (float[N,4] y)
{
  [dead] nobody = Neg(x)
  [a] h = Relu(x)
  [b] i = Exp(h)
  [c] y = Tanh(i)
}
"""


@PLACES
@pytest.mark.parametrize(
    ("text", "native"), [(BODY_IN_ENGINE, {"d"}), (DEAD_FIRST, {"dead", "b"}), (DEAD_FIRST, {"b"})]
)
def test_bodies_and_dead_nodes_do_not_confuse_a_saved_hybrid(
    tmp_path: Path, text: str, native: set[str], place: str
):
    model = network(text)
    verdicts = tuple(
        Verdict(node.name, Code.UNSUPPORTED_OP if node.name in native else Code.TAKEN)
        for node in model.graph.nodes
    )
    division = plan(model.graph, Capability("by hand", verdicts)).at(1)
    made = hybrid.build(model, division, "onnxruntime")
    for part in made.parts:
        held = made.partition.subgraphs if part.kind == "engine" else made.partition.native
        assert held[part.subgraph.index].nodes == part.subgraph.nodes
    assert_same(hybrid.open(made.save(tmp_path / place)), made, model)
