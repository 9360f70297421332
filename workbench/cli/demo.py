"""`workbench demo`: the main job from end to end on what ships, in under three minutes.

Networks that TensorRT can take whole would give one engine each and nothing to see, so the demo
keeps two operator types out of engines, the way users of Paddle-TensorRT do with
`exp_disable_tensorrt_ops`: what was one engine falls into branches of different sizes, and the
partition threshold decides which of them are worth one.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from workbench import plan as planning
from workbench import zoo
from workbench.cli import common
from workbench.cli.study import finish, measured
from workbench.model import Model
from workbench.partitioning import Capability, Exclusion
from workbench.study import Design, Subject
from workbench.text import aligned, plural, shown

KEPT_OUT = Exclusion(op_types=("Concat", "MaxPool"))
THRESHOLDS = (1, 3, 5, 7)


def run(given: argparse.Namespace) -> int:
    """Ask, partition, build, run, measure, draw; say each in words."""
    began = time.monotonic()
    digits = zoo.load("digits_inception")
    subjects = [
        Subject(digits, zoo.digits(), title="digits_inception", weights="trained"),
        Subject(zoo.load("inception_v1"), title="inception_v1", weights="random"),
    ]
    for subject in subjects:
        _introduce(subject.model)
    design = Design(thresholds=THRESHOLDS, exclude=KEPT_OUT, seconds=1.0)
    finish(measured(subjects, design, given.out), Path(given.out), "csv")
    print(f"\ntook {time.monotonic() - began:.0f} s")
    return 0


def _introduce(model: Model) -> None:
    whole = common.fixed(model, 1, [])
    capability = common.ask(whole, None)
    print(f"{shown(model.name)}: {_taken(capability)}")
    made = planning(whole.graph, capability, exclude=KEPT_OUT)
    rows = []
    for threshold in THRESHOLDS:
        totals = made.totals(threshold)
        rows.append(
            (threshold, totals.engines, totals.nodes, len(whole.graph.nodes) - totals.nodes)
        )
    header = ("threshold", "engines", "nodes in engines", "native nodes")
    print(f"with {', '.join(KEPT_OUT.op_types)} kept out of engines:\n{aligned(header, rows)}\n")


def _taken(capability: Capability) -> str:
    nodes = plural(len(capability.verdicts), "node")
    return f"{shown(capability.source)} takes {len(capability.taken)} of {nodes}"
