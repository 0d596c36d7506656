"""The user database of a simulated node, as a service that can fail; as `daemon.database`.

The rows live on the node's disk, in memory; a use takes no time.  It is checked at the same moments
as the daemon checks, but only while there is something to find.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeVar

from srmd.core.services import (
    COMMANDED_OUT_OF_SERVICE,
    DATABASE_SERVICE,
    ServiceState,
    ServiceStatus,
)
from srmd.lab.simulated.moments import Alarm, Life, Rank
from srmd.node.users import Picture, picture_of
from srmd.store.database import DatabaseDown, DatabaseFault, UserDatabase
from srmd.store.epochs import NEVER_OPENED
from srmd.store.memory import MemoryUserDatabase

T = TypeVar("T")


class DatabaseFile:
    """What is left of the database when the node is off."""

    def __init__(self, owner: str) -> None:
        self._owner = owner
        self._made = 0
        self.rows: MemoryUserDatabase | None = None
        """None: there is no file."""
        self.epoch = NEVER_OPENED
        """The node's record of it; an opening takes no time, so that nothing cuts it off."""

    def opened(self) -> MemoryUserDatabase:
        """The rows; a new database when there was none.  A copy gets a name of its own."""
        self._made += 1
        name = f"{self._owner}-{self._made}"
        if self.rows is None:
            self.rows = MemoryUserDatabase(name)
        elif self.rows.epoch != self.epoch:
            self.rows.renamed(name)
        self.rows.epoch = self.epoch = name
        return self.rows


class Database:
    """The database of one boot of a node."""

    def __init__(
        self,
        life: Life,
        file: DatabaseFile,
        *,
        nodes: tuple[str, str],
        check_interval_s: float,
        on_change: Callable[[], None],
        on_picture: Callable[[], None],
    ) -> None:
        self.picture = Picture()
        self.status = ServiceStatus(
            DATABASE_SERVICE, ServiceState.STOPPED, "", critical=True, since_s=life.now_s
        )
        self._life = life
        self._file = file
        self._nodes = nodes
        self._check_interval_s = check_interval_s
        self._on_change = on_change
        self._on_picture = on_picture
        self._database: MemoryUserDatabase | None = None
        self._fault: DatabaseFault | None = None
        self._moves_fail = False
        self._held = False
        self._begun_s = life.now_s
        self._alarm = Alarm(life, Rank.WORK, self.check)

    @property
    def ok(self) -> bool:
        return self.status.state is ServiceState.STARTED

    def start(self) -> None:
        """Raises DatabaseDown."""
        self._held = False
        if self._database is not None:
            try:
                self._prove()
            except DatabaseDown:
                pass  # it is opened again
            if self.ok:
                return
        self._open()

    def stop(self) -> None:
        self._hold(COMMANDED_OUT_OF_SERVICE)

    def crash(self) -> None:
        self._hold("killed")

    def set_fault(self, active: bool) -> None:
        """Fail every use, by command, or end that; then it is checked."""
        self._fault = DatabaseFault.IO_ERROR if active else None
        self._apply_faults()
        self.check()

    def set_moves_fail(self, active: bool) -> None:
        self._moves_fail = active
        self._apply_faults()

    def look_soon(self) -> None:
        """Something may be wrong: the next regular check is going to find it."""
        passed = math.floor((self._life.now_s - self._begun_s) / self._check_interval_s)
        at_s = self._begun_s + (passed + 1) * self._check_interval_s
        if at_s <= self._life.now_s:  # the division fell short of a moment that is now
            at_s = self._begun_s + (passed + 2) * self._check_interval_s
        self._alarm.set(at_s)

    def check(self) -> None:
        if self._held:
            return
        try:
            if self._database is None:
                self._open()
            else:
                self._prove()
        except DatabaseDown:
            self.look_soon()

    def use(self, work: Callable[[UserDatabase], T]) -> T:
        """Raises DatabaseDown, and what the work raises."""
        database = self._database
        if database is None:
            raise DatabaseDown(
                DatabaseFault.CLOSED, "not started", f'`srmd service start "{DATABASE_SERVICE}"`'
            )
        try:
            self._must_be_there(database)
            result = work(database)
            picture = picture_of(database, self._nodes)
        except DatabaseDown as error:
            self._show(ServiceState.STOPPED, str(error))
            self.look_soon()
            raise
        if picture != self.picture:
            self.picture = picture
            self._on_picture()
        return result

    def _must_be_there(self, database: MemoryUserDatabase) -> None:
        if self._file.rows is not database:
            raise DatabaseDown(DatabaseFault.GONE, "the file is gone", "restart srmd")

    def _hold(self, note: str) -> None:
        self._held = True
        self._database = None
        self._show(ServiceState.STOPPED, note)

    def _open(self) -> None:
        self._database = self._file.opened()
        self._apply_faults()
        self._prove()

    def _prove(self) -> None:
        self.use(lambda database: database.check())
        self._show(ServiceState.STARTED, "")

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
                DATABASE_SERVICE, state, note, critical=True, since_s=self._life.now_s
            )
            self._on_change()
