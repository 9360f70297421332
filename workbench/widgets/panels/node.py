"""One node: what it is, and why it is where it is."""

from __future__ import annotations

from collections.abc import Callable

import ipywidgets as ipw

from workbench import markup
from workbench.graph import Graph
from workbench.partitioning import Code, Plan, what_if, why_apart
from workbench.text import nearest, shown
from workbench.widgets.comparing import layer_rows
from workbench.widgets.desk import Desk, titled
from workbench.widgets.profiles import words


class NodePanel:
    """Answers about the node that is typed or clicked: the verdict with its witness.

    Attributes:
        name: the node asked about.
        on_ask: called with a node of the graph that is asked about.
    """

    def __init__(self, desk: Desk, on_ask: Callable[[str], None]) -> None:
        """Nothing is asked yet."""
        self.desk = desk
        self.on_ask = on_ask
        self._asked_worth = False
        self._table_of: tuple[Plan, int] | None = None
        wide = ipw.Layout(flex="1")
        self.name = ipw.Combobox(
            placeholder="click a node, or type its name", continuous_update=False, layout=wide
        )
        self.other = ipw.Combobox(
            placeholder="and why not in one engine with ...", continuous_update=False, layout=wide
        )
        self.answer = ipw.HTML()
        self.worth = ipw.Button(
            description="Which operator, if supported, would save most engines?",
            layout=ipw.Layout(width="auto", align_self="flex-start"),
        )
        self.table = ipw.HTML()
        self.name.observe(desk.on(self._named), "value")
        self.other.observe(desk.on(self.refresh), "value")
        self.worth.on_click(desk.on(self.what_if))
        self.widget = titled(
            "Why is this node where it is?",
            ipw.HBox([self.name, self.other]),
            self.answer,
            self.worth,
            self.table,
        )

    def names_changed(self) -> None:
        """Offer the names of the graph."""
        names = tuple(node.name for node in self.desk.state.graph.nodes[:5000])
        self.name.options = self.other.options = names
        self._asked_worth, self.table.value = False, ""

    def ask(self, node: str) -> None:
        """Ask about a node."""
        self.name.value = node

    def _named(self) -> None:
        self.refresh()
        name = self.name.value.strip()
        if self.desk.state.ready and name in self.desk.state.graph.position:
            self.on_ask(name)

    def refresh(self) -> None:
        """Answer for the present partition; a table of what-ifs follows it."""
        state, name = self.desk.state, self.name.value.strip()
        self._refresh_table()
        if not name or not state.ready:
            self.answer.value = ""
            return
        if name not in state.graph.position:
            self.answer.value = markup.paragraph(_unknown(name, state.graph))
            return
        found = state.explain(name)
        lines = [f"<p><b>{markup.escaped(found.text, 1000)}</b></p>", self._about(name)]
        other = self.other.value.strip()
        if other and other not in state.graph.position:
            lines.append(markup.paragraph(_unknown(other, state.graph)))
        elif other and other != name:
            lines.append(markup.paragraph(why_apart(state.partition, name, other).text))
        if found.code is Code.BELOW_MIN_SIZE:
            lines.append(
                markup.paragraph("Lower the threshold, or let its neighbours in, to change that.")
            )
        self.answer.value = f"<div class={markup.CLASS}>{''.join(lines)}</div>"

    def _about(self, name: str) -> str:
        state = self.desk.state
        graph, node = state.graph, state.graph.node(name)
        tensors = [
            (kind, spec.name, spec.dtype, words(spec.shape) if spec.shape is not None else "?")
            for kind, names in (("reads", node.reads), ("makes", node.makes))
            for spec in map(graph.spec, names)
        ]
        rows = [(key, value) for key, value in node.attributes.items()]
        parts = [
            markup.paragraph(
                f"{node.op_type}; stands for {', '.join(node.origin) or name}", quiet=True
            ),
            markup.folded(
                "tensors it reads and makes", markup.table(("", "tensor", "type", "shape"), tensors)
            ),
        ]
        if rows:
            parts.append(markup.folded("attributes", markup.table(("attribute", "value"), rows)))
        built = state.built
        if built is not None:
            layers = [row for row in layer_rows(built) if name in str(row[-1]).split(", ")]
            header = ("layer", "kind", "part", "precision", "µs", "stands for")
            parts.append(markup.folded("layers it became", markup.table(header, layers)))
        return "".join(parts)

    def what_if(self) -> None:
        """Say what supporting one more operator type would be worth."""
        self._asked_worth, self._table_of = True, None
        self._refresh_table()

    def _refresh_table(self) -> None:
        state = self.desk.state
        if not self._asked_worth or not state.ready:
            return
        plan, threshold = state.plan, state.choices.threshold
        if (
            self._table_of is None
            or self._table_of[0] is not plan
            or self._table_of[1] != threshold
        ):
            self._table_of = plan, threshold
            self.table.value = _worth(plan, threshold)


def _worth(plan: Plan, threshold: int) -> str:
    found = what_if(plan, threshold)
    if not found:
        return markup.paragraph("No node is native because of what it is.", quiet=True)
    header = ("if it took", "nodes of it", "engines fewer", "nodes gained", "engines then")
    rows = [(w.op_type, w.nodes, w.engines_fewer, w.nodes_gained, w.engines) for w in found]
    told = markup.paragraph(f"At threshold {threshold}:", quiet=True)
    return f"<div class={markup.CLASS}>{told}{markup.table(header, rows)}</div>"


def _unknown(name: str, graph: Graph) -> str:
    return f"The divided graph has no node {shown(name)}{nearest(name, graph.position)}."
