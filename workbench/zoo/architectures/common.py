"""What most architectures share: Conv, BatchNormalization and Relu in a row, and the classifier."""

from __future__ import annotations

from typing import Any

from workbench.zoo.builder import Net, Pair, Tensor

LOGIT_DEVIATION = 2.0
"""Spread of random logits: a softmax over 1000 classes then prefers some and saturates nowhere."""

BRANCH_GAIN = 0.5
"""Scale of what a residual branch adds, so that 33 of them do not drown the picture."""


def conv_bn(
    net: Net, x: Tensor, name: str, channels: int, kernel: Pair = 1, *, gain: float = 1.0,
    epsilon: float = 1e-5, **options: Any,
) -> Tensor:  # fmt: skip
    """Conv without bias, then BatchNormalization: ``name/conv``, ``name/bn``."""
    with net.block(name):
        x = net.conv(x, "conv", channels, kernel, **options)
        return net.batch_norm(x, "bn", gain=gain, epsilon=epsilon)


def conv_bn_relu(
    net: Net, x: Tensor, name: str, channels: int, kernel: Pair = 1, *, six: bool = False,
    **options: Any,
) -> Tensor:  # fmt: skip
    """Conv, BatchNormalization and Relu (or Relu6): ``name/conv``, ``name/bn``, ``name/relu``."""
    x = conv_bn(net, x, name, channels, kernel, **options)
    with net.block(name):
        return net.relu6(x, "relu6") if six else net.relu(x, "relu")


def conv_relu(
    net: Net, x: Tensor, name: str, channels: int, kernel: Pair = 1, **options: Any
) -> Tensor:
    """Conv with bias, then Relu: ``name/conv``, ``name/relu``."""
    with net.block(name):
        return net.relu(net.conv(x, "conv", channels, kernel, bias=True, **options), "relu")


def classifier(net: Net, x: Tensor, classes: int) -> Tensor:
    """Global average, Flatten and one fully connected layer."""
    with net.block("head"):
        x = net.flatten(net.global_pool(x, "pool"), "flatten")
        return net.dense(x, "fc", classes, target=LOGIT_DEVIATION)
