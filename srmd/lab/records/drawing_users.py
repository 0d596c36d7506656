"""The lanes of the users: who serves those of each home.

Derived, not logged: from the states of both nodes, the moves that they ended, and the rule that of
two placements the one with the higher (op, node) wins as soon as the nodes hear each other.  A node
that does not run serves no user; without its SRM it serves them as long as its services run, which
its log tells.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

from srmd.core.events import UsersMoved
from srmd.core.node import Node, Serving, serving
from srmd.core.services import ServiceState
from srmd.core.states import Contact, Health, State
from srmd.lab.records import words
from srmd.lab.records.absence import Gone, absences
from srmd.lab.records.drawing_node import service_changes
from srmd.lab.records.history import Histories, History, Point
from srmd.lab.records.line import Bar, Timeline, other


@dataclass(slots=True)
class _Holder:
    """One node's view of where the users are."""

    node: Node | None = None
    """None: it does not run."""
    srm_runs: bool = True
    down: set[str] = field(default_factory=set)
    """Its critical services that do not run, by its log."""
    placement: dict[str, tuple[int, str, str]] = field(default_factory=dict)
    """Home -> (op, by, serving)."""


Change = Callable[[_Holder], None]


def draw_users(made: Timeline, nodes: Histories) -> None:
    """Who serves the users of each home, by the states of both nodes and the moves they ended."""
    names = list(nodes.nodes)
    if len(names) < 2:
        made.notes.append(words.ONE_JOURNAL)
        return
    holders = {name: _Holder() for name in names}
    changes = [
        (made.at_s(at_s), name, change)
        for name, history in nodes.nodes.items()
        for at_s, change in _changes(history, other(names, name), made.end_s)
    ]
    since_s = dict.fromkeys(names, 0.0)
    served = dict.fromkeys(names, "")
    for at_s, name, change in sorted(changes, key=lambda one: one[0]):
        change(holders[name])
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


def _changes(history: History, peer: str, end_s: float) -> list[tuple[float, Change]]:
    """All that changes whom a node serves, on the common clock.

    An absence begins with the last entry before it, and so comes after that entry.
    """
    changes: list[tuple[float, Change]] = [
        (history.common_s(point.at_s), partial(_take, me=history.name, peer=peer, point=point))
        for point in history.points
    ]
    changes += [(one.from_s, partial(_leave, gone=one.gone)) for one in absences(history, end_s)]
    minor = {
        one.fields.get("service") for one in history.log if one.fields.get("critical") is False
    }
    for name, states in service_changes(history).items():
        if name not in minor:
            changes += [
                (at_s, partial(_note_service, name=name, state=one)) for at_s, one in states
            ]
    return changes


def _leave(holder: _Holder, gone: Gone) -> None:
    holder.srm_runs = False
    if gone is not Gone.SRM:
        holder.node = None


def _note_service(holder: _Holder, name: str, state: str) -> None:
    if state == ServiceState.STARTED.value:
        holder.down.discard(name)
    else:
        holder.down.add(name)


def _take(holder: _Holder, me: str, peer: str, point: Point) -> None:
    holder.node, holder.srm_runs = point.node, True
    _place(holder, me, peer, point)


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
    if not all(one.srm_runs and one.node and one.node.contact is Contact.HEARD for one in known):
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
    if node is None:
        return set()
    if node.health is not Health.OK if holder.srm_runs else holder.down:
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
