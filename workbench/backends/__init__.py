"""Backends by name: who can build and run engines here, and who can say what TensorRT takes.

Nothing of a backend, and no library, is imported before it is asked for.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from workbench.backends.base import Backend, CapabilitySource
from workbench.errors import WorkbenchError
from workbench.text import nearest, shown

__all__ = ["Report", "get", "names", "source", "sources", "survey"]

_BACKENDS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "reference": ("workbench.backends.reference", "Reference"),
        "onnxruntime": ("workbench.backends.onnxruntime", "OnnxRuntime"),
        "openvino": ("workbench.backends.openvino", "OpenVINO"),
        "tensorrt": ("workbench.backends.tensorrt", "TensorRT"),
    }
)
_TABLES = ("8.6", "10.16", "11.1")
_REMEDIES = MappingProxyType(
    {
        "reference": "pip install onnx",
        "onnxruntime": "pip install onnxruntime",
        "openvino": "pip install openvino",
        "tensorrt": "pip install tensorrt-rtx (any machine, Linux x86-64), or tensorrt with a GPU",
    }
)
_ELSEWHERE = "a machine that has the device it runs on, with its driver"


@dataclass(frozen=True, slots=True)
class Report:
    """What one backend can do on this machine, found out by trying."""

    name: str
    version: str
    """Version of the library, empty where it is not installed."""
    installed: bool
    usable: bool
    """Whether it built and ran a network just now; being installed is not enough."""
    why_not: str = ""
    """Why it is not usable, safe to print."""
    remedy: str = ""
    """What to do about it."""
    can: tuple[str, ...] = ()
    """What worked, of ``capability``, ``build`` and ``run``; a backend may plan without running."""


def names() -> tuple[str, ...]:
    """Names of all backends, installed or not."""
    return tuple(_BACKENDS)


def get(name: str, **options: Any) -> Backend:
    """The backend `name`, with the options its class takes.

    Raises:
        ValueError: no such backend.
        MissingDependencyError: its library is not installed, where making it needs the library.
    """
    if name not in _BACKENDS:
        raise ValueError(
            f"there is no backend {shown(name)}{nearest(str(name), _BACKENDS)}; "
            f"backends are {', '.join(_BACKENDS)}"
        )
    module, attribute = _BACKENDS[name]
    return getattr(importlib.import_module(module), attribute)(**options)


def sources() -> tuple[str, ...]:
    """Names of everything that can say which nodes it takes: backends, then support tables."""
    return (*_BACKENDS, *(f"tensorrt-{version}" for version in _TABLES))


def source(name: str, **options: Any) -> CapabilitySource:
    """The capability source `name`, one of `sources`.

    Raises:
        ValueError: no such source.
        MissingDependencyError: as for `get`.
    """
    if name in _BACKENDS:
        return get(name, **options)
    if name not in sources():
        raise ValueError(
            f"there is no capability source {shown(name)}{nearest(str(name), sources())}; "
            f"sources are {', '.join(sources())}"
        )
    table = importlib.import_module("workbench.backends.tensorrt").SupportTable
    return table(name.removeprefix("tensorrt-"), **options)


def survey() -> tuple[Report, ...]:
    """A report for each backend; the CPU backends run a network of one node to find out."""
    return tuple(_report(name) for name in _BACKENDS)


def _report(name: str) -> Report:
    from workbench.backends.trial import tried

    try:
        backend = get(name)
        version = backend.version
    except (WorkbenchError, ImportError) as error:
        return Report(name, "", False, False, shown(error, 400), _REMEDIES[name])
    can: list[str] = []
    try:
        for ability in tried(backend):
            can.append(ability)  # noqa: PERF402 - what came before a failure counts
    except Exception as error:
        remedy = _ELSEWHERE if can else _REMEDIES[name]
        return Report(name, version, True, False, shown(error, 400), remedy, tuple(can))
    return Report(name, version, True, True, can=tuple(can))
