"""What a page tells a `GraphView`: what was clicked, opened, looked at.

A message is text from a browser: places are checked, and one about a picture that is gone is left
unanswered.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workbench.widgets.graphview import GraphView
    from workbench.widgets.scene_pane import Item, Pane

Message = Mapping[str, Any]


def hear(view: GraphView, message: Message) -> None:
    """Do what a page asks for; nothing for a message that is not known."""
    act = _ACTS.get(str(message.get("do")))
    if act:
        act(view, message)


def _select(view: GraphView, message: Message) -> None:
    nodes = view.original.nodes
    places = [i for i in message["origins"] if isinstance(i, int) and 0 <= i < len(nodes)]
    view.selection = tuple(nodes[i].name for i in places)


def _toggle(view: GraphView, message: Message) -> None:
    item = _item(view, message)
    if item is None:
        return
    trait = "opened_blocks" if message["side"] == "left" else "opened_engines"
    opened = list(getattr(view, trait))
    if item.kind in ("engine", "block"):
        opened.append(item.key)
    elif item.group in opened:
        opened.remove(item.group)
    setattr(view, trait, tuple(opened))


def _fold(view: GraphView, message: Message) -> None:
    pane = _pane(view, message)
    if pane is None:
        return
    opened = tuple(group.key for group in pane.groups) if message["open"] else ()
    setattr(view, "opened_blocks" if message["side"] == "left" else "opened_engines", opened)


def _details(view: GraphView, message: Message) -> None:
    data = view.details(message["side"], message["item"], message["rev"])
    if data:
        view.send({**message, "data": data})


def _cancel(view: GraphView, _: Message) -> None:
    view.stop()


def _pane(view: GraphView, message: Message) -> Pane | None:
    return view.pane(message["side"], message["rev"])


def _item(view: GraphView, message: Message) -> Item | None:
    pane, place = _pane(view, message), message["item"]
    return pane.items[place] if pane and 0 <= place < len(pane.items) else None


_ACTS: Mapping[str, Callable[[GraphView, Message], None]] = {
    "select": _select, "toggle": _toggle, "fold": _fold, "details": _details, "cancel": _cancel,
}  # fmt: skip
