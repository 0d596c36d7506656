"""What an operator is told besides the row of the pair: what the states do not show yet."""

from __future__ import annotations

from dataclasses import dataclass

from srmd.core.node import Node
from srmd.core.states import PASSING, Contact, State
from srmd.core.texts import HINTS, Text
from srmd.node.heartbeats import Presence


@dataclass(frozen=True, slots=True)
class Hint:
    """One fact with what to do about it."""

    key: str
    text: Text


def is_suspect(presence: Presence) -> bool:
    """The peer is still counted as present, but more than half of the timeout has passed in
    silence, and a heartbeat is overdue (ours)."""
    left_s = presence.seconds_to_peer_down
    return (
        presence.heard
        and left_s is not None
        and presence.beats_missed >= 1
        and left_s < presence.silent_s
    )


def hints(machine: Node, presence: Presence, *, me: str, peer: str) -> tuple[Hint, ...]:
    """All that holds now, the most urgent first."""
    found = []
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


def is_one_way(machine: Node) -> bool:
    """We hear the peer, and it says that it does not hear us; not only because one has started."""
    report = machine.peer
    if report is None or machine.contact is not Contact.HEARD or report.hears_us:
        return False
    return machine.state not in PASSING and report.state is not State.INITIALIZING
