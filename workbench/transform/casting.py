"""FP16 and BF16 as a property of the model: explicit Casts and converted weights.

Every node has one float type it computes in. A tensor has the type of the node that makes it, and
one Cast for each other type somebody reads it in; so between neighbours of one type there is none.
Inputs and outputs of the model keep their types. What a node may be typed as is asked of ONNX's own
operator definitions, and the operator set is raised where only a newer one allows bfloat16.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import onnx
from ml_dtypes import bfloat16

from workbench.graph import Node
from workbench.model import Draft, Model, with_opset
from workbench.precision import Precision, PrecisionPlan, Resolution
from workbench.ranges import CalibrationTable
from workbench.transform.folding import fold_batch_norm
from workbench.transform.rounding import CastReport, CastWeight, counted, exceeding, rounded
from workbench.transform.values import Transformed, finished

SENSITIVE = frozenset(
    {"BatchNormalization", "CumSum", "Exp", "GroupNormalization", "InstanceNormalization", "LRN",
     "LayerNormalization", "Log", "LogSoftmax", "LpNormalization", "MeanVarianceNormalization",
     "Pow", "RMSNormalization", "Reciprocal", "ReduceL1", "ReduceL2", "ReduceLogSum",
     "ReduceLogSumExp", "ReduceMean", "ReduceProd", "ReduceSum", "ReduceSumSquare", "Softmax",
     "Softplus"}
)  # fmt: skip
"""Operators that stay in float32 unless a rule of the plan names them: they sum many terms, or
leave the range of float16 (65504), on the way to a small result. BatchNormalization is among them
only where it does not follow a product of the same type, which it is folded into. Sources: NVIDIA
ModelOpt's AutoCast, ONNX Runtime's and PyTorch's float32 lists."""

_TYPE_SETTERS = frozenset(
    {"Cast", "CastLike", "Constant", "ConstantOfShape", "DequantizeLinear", "EyeLike", "If", "Loop",
     "QuantizeLinear", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike",
     "Scan", "SequenceConstruct"}
)  # fmt: skip
"""Operators whose types are set by more than their inputs; they are never converted."""

_INDIFFERENT = frozenset({"Shape", "Size"})
"""Operators that read a tensor in whatever type it has."""

_AFTER_PRODUCTS = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
_NEWEST = 22
"""First operator set with bfloat16 in Conv and pooling."""
_CODES = {
    "float32": onnx.TensorProto.FLOAT, "float16": onnx.TensorProto.FLOAT16,
    "bfloat16": onnx.TensorProto.BFLOAT16,
}  # fmt: skip
_NUMPY = {"float16": np.dtype(np.float16), "bfloat16": np.dtype(bfloat16)}


def cast(
    model: Model,
    plan: PrecisionPlan,
    *,
    sensitive: Iterable[str] = SENSITIVE,
    table: CalibrationTable | None = None,
) -> Transformed:
    """The model with the plan's FP16 and BF16 nodes typed so; all others stay as they are.

    Batch normalization is folded into the product before it where both get the same type.
    Weights too large for float16 become its largest number and never infinity; how many of them
    there are, and how many become zero or denormal, the report says by tensor and node.

    Args:
        model: in float32; parts already in another type are left alone.
        plan: which nodes.
        sensitive: operators left in float32 unless a rule names them or their node.
        table: ranges of activations; with it the report also names the tensors that leave float16's
            range.

    Returns:
        The model, with a `CastReport`.

    Raises:
        PrecisionError: a rule that fits nothing.
        ModelError: the operator set would have to be raised and cannot be.
    """
    wanted = plan.resolve(model.graph)
    targets, kept = typed(model, wanted, frozenset(sensitive))
    return cast_nodes(model, targets, kept=kept, table=table)


def typed(
    model: Model, wanted: Resolution, sensitive: frozenset[str]
) -> tuple[dict[str, str], dict[str, str]]:
    """Node -> float16 or bfloat16; and the nodes that were to be one of these -> why they are not.

    Args:
        model: the network.
        wanted: precisions of its nodes.
        sensitive: operators left in float32 unless a rule names them.
    """
    targets: dict[str, str] = {}
    kept: dict[str, str] = {}
    for node in model.graph.nodes:
        precision = wanted[node.name]
        if precision not in (Precision.FP16, Precision.BF16):
            continue
        why = _unfit(model, node, precision.dtype)
        product = _product_before(model, node)
        follows = product and wanted[product] is precision
        named = node.name in wanted.explicit
        if not why and node.op_type in sensitive and not named and not follows:
            why = f"{node.op_type} is sensitive and stays in float32 unless a rule names it"
        if why:
            kept[node.name] = why
        else:
            targets[node.name] = precision.dtype
    return targets, kept


def _product_before(model: Model, node: Node) -> str:
    """The product whose result a BatchNormalization reads; empty if there is none."""
    place = model.graph.producer.get(node.inputs[0]) if node.inputs else None
    if place is None or node.op_type != "BatchNormalization":
        return ""
    before = model.graph.nodes[place]
    return before.name if before.op_type in _AFTER_PRODUCTS else ""


def _unfit(model: Model, node: Node, dtype: str) -> str:
    """Why a node cannot be of this type; empty if it can."""
    if node.op_type in _TYPE_SETTERS or node.captured:
        return f"{node.op_type} sets its types itself"
    floats = [name for name in node.makes if model.graph.spec(name).dtype == "float32"]
    if not floats:
        return f"{node.op_type} makes no float32 tensor"
    version = max(model.opsets.get("", 1), _NEWEST)
    form = _form(node, version)
    if form is None:
        return f"{node.op_type} is no operator of ONNX"
    if not _allows(form, node, dtype):
        return f"ONNX's {node.op_type} is not defined for {dtype}"
    return ""


@dataclass(frozen=True, slots=True)
class _Form:
    """Names of type variables by position, and the types each may be."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    types: Mapping[str, frozenset[str]] = field(hash=False)

    def variable(self, names: tuple[str, ...], i: int) -> str:
        """The type variable of a position; the last one goes on for variadic operators."""
        return names[min(i, len(names) - 1)] if names else ""


def _form(node: Node, version: int) -> _Form | None:
    if node.domain or not onnx.defs.has(node.op_type, version, ""):
        return None
    schema = onnx.defs.get_schema(node.op_type, version, "")
    types = {
        item.type_param_str: frozenset(item.allowed_type_strs) for item in schema.type_constraints
    }
    for item in (*schema.inputs, *schema.outputs):
        types.setdefault(item.type_str, frozenset({item.type_str}))
    return _Form(
        tuple(item.type_str for item in schema.inputs),
        tuple(item.type_str for item in schema.outputs),
        types,
    )


def _allows(form: _Form, node: Node, dtype: str) -> bool:
    """Whether the node may make this type, or where it makes none of it, read it."""
    wish = f"tensor({dtype})"
    made = [wish in form.types[form.variable(form.outputs, i)] for i in range(len(node.outputs))]
    if node.op_type == "QuantizeLinear":
        # Up to operator set 18 it read any float but its scale was float32.
        return wish in form.types[form.variable(form.inputs, 1)]
    return any(made)


def cast_nodes(
    model: Model,
    targets: Mapping[str, str],
    *,
    kept: Mapping[str, str] | None = None,
    table: CalibrationTable | None = None,
) -> Transformed:
    """The model with exactly these nodes in these types, batch normalization folded; see `cast`.

    Args:
        model: the network.
        targets: node -> ``float16`` or ``bfloat16``; nodes that can be typed so.
        kept: what to say of others in `Transformed.kept`.
        table: see `cast`.
    """
    start = fold_batch_norm(model, targets)
    left = {name: dtype for name, dtype in targets.items() if name in start.model.graph.position}
    raised = with_opset(start.model, _opset_for(start.model, left))
    if raised is not start.model:
        old = start.model.graph
        origin = {n.name: (n.name,) if n.name in old.position else () for n in raised.graph.nodes}
        start = start.then(Transformed(raised, old, origin))
    work = _Work(Draft(raised), left)
    work.run()
    report = CastReport(
        tuple(work.weights), work.casts, tuple(exceeding(table, targets, model.graph))
    )
    return start.then(finished(work.draft, work.origin, kept=kept or {}, report=report))


def _opset_for(model: Model, targets: Mapping[str, str]) -> int:
    """The operator set that defines all nodes for their types, the model's own if it does."""
    have = model.opsets.get("", 1)
    for name, dtype in targets.items():
        node = model.graph.node(name)
        form = _form(node, have)
        if form is None or not _allows(form, node, dtype):
            return max(have, _NEWEST)
    return have


class _Work:
    """Puts types and Casts into a draft."""

    def __init__(self, draft: Draft, targets: Mapping[str, str]) -> None:
        self.draft = draft
        self.graph = draft.graph
        self.targets = targets
        self.version = draft.model.opsets.get("", 1)
        self.weights: list[CastWeight] = []
        self.casts = 0
        self.origin: dict[str, tuple[str, ...]] = {}
        self._native: dict[str, str] = {}
        """Tensor -> the type it is made in, where that is not what it was."""
        self._versions: dict[tuple[str, str], str] = {}
        """Tensor and type -> name of the tensor in that type."""
        self._readers: dict[str, list[str]] = {}
        """Weight -> nodes it was converted for."""

    def run(self) -> None:
        for node in self.graph.nodes:
            if node.name in self.targets:
                self._retype_outputs(node, self.targets[node.name])
        for node in self.graph.nodes:
            self._connect(node)
        self._count_weights()

    def _retype_outputs(self, node: Node, dtype: str) -> None:
        form = _form(node, self.version)
        assert form is not None
        names = list(node.outputs)
        for i, name in enumerate(node.outputs):
            fits = f"tensor({dtype})" in form.types[form.variable(form.outputs, i)]
            if not name or not fits or self.graph.spec(name).dtype != "float32":
                continue
            self._native[name] = dtype
            self._versions[name, dtype] = name
            if self._given_out(name):
                names[i] = self.draft.unused(f"{name}/{dtype}")
                self._versions[name, dtype] = names[i]
                self._cast(names[i], name, "float32", node.name)
                self._versions[name, "float32"] = name
        self.draft.rewire(node.name, outputs=tuple(names))

    def _given_out(self, tensor: str) -> bool:
        """Whether a tensor must keep name and type: an output, or read from within a body."""
        if tensor in {spec.name for spec in self.graph.outputs}:
            return True
        readers = self.graph.consumers.get(tensor, ())
        return any(tensor in self.graph.nodes[j].captured for j in readers)

    def _connect(self, node: Node) -> None:
        dtype = self.targets.get(node.name, "float32")
        form = _form(node, self.version) if node.name in self.targets else None
        inputs = list(node.inputs)
        for i, name in enumerate(node.inputs):
            if not name or self.graph.spec(name).dtype != "float32":
                continue
            if node.op_type in _INDIFFERENT:
                inputs[i] = self._versions.get((name, self._native.get(name, "")), name)
                continue
            fits = form and f"tensor({dtype})" in form.types[form.variable(form.inputs, i)]
            inputs[i] = self._in_type(name, dtype if fits else "float32", node)
        self.draft.rewire(node.name, inputs=tuple(inputs))

    def _in_type(self, tensor: str, dtype: str, reader: Node) -> str:
        native = self._native.get(tensor, "float32")
        stored = None if dtype == native else self.draft.values(tensor)
        if stored is not None:
            self._readers.setdefault(tensor, []).append(reader.name)
        if (tensor, dtype) in self._versions:
            return self._versions[tensor, dtype]
        if dtype == native:
            return tensor
        if stored is not None:
            made = self.draft.store(f"{tensor}/{dtype}", rounded(stored, _NUMPY[dtype]))
        else:
            made = self.draft.unused(f"{tensor}/{dtype}")
            place = self.graph.producer.get(tensor)
            stands_for = reader.name if place is None else self.graph.nodes[place].name
            self._cast(self._versions.get((tensor, native), tensor), made, dtype, stands_for)
        self._versions[tensor, dtype] = made
        return made

    def _cast(self, source: str, made: str, dtype: str, stands_for: str) -> None:
        wish = f"{source}/to_{dtype}"
        node = self.draft.add("Cast", wish, (source,), (made,), to=int(_CODES[dtype]))
        self.origin[node.name] = (stands_for,)
        self.casts += 1

    def _count_weights(self) -> None:
        for tensor, nodes in self._readers.items():
            values = self.draft.values(tensor)
            for dtype in sorted({self.targets[name] for name in nodes}):
                assert values is not None
                readers = tuple(n for n in dict.fromkeys(nodes) if self.targets[n] == dtype)
                self.weights.append(counted(tensor, readers, values, _NUMPY[dtype]))
