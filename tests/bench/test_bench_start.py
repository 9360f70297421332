"""How long it takes until anything happens: importing the package, asking for help.

Prints the median of whole processes, and what an empty Python costs in the same run.
"""

import statistics
import subprocess
import sys
import time

import pytest

pytestmark = pytest.mark.bench

RUNS = 15
COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "import workbench": [sys.executable, "-c", "import workbench"],
    "workbench --help": [sys.executable, "-m", "workbench.cli", "--help"],
}
GOALS_MS = {"import workbench": 100, "workbench --help": 300}


def test_start():
    taken: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(RUNS):
        for name, command in COMMANDS.items():
            began = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True)
            taken[name].append((time.perf_counter() - began) * 1e3)
    print("\nwhole processes, wall milliseconds, median of", RUNS)
    for name, times in taken.items():
        goal = GOALS_MS.get(name)
        median = statistics.median(times)
        verdict = "" if goal is None else f"  goal {goal}: {'met' if median < goal else 'MISSED'}"
        print(f"  {name:18} {median:6.0f}{verdict}")
