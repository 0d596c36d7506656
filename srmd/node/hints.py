"""Notices besides the row of the pair, and the advice of a row made to agree with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from srmd.core.handbook import Row
from srmd.core.handbook.row import NOTHING_IS_URGENT
from srmd.core.node import Node, Serving, serving
from srmd.core.services import DATABASE_SERVICE
from srmd.core.states import PASSING, Contact, State
from srmd.core.texts import (
    CERTIFICATE_OF,
    CONTROL_ADVICE,
    CORRECT_MISMATCH,
    DELAYS,
    FOLLOW_NOTICES,
    HINTS,
    MISMATCHES,
    NOT_ALL_WELL,
    NOTICES_FIRST,
    UNSERVED,
    Text,
)
from srmd.node.heartbeats import Presence
from srmd.node.users import PLACED_AGAIN_PAUSE_S, Picture, served_count
from srmd.wire.heartbeat import Summary


@dataclass(frozen=True, slots=True)
class Hint:
    """One fact with what to do about it."""

    key: str
    text: Text


@dataclass(frozen=True, slots=True)
class Outage:
    """The cause for which a node cannot serve users that it has to serve."""

    services: tuple[str, ...]
    """Services that do not run: critical ones, and the database by its name as a service."""
    unserved: int | None
    """Users that no node serves for that; None: not known."""
    left_s: float | None = None
    """The rest of the critical service delay; None: only the node itself knows."""


def outage(
    machine: Node,
    picture: Picture,
    me: str,
    *,
    services: tuple[str, ...],
    database_ok: bool,
    left_s: float | None,
) -> Outage | None:
    """The outage of a node; None: it serves, is about to, or has no users to serve."""
    down = services if database_ok else (DATABASE_SERVICE, *services)
    if not down or machine.state in PASSING or serving(machine) is Serving.NOBODY:
        return None
    unserved = served_count(machine, me, picture, well=True) if picture.is_known else None
    return Outage(down, unserved, left_s)


def peer_outage(
    machine: Node, picture: Picture, peer: str, summary: Summary | None
) -> Outage | None:
    """The same of the peer, as far as its heartbeats tell."""
    report = machine.peer
    if report is None or summary is None or machine.contact is not Contact.HEARD:
        return None
    if report.state is State.DOWN:
        return None
    return outage(
        Node(state=report.state, stage=report.stage),
        picture,
        peer,
        services=summary.services_down,
        database_ok=summary.database,
        left_s=0.0 if report.lasting else None,
    )


SUSPECT_BEATS_MISSED = 3
"""From so many overdue heartbeats on the peer is suspect (srmd)."""


def is_suspect(presence: Presence) -> bool:
    """The peer is still counted as present, but the third heartbeat is overdue; or one is, and more
    than half of the timeout has passed in silence (srmd)."""
    left_s, missed = presence.seconds_to_peer_down, presence.beats_missed
    if not presence.heard or left_s is None:
        return False
    return missed >= SUSPECT_BEATS_MISSED or (missed >= 1 and left_s < presence.silent_s)


def hints(
    machine: Node,
    presence: Presence,
    *,
    me: str,
    peer: str,
    ours: Outage | None = None,
    theirs: Outage | None = None,
    displaced_count: int = 0,
) -> tuple[Hint, ...]:
    """All that holds now, the most urgent first.

    `displaced_count`: users whom our database places against the states of the nodes.
    """
    found = []
    if ours is not None:
        found.append(_of("service_down", ours, machine.state, me))
    if theirs is not None and machine.peer is not None:
        found.append(_of("peer_service_down", theirs, machine.peer.state, peer))
    if displaced_count:
        text = HINTS["users_displaced"].naming(
            node=me, count=str(displaced_count), pause_s=f"{PLACED_AGAIN_PAUSE_S:g}"
        )
        found.append(Hint("users_displaced", text))
    if machine.contact is Contact.HEARD and is_suspect(presence):
        found.append(
            Hint(
                "peer_suspect",
                HINTS["peer_suspect"].naming(
                    node=me,
                    peer=peer,
                    missed=str(presence.beats_missed),
                    silent_s=f"{presence.silent_s:.1f}",
                    left_s=f"{presence.seconds_to_peer_down:.1f}",
                ),
            )
        )
    if is_one_way(machine):
        found.append(Hint("one_way", HINTS["one_way"].naming(node=me, peer=peer)))
    return tuple(found)


BEFORE_ALL_ELSE = frozenset(
    {"certificate_ended", "control", "databases", "not_replicated", "one_way", "twice"}
)
"""Hints that come before the steps of any row."""
INSTEAD = frozenset({"clone", "echo", "known_newer", "old"})
"""Hints beside which the steps of a row cannot help: what is received is not what it seems."""


def advice(
    row: Row, cause: Text, action: Text, mismatch: Text | None, told: Sequence[Hint]
) -> tuple[Text, Text]:
    """Cause and recommended action of a row, made to agree with what is told beside it."""
    keys = {hint.key for hint in told}
    if mismatch is not None and mismatch != MISMATCHES["ha"]:
        action = CORRECT_MISMATCH
    elif row.key == "normal" and told:
        cause, action = NOT_ALL_WELL, FOLLOW_NOTICES
    elif row.stable and keys & INSTEAD:
        action = FOLLOW_NOTICES
    elif row.stable and keys & BEFORE_ALL_ELSE:
        rest = Text(
            action.en.removeprefix(NOTHING_IS_URGENT.en),
            action.ja.removeprefix(NOTHING_IS_URGENT.ja),
        )
        action = NOTICES_FIRST.naming(action=rest)
    return cause, action


def control_hint(why: Text, kind: str, ago_s: float, *, me: str, peer: str) -> Hint:
    """The last call of the peer's control channel failed.  `kind`: a key of CONTROL_ADVICE."""
    advice = CONTROL_ADVICE[kind].naming(node=me, peer=peer)
    named = HINTS["control"].naming(
        node=me, peer=peer, why=why, advice=advice, ago_s=f"{ago_s:.0f}"
    )
    return Hint("control", named)


UNREAD_BEATS = 3
"""After so many heartbeat intervals a peer that has not read our changes is told of (srmd): it
learns of them by a heartbeat."""


def replication_hint(
    count: int, unread_s: float, interval_s: float, *, me: str, peer: str
) -> Hint | None:
    """The peer has not read changes of our users for some heartbeats."""
    if not count or unread_s < UNREAD_BEATS * interval_s:
        return None
    named = HINTS["not_replicated"].naming(
        node=me, peer=peer, count=str(count), since_s=f"{unread_s:.0f}"
    )
    return Hint("not_replicated", named)


def databases_hint(count: int, peer_count: int, *, me: str, peer: str) -> Hint:
    """The two databases hold different users."""
    named = HINTS["databases"].naming(
        node=me, peer=peer, count=str(count), peer_count=str(peer_count)
    )
    return Hint("databases", named)


EXPIRY_SHOWN_DAYS = 30
"""From then on an operator has a notice of a certificate that ends."""


def certificate_hint(whose: str, at: str, days: float, *, me: str, peer: str) -> Hint | None:
    """A certificate has ended, or ends soon.  `whose`: a key of CERTIFICATE_OF."""
    if days > EXPIRY_SHOWN_DAYS:
        return None
    key = "certificate_ends" if days > 0 else "certificate_ended"
    named = HINTS[key].naming(
        whose=CERTIFICATE_OF[whose].naming(node=me, peer=peer), at=at, days=f"{days:.0f}"
    )
    return Hint(key, named)


def _of(key: str, found: Outage, state: State, node: str) -> Hint:
    if state is State.UNKNOWN:
        delay = "none"
    elif found.left_s is None:
        delay = "there"
    else:
        delay = "left" if found.left_s > 0 else "over"
    follows = [DELAYS[delay].naming(node=node, left_s=f"{found.left_s or 0.0:.1f}")]
    if found.unserved:
        follows.insert(0, UNSERVED.naming(count=str(found.unserved)))
    text = HINTS[key].naming(
        node=node,
        services=Text(", ".join(found.services), "、".join(found.services)),
        follows=Text(" ".join(one.en for one in follows), "".join(one.ja for one in follows)),
    )
    return Hint(key, text)


def is_one_way(machine: Node) -> bool:
    """We hear the peer, and it says that it does not hear us; not only because one has started."""
    report = machine.peer
    if report is None or machine.contact is not Contact.HEARD or report.hears_us:
        return False
    return machine.state not in PASSING and report.state is not State.INITIALIZING
