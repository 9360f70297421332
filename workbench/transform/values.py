"""`Transformed`: a new model, and the way back from its nodes to those of the model before."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from workbench.graph import Graph, traced
from workbench.model import Draft, Model
from workbench.precision import Audit, Resolution, achieved
from workbench.precision.achieved import HasLayers

_NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True)
class Transformed:
    """What a transform made of a model."""

    model: Model
    before: Graph
    """Graph of the model the first transform was given: the user's."""
    origin: Mapping[str, tuple[str, ...]] = field(hash=False)
    """Node of `model` -> nodes of `before` it stands for, in graph order; every node of `model` is
    in. A node of `before` that no entry names was dropped, because it changes nothing."""
    kept: Mapping[str, str] = field(default_factory=lambda: _NOTHING, hash=False)
    """Node of `before` -> why it is not in the precision that was asked for; safe to print."""
    report: Any = None
    """What the transform has to say beside, e.g. a `CastReport`."""

    def traced(self, layers: Graph) -> Graph:
        """The layers of an engine built from `model`, their origins led back to `before`."""
        return traced(layers, self.graph)

    @property
    def graph(self) -> Graph:
        """Graph of `model`, each node with its origin in `before`."""
        graph = self.model.graph
        nodes = tuple(replace(node, origin=self.origin[node.name]) for node in graph.nodes)
        return replace(graph, nodes=nodes)

    def audit(
        self, engine: HasLayers | Graph, requested: Resolution, *, strict: bool = False
    ) -> Audit:
        """What an engine of `model` computes in, against what was asked for of `before`.

        Args:
            engine: an engine, or its layers.
            requested: a plan resolved for `before`.
            strict: whether a silent departure is an error.

        Raises:
            BuildError: `strict`, and some layer departs.
        """
        return achieved(
            engine, requested, self.before, origin=self.origin, kept=self.kept, strict=strict
        )

    def then(self, later: Transformed) -> Transformed:
        """Both steps as one; `later` was made from this one's model. Its report is kept."""
        origin = {
            name: merged(self.origin[near] for near in names)
            for name, names in later.origin.items()
        }
        far = {
            user: why for near, why in later.kept.items() for user in self.origin.get(near, (near,))
        }
        return Transformed(
            later.model, self.before, origin, {**self.kept, **far},
            later.report if later.report is not None else self.report,
        )  # fmt: skip


def merged(groups: Iterable[Iterable[str]]) -> tuple[str, ...]:
    """All names of the groups, each once, in order of first appearance."""
    return tuple(dict.fromkeys(name for group in groups for name in group))


def finished(
    draft: Draft,
    origin: Mapping[str, Iterable[str]],
    *,
    kept: Mapping[str, str] = _NOTHING,
    report: Any = None,
    model: Model | None = None,
) -> Transformed:
    """The result of a transform.

    Args:
        draft: the changed model.
        origin: for new and merged nodes what they stand for; a node that is not named stands for
            itself.
        kept: see `Transformed.kept`.
        report: see `Transformed.report`.
        model: the built model, where that was needed before.
    """
    model = model or draft.build()
    full = {
        node.name: tuple(dict.fromkeys(origin.get(node.name, (node.name,))))
        for node in model.graph.nodes
    }
    return Transformed(model, draft.graph, full, kept, report)


def unchanged(model: Model) -> Transformed:
    """The transform that does nothing."""
    return Transformed(model, model.graph, {node.name: (node.name,) for node in model.graph.nodes})
