"""Whether a table is of a network, and whether it has what the network needs."""

from __future__ import annotations

from collections.abc import Sequence

from workbench.calibrate.watching import activations
from workbench.errors import DataError
from workbench.model import Model
from workbench.ranges import CalibrationTable
from workbench.text import listed, shown

UNNAMED = "(Unnamed Layer* "
"""How TensorRT's own names for tensors without one begin."""


def extra(table: CalibrationTable, model: Model) -> tuple[str, ...]:
    """Tensors of the table that the model has not, in the table's order.

    TensorRT's own names for tensors without one are not counted: no model has them.
    """
    graph = model.graph
    known = {*graph.producer, *(s.name for s in (*graph.inputs, *graph.initializers))}
    return tuple(n for n in table.ranges if n not in known and not n.startswith(UNNAMED))


def missing(
    table: CalibrationTable, model: Model, tensors: Sequence[str] | None = None
) -> tuple[str, ...]:
    """Tensors that have no range in the table, of those given or of `activations(model)`."""
    return table.missing(activations(model) if tensors is None else tensors)


def check(table: CalibrationTable, model: Model, *, tensors: Sequence[str] | None = None) -> None:
    """Make sure that a table can be used for a model.

    Args:
        table: the table.
        model: the network.
        tensors: those that must have a range; by default `activations(model)`, of which a table
            that was made from this very model may lack some: they were always zero.

    Raises:
        DataError: the table is bound to another model (the message has both digests), names tensors
            that the model has not, or lacks some that are needed.
    """
    if table.model_digest and table.model_digest != model.digest:
        raise DataError(
            f"the calibration table was made from the model with digest {table.model_digest}, but "
            f"{shown(model.name)} has digest {model.digest}; calibrate this model"
        )
    if strange := extra(table, model):
        raise DataError(
            f"the calibration table has ranges for {listed(strange)}, which model "
            f"{shown(model.name)} has not ({len(strange)} of {len(table)}); it is of another "
            "model: calibrate this one"
        )
    gone = missing(table, model, tensors)
    if gone and (tensors is not None or not table.model_digest):
        raise DataError(
            f"the calibration table has no range for {listed(gone)} of model {shown(model.name)}; "
            "lines are missing, or another selection was calibrated: calibrate again"
        )
