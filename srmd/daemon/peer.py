"""The peer's control side, as a client: reports told at once, commands handed on, data replicated.

Nothing here is needed to survive: a report that is lost comes with the next heartbeat, and what
was not replicated shows in the peer's summary, whereupon it is tried again.  Each call is bounded;
one task tells, another replicates, and both only ever do the newest thing.
"""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import aiohttp

from srmd.config import Config
from srmd.daemon.database import Database
from srmd.store.database import Placement, UserDatabaseError
from srmd.store.database import UserRow as StoredUser
from srmd.wire.codec import MalformedMessage
from srmd.wire.control import (
    MAX_BODY_BYTES,
    Accepted,
    Action,
    CommandMessage,
    Message,
    PlacementMessage,
    PlacementRow,
    Refused,
    ReportMessage,
    UsersPage,
    UsersRequest,
    decode_message,
    encode_message,
)
from srmd.wire.heartbeat import Heartbeat, Summary
from srmd.wire.keys import Keyring
from srmd.wire.rejected import Rejected
from srmd.wire.signing import request_digest, sign_request, verify_response

REPLICATION_PAUSE_S = 0.2
"""The least time between two attempts to replicate."""
READ_BYTES = 65_536
PAGE_ROWS = 1000
"""Users asked for at once.  A page is written and read in the loop; this one holds the heartbeats
up by about 25 ms, one of the 2000 rows that the wire allows by 50."""
PAGES_MAX = 200
"""Pages pulled in one go: more than a full database holds."""


class CallFailed(Exception):
    """The peer gave no answer that could be believed."""


def path_of(message: Message) -> str:
    match message:
        case ReportMessage():
            return "/control/v1/report"
        case CommandMessage():
            return "/control/v1/command"
        case PlacementMessage():
            return "/control/v1/placement"
        case UsersRequest():
            return "/control/v1/users"
        case _:
            raise AssertionError(f"{type(message).__name__} is an answer, not a request")


class Peer:
    """Calls the peer.  Made with each start of SRM, since its calls carry the incarnation."""

    def __init__(
        self,
        config: Config,
        keyring: Keyring,
        incarnation: int,
        database: Database,
        log: Any,
    ) -> None:
        self._config = config
        self._keyring = keyring
        self._incarnation = incarnation
        self._database = database
        self._log = log
        self._seq = 0
        self._report: Heartbeat | None = None
        self._report_due = asyncio.Event()
        self._replication_due = asyncio.Event()
        self._summary: Summary | None = None
        self._push_placement = True
        self._pulled = ("", "", -1)
        """Which database of ours has read which of the peer's, up to which revision: all that the
        peer has must be read again when either of them is a new one."""
        self.reachable: bool | None = None
        """Whether the last call was answered; None before the first."""
        self._session: aiohttp.ClientSession | None = None

    async def run(self) -> None:
        """Tell and replicate until cancelled."""
        timeout = aiohttp.ClientTimeout(total=self._config.control.call_timeout_s)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            self._session = session
            try:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(self._tell_forever(), name="tell peer")
                    tasks.create_task(self._replicate_forever(), name="replicate")
            finally:
                self._session = None

    # -------------------------------------------------------------------- reports and commands

    def tell(self, heartbeat: Heartbeat) -> None:
        """Have the newest report delivered at once; an older one that waits is dropped."""
        self._report = heartbeat
        self._report_due.set()

    async def say_goodbye(self, heartbeat: Heartbeat) -> None:
        """Announce that this node goes down.  Bounded; a failure does not matter any more."""
        try:
            await self.call(ReportMessage(uuid.uuid4().hex, heartbeat))
        except CallFailed:
            pass

    async def command(self, action: Action, node: str) -> Accepted | Refused:
        """Hand an administrator's command on to the peer.  Raises CallFailed."""
        answer = await self.call(CommandMessage(uuid.uuid4().hex, action, node))
        if not isinstance(answer, Accepted | Refused):
            raise CallFailed(f"the peer answered a command with {type(answer).__name__}")
        return answer

    async def _tell_forever(self) -> None:
        while True:
            await self._report_due.wait()
            self._report_due.clear()
            heartbeat = self._report
            if heartbeat is None:
                continue
            try:
                await self.call(ReportMessage(uuid.uuid4().hex, heartbeat))
            except CallFailed:
                pass  # the next heartbeat says the same

    # -------------------------------------------------------------------- replication

    def compare(self, summary: Summary) -> None:
        """The peer's summary: replicate if its database knows something that ours does not."""
        self._summary = summary
        picture = self._database.picture
        if summary.placement_op < picture.placement_op:
            self._push_placement = True
        if self._push_placement or self._pull_due(summary):
            self._replication_due.set()

    def placement_changed(self) -> None:
        """Users were moved here: the peer's database shall know at once."""
        self._push_placement = True
        self._replication_due.set()

    def users_changed(self) -> None:
        self._replication_due.set()

    def _pull_due(self, summary: Summary) -> bool:
        if not summary.db_id:
            return False
        ours = self._database.picture.db_id
        return self._pulled != (ours, summary.db_id, summary.users_revision)

    async def _replicate_forever(self) -> None:
        while True:
            await self._replication_due.wait()
            self._replication_due.clear()
            try:
                if self._push_placement:
                    await self._push()
                if self._summary is not None and self._pull_due(self._summary):
                    await self._pull(self._summary)
            except (CallFailed, UserDatabaseError) as error:
                self._log.debug("users.replication_failed", error=str(error))
            await asyncio.sleep(REPLICATION_PAUSE_S)

    async def _push(self) -> None:
        self._push_placement = False
        rows = tuple(
            PlacementRow(row.home, row.serving, row.op, row.by)
            for row in self._database.picture.placements
        )
        if not rows:
            return
        try:
            await self.call(PlacementMessage(uuid.uuid4().hex, rows))
        except CallFailed:
            self._push_placement = True
            raise

    async def _pull(self, summary: Summary) -> None:
        """Read the peer's change feed from where we stopped to its end."""
        db_id = summary.db_id
        changed = 0
        for _ in range(PAGES_MAX):
            since = await self._database.use(lambda database: database.peer_cursor(db_id))
            page = await self.call(UsersRequest(uuid.uuid4().hex, db_id, since, PAGE_ROWS))
            if not isinstance(page, UsersPage):
                raise CallFailed(f"the peer answered a request for users with {page}")
            changed += await self._apply(page)
            if not page.more:
                self._pulled = (self._database.picture.db_id, page.db_id, page.revision)
                break
        if changed:
            self._log.info("users.replicated", changed_count=changed, db_id=db_id)

    async def _apply(self, page: UsersPage) -> int:
        rows = [
            StoredUser(row.user_id, row.home, row.stamp, row.origin, row.deleted)
            for row in page.rows
        ]

        def work(database: Any) -> int:
            changed = database.apply(rows)
            database.set_peer_cursor(page.db_id, page.revision)
            return int(changed)

        return await self._database.use(work)

    # -------------------------------------------------------------------- one call

    async def call(self, message: Message) -> Message:
        """Send a message and return its answer.  Raises CallFailed."""
        session = self._session
        if session is None:
            raise CallFailed("SRM is not running")
        config = self._config
        path = path_of(message)
        try:
            body = encode_message(message)
        except ValueError as error:  # a name or a number of ours that the wire cannot carry
            raise CallFailed(str(error)) from error
        self._seq += 1
        headers = sign_request(
            self._keyring,
            method="POST",
            path=path,
            sender=config.node.id,
            receiver=config.peer.id,
            group=config.group.name,
            incarnation=self._incarnation,
            seq=self._seq,
            body=body,
        )
        try:
            async with session.post(
                config.peer.control + path,
                data=body,
                headers={**headers, "Content-Type": "application/json"},
                allow_redirects=False,
            ) as response:
                answer = await read_bounded(response)
                verify_response(
                    self._keyring,
                    response.headers,
                    request_digest=request_digest(headers),
                    status=response.status,
                    body=answer,
                )
                decoded = decode_message(answer)
        except (aiohttp.ClientError, OSError, UnicodeError) as error:
            # TimeoutError is an OSError; UnicodeError: no name that could be looked up.
            self._note(False, str(error) or type(error).__name__)
            raise CallFailed(str(error) or type(error).__name__) from error
        except (Rejected, MalformedMessage) as error:
            self._note(False, str(error))
            raise CallFailed(str(error)) from error
        self._note(True, "")
        return decoded

    def _note(self, reachable: bool, why: str) -> None:
        """Log when the control channel fails or works again, not each call."""
        if reachable is self.reachable:
            return
        was, self.reachable = self.reachable, reachable
        if not reachable:
            self._log.warning("control.call_failed", peer_url=self._config.peer.control, error=why)
        elif was is False:
            self._log.info("control.restored", peer_url=self._config.peer.control)


async def read_bounded(response: aiohttp.ClientResponse) -> bytes:
    """The body, or as much of it as shows that it is too long."""
    body = b""
    async for chunk in response.content.iter_chunked(READ_BYTES):
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            break
    return body


def stored_placements(rows: tuple[PlacementRow, ...]) -> list[Placement]:
    return [Placement(row.home, row.serving, row.op, row.by) for row in rows]
