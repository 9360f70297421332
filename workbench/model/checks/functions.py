"""Model-local functions: no recursion, and no more nodes than the budget when all is expanded."""

from __future__ import annotations

from collections.abc import Iterable

import onnx

from workbench.errors import ModelError
from workbench.model.limits import Limits
from workbench.model.plain import bodies_of
from workbench.text import shown

Key = tuple[str, str, str]


def check_functions(model: onnx.ModelProto, limits: Limits) -> None:
    """Refuse twins, recursion, deep call chains, and a model too large when expanded."""
    bodies: dict[Key, onnx.FunctionProto] = {}
    for item in model.functions:
        key = item.domain, item.name, item.overload
        if key in bodies:
            raise ModelError(f"function {_shown(key)} is there twice; remove one")
        bodies[key] = item
    calls = {key: _calls(item.node, bodies) for key, item in bodies.items()}
    order = _bottom_up(calls)
    depth: dict[Key, int] = {}
    size: dict[Key, int] = {}
    for key in order:
        own, called = calls[key]
        depth[key] = 1 + max((depth[name] for name in called), default=0)
        size[key] = own + sum(size[name] * count for name, count in called.items())
        if depth[key] > limits.function_depth:
            raise ModelError(
                f"functions call one another {depth[key]} deep at {_shown(key)}; the limit is "
                f"{limits.function_depth}. If the file is trusted, allow more with "
                "Limits(function_depth=...)"
            )
        _check_count(size[key], f"function {_shown(key)}", limits)
    own, called = _calls(model.graph.node, bodies)
    total = own + sum(size[name] * count for name, count in called.items())
    _check_count(total, "the graph", limits)


def _check_count(count: int, what: str, limits: Limits) -> None:
    if count > limits.nodes:
        raise ModelError(
            f"{what} has {shown(count)} nodes when all functions are expanded; the limit is "
            f"{limits.nodes}. If the file is trusted, allow more with Limits(nodes=...)"
        )


def _calls(
    nodes: Iterable[onnx.NodeProto], bodies: dict[Key, onnx.FunctionProto]
) -> tuple[int, dict[Key, int]]:
    """Nodes that are no call, those of bodies included, and how often each function is called."""
    count, called = 0, {}
    todo = [*nodes]
    while todo:
        node = todo.pop()
        key = node.domain, node.op_type, node.overload
        if key in bodies:
            called[key] = called.get(key, 0) + 1
        else:
            count += 1
        if node.attribute:
            todo.extend(inner for body in bodies_of(node) for inner in body.node)
    return count, called


def _bottom_up(calls: dict[Key, tuple[int, dict[Key, int]]]) -> list[Key]:
    """Functions in an order in which the called ones come first.

    Raises:
        ModelError: a function calls itself, directly or through others.
    """
    done: dict[Key, None] = {}
    for start in calls:
        path: list[Key] = []
        todo: list[tuple[Key, bool]] = [(start, False)]
        while todo:
            key, left = todo.pop()
            if left:
                path.pop()
                done[key] = None
            elif key in path:
                ring = " -> ".join(_shown(k) for k in [*path[path.index(key) :], key][:8])
                raise ModelError(f"function calls run in a circle: {ring}; ONNX has no recursion")
            elif key not in done:
                path.append(key)
                todo.append((key, True))
                todo.extend((name, False) for name in calls[key][1])
    return list(done)


def _shown(key: Key) -> str:
    return shown("::".join(part for part in key if part), 60)
