"""Layered drawings of directed graphs: where every box goes and how every edge runs.

It knows boxes and arrows, no networks and no pictures. A graph is cut where one box feeds all
that is below it, each piece is laid out alone (and only once, however often it repeats), and the
pieces are glued. Pieces are laid out by Graphviz in a process of its own: the program ``dot``
where there is one, the libraries in pygraphviz's wheel otherwise; without either by a plain
layered layout in Python. Standard library only; pygraphviz is imported by the child process.
"""

from workbench.layout.engines import LayoutEngine, engine_in_use
from workbench.layout.placing import place
from workbench.layout.values import Placement, Point, Problem, Route

__all__ = [
    "LayoutEngine",
    "Placement",
    "Point",
    "Problem",
    "Route",
    "engine_in_use",
    "place",
]
