"""`workbench doctor`: what is installed and usable here, and what to install for the rest."""

from __future__ import annotations

import argparse
import platform

from workbench import __version__, backends
from workbench.cli import common
from workbench.text import aligned


def run(given: argparse.Namespace) -> int:
    """Try every backend; the exit status is 1 if none can run a model here."""
    reports = backends.survey()
    if given.json:
        common.print_json({"workbench": __version__, "backends": reports})
    else:
        print(f"workbench {__version__}, Python {platform.python_version()}, {platform.platform()}")
        print()
        rows = [
            (r.name, r.version or "not installed", "yes" if r.usable else "no", r.why_not)
            for r in reports
        ]
        print(aligned(("backend", "version", "usable", "why not"), rows))
        remedies = dict.fromkeys(r.remedy for r in reports if r.remedy)
        if remedies:
            print("\nTo get the rest:")
            print("\n".join(f"  {remedy}" for remedy in remedies))
    return 0 if any(report.usable for report in reports) else 1
