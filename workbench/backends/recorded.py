"""What engines made of a record and a model have alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from workbench.backends.records import layers_from_json, ranges_from_json, specs_from_json
from workbench.graph import Graph


class RecordedEngine:
    """The part of an engine that its record tells."""

    def __init__(self, backend: str, record: Mapping[str, Any]) -> None:
        """`record` is what `serialize` writes: inputs, outputs, ranges and layers as JSON."""
        self._record = record
        self.backend = backend
        self.ranges = ranges_from_json(record["ranges"])
        self.inputs = specs_from_json(record["inputs"])
        """What `run` needs, in the model's order."""
        self.outputs = specs_from_json(record["outputs"])
        """What `run` gives, in the model's order."""

    def layers(self) -> Graph:
        """The kernels that run, each with its origin and what the backend says of it."""
        return layers_from_json(self._record["layers"])
