"""What may be asked of a node in its state, and what a refusal says."""

from __future__ import annotations

from srmd.core.events import HaSet
from srmd.core.node import Node
from srmd.core.states import Contact, Reason, State
from srmd.core.texts import STATES, Text, display

ADD_USERS_IN = frozenset({State.NORMAL, State.INITIALIZING, State.UNKNOWN})
"""Users can be added while none is failed over."""


def shown_peer(machine: Node, mismatch: Text | None) -> tuple[State, Reason] | None:
    """The peer's state as it is heard; None while it is not.

    A peer that does not match ours is Unknown, as we are: what it says means nothing to us.
    """
    if mismatch is not None and machine.state is State.UNKNOWN:
        return State.UNKNOWN, Reason.UNKNOWN
    if machine.contact is not Contact.HEARD or machine.peer is None:
        return None
    return machine.peer.state, machine.peer.reason


def refusal_text(
    what: str, machine: Node, mismatch: Text | None, needed: str, *, me: str, peer: str
) -> str:
    """What was asked, what is the case, and what would have to be."""
    heard = shown_peer(machine, mismatch)
    mine = display(machine.state, machine.reason).en
    theirs = display(*heard).en if heard else STATES[State.DOWN].en
    return f"{what} refused: {me} is in {mine} and {peer} in {theirs}; needed: {needed}"


def ha_switch(machine: Node, enabled: bool) -> HaSet:
    """High availability switched here, later than all that either node knows of."""
    peer_stamp = machine.peer.ha_stamp if machine.peer is not None else 0
    return HaSet(enabled, max(machine.ha_stamp, peer_stamp) + 1)


def services_are_held(machine: Node) -> bool:
    """A manual failover stops the services, and they stay so until the fallback (R2)."""
    stopping = machine.state is State.FAILING_OVER and machine.cause is Reason.ON_ADMIN_REQUEST
    return stopping or machine.state is State.IDLE


def users_are_locked(machine: Node) -> bool:
    """One of the nodes is failed over, or may be; one that has just started knows it of its peer,
    and then no users are added."""
    peer = machine.peer if machine.contact is Contact.HEARD else None
    return machine.state not in ADD_USERS_IN or (
        peer is not None and peer.state not in ADD_USERS_IN
    )
