"""The SQLite database and the one in memory answer every call alike."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from srmd.store.database import (
    UNASSIGNED,
    AssignmentMode,
    DatabaseFault,
    Placement,
    UserDatabase,
    UserDatabaseError,
    UserRow,
)
from srmd.store.memory import MemoryUserDatabase
from srmd.store.sqlite import DATABASE_FILE, SqliteUserDatabase

NODES = ("a", "b")
USERS = st.sampled_from(["u1", "u2", "user00001", "user00002", "not legal"])
HOMES = st.sampled_from(NODES)
OPS = st.integers(0, 5)
ROWS = st.builds(
    UserRow,
    user_id=USERS,
    home=st.none() | HOMES,
    stamp=st.integers(0, 6),
    origin=st.sampled_from(["o1", "o2"]),
    deleted=st.booleans(),
)
PLACEMENTS = st.builds(Placement, home=HOMES, serving=HOMES, op=OPS, by=HOMES)


class Same(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        self.path = Path(self.folder.name) / DATABASE_FILE
        self.real = SqliteUserDatabase.open(self.path)
        self.model = MemoryUserDatabase(self.real.db_id)

    def teardown(self) -> None:
        self.real.close()
        self.folder.cleanup()

    def both(self, call: Callable[[UserDatabase], object]) -> None:
        def outcome(database: UserDatabase) -> object:
            try:
                return call(database)
            except UserDatabaseError as error:
                return type(error), str(error)

        assert outcome(self.real) == outcome(self.model)

    @rule(count=st.integers(0, 3), mode=st.sampled_from(AssignmentMode), active=HOMES)
    def generate(self, count: int, mode: AssignmentMode, active: str) -> None:
        self.both(lambda db: db.generate(count, nodes=NODES, mode=mode, active=active))

    @rule(lines=st.lists(st.tuples(USERS, HOMES | st.just("")), max_size=3))
    def import_csv(self, lines: list[tuple[str, str]]) -> None:
        content = "\n".join(["user_id,home_node", *(f"{user},{home}" for user, home in lines)])
        self.both(lambda db: db.import_csv(content, nodes=NODES))

    @rule(mode=st.sampled_from(AssignmentMode), active=HOMES)
    def assign(self, mode: AssignmentMode, active: str) -> None:
        self.both(lambda db: db.assign(mode, nodes=NODES, active=active))

    @rule(user=USERS, home=HOMES)
    def assign_user(self, user: str, home: str) -> None:
        self.both(lambda db: db.assign_user(user, home))

    @rule(user=USERS)
    def unassign_user(self, user: str) -> None:
        self.both(lambda db: db.unassign_user(user))

    @rule()
    def unassign_all(self) -> None:
        self.both(lambda db: db.unassign_all())

    @rule(user=USERS)
    def remove_user(self, user: str) -> None:
        self.both(lambda db: db.remove_user(user))

    @rule()
    def remove_all(self) -> None:
        self.both(lambda db: db.remove_all())

    @rule()
    def export_csv(self) -> None:
        self.both(lambda db: db.export_csv())

    @rule(homes=st.dictionaries(HOMES, HOMES), op=OPS, by=HOMES)
    def move(self, homes: dict[str, str], op: int, by: str) -> None:
        self.both(lambda db: db.move(homes, op=op, by=by))

    @rule(rows=st.lists(PLACEMENTS, max_size=3))
    def merge_placement(self, rows: list[Placement]) -> None:
        self.both(lambda db: db.merge_placement(rows))

    @rule(rows=st.lists(ROWS, max_size=4))
    def apply(self, rows: list[UserRow]) -> None:
        self.both(lambda db: db.apply(rows))

    @rule(since=st.integers(0, 12), limit=st.integers(1, 4))
    def changes(self, since: int, limit: int) -> None:
        self.both(lambda db: db.changes(since, limit))

    @rule(db_id=st.sampled_from(["p1", "p2"]), revision=st.integers(0, 9))
    def cursor(self, db_id: str, revision: int) -> None:
        self.both(lambda db: db.set_peer_cursor(db_id, revision))
        self.both(lambda db: (db.peer_cursor("p1"), db.peer_cursor("p2")))

    @rule(
        after=st.just("") | USERS,
        limit=st.integers(1, 3),
        home=st.none() | HOMES | st.just(UNASSIGNED),
        serving=st.none() | HOMES,
    )
    def users(self, after: str, limit: int, home: str | None, serving: str | None) -> None:
        self.both(lambda db: db.users(after=after, limit=limit, home=home, serving=serving))

    @rule()
    def restart(self) -> None:
        self.real.close()
        self.real = SqliteUserDatabase.open(self.path)

    @rule(fault=st.sampled_from(DatabaseFault))
    def fail_and_repair(self, fault: DatabaseFault) -> None:
        self.both(lambda db: db.fail(fault))
        self.both(lambda db: db.unassign_all())
        self.both(lambda db: db.repair())

    @rule()
    def fail_moves_and_repair(self) -> None:
        self.both(lambda db: db.fail_moves())
        self.both(lambda db: db.move({"a": "b"}, op=9, by="b"))
        self.both(lambda db: db.repair())

    @invariant()
    def they_hold_the_same(self) -> None:
        self.both(lambda db: db.changes(0))
        self.both(lambda db: db.users())
        self.both(lambda db: db.counts())
        self.both(lambda db: db.placements())
        self.both(lambda db: [db.served(node) for node in NODES])


TestSame = Same.TestCase
TestSame.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
