"""A whole precision plan turned into types of a model, in one call."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from workbench.errors import PrecisionError
from workbench.model import Model
from workbench.precision import Precision, PrecisionPlan, Resolution
from workbench.precision.resolution import parsed
from workbench.ranges import CalibrationTable
from workbench.text import listed
from workbench.transform.casting import SENSITIVE, cast_nodes, typed
from workbench.transform.quantizing import Form, QuantizeReport, quantize
from workbench.transform.rounding import CastReport
from workbench.transform.values import Transformed, unchanged


@dataclass(frozen=True)
class LowerReport:
    """What both halves of a lowering had to say."""

    quantized: QuantizeReport | None
    """None where the plan has no INT8."""
    cast: CastReport | None
    """None where the plan has neither FP16 nor BF16."""


def lower(
    model: Model,
    plan: PrecisionPlan,
    table: CalibrationTable | None = None,
    *,
    form: Form | str = Form.TENSORRT,
    per_channel: bool = True,
    around: Precision | str = Precision.FP32,
    first: bool = True,
    last: bool = True,
    sensitive: Iterable[str] = SENSITIVE,
    any_model: bool = False,
) -> Transformed:
    """The model with every node in the precision the plan asks for: Q/DQ first, then Casts.

    FP32 and TF32 are the same type; whether TF32 may stand in is `BuildConfig.tf32`, for which
    `workbench.precision.uses_tf32` has the answer.

    Args:
        model: in float32.
        plan: the precisions.
        table: ranges; needed where the plan has INT8.
        form: as for `quantize`.
        per_channel: as for `quantize`.
        around: what is left of INT8 nodes in float is computed in: sums, activations, pooling, and
            the scales. FP16 is TensorRT's fastest from 10 on (it raises the operator set); with 8.6
            leave it at FP32 and allow FP16 by flag.
        first: as for `quantize`.
        last: as for `quantize`.
        sensitive: as for `cast`.
        any_model: as for `quantize`.

    Returns:
        The model, with a `LowerReport`.

    Raises:
        PrecisionError: a rule that fits nothing, or INT8 without a table.
        DataError: a table of another model, or with ranges missing.
        ModelError: an operator set that cannot be raised.
    """
    wanted = plan.resolve(model.graph)
    asked = set(wanted.precisions.values())
    names = frozenset(sensitive)
    targets, kept = typed(model, wanted, names)
    step, quantized, done = unchanged(model), None, None
    if Precision.INT8 in asked:
        if table is None:
            nodes = [name for name, precision in wanted.precisions.items() if precision == "int8"]
            raise PrecisionError(
                f"the plan asks for INT8 ({listed(nodes, 3)}), which needs ranges; calibrate and "
                "give the table"
            )
        step = quantize(
            model, table, plan, form=form, per_channel=per_channel, first=first, last=last,
            any_model=any_model,
        )  # fmt: skip
        quantized = step.report
        if (dtype := parsed(around).dtype) != "float32":
            targets |= _around(step, model, wanted, dtype, names)
    if targets:
        # Nodes that quantization merged away are typed with the node that holds them.
        alive = {
            name: dtype for name, dtype in targets.items() if name in step.model.graph.position
        }
        last_step = cast_nodes(step.model, alive, table=table)
        done = last_step.report
        step = step.then(last_step)
    return Transformed(
        step.model, model.graph, step.origin, {**step.kept, **kept}, LowerReport(quantized, done)
    )


def _around(
    step: Transformed, model: Model, wanted: Resolution, dtype: str, sensitive: frozenset[str]
) -> dict[str, str]:
    """The type of INT8 nodes, where they can have it, and of all Q/DQ beside them."""
    as_float = Resolution(
        {
            name: Precision.FP16 if precision is Precision.INT8 else Precision.FP32
            for name, precision in wanted.precisions.items()
        },
        wanted.reasons,
    )
    floats, _ = typed(model, as_float, sensitive)
    pairs = [
        node.name
        for node in step.model.graph.nodes
        if node.op_type in ("QuantizeLinear", "DequantizeLinear")
        and node.name not in model.graph.position
    ]
    return dict.fromkeys((*floats, *pairs), dtype)
