"""DenseNet: every layer reads all layers before it in its block."""

from __future__ import annotations

from workbench.zoo.architectures.common import classifier, conv_bn_relu
from workbench.zoo.builder import Net, Tensor

GROWTH = 32


def densenet121(net: Net, classes: int) -> Tensor:
    """Huang 2016, DenseNet-BC with growth 32 and compression 0.5."""
    x = conv_bn_relu(net, net.input, "conv1", 64, 7, stride=2)
    x = net.max_pool(x, "pool1", 3, stride=2, pad=1)
    for number, layers in enumerate((6, 12, 24, 16), start=1):
        if number > 1:
            with net.block(f"transition_{number - 1}"):
                x = net.conv(_normalized(net, x), "conv", x.channels // 2)
                x = net.average_pool(x, "pool", 2, stride=2)
        for layer in range(1, layers + 1):
            with net.block(f"dense_{number}_{layer}"):
                x = _layer(net, x)
    with net.block("last"):
        x = _normalized(net, x)
    return classifier(net, x, classes)


def _layer(net: Net, x: Tensor) -> Tensor:
    with net.block("bottleneck"):
        y = net.conv(_normalized(net, x), "conv", 4 * GROWTH)
    with net.block("grow"):
        y = net.conv(_normalized(net, y), "conv", GROWTH, 3)
    return net.concat([x, y], "concat")


def _normalized(net: Net, x: Tensor) -> Tensor:
    return net.relu(net.batch_norm(x, "bn"), "relu")
