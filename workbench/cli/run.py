"""`workbench run`: run a model or a saved hybrid, measure it, compare it."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from workbench import hybrid, measure
from workbench.backends.base import Engine, Feeds, Outputs, Session
from workbench.cli import build as building
from workbench.cli import common
from workbench.errors import DataError, ModelError
from workbench.model import Model
from workbench.text import aligned, shown


def run(given: argparse.Namespace) -> int:
    """Run once, print what came out, then measure."""
    model, engine = _opened(given)
    feeds = _feeds(engine, given)
    with engine.session() as session:
        outputs = session.run(feeds)
        print(_output_table(outputs))
        # A backend may hide either from the other: OpenVINO's Relu makes 0 of NaN.
        _tell_odd("input", feeds)
        _tell_odd("output", outputs)
        if given.out:
            np.savez(given.out, allow_pickle=False, **outputs)
            print(f"wrote {given.out}")
        if given.reference:
            _compare(model, engine, feeds, given)
        if given.seconds > 0:
            _time(session, engine, feeds, given.seconds)
    return 0


def _time(session: Session, engine: Engine, feeds: Feeds, seconds: float) -> None:
    def call() -> None:
        session.run(feeds)

    (timed,) = measure.latency({"run": call}, seconds=seconds)
    low, high = timed.interval
    print(
        f"latency {common.duration(timed.median)} "
        f"(95 % interval {common.duration(low)} to {common.duration(high)}, "
        f"{len(timed.samples)} samples, {shown(engine.backend)}, wall time)"
    )


def _opened(given: argparse.Namespace) -> tuple[Model | None, Engine]:
    path = Path(given.model)
    if path.is_dir() or path.suffix == ".hybrid":
        return None, hybrid.open(path)
    model = common.fixed(common.open_model(given.model, seed=given.seed), given.batch, given.shape)
    return model, building.build(model, given)


def _feeds(engine: Engine, given: argparse.Namespace) -> dict[str, np.ndarray]:
    files = dict(_named(text) for text in given.input)
    random = np.random.default_rng(given.seed or 0)
    feeds = {}
    for spec in engine.inputs:
        if spec.name in files:
            feeds[spec.name] = _array(files.pop(spec.name))
            continue
        shape = [dim if isinstance(dim, int) else given.batch for dim in spec.shape or ()]
        feeds[spec.name] = random.standard_normal(shape).astype(spec.dtype)
    if files:
        raise DataError(
            f"no input is called {shown(next(iter(files)))}; there are "
            + ", ".join(shown(spec.name) for spec in engine.inputs)
        )
    return feeds


def _array(path: str) -> np.ndarray:
    try:
        found = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        words = error.strerror if isinstance(error, OSError) else None
        raise DataError(
            f"--input {shown(path)}: {words or 'not an array that numpy.save wrote'}; "
            "give a .npy file of numbers"
        ) from error
    if not isinstance(found, np.ndarray):
        found.close()
        raise DataError(f"--input {shown(path)}: an archive of arrays; give one .npy file")
    return found


def _tell_odd(kind: str, arrays: Mapping[str, np.ndarray]) -> None:
    for name, array in arrays.items():
        if array.dtype.kind in "fc":
            odd = int(array.size - np.isfinite(array).sum())
            if odd:
                common.note(f"{kind} {shown(name)}: {odd} of {array.size} values NaN or infinite")


def _named(text: str) -> tuple[str, str]:
    name, found, path = text.partition("=")
    if not found:
        raise ValueError(f"--input {shown(text)}: expected NAME=FILE.npy")
    return name, path


def _output_table(outputs: Outputs) -> str:
    rows = [
        (
            name,
            array.dtype,
            "x".join(map(str, array.shape)),
            f"{array.min():.6g}",
            f"{array.max():.6g}",
        )
        for name, array in outputs.items()
        if array.size
    ]
    return aligned(("output", "dtype", "shape", "min", "max"), rows)


def _compare(
    model: Model | None, engine: Engine, feeds: dict[str, np.ndarray], given: argparse.Namespace
) -> None:
    if model is None:
        raise ModelError("a saved hybrid has no original to compare with; give the model instead")
    whole = hybrid.build_engine(model, given.reference)
    found = measure.deviation(engine, whole, [feeds])
    print(found)
