"""The three seams every backend fits: `Backend` builds an `Engine`, an `Engine` opens a `Session`.

A partition turned into engines and native regions is itself an `Engine`, so nothing above these
protocols knows whether it runs one backend or several. `workbench.testing.check_backend` is the
contract as a function.

What does not run any more is still accounted for. `Engine.layers` lists every original node as the
origin of a layer, and where the backend computed nodes at build time or dropped them as no-ops it
adds at most two layers that hold these: `FOLDED` and `REMOVED`, without inputs and outputs and in
the domain `LAYER_DOMAIN`. `executed` leaves them out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

from workbench.graph import Graph, Node, TensorSpec
from workbench.partitioning import Capability
from workbench.progress import Progress, silent
from workbench.text import shown

if TYPE_CHECKING:
    from workbench.model import Model

Feeds = Mapping[str, np.ndarray]
"""Input tensor name -> array of exactly the declared dtype and a shape that fits."""

Outputs = dict[str, np.ndarray]
"""Output tensor name -> array that belongs to the caller; a later run never changes it."""

LAYER_DOMAIN = "workbench"
"""Domain of the layers that stand for nodes that do not run."""

FOLDED = "Folded"
"""`op_type` of the layer whose origin was computed at build time, because it needs no input."""

REMOVED = "Removed"
"""`op_type` of the layer whose origin was dropped, because it changes nothing."""

UNEXPLAINED = "unexplained"
"""Attribute of a layer: those nodes of its origin that are counted to it for want of a better
place, because neither the backend nor a rule says where they went."""

NO_SHAPES: Mapping[str, ShapeRange] = MappingProxyType({})
NO_OPTIONS: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class ShapeRange:
    """The shapes an input may take: a profile's min, opt and max, each of the input's rank.

    Raises:
        ValueError: ranks differ, an extent is negative, or min <= opt <= max does not hold.
    """

    min: tuple[int, ...]
    opt: tuple[int, ...]
    """What the engine is tuned for."""
    max: tuple[int, ...]

    def __post_init__(self) -> None:
        if not len(self.min) == len(self.opt) == len(self.max):
            raise ValueError(f"min {self.min}, opt {self.opt} and max {self.max} differ in rank")
        for axis, (low, best, high) in enumerate(zip(self.min, self.opt, self.max, strict=True)):
            if not 0 <= low <= best <= high:
                raise ValueError(
                    f"axis {axis}: min {low}, opt {best}, max {high}; "
                    "must be 0 <= min <= opt <= max"
                )

    def holds(self, shape: tuple[int, ...]) -> bool:
        """Whether a shape lies within the range on every axis."""
        return len(shape) == len(self.min) and all(
            low <= extent <= high
            for low, extent, high in zip(self.min, shape, self.max, strict=True)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildConfig:
    """How engines are built. Precision is not here: it is a property of the model.

    Raises:
        ValueError: a number outside its range.
    """

    shapes: Mapping[str, ShapeRange] = field(default_factory=lambda: NO_SHAPES, hash=False)
    """Ranges of dynamic inputs by tensor name; inputs not named keep their declared shape."""
    workspace_bytes: int | None = None
    """Scratch memory a kernel may use; None leaves it to the backend."""
    optimization_level: int | None = None
    """0 (build fast) to 5 (run fast); None is the backend's default."""
    threads: int = 1
    """CPU threads an engine may use."""
    tf32: bool = True
    """Whether TensorFloat-32 may stand in for FP32 on a GPU."""
    options: Mapping[str, Any] = field(default_factory=lambda: NO_OPTIONS, hash=False)
    """A backend's own settings by its own names; an unknown one is an error."""

    def __post_init__(self) -> None:
        for name, low, high in (
            ("workspace_bytes", 1, 1 << 62), ("optimization_level", 0, 5), ("threads", 1, 4096)
        ):  # fmt: skip
            value = getattr(self, name)
            if value is None and name != "threads":
                continue
            # True counts as 1 in Python and as something else in a backend.
            if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
                wanted = f"a whole number from {low} to {high}"
                raise ValueError(f"{name} is {shown(repr(value))}; must be {wanted}")
        if not isinstance(self.tf32, bool):
            raise ValueError(f"tf32 is {shown(repr(self.tf32))}; must be True or False")
        for name in ("shapes", "options"):
            if not isinstance(getattr(self, name), Mapping):
                raise ValueError(f"{name} is {shown(getattr(self, name))}; must be a mapping")


def executed(layers: Graph) -> tuple[Node, ...]:
    """The layers that really run: all but the ones that hold folded and removed nodes."""
    return tuple(
        node
        for node in layers.nodes
        if node.domain != LAYER_DOMAIN or node.op_type not in (FOLDED, REMOVED)
    )


@runtime_checkable
class CapabilitySource(Protocol):
    """Anything that can say which nodes it takes: a backend, a live parser, a support table."""

    @property
    def name(self) -> str:
        """Short and stable, as typed on the command line."""
        ...

    def capability(self, model: Model) -> Capability:
        """A verdict for every node of the model, with the reason in the source's own words."""
        ...


@runtime_checkable
class Session(Protocol):
    """Buffers and state to run an engine; one thread at a time. A context manager."""

    def __enter__(self) -> Session: ...

    def __exit__(self, *args: object) -> None: ...

    def run(self, feeds: Feeds) -> Outputs:
        """Outputs for the feeds.

        Raises:
            DataError: a missing, unknown or misfitting input; names the input, what was expected
                and what was given. Never converts a dtype silently.
            RunError: the backend failed, or the session is closed.
        """
        ...

    def bind(self, buffers: Mapping[str, np.ndarray]) -> Callable[[], None]:
        """A call that runs the engine on caller-owned buffers, without copies where it can.

        Args:
            buffers: one C-contiguous array for every input and every output, of the concrete
                shapes of this run. The session keeps them alive.

        Raises:
            DataError: a buffer that is missing or does not fit.
            RunError: this engine cannot run on fixed buffers (data-dependent output shapes).
        """
        ...

    def profile(self) -> dict[str, float]:
        """Layer name -> seconds in one run, names as in `Engine.layers()`.

        Taken by running the feeds of the last `run` again with timing switched on, so that `run`
        itself is never slowed down; the arrays of that run must not have been changed since.
        Empty where the backend cannot tell.

        Raises:
            RunError: nothing was run yet, or the session is closed.
        """
        ...

    def close(self) -> None:
        """Free everything; closing twice is fine."""
        ...


@runtime_checkable
class Engine(Protocol):
    """A network made ready to run by one backend, or by several (a hybrid)."""

    @property
    def backend(self) -> str:
        """Name of the backend that made it."""
        ...

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """What `run` needs, in the model's order."""
        ...

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """What `run` gives, in the model's order."""
        ...

    def layers(self) -> Graph:
        """The kernels or layers it really runs.

        Each node has its `origin` in the model it was built from, and every original node is the
        origin of at least one layer; a kernel the backend put in by itself, such as a change of
        layout, has the domain `LAYER_DOMAIN` and no origin. Nodes that do not run are the origin
        of the layer `FOLDED` or `REMOVED`. Attributes: ``precision`` (dtype it computes in), and
        where known ``kernel`` and ``layout``.
        """
        ...

    def session(self) -> Session:
        """A new session. Deserialization may happen here rather than at build."""
        ...

    def serialize(self) -> bytes:
        """The plan: what the backend's `load` turns into an equal engine on this machine."""
        ...


@runtime_checkable
class Backend(CapabilitySource, Protocol):
    """Something that builds and runs engines."""

    @property
    def version(self) -> str:
        """Version of the library behind it, e.g. ``2026.4.1``."""
        ...

    def fingerprint(self) -> str:
        """Everything outside model and config that a plan depends on: versions, device, ISA.

        Part of the key of cached plans.
        """
        ...

    def build(
        self, model: Model, config: BuildConfig = BuildConfig(), progress: Progress = silent
    ) -> Engine:
        """An engine for the whole model.

        Raises:
            BuildError: the backend refused or failed; the message has its words.
            ValueError: an option it does not know, or a shape range that does not fit the model.
        """
        ...

    def load(self, plan: bytes) -> Engine:
        """The engine of a plan that `Engine.serialize` of this backend made.

        Raises:
            BackendError: not a plan of this backend, damaged, or of another version or device; the
                message says what differs. Nothing of a foreign plan is executed.
        """
        ...
