"""A node's memory and database on its disk: lost, copied, put back."""

from __future__ import annotations

from pathlib import Path

import pytest

from srmd.lab.real.files import do
from srmd.lab.scenario.stage import VerbFailed
from srmd.lab.scenario.verbs import FileAction, Files
from srmd.store.database import AssignmentMode
from srmd.store.sqlite import DATABASE_FILE, SqliteUserDatabase

COPY, LOSE, RESTORE = FileAction.COPY, FileAction.LOSE, FileAction.RESTORE
NODES = ("a", "b")


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """The directory of a node with a memory, a database of two users, and a journal."""
    state = tmp_path / "state"
    state.mkdir()
    (state / "node.json").write_text("newest")
    (state / "node.json.1").write_text("the one before")
    (state / "journal.jsonl").write_text("evidence")
    opened = SqliteUserDatabase.open(state / DATABASE_FILE)
    opened.generate(2, nodes=NODES, mode=AssignmentMode.BALANCED)
    opened.close()
    return state


@pytest.fixture
def copies(tmp_path: Path) -> Path:
    return tmp_path / "copies"


def users(state: Path) -> int:
    opened = SqliteUserDatabase.open(state / DATABASE_FILE)
    try:
        return opened.counts().total
    finally:
        opened.close()


def test_what_is_lost_comes_back_from_its_copy_and_the_journal_stays(
    state: Path, copies: Path
) -> None:
    do(COPY, Files.STATE, state, copies)
    do(LOSE, Files.STATE, state, copies)
    assert [file.name for file in state.iterdir()] == ["journal.jsonl"]
    do(RESTORE, Files.STATE, state, copies)
    assert (state / "node.json").read_text() == "newest"
    assert (state / "node.json.1").read_text() == "the one before"
    assert users(state) == 2


def test_a_database_is_put_back_into_the_file_that_is_there(state: Path, copies: Path) -> None:
    """Also while a node has it open; no inode tells that it is a copy."""
    opened = SqliteUserDatabase.open(state / DATABASE_FILE)
    do(COPY, Files.DATABASE, state, copies)
    opened.generate(4, nodes=NODES, mode=AssignmentMode.BALANCED)
    before = (state / DATABASE_FILE).stat().st_ino
    do(RESTORE, Files.DATABASE, state, copies)
    assert opened.counts().total == 2
    opened.close()
    assert (state / DATABASE_FILE).stat().st_ino == before
    assert (state / "node.json").read_text() == "newest"


def test_nothing_is_put_back_that_was_not_copied(state: Path, copies: Path) -> None:
    do(COPY, Files.MEMORY, state, copies)
    with pytest.raises(VerbFailed, match="no copy of the state was made"):
        do(RESTORE, Files.STATE, state, copies)
