"""Which events the peer's reports make, in whatever order and by whatever channel they come."""

from __future__ import annotations

from srmd.core.contact import understand
from srmd.core.events import Event, PeerHeard, PeerLeft, PeerMismatched
from srmd.core.node import Node
from srmd.core.states import Contact, State
from srmd.core.texts import MISMATCHES, Text
from srmd.node.identity import Number
from srmd.wire.heartbeat import Heartbeat

AHEAD_MAX = 64
"""Heartbeats by which a report without a proof may be ahead of the last one heard."""


class Reports:
    """The reports of one run of SRM; the newest counts."""

    def __init__(self, *, proved: bool) -> None:
        """`proved`: each report carries a proof that it is the peer's."""
        self.mismatch: Text | None = None
        """What does not match between the nodes, while it does not."""
        self._proved = proved
        self._heard: Number = (0, 0)
        self._told: Number = (0, 0)

    @property
    def incarnation(self) -> int:
        """Of the newest report."""
        return max(self._heard, self._told)[0]

    def heard(self, heartbeat: Heartbeat, node: Node) -> tuple[Event, ...] | None:
        """A heartbeat that is good and new.  None: it was overtaken by a report that was told."""
        number = (heartbeat.incarnation, heartbeat.seq)
        if number < self._heard:  # only where its mark was given up: the peer counts anew
            self._told = (0, 0)
        self._heard = number
        return None if number < self._told else self._events(heartbeat, node, beat=True)

    def told(self, heartbeat: Heartbeat, node: Node) -> tuple[Event, ...] | None:
        """The same report by the control channel: no proof of life.  None: it is no news."""
        number = (heartbeat.incarnation, heartbeat.seq)
        if number <= max(self._heard, self._told) or node.contact is not Contact.HEARD:
            return None
        if not (self._proved or self._follows(number)):
            return None
        self._told = number
        return self._events(heartbeat, node, beat=False)

    def _follows(self, number: Number) -> bool:
        """The number can come soon after the last heartbeat.  A made-up one that is far ahead would
        make all heartbeats until then count as overtaken."""
        return number[0] == self._heard[0] and number[1] - self._heard[1] <= AHEAD_MAX

    def doubt(self, events: tuple[Event, ...], node: Node) -> Text | None:
        """Why a node that waits for its peer has not met it by a heartbeat that made these events.

        The peer has not heard yet how high availability was switched.  It will, unless it is deaf:
        then waiting has to end (R11).
        """
        waits = node.state is State.INITIALIZING and node.contact is Contact.NEVER
        return MISMATCHES["ha"] if waits and not events else None

    def mismatched(self, what: Text, node: Node) -> tuple[Event, ...]:
        """The peer's settings do not match ours; a node that is Unknown knows that already."""
        self.mismatch = what
        return () if node.state is State.UNKNOWN else (PeerMismatched(what.en),)

    def _events(self, heartbeat: Heartbeat, node: Node, *, beat: bool) -> tuple[Event, ...]:
        if heartbeat.leaving:
            return (PeerLeft(),)
        events: list[Event] = []
        for event in understand(node, heartbeat.report, beat=beat):
            if isinstance(event, PeerMismatched):
                events += self.mismatched(MISMATCHES["ha"], node)
            else:
                events.append(event)
                if isinstance(event, PeerHeard):
                    self.mismatch = None
        return tuple(events)
