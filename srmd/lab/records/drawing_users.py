"""The lanes of the users: who serves those of each home.

Derived, not logged: from the states of both nodes, the moves that they ended, and the rule that of
two placements the one with the higher (op, node) wins as soon as the nodes hear each other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from srmd.core.events import UsersMoved
from srmd.core.node import Node, Serving, serving
from srmd.core.states import Contact, Health, State
from srmd.lab.records import words
from srmd.lab.records.history import Histories, Point
from srmd.lab.records.line import Bar, Timeline, other


@dataclass(slots=True)
class _Holder:
    """One node's view of where the users are."""

    node: Node | None = None
    placement: dict[str, tuple[int, str, str]] = field(default_factory=dict)
    """Home -> (op, by, serving)."""


def draw_users(made: Timeline, nodes: Histories) -> None:
    """Who serves the users of each home, by the states of both nodes and the moves they ended."""
    names = list(nodes.nodes)
    if len(names) < 2:
        made.notes.append("users: the journal of the other node is needed to tell who serves them")
        return
    holders = {name: _Holder() for name in names}
    moments: list[tuple[float, str, Point | None]] = [
        (made.at_s(history.common_s(point.at_s)), name, point)
        for name, history in nodes.nodes.items()
        for point in history.points
    ]
    moments += [
        (bar.from_s, bar.lane.removeprefix("node "), None) for bar in made.bars if bar.kind == "off"
    ]
    since_s = dict.fromkeys(names, 0.0)
    served = dict.fromkeys(names, "")
    for at_s, name, point in sorted(moments, key=lambda one: one[0]):
        holders[name].node = None if point is None else point.node
        if point is not None:
            _place(holders[name], name, other(names, name), point)
        _exchange(holders)
        if any(holder.node is None and not holder.placement for holder in holders.values()):
            continue  # not both of them are known yet
        for home in names:
            now = _served_by(home, holders)
            if now == served[home]:
                continue
            if served[home]:
                made.bars.append(_users(home, since_s[home], at_s, served[home]))
            since_s[home], served[home] = at_s, now
    made.bars += [
        _users(home, since_s[home], made.span_s, kind) for home, kind in served.items() if kind
    ]


def _place(holder: _Holder, me: str, peer: str, point: Point) -> None:
    """What this point tells of the placement: at first by the state, then by moves that ended."""
    node, taken = point.node, point.taken
    if not holder.placement:
        here = node.state in {State.BACKUP, State.TAKING_OVER}
        there = node.state in {State.IDLE, State.FAILED_OVER, State.FAILED_OVER_SERVICES_DOWN}
        for home in (me, peer):
            holder.placement[home] = (0, "", me if here else peer if there else home)
    if taken is None or not isinstance(taken.event, UsersMoved):
        return
    if taken.event.op == taken.before.op:
        to_here = taken.before.state in {State.TAKING_OVER, State.BACKUP}
        for home in (me, peer):
            holder.placement[home] = (taken.event.op, me, me if to_here else home)


def _exchange(holders: Mapping[str, _Holder]) -> None:
    """Nodes that hear each other tell each other of their placements at once."""
    known = list(holders.values())
    if not all(one.node is not None and one.node.contact is Contact.HEARD for one in known):
        return
    for home in known[0].placement:
        newest = max(one.placement[home] for one in known)
        for one in known:
            one.placement[home] = newest


def _served_by(home: str, holders: Mapping[str, _Holder]) -> str:
    serving_nodes = [name for name, one in holders.items() if home in _homes(name, one)]
    if len(serving_nodes) > 1:
        return "both"
    return f"by {serving_nodes[0]}" if serving_nodes else "nobody"


def _homes(name: str, holder: _Holder) -> set[str]:
    """The homes whose users this node serves."""
    node = holder.node
    if node is None or node.health is not Health.OK:
        return set()
    placed = {home for home, row in holder.placement.items() if row[2] == name}
    match serving(node):
        case Serving.NOBODY:
            return set()
        case Serving.OWN:
            return placed & {name}
        case Serving.PLACED:
            return placed


def _users(home: str, from_s: float, to_s: float, kind: str) -> Bar:
    text = words.served(home, kind)
    shown = kind if kind in {"both", "nobody"} else "home" if kind == f"by {home}" else "away"
    short = words.served_short(kind)
    return Bar(f"users {home}", from_s, to_s, f"users_{shown}", text, text, short)
