"""Which events the peer's reports make, in whatever order and by whatever channel they come."""

from __future__ import annotations

from srmd.core.contact import HA_MISMATCH, understand
from srmd.core.events import Event, PeerHeard, PeerLeft, PeerMismatched
from srmd.core.node import Node
from srmd.core.states import Contact, State
from srmd.wire.heartbeat import Heartbeat


class Reports:
    """The reports of one run of SRM; the newest counts."""

    def __init__(self) -> None:
        self.mismatch: str | None = None
        """What does not match between the nodes, while it does not."""
        self.incarnation = 0
        """Of the newest report."""
        self._seq = 0

    def heard(self, heartbeat: Heartbeat, node: Node) -> tuple[Event, ...] | None:
        """A heartbeat that is good and new.  None: it was overtaken by a report that was told."""
        order = (heartbeat.incarnation, heartbeat.seq)
        if order < (self.incarnation, self._seq):
            return None
        self.incarnation, self._seq = order
        return self._events(heartbeat, node, beat=True)

    def told(self, heartbeat: Heartbeat, node: Node) -> tuple[Event, ...] | None:
        """The same report by the control channel: no proof of life.  None: it is no news."""
        order = (heartbeat.incarnation, heartbeat.seq)
        if order <= (self.incarnation, self._seq) or node.contact is not Contact.HEARD:
            return None
        self.incarnation, self._seq = order
        return self._events(heartbeat, node, beat=False)

    def doubt(self, events: tuple[Event, ...], node: Node) -> str | None:
        """Why a node that waits for its peer has not met it by a heartbeat that made these events.

        The peer has not heard yet how high availability was switched.  It will, unless it is deaf:
        then waiting has to end (R11).
        """
        waits = node.state is State.INITIALIZING and node.contact is Contact.NEVER
        return HA_MISMATCH if waits and not events else None

    def mismatched(self, what: str, node: Node) -> tuple[Event, ...]:
        """The peer's settings do not match ours; a node that is Unknown knows that already."""
        self.mismatch = what
        return () if node.state is State.UNKNOWN else (PeerMismatched(what),)

    def _events(self, heartbeat: Heartbeat, node: Node, *, beat: bool) -> tuple[Event, ...]:
        if heartbeat.leaving:
            return (PeerLeft(),)
        events: list[Event] = []
        for event in understand(node, heartbeat.report, beat=beat):
            if isinstance(event, PeerMismatched):
                events += self.mismatched(event.what, node)
            else:
                events.append(event)
                if isinstance(event, PeerHeard):
                    self.mismatch = None
        return tuple(events)
