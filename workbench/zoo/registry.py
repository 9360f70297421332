"""The list of networks and how to get them: trained ones from files, others built from a seed.

Random networks have the structure and the latency of the real ones and no accuracy at all: they
answer "what is fused, how fast is it", never "how good is it". Nothing is downloaded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import TYPE_CHECKING

import onnx

from workbench.text import nearest, shown
from workbench.zoo.architectures import dense, digits, inception, mobile, plain, residual
from workbench.zoo.builder import Net, Tensor

if TYPE_CHECKING:
    import onnx_ir

    from workbench.model import Model


@dataclass(frozen=True)
class Entry:
    """One architecture as the registry knows it."""

    title: str
    paper: str
    write: Callable[[Net, int], Tensor]
    image: tuple[int, int, int] = (3, 224, 224)
    classes: int = 1000
    trained: str = ""
    """What the shipped weights were trained on; empty for random weights."""


@dataclass(frozen=True)
class Info:
    """What there is to say about a network of the zoo before it is loaded."""

    name: str
    title: str
    source: str
    """Paper or script it comes from."""
    trained: bool
    """False: seeded random weights, good for structure and latency, without any accuracy."""
    weights: str
    """The same in words."""
    input: str
    """Name of its only input."""
    shape: tuple[int | str, ...]
    """Shape of that input as `load` gives it by default."""
    output: str
    """Name of its only output."""
    classes: int
    nodes: int
    """Operators, with Conv, BatchNormalization and Relu counted apart."""
    parameters: int
    """Trainable parameters as papers count them: without running means and variances."""
    top1: Mapping[str, float]
    """Accuracy on ``digits()`` ("plain") and ``digits(noisy=True)`` ("noisy"); empty for random
    weights, which have none."""


NETWORKS = MappingProxyType(
    {
        "digits_inception": Entry(
            "Small Inception network for digits", "scripts/train_digits.py",
            digits.inception, (1, 16, 16), 10, "plain digits",
        ),
        "digits_resnet": Entry(
            "Small residual network for noisy digits", "scripts/train_digits.py",
            digits.resnet, (1, 16, 16), 10, "noisy digits",
        ),
        "resnet50": Entry(
            "ResNet-50 (v1.5)", "He et al. 2015, arXiv:1512.03385", residual.resnet50
        ),
        "resnet101": Entry(
            "ResNet-101 (v1.5)", "He et al. 2015, arXiv:1512.03385", residual.resnet101
        ),
        "mobilenet_v1": Entry(
            "MobileNet v1 1.0", "Howard et al. 2017, arXiv:1704.04861", mobile.mobilenet_v1
        ),
        "mobilenet_v2": Entry(
            "MobileNet v2 1.0", "Sandler et al. 2018, arXiv:1801.04381", mobile.mobilenet_v2
        ),
        "vgg16": Entry(
            "VGG-16 (D)", "Simonyan and Zisserman 2014, arXiv:1409.1556", plain.vgg16
        ),
        "alexnet": Entry(
            "AlexNet (one tower)", "Krizhevsky 2014, arXiv:1404.5997", plain.alexnet
        ),
        "googlenet": Entry(
            "GoogLeNet (Inception v1)", "Szegedy et al. 2014, arXiv:1409.4842",
            inception.googlenet,
        ),
        "inception_v3": Entry(
            "Inception v3", "Szegedy et al. 2015, arXiv:1512.00567", inception.inception_v3,
            (3, 299, 299),
        ),
        "resnext50": Entry(
            "ResNeXt-50 32x4d", "Xie et al. 2016, arXiv:1611.05431", residual.resnext50
        ),
        "se_resnext50": Entry(
            "SE-ResNeXt-50 32x4d", "Hu et al. 2017, arXiv:1709.01507", residual.se_resnext50
        ),
        "densenet121": Entry(
            "DenseNet-121", "Huang et al. 2016, arXiv:1608.06993", dense.densenet121
        ),
        "squeezenet": Entry(
            "SqueezeNet 1.1", "Iandola et al. 2016, arXiv:1602.07360", plain.squeezenet
        ),
        "shufflenet": Entry(
            "ShuffleNet v2 1.0x", "Ma et al. 2018, arXiv:1807.11164", mobile.shufflenet
        ),
    }
)  # fmt: skip

ALIASES = MappingProxyType({"inception_v1": "googlenet"})


def names() -> tuple[str, ...]:
    """Every network's name, the trained ones first; aliases are not listed."""
    return tuple(NETWORKS)


def aliases() -> Mapping[str, str]:
    """Other names of networks, and what they stand for."""
    return ALIASES


def info(name: str) -> Info:
    """What there is to say about a network; no weights are made.

    Raises:
        ValueError: no network has this name.
    """
    name, entry = _found(name)
    net, _ = _written(name, entry, entry.image, entry.classes)
    return Info(
        name=name,
        title=entry.title,
        source=entry.paper,
        trained=bool(entry.trained),
        weights=_weights(entry),
        input=net.input.name,
        shape=("N", *entry.image),
        output=_output(entry),
        classes=entry.classes,
        nodes=len(net.nodes),
        parameters=net.parameters,
        top1=_top1(name) if entry.trained else MappingProxyType({}),
    )


def load(
    name: str,
    *,
    seed: int = 0,
    batch: int | str = "N",
    classes: int | None = None,
    image_size: int | None = None,
) -> Model:
    """A network of the zoo.

    The input is ``image``, ``float32``, shape (batch, channels, height, width). Standard
    architectures end in a Softmax, ``probabilities``, and carry random weights: the same seed gives
    the same bytes everywhere. Networks for digits are trained and give ``logits``.

    Args:
        name: one of `names`, or an alias (``inception_v1``).
        seed: of the random weights, from 0.
        batch: extent of the batch: a number, or a name for any number.
        classes: how many; 1000 if left out.
        image_size: height and width; what the paper used if left out.

    Raises:
        ValueError: no network has this name, an argument is out of range, or a trained network is
            asked for with another seed, number of classes or image size.
    """
    from workbench.model import from_proto

    name, entry = _found(name)
    _check(batch, seed, classes, image_size)
    if entry.trained:
        fixed = (0, entry.classes, entry.image[1])
        if (seed, classes or fixed[1], image_size or fixed[2]) != fixed:
            raise ValueError(
                f"{name} is trained: its weights, {fixed[1]} classes and image size {fixed[2]} are "
                "fixed; leave seed, classes and image_size out"
            )
        return from_proto(_shipped(name, batch), name=name)
    return from_proto(_random(name, entry, seed, batch, classes, image_size), name=name)


def _found(name: str) -> tuple[str, Entry]:
    name = ALIASES.get(name, name)
    entry = NETWORKS.get(name)
    if entry is None:
        known = (*NETWORKS, *ALIASES)
        raise ValueError(
            f"the zoo has no network {shown(name)}{nearest(name, known)}; it has {', '.join(known)}"
        )
    return name, entry


def _check(batch: int | str, seed: int | None, classes: int | None, image_size: int | None) -> None:
    for argument, value, least in (
        ("seed", seed, 0), ("classes", classes, 1), ("image_size", image_size, 1),
        ("batch", batch if not isinstance(batch, str) else None, 1),
    ):  # fmt: skip
        whole = isinstance(value, int) and not isinstance(value, bool)
        if value is not None and not (whole and value >= least):
            raise ValueError(
                f"{argument} is {shown(value)}; must be a whole number from {least}"
                + (" or a name for any number" if argument == "batch" else "")
            )
    if isinstance(batch, str) and not batch.isidentifier():
        raise ValueError(f"batch is {shown(batch)}; must be a number or a name such as 'N'")


def _written(
    name: str, entry: Entry, image: tuple[int, int, int], classes: int, batch: int | str = "N"
) -> tuple[Net, Tensor]:
    net = Net(name, image, batch)
    last = entry.write(net, classes)
    if not entry.trained:
        with net.block("head"):
            last = net.softmax(last, "softmax")
    return net, last


def _output(entry: Entry) -> str:
    return "logits" if entry.trained else "probabilities"


def _weights(entry: Entry) -> str:
    if entry.trained:
        return f"trained on {entry.trained}"
    return "random, from a seed: for structure and latency; it has no accuracy"


def _random(
    name: str, entry: Entry, seed: int, batch: int | str, classes: int | None,
    image_size: int | None,
) -> onnx_ir.Model:  # fmt: skip
    side = image_size or entry.image[1]
    net, last = _written(name, entry, (entry.image[0], side, side), classes or entry.classes, batch)
    notes = {
        "title": entry.title, "source": entry.paper, "weights": _weights(entry), "seed": str(seed)
    }  # fmt: skip
    return net.finish(last, _output(entry), seed, notes)


def _shipped(name: str, batch: int | str) -> onnx.ModelProto:
    proto = onnx.ModelProto.FromString(_bytes(name))
    graph = proto.graph
    weights = {tensor.name for tensor in graph.initializer}
    for value in (*graph.input, *graph.output, *graph.value_info):
        if value.name in weights:
            continue
        first = value.type.tensor_type.shape.dim[0]
        if isinstance(batch, str):
            first.dim_param = batch
        else:
            first.dim_value = batch
    return proto


@cache
def _top1(name: str) -> Mapping[str, float]:
    notes = {
        item.key: item.value for item in onnx.ModelProto.FromString(_bytes(name)).metadata_props
    }
    return MappingProxyType({part: float(notes[f"top1_{part}"]) for part in ("plain", "noisy")})


@cache
def _bytes(name: str) -> bytes:
    return resources.files("workbench.zoo").joinpath(f"data/{name}.onnx").read_bytes()
