"""How other frameworks decide, as far as it can be said of any graph: threshold, policy, counting.

A preset reproduces the rule a framework applies to its segments, not its converters: which nodes
are supported is the capability's business. Where a framework's own search depends on the order of
nodes or on hashes, the preset plans by the policy that has the same kind of segments and is free of
that accident, so counts can differ from the framework's in the better direction.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from workbench.errors import PartitionError
from workbench.graph import Graph
from workbench.partitioning.exclusion import Exclusion
from workbench.partitioning.planning import Plan, plan
from workbench.partitioning.values import Capability, Partition
from workbench.text import listed, nearest, shown


@dataclass(frozen=True, slots=True)
class Preset:
    """One framework's rule; `source` says where it was read."""

    name: str
    title: str
    policy: str
    """``connected`` or ``fewest``."""
    default: int
    """The framework's own default of its threshold option."""
    option: str
    """The option's name there."""
    strict: bool
    """Whether a segment must have more nodes than the option says, not just as many."""
    max_engines: int | None
    """Most engines it makes by default, the largest ones."""
    uncounted: frozenset[str]
    """Operator types that do not count towards the threshold."""
    source: str

    def threshold(self, value: int | None = None) -> int:
        """The smallest size that is kept when the option has this value; None is its default."""
        return (self.default if value is None else value) + self.strict

    def plan(
        self, graph: Graph, capability: Capability, *, exclude: Exclusion = Exclusion()
    ) -> Plan:
        """The plan this framework's policy and counting give; `at(threshold())` filters it."""
        return plan(
            graph, capability, policy=self.policy, exclude=exclude, uncounted=self.uncounted
        )


_NONE: frozenset[str] = frozenset()

PRESETS: Mapping[str, Preset] = MappingProxyType(
    {
        preset.name: preset
        for preset in (
            Preset(
                "paddle", "Paddle-TensorRT, program of protobuf (to 2.x)", "connected",
                3, "min_subgraph_size", True, None, _NONE,
                "paddle/fluid/framework/ir/subgraph_detector.cc: `subgraph.size() <= "
                "min_subgraph_size` is dropped, so size must be above it; merges along data edges "
                "only. Config.enable_tensorrt_engine has min_subgraph_size=3.",
            ),
            Preset(
                "paddle_pir", "Paddle-TensorRT, PIR (from 3.0)", "fewest",
                3, "min_subgraph_size", False, None, _NONE,
                "paddle/fluid/pir/transforms/tensorrt/trt_sub_graph_extract_pass.cc: "
                "`group.size() < FLAGS_trt_min_group_size` is dropped; sub_graph_detector.cc at "
                "last merges unrelated subgraphs too. TensorRTConfig has min_subgraph_size=3.",
            ),
            Preset(
                "onnxruntime", "ONNX Runtime, TensorRT execution provider", "connected",
                1, "trt_min_subgraph_size", False, None, _NONE,
                "onnxruntime/core/providers/tensorrt/tensorrt_execution_provider.cc, "
                "GetCapability; provider option trt_min_subgraph_size, default 1.",
            ),
            Preset(
                "tf_trt", "TensorFlow-TensorRT", "connected",
                3, "minimum_segment_size", False, 20,
                frozenset({"Identity", "Snapshot", "StopGradient"}),
                "tensorflow/compiler/tf2tensorrt/segment/segment.cc: effective nodes leave out "
                "Identity, Snapshot and StopGradient, `< minimum_segment_size` is dropped, and the "
                "largest TF_TRT_MAX_ALLOWED_ENGINES=20 are kept. TrtConversionParams has "
                "minimum_segment_size=3.",
            ),
            Preset(
                "torch_tensorrt", "Torch-TensorRT, dynamo, fast partitioner", "fewest",
                5, "min_block_size", False, None, _NONE,
                "py/torch_tensorrt/dynamo/partitioning/_adjacency_partitioner.py over torch.fx's "
                "splitter_base: smaller blocks than min_block_size go back to PyTorch, all nodes "
                "count; CompilationSettings has min_block_size=5, use_fast_partitioner=True.",
            ),
        )
    }
)  # fmt: skip
"""Name -> preset: ``paddle``, ``paddle_pir``, ``onnxruntime``, ``tf_trt``, ``torch_tensorrt``."""


def plan_preset(
    graph: Graph,
    capability: Capability,
    preset: str | Preset,
    value: int | None = None,
    *,
    exclude: Exclusion = Exclusion(),
) -> Partition:
    """The partition a framework's rule gives.

    Args:
        graph: the graph to divide.
        capability: which of its nodes are taken.
        preset: a preset or its name.
        value: the framework's option, in its own counting; None is its default.
        exclude: nodes to keep out.

    Raises:
        PartitionError: no such preset.
    """
    if isinstance(preset, str):
        if preset not in PRESETS:
            raise PartitionError(
                f"no preset {shown(preset)}{nearest(preset, PRESETS)}; there are "
                f"{listed(PRESETS, len(PRESETS))}"
            )
        preset = PRESETS[preset]
    found = preset.plan(graph, capability, exclude=exclude)
    return found.at(preset.threshold(value), max_engines=preset.max_engines)
