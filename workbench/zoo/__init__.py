"""Demo networks and data: two trained networks for digits, and standard architectures.

The trained ones ship with the package and have a real accuracy. The others are built in memory
with random weights from a seed, for structure and latency, and have none.
"""

from workbench.zoo.images import digits
from workbench.zoo.registry import Info, aliases, info, load, names

__all__ = ["Info", "aliases", "digits", "info", "load", "names"]
