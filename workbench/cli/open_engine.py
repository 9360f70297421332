"""`workbench open-engine`: what TensorRT wrote about an engine that somebody built."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from workbench.backends.tensorrt import layers
from workbench.backends.tensorrt.engine import accounted
from workbench.cli import common
from workbench.cli.engine_text import View, beside, described
from workbench.graph import Graph
from workbench.text import listed, shown


def run(given: argparse.Namespace) -> int:
    """Read, print and draw."""
    found = layers.gather(given.files)
    original = common.open_model(given.onnx).graph if given.onnx else None
    views = _views(found, original)
    for text in found.warnings:
        common.note(text)
    if given.figure:
        _draw(views, given.figure)
    if given.json:
        common.print_json(_as_json(found, views))
    else:
        blocks = [described(view, given.all) for view in views]
        print("\n\n".join([*blocks, *beside(found, views, given.all)]))
    return 0


def _views(found: layers.Bundle, original: Graph | None) -> list[View]:
    """The engines, each with the profile that fits it best, a profile with one engine only."""
    views, free = [], list(found.profiles)
    for engine in found.engines:
        graph = layers.to_graph(engine, original)
        if original is not None:
            _refuse_other(graph, original, engine)
            graph = accounted(graph, original)
        joins = [(layers.join(engine, profile), profile) for profile in free]
        best = max(joins, key=lambda pair: len(pair[0].seconds), default=None)
        if best is not None and best[0].seconds:
            free.remove(best[1])
        joined = best[0] if best is not None and best[0].seconds else None
        views.append(View(engine, graph, original, joined))
    return views


def _refuse_other(graph: Graph, original: Graph, engine: layers.EngineLayers) -> None:
    if not any(node.origin for node in graph.nodes) and original.nodes and graph.nodes:
        common.note(
            f"no layer of {shown(engine.file or 'the engine')} names a node of "
            f"{shown(original.name)}; is it the model the engine was built from?"
        )


def _as_json(found: layers.Bundle, views: Iterable[View]) -> dict[str, Any]:
    return {
        "engines": [
            {
                "file": view.engine.file,
                "source": view.engine.source,
                "form": view.engine.form,
                "version": view.engine.version,
                "bindings": view.engine.bindings,
                "layers": view.graph.nodes,
                "seconds": view.joined.seconds if view.joined else {},
            }
            for view in views
        ],
        "profiles": found.profiles,
        "timings": found.timings,
        "performance": found.performance,
        "facts": found.facts,
        "version": found.version,
        "passed": found.passed,
        "problems": found.problems,
        "warnings": found.warnings,
    }


def _draw(views: Sequence[View], path: Path) -> None:
    """The layers beside the ONNX graph, or alone.

    Raises:
        ValueError: no engine or several, or an ending that is not known.
    """
    from workbench.widgets import GraphView
    from workbench.widgets.scene_overlay import Overlay

    if len(views) != 1:
        raise ValueError(
            f"--figure draws one engine, and the files hold {len(views)}: "
            f"{listed(view.title for view in views) or 'none'}; give the files of one"
        )
    (view,) = views
    times = {"time": Overlay("Time", view.joined.seconds, "s")} if view.joined else {}
    overlay = "time" if times else "precision"
    if view.original is None:
        drawn = GraphView(view.graph, overlays=times, overlay=overlay)
    else:
        nodes = tuple(
            replace(node, attributes={**node.attributes, "part": "engine 0"})
            for node in view.graph.nodes
        )
        drawn = GraphView(
            view.original,
            replace(view.graph, nodes=nodes),
            overlays=times,
            overlay=overlay,
        )
        drawn.opened_engines = drawn.scene.homes.keys
    drawn.save(path)
    common.note(f"drew {shown(path, 400)}")
