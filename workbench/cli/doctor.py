"""`workbench doctor`: what is installed and usable here, and what to install for the rest."""

from __future__ import annotations

import argparse
import platform

from workbench import __version__, backends
from workbench.cli import common
from workbench.text import aligned

ABILITIES = {"capability": "says what it takes", "build": "builds", "run": "runs"}


def run(given: argparse.Namespace) -> int:
    """Try every backend; the exit status is 1 if none can run a model here."""
    reports = backends.survey()
    if given.json:
        common.print_json({"workbench": __version__, "backends": reports})
    else:
        print(f"workbench {__version__}, Python {platform.python_version()}, {platform.platform()}")
        print()
        rows = [
            (report.name, report.version or "–", *(_tick(report, what) for what in ABILITIES))
            for report in reports
        ]
        print(aligned(("backend", "version", *ABILITIES.values()), rows))
        for report in reports:
            if report.why_not:
                print(f"\n{report.name}: {report.why_not}\n  to change that: {report.remedy}")
    return 0 if any(report.usable for report in reports) else 1


def _tick(report: backends.Report, ability: str) -> str:
    return "yes" if ability in report.can else "no"
