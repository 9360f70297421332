"""Which parts of a network INT8 harms: each alone in INT8, and each alone kept out of it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from workbench.backends.base import Backend, BuildConfig
from workbench.data import LabelledData
from workbench.errors import PrecisionError
from workbench.model import Model
from workbench.precision import Precision, PrecisionPlan, Rule
from workbench.progress import Cancel, Event, Progress, silent
from workbench.ranges import CalibrationTable
from workbench.sensitivity.judging import Judge, Score
from workbench.text import aligned, listed, shown
from workbench.transform import Form, lower

PRODUCTS = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})

Groups = Mapping[str, Sequence[str]]
"""Name of a group -> its nodes."""


@dataclass(frozen=True, slots=True)
class Effect:
    """What INT8 does to one group of nodes."""

    group: str
    nodes: tuple[str, ...]
    alone: Score
    """Of the network with this group in INT8 and everything else in float32."""
    without: Score | None
    """Of the network in INT8 with this group in float32; None if it was not asked for."""

    @property
    def noise(self) -> float:
        """Power of the error this group makes alone, over that of the outputs."""
        return 0.0 if self.alone.snr_db == math.inf else 10 ** (-self.alone.snr_db / 10)


@dataclass(frozen=True)
class Sensitivity:
    """Groups by how much they suffer from INT8, the worst first."""

    effects: tuple[Effect, ...]
    reference: Score
    """Of the network in float32."""
    quantized: Score
    """Of the network with all groups in INT8."""

    @property
    def ranked(self) -> tuple[str, ...]:
        """Names of the groups, the worst first."""
        return tuple(effect.group for effect in self.effects)

    def __str__(self) -> str:
        rows = [
            (e.group, f"{e.alone.snr_db:.1f}", _agreed(e.alone),
             "–" if e.without is None else f"{e.without.snr_db:.1f}", _agreed(e.without))
            for e in self.effects
        ]  # fmt: skip
        head = ("group", "alone in INT8, dB", "agreement", "alone kept out, dB", "agreement ")
        return f"float32: {self.reference}\nall INT8: {self.quantized}\n{aligned(head, rows)}"


def _agreed(score: Score | None) -> str:
    if score is None or score.agreement is None:
        return "–"
    return f"{100 * score.agreement.value:.2f} %"


def product_groups(model: Model) -> dict[str, tuple[str, ...]]:
    """Each convolution and matrix product as a group of its own, in graph order."""
    nodes = (model.graph.nodes[i] for i in model.graph.order)
    return {node.name: (node.name,) for node in nodes if node.op_type in PRODUCTS}


def prefix_groups(model: Model, depth: int = 1) -> dict[str, tuple[str, ...]]:
    """Products together that share the first `depth` parts of their names, split at ``/``.

    Raises:
        ValueError: `depth` is below 1.
    """
    if depth < 1:
        raise ValueError(f"depth is {depth}; must be 1 or more")
    found: dict[str, list[str]] = {}
    for name in product_groups(model):
        prefix = "/".join(name.strip("/").split("/")[:depth])
        found.setdefault(prefix, []).append(name)
    return {prefix: tuple(names) for prefix, names in found.items()}


def sensitivity_of(
    model: Model,
    table: CalibrationTable,
    data: LabelledData,
    *,
    groups: Groups | None = None,
    without: bool = True,
    backend: Backend | str = "openvino",
    form: Form | str = Form.TENSORRT,
    per_channel: bool = True,
    batch: int = 32,
    config: BuildConfig = BuildConfig(),
    judge: Judge | None = None,
    progress: Progress = silent,
    cancel: Cancel | None = None,
) -> Sensitivity:
    """How much each group of nodes suffers from INT8, measured on real data.

    Every group is put into INT8 alone (leave-one-in), which tells its own error even where several
    groups are bad; and kept out of INT8 alone (leave-one-out), which tells what excluding it would
    bring. The ranking goes by the error a group makes alone. One engine is built for each, in a
    worker process.

    Args:
        model: the float32 network.
        table: ranges of its tensors.
        data: what to judge on.
        groups: nodes by group; by default each product alone.
        without: whether to measure leave-one-out too.
        backend: what builds and runs the INT8 networks.
        form: form of quantization; `onnxruntime` for that backend.
        per_channel: scales of weights by channel.
        batch: samples a run.
        config: how to build.
        judge: a judge of before, for this model and data; spares its float32 run.
        progress: told of each group.
        cancel: stops the work within two seconds, and before the next build with a judge of before.

    Raises:
        PrecisionError: a group without nodes, or with one that the network has not.
        DataError: table or data do not fit.
        BackendError: an engine cannot be built or run.
    """
    asked = dict(product_groups(model) if groups is None else groups)
    _refuse(model, asked)
    judge = judge or Judge(model, data, backend=backend, batch=batch, config=config, cancel=cancel)
    stop = cancel or Cancel()

    def score(plan: PrecisionPlan) -> Score:
        stop.check()
        return judge.score(lower(model, plan, table, form=form, per_channel=per_channel).model)

    effects = []
    for done, (name, nodes) in enumerate(asked.items()):
        progress(Event("measure sensitivity", shown(name), done, len(asked)))
        alone = score(plan_of(asked, [name]))
        rest = [other for other in asked if other != name]
        left = score(plan_of(asked, rest)) if without else None
        effects.append(Effect(name, tuple(nodes), alone, left))
    effects.sort(key=lambda effect: -effect.noise)
    return Sensitivity(tuple(effects), judge.reference, score(plan_of(asked, list(asked))))


def plan_of(
    groups: Groups, inside: Sequence[str], fallback: Precision | str = Precision.FP32
) -> PrecisionPlan:
    """The plan with some groups in INT8, the other groups in `fallback`.

    What belongs to no group (sums, pools) follows the majority: it is INT8 where all groups or all
    but some are, and float where few are, so that a group alone really is alone.
    """
    outside = [name for name in groups if name not in set(inside)]
    if len(inside) * 2 <= len(groups):
        return PrecisionPlan(Precision.FP32, _rules(groups, inside, Precision.INT8))
    return PrecisionPlan(Precision.INT8, _rules(groups, outside, fallback))


def _rules(groups: Groups, names: Sequence[str], precision: Precision | str) -> tuple[Rule, ...]:
    return tuple(
        Rule(Precision(precision), nodes=tuple(groups[name]), label=f"group {name}")
        for name in names
    )


def _refuse(model: Model, groups: Groups) -> None:
    if not groups:
        raise PrecisionError(
            f"model {shown(model.name)} has no product to quantize; name groups of nodes"
        )
    for name, nodes in groups.items():
        strange = [node for node in nodes if node not in model.graph.position]
        if strange or not nodes:
            raise PrecisionError(
                f"group {shown(name)} names {listed(strange) or 'no nodes'}; give nodes of model "
                f"{shown(model.name)}"
            )
