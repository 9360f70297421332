"""How checks say what they expect."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from workbench.backends.base import Backend, Outputs
from workbench.backends.reference import Reference
from workbench.model import Model

RELATIVE = 1e-4
"""Largest error allowed, as a part of the largest absolute value of the output."""


def expect(truth: bool, message: str) -> None:
    """Raise `AssertionError` with `message` unless `truth`."""
    if not truth:
        raise AssertionError(message)


def refused(kind: type[Exception], call: Callable[[], object], *words: str) -> None:
    """Expect `call` to raise `kind` with all of `words` in its text."""
    try:
        call()
    except kind as error:
        text = str(error)
        missing = [word for word in words if word not in text]
        expect(not missing, f"the error should name {missing}; it says: {text}")
        expect(len(text.splitlines()) <= 10, f"the error is longer than ten lines: {text}")
        return
    raise AssertionError(f"expected {kind.__name__} with {words}; nothing was raised")


def same(got: Outputs, expected: Outputs, what: str) -> None:
    """Expect equal names, dtypes and shapes, and values within `RELATIVE`."""
    expect(list(got) == list(expected), f"{what}: outputs {list(got)}, not {list(expected)}")
    for name, right in expected.items():
        value = got[name]
        expect(value.dtype == right.dtype, f"{what}: {name} is {value.dtype}, not {right.dtype}")
        expect(value.shape == right.shape, f"{what}: {name} is {value.shape}, not {right.shape}")
        if right.dtype.kind != "f":
            expect(np.array_equal(value, right), f"{what}: {name} differs from the reference")
            continue
        allowed = RELATIVE * max(1.0, float(np.abs(right).max(initial=0)))
        error = float(np.abs(value.astype(float) - right.astype(float)).max(initial=0))
        expect(error <= allowed, f"{what}: {name} is off by {error}, more than {allowed}")


def outputs_of(backend: Backend, model: Model, feeds: Mapping[str, np.ndarray]) -> Outputs:
    """Outputs of one run of a fresh engine."""
    with backend.build(model).session() as session:
        return session.run(feeds)


def agrees(backend: Backend, model: Model, feeds: Mapping[str, np.ndarray], what: str) -> None:
    """Expect the outputs of `backend` to be those of the reference."""
    same(outputs_of(backend, model, feeds), outputs_of(Reference(), model, feeds), what)


def equal(got: Outputs, expected: Outputs) -> bool:
    """Whether names and bits agree; NaN equals NaN."""
    return got.keys() == expected.keys() and all(
        np.array_equal(got[name], value, equal_nan=value.dtype.kind == "f")
        for name, value in expected.items()
    )
