"""GoogLeNet (Inception v1) and Inception v3: parallel branches joined by Concat."""

from __future__ import annotations

from functools import partial

from workbench.zoo.architectures.common import classifier, conv_bn_relu, conv_relu
from workbench.zoo.builder import Net, Pair, Tensor

_conv = partial(conv_bn_relu, epsilon=1e-3)

GOOGLENET = (
    ("3a", 64, 96, 128, 16, 32, 32), ("3b", 128, 128, 192, 32, 96, 64), ("pool3",),
    ("4a", 192, 96, 208, 16, 48, 64), ("4b", 160, 112, 224, 24, 64, 64),
    ("4c", 128, 128, 256, 24, 64, 64), ("4d", 112, 144, 288, 32, 64, 64),
    ("4e", 256, 160, 320, 32, 128, 128), ("pool4",),
    ("5a", 256, 160, 320, 32, 128, 128), ("5b", 384, 192, 384, 48, 128, 128),
)  # fmt: skip
"""Table 1 of the paper: 1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5, pool projection."""


def googlenet(net: Net, classes: int) -> Tensor:
    """Szegedy 2014: biases, LRN, no batch normalization, true 5x5 convolutions, as published."""
    x = conv_relu(net, net.input, "conv1", 64, 7, stride=2)
    x = net.lrn(net.max_pool(x, "pool1", 3, stride=2, ceil=True), "norm1")
    x = conv_relu(net, x, "conv2_reduce", 64)
    x = net.lrn(conv_relu(net, x, "conv2", 192, 3), "norm2")
    x = net.max_pool(x, "pool2", 3, stride=2, ceil=True)
    for name, *widths in GOOGLENET:
        if not widths:
            x = net.max_pool(x, name, 3, stride=2, ceil=True)
            continue
        with net.block(f"inception_{name}"):
            x = _inception_v1(net, x, *widths)
    return classifier(net, x, classes)


def _inception_v1(
    net: Net, x: Tensor, one: int, three_reduce: int, three: int, five_reduce: int, five: int,
    pooled: int,
) -> Tensor:  # fmt: skip
    first = conv_relu(net, x, "1x1", one)
    second = conv_relu(net, conv_relu(net, x, "3x3_reduce", three_reduce), "3x3", three, 3)
    third = conv_relu(net, conv_relu(net, x, "5x5_reduce", five_reduce), "5x5", five, 5)
    fourth = net.max_pool(x, "pool", 3, stride=1, pad=1)
    fourth = conv_relu(net, fourth, "pool_proj", pooled)
    return net.concat([first, second, third, fourth], "concat")


def inception_v3(net: Net, classes: int) -> Tensor:
    """Szegedy 2015, "Rethinking the Inception architecture", as torchvision's without auxiliary."""
    x = _conv(net, net.input, "conv1a", 32, 3, stride=2, pad=0)
    x = _conv(net, x, "conv2a", 32, 3, pad=0)
    x = _conv(net, x, "conv2b", 64, 3)
    x = net.max_pool(x, "pool1", 3, stride=2)
    x = _conv(net, x, "conv3b", 80)
    x = _conv(net, x, "conv4a", 192, 3, pad=0)
    x = net.max_pool(x, "pool2", 3, stride=2)
    for name, pooled in (("5b", 32), ("5c", 64), ("5d", 64)):
        x = _block_a(net, x, f"mixed_{name}", pooled)
    x = _reduction_a(net, x, "mixed_6a")
    for name, width in (("6b", 128), ("6c", 160), ("6d", 160), ("6e", 192)):
        x = _block_b(net, x, f"mixed_{name}", width)
    x = _reduction_b(net, x, "mixed_7a")
    for name in ("7b", "7c"):
        x = _block_c(net, x, f"mixed_{name}")
    return classifier(net, x, classes)


def _block_a(net: Net, x: Tensor, name: str, pooled: int) -> Tensor:
    with net.block(name):
        parts = [
            _conv(net, x, "1x1", 64),
            _chain(net, x, "5x5", (48, 1), (64, 5)),
            _chain(net, x, "3x3dbl", (64, 1), (96, 3), (96, 3)),
            _pooled(net, x, pooled),
        ]
        return net.concat(parts, "concat")


def _reduction_a(net: Net, x: Tensor, name: str) -> Tensor:
    with net.block(name):
        double = _chain(net, x, "3x3dbl", (64, 1), (96, 3))
        parts = [
            _conv(net, x, "3x3", 384, 3, stride=2, pad=0),
            _conv(net, double, "3x3dbl_3", 96, 3, stride=2, pad=0),
            net.max_pool(x, "pool", 3, stride=2),
        ]
        return net.concat(parts, "concat")


def _block_b(net: Net, x: Tensor, name: str, width: int) -> Tensor:
    """Convolutions of 7x7 taken apart into 1x7 and 7x1."""
    flat, tall = (1, 7), (7, 1)
    with net.block(name):
        parts = [
            _conv(net, x, "1x1", 192),
            _chain(net, x, "7x7", (width, 1), (width, flat), (192, tall)),
            _chain(
                net, x, "7x7dbl", (width, 1), (width, tall), (width, flat), (width, tall),
                (192, flat),
            ),
            _pooled(net, x, 192),
        ]  # fmt: skip
        return net.concat(parts, "concat")


def _reduction_b(net: Net, x: Tensor, name: str) -> Tensor:
    with net.block(name):
        three = _conv(net, x, "3x3_1", 192)
        seven = _chain(net, x, "7x7x3", (192, 1), (192, (1, 7)), (192, (7, 1)))
        parts = [
            _conv(net, three, "3x3_2", 320, 3, stride=2, pad=0),
            _conv(net, seven, "7x7x3_4", 192, 3, stride=2, pad=0),
            net.max_pool(x, "pool", 3, stride=2),
        ]
        return net.concat(parts, "concat")


def _block_c(net: Net, x: Tensor, name: str) -> Tensor:
    """Branches that fork once more, into 1x3 and 3x1."""
    with net.block(name):
        three = _conv(net, x, "3x3_1", 384)
        double = _chain(net, x, "3x3dbl", (448, 1), (384, 3))
        forks = [
            net.concat(
                [
                    _conv(net, tensor, f"{branch}_1x3", 384, (1, 3)),
                    _conv(net, tensor, f"{branch}_3x1", 384, (3, 1)),
                ],
                f"{branch}_concat",
            )
            for branch, tensor in (("3x3", three), ("3x3dbl", double))
        ]
        parts = [_conv(net, x, "1x1", 320), *forks, _pooled(net, x, 192)]
        return net.concat(parts, "concat")


def _chain(net: Net, x: Tensor, name: str, *layers: tuple[int, Pair]) -> Tensor:
    for number, (channels, kernel) in enumerate(layers, start=1):
        x = _conv(net, x, f"{name}_{number}", channels, kernel)
    return x


def _pooled(net: Net, x: Tensor, channels: int) -> Tensor:
    x = net.average_pool(x, "pool", 3, stride=1, pad=1)
    return _conv(net, x, "pool_proj", channels)
