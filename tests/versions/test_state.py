"""State that another version wrote: recorded directories are read, and what is written goes back.

`0.1.0/` is what a pair of that version left: node a failed over by hand, six users, node b serves
all of them.  A recording is never written anew; a later format gets a folder of its own beside it.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from srmd.cli import main
from srmd.core.states import OWN_STATES, Reason, State
from srmd.lab.pair import LabPair
from srmd.store import nodestate
from srmd.store.database import Opened, Placement
from srmd.store.epochs import EPOCH_FILE
from srmd.store.nodestate import NodeMemory
from srmd.store.sqlite import DATABASE_FILE, SqliteUserDatabase

RECORDED = sorted(path for path in Path(__file__).parent.iterdir() if (path / "a").is_dir())
OP = 6
USERS = 6
AT_HOME = {"a": USERS // 2, "b": USERS // 2}
MEMORY = NodeMemory(
    node_id="a",
    state=State.BACKUP,
    reason=Reason.PEER_DOWN,
    cause=Reason.PEER_DOWN,
    op=7,
    since="2026-11-22T10:00:00+09:00",
    ha=True,
    ha_stamp=3,
    incarnation=12,
    boot_id="8f0c",
    os_boot_id="77aa",
    clean_stop=False,
    peer_heartbeat_mark={"incarnation": 1, "seq": 19, "window": 0},
)


def put(recorded: Path, state: Path) -> None:
    """The recorded directory, as the node finds it."""
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name in (nodestate.NODE_FILE, EPOCH_FILE):
        shutil.copy(recorded / name, state / name)
    with closing(sqlite3.connect(state / DATABASE_FILE)) as db:
        db.executescript((recorded / "users.sql").read_text())


@pytest.mark.parametrize("recorded", RECORDED, ids=lambda path: path.name)
@pytest.mark.parametrize("node, state, op", [("a", State.IDLE, 7), ("b", State.BACKUP, OP)])
def test_what_an_older_version_left_is_read(
    recorded: Path, node: str, state: State, op: int, tmp_path: Path
) -> None:
    put(recorded / node, tmp_path)
    found = nodestate.load(tmp_path / nodestate.NODE_FILE)
    assert found is not None
    assert found.note is None
    memory = found.memory
    assert (memory.node_id, memory.state, memory.reason) == (node, state, Reason.ON_ADMIN_REQUEST)
    assert (memory.op, memory.ha, memory.clean_stop) == (op, True, True)
    with closing(SqliteUserDatabase.open(tmp_path / DATABASE_FILE)) as database:
        assert database.opened is Opened.SAME
        assert database.counts().assigned == AT_HOME
        assert Placement("a", "b", 5, "b") in database.placements()


@pytest.mark.parametrize("recorded", RECORDED, ids=lambda path: path.name)
def test_a_pair_goes_on_where_an_older_version_ended(recorded: Path) -> None:
    pair = LabPair()
    try:
        for node in pair.nodes:
            put(recorded / node.id, node.folder / "state")
        pair.write_configs()
        for node in pair.nodes:
            node.spawn()
        for node in pair.nodes:
            node.wait_for_answer()
        pair.wait_until("b serves all", lambda: pair.served() == {"a": 0, "b": USERS})
        assert min(node.status()["local"]["op"] for node in pair.nodes) >= OP
        pair.a.fallback()
        pair.wait_for(a="Normal/Normal", b="Normal/Normal")
        pair.wait_until("all are at home", lambda: pair.served() == AT_HOME)
    finally:
        pair.close()


@pytest.mark.parametrize("recorded", RECORDED, ids=lambda path: path.name)
@pytest.mark.parametrize("node", ["a", "b"])
def test_the_journal_of_an_older_version_is_replayed(
    recorded: Path, node: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["replay", str(recorded / node / "journal.jsonl")]) == 0, capsys.readouterr()


# ---------------------------------------------------------------------------- the way back


STATES_0_1_0 = (
    "unknown initializing idle normal backup taking_over taking_back failing_over failed_over"
    " failed_over_services_down falling_back failed_mode"
)
REASONS_0_1_0 = (
    "auto_recover_critical_service_down auto_recover_database_failure"
    " auto_recovery_database_failure automatic_fallback critical_service_down database_failure"
    " high_availability_not_enabled initialization normal on_admin_request peer_down"
    " peer_down_during_initialization peer_reboot start_of_critical_services_failed"
    " take_back_users_failed take_over_users_failed unknown"
)
TEXTS_0_1_0 = ("node_id", "state", "reason", "cause", "since", "boot_id", "os_boot_id")
NUMBERS_0_1_0 = ("op", "ha_stamp", "incarnation")
FLAGS_0_1_0 = ("ha", "clean_stop")


def as_0_1_0_reads_it(path: Path) -> dict[str, Any]:
    """The rules by which 0.1.0 reads a memory, written down once and never changed."""
    outer = json.loads(path.read_bytes())
    schema, inner = outer["schema"], outer["memory"]
    canonical = json.dumps([schema, inner], sort_keys=True, separators=(",", ":"))
    assert outer["sha256"] == hashlib.sha256(canonical.encode()).hexdigest()
    assert schema == 1 or inner.get("reader_min", schema) <= 1, "0.1.0 refuses it"
    for names, kind in ((TEXTS_0_1_0, str), (NUMBERS_0_1_0, int), (FLAGS_0_1_0, bool)):
        assert {name for name in names if type(inner[name]) is not kind} == set()
    for name in ("peer_heartbeat_mark", "peer_control_mark"):
        assert type(inner.get(name)) in {dict, type(None)}, name
    assert inner["state"] in STATES_0_1_0.split()
    assert {inner["reason"], inner["cause"]} <= set(REASONS_0_1_0.split())
    return dict(inner)


@pytest.mark.parametrize("state", OWN_STATES, ids=lambda state: state.name)
def test_a_memory_that_is_written_now_is_read_by_the_rules_of_0_1_0(
    state: State, tmp_path: Path
) -> None:
    path = tmp_path / nodestate.NODE_FILE
    for reason in Reason:
        path.write_bytes(nodestate._encode(replace(MEMORY, state=state, reason=reason)))
        read = as_0_1_0_reads_it(path)
        assert (read["state"], read["reason"], read["op"]) == (state.name.lower(), reason.value, 7)


USED_BY_0_1_0 = (
    "INSERT INTO users (user_id, home, stamp, origin, deleted, revision)"
    " VALUES ('anna', 'a', 5, 'x', 0, 1)",
    "UPDATE meta SET value = 5 WHERE key = 'clock'",
    "UPDATE meta SET value = 1 WHERE key = 'users_revision'",
    "INSERT INTO placement (home, serving, op, by_node) VALUES ('a', 'b', 4, 'b')",
    "INSERT INTO peer VALUES ('other', 7)",
    "SELECT user_id, home, serving FROM served_by",
    "SELECT revision, user_id, home, stamp, origin, deleted FROM users",
    "SELECT home, users FROM assigned WHERE users > 0",
    "SELECT value FROM meta WHERE key IN ('db_id', 'digest', 'epoch', 'probes')",
)
"""Statements of 0.1.0, whose schema is 3: they work as long as a database tells `reader_min` 3."""


def test_a_database_that_is_made_now_takes_the_statements_of_0_1_0(tmp_path: Path) -> None:
    path = tmp_path / DATABASE_FILE
    SqliteUserDatabase.open(path).close()
    with closing(sqlite3.connect(path)) as db, db:
        (version,) = db.execute("PRAGMA user_version").fetchone()
        least = db.execute("SELECT value FROM meta WHERE key = 'reader_min'").fetchone()
        assert version == 3 or (least is not None and least[0] <= 3)
        for statement in USED_BY_0_1_0:
            db.execute(statement).fetchall()
    with closing(SqliteUserDatabase.open(path)) as database:
        assert database.counts().assigned == {"a": 1}
        assert database.placements() == (Placement("a", "b", 4, "b"),)


def test_a_memory_that_no_older_version_may_read_ends_the_start_with_words_and_13() -> None:
    """It is neither guessed at nor replaced by the older file beside it."""
    pair = LabPair()
    try:
        state = pair.a.folder / "state"
        state.mkdir(mode=0o700)
        nodestate.save(state / nodestate.NODE_FILE, MEMORY)
        nodestate.save(state / nodestate.NODE_FILE, replace(MEMORY, op=8))
        future = nodestate.SCHEMA + 98
        inner = {**nodestate._written(MEMORY), "reader_min": future}
        checksum = nodestate._checksum(future, inner)
        (state / nodestate.NODE_FILE).write_text(
            json.dumps({"schema": future, "sha256": checksum, "memory": inner})
        )
        pair.write_configs()
        pair.a.spawn()
        pair.wait_until("it has ended", lambda: pair.a.pid is None)
        assert pair.a.terminate() == 13
        said = pair.a.log_file.read_text()
        assert f"schema {future} can be read from schema {future} on" in said
        assert "start the srmd that wrote it" in said
    finally:
        pair.close()
