"""How much of the machine a model file may ask for before it is refused."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Budgets of loading one file; each refusal names the field that would allow more.

    Raises:
        ValueError: a limit that is no positive number.
    """

    file_bytes: int = 2 << 30
    """Size of the file itself; protobuf ends there too. Weights in external data do not count."""
    nodes: int = 500_000
    """Operator nodes, bodies of If, Loop and Scan and expanded functions included."""
    nesting: int = 16
    """How deep bodies of If, Loop and Scan may lie in one another."""
    function_depth: int = 64
    """How deep model-local functions may call one another."""
    tensor_bytes: int = 64 << 30
    """Size of one stored tensor."""
    allocation_bytes: int = 4 << 30
    """Size of one tensor that the model would make from constants alone."""
    scan_bytes: int = 1 << 30
    """Weights looked through for NaN, infinity and denormal numbers; the rest is skipped."""
    seconds: float = 60.0
    """Wall time of the child process that reads and checks the file."""
    memory_bytes: int = 6 << 30
    """Address space of that child process."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
                raise ValueError(f"limit {field.name} is {value!r}; must be a number above 0")
