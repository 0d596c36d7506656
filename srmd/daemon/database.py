"""The node's side of the user database: one worker thread, a regular check, a cache for the eyes.

Every use goes through one thread, so a locked or slow database holds up nothing but its own users.
What heartbeats and status show (counts, placement) is a copy made after each use; while the
database is down the copy stays as it was.  `A Cisco DB` can be stopped and started like a service.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TypeVar

from srmd.core.services import (
    COMMANDED_OUT_OF_SERVICE,
    DATABASE_SERVICE,
    ServiceState,
    ServiceStatus,
)
from srmd.node.users import Picture, picture_of
from srmd.store.database import DatabaseDown, DatabaseFault, Opened, UserDatabase
from srmd.store.sqlite import DATABASE_FILE, SqliteUserDatabase

CALL_LIMIT_S = 10.0
"""How long a use of the database may take; an import of 75,000 users takes about two seconds."""

T = TypeVar("T")


class Database:
    """The user database of a node, as a service that can fail.

    `on_change` is called when the service's state changes, `on_picture` when its content does, and
    `on_replaced` when it turns out not to be the database that this node had open last.
    """

    def __init__(
        self,
        state_dir: Path,
        nodes: tuple[str, str],
        check_interval_s: float,
        on_change: Callable[[ServiceStatus], None],
        on_picture: Callable[[], None],
        *,
        on_replaced: Callable[[Opened], None] = lambda _opened: None,
    ) -> None:
        self._path = state_dir / DATABASE_FILE
        self._nodes = nodes
        self._check_interval_s = check_interval_s
        self._on_change = on_change
        self._on_picture = on_picture
        self._on_replaced = on_replaced
        self._told_of = ""
        """The identity of the database of which `on_replaced` was told."""
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="database")
        self._database: SqliteUserDatabase | None = None
        self._moves_fail = False
        self._held = False
        self._order = asyncio.Lock()
        self._fault: DatabaseFault | None = None
        self.picture = Picture()
        self.status = ServiceStatus(
            DATABASE_SERVICE, ServiceState.STOPPED, "", critical=True, since_s=time.monotonic()
        )

    @property
    def ok(self) -> bool:
        return self.status.state is ServiceState.STARTED

    async def start(self) -> None:
        """Open it, unless an injected fault holds it down.  Raises DatabaseDown."""
        async with self._order:
            self._held = False
            if self._database is not None:
                with suppress(DatabaseDown):  # it is opened again
                    await self._prove()
                if self.ok:
                    return
            await self._open()

    async def stop(self) -> None:
        """Commanded out of service."""
        await self._hold(COMMANDED_OUT_OF_SERVICE)

    async def crash(self) -> None:
        """The database dies; like any service it stays dead until it is started."""
        await self._hold("killed")

    async def _hold(self, note: str) -> None:
        async with self._order:
            self._held = True
            await self._close()
            self._show(ServiceState.STOPPED, note)

    async def close(self) -> None:
        async with self._order:
            self._held = True
            await self._close()
        self._thread.shutdown(wait=False)

    def set_fault(self, active: bool) -> None:
        """Fail every use, by command (rows 13 and 22), or end that."""
        self._fault = DatabaseFault.IO_ERROR if active else None
        self._apply_faults()

    def set_moves_fail(self, active: bool) -> None:
        """Fail the moves of users, by command (rows 19 and 20), or end that."""
        self._moves_fail = active
        self._apply_faults()

    @property
    def faults(self) -> dict[str, bool]:
        return {"database": self._fault is not None, "moves": self._moves_fail}

    async def watch(self) -> None:
        """Check the database regularly, until cancelled."""
        while True:
            await asyncio.sleep(self._check_interval_s)
            await self.check()

    async def check(self) -> None:
        """See whether users could be moved now; open the database again when it can be."""
        async with self._order:
            if self._held:
                return
            with suppress(DatabaseDown):  # it has been shown
                if self._database is None:
                    await self._open()
                else:
                    await self._prove()

    async def use(self, work: Callable[[UserDatabase], T]) -> T:
        """Do some work in the database's thread.  Raises DatabaseDown, and what the work raises."""
        database = self._database
        if database is None:
            raise DatabaseDown(
                DatabaseFault.CLOSED, "not started", f'`srmd service start "{DATABASE_SERVICE}"`'
            )
        try:
            result, picture = await self._in_thread(partial(self._work, database, work))
        except DatabaseDown as error:
            if self._database is database:
                self._show(ServiceState.STOPPED, str(error))
            raise
        if picture != self.picture:
            self.picture = picture
            self._on_picture()
        return result

    async def _in_thread(self, work: Callable[[], T]) -> T:
        """Work of the one thread.  Raises DatabaseDown when it does not end in time.

        What still waits for the thread when it is withdrawn, or overdue, is never done: a move that
        was given up must not become durable later.
        """
        try:
            async with asyncio.timeout(CALL_LIMIT_S):
                return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except TimeoutError:
            raise DatabaseDown(
                DatabaseFault.LOCKED, f"no answer for {CALL_LIMIT_S} s", "look at the disk"
            ) from None

    def _work(self, database: UserDatabase, work: Callable[[UserDatabase], T]) -> tuple[T, Picture]:
        """In the thread: the work, and the picture after it."""
        result = work(database)
        return result, picture_of(database, self._nodes)

    async def _open(self) -> None:
        await self._close()
        self._show(ServiceState.STARTING, "")
        try:
            self._database = await self._in_thread(partial(SqliteUserDatabase.open, self._path))
        except DatabaseDown as error:
            self._show(ServiceState.STOPPED, str(error))
            raise
        self._apply_faults()
        await self._prove()

    async def _prove(self) -> None:
        """A durable write has succeeded: only that shows that the database is well.  Others may
        read while users cannot be moved.  Raises DatabaseDown."""
        database = self._database
        await self.use(lambda database: database.check())
        if self._database is database and database is not None:
            if database.opened is not Opened.SAME and database.db_id != self._told_of:
                self._told_of = database.db_id
                self._on_replaced(database.opened)
            self._show(ServiceState.STARTED, "")

    async def _close(self) -> None:
        database, self._database = self._database, None
        if database is not None:
            # Unlike other work this is done late rather than never: a thread that hangs would leave
            # the file open.
            closing = asyncio.wrap_future(self._thread.submit(database.close))
            with suppress(TimeoutError):
                async with asyncio.timeout(CALL_LIMIT_S):
                    await asyncio.shield(closing)

    def _apply_faults(self) -> None:
        if self._database is None:
            return
        self._database.repair()
        if self._fault is not None:
            self._database.fail(self._fault)
        if self._moves_fail:
            self._database.fail_moves()

    def _show(self, state: ServiceState, note: str) -> None:
        if (state, note) != (self.status.state, self.status.note):
            self.status = ServiceStatus(
                DATABASE_SERVICE, state, note, critical=True, since_s=time.monotonic()
            )
            self._on_change(self.status)
