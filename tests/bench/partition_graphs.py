"""Networks of any size that look like real ones: residual, transformer, detection; and random ones.

All are seeded; `share` of the nodes is supported, drawn at random, as in the tables of
`docs/partitioning.md`. The order of the nodes in the list is that of a usual exporter.
"""

from __future__ import annotations

import random

from workbench.graph import Graph, Node, TensorSpec
from workbench.partitioning import Capability, Code, Verdict


class Net:
    """A graph under construction: nodes with one output and `float32` shapes."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.tensors: list[TensorSpec] = []
        self.weights: list[TensorSpec] = []

    def add(self, op_type: str, *inputs: str, elements: int = 1024, weight: bool = False) -> str:
        out = f"t{len(self.nodes)}"
        if weight:
            self.weights.append(TensorSpec(f"w{len(self.nodes)}", "float32", (elements,)))
            inputs = (*inputs, self.weights[-1].name)
        self.nodes.append(Node(f"n{len(self.nodes)}", op_type, inputs=inputs, outputs=(out,)))
        self.tensors.append(TensorSpec(out, "float32", (elements,)))
        return out

    def graph(self, name: str) -> Graph:
        read = {t for node in self.nodes for t in node.inputs}
        outputs = tuple(spec for spec in self.tensors if spec.name not in read)
        inputs = (TensorSpec("x", "float32", (1024,)),)
        return Graph(
            name, inputs, outputs, tuple(self.nodes), tuple(self.weights), tuple(self.tensors)
        )


def resnet(count: int, seed: int = 0) -> Graph:
    """Residual blocks of three convolutions, every eighth one a block of four branches."""
    net, rng, x = Net(), random.Random(seed), "x"
    while len(net.nodes) < count:
        size = rng.choice((256, 1024, 4096))
        if rng.random() < 0.125:
            ends = []
            for depth in (1, 2, 3, 1):
                y = x
                for _ in range(depth):
                    y = net.add("Conv", y, elements=size, weight=True)
                    y = net.add("Relu", y, elements=size)
                ends.append(y)
            x = net.add("Concat", *ends, elements=4 * size)
            continue
        y = x
        for _ in range(3):
            y = net.add("Conv", y, elements=size, weight=True)
            y = net.add("BatchNormalization", y, elements=size, weight=True)
            y = net.add("Relu", y, elements=size)
        if rng.random() < 0.25:
            x = net.add("Conv", x, elements=size, weight=True)
        x = net.add("Relu", net.add("Add", x, y, elements=size), elements=size)
    return net.graph(f"resnet-like {count}")


def transformer(count: int, seed: int = 0) -> Graph:
    """Attention blocks with the shape arithmetic that exporters leave around every reshape."""
    net, x = Net(), "x"
    while len(net.nodes) < count:
        shape = net.add("Shape", x, elements=3)
        batch = net.add("Gather", shape, elements=1)
        target = net.add("Concat", net.add("Unsqueeze", batch, elements=1), elements=4)
        heads = []
        for _ in range(3):
            y = net.add("Add", net.add("MatMul", x, weight=True), weight=True)
            heads.append(net.add("Transpose", net.add("Reshape", y, target)))
        scores = net.add("MatMul", heads[0], heads[1], elements=4096)
        scores = net.add("Softmax", net.add("Div", scores, elements=4096), elements=4096)
        y = net.add("Transpose", net.add("MatMul", scores, heads[2]))
        y = net.add("MatMul", net.add("Reshape", y, shape), weight=True)
        x = _normalised(net, net.add("Add", x, net.add("Add", y, weight=True)))
        y = net.add("Add", net.add("MatMul", x, elements=4096, weight=True), elements=4096)
        gate = net.add("Erf", net.add("Div", y, elements=4096), elements=4096)
        y = net.add("Mul", y, net.add("Add", gate, elements=4096), elements=4096)
        y = net.add("Add", net.add("MatMul", y, weight=True), weight=True)
        x = _normalised(net, net.add("Add", x, y))
    return net.graph(f"transformer-like {count}")


def _normalised(net: Net, x: str) -> str:
    centred = net.add("Sub", x, net.add("ReduceMean", x, elements=8))
    spread = net.add("ReduceMean", net.add("Pow", centred), elements=8)
    spread = net.add("Sqrt", net.add("Add", spread, elements=8), elements=8)
    return net.add("Mul", net.add("Div", centred, spread), weight=True)


def detection(count: int, seed: int = 0) -> Graph:
    """A backbone whose levels feed towers of heads, and selection that gathers from all of them."""
    net, rng, x = Net(), random.Random(seed), "x"
    while len(net.nodes) < count:
        levels = []
        for _ in range(5):
            for _ in range(6):
                x = net.add("Relu", net.add("Conv", x, weight=True))
            levels.append(x)
        boxes, scores = [], []
        for level in levels:
            for ends in (boxes, scores):
                y = level
                for _ in range(4):
                    y = net.add("Relu", net.add("Conv", y, weight=True))
                y = net.add("Reshape", net.add("Transpose", net.add("Conv", y, weight=True)))
                ends.append(net.add("Sigmoid", y, elements=256))
            top = net.add("TopK", scores[-1], elements=64)
            index = net.add("NonZero", net.add("Greater", top, elements=64), elements=64)
            boxes[-1] = net.add("Gather", boxes[-1], index, elements=256)
            scores[-1] = net.add("Gather", scores[-1], index, elements=64)
        box, score = net.add("Concat", *boxes), net.add("Concat", *scores, elements=320)
        kept = net.add("NonMaxSuppression", box, score, elements=100)
        y = net.add("Gather", box, kept, elements=400)
        x = net.add("Add", x, y) if rng.random() < 0.9 else net.add("Relu", x)
    return net.graph(f"detection-like {count}")


def layered(count: int, seed: int = 0) -> Graph:
    """Layers of sixteen nodes; each node reads one to three of the two layers above."""
    net, rng = Net(), random.Random(seed)
    above = ["x"]
    while len(net.nodes) < count:
        layer = [
            net.add("Op", *rng.sample(above, min(len(above), rng.randint(1, 3)))) for _ in range(16)
        ]
        above = [*above[-16:], *layer]
    return net.graph(f"random {count}")


KINDS = {
    "resnet": resnet,
    "transformer": transformer,
    "detection": detection,
    "random": layered,
}


def supported(graph: Graph, share: float, seed: int = 0) -> Capability:
    """The capability of a backend that takes this share of the nodes, drawn at random."""
    rng = random.Random(seed)
    return Capability(
        f"{share:.0%} at random",
        tuple(
            Verdict(n.name, Code.TAKEN if rng.random() < share else Code.UNSUPPORTED_OP)
            for n in graph.nodes
        ),
    )
