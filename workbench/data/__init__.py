"""Labelled pictures: from a folder with a list, from a NumPy archive, or from arrays."""

from workbench.data.labelled import LabelledData
from workbench.data.preprocessing import IMAGENET, Preprocessing

__all__ = ["IMAGENET", "LabelledData", "Preprocessing"]
