"""Model -> model: types, quantization, and what makes room for them.

Every function takes a frozen model and gives a `Transformed`: a new model, the way back from its
nodes to the user's, and a report. No backend is known here; all of them get the same model.
"""

from workbench.transform.casting import SENSITIVE, cast
from workbench.transform.equalizing import Equalized, EqualizeReport, equalize
from workbench.transform.folding import clean, fold_batch_norm
from workbench.transform.lowering import LowerReport, lower
from workbench.transform.quantizing import Form, Pair, QuantizeReport, needed_ranges, quantize
from workbench.transform.reviewing import Fault, Finding, QuantizationReport, quantization_report
from workbench.transform.rounding import CastReport, CastWeight
from workbench.transform.values import Transformed

__all__ = [
    "SENSITIVE", "CastReport", "CastWeight", "EqualizeReport", "Equalized", "Fault", "Finding",
    "Form", "LowerReport", "Pair", "QuantizationReport", "QuantizeReport", "Transformed", "cast",
    "clean", "equalize", "fold_batch_norm", "lower", "needed_ranges", "quantization_report",
    "quantize",
]  # fmt: skip
