"""What an engine's layers compute in against what its model's types ask for, as a table."""

from __future__ import annotations

from workbench import markup
from workbench.graph import Graph
from workbench.precision import achieved, asked
from workbench.text import listed, plural


def precision_parts(layers: Graph, graph: Graph) -> tuple[str, list[str]]:
    """A line in words and pieces of HTML; nothing where no layer says what it computes in.

    Args:
        layers: of an engine, their origins name nodes of `graph`.
        graph: the model it was built from.
    """
    audit = achieved(layers, asked(graph), graph)
    known = [one for one in audit.layers if one.achieved is not None]
    if not known:
        return "", []
    departures = len(audit.departures)
    words = f"{plural(len(known), 'layer')} say what they compute in; " + (
        f"{departures} not in what the model's types ask for"
        if departures
        else "all in what the model's types ask for"
    )
    rows = [
        (one.layer, one.requested.value, one.achieved, str(one.outcome), listed(one.origin, 3))
        for one in sorted(known, key=lambda one: not one.silent)
    ]
    header = ("layer", "asked for", "computed in", "outcome", "stands for")
    return words, [markup.folded(words, markup.table(header, rows, most=30))]
