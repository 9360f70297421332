"""Some nodes of a model, cut out as a model of their own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import onnx

from workbench.errors import ModelError
from workbench.graph import Graph
from workbench.model.core import Model
from workbench.model.payload import mark_of, tensors_in
from workbench.model.plain import bodies_of
from workbench.partitioning import Subgraph
from workbench.text import listed, nearest, shown


def extract(
    model: Model,
    subgraph: Subgraph | Sequence[str],
    inputs: Sequence[str] | None,
    outputs: Sequence[str] | None,
) -> Model:
    """See `Model.extract`."""
    names = subgraph.nodes if isinstance(subgraph, Subgraph) else subgraph
    if isinstance(subgraph, Subgraph):
        inputs = subgraph.inputs if inputs is None else inputs
        outputs = subgraph.outputs if outputs is None else outputs
    cut = _Cut(model, _places(model, names), frozenset(inputs or ()))
    _refuse_detour(model.graph, cut.chosen)
    given = _settled(model, inputs, cut.needed, cut.known, "input")
    made = {t for i in (*cut.chosen, *cut.copied) for t in model.graph.nodes[i].makes}
    taken = _settled(model, outputs, () if outputs else cut.results(), made, "output")
    return _build(model, cut, given, taken)


def _places(model: Model, names: Iterable[str]) -> set[int]:
    position = model.graph.position
    try:
        places = {position[name] for name in names}
    except KeyError:
        unknown = next(name for name in names if name not in position)
        raise ModelError(
            f"model {shown(model.name)} has no node {shown(unknown)}{nearest(unknown, position)}"
        ) from None
    if not places:
        raise ModelError("no nodes to cut out; name at least one")
    return places


@dataclass
class _Cut:
    """The nodes asked for, the constant-fed ones copied with them, and what crosses the cut."""

    model: Model
    chosen: set[int]
    stops: frozenset[str]
    """Tensors made inputs although they could be computed from constants."""
    copied: set[int] = field(default_factory=set)
    needed: dict[str, None] = field(default_factory=dict)
    """Tensors from outside, in order of first use."""
    weights: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        graph = self.model.graph
        self.known = {
            *graph.producer,
            *(spec.name for spec in (*graph.inputs, *graph.initializers)),
        }
        stored = {spec.name for spec in graph.initializers}
        todo = sorted(self.chosen, reverse=True)
        while todo:
            i = todo.pop()
            for tensor in graph.nodes[i].reads:
                before = graph.producer.get(tensor)
                if before is not None and before in self.chosen:
                    continue
                if tensor in self.stops:
                    self.needed[tensor] = None
                elif tensor in stored:
                    self.weights.add(tensor)
                elif before is None or before not in self.model.folded:
                    self.needed[tensor] = None
                elif before not in self.copied:
                    self.copied.add(before)
                    todo.append(before)

    def results(self) -> list[str]:
        """Tensors of the chosen nodes that somebody outside reads, or that nobody reads at all."""
        graph = self.model.graph
        out = {spec.name for spec in graph.outputs}
        made = [tensor for i in sorted(self.chosen) for tensor in graph.nodes[i].makes]
        crossing = [
            tensor
            for tensor in made
            if tensor in out or any(j not in self.chosen for j in graph.consumers.get(tensor, ()))
        ]
        return crossing or [tensor for tensor in made if tensor not in graph.consumers]


def _refuse_detour(graph: Graph, chosen: set[int]) -> None:
    """Refuse nodes between which a path runs through others: no order could run them in one go."""
    rank = {i: at for at, i in enumerate(graph.order)}
    last = max(rank[i] for i in chosen)
    came: dict[int, int] = {}
    todo = []
    for i in chosen:
        for j in graph.successors[i]:
            if j not in chosen and j not in came and rank[j] < last:
                came[j] = i
                todo.append(j)
    while todo:
        i = todo.pop()
        for j in graph.successors[i]:
            if j in chosen:
                path = [j, i]
                while path[-1] not in chosen:
                    path.append(came[path[-1]])
                words = " -> ".join(shown(graph.nodes[k].name) for k in reversed(path))
                raise ModelError(
                    f"these nodes cannot be one model: a path leaves them and comes back: {words}; "
                    "take in what lies between, or leave one end out"
                )
            if j not in came and rank[j] < last:
                came[j] = i
                todo.append(j)


def _settled(
    model: Model,
    asked: Sequence[str] | None,
    crossing: Iterable[str],
    known: Iterable[str],
    kind: str,
) -> list[str]:
    """The tensors asked for, or those that cross the cut."""
    crossing = list(crossing)
    if asked is None:
        return crossing
    known = set(known)
    strange = [tensor for tensor in asked if tensor not in known]
    if strange:
        raise ModelError(
            f"tensor {shown(strange[0])} cannot be an {kind} here: the "
            f"{'model has' if kind == 'input' else 'nodes make'} none of this name"
            f"{nearest(strange[0], known)}"
        )
    missing = [tensor for tensor in crossing if tensor not in set(asked)]
    if missing:
        raise ModelError(
            f"the nodes also need {listed(missing)} of model {shown(model.name)}; add to {kind}s"
        )
    return list(dict.fromkeys(asked))


def _build(model: Model, cut: _Cut, given: Sequence[str], taken: Sequence[str]) -> Model:
    source, graph = model._proto, model.graph
    places = [i for i in graph.order if i in cut.chosen or i in cut.copied]
    proto = onnx.ModelProto(ir_version=source.ir_version)
    proto.graph.name = source.graph.name
    proto.graph.node.extend(source.graph.node[i] for i in places)
    proto.graph.initializer.extend(t for t in source.graph.initializer if t.name in cut.weights)
    proto.graph.sparse_initializer.extend(
        t for t in source.graph.sparse_initializer if t.values.name in cut.weights
    )
    infos = model._infos
    warnings = _add_types(proto.graph.input, given, infos)
    warnings += _add_types(proto.graph.output, taken, infos)
    inner = {t for i in places for t in graph.nodes[i].makes}.difference(given, taken)
    proto.graph.value_info.extend(infos[t] for t in graph.specs if t in inner and t in infos)
    _add_functions(proto, source)
    marks = {mark_of(tensor) for tensor in tensors_in(proto)}
    store = {mark: model._store[mark] for mark in marks if mark is not None}
    return Model(proto, store, name=model.name, warnings=warnings, guarded=model._guarded)


def _add_types(
    entries, names: Iterable[str], infos: Mapping[str, onnx.ValueInfoProto]
) -> list[str]:
    untyped = []
    for name in names:
        info = infos.get(name)
        if info is None or info.type.WhichOneof("value") is None:
            untyped.append(name)
            entries.add(name=name)
        else:
            entries.add().CopyFrom(info)
    if not untyped:
        return []
    return [f"the type of {listed(untyped)} is unknown; shape inference did not reach it"]


def _add_functions(proto: onnx.ModelProto, source: onnx.ModelProto) -> None:
    """Copy the local functions that are called, and the operator sets that are used."""
    local = {(item.domain, item.name): item for item in source.functions}
    used: dict[tuple[str, str], None] = {}
    domains = {"", "ai.onnx"}
    todo = list(proto.graph.node)
    while todo:
        node = todo.pop()
        domains.add(node.domain)
        todo.extend(inner for body in bodies_of(node) for inner in body.node)
        key = node.domain, node.op_type
        if key in local and key not in used:
            used[key] = None
            todo.extend(local[key].node)
    proto.functions.extend(item for key, item in local.items() if key in used)
    proto.opset_import.extend(item for item in source.opset_import if item.domain in domains)
