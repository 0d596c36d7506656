"""A database that really fails: every failure has its kind, is bounded, and can be repaired."""

from __future__ import annotations

import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from srmd.store import sqlite
from srmd.store.database import (
    AssignmentMode,
    Counts,
    DatabaseDown,
    DatabaseFault,
    Opened,
    Placement,
    User,
    UserDatabase,
)
from srmd.store.epochs import EPOCH_FILE, Epochs
from srmd.store.schema import APPLICATION_ID, STEPS, VERSION
from srmd.store.sqlite import DATABASE_FILE, SqliteUserDatabase

NODES = ("a", "b")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / DATABASE_FILE


@pytest.fixture
def database(path: Path) -> Iterator[SqliteUserDatabase]:
    made = SqliteUserDatabase.open(path)
    made.generate(4, nodes=NODES, mode=AssignmentMode.BALANCED)
    yield made
    made.close()


def failure(database: UserDatabase) -> DatabaseFault:
    """Of what kind `check` finds the database down."""
    with pytest.raises(DatabaseDown) as caught:
        database.check()
    return caught.value.kind


def stay_down(database: UserDatabase, kind: DatabaseFault) -> None:
    with pytest.raises(DatabaseDown) as caught:
        database.move({"a": "b"}, op=99, by="b")
    assert caught.value.kind is kind


def remove(path: Path) -> None:
    for name in ("", "-wal", "-shm"):
        path.with_name(path.name + name).unlink(missing_ok=True)


def test_what_was_written_is_there_after_a_restart(path: Path) -> None:
    first = SqliteUserDatabase.open(path)
    first.generate(2, nodes=NODES, mode=AssignmentMode.BALANCED)
    first.move({"a": "b"}, op=4, by="b")
    first.set_peer_cursor("theirs", 17)
    first.close()
    with closing(SqliteUserDatabase.open(path)) as again:
        assert again.db_id == first.db_id
        assert again.counts() == Counts({"a": 1, "b": 1}, unassigned=0, total=2)
        assert again.placements() == (Placement("a", "b", 4, "b"),)
        assert again.peer_cursor("theirs") == 17
        assert again.peer_cursor("another") == 0


def test_the_file_is_for_its_owner_only(database: SqliteUserDatabase) -> None:
    assert database.path.stat().st_mode & 0o777 == 0o600


def test_commits_are_durable(database: SqliteUserDatabase) -> None:
    assert database._connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    full = 2
    assert database._connection.execute("PRAGMA synchronous").fetchone() == (full,)


def test_a_healthy_database_passes_its_check(database: SqliteUserDatabase) -> None:
    database.check()
    database.check()
    assert database.counts().total == 4


# Gone


def test_a_deleted_file_is_gone_for_every_call_not_served_from_memory(
    database: SqliteUserDatabase, path: Path
) -> None:
    """SQLite itself would go on with the deleted file, and lose each move it confirms."""
    remove(path)
    stay_down(database, DatabaseFault.GONE)
    assert failure(database) is DatabaseFault.GONE
    assert not path.exists(), "a check must not make an empty database in its place"
    with pytest.raises(DatabaseDown, match=r"gone: .*; put it back"):
        database.counts()


def test_a_file_that_comes_back_is_used_again(database: SqliteUserDatabase, path: Path) -> None:
    aside = path.with_name("aside")
    path.rename(aside)
    assert failure(database) is DatabaseFault.GONE
    aside.rename(path)
    stay_down(database, DatabaseFault.GONE)
    database.check()
    assert database.counts().total == 4


def test_a_copy_put_in_its_place_is_noticed_then_used_as_a_database_of_its_own(
    database: SqliteUserDatabase, path: Path
) -> None:
    """A copy would give out revisions that the peer has read already: its feed starts anew."""
    old = database.db_id
    copy = path.with_name("copy")
    with closing(sqlite3.connect(copy)) as target:
        database._connection.backup(target)
    database.generate(2, nodes=NODES, mode=AssignmentMode.BALANCED)
    remove(path)
    shutil.move(copy, path)
    assert failure(database) is DatabaseFault.GONE
    database.check()
    assert database.counts().total == 4
    assert database.db_id != old
    assert len(database.changes(0).rows) == 4


def opened(path: Path) -> tuple[Opened, str]:
    """What the database turns out to be, and its identity."""
    with closing(SqliteUserDatabase.open(path)) as database:
        return database.opened, database.db_id


def copied(path: Path) -> bytes:
    """The file as it is while nobody has it open."""
    assert not path.with_name(path.name + "-wal").exists()
    return path.read_bytes()


def test_a_copy_written_into_the_very_file_is_told_by_its_epoch(path: Path) -> None:
    """File systems give an inode again, and `cp` keeps it: nothing of the file tells."""
    _, first = opened(path)
    copy = copied(path)
    assert opened(path) == (Opened.SAME, first)
    path.write_bytes(copy)
    what, second = opened(path)
    assert what is Opened.COPY
    assert second != first
    assert opened(path) == (Opened.SAME, second)


def test_an_opening_that_was_cut_off_makes_no_copy_of_its_database(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed after the memory was written and before the database was, or right after it."""
    _, first = opened(path)
    with monkeypatch.context() as patch:
        patch.setattr(sqlite, "_whole_digest", lambda _db: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            SqliteUserDatabase.open(path)
    assert opened(path) == (Opened.SAME, first)
    with monkeypatch.context() as patch:
        patch.setattr(Epochs, "begun", lambda _self, _epoch: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            SqliteUserDatabase.open(path)
    assert opened(path) == (Opened.SAME, first)


def test_a_copy_is_told_also_after_an_opening_of_it_was_cut_off(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, first = opened(path)
    copy = copied(path)
    opened(path)
    path.write_bytes(copy)
    with monkeypatch.context() as patch:
        patch.setattr(sqlite, "_whole_digest", lambda _db: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            SqliteUserDatabase.open(path)
    what, second = opened(path)
    assert what is Opened.COPY
    assert second != first


@pytest.mark.parametrize("content", [None, b""])
def test_a_new_database_in_the_place_of_a_known_one_is_a_loss(
    path: Path, content: bytes | None
) -> None:
    opened(path)
    remove(path)
    if content is not None:
        path.write_bytes(content)
    what, identity = opened(path)
    assert what is Opened.LOST
    assert opened(path) == (Opened.SAME, identity)


@pytest.mark.parametrize("memory", [None, b"", b"[]", b"{}", b'["', b"\xff", b"[1]"])
def test_without_its_memory_a_known_database_counts_as_a_copy(
    path: Path, memory: bytes | None
) -> None:
    _, first = opened(path)
    file = path.with_name(EPOCH_FILE)
    file.unlink()
    if memory is not None:
        file.write_bytes(memory)
    what, second = opened(path)
    assert what is Opened.COPY
    assert second != first


def test_the_content_is_counted_afresh_after_a_person_edited_the_table(path: Path) -> None:
    with closing(SqliteUserDatabase.open(path)) as database:
        database.generate(4, nodes=NODES, mode=AssignmentMode.BALANCED)
        before = database.content()
    with closing(sqlite3.connect(path)) as person, person:
        person.execute("UPDATE users SET home = 'b' WHERE user_id = 'user00001'")
    with closing(SqliteUserDatabase.open(path)) as database:
        assert database.content().users_count == before.users_count
        assert database.content().digest != before.digest


def test_a_folder_that_does_not_exist_is_gone(tmp_path: Path) -> None:
    with pytest.raises(DatabaseDown) as caught:
        SqliteUserDatabase.open(tmp_path / "missing" / DATABASE_FILE)
    assert caught.value.kind is DatabaseFault.GONE


# Locked


def test_a_lock_of_another_program_is_waited_for_within_a_bound(
    database: SqliteUserDatabase, path: Path
) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        begun_s = time.monotonic()
        assert failure(database) is DatabaseFault.LOCKED
        assert sqlite.BUSY_TIMEOUT_S * 0.9 < time.monotonic() - begun_s < sqlite.BUSY_TIMEOUT_S * 6
        stay_down(database, DatabaseFault.LOCKED)
        assert database.counts().total == 4, "readers go on"
        other.execute("ROLLBACK")
    database.move({"a": "b"}, op=1, by="b")
    database.check()


# Read-only and full.  The tests may run as root, whom file modes do not stop, so the connections
# are restricted instead.


def restrict(monkeypatch: pytest.MonkeyPatch, pragma: str) -> None:
    real = sqlite._connect

    def restricted(path: Path) -> sqlite3.Connection:
        connection = real(path)
        connection.execute(pragma)
        return connection

    monkeypatch.setattr(sqlite, "_connect", restricted)


def test_a_read_only_database_is_down_until_it_can_be_written(
    database: SqliteUserDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        restrict(patch, "PRAGMA query_only = 1")
        assert failure(database) is DatabaseFault.READ_ONLY
        assert failure(database) is DatabaseFault.READ_ONLY
        stay_down(database, DatabaseFault.READ_ONLY)
    database.check()
    database.move({"a": "b"}, op=1, by="b")


def test_a_write_to_a_read_only_database_changes_nothing(
    database: SqliteUserDatabase,
) -> None:
    database._connection.execute("PRAGMA query_only = 1")
    stay_down(database, DatabaseFault.READ_ONLY)
    database.check()
    assert database.placements() == ()


def test_a_full_database_imports_nothing_and_goes_on_when_there_is_room(
    database: SqliteUserDatabase,
) -> None:
    (pages,) = database._connection.execute("PRAGMA page_count").fetchone()
    database._connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(DatabaseDown, match=r"full: .*; free space on its file system") as caught:
        database.generate(5_000, nodes=NODES, mode=AssignmentMode.BALANCED)
    assert caught.value.kind is DatabaseFault.FULL
    assert database.counts() == Counts({"a": 2, "b": 2}, unassigned=0, total=4)
    database._connection.execute("PRAGMA max_page_count = 1000000")
    database.generate(5_000, nodes=NODES, mode=AssignmentMode.BALANCED)
    assert database.counts().total == 5_004


# Damaged


def test_a_file_overwritten_with_garbage_is_found_damaged_then_replaced(
    database: SqliteUserDatabase, path: Path
) -> None:
    database._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with path.open("r+b") as file:
        file.write(b"garbage " * (path.stat().st_size // 8))
    assert failure(database) is DatabaseFault.DAMAGED
    stay_down(database, DatabaseFault.DAMAGED)
    remove(path)
    SqliteUserDatabase.open(path).close()
    database.check()
    assert database.counts().total == 0


def test_a_file_that_is_cut_to_nothing_is_down(database: SqliteUserDatabase, path: Path) -> None:
    database._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with path.open("r+b") as file:
        file.truncate(0)
    assert failure(database) is DatabaseFault.DAMAGED
    stay_down(database, DatabaseFault.DAMAGED)


def test_a_lost_table_is_damage(database: SqliteUserDatabase, path: Path) -> None:
    with closing(sqlite3.connect(path)) as other:
        other.execute("DROP TABLE assigned")
    assert failure(database) is DatabaseFault.DAMAGED


@pytest.mark.parametrize("content", [b"not a database" * 100, b"SQLite format 3\x00" + b"x" * 500])
def test_a_file_that_is_no_database_is_not_touched(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(DatabaseDown) as caught:
        SqliteUserDatabase.open(path)
    assert caught.value.kind is DatabaseFault.DAMAGED
    assert path.read_bytes() == content


def test_a_database_of_another_program_is_not_touched(path: Path) -> None:
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE theirs (x)")
    content = path.read_bytes()
    with pytest.raises(DatabaseDown, match="a SQLite file, but not of srmd"):
        SqliteUserDatabase.open(path)
    assert path.read_bytes() == content


# Schema


def of_version(path: Path, version: int) -> None:
    """A file as an srmd of that schema version made it."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        for step in STEPS[:version]:
            for statement in step:
                db.execute(statement)
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.execute(f"PRAGMA user_version = {version}")


def test_an_old_database_is_migrated_with_all_it_holds(path: Path) -> None:
    of_version(path, 1)
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute(
            "INSERT INTO users (user_id, home, stamp, origin, deleted, revision) VALUES "
            "('anna', 'a', 1, 'x', 0, 1), ('bert', NULL, 2, 'x', 0, 2), ('gone', 'a', 3, 'x', 1, 3)"
        )
        db.execute("INSERT INTO placement VALUES ('a', 'b', 4, 'b')")
        db.execute("UPDATE meta SET value = 3 WHERE key IN ('clock', 'users_revision')")
    with closing(SqliteUserDatabase.open(path)) as database:
        assert database.counts() == Counts({"a": 1}, unassigned=1, total=2)
        assert database.get("anna") == User("anna", home="a", serving="b")
        database.assign_user("bert", "a")
        assert database.counts() == Counts({"a": 2}, unassigned=0, total=2)
        assert database.revision() == 4


def test_an_empty_file_becomes_a_database(path: Path) -> None:
    path.touch()
    with closing(SqliteUserDatabase.open(path)) as database:
        assert database.counts().total == 0


def test_a_migration_that_fails_changes_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_version(path, 1)
    with monkeypatch.context() as patch:
        patch.setattr(sqlite, "STEPS", (STEPS[0], (*STEPS[1], "no such statement")))
        with pytest.raises(DatabaseDown):
            SqliteUserDatabase.open(path)
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (1,)
        assert db.execute("SELECT * FROM sqlite_master WHERE name = 'assigned'").fetchall() == []
    SqliteUserDatabase.open(path).close()


def test_a_database_of_a_newer_srmd_is_refused(path: Path) -> None:
    of_version(path, VERSION)
    with closing(sqlite3.connect(path)) as db:
        db.execute(f"PRAGMA user_version = {VERSION + 1}")
    with pytest.raises(DatabaseDown, match="schema 4, this srmd knows 3; start the srmd that"):
        SqliteUserDatabase.open(path)


@pytest.mark.parametrize("reader_min, opens", [(VERSION, True), (VERSION + 1, False), ("1", False)])
def test_a_database_of_a_newer_srmd_opens_where_it_tells_so_and_stays_of_that_schema(
    path: Path, reader_min: object, opens: bool
) -> None:
    of_version(path, VERSION)
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("ALTER TABLE users ADD COLUMN mood TEXT")
        db.execute("INSERT INTO meta VALUES ('reader_min', ?)", (reader_min,))
        db.execute(f"PRAGMA user_version = {VERSION + 1}")
    if not opens:
        with pytest.raises(DatabaseDown, match="start the srmd that"):
            SqliteUserDatabase.open(path)
        return
    with closing(SqliteUserDatabase.open(path)) as database:
        database.import_csv(b"user_id,home_node\nanna,a\n", nodes=("a", "b"))
        assert database.counts() == Counts({"a": 1}, unassigned=0, total=1)
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (VERSION + 1,)


def test_counts_stay_true_when_a_person_edits_the_table(
    database: SqliteUserDatabase, path: Path
) -> None:
    with closing(sqlite3.connect(path)) as person, person:
        person.execute("DELETE FROM users WHERE user_id = 'user00001'")
        person.execute("UPDATE users SET home = 'b' WHERE user_id = 'user00003'")
        person.execute("UPDATE users SET deleted = 1 WHERE user_id = 'user00002'")
    assert database.counts() == Counts({"b": 2}, unassigned=0, total=2)
