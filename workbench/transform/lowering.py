"""A whole precision plan turned into types of a model, in one call."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from workbench.errors import PrecisionError
from workbench.model import Model
from workbench.precision import Precision, PrecisionPlan
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
    first: bool = True,
    last: bool = True,
    sensitive: Iterable[str] = SENSITIVE,
    any_model: bool = False,
) -> Transformed:
    """The model with every node in the precision the plan asks for: Q/DQ first, then Casts.

    FP32 and TF32 are the same type; whether TF32 may stand in is `BuildConfig.tf32`, for which
    `workbench.precision.uses_tf32` has the answer. What float arithmetic is left around INT8
    products stays in float32.

    Args:
        model: in float32.
        plan: the precisions.
        table: ranges; needed where the plan has INT8.
        form: as for `quantize`.
        per_channel: as for `quantize`.
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
    targets, kept = typed(model, wanted, frozenset(sensitive))
    step, quantized, done = unchanged(model), None, None
    if Precision.INT8 in asked:
        if table is None:
            names = [name for name, precision in wanted.precisions.items() if precision == "int8"]
            raise PrecisionError(
                f"the plan asks for INT8 ({listed(names, 3)}), which needs ranges; calibrate and "
                "give the table"
            )
        step = quantize(
            model, table, plan, form=form, per_channel=per_channel, first=first, last=last,
            any_model=any_model,
        )  # fmt: skip
        quantized = step.report
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
