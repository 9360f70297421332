"""The scene: two pictures of a network, what colours them, and what is known of each box.

Pure functions from graphs, a partition and overlays to plain values that become JSON. Nothing here
knows a browser or Jupyter; every text in a scene went through `workbench.text`, and whoever draws
it puts it in as text, never as markup.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Any

from workbench.errors import GraphError
from workbench.graph import Graph
from workbench.partitioning import Partition
from workbench.progress import Cancel
from workbench.text import listed, nearest, plural, shown
from workbench.widgets.scene_details import details, tooltip
from workbench.widgets.scene_groups import Group, Homes, block_groups, engine_groups, homes_of
from workbench.widgets.scene_overlay import (
    Entry,
    Overlay,
    Painted,
    bytes_of,
    legend_engines,
    paint_engines,
    paint_reasons,
    paint_values,
    precision_of,
    regions_of,
)
from workbench.widgets.scene_palette import LIGHT, engine_colors
from workbench.widgets.scene_pane import Pane, pane_json, pane_of

FOLD_FROM = 400
"""From this many nodes on repeated blocks of the original are folded unless asked otherwise."""

_NUMBERS = {name: i for i, name in enumerate(LIGHT)}

BUILT_IN = ("partition", "reason", "precision", "bytes")


@dataclass(frozen=True)
class Subject:
    """What is shown: graphs, the division, and overlays."""

    original: Graph
    derived: Graph | None = None
    """Layers of engines, each with its origin; None shows the partition itself."""
    partition: Partition | None = None
    overlays: Mapping[str, Overlay] | None = None

    def __post_init__(self) -> None:
        part = self.partition
        if (
            part is not None
            and part.graph is not self.original
            and ([n.name for n in part.graph.nodes] != [n.name for n in self.original.nodes])
        ):
            raise GraphError(
                f"the partition is of graph {shown(part.graph.name)}, not of "
                f"{shown(self.original.name)}; divide the graph that is shown"
            )


@dataclass(frozen=True)
class Scene:
    """Both pictures, laid out, with the engines that link them."""

    subject: Subject
    homes: Homes
    left: Pane
    right: Pane
    overlays: Mapping[str, Overlay]
    """Those given, and those known from the graphs."""

    @cached_property
    def regions(self) -> tuple[list[int], list[int]]:
        """For each box of both pictures its engine, as `region_of` says."""
        return regions_of(self.left, self.homes), regions_of(self.right, self.homes)

    @property
    def choices(self) -> tuple[str, ...]:
        """Names of the overlays there are, in the order of the menu."""
        return overlay_names(self.subject, self.overlays)


def overlay_names(subject: Subject, overlays: Mapping[str, Overlay]) -> tuple[str, ...]:
    """Names of all overlays, ``partition`` first, ``reason`` where there is a partition."""
    found = ("partition", *(("reason",) if subject.partition else ()))
    return (*found, *(name for name in overlays if name not in found))


def left_groups(original: Graph, fold: bool | None) -> list[Group]:
    """Blocks of the original that are drawn as one box while they are not opened."""
    wanted = len(original.nodes) >= FOLD_FROM if fold is None else fold
    return block_groups(original) if wanted else []


def known_overlays(original: Graph, derived: Graph | None) -> dict[str, Overlay]:
    """The overlays that the graphs themselves know: ``precision`` and ``bytes``."""
    graphs = [original, *([derived] if derived else [])]
    return {"precision": precision_of(*graphs), "bytes": bytes_of(*graphs)}


def scene_of(
    subject: Subject,
    *,
    blocks: Sequence[Group] = (),
    opened_left: Collection[str] = (),
    opened_right: Collection[str] = (),
    left: Pane | None = None,
    known: Mapping[str, Overlay] | None = None,
    cancel: Cancel | None = None,
) -> Scene:
    """The scene of a subject.

    Args:
        subject: what to show.
        blocks: groups of the original, from `left_groups`.
        opened_left: keys of blocks shown open.
        opened_right: keys of engines shown open: the name of an engine's first original.
        left: the picture of the original from an earlier scene; it does not depend on the
            partition and need not be laid out again.
        known: `known_overlays` of the same graphs, from before.
        cancel: ends the layouts.

    Raises:
        CancelledError: asked to stop.
    """
    original = subject.original
    homes = homes_of(original, subject.partition, subject.derived)
    if left is None:
        left = pane_of(original, original, blocks, opened_left, cancel=cancel)
    base = subject.derived or original
    groups = engine_groups(base, original, homes)
    right = pane_of(base, original, groups, opened_right, cancel=cancel)
    if known is None:
        known = known_overlays(original, subject.derived)
    overlays = {**known, **(subject.overlays or {})}
    shown_ones = {name: overlay for name, overlay in overlays.items() if overlay.values}
    return Scene(subject, homes, left, right, shown_ones)


def painted(
    scene: Scene, overlay: str, more: Sequence[Pane] = ()
) -> tuple[list[Painted], list[Entry]]:
    """How both pictures look under an overlay, and its legend.

    Args:
        scene: what is shown.
        overlay: what colours it.
        more: other pictures of the same graphs, painted behind these by the same legend.

    Raises:
        ValueError: no overlay of this name.
    """
    panes, subject = [scene.left, scene.right, *more], scene.subject
    if overlay == "partition":
        regions = [*scene.regions, *(regions_of(pane, scene.homes) for pane in more)]
        looks = [
            paint_engines(pane, scene.homes, places)
            for pane, places in zip(panes, regions, strict=True)
        ]
        return looks, legend_engines(scene.homes, chain.from_iterable(regions))
    if overlay == "reason" and subject.partition:
        found = [paint_reasons(pane, subject.partition) for pane in panes]
        return [look for look, _ in found], found[0][1]
    if overlay in scene.overlays:
        return paint_values(panes, scene.overlays[overlay], subject.original, subject.derived)
    raise ValueError(
        f"no overlay {shown(overlay)}{nearest(overlay, scene.choices)}; there are "
        f"{listed(scene.choices, 12)}"
    )


def paint_json(scene: Scene, overlay: str, rev: int) -> dict[str, Any]:
    """Colours, badges, regions and legend for the browser."""
    looks, legend = painted(scene, overlay)
    sides = zip(("left", "right"), scene.regions, looks, strict=True)
    return {
        "rev": rev,
        **key_json(scene, overlay, legend),
        "panes": {side: look_json(look, regions) for side, regions, look in sides},
    }


def look_json(look: Painted, regions: Sequence[int]) -> dict[str, list[Any]]:
    """Classes, badges and regions of boxes, as columns."""
    return {
        "c": [_NUMBERS[name] for name in look.classes], "b": list(look.badges), "r": list(regions),
    }  # fmt: skip


def key_json(scene: Scene, overlay: str, legend: Sequence[Entry]) -> dict[str, Any]:
    """What the colours mean, and what else there is to colour by."""
    return {
        "overlay": overlay,
        "title": overlay_title(scene, overlay),
        "choices": [[name, overlay_title(scene, name)] for name in scene.choices],
        "classes": list(LIGHT),
        "engines": list(engine_colors(scene.homes.keys)),
        "layers": scene.subject.derived is not None,
        "legend": [[entry.paint, entry.text] for entry in legend],
        "summary": summary(scene),
    }


def overlay_title(scene: Scene, name: str) -> str:
    """What an overlay is called in the menu and the legend; safe to show."""
    if name in scene.overlays:
        return shown(scene.overlays[name].title, 40)
    return {"partition": "Partition", "reason": "Verdict reason"}[name]


def names_json(original: Graph) -> dict[str, Any]:
    """Names of the originals, for search; safe to show."""
    return {
        "graph": shown(original.name, 80),
        "names": [shown(node.name, 200) for node in original.nodes],
        "ops": [shown(node.op_type, 60) for node in original.nodes],
    }


def summary(scene: Scene) -> str:
    """One line for those who do not see the picture."""
    nodes, engines = len(scene.subject.original.nodes), len(scene.homes)
    inside = sum(1 for e in scene.homes.engine if e >= 0)
    native = nodes - inside - len(scene.homes.folded)
    folded = f", {len(scene.homes.folded):,} from constants" if scene.homes.folded else ""
    return (
        f"{plural(nodes, 'node')}: {inside:,} in {plural(engines, 'engine')}, "
        f"{native:,} native{folded}"
    )


def details_json(scene: Scene, side: str, place: int) -> dict[str, Any]:
    """What the panel and the tooltip say of a box."""
    pane = scene.left if side == "left" else scene.right
    subject = scene.subject
    found = details(pane, place, subject.original, subject.partition, scene.homes, scene.overlays)
    return {**found, "tip": tooltip(pane, place)}


def scene_json(scene: Scene, overlay: str = "partition", rev: int = 1) -> dict[str, Any]:
    """All of it as one JSON value."""
    return {
        "names": names_json(scene.subject.original),
        "left": pane_json(scene.left, rev),
        "right": pane_json(scene.right, rev),
        "paint": paint_json(scene, overlay, rev),
    }


__all__ = ["Pane", "Scene", "Subject", "details_json", "left_groups", "scene_json", "scene_of"]
