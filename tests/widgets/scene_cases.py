"""Networks for the tests of the graph view."""

from __future__ import annotations

from workbench.graph import Graph, Node, TensorSpec
from workbench.partitioning import Capability, Code, Partition, Verdict, plan

HOSTILE = (
    "<script>window.PWNED=1</script>",
    '"><img src=x onerror="window.PWNED=1">',
    "</text></g></svg><script>window.PWNED=1</script>",
    "</script><script>window.PWNED=1</script>",
    "<!--", "]]>", "&lt;b&gt;", "{{7*7}}", "${window.PWNED=1}", "`${1}`", "\\\" ];}\\n//",
    "javascript:window.PWNED=1", "__proto__", "constructor", "a\u202ereversed",
    "line\nbreak\x00nul",
    "\u2028\u2029", "<svg onload=window.PWNED=1>", "%s%n", "=cmd|'/c calc'!A1", "\ud800 lone",
    "</style><style>*{display:none}", "x" * 5000, "' onmouseover='window.PWNED=1",
    "name;}{fill:red",
    "$\\frac{1}{0}$", "\\N{BULLET}\\n", "🙂 e\u0301",
)  # fmt: skip


def chain_with_branches(blocks: int, names: tuple[str, ...] = ()) -> Graph:
    """Residual blocks of four nodes; node names can be given, for as many nodes as there are."""
    nodes: list[Node] = []
    tensors: list[TensorSpec] = []

    def add(op: str, *inputs: str, weight: bool = False) -> str:
        number = len(nodes)
        out = f"t{number}"
        name = (
            names[number % len(names)] + f"·{number}" if names else f"block{number // 4}/n{number}"
        )
        reads = (*inputs, "w") if weight else inputs
        attributes = {"kernel_shape": (3, 3), "group": 1} if op == "Conv" else {}
        nodes.append(Node(name, op, inputs=reads, outputs=(out,), attributes=attributes))
        tensors.append(TensorSpec(out, "float32", ("N", 8, 4, 4)))
        return out

    x = "image"
    for _ in range(blocks):
        y = add("Relu", add("Conv", x, weight=True))
        x = add("Add", add("Conv", y, weight=True), x)
    return Graph(
        names[0] if names else "net",
        (TensorSpec("image", "float32", ("N", 8, 4, 4)),),
        (TensorSpec(x, "float32", ("N", 8, 4, 4)),),
        tuple(nodes),
        (TensorSpec("w", "float32", (8, 8, 3, 3)),),
        tuple(tensors[:-1]),
    )


def capability(graph: Graph, every: int = 7, reason: str = "no importer for it") -> Capability:
    """Takes all nodes but every so many."""
    verdicts = [
        Verdict(node.name, Code.UNSUPPORTED_OP, reason)
        if i % every == every - 1
        else Verdict(node.name, Code.TAKEN)
        for i, node in enumerate(graph.nodes)
    ]
    return Capability("test", tuple(verdicts))


def divided(graph: Graph, threshold: int = 3, every: int = 7) -> Partition:
    """The graph's partition for `capability`."""
    return plan(graph, capability(graph, every)).at(threshold)


def fused(graph: Graph, partition: Partition) -> Graph:
    """Layers as engines have them: two nodes that follow one another are one layer."""
    nodes: list[Node] = []
    for part, kind in ((partition.subgraphs, "engine"), (partition.native, "native")):
        for piece in part:
            for k in range(0, len(piece.nodes), 2):
                origin = piece.nodes[k : k + 2]
                attributes = {"part": f"{kind} {piece.index}", "backend": "test"}
                outputs = tuple(t for name in origin for t in graph.node(name).outputs)
                inside = set(outputs)
                reads = tuple(
                    dict.fromkeys(
                        t for n in origin for t in graph.node(n).inputs if t not in inside
                    )
                )
                name = f"layer {len(nodes)}"
                nodes.append(Node(name, "Fused", "", reads, outputs, attributes, origin))
    return Graph("fused", graph.inputs, graph.outputs, tuple(nodes), graph.initializers)
