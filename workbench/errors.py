"""Every error the workbench raises, in one place.

```
WorkbenchError
├── GraphError                  also ValueError
├── ModelError                  also ValueError
├── PartitionError              also ValueError
├── PrecisionError              also ValueError
├── DataError                   also ValueError
├── BackendError                also RuntimeError
│   ├── MissingDependencyError  also ImportError
│   ├── BuildError
│   └── RunError
├── WorkerError                 also RuntimeError
│   ├── WorkerDiedError
│   └── WorkerTimeoutError
├── CacheError                  also RuntimeError
├── StudyError                  also RuntimeError
└── CancelledError
```

A message has three parts: what is wrong, which object it is (file, node, tensor, key, line), and
what to do. Names that come from a file go through `workbench.text.shown` first. Wrong arguments of
a call are plain `ValueError` or `TypeError`. Foreign exceptions are translated once, where a
backend or a file format is entered, with `raise ... from error`.
"""

from __future__ import annotations


class WorkbenchError(Exception):
    """Base of every error the workbench raises on purpose."""


class GraphError(WorkbenchError, ValueError):
    """A graph that is no graph: duplicate names, two producers of one tensor, a cycle."""


class ModelError(WorkbenchError, ValueError):
    """A model file that cannot be read, is damaged, or says something impossible."""


class PartitionError(WorkbenchError, ValueError):
    """A partition that breaks a rule, or a question about nodes that are not in it."""


class PrecisionError(WorkbenchError, ValueError):
    """A precision plan that says something impossible, or names what is not in the graph."""


class DataError(WorkbenchError, ValueError):
    """Labelled data, feeds or a table that do not fit what was asked."""


class BackendError(WorkbenchError, RuntimeError):
    """Something a backend refused or failed at; `backend` is its name."""

    def __init__(self, message: str, *, backend: str = "") -> None:
        super().__init__(message)
        self.backend = backend


class MissingDependencyError(BackendError, ImportError):
    """A package that is needed for this is not installed; the message says which one to install."""


class BuildError(BackendError):
    """An engine could not be built.

    Attributes:
        subgraph: names of the nodes the engine was to hold, in graph order.
        log: what the backend printed while it failed, possibly empty.
    """

    def __init__(
        self, message: str, *, backend: str = "", subgraph: tuple[str, ...] = (), log: str = ""
    ) -> None:
        super().__init__(message, backend=backend)
        self.subgraph = subgraph
        self.log = log


class RunError(BackendError):
    """An engine was built but a run of it was refused or failed."""


class WorkerError(WorkbenchError, RuntimeError):
    """Work in a child process did not come back; the process that asked is unharmed."""


class WorkerDiedError(WorkerError):
    """The child process died (signal, memory limit, abort) before it answered."""


class WorkerTimeoutError(WorkerError):
    """The child process was stopped because it ran past its time limit."""


class CacheError(WorkbenchError, RuntimeError):
    """A cache folder that cannot be used at all. A damaged entry is no error: it is rebuilt."""


class StudyError(WorkbenchError, RuntimeError):
    """A study file that cannot be read, resumed or written."""


class CancelledError(WorkbenchError):
    """The work was stopped because its caller asked for that."""
