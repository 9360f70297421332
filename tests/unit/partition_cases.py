"""Random graphs, and a checker of partitions written apart from the planner: sets and searches."""

from __future__ import annotations

import random
from collections.abc import Iterable

from workbench.graph import Graph, Node, TensorSpec
from workbench.partitioning import Capability, Code, Partition, Verdict


def graph_of(
    edges: Iterable[tuple[int, int]], count: int, *, constants: Iterable[int] = ()
) -> Graph:
    """A graph of `count` one-output nodes; sources read the input `x`, constants only a weight."""
    constants = set(constants)
    reads: list[list[str]] = [[] for _ in range(count)]
    for a, b in edges:
        reads[b].append(f"t{a}")
    read = {f"t{a}" for a, _ in edges}
    nodes = tuple(
        Node(
            f"n{v}",
            f"Op{v}",
            inputs=tuple(names) or (("w",) if v in constants else ("x",)),
            outputs=(f"t{v}",),
        )
        for v, names in enumerate(reads)
    )
    spec = [TensorSpec(f"t{v}", "float32", (1 + v % 7,)) for v in range(count)]
    return Graph(
        "g",
        (TensorSpec("x", "float32", (4,)),),
        tuple(s for s in spec if s.name not in read),
        nodes,
        (TensorSpec("w", "float32", (4,)),),
        tuple(spec),
    )


def random_graph(rng: random.Random, most: int = 14) -> Graph:
    """A small graph of any shape: several outputs a node, constants, dead ends, outputs inside."""
    count = rng.randint(1, most)
    density = rng.choice((0.05, 0.15, 0.3, 0.6))
    outputs = [[f"t{v}.{k}" for k in range(rng.choice((1, 1, 1, 2)))] for v in range(count)]
    nodes = []
    for v in range(count):
        reads = [rng.choice(outputs[p]) for p in range(v) if rng.random() < density]
        reads += rng.choices(("x", "y", "w", ""), k=rng.choice((0, 1, 1, 2)))
        rng.shuffle(reads)
        captured = ("y",) if rng.random() < 0.05 else ()
        op_type = rng.choice(("Conv", "Relu", "Add", "Shape", "RandomNormal"))
        nodes.append(Node(f"n{v}", op_type, "", tuple(reads), tuple(outputs[v]), captured=captured))
    made = [name for names in outputs for name in names]
    given = rng.sample(made, rng.randint(1, min(3, len(made))))
    rng.shuffle(nodes)
    return Graph(
        "random",
        (TensorSpec("x", "float32", (2,)), TensorSpec("y", "float32", (3,))),
        tuple(TensorSpec(name) for name in given),
        tuple(nodes),
        (TensorSpec("w", "float32", (5,)),),
        tuple(TensorSpec(n, "float32", (rng.randint(1, 9),)) for n in made if rng.random() < 0.7),
    )


def random_capability(rng: random.Random, graph: Graph) -> Capability:
    share = rng.choice((0.3, 0.5, 0.7, 0.9, 1.0))
    return capability(graph, {n.name for n in graph.nodes if rng.random() < share})


def capability(graph: Graph, taken: Iterable[str]) -> Capability:
    taken = set(taken)
    return Capability(
        "test",
        tuple(
            Verdict(n.name, Code.TAKEN if n.name in taken else Code.UNSUPPORTED_OP, "no")
            for n in graph.nodes
        ),
    )


# ------------------------------------------------------------------------------- the checker


def constants_of(graph: Graph) -> set[str]:
    """Names of the nodes fed by weights alone that are not random; by fix-point."""
    known = {s.name for s in graph.initializers} - {s.name for s in graph.inputs}
    found: set[str] = set()
    while True:
        more = [
            n
            for n in graph.nodes
            if n.name not in found
            and not n.op_type.startswith("Random")
            and all(t in known for t in [*n.inputs, *n.captured] if t)
        ]
        if not more:
            return found
        found |= {n.name for n in more}
        known |= {t for n in more for t in n.outputs}


def edges_of(graph: Graph) -> set[tuple[str, str]]:
    maker = {t: n.name for n in graph.nodes for t in n.outputs if t}
    return {(maker[t], n.name) for n in graph.nodes for t in [*n.inputs, *n.captured] if t in maker}


def reaches(edges: set[tuple[object, object]], start: Iterable[object]) -> set[object]:
    below: dict[object, list[object]] = {}
    for a, b in edges:
        below.setdefault(a, []).append(b)
    found: set[object] = set()
    stack = list(start)
    while stack:
        for b in below.get(stack.pop(), ()):
            if b not in found:
                found.add(b)
                stack.append(b)
    return found


def has_cycle(edges: set[tuple[object, object]]) -> bool:
    edges = set(edges)
    while edges:
        heads = {b for _, b in edges}
        left = {(a, b) for a, b in edges if a in heads}
        if len(left) == len(edges):
            return True
        edges = left
    return False


def quotient(graph: Graph, part: dict[str, object]) -> set[tuple[object, object]]:
    return {
        (part[a], part[b])
        for a, b in edges_of(graph)
        if a in part and b in part and part[a] != part[b]
    }


def faults(partition: Partition, taken: set[str], *, whole: bool) -> list[str]:
    """What is wrong with a partition; `whole`: no segment was filtered out, so all must be in."""
    graph = partition.graph
    found: list[str] = []
    folded = constants_of(graph)
    given = {s.name for s in graph.outputs}
    pinned = {n.name for n in graph.nodes if n.name in folded and set(n.outputs) & given}
    part: dict[str, object] = {}
    for kind, parts in (("engine", partition.subgraphs), ("native", partition.native)):
        for i, sub in enumerate(parts):
            if sub.index != i:
                found.append(f"index {kind} {i}")
            for name in sub.nodes:
                if name in part:
                    found.append(f"{name} twice")
                part[name] = (kind, i)
    engines = {n for n, (kind, _) in part.items() if kind == "engine"}
    want = taken - folded
    if engines - want or (whole and engines != want):
        found.append("P2 coverage")
    if set(part) != {n.name for n in graph.nodes} - folded | pinned:
        found.append("every node that is not folded is in one part")
    edges = edges_of(graph)
    apart = {n: p for n, p in part.items() if n not in folded}
    if has_cycle(quotient(graph, apart)):
        found.append("P5 cycle")
    mixed = {n: part[n] if n in engines else n for n in apart}
    if has_cycle(quotient(graph, mixed)):
        found.append("P5 cycle of engines")
    if sorted(partition.order) != sorted(set(part.values())):
        found.append("order names every part once")
    rank = {p: i for i, p in enumerate(partition.order)}
    if any(rank.get(a, 0) >= rank.get(b, 0) for a, b in quotient(graph, apart)):
        found.append("order breaks an edge")
    for kind, i in partition.order:
        sub = (partition.subgraphs if kind == "engine" else partition.native)[i]
        found += boundary_faults(graph, sub, folded, given, f"{kind} {i}")
        inner = [(a, b) for a, b in edges if a in sub.nodes and b in sub.nodes]
        at = {n: k for k, n in enumerate(sub.nodes)}
        if any(at[a] >= at[b] for a, b in inner):
            found.append(f"{kind} {i}: nodes out of order")
        if partition.policy == "connected" and not set(sub.nodes) & folded:
            both = {*inner, *((b, a) for a, b in inner)}
            if len(sub.nodes) > 1 and reaches(both, [sub.nodes[0]]) != set(sub.nodes):
                found.append(f"P6 {kind} {i} is not connected")
    codes = {v.node: v.code for v in partition.verdicts}
    for node in graph.nodes:
        code = codes.pop(node.name)
        if (code is Code.FOLDED) != (node.name in folded):
            found.append(f"P23 {node.name} folded")
        if (code is Code.TAKEN) != (node.name in engines):
            found.append(f"P23 {node.name} taken")
    return found


def boundary_faults(graph: Graph, sub, folded: set[str], given: set[str], label: str) -> list[str]:
    found = []
    mine = [graph.node(n) for n in sub.nodes]
    copies = [graph.node(n) for n in sub.folded]
    inside = {t for n in mine + copies for t in n.outputs if t}
    weights = {s.name for s in graph.initializers} - {s.name for s in graph.inputs}
    need = {t for n in mine + copies for t in [*n.inputs, *n.captured] if t} - inside - weights
    if set(sub.inputs) != need or len(sub.inputs) != len(need):
        found.append(f"{label}: inputs {sub.inputs} but needs {need}")
    if set(sub.folded) - folded:
        found.append(f"{label}: folded is not constant")
    outer = [n for n in graph.nodes if n.name not in sub.nodes and n.name not in folded]
    wanted = {t for n in outer for t in [*n.inputs, *n.captured]} | given
    made = {t for n in mine for t in n.outputs if t}
    leave = (made & given) if set(sub.nodes) & folded else made & wanted
    if set(sub.outputs) != leave or len(sub.outputs) != len(leave):
        found.append(f"{label}: outputs {sub.outputs} but {leave} leave")
    upward = {(b, a) for a, b in edges_of(graph) if a in folded}
    used = reaches(upward, sub.nodes) - set(sub.nodes)
    if set(sub.folded) != used:
        found.append(f"{label}: copies {sub.folded} but uses {used}")
    return found


def not_maximal(partition: Partition, *, adjacent: bool) -> list[tuple[object, object]]:
    """Pairs of engines whose merging would close no cycle."""
    graph = partition.graph
    folded = constants_of(graph)
    part: dict[str, object] = {n.name: n.name for n in graph.nodes if n.name not in folded}
    for sub in partition.subgraphs:
        part.update(dict.fromkeys(sub.nodes, sub.index))
    edges = quotient(graph, part)
    found = []
    for a in range(len(partition.subgraphs)):
        for b in range(a):
            touching = (a, b) in edges or (b, a) in edges
            if (touching or not adjacent) and not has_cycle(
                {
                    (min(p, a) if p in (a, b) else p, q)
                    for p, q in ((b if p == a else p, b if q == a else q) for p, q in edges)
                    if p != q
                }
            ):
                found.append((a, b))
    return found


def longest_alternation(graph: Graph, taken: set[str]) -> int:
    """Most engine runs on one path, by trying every path from every node with memory."""
    folded = constants_of(graph)
    below: dict[str, list[str]] = {n.name: [] for n in graph.nodes}
    for a, b in edges_of(graph):
        if a not in folded:
            below[a].append(b)
    memory: dict[tuple[str, bool], int] = {}

    def runs(name: str, inside: bool) -> int:
        key = name, inside
        if key not in memory:
            mine = name in taken
            rest = max((runs(b, mine) for b in below[name]), default=0)
            memory[key] = rest + (mine and not inside)
        return memory[key]

    return max((runs(n, False) for n in below if n not in folded), default=0)
