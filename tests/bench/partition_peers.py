"""What the planner is measured against: torch.fx's partitioner, and waves as in ONNX Runtime."""

from __future__ import annotations

from time import process_time

from workbench.graph import Graph
from workbench.partitioning import Capability


def _anything(*_tensors: object) -> None:
    """What every node of the torch graph calls; it is never run."""


def torch_partitions(graph: Graph, capability: Capability) -> tuple[float, dict[str, int]]:
    """Process seconds of torch.fx's CapabilityBasedPartitioner, and node name -> partition.

    As shipped: `propose_partitions` with single nodes allowed. Building the torch graph is not
    timed.
    """
    import torch.fx
    from torch.fx.passes.infra.partitioner import CapabilityBasedPartitioner
    from torch.fx.passes.operator_support import OperatorSupportBase

    taken = capability.taken
    made = torch.fx.Graph()
    value = {spec.name: made.placeholder(spec.name) for spec in graph.inputs}
    for place in graph.order:
        node = graph.nodes[place]
        args = tuple(value[name] for name in node.inputs if name in value)
        value[node.outputs[0]] = made.create_node("call_function", _anything, args, name=node.name)
    made.output(tuple(value[spec.name] for spec in graph.outputs))

    class Support(OperatorSupportBase):
        def is_node_supported(self, submodules, node) -> bool:
            return node.name in taken

    module = torch.fx.GraphModule(torch.nn.Module(), made)
    partitioner = CapabilityBasedPartitioner(module, Support(), allows_single_node_partition=True)
    start = process_time()
    found = partitioner.propose_partitions()
    seconds = process_time() - start
    return seconds, {node.name: i for i, part in enumerate(found) for node in part.nodes}


def waves(graph: Graph, capability: Capability) -> dict[str, int]:
    """Node name -> wave: each drains what is ready of one kind, then of the other, in turn.

    The rule of onnxruntime/core/providers/partitioning_utils.cc.
    """
    taken = capability.taken
    missing = [len(above) for above in graph.predecessors]
    ready = [v for v, count in enumerate(missing) if not count]
    found: dict[str, int] = {}
    wave, ours = 0, False
    while ready:
        queue = [v for v in ready if (graph.nodes[v].name in taken) == ours]
        ready = [v for v in ready if (graph.nodes[v].name in taken) != ours]
        for v in queue:
            if ours:
                found[graph.nodes[v].name] = wave
            for s in graph.successors[v]:
                missing[s] -= 1
                if not missing[s]:
                    same = (graph.nodes[s].name in taken) == ours
                    (queue if same else ready).append(s)
        wave += ours
        ours = not ours
    return found


def boundary(graph: Graph, part: dict[str, int]) -> int:
    """Inputs plus outputs of all parts, each tensor once for each part."""
    ends: set[tuple[str, int, bool]] = set()
    given = {spec.name for spec in graph.outputs}
    weights = {spec.name for spec in graph.initializers}
    for node in graph.nodes:
        mine = part.get(node.name)
        for tensor in node.inputs:
            maker = graph.producer.get(tensor)
            source = None if maker is None else part.get(graph.nodes[maker].name)
            if tensor in weights or (source is not None and source == mine):
                continue
            if mine is not None:
                ends.add((tensor, mine, True))
            if source is not None:
                ends.add((tensor, source, False))
        if mine is not None:
            ends |= {(tensor, mine, False) for tensor in node.outputs if tensor in given}
    return len(ends)
