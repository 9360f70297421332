"""The zoo: published sizes, true shapes, the same bytes for the same seed, and the digits."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import time

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from sklearn.datasets import load_digits

from workbench import zoo
from workbench.zoo import registry
from workbench.zoo.images import NOISE
from workbench.zoo.weights import Spread, Weight

PUBLISHED = {
    "resnet50": 25_557_032,
    "resnet101": 44_549_160,
    "mobilenet_v1": 4_231_976,
    "mobilenet_v2": 3_504_872,
    "vgg16": 138_357_544,
    "alexnet": 61_100_840,
    "googlenet": 6_998_552,
    "inception_v3": 23_834_568,
    "resnext50": 25_028_904,
    "se_resnext50": 27_559_896,
    "densenet121": 7_978_856,
    "squeezenet": 1_235_496,
    "shufflenet": 2_278_604,
}
"""torchvision's counts for its own networks; for MobileNet v1, GoogLeNet and SE-ResNeXt those of
the authors' releases (TensorFlow slim, Caffe's bvlc_googlenet, Cadene's port)."""

RANDOM = tuple(PUBLISHED)


class TestRegistry:
    def test_every_name_has_its_facts(self):
        assert set(zoo.names()) == {*PUBLISHED, "digits_inception", "digits_resnet"}
        for name in zoo.names():
            info = zoo.info(name)
            assert info.trained == name.startswith("digits")
            assert bool(info.top1) == info.trained
            assert ("no accuracy" in info.weights) != info.trained
            assert info.source

    @pytest.mark.parametrize("name", RANDOM)
    def test_parameters_are_the_published_ones(self, name):
        assert zoo.info(name).parameters == PUBLISHED[name]

    def test_facts_are_those_of_the_model(self):
        for name in ("squeezenet", "digits_resnet"):
            info, model = zoo.info(name), zoo.load(name)
            (image,), (output,) = model.graph.inputs, model.graph.outputs
            assert (info.input, info.shape, info.output) == (image.name, image.shape, output.name)
            assert info.nodes == len(model.graph.nodes)
            assert output.shape == ("N", info.classes)
            stored = sum(spec.elements or 0 for spec in model.graph.initializers)
            running = sum(
                model.weights(node.inputs[i]).size
                for node in model.graph.nodes
                if node.op_type == "BatchNormalization"
                for i in (3, 4)
            )
            assert info.parameters == stored - running

    def test_an_alias_is_the_same_network(self):
        assert zoo.info("inception_v1") == zoo.info("googlenet")
        assert "inception_v1" not in zoo.names()

    def test_an_unknown_name(self):
        with pytest.raises(ValueError, match=r"no network resnet5.*did you mean resnet50\?"):
            zoo.load("resnet5")
        with pytest.raises(ValueError, match=r"\\x1b"):
            zoo.info("\x1b[0m")

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            ({"seed": -1}, "seed is -1"), ({"seed": 1.5}, "seed"), ({"classes": 0}, "classes is 0"),
            ({"batch": 0}, "batch is 0"), ({"batch": "a b"}, "batch is a b"),
            ({"batch": True}, "batch"), ({"image_size": 0}, "image_size is 0"),
            ({"image_size": 20}, "image_size 20 is too small for squeezenet.*pool5"),
        ],
    )  # fmt: skip
    def test_arguments_out_of_range(self, arguments, words):
        with pytest.raises(ValueError, match=words):
            zoo.load("squeezenet", **arguments)

    @pytest.mark.parametrize("argument", ["seed", "classes", "image_size"])
    def test_what_training_fixed_cannot_be_changed(self, argument):
        with pytest.raises(ValueError, match="digits_resnet is trained"):
            zoo.load("digits_resnet", **{argument: 17})

    def test_what_training_fixed_may_be_said(self):
        said = zoo.load("digits_resnet", seed=0, classes=10, image_size=16)
        assert said.digest == zoo.load("digits_resnet").digest


class TestStructure:
    @pytest.mark.parametrize("name", zoo.names())
    @pytest.mark.parametrize("batch", ["N", 4])
    def test_declared_shapes_are_those_onnx_infers(self, name, batch):
        entry = registry.NETWORKS[name]
        net, last = registry._written(name, entry, entry.image, entry.classes, batch)
        # Weights as inputs: inference needs their shapes, and values only of the constants.
        values = [w for w in net.weights if w.values is not None]
        shapes = {w.name: w.shape for w in net.weights if w.values is None}
        graph = helper.make_graph(
            net.nodes,
            name,
            [
                helper.make_tensor_value_info(key, TensorProto.FLOAT, shape)
                for key, shape in {"image": (batch, *entry.image), **shapes}.items()
            ],
            [helper.make_tensor_value_info(last.name, TensorProto.FLOAT, (batch, *last.shape))],
            [numpy_helper.from_array(w.make(0), w.name) for w in values],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.checker.check_model(model, full_check=True)
        inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True, check_type=True)
        found = {
            value.name: tuple(
                dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim
            )
            for value in (*inferred.graph.value_info, *inferred.graph.output)
        }
        assert found == {tensor.name: (batch, *tensor.shape) for tensor in net.tensors}

    @pytest.mark.parametrize("name", zoo.names())
    def test_names_are_unique_and_readable(self, name):
        entry = registry.NETWORKS[name]
        net, _ = registry._written(name, entry, entry.image, entry.classes)
        nodes = [node.name for node in net.nodes]
        weights = [weight.name for weight in net.weights]
        assert len({*nodes}) == len(nodes)
        assert len({*weights}) == len(weights)
        assert all(key.isascii() and " " not in key for key in (*nodes, *weights))

    def test_blocks_are_named_as_in_the_paper(self):
        names = {node.name for node in zoo.load("googlenet").graph.nodes}
        assert {"inception_3a/1x1/conv", "inception_3a/1x1/relu", "inception_5b/concat"} <= names
        assert "layer1_0/a/bn" in {node.name for node in zoo.load("resnet50").graph.nodes}

    @pytest.mark.parametrize("name", ["digits_inception", "digits_resnet", "mobilenet_v2"])
    def test_conv_batch_norm_and_relu_stay_apart(self, name):
        graph = zoo.load(name).graph
        for node in graph.nodes:
            if node.op_type == "BatchNormalization":
                before = graph.nodes[graph.producer[node.inputs[0]]]
                assert before.op_type == "Conv"

    @pytest.mark.parametrize("name", ["digits_inception", "squeezenet"])
    @pytest.mark.parametrize("batch", [1, 8, "batch"])
    def test_the_batch_is_as_asked(self, name, batch):
        model = zoo.load(name, batch=batch)
        tensors = [*model.graph.inputs, *model.graph.outputs, *model.graph.tensors]
        made = {spec.name: spec for spec in tensors}
        for node in model.graph.nodes:
            shape = made[node.outputs[0]].shape
            assert shape is not None
            assert shape[0] == batch

    def test_classes_and_image_size(self):
        model = zoo.load("squeezenet", classes=7, image_size=96)
        assert model.graph.inputs[0].shape == ("N", 3, 96, 96)
        assert model.graph.outputs[0].shape == ("N", 7)

    def test_another_number_of_classes_changes_the_last_layer_only(self):
        few, many = zoo.load("squeezenet", classes=7), zoo.load("squeezenet", classes=9)
        assert np.array_equal(few.weights("conv1/conv/weight"), many.weights("conv1/conv/weight"))

    def test_notes_say_that_there_is_no_accuracy(self):
        notes = {item.key: item.value for item in zoo.load("squeezenet").to_proto().metadata_props}
        assert "no accuracy" in notes["weights"]
        assert notes["seed"] == "0"


class TestSeeds:
    def test_two_processes_make_the_same_bytes(self):
        program = (
            "import hashlib; from workbench import zoo\n"
            "for name in ('squeezenet', 'shufflenet'):\n"
            "    print(hashlib.sha256(zoo.load(name, seed=3).serialize()).hexdigest())"
        )
        ran = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True
        )
        mine = [
            hashlib.sha256(zoo.load(name, seed=3).serialize()).hexdigest()
            for name in ("squeezenet", "shufflenet")
        ]
        assert ran.stdout.split() == mine

    def test_another_seed_makes_other_weights(self):
        digests = {zoo.load("squeezenet", seed=seed).digest for seed in range(3)}
        assert len(digests) == 3

    def test_weights_are_the_same_on_every_machine(self):
        made = Weight("conv/weight", (64, 3, 7, 7), 0.5, 0.1234).make(5)
        assert made.dtype == np.float32
        assert made.shape == (64, 3, 7, 7)
        digest = hashlib.sha256(made.astype("<f4").tobytes()).hexdigest()
        assert digest == "e3fb0ab8fb410f7aaf177b46a54d97a24faf05bb7f0daf7b71218616fd12bf3d"

    def test_weights_fill_their_range_evenly(self):
        made = Weight("w", (100_003,), 1.0, 0.3).make(0)
        assert 0.7 <= made.min() < 0.701
        assert 1.299 < made.max() <= 1.3
        assert made.mean() == pytest.approx(1.0, abs=0.003)
        assert made.std() == pytest.approx(0.3 / 3**0.5, rel=0.01)

    def test_names_give_independent_streams(self):
        a, b = (Weight(name, (10_000,), 0.0, 1.0).make(0) for name in ("a", "b"))
        assert abs(np.corrcoef(a, b)[0, 1]) < 0.04


class TestSpread:
    @pytest.mark.parametrize(("mean", "variance"), [(0.0, 1.0), (0.7, 0.5), (-1.0, 4.0)])
    def test_rectified_moments(self, mean, variance):
        sample = np.random.default_rng(0).normal(mean, variance**0.5, 400_000)
        found = Spread(mean, variance).rectified()
        assert found.mean == pytest.approx(np.maximum(sample, 0).mean(), rel=0.02)
        assert found.variance == pytest.approx(np.maximum(sample, 0).var(), rel=0.02)

    def test_reach_gives_the_target(self):
        rng = np.random.default_rng(0)
        x = rng.normal(0.4, 0.6, (2000, 300))
        reach = Spread(0.4, 0.36).reach(300, 2.0)
        sums = x @ rng.uniform(-reach, reach, (300, 200))
        assert sums.std() == pytest.approx(2.0, rel=0.05)


def test_the_largest_network_is_built_without_copies():
    # About 1.5 s of processor time; drawing normal numbers or copying weights would take 8 s.
    start = time.process_time()
    model = zoo.load("vgg16")
    assert time.process_time() - start < 5.0
    assert model.weight_bytes > 4 * PUBLISHED["vgg16"]


class TestDigits:
    def test_sizes(self):
        for noisy, part, count in (
            (False, "test", 450), (True, "test", 3600), (False, "calibration", 150),
            (True, "calibration", 150),
        ):  # fmt: skip
            data = zoo.digits(noisy=noisy, part=part)
            assert len(data) == count
            assert data.classes == 10
            images, labels = next(data.batches(7))
            assert images.shape == (7, 1, 16, 16)
            assert images.dtype == np.float32
            assert labels.shape == (7,)

    def test_another_part(self):
        with pytest.raises(ValueError, match="'train'"):
            zoo.digits(part="train")  # type: ignore[arg-type]

    def test_pictures_are_scikit_learns_with_their_labels_each_once(self):
        source = load_digits()
        known = {}
        for image, label in zip(source.images, source.target, strict=True):
            pixels = np.rint(image * (255 / 16)).astype(np.uint8)
            enlarged = Image.fromarray(pixels).resize((16, 16), Image.Resampling.BILINEAR)
            known[np.asarray(enlarged).tobytes()] = int(label)
        held = []
        for part in ("test", "calibration"):
            images, labels = next(zoo.digits(part=part).batches(999))
            pixels = np.rint(images * 255).astype(np.uint8)
            keys = [image.tobytes() for image in pixels]
            assert [known[key] for key in keys] == labels.tolist()
            held += keys
        assert len(set(held)) == len(held) == 600

    def test_noise_has_its_deviation_and_each_copy_its_own(self):
        (plain, labels), (noisy, noisy_labels) = (
            next(zoo.digits(noisy=noisy).batches(9999)) for noisy in (False, True)
        )
        noise = noisy.reshape(8, 450, -1) - plain.reshape(1, 450, -1)
        assert noise.mean() == pytest.approx(0.0, abs=0.002)
        assert noise.std() == pytest.approx(NOISE, rel=0.005)
        assert abs(np.corrcoef(noise[0].ravel(), noise[1].ravel())[0, 1]) < 0.01
        assert noisy_labels.tolist() == labels.tolist() * 8

    def test_pictures_are_the_same_on_every_machine(self):
        images, _ = next(zoo.digits(noisy=True).batches(100))
        grid = np.rint(images * 255)
        assert np.abs(images * 255 - grid).max() < 1e-3
        digest = hashlib.sha256(grid.astype("<i2").tobytes()).hexdigest()
        assert digest == "7ccdadda8d7e0ef62117722dfb3c309b1ce90663e92cdaedfefda511fa506496"

    def test_everything_shipped_is_below_a_megabyte(self):
        from importlib import resources

        files = list(resources.files("workbench.zoo").joinpath("data").iterdir())
        assert {file.name for file in files} == {
            "digits.npz", "digits_inception.onnx", "digits_resnet.onnx",
        }  # fmt: skip
        assert sum(len(file.read_bytes()) for file in files) < 1 << 20
