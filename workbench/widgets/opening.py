"""Networks and data by name or path, as a user types them."""

from __future__ import annotations

import os
from pathlib import Path

from workbench import model as models
from workbench import zoo
from workbench.data import LabelledData
from workbench.data.preprocessing import Changes
from workbench.errors import DataError, ModelError
from workbench.graph import Graph
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


def open_data(
    source: DataSource, graph: Graph | None = None
) -> tuple[LabelledData | None, LabelledData | None]:
    """Data for tests, and data for calibration where they come apart from these.

    Args:
        source: data, ``digits`` or ``noisy-digits``, an ``.npz`` file, a folder with a
            ``val_list.txt``, or None.
        graph: the network they are for. Its first input says the size that pictures of a folder
            are cut to, and the data have to fit it.

    Raises:
        DataError: nothing of that name, or data that cannot be read or do not fit the network.
    """
    test, calibration = _opened(source, graph)
    if test is not None and graph is not None:
        _check(test, graph)
    return test, calibration


def _opened(
    source: DataSource, graph: Graph | None
) -> tuple[LabelledData | None, LabelledData | None]:
    if source is None or isinstance(source, LabelledData):
        return source, None
    name = os.fspath(source)
    if name in DIGITS:
        noisy = name != "digits"
        return zoo.digits(noisy), zoo.digits(noisy, "calibration")
    if Path(name).is_dir():
        return LabelledData.from_folder(name, **folder_changes(graph)), None
    if Path(name).is_file():
        return LabelledData.from_npz(name), None
    raise DataError(
        f"there are no data called {shown(name)}{nearest(name, DIGITS)}; give digits, "
        "noisy-digits, an .npz file, or a folder with val_list.txt"
    )


def folder_changes(graph: Graph | None) -> Changes:
    """How pictures of a folder are cut for a network, where ImageNet's usual 224 is not its size.

    The short side is resized to the longer extent of the network's first input, so that nothing
    but what stands over is cut off.
    """
    shape = graph.inputs[0].shape if graph is not None and graph.inputs else None
    if shape is None or len(shape) != 4:
        return {}
    last = shape[3] == 3 and shape[1] != 3
    height, width = shape[1:3] if last else shape[2:4]
    changes: Changes = {"layout": "NHWC"} if last else {}
    if isinstance(height, int) and isinstance(width, int) and (height, width) != (224, 224):
        changes.update(size=max(height, width), crop=(height, width))
    return changes


def _check(data: LabelledData, graph: Graph) -> None:
    """Refuse data whose pictures are not of the extents that the first input fixes."""
    spec = graph.inputs[0] if graph.inputs else None
    if spec is None or spec.shape is None or not len(data):
        return
    found = next(data.batches(1))[0].shape
    fits = len(found) == len(spec.shape) and all(
        isinstance(asked, str) or asked == extent
        for asked, extent in zip(spec.shape[1:], found[1:], strict=True)
    )
    if not fits:
        asked = "×".join(shown(one, 20) for one in spec.shape)
        raise DataError(
            f"data {shown(data.name)}: pictures become {'×'.join(map(str, found))}, and input "
            f"{shown(spec.name)} of {shown(graph.name)} expects {asked}; prepare them alike, with "
            "size, crop, channels and layout of workbench.data.LabelledData, and give the data"
        )


def usual_data(source: ModelSource) -> DataSource:
    """The data that ship for a network of the zoo, by name; None for any other."""
    return {"digits_inception": "digits", "digits_resnet": "noisy-digits"}.get(str(source))
