"""What a network is measured and calibrated on, by the names a user types."""

from __future__ import annotations

import argparse
from pathlib import Path

from workbench import zoo
from workbench.calibrate import read
from workbench.cli import common
from workbench.data import LabelledData
from workbench.data.preprocessing import Changes
from workbench.errors import DataError
from workbench.model import Model
from workbench.precision import Precision, PrecisionPlan
from workbench.ranges import CalibrationTable
from workbench.study import Subject
from workbench.study.design import Weights
from workbench.text import listed, nearest, shown

DIGITS = ("digits", "noisy-digits")
CALIBRATION_SAMPLES = 128
TRAINED = {"digits_inception": "digits", "digits_resnet": "noisy-digits"}
"""Trained networks of the zoo, and the pictures they read."""


def subject(name: str, given: argparse.Namespace) -> Subject:
    """A network with its data and what it is calibrated on.

    Raises:
        ModelError: no such network.
        DataError: data or a table that cannot be read.
    """
    model = common.open_model(name, seed=given.seed)
    in_zoo = not Path(name).exists()
    weights: Weights = "unknown"
    if in_zoo:
        weights = "trained" if zoo.info(name).trained else "random"
    found = data(given.data, given)
    if found is not None:
        refuse_misfit(found, model)
    calibration = None
    if _needs_ranges(given.precisions):
        calibration = calibration_of(model, found, given)
    if isinstance(calibration, LabelledData):
        refuse_misfit(calibration, model)
    return Subject(
        model,
        data=found,
        title=Path(name).stem,
        weights=weights,
        output=_output(model, given),
        calibration=calibration,
    )


def _output(model: Model, given: argparse.Namespace) -> str | None:
    """The output that holds the scores; a network with one output needs none named."""
    names = [spec.name for spec in model.graph.outputs]
    if given.output in names or (len(names) == 1 and len(given.models) > 1):
        return given.output if given.output in names else None
    if given.output:
        raise DataError(
            f"--output {shown(given.output)}: {shown(model.name)} has no such output"
            f"{nearest(given.output, names)}; there is {listed(names)}"
        )
    if given.data and len(names) > 1:
        raise DataError(
            f"{shown(model.name)} has outputs {listed(names)}; say with --output NAME which one "
            "holds the scores"
        )
    return None


def data(name: str | None, given: argparse.Namespace, part: str = "test") -> LabelledData | None:
    """The labelled data of a name: ``digits``, ``noisy-digits``, a folder or an ``.npz`` file.

    Raises:
        DataError: there is nothing of the kind.
    """
    if name is None:
        return None
    if name in DIGITS:
        return zoo.digits(name != "digits", "calibration" if part == "calibration" else "test")
    changes = _changes(given)
    if Path(name).is_dir():
        return LabelledData.from_folder(name, given.list_file, **changes)
    return LabelledData.from_npz(name, **changes)


def calibration_of(
    model: Model, labelled: LabelledData | None, given: argparse.Namespace
) -> LabelledData | CalibrationTable | None:
    """Data or table that ``--calibration`` names, or what stands for it.

    Raises:
        DataError: it cannot be read, or is a table of another network.
    """
    name = given.calibration
    if name is None and given.data in DIGITS:
        name = given.data
    if name is None:
        if labelled is None:
            return None
        common.note(
            f"calibrating on the first {min(CALIBRATION_SAMPLES, len(labelled))} items that "
            "accuracy is measured on; give others with --calibration"
        )
        return labelled.head(CALIBRATION_SAMPLES)
    if name in DIGITS or Path(name).is_dir() or Path(name).suffix.lower() == ".npz":
        return data(name, given, "calibration")
    return read(name, model=model)


def precisions(names: tuple[str, ...]) -> tuple[PrecisionPlan | str, ...]:
    """Precisions by name, and plans from files.

    Raises:
        PrecisionError: a file that holds no plan.
    """
    return tuple(
        PrecisionPlan.load(name) if name.endswith(".json") or "/" in name else name
        for name in names
    )


def _needs_ranges(names: tuple[str, ...]) -> bool:
    asked: set[str] = set()
    for one in precisions(names):
        asked |= {one} if isinstance(one, str) else {one.default, *(r.precision for r in one.rules)}
    return Precision.INT8 in asked


def refuse_misfit(found: LabelledData, model: Model) -> None:
    """Refuse pictures of another shape than a network's one input, and say how to change them.

    Raises:
        DataError: names both shapes.
    """
    first, *others = model.graph.inputs
    if others or not first.shape:
        return
    given = next(found.batches(1))[0].shape[1:]
    wanted = first.shape[1:]
    pairs = zip(wanted, given, strict=False)
    if len(given) == len(wanted) and all(a == b for a, b in pairs if isinstance(a, int)):
        return
    raise DataError(
        f"{shown(model.name)}: input {shown(first.name)} takes pictures of shape "
        f"{shown(tuple(wanted))}, those given come as {given}; set --resize, --crop and --channels"
    )


def require(found: LabelledData | None, model: str) -> LabelledData:
    """The data, which a command cannot do without.

    Raises:
        DataError: there are none.
    """
    if found is None:
        raise DataError(
            f"{shown(model)}: give labelled data with --data: a folder with val_list.txt, an .npz, "
            "digits or noisy-digits"
        )
    return found


def _changes(given: argparse.Namespace) -> Changes:
    changes: Changes = {}
    if given.resize:
        changes["size"] = given.resize
    if given.crop:
        changes["crop"] = given.crop
    if given.channels:
        changes["channels"] = given.channels
    if given.channels == "L":
        # ImageNet's are numbers for three channels.
        changes["mean"], changes["std"] = 0.0, 1.0
    if given.scale is not None:
        changes["scale"] = given.scale
    if given.mean is not None:
        changes["mean"] = given.mean
    if given.std is not None:
        changes["std"] = given.std
    return changes
