"""What it costs to move all users of a node, beside one bare durable commit of SQLite.

A move is one conditional write, so the number of users must not show, and the ratio to a bare
commit must stay small.  All are measured in turns, in one folder, with the same pragmas.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from itertools import count, cycle
from pathlib import Path
from tempfile import TemporaryDirectory

from srmd.store.database import AssignmentMode
from srmd.store.sqlite import DATABASE_FILE, SqliteUserDatabase
from tests.bench.figure import Figure, Within, in_turns

FEW_USERS, MANY_USERS = 25_000, 75_000
"""Cisco's limits for a node and for a cluster."""
ROUNDS, QUICK_ROUNDS = 300, 5
LOG_LONG_MOVES = 500
"""Moves before the first that counts.  Then the write-ahead log has been long and starts over, and
no commit pays for the growth of its file."""


def run(*, quick: bool = False) -> list[Figure]:
    """A move of few and of many users beside a bare commit, and of many beside few."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="srmd-bench-")))
        few = stack.enter_context(moving(folder / "few", FEW_USERS))
        many = stack.enter_context(moving(folder / "many", MANY_USERS))
        bare = stack.enter_context(committing(folder))
        few_s, many_s, bare_s = in_turns(QUICK_ROUNDS if quick else ROUNDS, few, many, bare)
    commit = "bare durable SQLite commit"
    return [
        Figure(
            name=f"move of {FEW_USERS:,} users",
            ours=few_s,
            beside_name=commit,
            beside=bare_s,
            goal=Within(3),
        ),
        Figure(
            name=f"move of {MANY_USERS:,} users",
            ours=many_s,
            beside_name=commit,
            beside=bare_s,
            goal=Within(3),
        ),
        Figure(
            name=f"move of {MANY_USERS:,} users",
            ours=many_s,
            beside_name=f"move of {FEW_USERS:,} users",
            beside=few_s,
            goal=Within(1.25),
        ),
    ]


@contextmanager
def moving(folder: Path, users_count: int) -> Iterator[Callable[[], None]]:
    """A call that moves all users to the other node, and sees to it that they were moved."""
    folder.mkdir()
    ops, nodes = count(1), cycle("ab")
    with closing(SqliteUserDatabase.open(folder / DATABASE_FILE)) as database:
        database.generate(users_count, nodes=("a", "b"), mode=AssignmentMode.BALANCED)

        def move() -> None:
            to = next(nodes)
            database.move({"a": to, "b": to}, op=next(ops), by="a")

        for _ in range(LOG_LONG_MOVES):
            move()
        yield move
        assert {row.serving for row in database.placements()} <= {"a", "b"}
        assert max(row.op for row in database.placements()) == next(ops) - 1


@contextmanager
def committing(folder: Path) -> Iterator[Callable[[], None]]:
    """A call that commits one changed row durably, and nothing else."""
    with closing(sqlite3.connect(folder / "bare.sqlite3", isolation_level=None)) as bare:
        bare.execute("PRAGMA journal_mode = WAL")
        bare.execute("PRAGMA synchronous = FULL")
        bare.execute("CREATE TABLE one (value INTEGER)")
        bare.execute("INSERT INTO one VALUES (0)")
        # Its log has been long and starts over, as that of the databases.
        bare.execute("CREATE TABLE filler AS SELECT zeroblob(16000000)")

        def commit() -> None:
            bare.execute("BEGIN IMMEDIATE")
            bare.execute("UPDATE one SET value = value + 1")
            bare.execute("COMMIT")

        yield commit
