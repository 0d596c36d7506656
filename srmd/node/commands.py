"""What may be asked of a node in its state, and what a refusal says."""

from __future__ import annotations

from dataclasses import dataclass

from srmd.core.events import HaSet
from srmd.core.node import Node
from srmd.core.states import PASSING, Contact, Reason, State
from srmd.core.texts import REFUSALS, STATES, Text, display
from srmd.core.transitions import may_fail_over, may_fall_back, may_recover

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


@dataclass(frozen=True, slots=True)
class Offer:
    """A command that is possible now."""

    command: str
    here: bool
    """It names this node; otherwise its peer."""


def offers(machine: Node) -> tuple[Offer, ...]:
    """All that an administrator may ask for, of this node and of its peer as we hear it."""
    me, peer, contact = machine.report(), machine.peer, machine.contact
    found = [
        Offer(command, here=True)
        for command, is_possible in (
            ("failover", may_fail_over(machine, peer, contact)),
            ("fallback", may_fall_back(machine, peer, contact)),
            ("recover", may_recover(machine, peer, contact)),
        )
        if is_possible
    ]
    is_pair = machine.state is not State.UNKNOWN and needed_to_hand_on(machine) is None
    if peer is not None and is_pair:
        if may_fail_over(peer, me, Contact.HEARD):
            found.append(Offer("failover", here=False))
        if may_fall_back(peer, me, Contact.HEARD):
            found.append(Offer("fallback", here=False))
    return tuple(found)


def needed_to_hand_on(machine: Node) -> str | None:
    """The need of a command that names the peer, while it is not met; None: it is.

    A peer that does not receive us acts as if we were down: it would take all users from a node
    that serves them.  Such a command is given on the peer itself.
    """
    if machine.contact is not Contact.HEARD or machine.peer is None:
        return "a fresh heartbeat of the peer"
    if not machine.peer.hears_us:
        return "a peer that receives our heartbeats"
    return None


def refusal_text(
    what: str, machine: Node, mismatch: Text | None, needed: str, *, me: str, peer: str
) -> str:
    """The refusal of a command: the states, the fact in the way, and the need."""
    heard = shown_peer(machine, mismatch)
    mine = display(machine.state, machine.reason).en
    theirs = display(*heard).en if heard else STATES[State.DOWN].en
    fact = in_the_way(what, machine, mismatch, me=me, peer=peer)
    return (
        f"{what} refused: {me} is in {mine} and {peer} in {theirs}. "
        f"{f'{fact.en} ' if fact else ''}Needed: {needed}"
    )


def in_the_way(
    what: str, machine: Node, mismatch: Text | None, *, me: str, peer: str
) -> Text | None:
    """The fact, besides the states, that makes this command impossible, with the way out."""
    report = machine.peer if machine.contact is Contact.HEARD else None
    state, theirs = machine.state, None if report is None else report.state
    fact = None
    if not machine.ha:
        fact = "needs_high_availability"
    elif mismatch is not None and state is State.UNKNOWN:
        fact = "needs_match"
    elif state in PASSING:
        fact = "needs_rest"
    elif what == "recover":
        fact = None  # a silent peer does not stand in its way
    elif report is None:
        fact = "needs_heartbeat"
    elif not report.hears_us:
        fact = "needs_to_be_heard"
    elif what == "fallback" and may_fall_back(report, machine.report(), Contact.HEARD):
        fact = "fallback_of_the_peer"
    elif what == "failover" and state is theirs is State.NORMAL:
        fact = "failover_needs_services"
    elif what == "fallback" and state is State.FAILED_OVER_SERVICES_DOWN:
        fact = "fallback_needs_services"
    if fact is None:
        return None
    shown = STATES[state]
    return REFUSALS[fact].naming(node=me, peer=peer, state=shown, mismatch=mismatch or Text("", ""))


def users_locked_text(machine: Node, mismatch: Text | None, *, me: str, peer: str) -> str:
    """The reason for which no user is added, assigned or taken away now."""
    heard = shown_peer(machine, mismatch)
    theirs = display(*heard) if heard else STATES[State.DOWN]
    mine = display(machine.state, machine.reason)
    text = REFUSALS["users_locked"].naming(node=me, peer=peer, state=mine, peer_state=theirs)
    return text.en


def ha_switch(machine: Node, enabled: bool) -> HaSet | None:
    """High availability set here, later than all that either node knows of.

    None: both nodes are known to have it so, and nothing changes.  While the peer's value is not
    known, or is another one, each command counts.
    """
    peer = machine.peer
    mismatched = machine.state is State.UNKNOWN and machine.reason is Reason.UNKNOWN
    known = peer is not None and machine.contact is Contact.HEARD and not mismatched
    if known and peer is not None and machine.ha is peer.ha is enabled:
        return None
    peer_stamp = peer.ha_stamp if peer is not None else 0
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
