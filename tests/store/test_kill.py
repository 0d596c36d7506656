"""kill -9 while both memories are written: what was confirmed is there, and all of it fits."""

from __future__ import annotations

import os
import random
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from srmd.store import nodestate
from srmd.store.nodestate import load, lock_state_dir
from srmd.store.sqlite import DATABASE_FILE, SqliteUserDatabase

KILLS = 10
CONFIRMED_MAX = 25
"""Rounds that the writer may finish before it is killed."""

WRITER = """
import sys
from pathlib import Path
from srmd.core.states import Reason, State
from srmd.store.database import AssignmentMode
from srmd.store.nodestate import NodeMemory, load, lock_state_dir, save
from srmd.store.sqlite import SqliteUserDatabase

state_dir = Path(sys.argv[1])
lock = lock_state_dir(state_dir)
database = SqliteUserDatabase.open(state_dir / "users.sqlite3")
found = load(state_dir / "node.json")
op = 0 if found is None else found.memory.op
while True:
    op += 1
    save(state_dir / "node.json", NodeMemory(
        node_id="a", state=State.TAKING_OVER, reason=Reason.PEER_DOWN, cause=Reason.PEER_DOWN,
        op=op, since="", ha=True, ha_stamp=0, incarnation=1, boot_id="", os_boot_id="",
        clean_stop=False, peer_heartbeat_mark={"op": op, "filler": "x" * 5000}))
    database.generate(20, nodes=("a", "b"), mode=AssignmentMode.BALANCED)
    database.move({"a": "ab"[op % 2], "b": "ab"[op % 2]}, op=op, by="a")
    print(op, flush=True)
"""


def run_and_kill(state_dir: Path, lines: int) -> int:
    """Let the writer confirm this many rounds, kill it, and return the last op it confirmed."""
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(state_dir)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    ) as writer:
        assert writer.stdout is not None
        for _ in range(lines):
            assert writer.stdout.readline(), "the writer ended by itself"
        writer.kill()
        confirmed = [int(line) for line in writer.stdout.read().splitlines()]
        writer.wait()
    return confirmed[-1] if confirmed else 0


def test_both_memories_survive_kill_9_at_any_moment(tmp_path: Path) -> None:
    seed = 20261122
    print("seed", seed)
    moments = random.Random(seed)
    least = 0
    for kills_before in range(KILLS):
        lines = moments.randint(1, CONFIRMED_MAX)
        least = max(least + lines, run_and_kill(tmp_path, lines))

        with lock_state_dir(tmp_path):
            found = load(tmp_path / nodestate.NODE_FILE)
            assert found is not None
            assert found.note is None
            memory = found.memory
            assert memory.op >= least
            assert memory.peer_heartbeat_mark is not None
            assert memory.peer_heartbeat_mark["op"] == memory.op

            with closing(SqliteUserDatabase.open(tmp_path / DATABASE_FILE)) as database:
                placed = {(row.serving, row.op) for row in database.placements()}
                assert len(placed) == 1, "half a move"
                (_, op) = placed.pop()
                assert least <= op <= memory.op, "save before you act"
                assert database.counts().total % 20 == 0, "half a write"
                # A kill can cost the users of one op, which then was never confirmed.
                assert database.counts().total >= 20 * (least - kills_before)
                database.check()
        with closing(sqlite3.connect(tmp_path / DATABASE_FILE)) as db:
            assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            assert dict(db.execute("SELECT home, users FROM assigned")) == dict(
                db.execute("SELECT home, count(*) FROM users WHERE deleted = 0 GROUP BY home")
            )
        least = memory.op - 1
