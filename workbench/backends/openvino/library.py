"""The one place that imports OpenVINO, and what must be known of it before anything is built."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from workbench.errors import MissingDependencyError
from workbench.text import nearest, shown

NAME = "openvino"
DEVICE = "CPU"

_NOISE = re.compile(
    r"^(Exception from |While validating|Check '|FrontEnd API failed|Model wasn't fully|Summary:"
    r"|To facilitate the conversion|Encountered unconverted|-- Conversion is failed)"
)

_HIDDEN_PROPERTIES = ("SNIPPETS_MODE",)


@lru_cache(maxsize=1)
def library() -> Any:
    """The package ``openvino``.

    Raises:
        MissingDependencyError: it cannot be imported.
    """
    try:
        import openvino
    except ImportError as error:
        raise MissingDependencyError(
            f"OpenVINO cannot be imported ({shown(error)}); install it: pip install openvino",
            backend=NAME,
        ) from error
    return openvino


@lru_cache(maxsize=1)
def core() -> Any:
    """The one ``Core`` of this process; making one loads the CPU plugin."""
    return library().Core()


@lru_cache(maxsize=1)
def version() -> str:
    """OpenVINO's version without the build number, e.g. ``2026.4.1``."""
    return library().get_version().split("-")[0]


@lru_cache(maxsize=1)
def requirements() -> str:
    """What a blob exported here asks of the machine that imports it: version and instruction set.

    Source: the property ``RUNTIME_REQUIREMENTS``, which only a compiled model has.
    """
    ov = library()
    x = ov.opset13.parameter([1], ov.Type.f32)
    tiny = ov.Model([ov.opset13.relu(x)], [x], "tiny")
    compiled = core().compile_model(tiny, DEVICE, properties(1, "f32", {}))
    return str(compiled.get_property("RUNTIME_REQUIREMENTS"))


@lru_cache(maxsize=1)
def has_fp16() -> bool:
    """Whether the CPU computes in float16."""
    return "FP16" in core().get_property(DEVICE, "OPTIMIZATION_CAPABILITIES")


def properties(threads: int, precision: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """The compile and import properties, always the same for both.

    Without the precision OpenVINO takes bfloat16 on a CPU that has it, and a blob does not remember
    what it was compiled for. Pinned threads of several engines would share a core. Dynamic
    quantization would compute in INT8 what the model has in float.

    Raises:
        ValueError: an option OpenVINO's CPU plugin does not know.
    """
    known = [*_writable(), *_HIDDEN_PROPERTIES]
    for name in options:
        if name not in known:
            raise ValueError(
                f"OpenVINO's CPU plugin has no property {shown(name)}{nearest(str(name), known)}; "
                f"it has {', '.join(sorted(known))}"
            )
    return {
        "INFERENCE_PRECISION_HINT": precision,
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "ENABLE_CPU_PINNING": False,
        "DYNAMIC_QUANTIZATION_GROUP_SIZE": 0,
        **options,
    }


@lru_cache(maxsize=1)
def _writable() -> tuple[str, ...]:
    found = core().get_property(DEVICE, "SUPPORTED_PROPERTIES")
    return tuple(name for name, access in found.items() if access != "RO")


def words(error: BaseException, most: int = 400) -> str:
    """What OpenVINO said, without the lines that only name its source files."""
    lines = [line.strip() for line in str(error).splitlines()]
    kept = [line for line in lines if line and not _NOISE.match(line)]
    text = " ".join(kept or [line for line in lines if line][-1:])
    return shown(text.removeprefix("-- "), most) or type(error).__name__
