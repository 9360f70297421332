"""Layers as a `workbench.graph.Graph`, each tensor name used once.

TensorRT reuses tensor names over time, and layer names too. In the order in which the engine runs
its layers every further writing of a name makes a new version, ``name (2)``, and a reading takes
the version there is then (static single assignment).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

from workbench.backends.tensorrt.layers.origin import Resolver
from workbench.backends.tensorrt.layers.values import Binding, EngineLayers, Layer, LayerTensor
from workbench.errors import GraphError
from workbench.graph import Graph, Node, TensorSpec

_NUMBERED = re.compile(r" \(\d+\)$")


def to_graph(
    engine: EngineLayers, onnx_graph: Graph | None = None, *, profile: int | None = 0
) -> Graph:
    """The layers as a graph, one node each, in the order they run.

    Attributes of a node: ``precision`` (element type it computes in), ``kernel`` (tactic),
    ``format`` and ``layout`` of its first output, ``helper``, ``stream``, and the file's own
    fields under their own keys (``Kernel``, ``Weights.Count`` ...); empty ones are left out.

    Args:
        engine: the layers.
        onnx_graph: what the engine was built from. With it `Node.origin` holds names of its nodes
            only, regions are expanded and constants of fused names are left out; without it the
            origin is what names and metadata say.
        profile: optimization profile to show, since a run uses one; None for the layers of all.
    """
    layers = [layer for layer in engine.layers if profile in (None, layer.profile)]
    origins = (
        Resolver(onnx_graph).origins(layers)
        if onnx_graph is not None
        else [layer.origin for layer in layers]
    )
    wiring = _wired(layers, later=True)
    nodes = _nodes(layers, origins, wiring)
    try:
        return _graph(engine, nodes, wiring)
    except GraphError:
        # A reading before its only writing was taken for an edge, and closes a ring.
        wiring = _wired(layers, later=False)
        return _graph(engine, _nodes(layers, origins, wiring), wiring)


def unique_names(names: Sequence[str]) -> list[str]:
    """The names with `` (2)``, `` (3)`` ... after further ones; an empty one becomes ``layer``."""
    taken, used, found = set(names), Counter[str](), []
    for name in names:
        used[name] += 1
        unique = name or "layer"
        if used[name] > 1 or not name:
            unique = f"{unique} ({used[name]})"
            while unique in taken:
                used[name] += 1
                unique = f"{_NUMBERED.sub('', unique)} ({used[name]})"
            taken.add(unique)
        found.append(unique)
    return found


@dataclass
class _Wiring:
    """Tensor names of every layer after renaming, and what is known of each tensor."""

    inputs: list[tuple[str, ...]] = field(default_factory=list)
    outputs: list[tuple[str, ...]] = field(default_factory=list)
    free: dict[str, LayerTensor] = field(default_factory=dict)
    """Tensors that no layer made before they were read."""
    constants: dict[str, LayerTensor] = field(default_factory=dict)
    made: dict[str, LayerTensor] = field(default_factory=dict)
    current: dict[str, str] = field(default_factory=dict)
    versions: Counter[str] = field(default_factory=Counter)


def _wired(layers: Sequence[Layer], *, later: bool) -> _Wiring:
    """Names per layer; with `later` a reading before the only writing is an edge to it."""
    writes = Counter(tensor.name for layer in layers for tensor in layer.outputs)
    wiring = _Wiring()
    taken = {t.name for one in layers for t in (*one.inputs, *one.outputs, *one.constants)}
    for layer in layers:
        read = []
        for tensor in layer.inputs:
            if layer.helper == "bookkeeping" and not writes[tensor.name]:
                # Cache policies and the like: addresses, no tensors of the network.
                continue
            if tensor.name not in wiring.current and not (later and writes[tensor.name] == 1):
                wiring.free[tensor.name] = wiring.free.get(tensor.name, tensor)
                wiring.current[tensor.name] = tensor.name
            read.append(wiring.current.get(tensor.name, tensor.name))
        for tensor in layer.constants:
            if tensor.name not in wiring.current:
                wiring.constants[tensor.name] = tensor
                wiring.current[tensor.name] = tensor.name
            read.append(wiring.current[tensor.name])
        wiring.inputs.append(tuple(read))
        wiring.outputs.append(tuple(_version(tensor, wiring, taken) for tensor in layer.outputs))
    return wiring


def _version(tensor: LayerTensor, wiring: _Wiring, taken: set[str]) -> str:
    name = tensor.name
    while name in wiring.current or (name in taken and name != tensor.name):
        wiring.versions[tensor.name] += 1
        name = f"{tensor.name} ({wiring.versions[tensor.name] + 1})"
    taken.add(name)
    wiring.current[tensor.name] = name
    wiring.made[name] = tensor
    return name


def _nodes(
    layers: Sequence[Layer], origins: Iterable[tuple[str, ...]], wiring: _Wiring
) -> tuple[Node, ...]:
    names = unique_names([layer.name for layer in layers])
    return tuple(
        Node(name, layer.type or "Layer", "tensorrt", read, write, attributes(layer), origin)
        for name, layer, read, write, origin in zip(
            names, layers, wiring.inputs, wiring.outputs, origins, strict=True
        )
    )


def attributes(layer: Layer) -> dict[str, Any]:
    """Plain attributes of a layer's node; see `to_graph`."""
    first = (layer.outputs or layer.inputs or (LayerTensor(""),))[0]
    own = {
        "precision": layer.precision,
        "kernel": layer.tactic,
        "format": first.format,
        "layout": first.layout,
        "helper": layer.helper,
        "stream": layer.stream,
    }
    found = {key: value for key, value in own.items() if value not in ("", None)}
    for key, value in layer.attributes.items():
        found.update(_plain(key, value))
    return found


def _plain(key: str, value: Any) -> dict[str, Any]:
    """The value as int, float, str or a tuple of them; of an object, its plain fields."""
    if isinstance(value, Mapping):
        inner = {f"{key}.{name}": one for name, one in value.items()}
        return {name: one for name, one in inner.items() if isinstance(one, int | float | str)}
    if isinstance(value, list):
        return {key: tuple(one for one in value if isinstance(one, int | float | str))}
    return {} if value is None else {key: value}


def _graph(engine: EngineLayers, nodes: tuple[Node, ...], wiring: _Wiring) -> Graph:
    made, read = wiring.made, {name for names in wiring.inputs for name in names}
    forms = {one: _present(one, engine, wiring) for one in engine.bindings}
    written = [name for one, names in forms.items() if one.mode == "output" for name in names]
    ends = [wiring.current[name] for name in written if wiring.current[name] in made]
    if not ends:
        ends = [name for name in made if name not in read]
    inputs = dict(wiring.free)
    for one, names in forms.items():
        if one.mode == "input" and not names:
            inputs[one.name] = LayerTensor(one.name, one.dtype, one.shape)
    return Graph(
        PurePath(engine.file).name or "engine",
        tuple(_spec(name, tensor) for name, tensor in inputs.items()),
        tuple(_spec(name, made[name]) for name in dict.fromkeys(ends)),
        nodes,
        tuple(_spec(name, tensor) for name, tensor in wiring.constants.items()),
        tuple(_spec(name, tensor) for name, tensor in made.items()),
    )


def _present(binding: Binding, engine: EngineLayers, wiring: _Wiring) -> list[str]:
    """The names, one per profile, under which the layers know an input or output."""
    further = (f"{binding.name} [profile {k}]" for k in range(1, engine.profiles))
    return [name for name in (binding.name, *further) if name in wiring.current]


def _spec(name: str, tensor: LayerTensor) -> TensorSpec:
    return TensorSpec(name, tensor.dtype, tensor.shape)
