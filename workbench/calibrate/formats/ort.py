"""ONNX Runtime's ranges as JSON: ``save_tensors_data`` of its quantization tools.

The reader of ONNX Runtime takes no notice of entries it does not know, so the digests of model and
data travel in one of ours.
"""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

from workbench.errors import DataError
from workbench.ranges import CalibrationTable, Range
from workbench.text import listed, shown

ZERO = "always_zero"
"""Detail of a table that names the tensors that were always zero."""

_OURS = "workbench"
BOUND = ("method", "model_digest", "data_digest", "samples")
"""Fields of a table that are noted for it."""

_METHODS = {"minmax": "MinMax", "entropy": "Entropy", "percentile": "Percentile"}


def is_ranges(fields: Any) -> bool:
    """Whether parsed JSON is such a file."""
    return isinstance(fields, dict) and fields.get("CLS") == "TensorsData"


def parsed(text: str, where: str) -> Any:
    """The JSON value of a text in which no name is used twice.

    Raises:
        DataError: it is no JSON; names file and line.
    """
    try:
        return json.loads(text, object_pairs_hook=_once)
    except json.JSONDecodeError as error:
        raise DataError(
            f"{where}, line {error.lineno}: is no JSON ({shown(error.msg)}, column {error.colno}); "
            "the file is cut or was changed: write it again"
        ) from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where}, line 1: {shown(error, 300)}; write the file again") from error


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(
            f"{listed(sorted({n for n in names if names.count(n) > 1}))} is there twice"
        )
    return found


def read(fields: Any, where: str, *, leave_out: bool = False) -> CalibrationTable:
    """The table of parsed JSON.

    Args:
        fields: what `parsed` gave.
        where: the file, safe to print.
        leave_out: skip ranges that no scale can be made of instead of refusing the file.

    Raises:
        DataError: something is missing or wrong; names file and tensor.
    """
    try:
        method = str(fields["calibration_method"]["value"]).rpartition(".")[2]
        entries = dict(fields["data"])
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{where}: has no {shown(error)}; it is no file of save_tensors_data: write it again"
        ) from error
    ranges: dict[str, Range] = {}
    for tensor, entry in entries.items():
        try:
            ranges[tensor] = Range(_number(entry, "lowest"), _number(entry, "highest"))
        except DataError as error:
            if leave_out:
                continue
            raise DataError(f"{where}: tensor {shown(tensor)}: {error}; calibrate again") from error
    if not ranges:
        raise DataError(f"{where}: holds no tensor with a range; calibrate again")
    ours = fields.get(_OURS)
    ours = ours if isinstance(ours, dict) else {}
    back = {theirs: mine for mine, theirs in _METHODS.items()}
    chosen = ours.get("method") or back.get(method, method.lower() or "unknown")
    table = CalibrationTable(str(chosen), ranges, details={"format": "onnxruntime", "kind": method})
    return bound(table, ours, where)


def bound(table: CalibrationTable, said: dict[str, Any], where: str) -> CalibrationTable:
    """The table with the digests, samples and always-zero tensors that were noted for it.

    Raises:
        DataError: an entry of the wrong type; names the file.
    """
    zero = said.get(ZERO) or []
    try:
        if not isinstance(zero, list) or not all(isinstance(name, str) for name in zero):
            raise DataError(f"{ZERO} is no list of names")
        return replace(
            table,
            details={**table.details, **({ZERO: zero} if zero else {})},
            **{key: said[key] for key in BOUND if key in said},
        )
    except DataError as error:
        raise DataError(f"{where}: {error}; write the file again") from error


def _number(entry: Any, name: str) -> float:
    value = entry.get(name) if isinstance(entry, dict) else None
    if isinstance(value, dict):
        value = value.get("data")
    while isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, list):
        raise DataError(
            f"{name} has {len(value)} values; ranges of activations are of all channels"
        )
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise DataError(f"{name} is {shown(value)}; must be a finite number")
    return float(value)


def write(table: CalibrationTable) -> str:
    """The text of the file; `quantize_static(calibration_cache_path=...)` takes it.

    Methods that ONNX Runtime does not have are called ``MinMax``: the ranges are taken as they are.
    """
    data = {
        name: {
            "lowest": _scalar(one.low), "highest": _scalar(one.high), "CLS": "TensorData",
        }
        for name, one in table.ranges.items()
    }  # fmt: skip
    value = f"CalibrationMethod.{_METHODS.get(table.method, 'MinMax')}"
    ours = {key: getattr(table, key) for key in BOUND}
    ours[ZERO] = list(table.details.get(ZERO, ()))
    fields = {
        "CLS": "TensorsData", "data": data, "smooth_quant": False, _OURS: ours,
        "calibration_method": {"CLS": "CalibrationMethod", "value": value},
    }  # fmt: skip
    return json.dumps(fields, indent=1) + "\n"


def _scalar(value: float) -> dict[str, Any]:
    return {"data": value, "dtype": "float32", "CLS": "numpy.array"}
