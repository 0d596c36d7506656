"""The user database as the rest of srmd sees it: the part that `A Cisco DB` plays.

It knows all users of the group, each user's home node, and for each home node the node that
serves its users now.  The rules that every implementation keeps (one contract suite tests them):

- Who serves whom is one placement per home node, so a move costs the same for any number of
  users.  A placement carries the (op, by) of its order, and the highest pair wins.
- A user is one row that both nodes may write.  Each write takes a Lamport stamp and the identity
  of the database that made it, and the highest (stamp, origin) wins at both nodes.  A removed
  user leaves a tombstone.  Databases that exchange pages, in any order, repeated or lost, agree.
- Every row has a local revision, so a peer reads on from where it stopped.
- A call succeeds and is durable, or raises and has changed nothing.

Calls block (a disk is behind them) and must not overlap: the daemon makes them in one worker
thread.  Only `fail`, `fail_moves` and `repair` may come from another one.

Source: srm.md sections 1 and 4 (rows 13, 19, 20, 22 are failures of this part); the rest is ours.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Protocol

USERS_MAX = 75_000
"""Users in a database: Cisco's limit for a cluster (release 15)."""
PAGE_ROWS_MAX = 5_000
"""Rows in one page of the change feed; a longer page is refused, a longer wish is cut."""
LIST_ROWS_MAX = 1_000
"""Users in one page of a listing; a longer wish is cut."""
COUNTER_MAX = 2**62
"""Bound of stamps, revisions and operation numbers, inside what SQLite can hold."""
UNASSIGNED = ""
"""As the home in a listing: the users that have none."""


class AssignmentMode(Enum):
    """How users are given home nodes (Cisco: "User Assignment Mode")."""

    BALANCED = "balanced"
    """Spread evenly over the nodes: active/active."""
    ACTIVE_STANDBY = "active-standby"
    """All on one node."""
    NONE = "none"
    """Left to the administrator."""


class DatabaseFault(Enum):
    """What is wrong with a database that cannot serve."""

    GONE = "gone"
    LOCKED = "locked"
    READ_ONLY = "read-only"
    FULL = "full"
    DAMAGED = "damaged"
    IO_ERROR = "i/o error"
    NEWER = "newer"
    """A newer srmd has written it."""
    CLOSED = "closed"
    NO_DESCRIPTORS = "cannot be opened"
    """The process has no free file descriptor; the file may be well."""


class UserDatabaseError(Exception):
    """Anything that a user database refuses or cannot do."""


class DatabaseDown(UserDatabaseError):
    """The database cannot serve.  Nothing was changed, unless a commit was cut off half way."""

    def __init__(self, kind: DatabaseFault, detail: str, way_out: str) -> None:
        super().__init__(f"user database {kind.value}: {detail}; {way_out}")
        self.kind = kind
        self.detail = detail
        self.way_out = way_out


class MovesFail(UserDatabaseError):
    """User moves were made to fail by command (rows 19 and 20); the database itself is well."""

    def __init__(self) -> None:
        super().__init__("users cannot be moved: failed by command; repair the database")


class LowerOp(UserDatabaseError):
    """The order to move users is older than the one that placed them."""

    def __init__(self, wanted: Placement, held: Placement) -> None:
        super().__init__(
            f"users of {wanted.home}: op {wanted.op} of {wanted.by} (to {wanted.serving}) does not "
            f"outrank op {held.op} of {held.by} (to {held.serving}); order again with a higher op"
        )
        self.wanted = wanted
        self.held = held


class Opened(Enum):
    """The finding of the opening of a database."""

    SAME = "same"
    """The one that this node had open last, or its first one."""
    COPY = "copy"
    """Another one: a copy that was put back, or what the node remembered of it is gone."""
    LOST = "lost"
    """A new one, though this node had one: the file was gone, or empty."""


class BadRequest(UserDatabaseError):
    """An argument that makes no sense; the message names it, its value and what would be right."""


class UnknownUser(UserDatabaseError):
    def __init__(self, user_id: str) -> None:
        super().__init__(f"user {user_id!r} does not exist; `users list` shows who does")
        self.user_id = user_id


class TooManyUsers(UserDatabaseError):
    def __init__(self, present_count: int, added_count: int) -> None:
        super().__init__(
            f"{added_count} more users beside {present_count} exceed the limit of {USERS_MAX} "
            f"in a database; remove some, or add fewer"
        )
        self.present_count = present_count
        self.added_count = added_count


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line of an import file that cannot be taken.  Lines count from 1, the header is line 1."""

    line: int
    value: str
    reason: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.value!r} {self.reason}"


class BadImport(UserDatabaseError):
    """An import file with bad lines; none of it was imported."""

    SHOWN_MAX = 10

    def __init__(self, lines: Sequence[BadLine], count: int | None = None) -> None:
        """`lines` are the first of `count` bad lines; None: all of them."""
        self.lines = tuple(lines)
        self.count = len(lines) if count is None else count
        shown = [str(line) for line in lines[: self.SHOWN_MAX]]
        if self.count > len(shown):
            shown.append(f"and {self.count - len(shown)} more")
        super().__init__("nothing imported; correct these lines: " + "; ".join(shown))


@dataclass(frozen=True, slots=True)
class UserRow:
    """A user as it is exchanged with the peer."""

    user_id: str
    home: str | None
    stamp: int
    origin: str
    deleted: bool = False

    @property
    def rank(self) -> tuple[int, str, bool, str]:
        """The higher rank wins, at every node.

        Stamp and origin decide.  The content follows only for the case that a database was set
        back to an old copy and gave a stamp twice: the nodes then still agree.
        """
        return (self.stamp, self.origin, self.deleted, self.home or "")


@dataclass(frozen=True, slots=True)
class User:
    """A user as people see it."""

    user_id: str
    home: str | None
    serving: str | None
    """None for a user without a home node: nobody serves it."""


@dataclass(frozen=True, slots=True)
class UserPage:
    """Users in the order of their ids; when `more`, ask again after the last one."""

    users: tuple[User, ...]
    more: bool


@dataclass(frozen=True, slots=True)
class Placement:
    """The users of `home` are served by `serving`, by order `op` of node `by`."""

    home: str
    serving: str
    op: int
    by: str

    @property
    def rank(self) -> tuple[int, str, str]:
        """The higher rank wins; `serving` only makes a tie that must not be end alike."""
        return (self.op, self.by, self.serving)


@dataclass(frozen=True, slots=True)
class Counts:
    """Live users: per home node (only those that have any), without a home, and together."""

    assigned: Mapping[str, int]
    unassigned: int
    total: int


@dataclass(frozen=True, slots=True)
class Content:
    """The content of a database, in short: two that hold the same rows have the same content."""

    users_count: int
    """Live users."""
    digest: int
    """Over all rows, removed users among them; their order and revisions do not matter."""

    def __str__(self) -> str:
        return f"{self.users_count} users, digest {self.digest:016x}"


EMPTY = Content(users_count=0, digest=0)


@dataclass(frozen=True, slots=True)
class Page:
    """A stretch of a change feed.  Once applied, read on after `revision` of database `db_id`."""

    db_id: str
    revision: int
    rows: tuple[UserRow, ...]
    more: bool
    content: Content
    """Of the whole database, at the moment of this page."""


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import did: users new to the database, and lines that were already true."""

    added: int
    unchanged: int


@dataclass(slots=True)
class InjectedFaults:
    """Failures by command, shared by the implementations: a fault that an operator can try."""

    fault: DatabaseFault | None = field(default=None)
    moves: bool = field(default=False)

    def guard(self) -> None:
        """Raise DatabaseDown while the database is failed by command."""
        if self.fault is not None:
            raise DatabaseDown(self.fault, "failed by command", "repair it by command")

    def guard_moves(self) -> None:
        if self.moves:
            raise MovesFail


class UserDatabase(Protocol):
    """Every method may raise DatabaseDown; what else it may raise stands beside it."""

    @property
    def db_id(self) -> str:
        """Identity of this database and of its change feed, new with each new database."""
        ...

    def check(self) -> None:
        """Prove that users could be moved now: a small durable write."""
        ...

    def close(self) -> None:
        """Let go.  Never raises; further calls raise DatabaseDown (closed)."""
        ...

    # Who serves whom

    def move(self, homes: Mapping[str, str], *, op: int, by: str) -> None:
        """The users of each home node are served by the node beside it: all of them, durably.

        In constant time.  Saying the same again is a success.  Raises LowerOp, MovesFail.
        """
        ...

    def placements(self) -> tuple[Placement, ...]:
        """All placements that were ever ordered.  A home without one serves itself."""
        ...

    def merge_placement(self, rows: Iterable[Placement]) -> bool:
        """Take over what outranks our own from the peer's placements; whether any did."""
        ...

    def counts(self) -> Counts:
        """In constant time."""
        ...

    def served(self, serving: str) -> int:
        """How many users this node serves now.  In constant time."""
        ...

    # Users

    def generate(
        self,
        count: int,
        *,
        nodes: Sequence[str],
        mode: AssignmentMode,
        active: str | None = None,
        prefix: str = "user",
    ) -> int:
        """Add this many users, `prefix` and the next free number; how many were added.

        Raises BadRequest, TooManyUsers.
        """
        ...

    def import_csv(self, source: Path | bytes | str, *, nodes: Sequence[str]) -> Imported:
        """Add the users of a file (Path) or of its content, all or nothing (see `user_file`).

        Raises BadImport with the bad lines, TooManyUsers, BadRequest (the file as such).
        """
        ...

    def export_csv(self) -> bytes:
        """All users in the order of their ids, as a file that `import_csv` takes."""
        ...

    def assign(
        self, mode: AssignmentMode, *, nodes: Sequence[str], active: str | None = None
    ) -> int:
        """Give all users home nodes; how many changed.  As few as possible do.

        Raises BadRequest.
        """
        ...

    def assign_user(self, user_id: str, home: str) -> None:
        """Raises UnknownUser, BadRequest."""
        ...

    def unassign_user(self, user_id: str) -> None:
        """Raises UnknownUser."""
        ...

    def unassign_all(self) -> int:
        """How many users had a home node and have none now."""
        ...

    def remove_user(self, user_id: str) -> None:
        """Raises UnknownUser."""
        ...

    def remove_all(self) -> int:
        """The number of users that there were."""
        ...

    def get(self, user_id: str) -> User:
        """Raises UnknownUser."""
        ...

    def users(
        self,
        *,
        after: str = "",
        limit: int = LIST_ROWS_MAX,
        home: str | None = None,
        serving: str | None = None,
    ) -> UserPage:
        """A page of users in the order of their ids, of one home or served by one node.

        Raises BadRequest.
        """
        ...

    # Replication

    def revision(self) -> int:
        """Of the newest change.  A peer whose cursor is lower has something to read."""
        ...

    def content(self) -> Content:
        """To be compared with the peer's.  In constant time."""
        ...

    def changes(self, since_revision: int, limit: int = PAGE_ROWS_MAX) -> Page:
        """The next rows of the change feed, oldest first, tombstones among them.

        A cursor beyond our newest change means that we were set back: the feed starts anew.
        Raises BadRequest.
        """
        ...

    def apply(self, rows: Sequence[UserRow]) -> int:
        """Take over what outranks our own from the peer's rows; how many did.

        USERS_MAX is not enforced here: no user of the peer may be lost.  Raises BadRequest.
        """
        ...

    def peer_cursor(self, db_id: str) -> int:
        """The revision up to which that database's feed was applied, 0 when it is a new one."""
        ...

    def set_peer_cursor(self, db_id: str, revision: int) -> None:
        """Remember it; the cursor of any other database is forgotten, a pair has one peer."""
        ...

    # Faults by command

    def fail(self, fault: DatabaseFault) -> None:
        """From now on every call raises DatabaseDown of this kind."""
        ...

    def fail_moves(self) -> None:
        """From now on `move` raises MovesFail; all else works."""
        ...

    def repair(self) -> None:
        """End both."""
        ...
