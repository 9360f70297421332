"""Other weights for an engine that is built: TensorRT's refitter."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.backends.tensorrt.runtime import Opened
from workbench.errors import RunError, WorkbenchError
from workbench.text import listed, shown

if TYPE_CHECKING:
    from workbench.model import Model


def refitted(opened: Opened, model: Model) -> bytes:
    """The plan of a loaded engine with the weights of a model.

    The loaded engine itself gets them too; who shares it must not run meanwhile.

    Raises:
        RunError: TensorRT refuses; says which weights are missing.
    """
    trt, engine = opened.trt, opened.engine
    if not engine.refittable:
        raise RunError(
            "this engine keeps its weights; build it with options={'refit': True}",
            backend="tensorrt",
        )
    opened.log.lines.clear()
    refitter = trt.Refitter(engine, opened.log)
    kept = _by_parser(trt, refitter, opened, model)
    if kept is None:
        kept = _by_name(refitter, opened, model)
    if not refitter.refit_cuda_engine():
        missing = refitter.get_missing_weights()
        hint = "; fold batch normalization into the weights before the build" if missing else ""
        raise opened.failed(f"putting other weights in (lacking {listed(missing)}{hint})")
    plan = engine.serialize()
    if plan is None:
        raise opened.failed("writing the engine with its new weights")
    return bytes(plan)


def _by_parser(trt: Any, refitter: Any, opened: Opened, model: Model) -> Any:
    """The parser finds the weights where the version has one for it; keeps what they lie in."""
    if not hasattr(trt, "OnnxParserRefitter"):
        return None
    parser, data = trt.OnnxParserRefitter(refitter, opened.log), model.serialize()
    if not parser.refit_from_bytes(data):
        raise opened.failed("reading the new weights")
    return parser, data


def _by_name(refitter: Any, opened: Opened, model: Model) -> list[np.ndarray]:
    kept = []
    for name in refitter.get_all_weights():
        try:
            values = np.ascontiguousarray(model.weights(name))
        except WorkbenchError:
            continue  # Made by TensorRT itself; the refitter asks for it if it needs it.
        kept.append(values)
        if not refitter.set_named_weights(name, values):
            raise opened.failed(f"weights {shown(name)} of shape {values.shape}")
    return kept
