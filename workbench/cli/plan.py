"""`workbench plan`: which nodes engines take, why not the rest, what a threshold changes."""

from __future__ import annotations

import argparse
from collections import Counter
from typing import Any

from workbench.cli import common
from workbench.partitioning import Code, Partition, Plan, explain, what_if, why_apart
from workbench.text import aligned, listed, plural, shown


def run(given: argparse.Namespace) -> int:
    """Plan, answer the questions asked, and print or draw."""
    model = common.fixed(common.open_model(given.model, seed=given.seed), given.batch, given.shape)
    made = common.planned(model, given)
    partition = partition_of(made, given)
    if given.json:
        common.print_json(_as_json(made, partition) | _answers(made, partition, given))
    elif given.why or given.apart or given.what_if:
        _answer(made, partition, given)
    else:
        _summary(made, partition)
    if given.nodes and not given.json:
        print("\n" + _node_table(partition))
    if given.figure:
        _draw(made, given)
    return 0


def partition_of(made: Plan, given: argparse.Namespace) -> Partition:
    """The partition at the threshold asked for: the option's, the preset's, or the default."""
    if not given.preset:
        return made.at(given.min_subgraph_size or common.DEFAULT_THRESHOLD)
    preset = common.preset(given.preset)
    return made.at(preset.threshold(given.min_subgraph_size), max_engines=preset.max_engines)


def _summary(made: Plan, partition: Partition) -> None:
    counts = Counter(verdict.code for verdict in partition.verdicts)
    print(f"{shown(made.graph.name)}: {plural(len(made.graph.nodes), 'node')}")
    print(f"asked: {shown(made.capability.source)}")
    print(f"policy {made.policy}, threshold {partition.min_subgraph_size}\n")
    print(aligned(("verdict", "nodes"), [(code, n) for code, n in counts.most_common()]))
    rows = [
        (part.index, len(part), len(part.inputs), len(part.outputs), part.nodes[0], part.nodes[-1])
        for part in partition.subgraphs[:20]
    ]
    print("\n" + aligned(("engine", "nodes", "in", "out", "first node", "last node"), rows))
    if len(partition.subgraphs) > len(rows):
        print(f"and {len(partition.subgraphs) - len(rows)} more")
    print("\n" + _curve(made))
    advice = made.recommended()
    print(f"\nrecommended threshold: {advice.min_subgraph_size}: {advice.reason}")
    _refusals(partition)


def _curve(made: Plan) -> str:
    rows = [
        (
            p.min_subgraph_size,
            p.totals.engines,
            p.totals.nodes,
            common.amount(p.totals.boundary_bytes, "B"),
        )
        for p in made.curve()
    ]
    return aligned(("threshold from", "engines", "nodes in engines", "over the cuts"), rows[:30])


def _refusals(partition: Partition) -> None:
    kinds: dict[tuple[str, str], Counter[str]] = {}
    for v in partition.verdicts:
        if v.code not in (Code.TAKEN, Code.FOLDED):
            kinds.setdefault((v.code, v.reason), Counter())[
                partition.graph.node(v.node).op_type
            ] += 1
    if kinds:
        rows = [
            (sum(ops.values()), listed([op for op, _ in ops.most_common()], 3), code, reason)
            for (code, reason), ops in kinds.items()
        ]
        rows.sort(key=lambda row: -row[0])
        print("\n" + aligned(("nodes", "operator", "why native", "in the rule's words"), rows[:20]))


def _node_table(partition: Partition) -> str:
    rows = [
        (node.name, node.op_type, partition.engine_of.get(node.name, "native"), v.code, v.reason)
        for node, v in zip(partition.graph.nodes, partition.verdicts, strict=True)
    ]
    return aligned(("node", "operator", "engine", "verdict", "reason"), rows)


def _answers(made: Plan, partition: Partition, given: argparse.Namespace) -> dict[str, Any]:
    """The answers to the questions asked, by the name of the option."""
    found: dict[str, Any] = {}
    if given.why:
        found["why"] = explain(partition, given.why)
    if given.apart:
        found["apart"] = why_apart(partition, *given.apart)
    if given.what_if:
        found["what_if"] = what_if(made, partition.min_subgraph_size)
    return found


def _answer(made: Plan, partition: Partition, given: argparse.Namespace) -> None:
    answers = _answers(made, partition, given)
    for question in ("why", "apart"):
        if question in answers:
            print(answers[question].text)
    if "what_if" in answers:
        found = answers["what_if"]
        rows = [(w.op_type, w.nodes, w.engines_fewer, w.nodes_gained, w.engines) for w in found]
        header = ("if it took", "nodes of it", "engines fewer", "nodes gained", "engines then")
        print(aligned(header, rows) if rows else "no node is native because of what it is")


def _draw(made: Plan, given: argparse.Namespace) -> None:
    from workbench import plot

    axes = plot.threshold_curve(
        made.curve(), made.recommended(), nodes=len(made.graph.nodes), name=made.graph.name
    )
    figure = axes[0].get_figure(root=True)
    assert figure is not None
    figure.savefig(given.figure)
    common.note(f"drew {given.figure}")


def _as_json(made: Plan, partition: Partition) -> dict[str, object]:
    return {
        "model": made.graph.name,
        "source": made.capability.source,
        "policy": made.policy,
        "min_subgraph_size": partition.min_subgraph_size,
        "subgraphs": partition.subgraphs,
        "native": partition.native,
        "verdicts": partition.verdicts,
        "curve": made.curve(),
        "recommended": made.recommended(),
    }
