"""A small language for writing convolutional networks down as ONNX.

`Net` gives one method for each operator; each adds one node with the name it is told, so that
Conv, BatchNormalization and Relu stay apart and fusion has something to show. Shapes are known at
every step and written for every tensor. The node ``inception_3a/1x1/conv`` makes the tensor
``inception_3a/1x1/conv/out`` and owns ``inception_3a/1x1/conv/weight``. Weights are described here
and made by `weights`; no file is read or written.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from onnx import TensorProto, helper

from workbench.zoo.weights import Spread, Weight, mixed

OPSET = 17
IR_VERSION = 8
"""The format version that came with opset 17; newer readers all take it."""


@dataclass(frozen=True)
class Tensor:
    """Handle of a tensor while a network is written."""

    name: str
    shape: tuple[int, ...]
    """Extents without the batch."""
    spread: Spread = field(default_factory=Spread)

    @property
    def channels(self) -> int:
        """Extent of the first axis after the batch."""
        return self.shape[0]


Pair = int | tuple[int, int]


@dataclass
class Net:
    """A network being written; add operators in order, then `finish`."""

    name: str
    image: tuple[int, int, int]
    """Channels, height and width of the input ``image``."""
    batch: int | str = "N"
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    weights: list[Weight] = field(default_factory=list)
    tensors: list[Tensor] = field(default_factory=list)
    _scope: list[str] = field(default_factory=list)

    @property
    def input(self) -> Tensor:
        """The picture, expected to have mean 0 and deviation 1."""
        return Tensor("image", self.image)

    @property
    def parameters(self) -> int:
        """Trainable parameters, as papers count them: without running statistics."""
        return sum(weight.size for weight in self.weights if weight.trainable)

    @contextmanager
    def block(self, name: str) -> Iterator[None]:
        """Names of what is added inside start with ``name/``."""
        self._scope.append(name)
        yield
        self._scope.pop()

    def conv(
        self, x: Tensor, name: str, channels: int, kernel: Pair = 1, *, stride: int = 1,
        pad: Pair | None = None, groups: int = 1, bias: bool = False, target: float = 1.0,
    ) -> Tensor:  # fmt: skip
        """Convolution; `pad` None keeps the extent at stride 1, `target` is the deviation after."""
        high, wide = _pair(kernel)
        pads = (high // 2, wide // 2) if pad is None else _pair(pad)
        extents = self._extents(x, name, (high, wide), stride, pads)
        terms = x.channels // groups * math.prod(
            _taps(size, k, stride, p, out)
            for size, k, p, out in zip(x.shape[1:], (high, wide), pads, extents, strict=True)
        )  # fmt: skip
        shape = (channels, x.channels // groups, high, wide)
        inputs = [x.name, self._weight(name, "weight", shape, reach=x.spread.reach(terms, target))]
        if bias:
            inputs.append(self._weight(name, "bias", (channels,), reach=0.05))
        after = Tensor(name, (channels, *extents), Spread(0.0, target**2))
        return self._add(
            "Conv", name, inputs, after, kernel_shape=[high, wide], strides=[stride] * 2,
            pads=[*pads, *pads], dilations=[1, 1], group=groups,
        )  # fmt: skip

    def batch_norm(
        self, x: Tensor, name: str, *, gain: float = 1.0, epsilon: float = 1e-5
    ) -> Tensor:
        """Batch normalization near the identity times `gain`, each channel a little different."""
        shape = (x.channels,)
        inputs = [
            x.name,
            self._weight(name, "gamma", shape, centre=gain, reach=0.2 * gain),
            self._weight(name, "beta", shape, reach=0.1),
            self._weight(name, "mean", shape, reach=0.1, trainable=False),
            self._weight(name, "variance", shape, centre=1.0, reach=0.2, trainable=False),
        ]
        after = Tensor(name, x.shape, x.spread.normalized(gain))
        return self._add("BatchNormalization", name, inputs, after, epsilon=epsilon)

    def relu(self, x: Tensor, name: str) -> Tensor:
        """Rectifier."""
        return self._add("Relu", name, [x.name], Tensor(name, x.shape, x.spread.rectified()))

    def relu6(self, x: Tensor, name: str) -> Tensor:
        """Rectifier that ends at 6, as Clip."""
        low = self._constant(name, "min", np.array(0, np.float32))
        high = self._constant(name, "max", np.array(6, np.float32))
        after = Tensor(name, x.shape, x.spread.rectified())
        return self._add("Clip", name, [x.name, low, high], after)

    def sigmoid(self, x: Tensor, name: str) -> Tensor:
        """Logistic function; of a standard normal its mean is 0.5, its variance 0.043."""
        return self._add("Sigmoid", name, [x.name], Tensor(name, x.shape, Spread(0.5, 0.043)))

    def max_pool(
        self, x: Tensor, name: str, kernel: int, *, stride: int, pad: int = 0, ceil: bool = False
    ) -> Tensor:
        """Max pooling; `ceil` counts a last window that is only partly filled."""
        extents = self._extents(x, name, (kernel, kernel), stride, (pad, pad), ceil)
        after = Tensor(name, (x.channels, *extents), x.spread.largest())
        return self._add(
            "MaxPool", name, [x.name], after, kernel_shape=[kernel] * 2, strides=[stride] * 2,
            pads=[pad] * 4, ceil_mode=int(ceil),
        )  # fmt: skip

    def average_pool(
        self, x: Tensor, name: str, kernel: int, *, stride: int, pad: int = 0
    ) -> Tensor:
        """Average pooling; padding counts as zeros."""
        extents = self._extents(x, name, (kernel, kernel), stride, (pad, pad))
        after = Tensor(name, (x.channels, *extents), x.spread.averaged())
        return self._add(
            "AveragePool", name, [x.name], after, kernel_shape=[kernel] * 2, strides=[stride] * 2,
            pads=[pad] * 4, count_include_pad=1,
        )  # fmt: skip

    def global_pool(self, x: Tensor, name: str) -> Tensor:
        """Average over height and width, which become 1."""
        after = Tensor(name, (x.channels, 1, 1), x.spread.averaged())
        return self._add("GlobalAveragePool", name, [x.name], after)

    def lrn(self, x: Tensor, name: str, size: int = 5) -> Tensor:
        """Local response normalization with AlexNet's constants; nearly the identity."""
        after = Tensor(name, x.shape, x.spread)
        return self._add("LRN", name, [x.name], after, size=size, alpha=1e-4, beta=0.75, bias=1.0)

    def concat(self, parts: Sequence[Tensor], name: str) -> Tensor:
        """Parts behind each other along the channels."""
        channels = sum(part.channels for part in parts)
        spread = mixed([(part.channels, part.spread) for part in parts])
        after = Tensor(name, (channels, *parts[0].shape[1:]), spread)
        return self._add("Concat", name, [part.name for part in parts], after, axis=1)

    def halves(self, x: Tensor, name: str) -> tuple[Tensor, Tensor]:
        """First and second half of the channels."""
        half = (x.channels // 2, *x.shape[1:])
        path = self._path(name)
        both = (Tensor(f"{path}/out0", half, x.spread), Tensor(f"{path}/out1", half, x.spread))
        sizes = self._constant(name, "split", np.array([half[0]] * 2, np.int64))
        names = [part.name for part in both]
        self.nodes.append(helper.make_node("Split", [x.name, sizes], names, path, axis=1))
        self.tensors += both
        return both

    def shuffle(self, x: Tensor, name: str, groups: int) -> Tensor:
        """Channel shuffle: Reshape, Transpose, Reshape; the batch may be any number."""
        channels, high, wide = x.shape
        split, joined = (groups, channels // groups, high, wide), (channels, high, wide)
        swapped = (split[1], split[0], high, wide)
        with self.block(name):
            x = self.reshape(x, "split", split)
            x = self._add(
                "Transpose", "transpose", [x.name], Tensor("", swapped, x.spread),
                perm=[0, 2, 1, 3, 4],
            )  # fmt: skip
            return self.reshape(x, "join", joined)

    def reshape(self, x: Tensor, name: str, shape: tuple[int, ...]) -> Tensor:
        """Other extents behind the batch, which is kept."""
        target = self._constant(name, "shape", np.array([0, *shape], np.int64))
        return self._add("Reshape", name, [x.name, target], Tensor(name, shape, x.spread))

    def add(self, x: Tensor, y: Tensor, name: str) -> Tensor:
        """Sum of two tensors of one shape."""
        after = Tensor(name, x.shape, x.spread.plus(y.spread))
        return self._add("Add", name, [x.name, y.name], after)

    def gate(self, x: Tensor, gate: Tensor, name: str) -> Tensor:
        """Each channel of `x` times its number in `gate`, shape (channels, 1, 1)."""
        after = Tensor(name, x.shape, x.spread.scaled(math.sqrt(gate.spread.power)))
        return self._add("Mul", name, [x.name, gate.name], after)

    def flatten(self, x: Tensor, name: str) -> Tensor:
        """One axis behind the batch."""
        after = Tensor(name, (math.prod(x.shape),), x.spread)
        return self._add("Flatten", name, [x.name], after, axis=1)

    def dense(self, x: Tensor, name: str, features: int, *, target: float = 1.0) -> Tensor:
        """Fully connected layer with bias; `target` is the deviation after."""
        (terms,) = x.shape
        inputs = [
            x.name,
            self._weight(name, "weight", (features, terms), reach=x.spread.reach(terms, target)),
            self._weight(name, "bias", (features,), reach=0.05),
        ]
        after = Tensor(name, (features,), Spread(0.0, target**2))
        return self._add("Gemm", name, inputs, after, transB=1)

    def softmax(self, x: Tensor, name: str) -> Tensor:
        """Probabilities over the last axis."""
        after = Tensor(name, x.shape, Spread(1 / x.channels, 0.0))
        return self._add("Softmax", name, [x.name], after, axis=-1)

    def finish(self, x: Tensor, output: str, seed: int, notes: dict[str, str]) -> ir.Model:
        """The network as a model whose only output is `x`, renamed.

        Args:
            x: the last tensor.
            output: what it is called as the output of the model.
            seed: of the weights.
            notes: the model's metadata.
        """
        for node in self.nodes:
            node.output[:] = [output if name == x.name else name for name in node.output]
        graph = helper.make_graph(
            self.nodes,
            self.name,
            [self._info(self.input)],
            [self._info(Tensor(output, x.shape))],
            value_info=[self._info(tensor) for tensor in self.tensors if tensor.name != x.name],
        )
        proto = helper.make_model(
            graph, producer_name="workbench", ir_version=IR_VERSION,
            opset_imports=[helper.make_opsetid("", OPSET)],
        )  # fmt: skip
        helper.set_model_props(proto, notes)
        # The weights join as arrays, uncopied: as protobuf fields VGG-16 would be held three times.
        return _with_weights(proto, {weight.name: weight.make(seed) for weight in self.weights})

    def _info(self, tensor: Tensor) -> onnx.ValueInfoProto:
        shape = [self.batch, *tensor.shape]
        return helper.make_tensor_value_info(tensor.name, TensorProto.FLOAT, shape)

    def _path(self, name: str) -> str:
        return "/".join([*self._scope, name])

    def _add(
        self, op_type: str, name: str, inputs: list[str], after: Tensor, **attributes: Any
    ) -> Tensor:
        path = self._path(name)
        made = Tensor(f"{path}/out", after.shape, after.spread)
        self.nodes.append(helper.make_node(op_type, inputs, [made.name], path, **attributes))
        self.tensors.append(made)
        return made

    def _weight(
        self, name: str, role: str, shape: tuple[int, ...], *, centre: float = 0.0,
        reach: float = 0.0, trainable: bool = True,
    ) -> str:  # fmt: skip
        weight = Weight(f"{self._path(name)}/{role}", shape, centre, reach, trainable)
        self.weights.append(weight)
        return weight.name

    def _constant(self, name: str, role: str, values: np.ndarray) -> str:
        path = f"{self._path(name)}/{role}"
        self.weights.append(Weight(path, values.shape, trainable=False, values=values))
        return path

    def _extents(
        self, x: Tensor, name: str, kernel: tuple[int, int], stride: int, pads: tuple[int, int],
        ceil: bool = False,
    ) -> tuple[int, int]:  # fmt: skip
        high, wide = (
            _extent(size, k, stride, pad, ceil)
            for size, k, pad in zip(x.shape[1:], kernel, pads, strict=True)
        )
        if min(high, wide) < 1:
            raise ValueError(
                f"image_size {self.image[1]} is too small for {self.name}: nothing is left at "
                f"{self._path(name)}; give a larger one"
            )
        return high, wide


def _with_weights(proto: onnx.ModelProto, weights: dict[str, np.ndarray]) -> ir.Model:
    placeholders = [
        helper.make_tensor_value_info(
            name, helper.np_dtype_to_tensor_dtype(values.dtype), values.shape
        )
        for name, values in weights.items()
    ]
    proto.graph.input.extend(placeholders)
    model = ir.from_proto(proto)
    graph = model.graph
    for value in list(graph.inputs[1:]):
        assert value.name is not None
        value.const_value = ir.tensor(weights[value.name], name=value.name)
        # The tensor says both; on the value too, they would be written as an intermediate's.
        value.shape = value.type = None
        graph.register_initializer(value)
    del graph.inputs[1:]
    return model


def _pair(value: Pair) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else value


def _extent(size: int, kernel: int, stride: int, pad: int, ceil: bool) -> int:
    room = size + 2 * pad - kernel
    if room < 0:
        return 0
    if not ceil:
        return room // stride + 1
    windows = -(-room // stride) + 1
    # A last window that would start in the padding behind the picture is not counted.
    return windows - 1 if (windows - 1) * stride >= size + pad else windows


def _taps(size: int, kernel: int, stride: int, pad: int, windows: int) -> float:
    """Elements of the picture that a window covers along one axis on average; others are zeros."""
    starts = (window * stride - pad for window in range(windows))
    return sum(min(start + kernel, size) - max(start, 0) for start in starts) / windows
