"""What it costs to move all users of a node, beside one bare durable commit of SQLite.

A move is one conditional write, so the number of users must not show, and the ratio to a bare
commit must stay small.  Both are measured in turns, in one folder, with the same pragmas.

Run it: `python -m tests.bench.bench_move`.
"""

from __future__ import annotations

import sqlite3
import statistics
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

from srmd.store.database import AssignmentMode
from srmd.store.sqlite import DATABASE_FILE, SqliteUserDatabase

USERS_COUNTS = (25_000, 75_000)
ROUNDS = 300
GOAL_RATIO = 3.0

Row = dict[str, str | int | float]


def run(folder: Path | None = None) -> list[Row]:
    """One row for each number of users; medians, in milliseconds.  `folder` chooses the disk."""
    return [_measure(count, folder) for count in USERS_COUNTS]


def _measure(users_count: int, folder: Path | None) -> Row:
    with (
        TemporaryDirectory(dir=folder) as name,
        closing(SqliteUserDatabase.open(Path(name) / DATABASE_FILE)) as database,
        closing(sqlite3.connect(Path(name) / "bare.sqlite3", isolation_level=None)) as bare,
    ):
        database.generate(users_count, nodes=("a", "b"), mode=AssignmentMode.BALANCED)
        bare.execute("PRAGMA journal_mode = WAL")
        bare.execute("PRAGMA synchronous = FULL")
        bare.execute("CREATE TABLE one (value INTEGER)")
        bare.execute("INSERT INTO one VALUES (0)")
        # Both logs have been long and start over, so neither pays for the growth of its file.
        bare.execute("CREATE TABLE filler AS SELECT zeroblob(16000000)")
        move_ms: list[float] = []
        bare_ms: list[float] = []
        for op in range(1, ROUNDS + 1):
            to = "ab"[op % 2]

            def move(op: int = op, to: str = to) -> None:
                database.move({"a": to, "b": to}, op=op, by="a")

            def commit() -> None:
                bare.execute("BEGIN IMMEDIATE")
                bare.execute("UPDATE one SET value = value + 1")
                bare.execute("COMMIT")

            move_ms.append(_timed_ms(move))
            bare_ms.append(_timed_ms(commit))
            assert database.served(to) == users_count
    move_median, bare_median = statistics.median(move_ms), statistics.median(bare_ms)
    return {
        "name": f"move of {users_count} users / bare durable commit",
        "ratio": round(move_median / bare_median, 2),
        "goal_ratio": GOAL_RATIO,
        "move_ms": round(move_median, 3),
        "bare_ms": round(bare_median, 3),
        "rounds": ROUNDS,
    }


def _timed_ms(call: Callable[[], None]) -> float:
    begun_s = time.perf_counter()
    call()
    return (time.perf_counter() - begun_s) * 1000


if __name__ == "__main__":
    for row in run():
        print(row)
