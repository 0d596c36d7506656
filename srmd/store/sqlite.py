"""The user database in one SQLite file, `state_dir/users.sqlite3`.

WAL with synchronous=FULL: a commit is one append and one sync, and survives loss of power.

A file can be deleted, replaced or spoilt under an open connection without SQLite noticing: it goes
on with the lost file or with its cache.  Therefore every transaction first compares the file at the
path with the one opened, and `check` asks by a fresh connection, as a restarted process would see
it.  A database that failed in such a way stays down, for every call, until `check` has opened the
file at the path anew and found it good; so a repaired one comes back without a restart of srmd.
"""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from secrets import token_hex

from srmd.store import disk, user_file
from srmd.store import users as rules
from srmd.store.database import (
    LIST_ROWS_MAX,
    PAGE_ROWS_MAX,
    AssignmentMode,
    Content,
    Counts,
    DatabaseDown,
    DatabaseFault,
    Imported,
    InjectedFaults,
    LowerOp,
    Opened,
    Page,
    Placement,
    UnknownUser,
    User,
    UserPage,
    UserRow,
)
from srmd.store.disk import DiskFault
from srmd.store.epochs import EPOCH_FILE, Epochs
from srmd.store.schema import APPLICATION_ID, STEPS, VERSION

DATABASE_FILE = "users.sqlite3"
BUSY_TIMEOUT_S = 0.5
"""How long a call waits for another program's lock before it raises DatabaseDown (locked)."""

_WAYS_OUT = {
    DatabaseFault.GONE: "put it back (without old -wal and -shm files), or restart srmd: it "
    "makes an empty one and takes the users from the peer",
    DatabaseFault.LOCKED: "end the program that holds it (`fuser` names it)",
    DatabaseFault.READ_ONLY: "make the file and its folder writable for srmd",
    DatabaseFault.FULL: "free space on its file system",
    DatabaseFault.DAMAGED: "remove it with its -wal and -shm files, then put a copy there or "
    "restart srmd: it takes the users from the peer",
    DatabaseFault.IO_ERROR: "look for disk errors in the kernel's log",
    DatabaseFault.NEWER: "start the srmd that wrote it",
    DatabaseFault.CLOSED: "restart srmd",
    DatabaseFault.NO_DESCRIPTORS: "raise the limit of open files of srmd (LimitNOFILE, ulimit -n)",
}

_FAULTS = {
    sqlite3.SQLITE_BUSY: DatabaseFault.LOCKED,
    sqlite3.SQLITE_LOCKED: DatabaseFault.LOCKED,
    sqlite3.SQLITE_READONLY: DatabaseFault.READ_ONLY,
    sqlite3.SQLITE_PERM: DatabaseFault.READ_ONLY,
    sqlite3.SQLITE_FULL: DatabaseFault.FULL,
    sqlite3.SQLITE_CORRUPT: DatabaseFault.DAMAGED,
    sqlite3.SQLITE_NOTADB: DatabaseFault.DAMAGED,
    sqlite3.SQLITE_CANTOPEN: DatabaseFault.GONE,
    sqlite3.SQLITE_IOERR: DatabaseFault.IO_ERROR,
}

_DISK_FAULTS = {
    DiskFault.FULL: DatabaseFault.FULL,
    DiskFault.QUOTA: DatabaseFault.FULL,
    DiskFault.READ_ONLY: DatabaseFault.READ_ONLY,
    DiskFault.PERMISSION: DatabaseFault.READ_ONLY,
    DiskFault.SLOW: DatabaseFault.LOCKED,
    DiskFault.BROKEN: DatabaseFault.IO_ERROR,
}

_NO_DESCRIPTORS = frozenset({errno.EMFILE, errno.ENFILE})

_PASSING = frozenset({DatabaseFault.LOCKED, DatabaseFault.FULL, DatabaseFault.NO_DESCRIPTORS})
"""After these the open connection is as good as before; after any other it is given up."""

_FIRST_ROWS = (
    "SELECT * FROM users LIMIT 1",
    "SELECT * FROM placement LIMIT 1",
    "SELECT * FROM assigned LIMIT 1",
    "SELECT * FROM peer LIMIT 1",
)
"""What `check` reads, so that damage at the head of any table is seen."""

_LIST = """
    SELECT user_id, home, serving FROM served_by
    WHERE user_id > :after
        AND (:home IS NULL OR ifnull(home, '') = :home)
        AND (:serving IS NULL OR serving = :serving)
    ORDER BY user_id LIMIT :limit
"""
_SERVED = """
    SELECT ifnull(sum(assigned.users), 0) FROM assigned LEFT JOIN placement USING (home)
    WHERE assigned.home <> '' AND ifnull(placement.serving, assigned.home) = ?
"""
_PUT_USER = """
    INSERT INTO users (user_id, home, stamp, origin, deleted, revision) VALUES (?, ?, ?, ?, ?, ?)
    ON CONFLICT (user_id) DO UPDATE SET home = excluded.home, stamp = excluded.stamp,
        origin = excluded.origin, deleted = excluded.deleted, revision = excluded.revision
"""
_PUT_PLACEMENT = """
    INSERT INTO placement (home, serving, op, by_node) VALUES (?, ?, ?, ?)
    ON CONFLICT (home) DO UPDATE
    SET serving = excluded.serving, op = excluded.op, by_node = excluded.by_node
"""


class SqliteUserDatabase:
    """Implements `UserDatabase`.  Made by `open`."""

    def __init__(self, path: Path) -> None:
        """Raises what `_explained` knows."""
        self.path = path
        self.opened = Opened.SAME
        """The finding of the last opening of the file."""
        self._epochs = Epochs(path.with_name(EPOCH_FILE))
        self._connection, self._db_id = self._open_prepared(known_file=True)
        self._file = _identity(path)
        self._closed = False
        self._lost: DatabaseDown | None = None
        """Why the open connection is not used any more."""
        self._injected = InjectedFaults()

    @classmethod
    def open(cls, path: Path) -> SqliteUserDatabase:
        """The database in this file, made if missing, brought to our schema if older.

        Raises DatabaseDown.
        """
        with _explained(path):
            if not path.exists():
                os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
            return cls(path)

    @property
    def db_id(self) -> str:
        return self._db_id

    def check(self) -> None:
        self._guard()
        with self._noticed():
            if self._lost is None:
                self._must_be_the_file_opened()
            else:
                self._open_anew()
            with closing(_connect(self.path)) as probe:
                probe.execute("BEGIN IMMEDIATE")
                for first_row in _FIRST_ROWS:
                    probe.execute(first_row).fetchall()
                probe.execute("UPDATE meta SET value = value + 1 WHERE key = 'probes'")
                probe.execute("COMMIT")

    def close(self) -> None:
        self._closed = True
        with suppress(sqlite3.Error):
            self._connection.close()

    def move(self, homes: Mapping[str, str], *, op: int, by: str) -> None:
        wanted = tuple(Placement(home, serving, op, by) for home, serving in homes.items())
        rules.check_placements(wanted)
        self._guard()
        self._injected.guard_moves()
        with self._writing() as db:
            held = {row.home: row for row in _placements(db)}
            changed = [row for row in wanted if held.get(row.home) != row]
            for row in changed:
                if row.home in held and held[row.home].rank[:2] >= row.rank[:2]:
                    raise LowerOp(row, held[row.home])
            _put_placements(db, changed)

    def placements(self) -> tuple[Placement, ...]:
        with self._reading() as db:
            return _placements(db)

    def merge_placement(self, rows: Iterable[Placement]) -> bool:
        rows = tuple(rows)
        rules.check_placements(rows)
        with self._writing() as db:
            held = {row.home: row for row in _placements(db)}
            changed: dict[str, Placement] = {}
            for row in rows:
                if row.home not in held or row.rank > held[row.home].rank:
                    held[row.home] = changed[row.home] = row
            _put_placements(db, changed.values())
            return bool(changed)

    def counts(self) -> Counts:
        with self._reading() as db:
            return _counts(db)

    def served(self, serving: str) -> int:
        rules.check_node(serving)
        with self._reading() as db:
            return int(db.execute(_SERVED, (serving,)).fetchone()[0])

    def generate(
        self,
        count: int,
        *,
        nodes: Sequence[str],
        mode: AssignmentMode,
        active: str | None = None,
        prefix: str = "user",
    ) -> int:
        with self._writing() as db:
            added = rules.generated(
                count,
                prefix=prefix,
                present=_homes(db).keys(),
                assigned=_counts(db).assigned,
                nodes=nodes,
                mode=mode,
                active=active,
            )
            return self._write(db, added)

    def import_csv(self, source: Path | bytes | str, *, nodes: Sequence[str]) -> Imported:
        lines = user_file.read(source, nodes)
        with self._writing() as db:
            present = _homes(db)
            added = user_file.new_lines(lines, present)
            rules.check_room(len(present), len(added))
            self._write(db, ((line.user_id, line.home) for line in added))
            return Imported(added=len(added), unchanged=len(lines) - len(added))

    def export_csv(self) -> bytes:
        with self._reading() as db:
            return user_file.written(sorted(_homes(db).items()))

    def assign(
        self, mode: AssignmentMode, *, nodes: Sequence[str], active: str | None = None
    ) -> int:
        with self._writing() as db:
            return self._write(db, rules.reassigned(_homes(db), mode, nodes, active).items())

    def assign_user(self, user_id: str, home: str) -> None:
        rules.check_node(home)
        with self._writing() as db:
            if _user(db, user_id).home != home:
                self._write(db, [(user_id, home)])

    def unassign_user(self, user_id: str) -> None:
        with self._writing() as db:
            if _user(db, user_id).home is not None:
                self._write(db, [(user_id, None)])

    def unassign_all(self) -> int:
        with self._writing() as db:
            homes = sorted(_homes(db).items())
            return self._write(db, ((user, None) for user, home in homes if home is not None))

    def remove_user(self, user_id: str) -> None:
        with self._writing() as db:
            _user(db, user_id)
            self._write(db, [(user_id, None)], deleted=True)

    def remove_all(self) -> int:
        with self._writing() as db:
            return self._write(db, ((user, None) for user in sorted(_homes(db))), deleted=True)

    def get(self, user_id: str) -> User:
        with self._reading() as db:
            return _user(db, user_id)

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
        wanted = {"after": after, "home": home, "serving": serving, "limit": limit + 1}
        with self._reading() as db:
            found = db.execute(_LIST, wanted).fetchall()
        return UserPage(tuple(User(*row) for row in found[:limit]), more=len(found) > limit)

    def content(self) -> Content:
        with self._reading() as db:
            return _content(db)

    def revision(self) -> int:
        with self._reading() as db:
            return _meta(db, "users_revision")

    def changes(self, since_revision: int, limit: int = PAGE_ROWS_MAX) -> Page:
        limit = rules.check_limit(limit, PAGE_ROWS_MAX)
        rules.check_counter("since_revision", since_revision)
        with self._reading() as db:
            newest = _meta(db, "users_revision")
            found = db.execute(
                "SELECT revision, user_id, home, stamp, origin, deleted FROM users "
                "WHERE revision > ? ORDER BY revision LIMIT ?",
                (since_revision if since_revision <= newest else 0, limit + 1),
            ).fetchall()
            content = _content(db)
        page = found[:limit]
        return Page(
            self._db_id,
            revision=page[-1][0] if page else newest,
            rows=tuple(_row(*columns) for _, *columns in page),
            more=len(found) > limit,
            content=content,
        )

    def apply(self, rows: Sequence[UserRow]) -> int:
        rules.check_rows(rows)
        with self._writing() as db:
            changed: dict[str, UserRow] = {}
            for row in rows:
                held = changed.get(row.user_id) or _stored(db, row.user_id)
                if held is None or row.rank > held.rank:
                    changed[row.user_id] = row
            self._put(db, changed.values())
            return len(changed)

    def peer_cursor(self, db_id: str) -> int:
        rules.check_node(db_id)
        with self._reading() as db:
            found = db.execute("SELECT cursor FROM peer WHERE db_id = ?", (db_id,)).fetchone()
            return 0 if found is None else int(found[0])

    def set_peer_cursor(self, db_id: str, revision: int) -> None:
        rules.check_node(db_id)
        rules.check_counter("revision", revision)
        with self._writing() as db:
            db.execute("DELETE FROM peer")
            db.execute("INSERT INTO peer VALUES (?, ?)", (db_id, revision))

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
            raise _down(DatabaseFault.CLOSED, self.path, "closed by us")

    @contextmanager
    def _noticed(self) -> Iterator[None]:
        """Explain what goes wrong, and give up the connection if it may not recover."""
        try:
            with _explained(self.path):
                yield
        except DatabaseDown as error:
            if error.kind not in _PASSING:
                self._lost = error
            raise

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        """One consistent view."""
        yield from self._transaction("BEGIN")

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """One durable change: committed at the end, rolled back by any exception."""
        yield from self._transaction("BEGIN IMMEDIATE")

    def _transaction(self, begin: str) -> Iterator[sqlite3.Connection]:
        self._guard()
        if self._lost is not None:
            raise DatabaseDown(self._lost.kind, self._lost.detail, self._lost.way_out)
        with self._noticed():
            self._must_be_the_file_opened()
            self._connection.execute(begin)
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    self._connection.rollback()
                raise

    def _must_be_the_file_opened(self) -> None:
        if _identity(self.path) != self._file:
            raise _down(DatabaseFault.GONE, self.path, "another file has taken its place")

    def _open_anew(self) -> None:
        with suppress(sqlite3.Error):
            self._connection.close()
        found = _identity(self.path)
        self._connection, self._db_id = self._open_prepared(known_file=found == self._file)
        self._file = found
        self._lost = None

    def _open_prepared(self, *, known_file: bool) -> tuple[sqlite3.Connection, str]:
        """A connection to a database of our schema, whole and known to be at this place; its db_id.

        `known_file`: not if the file has changed since we opened it.
        """
        connection = _connect(self.path)
        try:
            return connection, self._prepare(connection, known_file=known_file)
        except BaseException:
            connection.close()
            raise

    def _prepare(self, db: sqlite3.Connection, *, known_file: bool) -> str:
        _must_be_ours(db, self.path)
        (mode,) = db.execute("PRAGMA journal_mode = WAL").fetchone()
        if mode != "wal":
            raise _down(
                DatabaseFault.IO_ERROR, self.path, "its file system allows no write-ahead log"
            )
        db.execute("BEGIN IMMEDIATE")
        fresh = _migrate(db)
        epoch = self._begin_epoch(db, fresh=fresh, known_file=known_file)
        _set_meta(db, "digest", _whole_digest(db))
        db.execute("COMMIT")
        self._epochs.begun(epoch)
        (found,) = db.execute("PRAGMA quick_check(1)").fetchone()
        if found != "ok":
            raise _down(DatabaseFault.DAMAGED, self.path, str(found))
        (db_id,) = db.execute("SELECT value FROM meta WHERE key = 'db_id'").fetchone()
        return str(db_id)

    def _begin_epoch(self, db: sqlite3.Connection, *, fresh: bool, known_file: bool) -> str:
        """The epoch of this opening; a copy gets a db_id of its own.

        A copy put in the place of a lost original would give out revisions and stamps a second
        time, and the peer would not read them.
        """
        known = self._epochs.known()
        (found,) = db.execute("SELECT value FROM meta WHERE key = 'epoch'").fetchone()
        if found in known and known_file:
            self.opened = Opened.SAME
        else:
            self.opened = Opened.LOST if fresh else Opened.COPY
            db.execute("UPDATE meta SET value = ? WHERE key = 'db_id'", (token_hex(16),))
        # Until the commit the database stays in the epoch that it was found in; where that is not
        # known it must stay unknown, should we end before.
        epoch = self._epochs.begin(found if found in known else known[0])
        db.execute("UPDATE meta SET value = ? WHERE key = 'epoch'", (epoch,))
        return epoch

    def _write(
        self,
        db: sqlite3.Connection,
        homes: Iterable[tuple[str, str | None]],
        *,
        deleted: bool = False,
    ) -> int:
        """Write these users of our own accord, under one new stamp."""
        stamp = _meta(db, "clock") + 1
        return self._put(
            db, (UserRow(user_id, home, stamp, self._db_id, deleted) for user_id, home in homes)
        )

    def _put(self, db: sqlite3.Connection, rows: Iterable[UserRow]) -> int:
        first = _meta(db, "users_revision") + 1
        rows = list(rows)
        numbered = [
            (row.user_id, row.home, row.stamp, row.origin, row.deleted, revision)
            for revision, row in enumerate(rows, start=first)
        ]
        if numbered:
            before = ((_stored(db, row.user_id), row) for row in rows)
            _set_meta(db, "digest", rules.changed_digest(_meta(db, "digest"), before))
            db.executemany(_PUT_USER, numbered)
            newest = max(stamp for _, _, stamp, *_ in numbered)
            _set_meta(db, "clock", max(_meta(db, "clock"), newest))
            _set_meta(db, "users_revision", first + len(numbered) - 1)
        return len(numbered)


def _connect(path: Path) -> sqlite3.Connection:
    """A connection to an existing file; transactions are begun by hand."""
    connection = sqlite3.connect(
        path.absolute().as_uri() + "?mode=rw",
        uri=True,
        timeout=BUSY_TIMEOUT_S,
        isolation_level=None,
        check_same_thread=False,
    )
    try:
        connection.execute("PRAGMA synchronous = FULL")
    except BaseException:
        connection.close()
        raise
    return connection


def _must_be_ours(db: sqlite3.Connection, path: Path) -> None:
    (version,) = db.execute("PRAGMA user_version").fetchone()
    (application,) = db.execute("PRAGMA application_id").fetchone()
    (tables,) = db.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if tables and application != APPLICATION_ID:
        raise _down(DatabaseFault.DAMAGED, path, "a SQLite file, but not of srmd")
    if version > VERSION and _reader_min(db, version) > VERSION:
        raise _down(DatabaseFault.NEWER, path, f"schema {version}, this srmd knows {VERSION}")


def _reader_min(db: sqlite3.Connection, version: int) -> int:
    """The oldest schema version whose program may use this database."""
    found = db.execute("SELECT value FROM meta WHERE key = 'reader_min'").fetchone()
    return version if found is None or type(found[0]) is not int else found[0]


def _migrate(db: sqlite3.Connection) -> bool:
    """Bring it to our schema; whether there was nothing before."""
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if version >= VERSION:
        return False
    for step in STEPS[version:]:
        for statement in step:
            db.execute(statement)
    db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    db.execute(f"PRAGMA user_version = {VERSION}")
    return int(version) == 0


def _identity(path: Path) -> tuple[int, int]:
    found = path.stat()
    return (found.st_ino, found.st_dev)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn every failure of SQLite or of the file system into DatabaseDown."""
    try:
        yield
    except sqlite3.Error as error:
        code: int | None = getattr(error, "sqlite_errorcode", None)
        if code is None:  # raised by the module itself: the connection is closed or misused
            kind = DatabaseFault.CLOSED
        elif code == sqlite3.SQLITE_READONLY_DBMOVED:
            kind = DatabaseFault.GONE
        else:
            kind = _FAULTS.get(code & 0xFF, DatabaseFault.DAMAGED)
        if kind is DatabaseFault.IO_ERROR:  # of which SQLite does not tell what the disk said
            refused = disk.tried(path.parent)
            if refused is not None:
                raise _refused(path, refused) from error
        if kind is DatabaseFault.GONE and _out_of_descriptors():
            kind = DatabaseFault.NO_DESCRIPTORS
        raise _down(kind, path, str(error)) from error
    except OSError as error:
        raise _refused(path, error) from error


def _refused(path: Path, error: OSError) -> DatabaseDown:
    if error.errno in _NO_DESCRIPTORS:
        return _down(DatabaseFault.NO_DESCRIPTORS, path, error.strerror or str(error))
    fault = disk.fault_of(error)
    if fault is None:
        return _down(DatabaseFault.GONE, path, error.strerror or str(error))
    return DatabaseDown(
        _DISK_FAULTS[fault], f"{path}: {disk.WORDS[fault].en}", disk.WAYS_OUT[fault]
    )


def _out_of_descriptors() -> bool:
    """SQLite does not tell why it could not open a file."""
    try:
        os.close(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
    except OSError as error:
        return error.errno in _NO_DESCRIPTORS
    return False


def _down(kind: DatabaseFault, path: Path, what: str) -> DatabaseDown:
    return DatabaseDown(kind, f"{path}: {what}", _WAYS_OUT[kind])


def _meta(db: sqlite3.Connection, key: str) -> int:
    return int(db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()[0])


def _set_meta(db: sqlite3.Connection, key: str, value: int) -> None:
    db.execute("UPDATE meta SET value = ? WHERE key = ?", (value, key))


def _placements(db: sqlite3.Connection) -> tuple[Placement, ...]:
    rows = db.execute("SELECT home, serving, op, by_node FROM placement ORDER BY home")
    return tuple(Placement(*row) for row in rows)


def _put_placements(db: sqlite3.Connection, rows: Iterable[Placement]) -> None:
    db.executemany(_PUT_PLACEMENT, [(row.home, row.serving, row.op, row.by) for row in rows])


def _counts(db: sqlite3.Connection) -> Counts:
    rows = dict(db.execute("SELECT home, users FROM assigned WHERE users > 0 ORDER BY home"))
    unassigned = rows.pop("", 0)
    return Counts(rows, unassigned, unassigned + sum(rows.values()))


def _content(db: sqlite3.Connection) -> Content:
    return Content(_counts(db).total, _meta(db, "digest"))


def _whole_digest(db: sqlite3.Connection) -> int:
    """Of all rows afresh: a person may have edited them."""
    rows = db.execute("SELECT user_id, home, stamp, origin, deleted FROM users")
    return rules.changed_digest(0, ((None, _row(*columns)) for columns in rows))


def _homes(db: sqlite3.Connection) -> dict[str, str | None]:
    return dict(db.execute("SELECT user_id, home FROM users WHERE deleted = 0"))


def _user(db: sqlite3.Connection, user_id: str) -> User:
    if rules.user_id_fault(user_id) is not None:
        raise UnknownUser(user_id)
    found = db.execute(
        "SELECT user_id, home, serving FROM served_by WHERE user_id = ?", (user_id,)
    ).fetchone()
    if found is None:
        raise UnknownUser(user_id)
    return User(*found)


def _stored(db: sqlite3.Connection, user_id: str) -> UserRow | None:
    found = db.execute(
        "SELECT user_id, home, stamp, origin, deleted FROM users WHERE user_id = ?", (user_id,)
    ).fetchone()
    return None if found is None else _row(*found)


def _row(user_id: str, home: str | None, stamp: int, origin: str, deleted: int) -> UserRow:
    return UserRow(user_id, home, stamp, origin, bool(deleted))
