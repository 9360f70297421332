"""Layers back to ONNX nodes, checked against the ONNX graph (many to many).

Metadata and names are only text; node names may hold joints, commas and brackets themselves. So
the longest known node name that fits between two joints wins, and a region ``{ForeignNode[a...b]}``
is filled with the nodes on paths from its first to its last one, and with those between the
tensors that the layer reads and writes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from workbench.backends.tensorrt.layers.names import (
    base_name,
    is_compiled,
    metadata_names,
    region,
    stripped,
    without_prefix,
)
from workbench.backends.tensorrt.layers.spelled import spelled
from workbench.backends.tensorrt.layers.values import Layer
from workbench.graph import Graph

_JOINT = re.compile(r" \+ | \|\| |, ?|\.\.\.|[(){}\[\]]")
_UNNAMED = re.compile(r"\(Unnamed Layer\* ?\d+\) \[\w+\](?:_output)?")
_OPERATOR = re.compile(r" \([^()]*\)$")
_COPY = re.compile(r"_\d+$")
# TensorRT writes these characters of a name as an underscore.
_REPLACED = re.compile(r'["\\]')
_UNNAMED_NODE = "node_of_"
_MOST_SPLITS = 64


class Resolver:
    """Finds the nodes of one ONNX graph in names and metadata of layers."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._known = graph.position
        self._written = {_REPLACED.sub("_", name): name for name in graph.position}
        joints = max((len(_JOINT.findall(name)) for name in graph.position), default=0)
        self._reach = 2 * joints + 1
        self._weights = {spec.name for spec in graph.initializers}
        self._inner = _inner_names(graph)

    def origins(self, layers: Sequence[Layer]) -> list[tuple[str, ...]]:
        """Node names behind each layer, in the graph's order.

        A node that a layer names stays out of regions that only span it.
        """
        named = [self.named(layer) for layer in layers]
        claimed = {
            self._known[name]
            for layer, names in zip(layers, named, strict=True)
            if not layer.helper
            for name in names
        }
        inner = {i: self._region(layer) for i, layer in enumerate(layers) if not named[i]}
        tensors = _Tensors(self._graph, layers)
        found = []
        for i, names in enumerate(named):
            ends = inner.get(i)
            places = {self._known[name] for name in names}
            if ends:
                places = self._filled(ends, claimed, tensors.around(layers[i]))
            else:
                more = spelled(self._graph, layers[i].name, places, claimed)
                places |= more
                claimed |= more
            found.append(tuple(self._graph.nodes[j].name for j in sorted(places)))
        return found

    def named(self, layer: Layer) -> tuple[str, ...]:
        """Nodes that a layer names one by one; empty for a region of which it names two ends."""
        by_metadata = [self.node(name) for name in metadata_names(layer.metadata)]
        found = [name for name in by_metadata if name]
        if not found and not self._region(layer):
            found = self.in_name(layer.name)
        return tuple(dict.fromkeys(found))

    def node(self, text: str) -> str:
        """The one node a metadata entry or a piece of a name means, or ``""``.

        TensorRT calls an unnamed node ``node_of_<first output>``. A node inside an If or a function
        is a path whose last step is the outer node, one inside a Loop only its own name. A name
        that a node shares gets ``_0``, ``_1``.
        """
        for one in stripped(text):
            found = self._exact(one)
            if not found and " | " in one:
                found = self._exact(_OPERATOR.sub("", one.rsplit(" | ", 1)[-1]))
            if found:
                return found
        shared = _COPY.sub("", stripped(text)[-1])
        return shared if shared in self._known else ""

    def _exact(self, text: str) -> str:
        if text in self._known:
            return text
        if text in self._written:
            return self._written[text]
        made = self._graph.producer.get(text.removeprefix(_UNNAMED_NODE))
        if text.startswith(_UNNAMED_NODE) and made is not None:
            return self._graph.nodes[made].name
        return self._inner.get(text, "")

    def in_name(self, name: str) -> list[str]:
        """Nodes in a fused name: the longest known name between two joints, from the left."""
        whole = self.node(name) if not is_compiled(name) else ""
        if whole:
            return [whole]
        text = _UNNAMED.sub("", without_prefix(name))
        if is_compiled(text):
            return []
        cuts = {0, len(text)} | {cut for joint in _JOINT.finditer(text) for cut in joint.span()}
        places, found, i = sorted(cuts), [], 0
        while i < len(places) - 1:
            step, node = self._longest(text, places, i)
            i += step
            if node:
                found.append(node)
        return found

    def _longest(self, text: str, places: list[int], i: int) -> tuple[int, str]:
        for j in range(min(i + self._reach, len(places) - 1), i, -1):
            piece = text[places[i] : places[j]]
            if piece in self._known:
                return j - i, piece
            if piece in self._written:
                return j - i, self._written[piece]
        piece = text[places[i] : places[i + 1]]
        return 1, "" if _JOINT.fullmatch(piece) else self.node(piece)

    def _region(self, layer: Layer) -> tuple[set[int], set[int]] | None:
        """Places of the first and of the last nodes of ``{ForeignNode[first...last]}``."""
        inner = next((one for one in map(region, stripped(layer.name)) if one is not None), None)
        if inner is None:
            return None
        whole = self._ends(inner)
        best: tuple[set[int], set[int]] | None = (whole, whole) if "..." not in inner else None
        for _, cut in zip(range(_MOST_SPLITS), re.finditer(r"\.\.\.", inner), strict=False):
            first, last = self._ends(inner[: cut.start()]), self._ends(inner[cut.end() :])
            if first and last:
                return first, last
            best = best or ((first or last), (last or first))
        return best

    def _ends(self, text: str) -> set[int]:
        """Places of the nodes in one end of a region; of a weight, the nodes that read it."""
        nodes = {self._known[name] for name in self.in_name(text)}
        if nodes:
            return nodes
        pieces = [text, *_JOINT.split(text)]
        weights = [one for one in pieces if one in self._weights]
        return {i for name in weights for i in self._graph.consumers.get(name, ())}

    def _filled(
        self, ends: tuple[set[int], set[int]], claimed: set[int], between: set[int]
    ) -> set[int]:
        first, last = ends
        after = _reached(first, self._graph.successors, set())
        before = _reached(last, self._graph.predecessors, set())
        return ((after & before | between) - claimed) | first | last


def _inner_names(graph: Graph) -> dict[str, str]:
    """Names of the nodes in bodies, as TensorRT calls them -> the node of `graph` around them."""
    found: dict[str, str] = {}
    for outer in graph.nodes:
        bodies = [one for one in outer.attributes.values() if isinstance(one, Graph)]
        while bodies:
            for node in bodies.pop().nodes:
                found.setdefault(node.name, outer.name)
                for output in node.makes[:1]:
                    found.setdefault(f"{_UNNAMED_NODE}{output}", outer.name)
                bodies += [one for one in node.attributes.values() if isinstance(one, Graph)]
    return found


class _Tensors:
    """Which ONNX tensors a layer reads and writes, through TensorRT's own copies."""

    def __init__(self, graph: Graph, layers: Iterable[Layer]) -> None:
        self._graph = graph
        self._given = {spec.name for spec in graph.inputs}
        self._alias: dict[str, str] = {}
        self._final: dict[str, str] = {}
        for layer in layers:
            if layer.helper and len(layer.inputs) == len(layer.outputs) == 1:
                read, written = layer.inputs[0].name, layer.outputs[0].name
                self._alias[written] = self.original(read)
                self._final[read] = written

    def original(self, name: str) -> str:
        """The tensor that a copy, or a copy of a copy, was made of."""
        return base_name(self._alias.get(name, name))

    def _written(self, name: str) -> str:
        """The tensor itself, or what it is reformatted into where ONNX knows only that."""
        if name.startswith("Reformatted Output"):
            name = self._final.get(name, name)
        return base_name(name)

    def around(self, layer: Layer) -> set[int]:
        """Places of the nodes between the tensors a layer reads and those it writes.

        Empty where a tensor is none of the ONNX graph's, so that the limits are not known.
        """
        graph = self._graph
        inputs = {self.original(tensor.name) for tensor in layer.inputs}
        outputs = {self._written(tensor.name) for tensor in layer.outputs}
        known = all(name in graph.producer or name in self._given for name in inputs)
        if not (outputs and known and outputs <= graph.producer.keys()):
            return set()
        stops = {graph.producer[name] for name in inputs if name in graph.producer}
        starts = {graph.producer[name] for name in outputs} - stops
        found = _reached(starts, _DataOnly(graph, inputs), stops)
        reads = {name for i in found for name in graph.nodes[i].reads if name in self._given}
        return found - stops if reads <= inputs else set()


class _DataOnly:
    """Predecessors of a node by the tensors it computes with: a Shape needs no values."""

    def __init__(self, graph: Graph, limits: set[str]) -> None:
        self._graph, self._limits = graph, limits

    def __getitem__(self, i: int) -> tuple[int, ...]:
        node = self._graph.nodes[i]
        if node.op_type in ("Shape", "Size"):
            return ()
        producer = self._graph.producer
        return tuple(
            producer[name] for name in node.reads if name not in self._limits and name in producer
        )


def _reached(
    starts: set[int], steps: Sequence[tuple[int, ...]] | _DataOnly, stops: set[int]
) -> set[int]:
    """The places reached from `starts` by `steps`, the starts included, never past `stops`."""
    found, waiting = set(starts), list(starts)
    while waiting:
        for j in steps[waiting.pop()]:
            if j not in found and j not in stops:
                found.add(j)
                waiting.append(j)
    return found
