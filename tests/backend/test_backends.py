"""Every installed backend keeps the contract, and the contract notices when one does not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from onnx import helper, numpy_helper, parser

from workbench import backends
from workbench.backends.base import BuildConfig, ShapeRange
from workbench.errors import BackendError, BuildError, DataError, RunError
from workbench.model import Model, from_proto
from workbench.partitioning import Code
from workbench.testing import check_backend, checks, network, small_network

CPU = ("reference", "onnxruntime", "openvino")
FUSING = ("onnxruntime", "openvino")


@pytest.mark.parametrize("check", checks())
@pytest.mark.parametrize("name", CPU)
def test_contract(name: str, check: str) -> None:
    checks()[check](backends.get(name))


class Wrapped:
    """A backend whose sessions or engines were tampered with."""

    def __init__(self, session: type | None = None, **engine: object) -> None:
        self._inner = backends.get("onnxruntime")
        self._session, self._engine = session, engine

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)

    def build(self, *given: object) -> Tampered:
        return Tampered(self._inner.build(*given), self._session, self._engine)

    def load(self, plan: bytes) -> Tampered:
        return Tampered(self._inner.load(plan), self._session, self._engine)


class Tampered:
    def __init__(self, inner: object, session: type | None, fields: dict[str, object]) -> None:
        self._inner, self._kind, self._fields = inner, session, fields

    def __getattr__(self, name: str) -> object:
        if name in self.__dict__["_fields"]:
            return lambda: self._fields[name](self._inner)
        return getattr(self._inner, name)

    def session(self) -> object:
        inner = self._inner.session()
        return self._kind(inner) if self._kind else inner


class Passing:
    """A session that hands everything on; the base of tampered ones."""

    def __init__(self, inner: object) -> None:
        self.inner = inner

    def __getattr__(self, name: str) -> object:
        return getattr(self.inner, name)

    def __enter__(self) -> Passing:
        return self

    def __exit__(self, *args: object) -> None:
        self.inner.close()

    def run(self, feeds: object) -> dict[str, np.ndarray]:
        return self.inner.run(feeds)


class Imprecise(Passing):
    def run(self, feeds: object) -> dict[str, np.ndarray]:
        result = super().run(feeds)
        return {k: v * np.float32(1.001) if v.dtype == "f4" else v for k, v in result.items()}


class Narrowing(Passing):
    def run(self, feeds: object) -> dict[str, np.ndarray]:
        return {k: v.astype("i4") if v.dtype == "i8" else v for k, v in super().run(feeds).items()}


class Converting(Passing):
    def run(self, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        if isinstance(feeds, dict) and set(feeds) == {"x"} and isinstance(feeds["x"], np.ndarray):
            feeds = {"x": feeds["x"].astype(np.float32)}
        return super().run(feeds)


class Aliasing(Passing):
    def run(self, feeds: object) -> dict[str, np.ndarray]:
        result = super().run(feeds)
        kept = self.__dict__.setdefault("kept", result)
        for name, value in result.items():
            kept[name][...] = value
        return kept


class Cleaning(Passing):
    def run(self, feeds: object) -> dict[str, np.ndarray]:
        return {k: np.nan_to_num(v) for k, v in super().run(feeds).items()}


class Immortal(Passing):
    def __exit__(self, *args: object) -> None:
        pass


class Deaf(Passing):
    def bind(self, buffers: object) -> object:
        call = self.inner.bind(buffers)
        call()
        return lambda: None


class Drifting(Passing):
    def run(self, feeds: object) -> dict[str, np.ndarray]:
        self.count = getattr(self, "count", 0) + 1
        step = np.float32(1 + self.count * 1e-6)
        return {k: v * step if v.dtype == "f4" else v for k, v in super().run(feeds).items()}


class Misnaming(Passing):
    def profile(self) -> dict[str, float]:
        return {"no layer of that name": 1e-3}


def _without_origin(engine: object) -> object:
    from dataclasses import replace

    layers = engine.layers()
    return replace(layers, nodes=layers.nodes[1:])


@pytest.mark.parametrize(
    ("check", "fault"),
    [
        ("results", Wrapped(Imprecise)),
        ("types", Wrapped(Narrowing)),
        ("bad_feeds", Wrapped(Converting)),
        ("ownership", Wrapped(Aliasing)),
        ("special_values", Wrapped(Cleaning)),
        ("close", Wrapped(Immortal)),
        ("binding", Wrapped(Deaf)),
        ("repeatable", Wrapped(Drifting)),
        ("profile", Wrapped(Misnaming)),
        ("layers", Wrapped(layers=_without_origin)),
        ("plan", Wrapped(serialize=lambda engine: engine.serialize() + b"\0")),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_contract_notices(check: str, fault: Wrapped) -> None:
    with pytest.raises((AssertionError, BackendError)):
        checks()[check](fault)  # type: ignore[arg-type]


def test_contract_without_runs_leaves_out_what_needs_one() -> None:
    assert set(checks(runs=False)) < set(checks())
    check_backend(Wrapped(Imprecise), runs=False)  # type: ignore[arg-type]


def relu(dtype: str = "float32", shape: tuple[int | str, ...] = (2, 3)) -> Model:
    node = helper.make_node("Relu", ["x"], ["y"], "relu")
    return network([node], [("x", dtype, shape)], [("y", dtype, shape)])


@pytest.mark.parametrize("name", FUSING)
@pytest.mark.parametrize("batch", [2, "N"])
def test_fused_kernels_are_shown(name: str, batch: int | str) -> None:
    layers = backends.get(name).build(small_network(batch)).layers()
    by_origin = {name: node for node in layers.nodes for name in node.origin}
    assert by_origin["conv1"] is by_origin["bn1"] is by_origin["relu1"]
    assert by_origin["halved"].op_type == "Folded"
    assert by_origin["same"].op_type == "Removed"
    assert by_origin["conv1"] is not by_origin["conv2"]


def test_onnxruntime_as_written_fuses_nothing() -> None:
    model = small_network()
    engine = backends.get("onnxruntime").build(model, BuildConfig(optimization_level=0))
    assert [n.name for n in engine.layers().nodes] == [n.name for n in model.graph.nodes]
    options = {"graph_optimization_level": "disable_all"}
    named = backends.get("onnxruntime").build(model, BuildConfig(options=options))
    assert named.layers() == engine.layers()


@pytest.mark.parametrize("value", ["everything", 3, None])
def test_onnxruntime_refuses_unknown_level(value: object) -> None:
    with pytest.raises(ValueError, match="must be one of disable_all, basic, extended, all"):
        backends.get("onnxruntime").build(
            relu(), BuildConfig(options={"graph_optimization_level": value})
        )


def test_openvino_computes_float32_unless_told() -> None:
    backend = backends.get("openvino")
    for built in (backend.build(small_network()),):
        for engine in (built, backend.load(built.serialize())):
            found = {
                node.attributes["precision"]
                for node in engine.layers().nodes
                if node.op_type in ("Convolution", "FullyConnected")
            }
            assert found == {"float32"}
    if "bfloat16" in backend.fingerprint():
        lower = BuildConfig(options={"INFERENCE_PRECISION_HINT": "bf16"})
        layers = backend.build(small_network(), lower).layers()
        kinds = {n.attributes["precision"] for n in layers.nodes if n.op_type == "Convolution"}
        assert kinds == {"bfloat16"}


def test_openvino_loaded_plan_keeps_the_precision_it_was_built_for() -> None:
    backend = backends.get("openvino")
    x = np.random.default_rng(3).normal(0, 1, (2, 4, 8, 8)).astype(np.float32)
    with backends.get("reference").build(small_network()).session() as session:
        right = session.run({"x": x})["r"]
    plan = backend.build(small_network()).serialize()
    with backend.load(plan).session() as session:
        assert np.abs(session.run({"x": x})["r"] - right).max() < 1e-5


def test_openvino_keeps_types_of_a_mixed_model() -> None:
    weights = np.random.default_rng(0).normal(0, 1, (4, 4, 3, 3)).astype(np.float32)
    nodes = [
        helper.make_node("Cast", ["x"], ["xb"], "in", to=16),
        helper.make_node("Cast", ["w"], ["wb"], "weights", to=16),
        helper.make_node("Conv", ["xb", "wb"], ["c"], "conv", pads=[1, 1, 1, 1]),
        helper.make_node("Cast", ["c"], ["cf"], "out", to=1),
        helper.make_node("Softmax", ["cf"], ["y"], "softmax", axis=1),
    ]
    ends = ("float32", [1, 4, 8, 8])
    stored = [numpy_helper.from_array(weights, "w")]
    model = network(nodes, [("x", *ends)], [("y", *ends)], stored, opset=22)
    layers = backends.get("openvino").build(model).layers()
    found = {name: node.attributes["precision"] for node in layers.nodes for name in node.origin
             if "precision" in node.attributes}  # fmt: skip
    assert found["softmax"] == "float32"
    assert found["conv"] in ("bfloat16", "float32")


def test_openvino_refuses_float64_arithmetic() -> None:
    backend = backends.get("openvino")
    model = relu("float64")
    verdict = backend.capability(model).by_node["relu"]
    assert verdict.code is Code.UNSUPPORTED_TYPE
    assert "float64 in float32" in verdict.reason
    with pytest.raises(BuildError, match="float64 in float32: relu") as caught:
        backend.build(model)
    assert caught.value.subgraph == ("relu",)


def test_openvino_refuses_integers_it_would_wrap() -> None:
    node = helper.make_node("Add", ["x", "x"], ["y"], "add")
    model = network([node], [("x", "int64", [2])], [("y", "int64", [2])])
    backend = backends.get("openvino")
    assert "int64 in int32" in backend.capability(model).by_node["add"].reason
    with backend.build(model).session() as session:
        with pytest.raises(DataError, match=r"input x holds 1099511627776"):
            session.run({"x": np.array([2**40, 1])})
        assert session.run({"x": np.array([-3, 1])})["y"].tolist() == [-6, 2]


def test_openvino_switches_its_jit_off_for_long_pointwise_chains() -> None:
    kinds = ("Tanh", "Sigmoid", "Softplus", "Neg")
    nodes = [helper.make_node(kinds[i % 4], [f"t{i}"], [f"t{i + 1}"], f"n{i}") for i in range(1000)]
    model = network(nodes, [("t0", "float32", [1, 8])], [("t1000", "float32", [1, 8])])
    engine = backends.get("openvino").build(model)
    assert not any(node.op_type == "Subgraph" for node in engine.layers().nodes)
    short = network(nodes[:20], [("t0", "float32", [1, 8])], [("t20", "float32", [1, 8])])
    layers = backends.get("openvino").build(short).layers()
    assert any(node.op_type == "Subgraph" for node in layers.nodes)


def test_openvino_plan_of_another_machine_is_refused(tmp_path: Path) -> None:
    script = (
        "import sys; from workbench import backends; from workbench.testing import small_network\n"
        "engine = backends.get('openvino').build(small_network())\n"
        "open(sys.argv[1], 'wb').write(engine.serialize())"
    )
    path = tmp_path / "foreign.plan"
    other = {**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX2"}
    subprocess.run([sys.executable, "-c", script, str(path)], env=other, check=True, timeout=120)
    backend = backends.get("openvino")
    if "AVX-512" not in backend.fingerprint():
        pytest.skip("this machine is no better than the other one")
    with pytest.raises(BackendError, match=r"plan has .*AVX2.*, here is .*AVX-512"):
        backend.load(path.read_bytes())


@pytest.mark.parametrize("name", CPU)
def test_plan_of_another_backend_is_refused(name: str) -> None:
    other = "reference" if name != "reference" else "onnxruntime"
    plan = backends.get(other).build(relu()).serialize()
    with pytest.raises(BackendError, match=f"made by backend {other}; load it with backend"):
        backends.get(name).load(plan)


@pytest.mark.parametrize("name", CPU)
def test_input_that_nothing_reads(name: str) -> None:
    node = helper.make_node("Relu", ["x"], ["y"], "relu")
    ends = [("unused", "float32", [3]), ("x", "float32", [2])]
    engine = backends.get(name).build(network([node], ends, [("y", "float32", [2])]))
    x, unused = np.array([-1, 1], np.float32), np.zeros(3, np.float32)
    with engine.session() as session:
        assert session.run({"x": x, "unused": unused})["y"].tolist() == [0, 1]
        buffers = {"x": x, "unused": unused, "y": np.ones(2, np.float32)}
        session.bind(buffers)()
        assert buffers["y"].tolist() == [0, 1]
        with pytest.raises(DataError, match="input unused is missing"):
            session.run({"x": x})


@pytest.mark.parametrize("name", CPU)
def test_no_rows_at_all(name: str) -> None:
    with backends.get(name).build(relu(shape=("N", 3))).session() as session:
        assert session.run({"x": np.zeros((0, 3), np.float32)})["y"].shape == (0, 3)


@pytest.mark.parametrize("name", CPU)
def test_shape_that_depends_on_values(name: str) -> None:
    node = helper.make_node("NonZero", ["x"], ["y"], "nonzero")
    model = network([node], [("x", "float32", [4])], [("y", "int64", [1, "found"])])
    x = np.array([0, 1, 0, 2], np.float32)
    with backends.get(name).build(model).session() as session:
        assert session.run({"x": x})["y"].tolist() == [[1, 3]]
        fitting = {"x": x.copy(), "y": np.zeros((1, 2), np.int64)}
        call = session.bind(fitting)
        call()
        assert fitting["y"].tolist() == [[1, 3]]
        for values in ([0, 0, 0, 1], [1, 1, 1, 1]):
            fitting["x"][...] = values
            with pytest.raises(RunError):
                call()
        fitting["x"][...] = [5, 0, 0, 7]
        call()
        assert fitting["y"].tolist() == [[0, 3]]


@pytest.mark.parametrize("name", CPU)
def test_output_buffer_of_a_wrong_extent_is_refused(name: str) -> None:
    with backends.get(name).build(relu(shape=("N", 3))).session() as session:
        for rows in (1, 3):
            guard = np.full((5, 3), 7, np.float32)
            buffers = {"x": np.ones((2, 3), np.float32), "y": guard[:rows]}
            with pytest.raises(RunError):
                session.bind(buffers)()
            assert (guard[rows:] == 7).all(), "wrote past the end of the buffer"


@pytest.mark.parametrize("name", CPU)
def test_overlapping_buffers_are_refused(name: str) -> None:
    with backends.get(name).build(relu()).session() as session:
        x = np.ones((2, 3), np.float32)
        with pytest.raises(DataError, match="output buffer y shares memory with buffer x"):
            session.bind({"x": x, "y": x})


LOWEST = """
<ir_version: 8, opset_import: ["" : 17]>
lowest (TYPE[N] a, TYPE[N] b, bool c) => (TYPE[N] q, TYPE[N] r, TYPE[N] i, TYPE[N] f)
{
  [div] q = Div(a, b)
  [mod] r = Mod(a, b)
  [minus] m = Constant <value = TYPE[1] {-1}>()
  [fixed] f = Div(a, m)
  [cond] i = If(c) <
    then_branch = t () => (TYPE[N] o) { [inner] o = Div(a, b) },
    else_branch = e () => (TYPE[N] o2) { [other] o2 = Add(a, b) }
  >
}
"""


@pytest.mark.parametrize("dtype", ["int32", "int64"])
def test_onnxruntime_survives_the_lowest_number_by_minus_one(dtype: str) -> None:
    model = from_proto(parser.parse_model(LOWEST.replace("TYPE", dtype)))
    lowest = np.iinfo(dtype).min
    a = np.array([lowest, lowest, 7, -7, 7], dtype)
    b = np.array([-1, 2, -1, 2, -3], dtype)
    engine = backends.get("onnxruntime").build(model)
    with engine.session() as session:
        found = session.run({"a": a, "b": b, "c": np.array(True)})
    quotients = np.array([lowest, lowest // 2, -7, -3, -2], dtype)
    assert np.array_equal(found["q"], quotients)
    assert np.array_equal(found["i"], quotients)
    assert np.array_equal(found["r"], np.array([0, 0, 0, 1, -2], dtype))
    assert np.array_equal(found["f"], np.array([lowest, lowest, -7, 7, -7], dtype))
    origins = {name for node in engine.layers().nodes for name in node.origin}
    assert origins == {node.name for node in model.graph.nodes}


@pytest.mark.parametrize("name", FUSING)
def test_bfloat16_crosses(name: str) -> None:
    import ml_dtypes

    node = helper.make_node("Cast", ["x"], ["y"], "cast", to=16)
    ends = [("x", "float32", [2])], [("y", ml_dtypes.bfloat16, [2])]
    with backends.get(name).build(network([node], *ends, opset=19)).session() as session:
        got = session.run({"x": np.array([1.5, -2], np.float32)})["y"]
        assert got.dtype == ml_dtypes.bfloat16
        assert got.astype(np.float32).tolist() == [1.5, -2]


@pytest.mark.parametrize("name", FUSING)
def test_hostile_names_are_escaped(name: str) -> None:
    bad = "a\u202e\x1b[31mb"
    node = helper.make_node("NoSuchThing", ["x"], ["y"], bad, domain="example.unknown")
    model = network([node], [("x", "float32", [2])], [("y", "float32", [2])])
    with pytest.raises(BuildError) as caught:
        backends.get(name).build(model)
    reason = backends.get(name).capability(model).by_node[bad].reason
    for text in (str(caught.value), reason):
        assert "\x1b" not in text
        assert "\u202e" not in text


@pytest.mark.parametrize("name", FUSING)
def test_reasons_have_the_right_code(name: str) -> None:
    nodes = [
        helper.make_node("NoSuchThing", ["x"], ["a"], "unknown", domain="example.unknown"),
        helper.make_node("Relu", ["s"], ["b"], "text"),
        helper.make_node("Relu", ["x"], ["y"], "fine"),
    ]
    ends = [("x", "float32", [2]), ("s", object, [2])]
    outputs = [("a", "float32", [2]), ("b", object, [2]), ("y", "float32", [2])]
    found = backends.get(name).capability(network(nodes, ends, outputs, opset=19)).by_node
    assert found["unknown"].code is Code.UNSUPPORTED_OP
    assert found["text"].code is Code.UNSUPPORTED_TYPE
    assert found["fine"].code is Code.TAKEN


def test_capability_asks_once_for_nodes_of_one_kind() -> None:
    import time

    nodes = [helper.make_node("Relu", [f"t{i}"], [f"t{i + 1}"], f"n{i}") for i in range(3000)]
    model = network(nodes, [("t0", "float32", [3, 5])], [("t3000", "float32", [3, 5])])
    start = time.process_time()
    capability = backends.get("openvino").capability(model)
    assert len(capability.taken) == 3000
    assert time.process_time() - start < 3


def test_survey_tries_every_backend() -> None:
    reports = {report.name: report for report in backends.survey()}
    assert tuple(reports) == backends.names()
    for name in CPU:
        assert reports[name].usable
        assert reports[name].can == ("capability", "build", "run")
        assert reports[name].version
    for report in reports.values():
        assert report.usable or (report.why_not and report.remedy)


def test_registry_names() -> None:
    tables = ("tensorrt-8.6", "tensorrt-10.16", "tensorrt-11.1")
    assert backends.sources() == (*backends.names(), *tables)
    for name in backends.sources():
        assert backends.source(name).name == name
    with pytest.raises(ValueError, match=r"no backend opnvino \(did you mean openvino\?\)"):
        backends.get("opnvino")
    with pytest.raises(ValueError, match="no capability source tensorrt-9"):
        backends.source("tensorrt-9")


def test_libraries_are_imported_when_needed() -> None:
    script = (
        "import sys, workbench.backends as b\n"
        "b.get('openvino'), b.get('onnxruntime'), b.get('reference')\n"
        "print(sorted({'openvino', 'onnxruntime', 'tensorrt_rtx'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("name", "module"), [("openvino", "openvino"), ("onnxruntime", "onnxruntime")]
)
def test_missing_library_says_what_to_install(name: str, module: str) -> None:
    script = (
        f"import sys; sys.modules[{module!r}] = None\n"
        "from workbench import backends\n"
        f"report = next(r for r in backends.survey() if r.name == {name!r})\n"
        "print(report.installed, report.usable, report.why_not)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.startswith("False False")
    assert f"pip install {module}" in done.stdout


def test_shape_range_fixes_both_ends() -> None:
    model = relu(shape=("N", 3))
    limits = ShapeRange((2, 3), (2, 3), (2, 3))
    engine = backends.get("openvino").build(model, BuildConfig(shapes={"x": limits}))
    assert engine.inputs[0].shape == (2, 3)
    with engine.session() as session, pytest.raises(DataError, match=r"shape \(1, 3\)"):
        session.run({"x": np.zeros((1, 3), np.float32)})
