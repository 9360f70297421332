"""The zoo run by ONNX Runtime: accuracies counted independently, activations in a sane range."""

from __future__ import annotations

from importlib import resources

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from workbench import zoo
from workbench.zoo.builder import Net

HEAVY = ("resnet101", "vgg16", "alexnet", "densenet121", "inception_v3", "se_resnext50")
RANDOM = [
    pytest.param(name, marks=[pytest.mark.slow] if name in HEAVY else [])
    for name in zoo.names()
    if not zoo.info(name).trained
]
TRAINED = ("digits_inception", "digits_resnet")


def session(content: bytes) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 2
    options.log_severity_level = 3
    return ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def shipped(name: str) -> bytes:
    return resources.files("workbench.zoo").joinpath(f"data/{name}").read_bytes()


class TestTrained:
    @pytest.mark.parametrize("name", TRAINED)
    def test_plain_accuracy_counted_from_the_files(self, name):
        """Without any code of the workbench between the files and the count."""
        with resources.files("workbench.zoo").joinpath("data/digits.npz").open("rb") as file:
            archive = np.load(file)
            images, labels = archive["test_images"], archive["test_labels"]
        feeds = {"image": images[:, None].astype(np.float32) / np.float32(255)}
        (logits,) = session(shipped(f"{name}.onnx")).run(["logits"], feeds)
        hits = int((logits.argmax(1) == labels).sum())
        assert hits / 450 == pytest.approx(zoo.info(name).top1["plain"], abs=5e-5)
        assert hits >= {"digits_inception": 441, "digits_resnet": 432}[name]

    @pytest.mark.parametrize("name", TRAINED)
    def test_noisy_accuracy(self, name):
        run = session(zoo.load(name).serialize())
        hits = sum(
            int((run.run(None, {"image": images})[0].argmax(1) == labels).sum())
            for images, labels in zoo.digits(noisy=True).batches(600)
        )
        # A picture whose two best classes tie to the last bit may go either way elsewhere.
        assert hits / 3600 == pytest.approx(zoo.info(name).top1["noisy"], abs=1e-3)
        low, high = {"digits_inception": (0.05, 0.3), "digits_resnet": (0.85, 0.9)}[name]
        assert low < hits / 3600 < high

    @pytest.mark.parametrize("name", TRAINED)
    @pytest.mark.parametrize("batch", [1, 5])
    def test_a_fixed_batch_gives_the_same_logits(self, name, batch):
        images, _ = next(zoo.digits().batches(batch))
        logits = [
            session(zoo.load(name, batch=b).serialize()).run(None, {"image": images})[0]
            for b in ("N", batch)
        ]
        np.testing.assert_allclose(*logits, rtol=1e-5, atol=1e-5)

    @pytest.mark.parametrize("name", TRAINED)
    def test_the_files_say_how_they_came_about(self, name):
        proto = onnx.ModelProto.FromString(shipped(f"{name}.onnx"))
        notes = {item.key: item.value for item in proto.metadata_props}
        assert {"weights", "script", "seed", "torch", "top1_plain", "top1_noisy"} <= set(notes)
        assert notes["script"] == "scripts/train_digits.py"
        typed = {value.name for value in (*proto.graph.value_info, *proto.graph.output)}
        assert typed == {name for node in proto.graph.node for name in node.output}


def picture(side: int, rng: np.random.Generator) -> np.ndarray:
    """Smooth as photographs are: mean 0 and deviation 1, detail at all sizes."""
    total = np.zeros((3, side, side))
    for cells in (4, 16, 64):
        coarse = rng.standard_normal((3, cells, cells))
        repeat = -(-side // cells)
        total += np.kron(coarse, np.ones((1, repeat, repeat)))[:, :side, :side]
    return ((total - total.mean()) / total.std()).astype(np.float32)


class TestRandom:
    @pytest.mark.parametrize("name", RANDOM)
    def test_activations_stay_in_a_sane_range(self, name):
        # VGG-16 at full size would need 2 GB four times over, for its first dense layer alone.
        size = 112 if name == "vgg16" else zoo.info(name).shape[2]
        proto = zoo.load(name, batch=1, image_size=size).to_proto()
        logits = proto.graph.node[-1].input[0]
        intermediate = {name for node in proto.graph.node[:-1] for name in node.output}
        proto.graph.output.extend(v for v in proto.graph.value_info if v.name in intermediate)
        run = session(proto.SerializeToString())
        image = picture(size, np.random.default_rng(0))
        names = [output.name for output in run.get_outputs()]
        found = dict(zip(names, run.run(None, {"image": image[None]}), strict=True))
        probabilities = found.pop("probabilities")
        wild = {
            key: float(values.std())
            for key, values in found.items()
            if not (np.isfinite(values).all() and 1e-2 < values.std() < 1e2)
        }
        assert wild == {}
        assert set(found) == intermediate
        assert 0.7 < found[logits].std() < 6
        assert probabilities.sum() == pytest.approx(1.0, abs=1e-4)
        assert 0.002 < probabilities.max() < 0.8

    def test_outputs_depend_on_the_picture(self):
        run = session(zoo.load("mobilenet_v2").serialize())
        images = np.stack([picture(224, np.random.default_rng(seed)) for seed in (0, 1)])
        (both,) = run.run(None, {"image": images})
        assert np.abs(both[0] - both[1]).max() > 0.05 * both.max()

    @pytest.mark.parametrize("name", ["squeezenet", "shufflenet", "googlenet"])
    def test_any_batch_runs(self, name):
        run = session(zoo.load(name, image_size=64).serialize())
        image = picture(64, np.random.default_rng(0))[None]
        one = run.run(None, {"image": image})[0]
        three = run.run(None, {"image": image.repeat(3, 0)})[0]
        assert three.shape == (3, 1000)
        np.testing.assert_allclose(three, one.repeat(3, 0), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("size", range(7, 21))
@pytest.mark.parametrize(("kernel", "stride", "pad"), [(3, 2, 0), (3, 2, 1), (2, 2, 0), (2, 3, 1)])
def test_partly_filled_windows_are_counted_as_onnx_runtime_does(size, kernel, stride, pad):
    net = Net("pool", (1, size, size))
    made = net.max_pool(net.input, "pool", kernel, stride=stride, pad=pad, ceil=True)
    node = net.nodes[0]
    infos = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [None] * 4)
        for name in ("image", made.name)
    ]
    graph = onnx.helper.make_graph([node], "pool", infos[:1], infos[1:])
    opsets = [onnx.helper.make_opsetid("", 17)]
    model = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8)
    image = np.zeros((1, 1, size, size), np.float32)
    (found,) = session(model.SerializeToString()).run(None, {"image": image})
    assert found.shape[1:] == made.shape
