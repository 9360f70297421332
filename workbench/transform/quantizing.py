"""INT8 by explicit quantization: pairs of QuantizeLinear and DequantizeLinear from measured ranges.

The result is an ordinary ONNX model that says where 8 bits are, so every engine gets the same
numbers and nothing is left to a calibrator hidden in a builder.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np

from workbench.errors import DataError
from workbench.graph import Node
from workbench.model import Draft, Model, with_opset
from workbench.precision import Precision, PrecisionPlan, Resolution
from workbench.ranges import CalibrationTable, Range
from workbench.text import shown
from workbench.transform.folding import fold_batch_norm
from workbench.transform.placement import (
    Placement,
    place_for_onnxruntime,
    place_for_tensorrt,
    products_to_quantize,
    weight_axis,
)  # fmt: skip
from workbench.transform.values import Transformed, finished, unchanged

OPSET = 13
"""First operator set whose DequantizeLinear has an axis."""

_INT32 = np.iinfo(np.int32)
EVERYTHING = PrecisionPlan(Precision.INT8)


class Form(StrEnum):
    """Which engine's rules the quantized model follows."""

    TENSORRT = "tensorrt"
    """Symmetric INT8, zero points 0, float weights through a pair, bias in float; OpenVINO and
    TensorRT-RTX run it on INT8 kernels too."""
    ONNXRUNTIME = "onnxruntime"
    """Asymmetric unsigned activations, INT8 weights, INT32 bias; the TensorRT form is slower than
    float32 there."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A QuantizeLinear and its DequantizeLinear on an activation."""

    tensor: str
    scale: float
    zero_point: int
    """0 in the TensorRT form."""
    readers: tuple[str, ...]
    """Nodes that read through it, in graph order."""


@dataclass(frozen=True)
class QuantizeReport:
    """What was quantized and how."""

    form: Form
    products: tuple[str, ...]
    """Nodes whose input and weight are INT8 now."""
    pairs: tuple[Pair, ...]
    per_channel: bool
    kept: Mapping[str, str] = field(hash=False)
    """Node of the user that was to be INT8 and is not quantized -> why."""


def needed_ranges(
    model: Model,
    plan: PrecisionPlan = EVERYTHING,
    *,
    form: Form | str = Form.TENSORRT,
    first: bool = True,
    last: bool = True,
) -> tuple[str, ...]:
    """The tensors that `quantize` with the same arguments wants ranges for, in graph order."""
    folded = fold_batch_norm(model)
    draft = Draft(folded.model)
    placement = _placed(draft, folded, plan.resolve(model.graph), Form(form), first, last)
    return tuple(name for name in model.graph.specs if name in set(placement.uses)) + tuple(
        name for name in placement.uses if name not in model.graph.specs
    )


def quantize(
    model: Model,
    table: CalibrationTable,
    plan: PrecisionPlan = EVERYTHING,
    *,
    form: Form | str = Form.TENSORRT,
    per_channel: bool = True,
    first: bool = True,
    last: bool = True,
    any_model: bool = False,
) -> Transformed:
    """The model with its INT8 nodes quantized, batch normalization folded first.

    A tensor always zero has no range; its readers stay in float, and the report says so.

    Args:
        model: in float32.
        table: ranges of its tensors; `needed_ranges` lists which.
        plan: which nodes; nodes of other precisions are left as they are.
        form: whose rules to follow.
        per_channel: one scale for each output channel of a weight; False: one for the weight.
        first: whether to quantize the products that nothing else comes before.
        last: whether to quantize the products that nothing else comes after.
        any_model: take a table that was made from another model.

    Returns:
        The model, with a `QuantizeReport`.

    Raises:
        DataError: a table of another model, ranges that are missing, or weights that are not
            finite; names them.
        PrecisionError: a rule of the plan that fits nothing.
        ModelError: an operator set below 13 that cannot be raised.
    """
    wanted, form = plan.resolve(model.graph), Form(form)
    if not any_model and table.model_digest not in ("", model.digest):
        raise DataError(
            f"the calibration table was made from another model than {shown(model.name)} (digests "
            f"{table.model_digest[:12]} and {model.digest[:12]}); calibrate this model, or say "
            "any_model=True if only shapes or names differ"
        )
    raised = with_opset(model, OPSET)
    start = unchanged(model) if raised is model else _raised(model, raised)
    folded = start.then(fold_batch_norm(raised))
    draft = Draft(folded.model)
    placement = _placed(draft, folded, wanted, form, first, last)
    _drop_rangeless(draft, placement, table)
    work = _Work(draft, placement, form, per_channel, _class_ranges(placement, table))
    pairs = work.run()
    kept = {
        user: why
        for near, why in placement.kept.items()
        for user in folded.origin.get(near, (near,))
    }
    report = QuantizeReport(form, tuple(placement.products), pairs, per_channel, kept)
    return folded.then(finished(draft, work.origin, kept=placement.kept, report=report))


def _raised(model: Model, raised: Model) -> Transformed:
    """The step from one operator set to the next, which keeps names."""
    old = set(model.graph.position)
    origin = {n.name: (n.name,) if n.name in old else () for n in raised.graph.nodes}
    return Transformed(raised, model.graph, origin)


def _placed(
    draft: Draft, folded: Transformed, wanted: Resolution, form: Form, first: bool, last: bool
) -> Placement:
    placement = products_to_quantize(draft, wanted, folded.origin, first=first, last=last)
    asked = {*placement.products, *placement.kept}
    place = place_for_tensorrt if form is Form.TENSORRT else place_for_onnxruntime
    place(draft, placement, asked)
    return placement


def _drop_rangeless(draft: Draft, placement: Placement, table: CalibrationTable) -> None:
    """Leave out nodes that read a tensor without range, if calibration saw it was always zero.

    Raises:
        DataError: the table misses a range for another reason.
    """
    members = placement.members()
    zero = set(table.details.get("always_zero", ()))
    lacking = [
        tensor
        for tensor in placement.uses
        if not any(name in table for name in members[placement.root(tensor)])
    ]
    table.require(tensor for tensor in lacking if tensor not in zero)
    for tensor in lacking:
        for name, _ in placement.uses.pop(tensor):
            placement.kept[name] = f"its input {shown(tensor)} was always zero in calibration"
            if name in placement.products:
                placement.products.remove(name)
    if lacking:
        alive = {*placement.products} | {n for n in draft.nodes if n not in placement.kept}
        for tensor, uses in list(placement.uses.items()):
            placement.uses[tensor] = {use for use in uses if use[0] in alive}


def _class_ranges(placement: Placement, table: CalibrationTable) -> dict[str, Range]:
    """Representative -> the range that covers those of all tensors with one scale."""
    found = {}
    for root, tensors in placement.members().items():
        ranges = [table.ranges[name] for name in tensors if name in table]
        if ranges:
            found[root] = Range(min(r.low for r in ranges), max(r.high for r in ranges))
    return found


class _Work:
    """Puts the pairs into a draft."""

    def __init__(
        self, draft: Draft, placement: Placement, form: Form, per_channel: bool,
        ranges: Mapping[str, Range],
    ) -> None:  # fmt: skip
        self.draft = draft
        self.placement = placement
        self.form = form
        self.per_channel = per_channel
        self.ranges = ranges
        self.origin: dict[str, tuple[str, ...]] = {}
        self.scales: dict[str, np.ndarray] = {}
        """Scale of each quantized activation, for the bias of what reads it."""

    def run(self) -> tuple[Pair, ...]:
        position = self.draft.graph.position
        pairs = [
            self._activation(tensor, sorted(uses, key=lambda use: (position[use[0]], use[1])))
            for tensor, uses in self.placement.uses.items()
            if uses
        ]
        for name in self.placement.products:
            self._weight(self.draft.nodes[name])
        return tuple(pairs)

    def _activation(self, tensor: str, uses: list[tuple[str, int]]) -> Pair:
        scale, zero = self._affine(self.ranges[self.placement.root(tensor)])
        graph = self.draft.graph
        maker = graph.producer.get(tensor)
        stands_for = uses[0][0] if maker is None else graph.nodes[maker].name
        back = self._pair(tensor, tensor, np.float32(scale), zero, stands_for)
        self.scales[back] = np.asarray(scale, np.float32)
        for name, i in uses:
            inputs = list(self.draft.nodes[name].inputs)
            inputs[i] = back
            self.draft.rewire(name, inputs=tuple(inputs))
        readers = tuple(dict.fromkeys(name for name, _ in uses))
        return Pair(tensor, float(scale), int(zero), readers)

    def _affine(self, kept: Range) -> tuple[np.float32, np.ndarray]:
        if self.form is Form.TENSORRT:
            return np.float32(kept.scale), np.zeros((), np.int8)
        low, high = min(kept.low, 0.0), max(kept.high, 0.0)
        scale = np.float32((high - low) / 255)
        return scale, np.asarray(np.clip(np.rint(-low / scale), 0, 255), np.uint8)

    def _pair(
        self, tensor: str, wish: str, scale: np.ndarray | np.float32, zero: np.ndarray,
        stands_for: str, axis: int | None = None,
    ) -> str:  # fmt: skip
        """Add both nodes; the tensor that comes out."""
        draft = self.draft
        names = (
            draft.store(f"{wish}/scale", np.asarray(scale, np.float32)),
            draft.store(f"{wish}/zero_point", zero),
        )
        between = draft.unused(f"{wish}/quantized")
        after = draft.unused(f"{wish}/dequantized")
        for op_type, suffix, read, made in (
            ("QuantizeLinear", "quantize", tensor, between),
            ("DequantizeLinear", "dequantize", between, after),
        ):
            node = draft.add(op_type, f"{wish}/{suffix}", (read, *names), (made,), axis=axis)
            self.origin[node.name] = (stands_for,)
        return after

    def _weight(self, node: Node) -> None:
        weight = self.draft.values(node.inputs[1])
        if weight is None:
            return
        if not np.isfinite(weight).all():
            raise DataError(
                f"weight {shown(node.inputs[1])} of node {shown(node.name)} holds NaN or infinity; "
                "it cannot be quantized: repair the model"
            )
        axis = weight_axis(node, weight) if self.per_channel else None
        scale = weight_scales(weight, axis)
        wish = f"{node.name}/weight"
        if self.form is Form.TENSORRT:
            zero = np.zeros(scale.shape, np.int8)
            back = self._pair(node.inputs[1], wish, scale, zero, node.name, axis)
            inputs = (node.inputs[0], back, *node.inputs[2:])
        else:
            back = self._stored_weight(wish, weight, scale, axis, node.name)
            inputs = (node.inputs[0], back, *self._stored_bias(node, scale))
        self.draft.rewire(node.name, inputs=inputs)

    def _stored_weight(
        self, wish: str, weight: np.ndarray, scale: np.ndarray, axis: int | None, name: str
    ) -> str:
        steps = np.clip(np.rint(weight / spread(scale, axis, weight.ndim)), -128, 127)
        return self._stored(wish, steps.astype(np.int8), scale, axis, name)

    def _stored_bias(self, node: Node, scale: np.ndarray) -> tuple[str, ...]:
        """The bias in INT32 at the scale of the products, as ONNX Runtime's kernels add it."""
        given = self.scales.get(node.inputs[0])
        bias = self.draft.values(node.inputs[2]) if node.inputs[2:] else None
        if bias is None or given is None or bias.ndim != 1:
            return node.inputs[2:]
        step = np.asarray(given * scale, np.float32)
        values = np.clip(np.rint(bias.astype(np.float64) / step), _INT32.min, _INT32.max)
        axis = 0 if step.ndim else None
        name = self._stored(f"{node.name}/bias", values.astype(np.int32), step, axis, node.name)
        return (name,)

    def _stored(
        self, wish: str, values: np.ndarray, scale: np.ndarray, axis: int | None, name: str
    ) -> str:
        draft = self.draft
        inputs = (
            draft.store(f"{wish}/quantized", values),
            draft.store(f"{wish}/scale", scale),
            draft.store(f"{wish}/zero_point", np.zeros(scale.shape, values.dtype)),
        )
        after = draft.unused(f"{wish}/dequantized")
        node = draft.add("DequantizeLinear", f"{wish}/dequantize", inputs, (after,), axis=axis)
        self.origin[node.name] = (name,)
        return after


def weight_scales(weight: np.ndarray, axis: int | None) -> np.ndarray:
    """Symmetric INT8 scales of a weight, ``float32``: shape (channels,), or () without an axis.

    Each is the largest magnitude over 127. A channel of zeros has none of its own and gets the
    largest there is, which keeps its zeros exact.
    """
    axes = None if axis is None else tuple(i for i in range(weight.ndim) if i != axis)
    amax = np.abs(weight).max(axis=axes).astype(np.float32)
    scale = np.asarray(amax / np.float32(127), np.float32)
    tiny = scale < np.finfo(np.float32).tiny
    return np.where(tiny, scale.max() if scale.max() > 0 else np.float32(1), scale)


def spread(scale: np.ndarray, axis: int | None, rank: int) -> np.ndarray:
    """Scales shaped so that they multiply along `axis` of an array of `rank` axes."""
    return scale if axis is None else np.expand_dims(scale, [i for i in range(rank) if i != axis])
