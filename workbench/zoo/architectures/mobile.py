"""Networks for telephones: MobileNet v1 and v2, ShuffleNet v2."""

from __future__ import annotations

from workbench.zoo.architectures.common import BRANCH_GAIN, classifier, conv_bn, conv_bn_relu
from workbench.zoo.builder import Net, Tensor

MOBILENET_V1 = (
    (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), (512, 1), (512, 1), (512, 1),
    (512, 1), (512, 1), (1024, 2), (1024, 1),
)  # fmt: skip
"""Channels and stride of each depthwise separable block, Table 1 of the paper."""

MOBILENET_V2 = (
    (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2),
    (6, 320, 1, 1),
)  # fmt: skip
"""Expansion, channels, repeats and first stride, Table 2 of the paper."""


def mobilenet_v1(net: Net, classes: int) -> Tensor:
    """Howard 2017, width 1.0."""
    x = conv_bn_relu(net, net.input, "conv1", 32, 3, stride=2)
    for number, (channels, stride) in enumerate(MOBILENET_V1, start=1):
        with net.block(f"block_{number}"):
            x = conv_bn_relu(net, x, "depthwise", x.channels, 3, stride=stride, groups=x.channels)
            x = conv_bn_relu(net, x, "pointwise", channels)
    return classifier(net, x, classes)


def mobilenet_v2(net: Net, classes: int) -> Tensor:
    """Sandler 2018, width 1.0: inverted residuals, Relu6, linear bottlenecks."""
    x = conv_bn_relu(net, net.input, "conv1", 32, 3, stride=2, six=True)
    number = 0
    for expansion, channels, repeats, first in MOBILENET_V2:
        for repeat in range(repeats):
            number += 1
            with net.block(f"block_{number}"):
                x = _inverted(net, x, expansion, channels, 1 if repeat else first)
    x = conv_bn_relu(net, x, "conv_last", 1280, six=True)
    return classifier(net, x, classes)


def _inverted(net: Net, x: Tensor, expansion: int, channels: int, stride: int) -> Tensor:
    y = x
    width = x.channels * expansion
    if expansion > 1:
        y = conv_bn_relu(net, y, "expand", width, six=True)
    y = conv_bn_relu(net, y, "depthwise", width, 3, stride=stride, groups=width, six=True)
    joins = stride == 1 and x.channels == channels
    y = conv_bn(net, y, "project", channels, gain=BRANCH_GAIN if joins else 1.0)
    return net.add(x, y, "add") if joins else y


def shufflenet(net: Net, classes: int) -> Tensor:
    """Ma 2018, ShuffleNet v2 1.0x: half of the channels pass each block, then all are shuffled."""
    x = conv_bn_relu(net, net.input, "conv1", 24, 3, stride=2)
    x = net.max_pool(x, "pool1", 3, stride=2, pad=1)
    for stage, channels, repeats in ((2, 116, 4), (3, 232, 8), (4, 464, 4)):
        for block in range(repeats):
            with net.block(f"stage{stage}_{block}"):
                x = _shuffled(net, x, channels, reduce=block == 0)
    x = conv_bn_relu(net, x, "conv5", 1024)
    return classifier(net, x, classes)


def _shuffled(net: Net, x: Tensor, channels: int, reduce: bool) -> Tensor:
    width = channels // 2
    if reduce:
        left = conv_bn(net, x, "left_depthwise", x.channels, 3, stride=2, groups=x.channels)
        left = conv_bn_relu(net, left, "left_pointwise", width)
        right = x
    else:
        left, right = net.halves(x, "split")
    right = conv_bn_relu(net, right, "right_1", width)
    stride = 2 if reduce else 1
    right = conv_bn(net, right, "right_depthwise", width, 3, stride=stride, groups=width)
    right = conv_bn_relu(net, right, "right_2", width)
    return net.shuffle(net.concat([left, right], "concat"), "shuffle", 2)
