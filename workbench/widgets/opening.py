"""Networks and data by name or path, as a user types them."""

from __future__ import annotations

import os
from pathlib import Path

from workbench import model as models
from workbench import zoo
from workbench.data import LabelledData
from workbench.errors import DataError, ModelError
from workbench.model import Model
from workbench.text import nearest, shown

DIGITS = ("digits", "noisy-digits")

ModelSource = Model | str | os.PathLike[str]
DataSource = LabelledData | str | os.PathLike[str] | None


def open_model(source: ModelSource) -> Model:
    """A model as given, from a file, or from the zoo where there is no such file.

    Raises:
        ModelError: no file and no zoo network of that name, or a file that cannot be read.
    """
    if isinstance(source, Model):
        return source
    name = os.fspath(source)
    known = (*zoo.names(), *zoo.aliases())
    if name in known and not Path(name).exists():
        return zoo.load(name)
    if not (Path(name).exists() or Path(name).suffix or "/" in name):
        raise ModelError(
            f"no file and no zoo network is called {shown(name)}{nearest(name, known)}; "
            "give a path, or a name of workbench.zoo.names()"
        )
    return models.load(name)


def open_data(source: DataSource) -> tuple[LabelledData | None, LabelledData | None]:
    """Data for tests, and data for calibration where they come apart from these.

    Args:
        source: data, ``digits`` or ``noisy-digits``, an ``.npz`` file, a folder with a
            ``val_list.txt``, or None.

    Raises:
        DataError: nothing of that name, or data that cannot be read.
    """
    if source is None or isinstance(source, LabelledData):
        return source, None
    name = os.fspath(source)
    if name in DIGITS:
        noisy = name != "digits"
        return zoo.digits(noisy), zoo.digits(noisy, "calibration")
    if Path(name).is_dir():
        return LabelledData.from_folder(name), None
    if Path(name).is_file():
        return LabelledData.from_npz(name), None
    raise DataError(
        f"there are no data called {shown(name)}{nearest(name, DIGITS)}; give digits, "
        "noisy-digits, an .npz file, or a folder with val_list.txt"
    )


def usual_data(source: ModelSource) -> DataSource:
    """The data that ship for a network of the zoo, by name; None for any other."""
    return {"digits_inception": "digits", "digits_resnet": "noisy-digits"}.get(str(source))
