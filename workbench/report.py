"""A study as one HTML file: tables, figures, what measured it. It loads and runs nothing."""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from workbench import markup, plot
from workbench.errors import StudyError
from workbench.graph import Graph
from workbench.precision import achieved, asked
from workbench.study import Study
from workbench.study.results import Key
from workbench.study.tables import NOTHING, PRINTED, rows
from workbench.text import listed, plural, shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


_NO_LAYERS: Mapping[Key, Layers] = MappingProxyType({})


@dataclass(frozen=True)
class Layers:
    """What a configuration runs, for its table in the report; a study has no layers."""

    graph: Graph
    """The network it was built from."""
    layers: Graph
    """`Engine.layers()`; origins name nodes of `graph`."""
    times: Mapping[str, float]
    """Layer -> seconds in one run; may be empty."""


def html(
    study: Study,
    *,
    title: str = "",
    notes: str = "",
    layers: Mapping[Key, Layers] = _NO_LAYERS,
) -> str:
    """The report as a page.

    Args:
        study: what was measured.
        title: of the page; names of the networks if empty.
        notes: plain text put in front of the numbers.
        layers: `Configuration.key` -> what it runs, for a folded table of its layers.
    """
    title = title or f"Study of {', '.join(study.models)}"
    parts = [f"<h1>{markup.escaped(title)}</h1>"]
    if notes:
        parts.append(f"<pre>{markup.escaped(notes, 20_000)}</pre>")
    if not study.complete:
        parts.append(markup.paragraph("The study is not finished: configurations are missing."))
    for model in study.models:
        for batch in study.batches(model):
            parts += _section(study, model, batch)
            parts += [
                layers_table(one.variant, layers[one.key])
                for one in study.select(model, batch)
                if one.key in layers
            ]
    parts += ["<h2>Measured on</h2>", markup.paragraph(study.environment)]
    parts += [markup.paragraph(line) for line in _measured_by(study)]
    return markup.page(title, *parts)


def save(
    study: Study,
    path: str | os.PathLike[str],
    *,
    title: str = "",
    notes: str = "",
    layers: Mapping[Key, Layers] = _NO_LAYERS,
) -> Path:
    """Write `html` to a file; the path.

    Raises:
        StudyError: the file cannot be written.
    """
    target = Path(path)
    text = html(study, title=title, notes=notes, layers=layers)
    try:
        partial = target.with_name(f".{target.name}.{os.getpid()}.part")
        partial.write_text(text, encoding="utf-8")
        partial.replace(target)
    except OSError as error:
        raise StudyError(
            f"{shown(target)}: cannot be written ({shown(error.strerror)}); choose another place"
        ) from error
    return target


def layers_table(name: str, ran: Layers) -> str:
    """The layers of a configuration, folded: precision asked for and achieved, time, nodes.

    Asked for is what the types of the network say that the configuration was built from. The
    slowest layer comes first, one without a time last.
    """
    audit = achieved(ran.layers, asked(ran.graph), ran.graph)
    rows = [
        (
            one.layer, one.requested.value, one.achieved or NOTHING, str(one.outcome),
            f"{1e6 * ran.times[one.layer]:.1f}" if one.layer in ran.times else NOTHING,
            listed(one.origin, 3),
        )
        for one in sorted(audit.layers, key=lambda one: -ran.times.get(one.layer, -1.0))
    ]  # fmt: skip
    header = ("layer", "asked for", "computed in", "outcome", "µs", "stands for")
    return markup.folded(f"layers of {name}", markup.table(header, rows, most=500))


def table(study: Study, model: str, batch: int) -> str:
    """The table of one network and batch as HTML; empty columns are left out."""
    keys = {one.variant for one in study.select(model, batch)}
    found = [
        row
        for row in rows(study)
        if row["model"] == model and row["batch"] == batch and row["variant"] in keys
    ]
    columns = [(head, make) for head, make in PRINTED if any(make(r) != NOTHING for r in found)]
    return markup.table(
        [head for head, _ in columns], [[make(row) for _, make in columns] for row in found]
    )


def _section(study: Study, model: str, batch: int) -> list[str]:
    parts = [
        f"<h2>{markup.escaped(model)}, {plural(batch, 'sample')} a run</h2>",
        table(study, model, batch),
    ]
    for name, draw, numbers in _FIGURES:
        if numbers(study, model, batch):
            axes = draw(study, model, batch)
            parts.append(markup.picture(svg(axes), f"{name} of {model}"))
    parts += [
        markup.paragraph(f"{one.variant}: {one.failed}")
        for one in study.select(model, batch)
        if one.failed
    ]
    return parts


def svg(axes: Axes | Figure) -> bytes:
    """A drawing as SVG, letters as outlines so that it looks the same everywhere."""
    import matplotlib

    figure: Any = axes.get_figure(root=True) or axes
    written = io.BytesIO()
    with warnings.catch_warnings(), matplotlib.rc_context({"svg.hashsalt": "workbench"}):
        # A name in a script the font lacks is drawn with boxes; that is no reason to fail.
        warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)
        figure.savefig(written, format="svg", metadata={"Date": None})
    return written.getvalue()


def _measured_by(study: Study) -> list[str]:
    found = dict.fromkeys(one.measured_by for one in study.configurations if not one.failed)
    sources = dict.fromkeys(one.source for one in study.configurations if one.source)
    return [f"Measured by {one}." for one in found] + [
        f"What engines may hold was said by {one}." for one in sources
    ]


def _tradeoff_points(study: Study, model: str, batch: int) -> bool:
    both = (
        plot.tradeoff_numbers(study, model, batch),
        plot.tradeoff_numbers(study, model, batch, "snr"),
    )
    return max(map(len, both)) > 1


_FIGURES: tuple[tuple[str, Callable[..., Axes], Callable[..., object]], ...] = (
    ("latency", plot.latency, plot.latency_numbers),
    ("accuracy", plot.accuracy, plot.accuracy_numbers),
    ("trade-off", plot.tradeoff, _tradeoff_points),
)
