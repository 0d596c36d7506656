"""A user database without a disk: for the simulator, and as the model that the real one must equal.

Deterministic: the same calls give the same rows, revisions and stamps.  It fails by command only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from srmd.store import user_file
from srmd.store import users as rules
from srmd.store.database import (
    LIST_ROWS_MAX,
    PAGE_ROWS_MAX,
    UNASSIGNED,
    AssignmentMode,
    Content,
    Counts,
    DatabaseDown,
    DatabaseFault,
    Imported,
    InjectedFaults,
    LowerOp,
    Page,
    Placement,
    UnknownUser,
    User,
    UserPage,
    UserRow,
)


class MemoryUserDatabase:
    """Implements `UserDatabase`.  What it holds lives as long as the object."""

    def __init__(self, db_id: str = "memory") -> None:
        self.epoch = ""
        """In which it was opened last; see `epochs`."""
        self._db_id = db_id
        self._rows: dict[str, UserRow] = {}
        self._changed: dict[str, int] = {}
        """User id to revision, oldest change first."""
        self._counts: Counter[str | None] = Counter()
        self._placements: dict[str, Placement] = {}
        self._clock = 0
        self._revision = 0
        self._digest = 0
        self._cursor: tuple[str, int] = ("", 0)
        self._closed = False
        self._injected = InjectedFaults()

    @property
    def db_id(self) -> str:
        return self._db_id

    def renamed(self, db_id: str) -> None:
        """It is a copy: a database of its own from now on."""
        self._db_id = db_id

    def put_back(self, copy: MemoryUserDatabase) -> None:
        """All that it holds is replaced, under a node that has it open; faults by command stay."""
        self.__dict__.update(copy.__dict__ | {"_injected": self._injected, "_closed": self._closed})

    def check(self) -> None:
        self._guard()

    def close(self) -> None:
        self._closed = True

    def move(self, homes: Mapping[str, str], *, op: int, by: str) -> None:
        wanted = tuple(Placement(home, serving, op, by) for home, serving in homes.items())
        rules.check_placements(wanted)
        self._guard()
        self._injected.guard_moves()
        for row in wanted:
            held = self._placements.get(row.home, row)
            if held != row and held.rank[:2] >= row.rank[:2]:
                raise LowerOp(row, held)
        self._placements.update((row.home, row) for row in wanted)

    def placements(self) -> tuple[Placement, ...]:
        self._guard()
        return tuple(self._placements[home] for home in sorted(self._placements))

    def merge_placement(self, rows: Iterable[Placement]) -> bool:
        rows = tuple(rows)
        rules.check_placements(rows)
        self._guard()
        changed = False
        for row in rows:
            held = self._placements.get(row.home)
            if held is None or row.rank > held.rank:
                self._placements[row.home] = row
                changed = True
        return changed

    def counts(self) -> Counts:
        self._guard()
        assigned = {home: n for home, n in self._counts.items() if home is not None and n}
        return Counts(
            dict(sorted(assigned.items())), self._counts[None], sum(self._counts.values())
        )

    def served(self, serving: str) -> int:
        rules.check_node(serving)
        self._guard()
        return sum(
            count
            for home, count in self._counts.items()
            if home is not None and self._serving(home) == serving
        )

    def generate(
        self,
        count: int,
        *,
        nodes: Sequence[str],
        mode: AssignmentMode,
        active: str | None = None,
        prefix: str = "user",
    ) -> int:
        self._guard()
        added = rules.generated(
            count,
            prefix=prefix,
            present=self._homes().keys(),
            assigned=self.counts().assigned,
            nodes=nodes,
            mode=mode,
            active=active,
        )
        return self._write(added)

    def import_csv(self, source: Path | bytes | str, *, nodes: Sequence[str]) -> Imported:
        lines = user_file.read(source, nodes)
        self._guard()
        present = self._homes()
        added = user_file.new_lines(lines, present)
        rules.check_room(len(present), len(added))
        self._write((line.user_id, line.home) for line in added)
        return Imported(added=len(added), unchanged=len(lines) - len(added))

    def export_csv(self) -> bytes:
        self._guard()
        return user_file.written(sorted(self._homes().items()))

    def assign(
        self, mode: AssignmentMode, *, nodes: Sequence[str], active: str | None = None
    ) -> int:
        self._guard()
        return self._write(rules.reassigned(self._homes(), mode, nodes, active).items())

    def assign_user(self, user_id: str, home: str) -> None:
        rules.check_node(home)
        if self.get(user_id).home != home:
            self._write([(user_id, home)])

    def unassign_user(self, user_id: str) -> None:
        if self.get(user_id).home is not None:
            self._write([(user_id, None)])

    def unassign_all(self) -> int:
        self._guard()
        homes = sorted(self._homes().items())
        return self._write((user_id, None) for user_id, home in homes if home is not None)

    def remove_user(self, user_id: str) -> None:
        self.get(user_id)
        self._write([(user_id, None)], deleted=True)

    def remove_all(self) -> int:
        self._guard()
        return self._write(((user_id, None) for user_id in sorted(self._homes())), deleted=True)

    def get(self, user_id: str) -> User:
        self._guard()
        row = self._rows.get(user_id)
        if row is None or row.deleted:
            raise UnknownUser(user_id)
        return self._user(row)

    def users(
        self,
        *,
        after: str = "",
        limit: int = LIST_ROWS_MAX,
        home: str | None = None,
        serving: str | None = None,
    ) -> UserPage:
        limit = rules.check_limit(limit, LIST_ROWS_MAX)
        rules.check_listing(after, home, serving)
        self._guard()
        found = [
            user
            for user in (self._user(row) for row in self._rows.values() if not row.deleted)
            if user.user_id > after
            and (home is None or (user.home or UNASSIGNED) == home)
            and (serving is None or user.serving == serving)
        ]
        found.sort(key=lambda user: user.user_id)
        return UserPage(tuple(found[:limit]), more=len(found) > limit)

    def revision(self) -> int:
        self._guard()
        return self._revision

    def content(self) -> Content:
        self._guard()
        return Content(sum(self._counts.values()), self._digest)

    def changes(self, since_revision: int, limit: int = PAGE_ROWS_MAX) -> Page:
        limit = rules.check_limit(limit, PAGE_ROWS_MAX)
        rules.check_counter("since_revision", since_revision)
        self._guard()
        since = since_revision if since_revision <= self._revision else 0
        newer = [item for item in self._changed.items() if item[1] > since]
        page = newer[:limit]
        return Page(
            self._db_id,
            revision=page[-1][1] if page else self._revision,
            rows=tuple(self._rows[user_id] for user_id, _ in page),
            more=len(newer) > limit,
            content=self.content(),
        )

    def apply(self, rows: Sequence[UserRow]) -> int:
        rules.check_rows(rows)
        self._guard()
        changed: dict[str, UserRow] = {}
        for row in rows:
            held = changed.get(row.user_id) or self._rows.get(row.user_id)
            if held is None or row.rank > held.rank:
                changed[row.user_id] = row
        for row in changed.values():
            self._put(row)
            self._clock = max(self._clock, row.stamp)
        return len(changed)

    def peer_cursor(self, db_id: str) -> int:
        rules.check_node(db_id)
        self._guard()
        return self._cursor[1] if self._cursor[0] == db_id else 0

    def set_peer_cursor(self, db_id: str, revision: int) -> None:
        rules.check_node(db_id)
        rules.check_counter("revision", revision)
        self._guard()
        self._cursor = (db_id, revision)

    def fail(self, fault: DatabaseFault) -> None:
        self._injected.fault = fault

    def fail_moves(self) -> None:
        self._injected.moves = True

    def repair(self) -> None:
        self._injected.fault = None
        self._injected.moves = False

    def _guard(self) -> None:
        self._injected.guard()
        if self._closed:
            raise DatabaseDown(DatabaseFault.CLOSED, "closed by us", "restart srmd")

    def _homes(self) -> dict[str, str | None]:
        return {user_id: row.home for user_id, row in self._rows.items() if not row.deleted}

    def _serving(self, home: str) -> str:
        placed = self._placements.get(home)
        return home if placed is None else placed.serving

    def _user(self, row: UserRow) -> User:
        serving = None if row.home is None else self._serving(row.home)
        return User(row.user_id, row.home, serving)

    def _write(self, homes: Iterable[tuple[str, str | None]], *, deleted: bool = False) -> int:
        """Write these users of our own accord, under one new stamp."""
        rows = [
            UserRow(user_id, home, self._clock + 1, self._db_id, deleted) for user_id, home in homes
        ]
        for row in rows:
            self._put(row)
        if rows:
            self._clock += 1
        return len(rows)

    def _put(self, row: UserRow) -> None:
        held = self._rows.get(row.user_id)
        self._digest = rules.changed_digest(self._digest, [(held, row)])
        if held is not None and not held.deleted:
            self._counts[held.home] -= 1
        if not row.deleted:
            self._counts[row.home] += 1
        self._rows[row.user_id] = row
        self._revision += 1
        self._changed.pop(row.user_id, None)
        self._changed[row.user_id] = self._revision
