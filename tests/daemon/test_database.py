"""The database of a node: what is wrong with it shows, and nothing waits for it without a bound."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from srmd.core.services import COMMANDED_OUT_OF_SERVICE, ServiceState, ServiceStatus
from srmd.daemon import database as database_module
from srmd.daemon.database import Database
from srmd.store.database import AssignmentMode, DatabaseDown, DatabaseFault, UserDatabase
from srmd.store.sqlite import DATABASE_FILE, SqliteUserDatabase

NODES = ("a", "b")
BOUND_S = 10.0


class Watched:
    """A database, and all that it told."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / DATABASE_FILE
        self.changes: list[ServiceStatus] = []
        self.pictures_count = 0
        self.database = Database(folder, NODES, 0.01, self.changes.append, self._pictured)

    def _pictured(self) -> None:
        self.pictures_count += 1


@pytest.fixture
async def watched(tmp_path: Path) -> AsyncIterator[Watched]:
    made = Watched(tmp_path)
    await made.database.start()
    yield made
    await made.database.close()


def generate(count: int) -> Callable[[UserDatabase], int]:
    return lambda database: database.generate(count, nodes=NODES, mode=AssignmentMode.BALANCED)


@contextmanager
def busy(watched: Watched) -> Iterator[threading.Event]:
    """The database's thread stands still until the event is set, as in a disk that hangs."""
    free = threading.Event()
    watched.database._thread.submit(free.wait, BOUND_S)
    try:
        yield free
    finally:
        free.set()


async def test_what_is_done_shows_in_the_picture(watched: Watched) -> None:
    assert await watched.database.use(generate(5)) == 5
    picture = watched.database.picture
    assert (picture.assigned_to("a"), picture.assigned_to("b")) == (3, 2)
    assert picture.serving_of("a") == "a"
    assert watched.pictures_count >= 1


async def test_a_fault_by_command_shows_and_ends_with_the_next_check(watched: Watched) -> None:
    watched.database.set_fault(True)
    await watched.database.check()
    assert not watched.database.ok
    assert "failed by command" in watched.database.status.note
    watched.database.set_fault(False)
    await watched.database.check()
    assert watched.database.ok


async def test_a_file_that_is_gone_shows_and_so_does_its_return(watched: Watched) -> None:
    aside = watched.file.with_suffix(".aside")
    watched.file.rename(aside)
    await watched.database.check()
    assert "gone" in watched.database.status.note
    aside.rename(watched.file)
    await watched.database.check()
    assert watched.database.ok


async def test_a_read_does_not_heal_what_cannot_be_written(watched: Watched) -> None:
    """Readers get past another program's write lock.  Whoever listed users while the database was
    locked began the critical service delay anew each time, and no failover came."""
    with closing(sqlite3.connect(watched.file, isolation_level=None)) as locker:
        locker.execute("BEGIN IMMEDIATE")
        await watched.database.check()
        assert "locked" in watched.database.status.note
        assert await watched.database.use(lambda database: database.revision()) == 0
        assert not watched.database.ok
    await watched.database.check()
    assert watched.database.ok


async def test_a_thread_that_hangs_is_a_failure_within_the_bound(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_module, "CALL_LIMIT_S", 0.05)
    with busy(watched):
        with pytest.raises(DatabaseDown, match=r"no answer for 0\.05 s") as down:
            await watched.database.use(generate(1))
        assert down.value.kind is DatabaseFault.LOCKED
        assert not watched.database.ok
        async with asyncio.timeout(BOUND_S / 2):  # none of these waits for the thread
            await watched.database.check()
            await watched.database.stop()
            with pytest.raises(DatabaseDown):
                await watched.database.start()


async def test_a_file_that_could_not_be_closed_in_time_is_closed_later(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stayed open for as long as the garbage collector left it; Python 3.13 told."""
    opened = watched.database._database
    assert isinstance(opened, SqliteUserDatabase)
    with busy(watched), monkeypatch.context() as quick:
        quick.setattr(database_module, "CALL_LIMIT_S", 0.05)
        await watched.database.stop()
        assert not opened._closed
    await watched.database._in_thread(lambda: None)  # behind everything that waited
    assert opened._closed


async def test_what_was_overdue_or_withdrawn_before_its_turn_is_never_done(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A move that the node has given up became durable later, behind its back."""
    homes = {"a": "a", "b": "a"}
    with busy(watched) as free:
        move = asyncio.create_task(
            watched.database.use(lambda database: database.move(homes, op=7, by="a"))
        )
        await asyncio.sleep(0)
        move.cancel()
        await asyncio.gather(move, return_exceptions=True)
        assert move.cancelled()
        monkeypatch.setattr(database_module, "CALL_LIMIT_S", 0.05)
        with pytest.raises(DatabaseDown):
            await watched.database.use(lambda database: database.move(homes, op=8, by="a"))
        monkeypatch.undo()
        free.set()
        await watched.database.check()
    assert watched.database.ok
    assert watched.database.picture.placements == ()


async def test_one_that_was_stopped_stays_so_until_it_is_started(watched: Watched) -> None:
    await watched.database.use(generate(4))
    await watched.database.stop()
    assert watched.database.status.note == COMMANDED_OUT_OF_SERVICE
    await watched.database.check()
    assert watched.database.status.state is ServiceState.STOPPED
    with pytest.raises(DatabaseDown, match="service start"):
        await watched.database.use(generate(1))
    assert watched.database.picture.assigned_to("a") == 2  # the eyes keep the last picture
    await watched.database.start()
    assert watched.database.ok


async def test_a_stop_in_the_middle_of_a_check_wins(watched: Watched) -> None:
    """The check opened the database again after the stop had closed it: STARTED, and wanted by
    nobody."""
    await watched.database._close()
    with busy(watched) as free:
        check = asyncio.create_task(watched.database.check())
        await asyncio.sleep(0)
        stop = asyncio.create_task(watched.database.stop())
        await asyncio.sleep(0)
        free.set()
        await check
        await stop
    assert watched.database.status.state is ServiceState.STOPPED
    assert watched.database._database is None


async def test_a_crash_needs_a_start(watched: Watched) -> None:
    await watched.database.crash()
    assert watched.database.status.note == "killed"
    await watched.database.check()
    assert not watched.database.ok
    await watched.database.start()
    assert watched.database.ok


async def test_moves_that_fail_by_command_leave_the_database_well(watched: Watched) -> None:
    watched.database.set_moves_fail(True)
    with pytest.raises(Exception, match="users cannot be moved"):
        await watched.database.use(lambda database: database.move({"a": "b"}, op=1, by="a"))
    assert watched.database.ok
    assert watched.database.faults == {"database": False, "moves": True}


async def test_a_file_of_another_program_is_refused_and_named(tmp_path: Path) -> None:
    made = Watched(tmp_path)
    made.file.write_bytes(b"not a database, " * 100)
    with pytest.raises(DatabaseDown):
        await made.database.start()
    assert made.database.status.state is ServiceState.STOPPED
    assert DATABASE_FILE in made.database.status.note
    await made.database.close()
