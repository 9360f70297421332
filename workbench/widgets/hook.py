"""Tells IPython how values show themselves. Imports nothing heavy: types are given by name."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from workbench.text import shown

TYPES: Mapping[tuple[str, str], str] = {
    ("workbench.model.core", "Model"): "model_bundle",
    ("workbench.partitioning.values", "Capability"): "capability_bundle",
    ("workbench.partitioning.values", "Partition"): "partition_bundle",
    ("workbench.partitioning.planning", "Plan"): "plan_bundle",
    ("workbench.hybrid.engine", "Hybrid"): "hybrid_bundle",
    ("workbench.hybrid.parts", "PlannedEngine"): "engine_bundle",
    ("workbench.study.results", "Study"): "study_bundle",
    ("workbench.ranges", "CalibrationTable"): "table_bundle",
    ("matplotlib.figure", "Figure"): "figure_bundle",
}
"""Module and name of a type -> the function of `workbench.widgets.display` that shows it."""


def register(shell: Any) -> None:
    """Name the types with a display to a running IPython; doing so again changes nothing."""
    formatter = shell.display_formatter.mimebundle_formatter
    for module, name in TYPES:
        formatter.for_type_by_name(module, name, bundle)


def bundle(value: Any) -> dict[str, str]:
    """How a value is shown, by MIME type.

    Raises:
        TypeError: a type that has no display here.
    """
    for kind in type(value).__mro__:
        made = TYPES.get((kind.__module__, kind.__qualname__))
        if made:
            return getattr(importlib.import_module("workbench.widgets.display"), made)(value)
    raise TypeError(f"{shown(type(value).__qualname__)} has no display; print it instead")
