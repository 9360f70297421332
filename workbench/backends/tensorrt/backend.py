"""`TensorRT`: the TensorRT that is installed here, as a source of capability."""

from __future__ import annotations

import math
import weakref

from workbench.backends.tensorrt import adapter
from workbench.backends.tensorrt.live import Asker, Inquiry
from workbench.backends.tensorrt.skeleton import Skeleton
from workbench.backends.tensorrt.table import SupportTable
from workbench.model import Model
from workbench.partitioning import Capability
from workbench.progress import Cancel, Progress, silent
from workbench.text import shown


class TensorRT:
    """The installed TensorRT, asked in a child process.

    A crash or a hang of the parser costs the piece of the model that caused it, never this process.
    """

    name = "tensorrt"

    def __init__(self, package: str | None = None, *, timeout: float = 120.0) -> None:
        """Find the library; it is imported later, and in the child only.

        Args:
            package: ``tensorrt``, ``tensorrt_rtx`` or ``tensorrt_bindings``; None takes the first
                that is installed and works.
            timeout: seconds the parser may take for one round of questions.

        Raises:
            MissingDependencyError: none is installed; the message says what to install.
            ValueError: an unknown package, or a timeout that is no positive number.
        """
        if not (isinstance(timeout, int | float) and math.isfinite(timeout) and timeout > 0):
            raise ValueError(f"timeout is {shown(timeout)}; must be a number of seconds above 0")
        self._package = adapter.choose(package)
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

    def close(self) -> None:
        """Stop the child process; the next question starts another."""
        self._asker.worker.close()
