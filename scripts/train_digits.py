"""Train the zoo's two digits networks and write them, with their held-out pictures, to the package.

Needs the extras [dev] and [torch]; takes about a minute on two cores. Run from anywhere:
``python scripts/train_digits.py``. The networks are written down once, in
`workbench.zoo.architectures.digits`; here that ONNX graph is run by torch, operator by operator,
its weights are trained, and they go back into the same graph. So there is no exporter in between
that could fold or rename anything.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import sklearn
import torch
from onnx import helper, numpy_helper
from PIL import Image
from sklearn.datasets import load_digits
from torch.nn import functional as F

from workbench.zoo.architectures import digits as architectures
from workbench.zoo.builder import Net
from workbench.zoo.images import digits, with_noise

SEED = 7
EPOCHS = 30
BATCH = 64
TEST, CALIBRATION = 450, 150
DATA = Path(__file__).resolve().parents[1] / "workbench" / "zoo" / "data"
NETWORKS = {
    "digits_inception": (architectures.inception, False),
    "digits_resnet": (architectures.resnet, True),
}


def main() -> None:
    """Write `digits.npz` and both networks, and print what they reach."""
    torch.set_num_threads(2)
    torch.use_deterministic_algorithms(True)
    images, labels = write_pictures(DATA / "digits.npz")
    for name, (write, noisy) in NETWORKS.items():
        start = time.perf_counter()
        net = Net(name, (1, 16, 16))
        proto = ir.to_proto(net.finish(write(net, 10), "logits", SEED, {}))
        network = Network(proto, {weight.name for weight in net.weights if weight.trainable})
        train(network, images, labels, noisy)
        helper.set_model_props(proto, record(network, noisy))
        network.give_back(proto)
        onnx.checker.check_model(proto, full_check=True)
        onnx.save(proto, DATA / f"{name}.onnx")
        print(name, f"{time.perf_counter() - start:.0f} s", f"{net.parameters} parameters", end=" ")
        print({item.key: item.value for item in proto.metadata_props if "top1" in item.key})


def write_pictures(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Split the pictures, write the held-out ones, return those to train on with their labels."""
    found = load_digits()
    order = np.random.Generator(np.random.PCG64(SEED)).permutation(len(found.target))
    images = np.stack([_enlarged(found.images[i]) for i in order])
    labels = found.target[order].astype(np.uint8)
    held = TEST + CALIBRATION
    np.savez_compressed(
        path,
        test_images=images[:TEST],
        test_labels=labels[:TEST],
        calibration_images=images[TEST:held],
        calibration_labels=labels[TEST:held],
    )
    return images[held:], labels[held:]


def _enlarged(image: np.ndarray) -> np.ndarray:
    pixels = np.rint(image * (255 / 16)).astype(np.uint8)
    return np.asarray(Image.fromarray(pixels).resize((16, 16), Image.Resampling.BILINEAR))


class Network:
    """An ONNX graph of the few operators the digits networks use, run by torch."""

    def __init__(self, proto: onnx.ModelProto, trainable: set[str]) -> None:
        self.nodes = list(proto.graph.node)
        self.weights = {
            item.name: torch.tensor(numpy_helper.to_array(item).copy())
            for item in proto.graph.initializer
        }
        for name in trainable:
            self.weights[name].requires_grad_()
        self.trained = [self.weights[name] for name in sorted(trainable)]

    def __call__(self, images: torch.Tensor, training: bool = False) -> torch.Tensor:
        """Logits of pictures of shape (b, 1, 16, 16)."""
        values = {**self.weights, "image": images}
        for node in self.nodes:
            arguments = [values[name] for name in node.input]
            options = {item.name: helper.get_attribute_value(item) for item in node.attribute}
            values[node.output[0]] = OPERATORS[node.op_type](arguments, options, training)
        return values["logits"]

    def give_back(self, proto: onnx.ModelProto) -> None:
        """Write the weights into the graph they came from."""
        for item in proto.graph.initializer:
            values = self.weights[item.name].detach().numpy()
            item.CopyFrom(numpy_helper.from_array(values, item.name))


def _batch_norm(
    arguments: list[torch.Tensor], options: dict[str, float], training: bool
) -> torch.Tensor:
    x, gamma, beta, mean, variance = arguments
    return F.batch_norm(x, mean, variance, gamma, beta, training, 0.1, options["epsilon"])


Operator = Callable[[list[torch.Tensor], dict, bool], torch.Tensor]
OPERATORS: dict[str, Operator] = {
    "Conv": lambda a, o, _: F.conv2d(*a, stride=o["strides"], padding=o["pads"][:2]),
    "BatchNormalization": _batch_norm,
    "Relu": lambda a, o, _: F.relu(a[0]),
    "Add": lambda a, o, _: a[0] + a[1],
    "MaxPool": lambda a, o, _: F.max_pool2d(a[0], o["kernel_shape"], o["strides"], o["pads"][:2]),
    "Concat": lambda a, o, _: torch.cat(a, o["axis"]),
    "GlobalAveragePool": lambda a, o, _: a[0].mean((2, 3), keepdim=True),
    "Flatten": lambda a, o, _: a[0].flatten(o["axis"]),
    "Gemm": lambda a, o, _: F.linear(*a),
}


def train(network: Network, images: np.ndarray, labels: np.ndarray, noisy: bool) -> None:
    """Adam with a rate that rises and falls once; fresh noise in every epoch."""
    torch.manual_seed(SEED)
    noise = np.random.PCG64(SEED)
    targets = torch.tensor(labels.astype(np.int64))
    steps = EPOCHS * math.ceil(len(labels) / BATCH)
    optimizer = torch.optim.Adam(network.trained, weight_decay=1e-4)
    rate = torch.optim.lr_scheduler.OneCycleLR(optimizer, 5e-3, total_steps=steps)
    for _ in range(EPOCHS):
        pixels = with_noise(images, noise) if noisy else images
        inputs = torch.tensor(pixels[:, None].astype(np.float32) * np.float32(1 / 255))
        for batch in torch.randperm(len(targets)).split(BATCH):
            optimizer.zero_grad()
            logits = network(inputs[batch], training=True)
            F.cross_entropy(logits, targets[batch]).backward()
            optimizer.step()
            rate.step()


def record(network: Network, noisy: bool) -> dict[str, str]:
    """How the network came about, for its metadata."""
    return {
        "weights": f"trained on {'noisy' if noisy else 'plain'} digits",
        "script": "scripts/train_digits.py",
        "data": "scikit-learn load_digits (UCI, Optical Recognition of Handwritten Digits)",
        "seed": str(SEED),
        "epochs": str(EPOCHS),
        "torch": torch.__version__.split("+")[0],
        "scikit-learn": sklearn.__version__,
        "top1_plain": f"{accuracy(network, noisy=False):.4f}",
        "top1_noisy": f"{accuracy(network, noisy=True):.4f}",
    }


@torch.no_grad()
def accuracy(network: Network, noisy: bool) -> float:
    """Part of the held-out test pictures that get their own label."""
    return float(np.mean(np.concatenate(list(_hits(network, noisy)))))


def _hits(network: Network, noisy: bool) -> Iterator[np.ndarray]:
    for images, labels in digits(noisy=noisy).batches(200):
        yield network(torch.tensor(images)).argmax(1).numpy() == labels


if __name__ == "__main__":
    main()
