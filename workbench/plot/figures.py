"""The figures of a study as files."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.errors import StudyError
from workbench.plot.numbers import accuracy_numbers, latency_numbers, tradeoff_numbers
from workbench.plot.rows import accuracy, latency
from workbench.plot.scatter import tradeoff
from workbench.plot.style import footnote, new_figure
from workbench.study import Study
from workbench.text import shown

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Panel = tuple[str, int]

MOST = 6
"""Panels in one figure; a study with more gets a figure for each network."""


def save_figures(
    study: Study, folder: str | Path, *, formats: Sequence[str] = ("png",)
) -> tuple[Path, ...]:
    """Latency, accuracy and trade-off of every network and batch, drawn into files.

    ``latency.png`` has a panel for each network and batch, ``accuracy.png`` and ``tradeoff.png``
    one for each that has labels, or an SNR. A figure without any panel is left out. With more than
    six panels each network gets files of its own: ``latency-1.png`` for the first, and so on.

    Args:
        study: what to draw.
        folder: made if it is not there; files of the same names are replaced.
        formats: of ``png``, ``svg`` and ``pdf``.

    Returns:
        The files.

    Raises:
        StudyError: the folder cannot be written.
        ValueError: another format.
    """
    wrong = [name for name in formats if name not in ("png", "svg", "pdf")]
    if wrong:
        raise ValueError(f"format {shown(wrong[0])}; must be png, svg or pdf")
    folder = Path(folder)
    written: list[Path] = []
    for name, has, draw in _KINDS:
        panels = [(m, b) for m in study.models for b in study.batches(m) if has(study, m, b)]
        for number, part in _split(panels):
            figure = _figure(study, part, draw)
            written += [_saved(figure, folder / f"{name}{number}.{suffix}") for suffix in formats]
    return tuple(written)


def _split(panels: list[Panel]) -> list[tuple[str, list[Panel]]]:
    if len(panels) <= MOST:
        return [("", panels)] if panels else []
    models = list(dict.fromkeys(model for model, _ in panels))
    return [
        (f"-{number}", [panel for panel in panels if panel[0] == model])
        for number, model in enumerate(models, start=1)
    ]


def _figure(study: Study, panels: list[Panel], draw: Callable[..., Any]) -> Figure:
    """One panel beneath the other, each as high as its rows need."""
    heights = [_height(study, panel, draw) for panel in panels]
    figure = new_figure(8.5, sum(heights) + 0.5)
    footnote(figure, study)
    grid = figure.add_gridspec(len(panels), 1, height_ratios=heights)
    for place, (model, batch) in enumerate(panels):
        draw(study, model, batch, ax=figure.add_subplot(grid[place]))
    return figure


def _height(study: Study, panel: Panel, draw: Callable[..., Any]) -> float:
    rows = len(study.select(*panel))
    return max(3.1, 0.21 * rows + 0.7) if draw is tradeoff else 1.0 + 0.3 * rows


def _saved(figure: Figure, path: Path) -> Path:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with warnings.catch_warnings():
            # A name in a script the font lacks is drawn with boxes; that is no reason to fail.
            warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)
            figure.savefig(path)
    except OSError as error:
        raise StudyError(
            f"{shown(path)}: cannot be written ({shown(error.strerror)}); choose another folder"
        ) from error
    return path


def _has_tradeoff(study: Study, model: str, batch: int) -> bool:
    found = tradeoff_numbers(study, model, batch) or tradeoff_numbers(study, model, batch, "snr")
    return len(found) > 1


_KINDS = (
    ("latency", lambda *of: bool(latency_numbers(*of)), latency),
    ("accuracy", lambda *of: bool(accuracy_numbers(*of)), accuracy),
    ("tradeoff", _has_tradeoff, tradeoff),
)
