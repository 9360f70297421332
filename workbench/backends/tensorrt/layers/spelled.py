"""Nodes that a compiled kernel's own name spells where its metadata leaves them out.

The compiler calls a kernel after its steps: ``__myl_FcMulAddRelu_myl0_34``. Where it turned a
convolution into a matrix product, the metadata of TensorRT-RTX 1.7 keeps the convolution alone,
though normalization and activation run in the same kernel.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping

from workbench.graph import Graph, Node

_NAME = re.compile(r"__myl_((?:[A-Z][a-z0-9]*)+)_")
_STEP = re.compile(r"[A-Z][a-z0-9]*")
_SHORTEST = 3
_STEPS: Mapping[str, tuple[str, ...]] = {
    "BatchNormalization": ("Mul", "Add"), "Clip": ("Max", "Min"), "Conv": ("Corr",),
    "Gemm": ("Fc",), "MatMul": ("Fc",), "Concat": ("Conc",),
}  # fmt: skip


def spelled(
    graph: Graph, name: str, places: Iterable[int], claimed: Collection[int]
) -> frozenset[int]:
    """Places of the nodes around those of a kernel whose steps its name has left over.

    Args:
        graph: the ONNX graph.
        name: of the layer.
        places: nodes it is known to run.
        claimed: nodes that some layer names; they are left alone.
    """
    found = _NAME.match(name)
    own = set(places)
    if not found or not own:
        return frozenset()
    left = Counter(_STEP.findall(found[1]))
    for place in own:
        left.subtract(_taken(graph.nodes[place], left))
    grown: set[int] = set()
    waiting = sorted(own)
    while waiting:
        at = waiting.pop(0)
        for place in (*graph.successors[at], *graph.predecessors[at]):
            steps = _taken(graph.nodes[place], left)
            if steps and place not in claimed and place not in own | grown:
                left.subtract(steps)
                grown.add(place)
                waiting.append(place)
    return frozenset(grown)


def _taken(node: Node, left: Mapping[str, int]) -> tuple[str, ...]:
    """The steps a node stands for, as far as they are left; empty where one is not."""
    wanted = _STEPS.get(node.op_type) or next(
        ((step,) for step in left if len(step) >= _SHORTEST and node.op_type.startswith(step)), ()
    )
    return wanted if all(left.get(step, 0) > 0 for step in wanted) else ()
