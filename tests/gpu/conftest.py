"""Everything here needs a GPU; where there is none it is skipped, with the reason."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from gpu_report import Report

from workbench.backends import cuda
from workbench.backends.tensorrt import TensorRT

HERE = Path(__file__).parent


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    mine = [item for item in items if HERE in item.path.parents]
    reason = cuda.why_not() if mine else ""
    for item in mine:
        item.add_marker(pytest.mark.gpu)
        if reason:
            item.add_marker(pytest.mark.skip(reason=f"no usable NVIDIA GPU: {reason}"))


@pytest.fixture(scope="session")
def report() -> Iterator[Report]:
    made = Report.begun()
    yield made
    made.write()


@pytest.fixture(autouse=True)
def told(request: pytest.FixtureRequest) -> Iterator[None]:
    """Each test's end goes into the report."""
    report = request.getfixturevalue("report")
    yield
    report.ended(request.node)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):
    outcome = yield
    if call.when == "call" and HERE in item.path.parents:
        item.stash[Report.OUTCOME] = (outcome.outcome, call.duration, str(outcome.longrepr or ""))
    return outcome


@pytest.fixture(scope="session")
def trt() -> Iterator[TensorRT]:
    with_parser = TensorRT()
    yield with_parser
    with_parser.close()
