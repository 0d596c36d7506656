"""Events and nodes as JSON, so that a live run can be replayed through `step` and explained."""

from __future__ import annotations

from typing import cast

from srmd.core.events import Event
from srmd.core.node import Node
from srmd.wire.codec import codec


def event_to_json(event: Event) -> dict[str, object]:
    """A plain JSON object; its key `type` names the event."""
    return cast("dict[str, object]", codec(Event).write(event))


def event_from_json(raw: object) -> Event:
    """The event again.  Raises MalformedMessage that names the field."""
    return cast("Event", codec(Event).read(raw))


def node_to_json(node: Node) -> dict[str, object]:
    """A plain JSON object with all fields of the node."""
    return cast("dict[str, object]", codec(Node).write(node))


def node_from_json(raw: object) -> Node:
    """The node again.  Raises MalformedMessage that names the field."""
    return cast("Node", codec(Node).read(raw))
