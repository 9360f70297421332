"""What the browser suite has, for benchmarks: its host, and the Explorer as a hand meets it."""

import importlib.util
import sys
from pathlib import Path

import pytest


def _module(name: str, file: str):
    place = Path(__file__).parents[1] / "browser" / file
    spec = importlib.util.spec_from_file_location(name, place)
    assert spec
    assert spec.loader
    made = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


HOST = _module("browser_host", "conftest.py")
PAGE = _module("explorer_page", "explorer_page.py")

MARKS = [
    pytest.mark.bench,
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(HOST.CHROMIUM is None, reason="no Chromium: apt-get install chromium"),
]
