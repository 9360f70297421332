"""Copy as Python: plain calls that do what is chosen in a `State`, without any widget."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from workbench import zoo
from workbench.backends.base import ShapeRange
from workbench.data import LabelledData
from workbench.model import Model
from workbench.partitioning import PRESETS, Exclusion
from workbench.widgets.opening import DIGITS, folder_changes

if TYPE_CHECKING:
    from workbench.widgets.state import State


def script(state: State) -> str:
    """Python code: open, type, ask, plan, build, measure, as chosen now.

    Strings from files are Python literals, so a hostile name stays a name. A model or data given as
    a value cannot be written down; the code says where to put them.
    """
    parts = (_opened(state), _typed(state), _planned(state), _built(state), _measured(state))
    return "import numpy as np\n\nimport workbench as wb\n\n" + "\n\n".join(parts) + "\n"


def _opened(state: State) -> str:
    source = state.source
    if isinstance(source, Model):
        line = f"model = wb.load({str(source.path)!r})" if source.path else "model = ...  # yours"
    elif os.fspath(source) in (*zoo.names(), *zoo.aliases()):
        line = f"model = wb.zoo.load({os.fspath(source)!r})"
    else:
        line = f"model = wb.load({os.fspath(source)!r})"
    data = _data(state)
    return f"{line}\ndata = {data}" if data else line


def _data(state: State) -> str:
    source = state.data_source
    if source is None:
        return ""
    if isinstance(source, LabelledData):
        return "...  # your LabelledData"
    name = os.fspath(source)
    if name in DIGITS:
        return f"wb.zoo.digits(noisy={name != 'digits'})"
    if not Path(name).is_dir():
        return f"wb.LabelledData.from_npz({name!r})"
    changes = "".join(
        f", {key}={value!r}" for key, value in folder_changes(state.model.graph).items()
    )
    return f"wb.LabelledData.from_folder({name!r}{changes})"


def _typed(state: State) -> str:
    choices, lines = state.choices, []
    fixed = {name: one.opt for name, one in choices.profiles.items() if one.min == one.max}
    if choices.precision != "fp32":
        lines += [
            "from workbench.precision import PrecisionPlan",
            "from workbench.transform import lower",
            "",
        ]
        plan, table = f"PrecisionPlan({choices.precision!r})", ""
        rules = state.precision_plan.rules
        if rules:
            plan += f".but('fp32', op_types={rules[0].op_types!r}, nodes={rules[0].nodes!r})"
        if choices.precision == "int8":
            lines += ["from workbench.calibrate import collect", "", _collected(state)]
            form = ", form='onnxruntime'" if choices.backend == "onnxruntime" else ""
            table = f", table{form}"
        lines.append(f"model = lower(model, {plan}{table}).model")
    if fixed:
        lines.append(f"model = model.with_shapes({fixed!r})")
    return "\n".join(lines) or "# in FP32, shapes as in the file"


def _collected(state: State) -> str:
    data = "data"
    if not isinstance(state.data_source, LabelledData) and str(state.data_source) in DIGITS:
        data = f"wb.zoo.digits({state.data_source != 'digits'}, 'calibration')"
    return f"table = collect(model, {data}, samples=128).table()"


def _planned(state: State) -> str:
    choices = state.choices
    excluded = _exclusion(choices.exclude)
    source = choices.source or "tensorrt"
    lines = [f"capability = wb.backends.source({source!r}).capability(model)"]
    if choices.preset:
        lines += [
            "from workbench.partitioning import PRESETS",
            "",
            f"rule = PRESETS[{choices.preset!r}]",
            f"plan = rule.plan(model.graph, capability{excluded})",
            f"partition = plan.at({choices.threshold}, "
            f"max_engines={PRESETS[choices.preset].max_engines})",
        ]
    else:
        policy = f", policy={choices.policy!r}" if choices.policy != "connected" else ""
        lines += [
            f"plan = wb.plan(model.graph, capability{policy}{excluded})",
            f"partition = plan.at({choices.threshold})",
        ]
    return "\n".join(lines)


def _exclusion(exclude: Exclusion) -> str:
    parts = [
        f"{name}={getattr(exclude, name)!r}"
        for name in ("op_types", "nodes", "tensors")
        if getattr(exclude, name)
    ]
    return f", exclude=wb.Exclusion({', '.join(parts)})" if parts else ""


def _built(state: State) -> str:
    choices = state.choices
    ranges = {name: one for name, one in choices.profiles.items() if one.min != one.max}
    settings = [f"threads={choices.threads}"]
    if ranges:
        settings.append(f"shapes={_ranges(ranges)}")
    if choices.optimization_level is not None:
        settings.append(f"optimization_level={choices.optimization_level}")
    if choices.workspace_bytes is not None:
        settings.append(f"workspace_bytes={choices.workspace_bytes}")
    if not choices.tf32:
        settings.append("tf32=False")
    cache = ", cache=wb.cache.Cache()" if state.cache else ""
    return (
        f"engine = wb.build(\n    model, partition, {choices.backend!r}, "
        f"native={choices.native!r},\n    config=wb.BuildConfig({', '.join(settings)}), "
        f"timeout={choices.timeout!r}, strict={choices.strict!r}{cache},\n)\n"
        "print(engine, *engine.failures, sep='\\n')"
    )


def _ranges(ranges: Mapping[str, ShapeRange]) -> str:
    items = (
        f"{name!r}: wb.ShapeRange({one.min!r}, {one.opt!r}, {one.max!r})"
        for name, one in ranges.items()
    )
    return "{" + ", ".join(items) + "}"


def _measured(state: State) -> str:
    choices = state.choices
    shapes = {name: one.opt for name, one in choices.profiles.items()}
    lines = [
        f"shapes = {shapes!r}",
        "random = np.random.default_rng(0)",
        "feeds = {",
        "    spec.name: random.standard_normal(shapes.get(spec.name, spec.shape))"
        ".astype(spec.dtype)",
        "    for spec in model.graph.inputs",
        "}",
        "with engine.session() as session:",
        "    (found,) = wb.measure.latency(",
        f"        {{'engine': lambda: session.run(feeds)}}, seconds={choices.seconds!r}",
        "    )",
        "    print(f'{found.median * 1e3:.3f} ms')",
    ]
    if state.data is not None:
        first = state.model.graph.inputs[0]
        extents = shapes.get(first.name, first.shape or (1,))
        head = f".head({choices.samples})" if choices.samples else ""
        lines += [
            f"right = wb.measure.accuracy(engine, data{head}, batch={extents[0]})",
            "print(f'{right.top(1).value:.2%}')",
        ]
    return "\n".join(lines)
