"""What a part is made from, and the key under which the cache keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from workbench.backends.base import Backend, BuildConfig
from workbench.hybrid.shapes import CutShapes
from workbench.model import Model
from workbench.partitioning import Subgraph
from workbench.text import plural, shown

FORMAT = 1
"""Of what the cache keeps for a part; a change makes every older entry a miss."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """All that decides what a part becomes."""

    kind: str
    """``engine`` or ``native``."""
    subgraph: Subgraph
    model: Model
    """The piece alone."""
    backend: Backend
    config: BuildConfig
    """For this piece: shapes of its own inputs only; picklable."""
    typical: Mapping[str, tuple[int, ...]] | None
    """Input shapes of a first run, None where one is unknown."""

    @property
    def title(self) -> str:
        """The part, its size and its first and last node, safe to print."""
        nodes = self.subgraph.nodes
        ends = shown(nodes[0]) if len(nodes) == 1 else f"{shown(nodes[0])} ... {shown(nodes[-1])}"
        return f"{self.kind} {self.subgraph.index} ({plural(len(nodes), 'node')}: {ends})"

    def fields(self) -> dict[str, Any]:
        """The fields of its key."""
        config = self.config
        return {
            "format": FORMAT,
            "kind": self.kind,
            "model": self.model.digest,
            "backend": self.backend.name,
            "fingerprint": self.backend.fingerprint(),
            "shapes": {
                name: [list(profile.min), list(profile.opt), list(profile.max)]
                for name, profile in config.shapes.items()
            },
            "first_run": self.typical and {n: list(s) for n, s in self.typical.items()},
            "workspace_bytes": config.workspace_bytes,
            "optimization_level": config.optimization_level,
            "threads": config.threads,
            "tf32": config.tf32,
            "options": {name: repr(value) for name, value in sorted(config.options.items())},
        }


def recipe(
    model: Model,
    kind: str,
    subgraph: Subgraph,
    backend: Backend,
    config: BuildConfig,
    shapes: CutShapes,
) -> Recipe:
    """The recipe of one part of a model.

    Raises:
        ModelError: its nodes cannot be cut out.
    """
    mine = replace(
        config,
        shapes={n: shapes.ranges[n] for n in subgraph.inputs if n in shapes.ranges},
        # A native region is built by another backend, to which these names mean nothing.
        options=dict(config.options) if kind == "engine" else {},
    )
    known = all(name in shapes.typical for name in subgraph.inputs)
    typical = {name: shapes.typical[name] for name in subgraph.inputs} if known else None
    piece = model if _is_all(model, subgraph) else model.extract(subgraph)
    return Recipe(kind, subgraph, piece, backend, mine, typical)


def _is_all(model: Model, subgraph: Subgraph) -> bool:
    graph = model.graph
    return (
        len(subgraph.nodes) + len(subgraph.folded) == len(graph.nodes)
        and {spec.name for spec in graph.inputs} == set(subgraph.inputs)
        and {spec.name for spec in graph.outputs} == set(subgraph.outputs)
    )
