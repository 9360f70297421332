"""What is wrong with the Q/DQ of a model that came quantized, e.g. from training.

Such a model runs as it is. But a pair that does not fuse costs more than float: values are rounded,
written, read back, and the product runs in float after all. `quantization_report` finds these by
rules that need no engine.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from workbench.graph import Graph, Node
from workbench.model import Model
from workbench.text import shown
from workbench.transform.placement import PRODUCTS, weight_axis

_Q, _DQ = "QuantizeLinear", "DequantizeLinear"
_NOT_IN_TENSORRT = frozenset(
    {"ConvInteger", "DynamicQuantizeLinear", "MatMulInteger", "QLinearConv", "QLinearMatMul"}
)


class Fault(StrEnum):
    """A rule that is broken."""

    ASYMMETRIC = "asymmetric"
    """A zero point that is not 0; TensorRT refuses it."""
    UNSIGNED = "unsigned"
    """A uint8 zero point of 0; TensorRT takes it for INT8 with a warning."""
    PER_CHANNEL_ACTIVATION = "per_channel_activation"
    """An activation with a scale for each channel; the product stays in float."""
    PER_TENSOR_WEIGHT = "per_tensor_weight"
    """A weight with one scale: it runs, but less accurately than it could."""
    WRONG_AXIS = "wrong_axis"
    """A weight quantized along another axis than its output channels; it stays in float."""
    BAD_SCALE = "bad_scale"
    """A scale that is zero, negative, NaN or infinite, or is not stored with the model."""
    INSIDE_FUSION = "inside_fusion"
    """A pair between a product and its batch normalization or activation; it breaks the fusion."""
    WEIGHT_NOT_QUANTIZED = "weight_not_quantized"
    """A product that reads a quantized activation and a float weight; it stays in float."""
    INPUT_NOT_QUANTIZED = "input_not_quantized"
    """A product that reads a quantized weight and a float activation; it stays in float."""
    DANGLING = "dangling"
    """Half a pair, or a pair no product, sum or pooling reads: rounding without gain."""
    INTEGER_OPERATOR = "integer_operator"
    """An operator of ONNX's older, fused form; TensorRT has none of these."""


_WORSE_THAN_NOTHING = frozenset(Fault) - {Fault.UNSIGNED, Fault.PER_TENSOR_WEIGHT}


@dataclass(frozen=True, slots=True)
class Finding:
    """A broken rule and where."""

    node: str
    fault: Fault
    message: str
    """In words, safe to print, with what to do."""

    @property
    def blocks(self) -> bool:
        """Whether INT8 does not come about because of it, or an engine refuses the model."""
        return self.fault in _WORSE_THAN_NOTHING


@dataclass(frozen=True)
class QuantizationReport:
    """What the Q/DQ of a model comes to."""

    findings: tuple[Finding, ...]
    products: tuple[str, ...]
    """Products whose inputs all come through Q/DQ, in graph order: these can run in INT8."""
    floats: tuple[str, ...]
    """Products that are not quantized at all."""
    pairs: int
    """DequantizeLinear nodes."""


def quantization_report(model: Model) -> QuantizationReport:
    """Which products of a quantized model can run in INT8, and the Q/DQ that will not fuse.

    Sources: TensorRT's developer guide, "Working with Quantized Types"; what TensorRT-RTX 1.7
    refused or left in float.
    """
    review = _Review(model)
    for node in model.graph.nodes:
        review.look_at(node)
    return QuantizationReport(
        tuple(review.findings), tuple(review.products), tuple(review.floats), review.pairs
    )


class _Review:
    def __init__(self, model: Model) -> None:
        self.model = model
        self.graph: Graph = model.graph
        self.findings: list[Finding] = []
        self.products: list[str] = []
        self.floats: list[str] = []
        self.pairs = 0
        self._outputs = {spec.name for spec in self.graph.outputs}

    def look_at(self, node: Node) -> None:
        if node.op_type in _NOT_IN_TENSORRT:
            self._find(node, Fault.INTEGER_OPERATOR, f"TensorRT has no {node.op_type}; export as "
                       "QuantizeLinear and DequantizeLinear around float operators")  # fmt: skip
        elif node.op_type in PRODUCTS:
            self._product(node)
        elif node.op_type in (_Q, _DQ):
            self.pairs += node.op_type == _DQ
            self._scale(node)
            self._zero_point(node)
            self._place(node)

    def _find(self, node: Node, fault: Fault, message: str) -> None:
        self.findings.append(Finding(node.name, fault, f"{shown(node.name)}: {message}"))

    def _maker(self, tensor: str) -> Node | None:
        place = self.graph.producer.get(tensor)
        return None if place is None else self.graph.nodes[place]

    def _readers(self, tensor: str) -> list[Node]:
        return [self.graph.nodes[i] for i in self.graph.consumers.get(tensor, ())]

    def _values(self, tensor: str) -> np.ndarray | None:
        return self.model.weights(tensor) if tensor in self.model._stored else None

    def _is_weight(self, node: Node) -> bool:
        """Whether a Q or DQ works on a stored tensor."""
        maker = self._maker(node.inputs[0])
        source = maker.inputs[0] if maker is not None and maker.op_type == _Q else node.inputs[0]
        return self._values(source) is not None

    def _product(self, node: Node) -> None:
        through = [
            (maker := self._maker(name)) is not None and maker.op_type == _DQ
            for name in node.inputs[:2]
        ]
        if all(through):
            self.products.append(node.name)
            self._axis(node)
        elif not any(through):
            self.floats.append(node.name)
        elif through[0]:
            self._find(node, Fault.WEIGHT_NOT_QUANTIZED, "its activation is quantized and its "
                       "weight is not, so it runs in float; quantize the weight too")  # fmt: skip
        else:
            self._find(node, Fault.INPUT_NOT_QUANTIZED, "its weight is quantized and its "
                       "activation is not: it runs in float; quantize that too")  # fmt: skip

    def _axis(self, node: Node) -> None:
        back = self._maker(node.inputs[1])
        scale = self._values(back.inputs[1]) if back is not None else None
        if back is None or scale is None or not self._is_weight(back):
            return
        shape = self.graph.spec(back.inputs[0]).shape or ()
        wanted = weight_axis(node, np.empty([1] * len(shape)))
        axis = int(back.attributes.get("axis", 1)) % max(len(shape), 1)
        if scale.size == 1:
            if wanted is not None and shape[wanted] != 1:
                self._find(back, Fault.PER_TENSOR_WEIGHT, "one scale for the whole weight of "
                           f"{shown(node.name)}; one a channel is more accurate")  # fmt: skip
        elif axis != wanted:
            self._find(back, Fault.WRONG_AXIS, f"the weight of {shown(node.name)} is quantized "
                       f"along axis {axis}; its output channels are axis {wanted}")  # fmt: skip

    def _scale(self, node: Node) -> None:
        scale = self._values(node.inputs[1])
        if scale is None:
            self._find(node, Fault.BAD_SCALE, "its scale is computed; store it with the model")
        elif not (np.isfinite(scale).all() and (scale > 0).all()):
            self._find(node, Fault.BAD_SCALE, "its scale is not positive and finite; calibrate "
                       "its tensor again")  # fmt: skip
        elif scale.size > 1 and not self._is_weight(node):
            self._find(node, Fault.PER_CHANNEL_ACTIVATION, "an activation with one scale for each "
                       "channel; use one scale for all")  # fmt: skip

    def _zero_point(self, node: Node) -> None:
        given = next(iter(node.inputs[2:]), "")
        if not given:
            # Without a zero point QuantizeLinear gives uint8.
            small = node.outputs[0] if node.op_type == _Q else node.inputs[0]
            dtype, zero = self.graph.spec(small).dtype, np.zeros(1)
        else:
            dtype, zero = self.graph.spec(given).dtype, self._values(given)
        if zero is None or np.any(zero):
            self._find(node, Fault.ASYMMETRIC, "its zero point is not 0, which TensorRT refuses; "
                       "quantize symmetrically (INT8, zero point 0)")  # fmt: skip
        elif dtype == "uint8":
            self._find(node, Fault.UNSIGNED, "its type is uint8, which TensorRT takes for int8; "
                       "quantize to int8")  # fmt: skip

    def _place(self, node: Node) -> None:
        readers = self._readers(node.outputs[0])
        if node.op_type == _Q:
            if node.outputs[0] not in self._outputs and not any(r.op_type == _DQ for r in readers):
                self._find(node, Fault.DANGLING, "nothing dequantizes what it makes; leave it out")
            self._inside(node)
        elif not self._useful(node, readers):
            self._find(node, Fault.DANGLING, "no product, sum or pooling reads it, so nothing runs "
                       "in INT8 for it; leave the pair out")  # fmt: skip

    def _useful(self, node: Node, readers: list[Node]) -> bool:
        arithmetic = {"Add", "Sum", "Mul", "Concat", "MaxPool", "AveragePool", "GlobalAveragePool",
                      "Resize", "Relu", "Softmax", "Einsum", *PRODUCTS}  # fmt: skip
        moves = {"Reshape", "Transpose", "Flatten", "Squeeze", "Unsqueeze", "Slice", "Split"}
        todo, seen = [*readers], set()
        while todo:
            reader = todo.pop()
            if reader.op_type in arithmetic or reader.domain:
                return True
            if reader.op_type in moves and reader.name not in seen:
                seen.add(reader.name)
                todo += self._readers(reader.outputs[0])
        # What a model gives out may be quantized for whoever reads it.
        return node.outputs[0] in self._outputs and not self._is_weight(node)

    def _inside(self, node: Node) -> None:
        maker = self._maker(node.inputs[0])
        if maker is None or maker.op_type not in PRODUCTS:
            return
        for back in self._readers(node.outputs[0]):
            for reader in self._readers(back.outputs[0]) if back.op_type == _DQ else ():
                if reader.op_type in ("BatchNormalization", "Relu", "Clip"):
                    self._find(node, Fault.INSIDE_FUSION, f"it stands between "
                               f"{shown(maker.name)} and {shown(reader.name)}, which would fuse; "
                               "quantize after them instead")  # fmt: skip
                    return
