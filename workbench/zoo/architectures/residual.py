"""Residual networks: ResNet, ResNeXt, SE-ResNeXt."""

from __future__ import annotations

from collections.abc import Sequence

from workbench.zoo.architectures.common import BRANCH_GAIN, classifier, conv_bn, conv_bn_relu
from workbench.zoo.builder import Net, Tensor


def resnet50(net: Net, classes: int) -> Tensor:
    """He 2015; the stride sits on the 3x3 convolution (v1.5), as frameworks have it."""
    return _bottlenecks(net, classes, (3, 4, 6, 3))


def resnet101(net: Net, classes: int) -> Tensor:
    """He 2015, 101 layers."""
    return _bottlenecks(net, classes, (3, 4, 23, 3))


def resnext50(net: Net, classes: int) -> Tensor:
    """Xie 2016, 32x4d: grouped 3x3 convolutions of 32 groups of 4 channels."""
    return _bottlenecks(net, classes, (3, 4, 6, 3), width=128, groups=32)


def se_resnext50(net: Net, classes: int) -> Tensor:
    """Hu 2017: ResNeXt-50 32x4d with squeeze-and-excitation, reduction 16."""
    return _bottlenecks(net, classes, (3, 4, 6, 3), width=128, groups=32, squeeze=16)


def _bottlenecks(
    net: Net, classes: int, depths: Sequence[int], *, width: int = 64, groups: int = 1,
    squeeze: int = 0,
) -> Tensor:  # fmt: skip
    x = conv_bn_relu(net, net.input, "conv1", 64, 7, stride=2)
    x = net.max_pool(x, "pool1", 3, stride=2, pad=1)
    for stage, depth in enumerate(depths):
        for block in range(depth):
            with net.block(f"layer{stage + 1}_{block}"):
                stride = 2 if stage > 0 and block == 0 else 1
                scale = 2**stage
                x = _bottleneck(net, x, width * scale, 256 * scale, stride, groups, squeeze)
    return classifier(net, x, classes)


def _bottleneck(
    net: Net, x: Tensor, width: int, channels: int, stride: int, groups: int, squeeze: int
) -> Tensor:
    y = conv_bn_relu(net, x, "a", width)
    y = conv_bn_relu(net, y, "b", width, 3, stride=stride, groups=groups)
    # A gate halves its input, so the branch that has one starts twice as large.
    y = conv_bn(net, y, "c", channels, gain=2 * BRANCH_GAIN if squeeze else BRANCH_GAIN)
    if squeeze:
        y = _excited(net, y, squeeze)
    if stride > 1 or x.channels != channels:
        x = conv_bn(net, x, "shortcut", channels, stride=stride)
    return net.relu(net.add(x, y, "add"), "relu")


def _excited(net: Net, x: Tensor, reduction: int) -> Tensor:
    with net.block("se"):
        gate = net.global_pool(x, "pool")
        gate = net.relu(net.conv(gate, "reduce", x.channels // reduction, bias=True), "relu")
        gate = net.sigmoid(net.conv(gate, "expand", x.channels, bias=True), "sigmoid")
        return net.gate(x, gate, "scale")
