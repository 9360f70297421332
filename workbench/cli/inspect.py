"""`workbench inspect`: what a model holds."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from workbench import model as models
from workbench import zoo
from workbench.cli import common
from workbench.graph import TensorSpec
from workbench.model import Model
from workbench.text import aligned, listed, plural, shown


def run(given: argparse.Namespace) -> int:
    """Print the zoo, or one model."""
    if given.zoo or given.model is None:
        _zoo(given)
        return 0
    model = common.open_model(given.model, seed=given.seed)
    if given.shape or given.batch != 1:
        model = common.fixed(model, given.batch, given.shape)
    numbers = models.statistics(model)
    if given.json:
        common.print_json(
            {
                "name": model.name,
                "opsets": models.opset_report(model),
                "warnings": model.warnings,
                "statistics": numbers,
            }
        )
        return 0
    _summary(model, numbers)
    if given.nodes:
        rows = [
            (node.name, node.op_type, _shapes(model, node.inputs), _shapes(model, node.outputs))
            for node in model.graph.nodes
        ]
        print("\n" + aligned(("node", "operator", "in", "out"), rows))
    return 0


def _summary(model: Model, numbers: models.Statistics) -> None:
    graph = model.graph
    opsets = ", ".join(f"{shown(domain or 'ai.onnx')} {v}" for domain, v in model.opsets.items())
    print(f"{shown(model.name)}: {plural(len(graph.nodes), 'node')}, opset {opsets}")
    print(f"needs       {_needs(models.opset_report(model))}")
    for title, specs in (("inputs", graph.inputs), ("outputs", graph.outputs)):
        print(f"{title:11} {listed((_spec(spec) for spec in specs), 12)}")
    print(f"parameters  {common.amount(numbers.parameters)}")
    print(f"compute     {common.amount(numbers.flops, 'FLOP')} (a multiply-add is 2)")
    print(f"moved       {common.amount(numbers.bytes_moved, 'B')}")
    if numbers.unknown:
        print(f"not counted {plural(len(numbers.unknown), 'node')}: {listed(numbers.unknown)}")
    for warning in model.warnings:
        print(f"warning     {shown(warning, 400)}")
    print("\n" + aligned(("operator", "nodes"), numbers.operators.items()))


def _needs(report: models.OpsetReport) -> str:
    parts = [
        f"{shown(domain or 'ai.onnx')} {version} for {listed(report.newest[domain], 3)}"
        for domain, version in report.needed.items()
    ]
    if report.unknown:
        parts.append(f"no definition here: {listed(report.unknown)}")
    return "; ".join(parts) or "no operator set"


def _spec(spec: TensorSpec) -> str:
    dims = "?" if spec.shape is None else "x".join(str(dim) for dim in spec.shape)
    return f"{spec.name} {spec.dtype}[{dims}]"


def _shapes(model: Model, names: tuple[str, ...]) -> str:
    return " ".join(_spec(model.graph.spec(name)) for name in names if name)


def _zoo(given: argparse.Namespace) -> None:
    every = [zoo.info(name) for name in zoo.names()]
    if given.json:
        common.print_json(every)
    else:
        print(_zoo_table(every))


def _zoo_table(every: Sequence[zoo.Info]) -> str:
    rows = [
        (
            info.name,
            info.title,
            common.amount(info.parameters),
            "trained" if info.trained else "random weights",
        )
        for info in every
    ]
    return aligned(("name", "network", "parameters", "weights"), rows)
