"""The one place that knows which TensorRT is here: its package, its version, what it can do.

Three families share one API with differences: TensorRT 8.6 to 11 (`tensorrt`), TensorRT for RTX
(`tensorrt_rtx`), and the bare bindings (`tensorrt_bindings`). Members of enums are used by name
only: their numbers change between versions.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import importlib.metadata
import importlib.util
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from workbench.backends.gpus import Gpu
from workbench.errors import MissingDependencyError
from workbench.text import shown
from workbench.worker import Worker

PACKAGES = ("tensorrt", "tensorrt_rtx", "tensorrt_bindings")
"""Importable names that hold a TensorRT, the preferred one first."""

INSTALL = (
    "pip install tensorrt-rtx (parses and builds without a GPU), or pip install tensorrt "
    "(needs an NVIDIA GPU)"
)
TARGETS = ("SM86", "SM89", "SM120")
"""GPU architectures a TensorRT-RTX plan is made for: GeForce RTX 30, 40 and 50."""

_TRY_SECONDS = 180.0
_OLDEST = (8, 6)
_LIBRARIES = ("nvinfer", "nvinfer_plugin", "nvparsers", "nvonnxparser")


@dataclass(frozen=True, slots=True)
class Abilities:
    """What one installed TensorRT can do on this machine, found by doing it."""

    package: str
    """Importable name, e.g. ``tensorrt_rtx``."""
    title: str
    """Product with its version, e.g. ``TensorRT-RTX 1.7.1.116``."""
    version: str
    parse: bool
    """Whether it answers what it takes of a model."""
    build: bool
    """Whether it builds plans."""
    run: bool
    """Whether it loads the plan it built, so that engines run."""
    gpus: tuple[Gpu, ...] = ()
    why_not: str = ""
    """What the first thing it cannot do failed with; empty where it can do all."""
    remedy: str = ""
    """What to do about that."""


def installed() -> tuple[str, ...]:
    """Names of the TensorRT packages that are installed; none of them is imported."""
    return tuple(name for name in PACKAGES if importlib.util.find_spec(name) is not None)


@cache
def survey() -> tuple[Abilities, ...]:
    """Each installed TensorRT, tried in a child process: parse, build and load a tiny network.

    Takes about two seconds for each; the answer is kept for the life of the process.
    """
    return tuple(_tried(package) for package in installed())


def choose(package: str | None = None) -> str:
    """The package to use: the one asked for, else the first installed one that parses here.

    Raises:
        MissingDependencyError: it, or any, is not installed or does not work; says what to install.
        ValueError: not a name of a TensorRT package.
    """
    if package is not None and package not in PACKAGES:
        raise ValueError(f"package is {shown(package)}; must be one of {', '.join(PACKAGES)}")
    names = installed()
    if package is not None and package not in names:
        raise MissingDependencyError(
            f"the Python package {package} is not installed; {INSTALL}", backend="tensorrt"
        )
    if not names:
        raise MissingDependencyError(
            f"no TensorRT is installed; {INSTALL}. Without it, the support tables "
            "(tensorrt-8.6, tensorrt-10.16, tensorrt-11.1) still tell what a version takes",
            backend="tensorrt",
        )
    if package is not None or len(names) == 1:
        return package or names[0]
    for abilities in survey():
        if abilities.parse:
            return abilities.package
    told = "; ".join(f"{found.package}: {found.why_not}" for found in survey())
    raise MissingDependencyError(f"no installed TensorRT works: {told}", backend="tensorrt")


def module(package: str) -> Any:
    """The imported TensorRT.

    Raises:
        MissingDependencyError: it cannot be imported, with the loader's words, or is too old.
    """
    try:
        if package == "tensorrt_bindings":
            _load_libraries_beside(package)
        found = importlib.import_module(package)
    except (ImportError, OSError) as error:
        raise MissingDependencyError(
            f"{package} is installed but cannot be imported: {shown(error, 400)}; "
            f"reinstall it: {INSTALL}",
            backend="tensorrt",
        ) from error
    _refuse_old(package, str(getattr(found, "__version__", "")))
    return found


def _refuse_old(package: str, found: str) -> None:
    numbers = tuple(int(part) for part in re.findall(r"\d+", found)[:2])
    if package != "tensorrt_rtx" and numbers < _OLDEST:
        raise MissingDependencyError(
            f"{package} is TensorRT {shown(found) or 'of an unknown version'}, which is too old: "
            f"{'.'.join(map(str, _OLDEST))} or newer is needed; {INSTALL}",
            backend="tensorrt",
        )


def _load_libraries_beside(package: str) -> None:
    """Load TensorRT's libraries where they lie beside the bare bindings, which do not look there.

    The major version is in the libraries' names; they need one another, so several rounds.
    """
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        return
    here = Path(next(iter(found.submodule_search_locations))).parent
    left = [p for name in _LIBRARIES for p in sorted(here.glob(f"lib{name}.so.*"))]
    for _ in _LIBRARIES:
        for path in tuple(left):
            with contextlib.suppress(OSError):
                ctypes.CDLL(str(path), ctypes.RTLD_GLOBAL)
                left.remove(path)


def version(package: str) -> str:
    """Version of an installed package without importing it where its metadata has it."""
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        return importlib.metadata.version(package)
    return str(module(package).__version__)


def product(package: str) -> str:
    """``TensorRT-RTX`` or ``TensorRT``; neither runs the plans of the other."""
    return "TensorRT-RTX" if package == "tensorrt_rtx" else "TensorRT"


def title(package: str) -> str:
    """Product and version as people say it: ``TensorRT-RTX 1.7.1.116``."""
    return f"{product(package)} {version(package)}"


def logger(trt: Any, *, keep: tuple[str, ...] = ("INTERNAL_ERROR", "ERROR", "WARNING")) -> Any:
    """A TensorRT logger that prints nothing.

    Its `lines` is a list of ``(severity name, text)`` of the severities in `keep`; whoever makes
    a call empties it before and reads it after, because TensorRT returns None and says why here.
    """

    class Collector(trt.ILogger):
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.lines: list[tuple[str, str]] = []

        def log(self, severity: Any, text: str) -> None:
            if severity.name in keep:
                self.lines.append((severity.name, text))

    return Collector()


def network(trt: Any, builder: Any) -> Any:
    """An empty network: strongly typed where the version knows that, else explicit batch."""
    name = "STRONGLY_TYPED" if is_strongly_typed(trt) else "EXPLICIT_BATCH"
    flag = trt.NetworkDefinitionCreationFlag.__members__[name]
    return builder.create_network(1 << int(flag))


def is_strongly_typed(trt: Any) -> bool:
    """Whether networks can keep the types of the model: TensorRT 10.0 and newer, and RTX."""
    return "STRONGLY_TYPED" in trt.NetworkDefinitionCreationFlag.__members__


def aim(trt: Any, config: Any, targets: Sequence[str] = TARGETS) -> tuple[str, ...]:
    """Make the config build for these GPU architectures where the product builds without a GPU.

    Returns:
        The names it was aimed at; empty for a product that builds for the GPU it finds.

    Raises:
        ValueError: an architecture that this version does not know.
    """
    if not hasattr(trt, "ComputeCapability"):
        return ()
    known = trt.ComputeCapability.__members__
    for name in targets:
        if name not in known:
            raise ValueError(
                f"compute capability {shown(name)} is not known to TensorRT-RTX; "
                f"it knows {', '.join(sorted(known))}"
            )
    config.num_compute_capabilities = len(targets)
    for index, name in enumerate(targets):
        config.set_compute_capability(known[name], index)
    return tuple(targets)


def _tried(package: str) -> Abilities:
    from workbench.backends.tensorrt import tryout

    try:
        with Worker() as worker:
            return worker.call(tryout.abilities, package, timeout=_TRY_SECONDS)
    except Exception as error:
        return Abilities(
            package, package, "", parse=False, build=False, run=False,
            why_not=shown(error, 400), remedy=f"reinstall it: {INSTALL}",
        )  # fmt: skip
