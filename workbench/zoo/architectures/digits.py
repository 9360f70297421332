"""The two small networks that are trained and shipped: 16 x 16 grey digits, ten classes."""

from __future__ import annotations

from workbench.zoo.architectures.common import classifier, conv_bn, conv_bn_relu
from workbench.zoo.builder import Net, Tensor


def inception(net: Net, classes: int) -> Tensor:
    """Two blocks of four parallel branches, joined by Concat, with pooling between."""
    x = conv_bn_relu(net, net.input, "stem", 16, 3)
    x = _mixed(net, x, "inception_a", 12, (8, 16), (4, 8), 12)
    x = net.max_pool(x, "pool_a", 2, stride=2)
    x = _mixed(net, x, "inception_b", 24, (24, 48), (8, 24), 24)
    x = net.max_pool(x, "pool_b", 2, stride=2)
    return classifier(net, x, classes)


def _mixed(
    net: Net, x: Tensor, name: str, one: int, three: tuple[int, int], five: tuple[int, int],
    pooled: int,
) -> Tensor:  # fmt: skip
    with net.block(name):
        first = conv_bn_relu(net, x, "1x1", one)
        second = conv_bn_relu(net, x, "3x3_reduce", three[0])
        second = conv_bn_relu(net, second, "3x3", three[1], 3)
        third = conv_bn_relu(net, x, "5x5_reduce", five[0])
        third = conv_bn_relu(net, third, "5x5", five[1], 5)
        fourth = net.max_pool(x, "pool", 3, stride=1, pad=1)
        fourth = conv_bn_relu(net, fourth, "pool_proj", pooled)
        return net.concat([first, second, third, fourth], "concat")


def resnet(net: Net, classes: int) -> Tensor:
    """A stem and four residual blocks, the third with a projection on its shortcut."""
    x = conv_bn_relu(net, net.input, "stem", 24, 3)
    x = _residual(net, x, "block_1", 24)
    x = _residual(net, x, "block_2", 24)
    x = _residual(net, x, "block_3", 48, stride=2)
    x = _residual(net, x, "block_4", 48)
    return classifier(net, x, classes)


def _residual(net: Net, x: Tensor, name: str, channels: int, stride: int = 1) -> Tensor:
    with net.block(name):
        y = conv_bn_relu(net, x, "a", channels, 3, stride=stride)
        y = conv_bn(net, y, "b", channels, 3)
        if stride > 1 or x.channels != channels:
            x = conv_bn(net, x, "shortcut", channels, stride=stride)
        return net.relu(net.add(x, y, "add"), "relu")
