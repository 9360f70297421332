"""`TensorRT`: the TensorRT that is installed here; says what it takes, and builds plans."""

from __future__ import annotations

import math
import weakref
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from workbench.backends import gpus
from workbench.backends.base import BuildConfig
from workbench.backends.tensorrt import adapter
from workbench.backends.tensorrt.building import build_plan, release
from workbench.backends.tensorrt.engine import PlanEngine, engine_from, engine_of
from workbench.backends.tensorrt.live import Asker, Inquiry
from workbench.backends.tensorrt.options import options_of, profile_of
from workbench.backends.tensorrt.places import here
from workbench.backends.tensorrt.skeleton import Skeleton
from workbench.backends.tensorrt.table import SupportTable
from workbench.partitioning import Capability
from workbench.progress import Cancel, Progress, silent
from workbench.text import shown

if TYPE_CHECKING:
    from workbench.model import Model


class TensorRT:
    """The installed TensorRT.

    It is asked in a child process: a crash or a hang of the parser costs the piece of the model
    that caused it. A build runs in the process that calls it, on the whole model.
    """

    name = "tensorrt"

    def __init__(
        self, package: str | None = None, *, timeout: float = 120.0, trust: bool = False
    ) -> None:
        """Find the library; it is imported later, and in the child only.

        Args:
            package: ``tensorrt``, ``tensorrt_rtx`` or ``tensorrt_bindings``; None takes the first
                that is installed and works.
            timeout: seconds the parser may take for one round of questions.
            trust: whether `load` takes plans that somebody else wrote; a plan can run code.

        Raises:
            MissingDependencyError: none is installed; the message says what to install.
            ValueError: an unknown package, or a timeout that is no positive number.
        """
        if not (isinstance(timeout, int | float) and math.isfinite(timeout) and timeout > 0):
            raise ValueError(f"timeout is {shown(timeout)}; must be a number of seconds above 0")
        self._package = adapter.choose(package)
        self._timeout = float(timeout)
        self._trust = trust
        self._title = adapter.title(self._package)
        self._asker = Asker(self._package, self._title, timeout=timeout)
        self._finalizer = weakref.finalize(self, self._asker.worker.close)

    @property
    def version(self) -> str:
        """Version of the library, e.g. ``1.7.1.116``."""
        return adapter.version(self._package)

    @property
    def title(self) -> str:
        """Product and version, e.g. ``TensorRT-RTX 1.7.1.116``."""
        return self._title

    def capability(
        self, model: Model, *, progress: Progress = silent, cancel: Cancel | None = None
    ) -> Capability:
        """A verdict for every node, from the parser: asked whole, then piece by piece.

        A refused node has the parser's code and text, and what the operator tables add. Answers
        are remembered by content for the life of the process. What is refused inside a body or a
        function is reported at the outer node.

        Args:
            model: any size; the values of big weights are not read.
            progress: hears how many nodes have their verdicts.
            cancel: stops the asking.

        Raises:
            CancelledError: `cancel` was set.
            MissingDependencyError: the library cannot be imported.
        """
        source = f"{self._title} parser"
        inquiry = Inquiry(
            Skeleton(model.graph, model.ir), self._asker, source, SupportTable.newest().note
        )
        return Capability(source, tuple(inquiry.verdicts(progress, cancel)))

    def fingerprint(self) -> str:
        """Product, version, GPUs and driver: what a plan depends on outside model and config."""
        found = gpus.devices()
        drivers = sorted(
            {f"driver of CUDA {g.driver // 1000}.{g.driver % 1000 // 10}" for g in found}
        )
        return "; ".join([self._title, *(str(gpu) for gpu in found), *(drivers or ["no GPU"])])

    def build(
        self, model: Model, config: BuildConfig = BuildConfig(), progress: Progress = silent
    ) -> PlanEngine:
        """An engine of the whole model: a plan, and the layers TensorRT made of it.

        Every tensor has the type the model gives it: strongly typed from TensorRT 10 on, and in
        8.6 by the flags for the types in the model. Without a GPU, TensorRT-RTX builds for the
        architectures in the option ``compute_capabilities``. Options: `options.Options`.

        Raises:
            BuildError: TensorRT refused; has its words and its log.
            ValueError: an unknown option, or a range that is missing or does not fit.
        """
        options = options_of(config)
        ranges = profile_of(model.graph.inputs, config)
        built = build_plan(self._package, model, ranges, options, config, progress)
        made = replace(
            here(self._package),
            hardware=options.hardware,
            version_compatible=options.version_compatible,
        )
        return engine_of(model.graph, ranges, made, built, options.weight_streaming_bytes)

    def load(self, plan: bytes, *, trust: bool | None = None) -> PlanEngine:
        """The engine of a plan that `PlanEngine.serialize` gave. TensorRT does not see it yet.

        Args:
            plan: the sealed plan.
            trust: take also what somebody else wrote; None is what the backend was made with.

        Raises:
            BackendError: not such a plan, damaged, of another version or GPU, or not signed with
                your key; says what differs.
        """
        trust = self._trust if trust is None else trust
        return engine_from(plan, self._package, trust=trust)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled as what it was made with: the child process is not part of it."""
        return _again, (self._package, self._timeout, self._trust)

    def close(self) -> None:
        """Stop the child process, free what builds keep; the next question or build starts anew."""
        self._asker.worker.close()
        release(self._package)


def _again(package: str, timeout: float, trust: bool) -> TensorRT:
    return TensorRT(package, timeout=timeout, trust=trust)
