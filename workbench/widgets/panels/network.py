"""Which network, which data."""

from __future__ import annotations

import ipywidgets as ipw

from workbench import markup, zoo
from workbench.text import plural
from workbench.widgets.desk import Desk
from workbench.widgets.opening import DIGITS, usual_data

NO_DATA = "none"


class NetworkPanel:
    """Opens a file or a network of the zoo, and labelled data."""

    def __init__(self, desk: Desk) -> None:
        """The present network and data."""
        self.desk = desk
        self.model = ipw.Combobox(
            options=zoo.names(),
            placeholder="file.onnx, or a network of the zoo",
            continuous_update=False,
            description="Network",
            style={"description_width": "auto"},
            layout=ipw.Layout(flex="2 1 260px"),
        )
        self.data = ipw.Combobox(
            options=(NO_DATA, *DIGITS),
            placeholder="none, digits, a folder or an .npz file",
            continuous_update=False,
            description="Data",
            style={"description_width": "auto"},
            layout=ipw.Layout(flex="1 1 220px"),
        )
        self.about = ipw.HTML()
        self._open = ipw.Button(description="Open", icon="folder-open")
        self._open.on_click(desk.on(self.open))
        self._use = ipw.Button(description="Use data")
        self._use.on_click(desk.on(self.use_data))
        row = ipw.HBox(
            [self.model, self.data, self._open, self._use], layout=ipw.Layout(flex_flow="row wrap")
        )
        self.widget = ipw.VBox([row, self.about])
        self.widget.add_class("workbench-group")

    def open(self) -> None:
        """Turn to the network typed in; the zoo's digit networks bring their data."""
        name = self.model.value.strip()
        typed = self.data.value.strip()
        data = None if typed in ("", NO_DATA) else typed
        if name != str(self.desk.state.source):
            data = usual_data(name)
        self.desk.state.open(name, data)

    def use_data(self) -> None:
        """Take the data typed in."""
        name = self.data.value.strip()
        self.desk.state.set_data(None if name in ("", NO_DATA) else name)

    def refresh(self) -> None:
        """Show what is open."""
        state = self.desk.state
        source = state.source
        named = source if isinstance(source, str) else state.model.path or state.model.name
        self.model.value = str(named)
        data = state.data_source
        self.data.value = data if isinstance(data, str) else (state.data.name if state.data else "")
        graph = state.model.graph
        inputs = ", ".join(
            f"{spec.name} {'×'.join(map(str, spec.shape or ()))}" for spec in graph.inputs[:4]
        )
        first = f"{plural(len(graph.nodes), 'node')}, inputs {inputs}"
        if state.data is not None:
            first += f"; {plural(len(state.data), 'labelled sample')} for accuracy and calibration"
        lines = [first, *state.model.warnings[:3]]
        self.about.value = "".join(markup.paragraph(line, quiet=True) for line in lines)
