"""The tables of `users.sqlite3`, as the steps by which they came about.

A database tells its version (`PRAGMA user_version`) and is brought up to date step by step, in one
transaction, when it is opened.  A step that has been released is never edited: add one.

A step that only adds (a table, a column with a default) lets an older srmd go on with the database:
it writes the oldest version whose program still may use it into `meta` under `reader_min`, and a
later step never lowers it.  Without that row only the version itself, or a newer one, opens it.
"""

from __future__ import annotations

APPLICATION_ID = 0x53524D44
"""`SRMD`, in the header of the file: a foreign SQLite file is recognised and left alone."""

_USERS_AND_PLACEMENT = (
    """
    CREATE TABLE meta (
        key TEXT PRIMARY KEY,
        value NOT NULL
    ) WITHOUT ROWID
    """,
    """
    INSERT INTO meta VALUES
        ('db_id', lower(hex(randomblob(16)))),
        ('inode', 0),
        ('clock', 0),
        ('users_revision', 0),
        ('probes', 0)
    """,
    """
    CREATE TABLE users (
        user_id TEXT PRIMARY KEY,
        home TEXT,
        stamp INTEGER NOT NULL,
        origin TEXT NOT NULL,
        deleted INTEGER NOT NULL DEFAULT 0 CHECK (deleted IN (0, 1)),
        revision INTEGER NOT NULL UNIQUE
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE placement (
        home TEXT PRIMARY KEY,
        serving TEXT NOT NULL,
        op INTEGER NOT NULL,
        by_node TEXT NOT NULL
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE peer (
        db_id TEXT PRIMARY KEY,
        cursor INTEGER NOT NULL
    ) WITHOUT ROWID
    """,
    """
    CREATE VIEW served_by AS
    SELECT users.user_id, users.home, ifnull(placement.serving, users.home) AS serving
    FROM users LEFT JOIN placement ON placement.home = users.home
    WHERE users.deleted = 0
    """,
)

# Heartbeats carry the counts, so they must not cost a scan.  Triggers keep them true whatever
# writes to the table, a person with the sqlite3 shell included.  The key of users without a home
# is the empty text, which is no node's name.
_COUNTS = (
    """
    CREATE TABLE assigned (
        home TEXT PRIMARY KEY,
        users INTEGER NOT NULL CHECK (users >= 0)
    ) WITHOUT ROWID
    """,
    """
    INSERT INTO assigned
    SELECT ifnull(home, ''), count(*) FROM users WHERE deleted = 0 GROUP BY ifnull(home, '')
    """,
    """
    CREATE TRIGGER user_added AFTER INSERT ON users WHEN NEW.deleted = 0
    BEGIN
        INSERT INTO assigned VALUES (ifnull(NEW.home, ''), 1)
        ON CONFLICT (home) DO UPDATE SET users = users + 1;
    END
    """,
    """
    CREATE TRIGGER user_changed AFTER UPDATE OF home, deleted ON users
    WHEN OLD.home IS NOT NEW.home OR OLD.deleted <> NEW.deleted
    BEGIN
        UPDATE assigned SET users = users - 1
        WHERE home = ifnull(OLD.home, '') AND OLD.deleted = 0;
        INSERT INTO assigned SELECT ifnull(NEW.home, ''), 1 WHERE NEW.deleted = 0
        ON CONFLICT (home) DO UPDATE SET users = users + 1;
    END
    """,
    """
    CREATE TRIGGER user_erased AFTER DELETE ON users WHEN OLD.deleted = 0
    BEGIN
        UPDATE assigned SET users = users - 1 WHERE home = ifnull(OLD.home, '');
    END
    """,
)

# A copy is told by its epoch (`epochs.py`), no more by its inode, which file systems use again.
_EPOCH_AND_DIGEST = (
    "DELETE FROM meta WHERE key = 'inode'",
    "INSERT INTO meta VALUES ('epoch', ''), ('digest', 0)",
)

STEPS: tuple[tuple[str, ...], ...] = (_USERS_AND_PLACEMENT, _COUNTS, _EPOCH_AND_DIGEST)
"""Step n brings a database of version n to version n + 1."""

VERSION = len(STEPS)
