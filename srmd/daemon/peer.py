"""The peer's control side, as a client: reports told at once, commands handed on, data replicated.

Nothing here is needed to survive: a report that is lost comes with the next heartbeat, and what
was not replicated shows in the peer's summary, whereupon it is tried again.  Each call is bounded;
one task tells, another replicates, and both only ever do the newest thing.
"""

from __future__ import annotations

import asyncio
import ssl
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

import aiohttp
from aiohttp.connector import Connection
from aiohttp.tracing import Trace

from srmd.config import Config
from srmd.core.texts import CALL_FAILURES, Text
from srmd.daemon.database import Database
from srmd.daemon.tls import Tls
from srmd.http_failures import in_words, is_of_certificates
from srmd.node.agreement import Agreement
from srmd.node.calling import Answer, PeerRefused, believed, request_of, why_not
from srmd.node.replication import (
    PAGE_ROWS,
    PAGES_MAX,
    REPLICATION_PAUSE_S,
    PeerReading,
    Replication,
    apply_page,
    of_another,
    placement_message,
)
from srmd.store.database import UserDatabaseError
from srmd.tls import Certificate, certificate_of, node_uri
from srmd.wire.codec import MalformedMessage
from srmd.wire.control import (
    MAX_BODY_BYTES,
    Accepted,
    Action,
    CommandMessage,
    Message,
    Refused,
    ReportMessage,
    UsersPage,
    UsersRequest,
)
from srmd.wire.heartbeat import Heartbeat, Summary
from srmd.wire.keys import Keyring
from srmd.wire.rejected import Rejected
from srmd.wire.signing import software_of

READ_BYTES = 65_536
PROVED_EVERY_S = 10.0
"""After so long without a call the next heartbeat of the peer has one made (srmd)."""
KNOWN_S = 30.0
"""An answered call says for so long that the peer can be called, and two of its heartbeat intervals
longer."""
CONNECTION_S = 15.0
"""An encrypted connection to the peer is used for so long: certificates are judged at its begin."""
TOLD_AGAIN_S = 10.0
"""A change of the control channel that was told is counted when it comes again within this time;
at the end of it is told what is the case then."""
REASONS_MAX = 8
"""Changes that are told apart within that time."""


@dataclass(frozen=True, slots=True)
class Unanswered:
    """The reason why the control channel does not work."""

    why: Text
    kind: str = "network"
    """By which it is repaired: a key of CONTROL_ADVICE."""
    stale: bool = False
    """The peer has received newer messages under our id."""


class CallFailed(Exception):
    """The peer gave no answer that could be believed."""

    def __init__(self, why: str, unanswered: Unanswered | None = None) -> None:
        """`unanswered`: the peer was called, so this says something about the control channel."""
        super().__init__(why)
        self.unanswered = unanswered


class Peer:
    """Calls the peer.  Made with each start of SRM, since its calls carry the incarnation."""

    def __init__(
        self,
        config: Config,
        keyring: Keyring,
        incarnation: int,
        database: Database,
        log: Any,
        *,
        tls: Tls | None = None,
    ) -> None:
        self._config = config
        self._keyring = keyring
        self._incarnation = incarnation
        self._database = database
        self._log = log
        self._tls = tls
        self._seq = 0
        self._report: Heartbeat | None = None
        self._report_due = asyncio.Event()
        self._replication_due = asyncio.Event()
        self._replication = Replication()
        self._proof_s = time.monotonic()
        """The monotonic second of the last proof of the channel that was asked for."""
        self.reading = PeerReading()
        """The peer's progress in reading our database."""
        self.reachable: bool | None = None
        """Whether the last call was answered; None before the first."""
        self.unanswered: Unanswered | None = None
        """Why not; None while it is."""
        self._another: Text | None = None
        """The reason why another node than the peer answers; None: it may be the peer."""
        self._told_s: dict[str, float] = {}
        """Times at which the latest changes were told, by `why_unreachable`."""
        self._left_out_count = 0
        self._telling: asyncio.TimerHandle | None = None
        """Tells what is the case then, after changes that were only counted."""
        self.version: str | None = None
        """Version of srmd that the peer told last, in a call or an answer; None: it told none."""
        self._called_s: float | None = None
        self._session: aiohttp.ClientSession | None = None

    async def run(self) -> None:
        """Tell and replicate until cancelled."""
        timeout = aiohttp.ClientTimeout(total=self._config.control.call_timeout_s)
        connector = _PeerConnector(self._shown) if self._encryption() is not None else None
        async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:
            self._session = session
            try:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(self._tell_forever(), name="tell peer")
                    tasks.create_task(self._replicate_forever(), name="replicate")
            finally:
                self._session = None
                if self._telling is not None:
                    self._tell_at_last()

    def _encryption(self) -> ssl.SSLContext | None:
        """As it is now: no connection of a former one is used again."""
        return self._tls.client() if self._tls is not None else None

    def take_keys(self, keyring: Keyring) -> None:
        """Sign and check by these keys from the next call on."""
        self._keyring = keyring

    def _shown(self, certificate: Certificate) -> None:
        """Raises WrongNode, before anything is said, for a node that is not our peer."""
        needed = node_uri(self._config.group.name, self._config.peer.id)
        if needed not in certificate.names:
            there = ", ".join(certificate.names)
            raise WrongNode(there=there, needed=needed)
        if self._tls is not None:
            self._tls.shown_by_peer(certificate)

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

    @property
    def agreement(self) -> Agreement:
        """The comparison of both databases."""
        return self._replication.agreement

    def compare(self, summary: Summary) -> None:
        """A heartbeat's summary: replicate if the peer's database knows something that ours does
        not, and call the peer where it has not been called for a while: only a call proves the
        control channel."""
        now_s = time.monotonic()
        self.reading.look(self._database.picture, now_s)
        if now_s - max(self._proof_s, self._called_s or 0.0) >= PROVED_EVERY_S:
            self._proof_s = now_s
            self._report_due.set()  # the newest report once more; the peer knows that it is old
        if self._replication.compare(summary, self._database.picture):
            self._replication_due.set()

    def placement_changed(self) -> None:
        """Users were moved here: the peer's database shall know at once."""
        self._replication.push_due = True
        self._replication_due.set()

    def users_changed(self) -> None:
        self.reading.look(self._database.picture, time.monotonic())
        self._replication_due.set()

    async def _replicate_forever(self) -> None:
        while True:
            await self._replication_due.wait()
            self._replication_due.clear()
            try:
                if self._replication.push_due:
                    await self._push()
                if self._replication.pull_due(self._database.picture):
                    await self._pull()
            except (CallFailed, UserDatabaseError) as error:
                self._log.debug("users.replication_failed", error=str(error))
            await asyncio.sleep(REPLICATION_PAUSE_S)

    async def _push(self) -> None:
        self._replication.push_due = False
        message = placement_message(uuid.uuid4().hex, self._database.picture)
        if message is None:
            return
        try:
            answer = await self.call(message)
        except CallFailed:
            self._replication.push_due = True
            raise
        if isinstance(answer, Refused):
            self._replication.push_due = True
            raise CallFailed(f"the peer refused our placement: {answer.detail}")

    async def _pull(self) -> None:
        """Read the peer's change feed from where we stopped to its end."""
        assert self._replication.summary is not None, "a pull is due only when there is one"
        db_id = self._replication.summary.db_id
        agreed, changed = self.agreement.agrees, 0
        await self._database.use(lambda database: self._replication.begin_pull(database, db_id))
        for _ in range(PAGES_MAX):
            since = await self._database.use(lambda database: database.peer_cursor(db_id))
            page = await self.call(UsersRequest(uuid.uuid4().hex, db_id, since, PAGE_ROWS))
            if not isinstance(page, UsersPage):
                raise CallFailed(f"the peer answered a request for users with {page}")
            self._another = of_another(page, db_id, self._config.peer.id)
            self._note()
            if self._another is not None:
                raise CallFailed(self._another.en)
            changed += await self._database.use(partial(apply_page, page=page))
            if not page.more:
                self._replication.pulled(page, self._database.picture)
                break
        if changed:
            self._log.info("users.replicated", changed_count=changed, db_id=db_id)
        self._log_agreement(agreed)
        if self.agreement.whole_due:
            self._replication_due.set()

    def _log_agreement(self, before: bool | None) -> None:
        agreement, ours = self.agreement, self._database.picture.content
        if agreement.agrees is False and before is not False and agreement.theirs is not None:
            self._log.error(
                "users.differ",
                users_count=ours.users_count,
                peer_users_count=agreement.theirs.users_count,
            )
        elif agreement.agrees is True and before is False:
            self._log.info("users.agree", users_count=ours.users_count)

    # -------------------------------------------------------------------- one call

    async def call(self, message: Message) -> Message:
        """Send a message and return its answer.  Raises CallFailed."""
        try:
            answer = await self._exchanged(message, self._keyring)
        except CallFailed as failed:
            if failed.unanswered is not None:
                self._note(failed.unanswered)
            raise
        self._note()
        return answer

    async def why_not_taken(self, heartbeat: Heartbeat, keyring: Keyring) -> str:
        """Ask the peer, by a report, whether it takes what these keys sign; empty: it does."""
        try:
            await self._exchanged(ReportMessage(uuid.uuid4().hex, heartbeat), keyring)
        except CallFailed as failed:
            return str(failed)
        return ""

    async def _exchanged(self, message: Message, keyring: Keyring) -> Message:
        """Raises CallFailed."""
        session = self._session
        if session is None:
            raise CallFailed("SRM is not running")
        config = self._config
        self._seq += 1
        try:
            request = request_of(
                message, config, keyring, incarnation=self._incarnation, seq=self._seq
            )
        except ValueError as error:  # a name or a number of ours that the wire cannot carry
            raise CallFailed(str(error)) from error
        try:
            async with session.post(
                config.peer.control + request.path,
                data=request.body,
                headers={**request.headers, "Content-Type": "application/json"},
                allow_redirects=False,
                ssl=self._encryption() or True,
            ) as response:
                body = await read_bounded(response)
                answer = Answer(response.status, response.headers, body)
                decoded = believed(answer, request, keyring)
                self.version = software_of(answer.headers)
                return decoded
        except (aiohttp.ClientError, OSError, UnicodeError) as error:
            # TimeoutError is an OSError; UnicodeError: no name that could be looked up.
            why = error.text if isinstance(error, WrongNode) else in_words(error)
            kind = _kind_of(error, why)
            if kind != "network" and self._tls is not None:
                self._tls.peer = None  # what it showed before is not what it shows now
            raise CallFailed(why.en, Unanswered(why, kind)) from error
        except (PeerRefused, Rejected, MalformedMessage) as error:
            why, kind, stale = why_not(error), "network", False
            if isinstance(error, PeerRefused):
                kind, stale = "tls" if error.encrypted else "network", error.stale
            raise CallFailed(why.en, Unanswered(why, kind, stale)) from error

    @property
    def is_reachable(self) -> bool | None:
        """The peer can be called, as far as the last call tells; None: it is too old to tell."""
        ago_s, interval_s = self.called_ago_s, self._config.heartbeat.keep_alive_interval_s
        if self.reachable and ago_s is not None and ago_s > KNOWN_S + 2 * interval_s:
            return None
        return self.reachable

    @property
    def why_unreachable(self) -> str:
        """The reason in English, as logged; empty while there is none."""
        return self.unanswered.why.en if self.unanswered is not None else ""

    @property
    def called_ago_s(self) -> float | None:
        """The age of `reachable` and `why_unreachable`: calls are made only when there is news."""
        return None if self._called_s is None else time.monotonic() - self._called_s

    def _note(self, unanswered: Unanswered | None = None) -> None:
        """The control channel works, or not; a change is told, not each call.

        Another node that answers in place of the peer is as good as none: also its good answers to
        reports say so, until the users that we have to read are the peer's again.
        """
        if not self._replication.pull_due(self._database.picture):
            self._another = None
        if unanswered is None and self._another is not None:
            unanswered = Unanswered(self._another)
        self.unanswered, self._called_s = unanswered, time.monotonic()
        reachable = unanswered is None
        if reachable is self.reachable:
            return
        was, self.reachable = self.reachable, reachable
        if was is None and reachable:
            return
        now_s = time.monotonic()
        self._told_s = {
            reason: at_s for reason, at_s in self._told_s.items() if now_s - at_s < TOLD_AGAIN_S
        }
        if self.why_unreachable not in self._told_s and len(self._told_s) < REASONS_MAX:
            self._tell_reachable()
            return
        self._left_out_count += 1
        if self._telling is None:
            loop = asyncio.get_running_loop()
            self._telling = loop.call_later(TOLD_AGAIN_S, self._tell_at_last)

    def _tell_at_last(self) -> None:
        """Tell the last of the changes that were left out."""
        self._left_out_count -= 1
        self._tell_reachable()

    def _tell_reachable(self) -> None:
        if self._telling is not None:
            self._telling.cancel()
            self._telling = None
        self._told_s[self.why_unreachable] = time.monotonic()
        about: dict[str, Any] = {"peer_url": self._config.peer.control}
        if self._left_out_count:
            about["left_out_count"] = self._left_out_count
        self._left_out_count = 0
        if self.reachable:
            self._log.info("control.restored", **about)
        else:
            self._log.warning("control.call_failed", **about, error=self.why_unreachable)


class WrongNode(aiohttp.ClientError):
    """What answers at the peer's address has the certificate of somebody else."""

    def __init__(self, *, there: str, needed: str) -> None:
        names = there or Text("no node", "なし")
        self.text = CALL_FAILURES["names"].naming(there=names, needed=needed)
        super().__init__(self.text.en)


def _kind_of(failed: Exception, why: Text) -> str:
    """The kind of a failure, by which it is repaired: a key of CONTROL_ADVICE."""
    if isinstance(failed, WrongNode) or is_of_certificates(failed):
        return "certificate"
    return "tls" if why == CALL_FAILURES["plain"] else "network"


class _PeerConnector(aiohttp.TCPConnector):
    """Shows each new connection's certificate before a request goes out on it."""

    def __init__(self, shown: Callable[[Certificate], None], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._shown = shown
        self._begun_s: WeakKeyDictionary[object, float] = WeakKeyDictionary()
        """By the protocol of the connection."""

    async def connect(
        self,
        req: aiohttp.ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - the signature is aiohttp's
    ) -> Connection:
        connection = await super().connect(req, traces, timeout)
        now_s = time.monotonic()
        if now_s - self._begun_s.setdefault(connection.protocol, now_s) > CONNECTION_S:
            connection.close()
            connection = await super().connect(req, traces, timeout)
            self._begun_s.setdefault(connection.protocol, now_s)
        transport = connection.transport
        try:
            if transport is not None:  # None: lost already, and the request will say so
                self._shown(certificate_of(transport.get_extra_info("peercert") or {}))
        except WrongNode:
            connection.close()
            raise
        return connection


async def read_bounded(response: aiohttp.ClientResponse) -> bytes:
    """The body, or as much of it as shows that it is too long."""
    body = b""
    async for chunk in response.content.iter_chunked(READ_BYTES):
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            break
    return body
