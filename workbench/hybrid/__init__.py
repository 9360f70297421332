"""A partition turned into engines and native regions that run as one network.

`build` makes a `Hybrid`, which is an engine like any other: measuring and drawing do not know the
difference. `build_engine` makes one engine of a whole model, by the same worker process and cache.
`census` counts what became of the nodes. `Hybrid.save` and `open` carry one to another process.
"""

from workbench.hybrid.building import build, build_engine
from workbench.hybrid.counting import Census, census
from workbench.hybrid.engine import Hybrid
from workbench.hybrid.opening import open
from workbench.hybrid.parts import Part, PlannedEngine
from workbench.hybrid.session import HybridSession

__all__ = [
    "Census", "Hybrid", "HybridSession", "Part", "PlannedEngine", "build", "build_engine", "census",
    "open",
]  # fmt: skip
