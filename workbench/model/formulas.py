"""Operations and bytes of one node, from the shapes of its tensors.

Operations (FLOPs) count a multiply-add as two, and every elementary function (exp, tanh, sqrt, a
comparison) as one, for whole numbers too. With ``out`` and ``in`` for the elements of the first
output and input:

==================  ================================================================
Conv, QLinearConv   2 * out * (channels in / group) * kernel elements, + out for a bias
ConvTranspose       2 * in * (channels out / group) * kernel elements, + out for a bias
Gemm                2 * out * K, + out for C
MatMul              2 * out * K
Einsum              2 * product of all label extents (one operand: 1 *)
pooling             out * kernel elements; global pooling: in
normalization       7 * out (mean, centring, variance, scaling, weight, bias);
                    BatchNormalization 2 * out, LRN (2 * size + 3) * out
Softmax and alike   5 * in (maximum, subtract, exp, sum, divide)
RNN, GRU, LSTM      2 * gates * steps * batch * directions * hidden * (input + hidden)
element by element  out for each operand past the first, at least out
Clip, Q/DQ, Selu .. 2 * out
reductions          in
Resize              nearest 0, linear 2 * 2^d * out, cubic 2 * 4^d * out (d scaled axes)
moves and shapes    0
==================  ================================================================

Bytes moved are what the node must read and write when nothing stays in a cache: each distinct input
once, weights included, and each output. Views (Reshape, Squeeze ...) move nothing; Slice and Gather
read what they give out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from workbench.graph import Node, TensorSpec


class UnknownError(Exception):
    """A formula needs an extent that is not known, or there is no formula."""


@dataclass(frozen=True, slots=True)
class Sized:
    """A node with the specs of its tensors, all extents numbers where known."""

    node: Node
    inputs: tuple[TensorSpec | None, ...]
    outputs: tuple[TensorSpec | None, ...]
    opset: int

    def shape(self, place: int, *, output: bool = False) -> tuple[int, ...]:
        """Shape of an input or output.

        Raises:
            UnknownError: an extent is not known.
        """
        specs = self.outputs if output else self.inputs
        spec = specs[place] if place < len(specs) else None
        if spec is None or spec.elements is None or spec.shape is None:
            raise UnknownError
        return tuple(dim for dim in spec.shape if isinstance(dim, int))

    def count(self, place: int = 0, *, output: bool = False) -> int:
        """Elements of an input or output."""
        return math.prod(self.shape(place, output=output))

    @property
    def out(self) -> int:
        """Elements of the first output."""
        return self.count(output=True)

    def has(self, place: int) -> bool:
        """Whether an optional input is there."""
        return place < len(self.inputs) and self.inputs[place] is not None


def flops(sized: Sized) -> int:
    """Operations of a node.

    Raises:
        UnknownError: an extent is not known, or there is no formula for the operator.
    """
    rule = _RULES.get(sized.node.op_type) if sized.node.domain == "" else None
    if rule is None:
        raise UnknownError
    return rule(sized)


def bytes_moved(sized: Sized) -> int:
    """Bytes a node reads and writes.

    Raises:
        UnknownError: a size is not known.
    """
    kind = sized.node.op_type if sized.node.domain == "" else None
    if kind in _VIEWS:
        return 0
    written = sum(_bytes(spec) for spec in sized.outputs if spec is not None)
    inputs = {spec.name: spec for spec in sized.inputs if spec is not None}
    if kind in _PICKING:
        rest = [spec for name, spec in inputs.items() if name != sized.node.inputs[0]]
        return 2 * written + sum(map(_bytes, rest))
    return written + sum(map(_bytes, inputs.values()))


def _bytes(spec: TensorSpec) -> int:
    if spec.nbytes is None:
        raise UnknownError
    return spec.nbytes


def _conv(sized: Sized) -> int:
    place = 3 if sized.node.op_type == "QLinearConv" else 1
    bias = {"Conv": 2, "QLinearConv": 8}.get(sized.node.op_type, 99)
    per_output = math.prod(sized.shape(place)[1:])
    return 2 * sized.out * per_output + (sized.out if sized.has(bias) else 0)


def _conv_transpose(sized: Sized) -> int:
    per_input = math.prod(sized.shape(1)[1:])
    return 2 * sized.count() * per_input + (sized.out if sized.has(2) else 0)


def _gemm(sized: Sized) -> int:
    depth = sized.shape(0)[0 if sized.node.attributes.get("transA") else -1]
    return 2 * sized.out * depth + (sized.out if sized.has(2) else 0)


def _matmul(sized: Sized) -> int:
    return 2 * sized.out * sized.shape(0)[-1]


def _einsum(sized: Sized) -> int:
    equation = str(sized.node.attributes.get("equation", "")).replace(" ", "")
    terms = equation.split("->")[0].split(",")
    if "." in equation or len(terms) != len(sized.inputs):
        raise UnknownError
    extents: dict[str, int] = {}
    for place, labels in enumerate(terms):
        extents.update(zip(labels, sized.shape(place), strict=True))
    return (2 if len(terms) > 1 else 1) * math.prod(extents.values())


def _pool(sized: Sized) -> int:
    return sized.out * math.prod(sized.node.attributes.get("kernel_shape", ()))


def _recurrent(gates: int) -> Callable[[Sized], int]:
    def rule(sized: Sized) -> int:
        steps, batch, width = sized.shape(0)
        directions, _, hidden = sized.shape(2)
        return 2 * gates * steps * batch * directions * hidden * (width + hidden)

    return rule


def _variadic(sized: Sized) -> int:
    return sized.out * max(len(sized.inputs) - 1, 1)


def _resize(sized: Sized) -> int:
    mode = sized.node.attributes.get("mode", "nearest")
    before, after = sized.shape(0), sized.shape(0, output=True)
    scaled = sum(a != b for a, b in zip(before, after, strict=True))
    return {"linear": 2 * 2**scaled, "cubic": 2 * 4**scaled}.get(str(mode), 0) * sized.out


def _lrn(sized: Sized) -> int:
    return (2 * int(sized.node.attributes.get("size", 1)) + 3) * sized.out


def _per_output(count: int) -> Callable[[Sized], int]:
    return lambda sized: count * sized.out


def _per_input(count: int) -> Callable[[Sized], int]:
    return lambda sized: count * sized.count()


def _nothing(sized: Sized) -> int:
    return 0


_VIEWS = frozenset(
    {"Reshape", "Squeeze", "Unsqueeze", "Flatten", "Identity", "Shape", "Size", "Constant",
     "Dropout"}
)  # fmt: skip
_PICKING = frozenset({"Slice", "Gather", "GatherElements", "GatherND"})

_MOVES = (
    *_VIEWS, *_PICKING, "Transpose", "Concat", "Split", "Pad", "Cast", "CastLike", "Expand", "Tile",
    "DepthToSpace", "SpaceToDepth", "ConstantOfShape", "Range", "ScatterElements", "ScatterND",
    "Where", "OneHot", "EyeLike", "Compress", "ReverseSequence", "Trilu", "Scatter", "Col2Im",
    "BitCast", "TensorScatter",
)  # fmt: skip
_UNARY = (
    "Relu", "Sigmoid", "Tanh", "Exp", "Log", "Sqrt", "Neg", "Abs", "Reciprocal", "Floor", "Ceil",
    "Round", "Sign", "Erf", "Not", "IsNaN", "IsInf", "Sin", "Cos", "Tan", "Asin", "Acos", "Atan",
    "Sinh", "Cosh", "Asinh", "Acosh", "Atanh", "Softplus", "Softsign", "Gelu", "Elu", "Celu",
    "HardSwish", "HardSigmoid", "Mish", "Swish", "BitwiseNot", "CumSum", "LeakyRelu",
    "ThresholdedRelu",
)  # fmt: skip
_BINARY = (
    "Add", "Sub", "Mul", "Div", "Pow", "Mod", "PRelu", "Equal", "Less", "Greater", "LessOrEqual",
    "GreaterOrEqual", "And", "Or", "Xor", "BitShift", "BitwiseAnd", "BitwiseOr", "BitwiseXor",
)  # fmt: skip
_REDUCING = (
    "ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2",
    "ReduceLogSum", "ReduceLogSumExp", "ReduceSumSquare", "ArgMax", "ArgMin", "GlobalAveragePool",
    "GlobalMaxPool", "GlobalLpPool", "TopK", "NonZero",
)  # fmt: skip

_RULES: Mapping[str, Callable[[Sized], int]] = {
    **dict.fromkeys(_MOVES, _nothing),
    **dict.fromkeys(_UNARY, _per_output(1)),
    **dict.fromkeys(_BINARY, _per_output(1)),
    **dict.fromkeys(_REDUCING, _per_input(1)),
    **dict.fromkeys(("Sum", "Max", "Min", "Mean"), _variadic),
    **dict.fromkeys(("Softmax", "LogSoftmax", "Hardmax"), _per_input(5)),
    **dict.fromkeys(("Clip", "QuantizeLinear", "DequantizeLinear", "Selu", "Shrink"),
                    _per_output(2)),
    **dict.fromkeys(("LayerNormalization", "InstanceNormalization", "GroupNormalization",
                     "RMSNormalization", "MeanVarianceNormalization", "LpNormalization"),
                    _per_output(7)),
    **dict.fromkeys(("MaxPool", "AveragePool", "LpPool"), _pool),
    **dict.fromkeys(("Conv", "ConvInteger", "QLinearConv"), _conv),
    **dict.fromkeys(("MatMul", "MatMulInteger", "QLinearMatMul"), _matmul),
    **dict.fromkeys(("Resize", "Upsample"), _resize),
    "BatchNormalization": _per_output(2),
    "LRN": _lrn, "ConvTranspose": _conv_transpose, "Gemm": _gemm, "Einsum": _einsum,
    "RNN": _recurrent(1), "GRU": _recurrent(3), "LSTM": _recurrent(4),
}  # fmt: skip
