"""Plans and layers by TensorRT-RTX on this machine, GPU or not."""

import pickle
import threading

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from workbench import zoo
from workbench.backends.base import Backend, BuildConfig, Engine, ShapeRange, executed
from workbench.backends.tensorrt import TensorRT, adapter
from workbench.errors import BackendError, BuildError, CancelledError, RunError
from workbench.model import Model, from_proto
from workbench.progress import Cancel, Event
from workbench.testing import checks

pytestmark = pytest.mark.skipif(
    "tensorrt_rtx" not in adapter.installed(), reason="tensorrt_rtx is not installed"
)


@pytest.fixture(scope="module")
def rtx():
    backend = TensorRT("tensorrt_rtx")
    yield backend
    backend.close()


@pytest.fixture(scope="module")
def digits():
    return zoo.load("digits_inception")


def config(model: Model, low=1, best=4, high=8, **more) -> BuildConfig:
    (spec,) = model.graph.inputs
    ends = [
        tuple(extent if isinstance(dim, str) else dim for dim in spec.shape)
        for extent in (low, best, high)
    ]
    return BuildConfig(shapes={spec.name: ShapeRange(*ends)}, **more)


@pytest.fixture(scope="module")
def engine(rtx, digits):
    return rtx.build(digits, config(digits))


def test_it_keeps_the_contract_of_backend_and_engine(rtx, engine):
    assert isinstance(rtx, Backend)
    assert isinstance(engine, Engine)
    assert engine.backend == "tensorrt"


@pytest.mark.parametrize("name", checks(runs=False))
def test_all_of_the_contract_that_needs_no_run(rtx, name):
    checks(runs=False)[name](rtx)


def test_an_engine_has_the_models_borders_and_says_what_it_is_for(engine, digits):
    assert engine.inputs == digits.graph.inputs
    assert engine.outputs == digits.graph.outputs
    assert engine.targets == ("SM86", "SM89", "SM120")
    assert engine.made_with.startswith("TensorRT-RTX 1.")
    assert len(engine.plan) > 10_000


def test_layers_account_for_every_node_with_fewer_kernels(engine, digits):
    layers = engine.layers()
    behind = {name for node in layers.nodes for name in node.origin}
    assert behind == set(digits.graph.position)
    kernels = executed(layers)
    assert 0 < len(kernels) < len(digits.graph.nodes)
    fused = [node for node in kernels if len(node.origin) > 1]
    assert fused
    assert {node.attributes["precision"] for node in fused} == {"float32"}


def test_half_precision_models_give_half_precision_kernels(rtx):
    weight = numpy_helper.from_array(np.ones((8, 3, 3, 3), np.float16), "w")
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["y"], "conv")], "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT16, (1, 3, 16, 16))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT16, (1, 8, 14, 14))], [weight],
    )  # fmt: skip
    model = from_proto(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    )
    layers = rtx.build(model).layers()
    kernels = [node for node in layers.nodes if "conv" in node.origin]
    assert {node.attributes["precision"] for node in kernels} == {"float16"}


def test_a_saved_plan_opens_as_the_same_engine(rtx, engine):
    assert rtx.load(engine.serialize()) == engine


@pytest.mark.parametrize("change", ["flip", "cut", "foreign"])
def test_a_plan_that_was_touched_is_refused(rtx, engine, change):
    data = bytearray(engine.serialize())
    if change == "flip":
        data[len(data) // 2] ^= 1
    elif change == "cut":
        del data[-10:]
    else:
        data[:] = engine.plan
    with pytest.raises(BackendError, match=r"damaged|not a plan"):
        rtx.load(bytes(data))


def test_a_session_says_what_is_missing_and_what_to_do(engine):
    (abilities,) = [found for found in adapter.survey() if found.package == "tensorrt_rtx"]
    if abilities.run:
        pytest.skip("this machine has a GPU that runs TensorRT-RTX engines")
    with pytest.raises(RunError, match="openvino or onnxruntime") as caught:
        engine.session()
    assert abilities.why_not in str(caught.value)


def test_the_backend_travels_to_a_worker(rtx):
    again = pickle.loads(pickle.dumps(rtx))
    assert (again.title, again.fingerprint()) == (rtx.title, rtx.fingerprint())


def test_progress_tells_phases_and_steps(rtx, digits):
    events: list[Event] = []
    rtx.build(digits, config(digits), events.append)
    assert events[0].phase == "parse"
    assert "Building engine" in {event.detail for event in events}
    assert any(event.done and event.total and event.done <= event.total for event in events)


def test_a_build_stops_when_progress_raises(rtx, digits):
    cancel = Cancel()

    def until(event: Event) -> None:
        if event.phase == "build engine":
            cancel.set()
        cancel.check()

    with pytest.raises(CancelledError):
        rtx.build(digits, config(digits), until)
    assert rtx.build(digits, config(digits)).plan


def test_two_threads_build_at_once(rtx, digits):
    made = []
    threads = [
        threading.Thread(target=lambda: made.append(rtx.build(digits, config(digits))))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({len(engine.layers().nodes) for engine in made}) == 1
    assert len(made) == 2


def test_a_dynamic_input_without_a_range_is_named_with_the_remedies(rtx, digits):
    with pytest.raises(ValueError, match=r"has no range.*ShapeRange.*min_subgraph_size"):
        rtx.build(digits)


def test_ranges_that_do_not_fit_are_refused_before_tensorrt_sees_them(rtx, digits):
    (spec,) = digits.graph.inputs
    wrong = ShapeRange((1, 1), (1, 1), (1, 1))
    with pytest.raises(ValueError, match="no input"):
        rtx.build(digits, BuildConfig(shapes={"imput": wrong}))
    with pytest.raises(ValueError, match="does not fit"):
        rtx.build(digits, BuildConfig(shapes={spec.name: wrong}))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"compute_capability": "SM89"}, "did you mean compute_capabilities"),
        ({"compute_capabilities": ("SM12",)}, "it knows .*SM89"),
        ({"compute_capabilities": ()}, "one or more names"),
        ({"shape_values": {"x": 3}}, "ShapeRange"),
    ],
)
def test_options_are_checked(rtx, digits, options, words):
    with pytest.raises(ValueError, match=words):
        rtx.build(digits, config(digits, options=options))


def test_fp16_by_flag_is_for_versions_without_types(rtx, digits):
    with pytest.raises(BuildError, match=r"computes in the types of the model.*around='fp16'"):
        rtx.build(digits, config(digits, options={"half": True}))
    with pytest.raises(ValueError, match="half is 1; must be True or False"):
        rtx.build(digits, config(digits, options={"half": 1}))


def test_a_plan_for_one_architecture(rtx, digits):
    one = rtx.build(digits, config(digits, options={"compute_capabilities": "SM89"}))
    assert one.targets == ("SM89",)


def test_level_and_workspace_reach_tensorrt(rtx, digits):
    assert rtx.build(digits, config(digits, optimization_level=0, tf32=False)).plan
    with pytest.raises(BuildError, match="could not build an engine of 48 nodes") as caught:
        rtx.build(digits, config(digits, workspace_bytes=1))
    assert caught.value.log
    assert caught.value.subgraph == tuple(node.name for node in digits.graph.nodes)


def test_what_the_parser_refuses_is_a_build_error_in_its_words(rtx):
    graph = helper.make_graph(
        [helper.make_node("Det", ["x"], ["y"], "det")], "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (3, 3))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ())],
    )  # fmt: skip
    model = from_proto(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    )
    with pytest.raises(BuildError, match=r"UNSUPPORTED_NODE: node det \(Det\)"):
        rtx.build(model)


def sized() -> Model:
    graph = helper.make_graph(
        [helper.make_node("Expand", ["x", "s"], ["y"], "expand")], "g",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 4)),
            helper.make_tensor_value_info("s", TensorProto.INT64, (2,)),
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ("M", 4))],
    )  # fmt: skip
    return from_proto(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    )


def test_an_input_that_is_a_shape_needs_the_range_of_its_values(rtx):
    with pytest.raises(BuildError, match=r"input s is a shape.*shape_values"):
        rtx.build(sized())
    values = {"s": ShapeRange((1, 4), (3, 4), (9, 4))}
    assert rtx.build(sized(), BuildConfig(options={"shape_values": values})).plan


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet50", "mobilenet_v2", "densenet121", "shufflenet"])
def test_zoo_networks_are_built_whole_and_accounted_for(rtx, name):
    model = zoo.load(name)
    layers = rtx.build(model, config(model)).layers()
    assert {one for node in layers.nodes for one in node.origin} == set(model.graph.position)
