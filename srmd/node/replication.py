"""What of our database the peer is to have, and what of its database we are to read.

Nothing here is needed to survive: what was not replicated shows in the peer's next summary,
whereupon it is tried again.
"""

from __future__ import annotations

from srmd.core.texts import CALL_FAILURES, Text
from srmd.node.agreement import Agreement
from srmd.node.users import Picture
from srmd.store.database import Content, Placement, UserDatabase
from srmd.store.database import UserRow as StoredUser
from srmd.wire import control as messages
from srmd.wire.heartbeat import Summary

REPLICATION_PAUSE_S = 0.2
"""The least time between two attempts to replicate."""
PAGE_ROWS = 1000
"""Users asked for at once.  A page is written and read in the loop; this one holds the heartbeats
up by about 25 ms, one of the 2000 rows that the wire allows by 50."""
PAGES_MAX = 200
"""Pages pulled in one go: more than a full database holds."""


class Replication:
    """What is to be replicated, by what both nodes are known to have."""

    def __init__(self) -> None:
        self.push_due = True
        """The peer may not know our placement."""
        self.summary: Summary | None = None
        """The peer's newest."""
        self.agreement = Agreement()
        self._pulled = ("", "", -1)
        """Which database of ours has read which of the peer's, up to which revision: all that the
        peer has must be read again when either of them is a new one."""

    def compare(self, summary: Summary, ours: Picture) -> bool:
        """Whether there is something to replicate, now that the peer tells what it has."""
        self.summary = summary
        if summary.placement_op < ours.placement_op:
            self.push_due = True
        self.agreement.beat(summary, ours)
        return self.push_due or self.pull_due(ours)

    def pull_due(self, ours: Picture) -> bool:
        """The peer has rows that we have not read, or is to be compared with."""
        theirs = self.summary
        if theirs is None or not theirs.db_id:
            return False
        news = self._pulled != (ours.db_id, theirs.db_id, theirs.users_revision)
        return news or self.agreement.due or self.agreement.whole_due

    def begin_pull(self, database: UserDatabase, db_id: str) -> None:
        """From where we stopped, or from the beginning.  Raises UserDatabaseError."""
        if self.agreement.whole_due:
            database.set_peer_cursor(db_id, 0)
            self.agreement.whole_due = False

    def pulled(self, page: messages.UsersPage, ours: Picture) -> None:
        """The last page of the peer's feed was applied."""
        self._pulled = (ours.db_id, page.db_id, page.revision)
        self.agreement.compared(Content(page.users_count, page.digest), ours)


class PeerReading:
    """The peer's progress in reading our database, by what it asks for (srmd).

    At a start of SRM it counts as having read all: what it lacks then shows in the comparison.
    """

    def __init__(self) -> None:
        self._db_id = ""
        self._read = 0
        """Our revision up to which the peer was given our changes."""
        self.unread_count = 0
        """Changes of ours, at most, that the peer has not asked for."""
        self.since_s: float | None = None
        """The monotonic second since which there are some."""

    def gave(self, page: messages.UsersPage) -> None:
        """A page that the peer asked for; it asks for it again where it was lost."""
        if page.db_id == self._db_id:
            self._read = page.revision

    def look(self, ours: Picture, now_s: float) -> None:
        """Our database as it is now."""
        if ours.db_id != self._db_id or ours.revision < self._read:
            self._db_id, self._read = ours.db_id, ours.revision
        self.unread_count = ours.revision - self._read
        if not self.unread_count:
            self.since_s = None
        elif self.since_s is None:
            self.since_s = now_s


def of_another(page: messages.UsersPage, db_id: str, peer: str) -> Text | None:
    """The reason to refuse a page of another database than the heartbeats name; None: none.

    Where the control channels of two pairs are crossed, another node answers, and each pair would
    take over the users of the other.  A peer that has just opened another database names it in its
    next heartbeat.
    """
    if page.db_id == db_id:
        return None
    return CALL_FAILURES["another_database"].naming(there=page.db_id, named=db_id, peer=peer)


def placement_message(op: str, picture: Picture) -> messages.PlacementMessage | None:
    """Our placement for the peer; None when nothing was ever ordered."""
    rows = tuple(
        messages.PlacementRow(row.home, row.serving, row.op, row.by) for row in picture.placements
    )
    return messages.PlacementMessage(op, rows) if rows else None


def unheard(op: str) -> messages.Refused:
    """The answer to a placement of a peer that is not heard, but only calls (ours).

    Where only heartbeats are lost both nodes take over at once, and the order of one would undo the
    other's in the middle; and a backup that starts again would serve nobody.  It is pushed again
    when the nodes hear each other.
    """
    return messages.Refused(op, "the peer is not heard", "heartbeats")


def merge(database: UserDatabase, message: messages.PlacementMessage) -> messages.Accepted:
    """Take over what outranks our own placement.  Raises UserDatabaseError."""
    rows = [Placement(row.home, row.serving, row.op, row.by) for row in message.placements]
    changed = database.merge_placement(rows)
    return messages.Accepted(message.op, "changed" if changed else "known")


def page_of(database: UserDatabase, asked: messages.UsersRequest) -> messages.UsersPage:
    """Raises UserDatabaseError.  A cursor into another database's feed means nothing: the page is
    then the first one."""
    since = asked.since_revision if asked.db_id == database.db_id else 0
    page = database.changes(since, asked.limit)
    rows = tuple(
        messages.UserRow(row.user_id, row.home, row.stamp, row.origin, row.deleted)
        for row in page.rows
    )
    content = page.content
    return messages.UsersPage(
        asked.op, page.db_id, page.revision, rows, page.more, content.users_count, content.digest
    )


def apply_page(database: UserDatabase, page: messages.UsersPage) -> int:
    """Take over the page, and remember how far it reaches; how many rows were news.

    Raises UserDatabaseError.
    """
    rows = [
        StoredUser(row.user_id, row.home, row.stamp, row.origin, row.deleted) for row in page.rows
    ]
    changed = database.apply(rows)
    database.set_peer_cursor(page.db_id, page.revision)
    return changed
