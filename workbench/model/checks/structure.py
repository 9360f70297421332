"""Names and edges: who makes what, who needs what, in which order."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterable, Iterator

import onnx

from workbench.errors import ModelError
from workbench.model.plain import bodies_of, captured_by
from workbench.text import listed, plural, shown


def check_text(model: onnx.ModelProto) -> None:
    """Refuse names that are no UTF-8; protobuf hands those over as bytes."""
    functions = (pair for item in model.functions for pair in _function_texts(item))
    domains = (("operator domain", item.domain) for item in model.opset_import)
    for kind, text in itertools.chain(_texts(model.graph), functions, domains):
        if isinstance(text, bytes):
            raise ModelError(
                f"{kind} {shown(text.decode('utf-8', 'replace'))} is no valid UTF-8; "
                "the file is damaged, or rename it where it was made"
            )


def _texts(graph: onnx.GraphProto) -> Iterator[tuple[str, str | bytes]]:
    yield "graph name", graph.name
    for info in (*graph.input, *graph.output, *graph.value_info):
        yield "tensor name", info.name
        for dim in info.type.tensor_type.shape.dim:
            yield "extent name", dim.dim_param
    for tensor in graph.initializer:
        yield "initializer name", tensor.name
    yield from _node_texts(graph.node)


def _function_texts(function: onnx.FunctionProto) -> Iterator[tuple[str, str | bytes]]:
    for text in (function.name, function.domain, function.overload):
        yield "function name", text
    for text in (*function.input, *function.output, *function.attribute):
        yield "function parameter", text
    yield from _node_texts(function.node)


def _node_texts(nodes: Iterable[onnx.NodeProto]) -> Iterator[tuple[str, str | bytes]]:
    for node in nodes:
        yield "node name", node.name
        yield "operator type", node.op_type
        yield "operator domain", node.domain
        for tensor in (*node.input, *node.output):
            yield "tensor name", tensor
        for attribute in node.attribute:
            yield "attribute name", attribute.name
        for body in bodies_of(node) if node.attribute else ():
            yield from _texts(body)


def settle(graph: onnx.GraphProto, limit: int, outer: frozenset[str] = frozenset()) -> list[str]:
    """Check names and edges of a graph, name its nodes and sort them; warnings about what changed.

    Args:
        graph: changed in place: weights are taken out of the inputs, nodes named uniquely and put
            into an order that can run.
        limit: how deep bodies may lie in one another.
        outer: tensors of the graphs around it.

    Raises:
        ModelError: a name made twice or never, a cycle, or bodies nested too deep.
    """
    if limit < 0:
        raise ModelError(
            "bodies of If, Loop or Scan lie too deep in one another; if the file is trusted, "
            "allow more with Limits(nesting=...)"
        )
    warnings = _drop_weight_inputs(graph)
    if not outer:
        _refuse_twins((info.name for info in graph.output if info.name), "graph output")
    warnings += _name_nodes(graph)
    made = _producers(graph)
    _check_needs(graph, made, outer)
    if _sort(graph, made):
        warnings.append("the nodes were not in an order that can run; they were sorted")
    inner = outer.union(made)
    for node in graph.node:
        for body in bodies_of(node) if node.attribute else ():
            found = settle(body, limit - 1, inner)
            warnings += [f"body of node {shown(node.name)}: {text}" for text in found]
    return warnings


def _drop_weight_inputs(graph: onnx.GraphProto) -> list[str]:
    """Up to IR version 3 each initializer had to be an input too; here they are constants."""
    weights = [tensor.name for tensor in graph.initializer]
    _refuse_twins(weights, "initializer")
    _refuse_twins((info.name for info in graph.input), "graph input")
    both = {info.name for info in graph.input}.intersection(weights)
    if not both:
        return []
    kept = [info for info in graph.input if info.name not in both]
    del graph.input[:]
    graph.input.extend(kept)
    return [f"{plural(len(both), 'initializer')} also listed as inputs; taken as constants"]


def _refuse_twins(names: Iterable[str], kind: str) -> None:
    first: dict[str, int] = {}
    for place, name in enumerate(names):
        if not name:
            raise ModelError(f"{kind} number {place} has no name; give it one")
        if name in first:
            raise ModelError(
                f"{kind} {shown(name)} is there twice, at places {first[name]} and {place}; "
                "rename or remove one"
            )
        first[name] = place


def _name_nodes(graph: onnx.GraphProto) -> list[str]:
    """Give unnamed nodes and later ones of the same name a unique name: type and place."""
    taken = {node.name for node in graph.node}
    used: set[str] = set()
    empty, twins = 0, []
    for place, node in enumerate(graph.node):
        if node.name and node.name not in used:
            used.add(node.name)
            continue
        if node.name:
            twins.append(node.name)
        else:
            empty += 1
        base = f"{node.name or node.op_type}_{place}"
        name, count = base, 1
        while name in taken:
            count += 1
            name = f"{base}_{count}"
        node.name = name
        taken.add(name)
        used.add(name)
    warnings = []
    if empty:
        warnings.append(f"{plural(empty, 'node')} had no name; named by operator type and place")
    if twins:
        warnings.append(
            f"{plural(len(twins), 'node')} had the name of an earlier one "
            f"({listed(dict.fromkeys(twins))}); the place was appended"
        )
    return warnings


def _producers(graph: onnx.GraphProto) -> dict[str, int]:
    """Tensor -> place of the node that makes it, -1 for inputs and initializers."""
    made = {info.name: -1 for info in graph.input}
    made.update((tensor.name, -1) for tensor in graph.initializer)
    made.update((tensor.values.name, -1) for tensor in graph.sparse_initializer)
    for place, node in enumerate(graph.node):
        for tensor in node.output:
            if not tensor:
                continue
            if tensor in made:
                before = made[tensor]
                other = (
                    f"node {shown(graph.node[before].name)}"
                    if before >= 0
                    else "the graph's inputs or initializers"
                )
                raise ModelError(
                    f"tensor {shown(tensor)} is made twice: by {other} and by node "
                    f"{shown(node.name)}; rename one"
                )
            made[tensor] = place
    return made


def reads(node: onnx.NodeProto) -> Iterator[str]:
    """Tensors a node needs: its inputs and what its bodies take from outside."""
    yield from filter(None, node.input)
    if node.attribute:
        for body in bodies_of(node):
            yield from captured_by(body)


def _check_needs(graph: onnx.GraphProto, made: dict[str, int], outer: frozenset[str]) -> None:
    for node in graph.node:
        for tensor in reads(node):
            if tensor not in made and tensor not in outer:
                raise ModelError(
                    f"node {shown(node.name)} ({shown(node.op_type)}) needs tensor "
                    f"{shown(tensor)}, which no node, input or initializer gives; add it, or "
                    "remove the node"
                )
    for info in graph.output:
        if info.name not in made and info.name not in outer:
            raise ModelError(
                f"graph output {shown(info.name)} is made by no node; remove it from the outputs "
                "or add its node"
            )


def _sort(graph: onnx.GraphProto, made: dict[str, int]) -> bool:
    """Put the nodes into the nearest order that can run; whether they moved."""
    needs = [
        {made[tensor] for tensor in reads(node) if made.get(tensor, -1) >= 0} for node in graph.node
    ]
    if all(before < place for place, found in enumerate(needs) for before in found):
        return False
    users: list[list[int]] = [[] for _ in needs]
    for place, found in enumerate(needs):
        for before in found:
            users[before].append(place)
    missing = [len(found) for found in needs]
    ready = [place for place, count in enumerate(missing) if not count]
    order: list[int] = []
    while ready:
        place = heapq.heappop(ready)
        order.append(place)
        for after in users[place]:
            missing[after] -= 1
            if not missing[after]:
                heapq.heappush(ready, after)
    if len(order) < len(needs):
        _refuse_cycle(graph, needs, set(range(len(needs))).difference(order))
    nodes = [graph.node[place] for place in order]
    sorted_graph = onnx.GraphProto()
    sorted_graph.node.extend(nodes)
    del graph.node[:]
    graph.node.extend(sorted_graph.node)
    return True


def _refuse_cycle(graph: onnx.GraphProto, needs: list[set[int]], left: set[int]) -> None:
    at, path, seen = min(left), [], {}
    while at not in seen:
        seen[at] = len(path)
        path.append(at)
        at = min(needs[at] & left)
    ring = [graph.node[i].name for i in reversed([*path[seen[at] :], at])]
    words = " -> ".join(shown(name, 60) for name in ring[:8])
    more = f" -> ... ({len(ring) - 1} nodes in all)" if len(ring) > 8 else ""
    raise ModelError(f"the graph has a cycle: {words}{more}; break it to go on")
