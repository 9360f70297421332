"""Many configurations of some networks, measured side by side and kept.

`run` measures what a `Design` asks for, writes every finished step to a journal, and goes on where
it was interrupted. The `Study` it gives holds every sample; tables and figures are made from it.
"""

from __future__ import annotations

from workbench.study.beside import Beside, beside
from workbench.study.design import Design, Subject, Whole
from workbench.study.environment import Environment, describe
from workbench.study.results import Configuration, Study, load
from workbench.study.running import run

__all__ = [
    "Beside", "Configuration", "Design", "Environment", "Study", "Subject", "Whole", "beside",
    "describe", "load", "run",
]  # fmt: skip
