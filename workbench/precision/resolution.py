"""A precision plan applied to a graph: one precision and one reason for every node."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from workbench.errors import PrecisionError
from workbench.text import nearest, shown


class Precision(StrEnum):
    """What the numbers of a node are computed in."""

    FP32 = "fp32"
    TF32 = "tf32"
    """float32 whose products may keep 10 bits of mantissa; only GPUs know it."""
    FP16 = "fp16"
    BF16 = "bf16"
    INT8 = "int8"

    @property
    def dtype(self) -> str:
        """Element type of the model's tensors: ``float32``, ``float16``, ``bfloat16``, ``int8``."""
        return {"fp16": "float16", "bf16": "bfloat16", "int8": "int8"}.get(self.value, "float32")


def parsed(value: Precision | str) -> Precision:
    """The precision of this name.

    Raises:
        PrecisionError: there is none.
    """
    try:
        return Precision(value)
    except ValueError:
        known = [one.value for one in Precision]
        raise PrecisionError(
            f"there is no precision {shown(value)}{nearest(str(value), known)}; there is "
            f"{', '.join(known)}"
        ) from None


@dataclass(frozen=True, slots=True)
class Change:
    """A node whose precision two resolutions see differently."""

    node: str
    before: Precision | None
    """None where the first one does not know the node."""
    after: Precision | None


@dataclass(frozen=True)
class Resolution:
    """The precision of every node of one graph, and which rule gave it."""

    precisions: Mapping[str, Precision]
    """Node name -> precision, in graph order; read-only."""
    reasons: Mapping[str, str]
    """Node name -> the rule in words, safe to print."""
    explicit: frozenset[str] = frozenset()
    """Nodes that a rule named, rather than the default."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "precisions", MappingProxyType(dict(self.precisions)))
        object.__setattr__(self, "reasons", MappingProxyType(dict(self.reasons)))

    def __getitem__(self, node: str) -> Precision:
        return self.precisions[node]

    @property
    def counts(self) -> dict[Precision, int]:
        """How many nodes there are of each precision that occurs."""
        found = Counter(self.precisions.values())
        return {precision: found[precision] for precision in Precision if precision in found}

    def overlay(self) -> dict[str, str]:
        """Node name -> precision as text, to colour a graph with."""
        return {name: precision.value for name, precision in self.precisions.items()}

    def diff(self, other: Resolution) -> tuple[Change, ...]:
        """The nodes whose precision differs in `other`, in the order of this one."""
        names = dict.fromkeys((*self.precisions, *other.precisions))
        pairs = ((n, self.precisions.get(n), other.precisions.get(n)) for n in names)
        return tuple(Change(*pair) for pair in pairs if pair[1] is not pair[2])
