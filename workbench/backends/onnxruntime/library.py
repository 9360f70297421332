"""The one place that imports ONNX Runtime, and its options as the workbench sets them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from workbench.errors import MissingDependencyError
from workbench.text import nearest, shown

NAME = "onnxruntime"
PROVIDERS = ("CPUExecutionProvider",)
DEVICES = ("cpu", "cuda")

LEVELS: Mapping[str, str] = {
    "disable_all": "ORT_DISABLE_ALL",
    "basic": "ORT_ENABLE_BASIC",
    "extended": "ORT_ENABLE_EXTENDED",
    "all": "ORT_ENABLE_ALL",
}
_BY_NUMBER = ("disable_all", "basic", "extended", "all", "all", "all")
_DEFAULTS: Mapping[str, Any] = {
    "graph_optimization_level": "all",
    "use_deterministic_compute": False,
    "allow_spinning": True,
    "enable_cpu_mem_arena": True,
}
_SEVERITY_FATAL = 4
_SOURCE_FILE = re.compile(r"\S*/onnxruntime_src/\S+|\[ONNXRuntimeError\] : \d+ : ")


@lru_cache(maxsize=1)
def library() -> Any:
    """The package ``onnxruntime``.

    Raises:
        MissingDependencyError: it cannot be imported.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingDependencyError(
            f"ONNX Runtime cannot be imported ({shown(error)}); install it: "
            "pip install onnxruntime",
            backend=NAME,
        ) from error
    return onnxruntime


def settings(level: int | None, given: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a build, all of them, as JSON values.

    Args:
        level: `BuildConfig.optimization_level`; 0 runs the graph as it is written, 1 folds
            constants, 2 also fuses, 3 and above also change layouts. None is 3.
        given: ``graph_optimization_level`` (disable_all, basic, extended, all; wins over `level`),
            ``use_deterministic_compute``, ``allow_spinning``, and ``enable_cpu_mem_arena``, without
            which memory is given back after every run.

    Raises:
        ValueError: an unknown option or value.
    """
    for name in given:
        if name not in _DEFAULTS:
            raise ValueError(
                f"ONNX Runtime has no option {shown(name)} here{nearest(str(name), _DEFAULTS)}; "
                f"options are {', '.join(_DEFAULTS)}"
            )
    chosen = {**_DEFAULTS, **given}
    if level is not None and "graph_optimization_level" not in given:
        chosen["graph_optimization_level"] = _BY_NUMBER[level]
    if chosen["graph_optimization_level"] not in LEVELS:
        raise ValueError(
            f"graph_optimization_level is {shown(chosen['graph_optimization_level'])}; "
            f"must be one of {', '.join(LEVELS)}"
        )
    return chosen


def session_options(threads: int, level: str, chosen: Mapping[str, Any]) -> Any:
    """Options of one session.

    The number of threads is always set: by default each session starts as many as there are cores.
    """
    ort = library()
    chosen = {**_DEFAULTS, **chosen}  # a plan of before may lack one
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, LEVELS[level])
    options.use_deterministic_compute = bool(chosen["use_deterministic_compute"])
    options.enable_cpu_mem_arena = bool(chosen["enable_cpu_mem_arena"])
    options.log_severity_level = _SEVERITY_FATAL
    spin = "1" if chosen["allow_spinning"] else "0"
    options.add_session_config_entry("session.intra_op.allow_spinning", spin)
    return options


def words(error: BaseException, most: int = 400) -> str:
    """What ONNX Runtime said, without its error numbers and source files."""
    text = " ".join(_SOURCE_FILE.sub("", str(error)).split())
    return shown(text, most) or type(error).__name__
