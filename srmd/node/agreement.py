"""The databases of both nodes hold the same users, or not: compared by number and digest, at rest.

Replication goes by revisions, and a database that was set back gives a revision twice.  So what
both hold is compared once more, when neither has changed for some heartbeats: the peer is asked for
its next page, which is empty then and tells its content.  Where the contents differ, the peer's
whole feed is read again; the peer does the same, and both come to agree.  All of it is ours.
"""

from __future__ import annotations

from typing import Final

from srmd.node.users import Picture
from srmd.store.database import Content
from srmd.wire.heartbeat import Summary

REST_BEATS: Final = 10
"""Neither database has changed for so many heartbeats of the peer: they rest."""
COMPARED_EVERY_BEATS: Final = 40
"""Heartbeats after which databases at rest are compared again, and read again while they differ."""


class Agreement:
    """The state of the comparison in one run of SRM."""

    def __init__(self) -> None:
        self.agrees: bool | None = None
        """None: not compared since something changed."""
        self.theirs: Content | None = None
        """Of the peer, when it was asked last."""
        self.due = False
        """The peer is to be asked."""
        self.whole_due = False
        """All that the peer has is to be read again."""
        self._resting: tuple[object, ...] = ()
        """Which databases, at which revisions, have not changed."""
        self._beats = 0
        """For so many heartbeats."""

    def beat(self, summary: Summary, ours: Picture) -> None:
        """A heartbeat of the peer tells what it has."""
        now = (ours.db_id, ours.revision, summary.db_id, summary.users_revision)
        if now != self._resting:
            self._resting, self._beats = now, 0
            self.agrees = False if self.agrees is False else None
        if not (ours.db_id and summary.db_id and summary.database):
            return
        self._beats += 1
        if self._beats % COMPARED_EVERY_BEATS == REST_BEATS:
            self.due = True

    def compared(self, theirs: Content, ours: Picture) -> None:
        """The peer was read to the end of its feed."""
        was_asked, self.due = self.due, False
        self.theirs = theirs
        if theirs == ours.content:
            self.agrees, self.whole_due = True, False
        elif was_asked and self._beats >= REST_BEATS:
            self.agrees, self.whole_due = False, True
