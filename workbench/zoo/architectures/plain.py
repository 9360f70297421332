"""Networks that are one chain of layers, and SqueezeNet, which nearly is."""

from __future__ import annotations

from workbench.zoo.architectures.common import LOGIT_DEVIATION, conv_relu
from workbench.zoo.builder import Net, Tensor


def alexnet(net: Net, classes: int) -> Tensor:
    """Krizhevsky 2014, "One weird trick": one tower, no LRN, as torchvision's."""
    x = conv_relu(net, net.input, "conv1", 64, 11, stride=4, pad=2)
    x = net.max_pool(x, "pool1", 3, stride=2)
    x = conv_relu(net, x, "conv2", 192, 5)
    x = net.max_pool(x, "pool2", 3, stride=2)
    x = conv_relu(net, x, "conv3", 384, 3)
    x = conv_relu(net, x, "conv4", 256, 3)
    x = conv_relu(net, x, "conv5", 256, 3)
    x = net.max_pool(x, "pool5", 3, stride=2)
    return _fully_connected(net, x, classes)


def vgg16(net: Net, classes: int) -> Tensor:
    """Simonyan and Zisserman 2014, configuration D."""
    x = net.input
    for block, (channels, layers) in enumerate([(64, 2), (128, 2), (256, 3), (512, 3), (512, 3)]):
        for layer in range(layers):
            x = conv_relu(net, x, f"conv{block + 1}_{layer + 1}", channels, 3)
        x = net.max_pool(x, f"pool{block + 1}", 2, stride=2)
    return _fully_connected(net, x, classes)


def _fully_connected(net: Net, x: Tensor, classes: int) -> Tensor:
    x = net.flatten(x, "flatten")
    for name in ("fc6", "fc7"):
        with net.block(name):
            x = net.relu(net.dense(x, "fc", 4096), "relu")
    with net.block("fc8"):
        return net.dense(x, "fc", classes, target=LOGIT_DEVIATION)


def squeezenet(net: Net, classes: int) -> Tensor:
    """Iandola 2016, version 1.1: fire modules squeeze to few channels, then expand twice."""
    x = conv_relu(net, net.input, "conv1", 64, 3, stride=2, pad=0)
    x = net.max_pool(x, "pool1", 3, stride=2, ceil=True)
    for number, squeeze, expand in ((2, 16, 64), (3, 16, 64)):
        x = _fire(net, x, f"fire{number}", squeeze, expand)
    x = net.max_pool(x, "pool3", 3, stride=2, ceil=True)
    for number, squeeze, expand in ((4, 32, 128), (5, 32, 128)):
        x = _fire(net, x, f"fire{number}", squeeze, expand)
    x = net.max_pool(x, "pool5", 3, stride=2, ceil=True)
    for number, squeeze, expand in ((6, 48, 192), (7, 48, 192), (8, 64, 256), (9, 64, 256)):
        x = _fire(net, x, f"fire{number}", squeeze, expand)
    # The average of rectified values has a large common part; the target makes up for it.
    x = conv_relu(net, x, "conv10", classes, target=1.5 * LOGIT_DEVIATION)
    return net.flatten(net.global_pool(x, "pool10"), "flatten")


def _fire(net: Net, x: Tensor, name: str, squeeze: int, expand: int) -> Tensor:
    with net.block(name):
        x = conv_relu(net, x, "squeeze1x1", squeeze)
        parts = [
            conv_relu(net, x, "expand1x1", expand),
            conv_relu(net, x, "expand3x3", expand, 3),
        ]
        return net.concat(parts, "concat")
