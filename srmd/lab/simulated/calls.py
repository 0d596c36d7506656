"""The peer's control side, as a client: reports told at once, commands handed on, data replicated.

As `daemon.peer`: nothing here is needed to survive, each call is bounded, and one flow tells while
another replicates.
"""

from __future__ import annotations

from collections.abc import Callable

from srmd.config import Config
from srmd.lab.simulated.database import Database
from srmd.lab.simulated.flows import Flow, Outcome, TimeLimit, Work, WorkFailed
from srmd.lab.simulated.moments import Life
from srmd.node.agreement import Agreement
from srmd.node.calling import Answer, PeerRefused, Request, believed, request_of
from srmd.node.replication import (
    PAGE_ROWS,
    PAGES_MAX,
    REPLICATION_PAUSE_S,
    Replication,
    apply_page,
    of_another,
    placement_message,
)
from srmd.store.database import UserDatabaseError
from srmd.wire.codec import MalformedMessage
from srmd.wire.control import (
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

Send = Callable[[Request], Outcome[Answer]]
"""Puts a request on the way to the peer."""


class CallFailed(WorkFailed):
    """The peer gave no answer that could be believed."""


class Calls:
    """Calls the peer.  Made with each start of SRM."""

    def __init__(
        self,
        life: Life,
        config: Config,
        keyring: Keyring,
        *,
        incarnation: int,
        database: Database,
        send: Send,
    ) -> None:
        self._life = life
        self._config = config
        self._keyring = keyring
        self._incarnation = incarnation
        self._database = database
        self._send = send
        self.reachable: bool | None = None
        """The last call was answered; None before the first."""
        self._seq = 0
        self._ops = 0
        self._open: list[Outcome[Answer]] = []
        self._report: Heartbeat | None = None
        self._telling = False
        self._replication = Replication()
        self._replication_due = False
        self._replicating = False

    def close(self) -> None:
        """SRM stops: no call of its is answered any more."""
        for asked in tuple(self._open):
            asked.fail(CallFailed("SRM is not running"))

    # -------------------------------------------------------------------- reports and commands

    def tell(self, heartbeat: Heartbeat) -> None:
        """Have the newest report delivered at once; an older one that waits is dropped."""
        self._report = heartbeat
        if not self._telling:
            self._telling = True
            Flow(self._life, self._tell())

    def say_goodbye(self, heartbeat: Heartbeat) -> Work[None]:
        try:
            yield from self.call(ReportMessage(self._op(), heartbeat))
        except CallFailed:
            pass

    def command(self, action: Action, node: str) -> Work[Accepted | Refused]:
        """Raises CallFailed."""
        answer = yield from self.call(CommandMessage(self._op(), action, node))
        if not isinstance(answer, Accepted | Refused):
            raise CallFailed(f"the peer answered a command with {type(answer).__name__}")
        return answer

    def _tell(self) -> Work[None]:
        while self._report is not None:
            heartbeat, self._report = self._report, None
            try:
                yield from self.call(ReportMessage(self._op(), heartbeat))
            except CallFailed:
                pass  # the next heartbeat says the same
        self._telling = False

    # -------------------------------------------------------------------- replication

    @property
    def agreement(self) -> Agreement:
        return self._replication.agreement

    def compare(self, summary: Summary) -> None:
        """The peer's summary: replicate if its database knows something that ours does not."""
        if self._replication.compare(summary, self._database.picture):
            self._replicate_soon()

    def placement_changed(self) -> None:
        self._replication.push_due = True
        self._replicate_soon()

    def users_changed(self) -> None:
        self._replicate_soon()

    def _replicate_soon(self) -> None:
        self._replication_due = True
        if not self._replicating:
            self._replicating = True
            Flow(self._life, self._replicate())

    def _replicate(self) -> Work[None]:
        while self._replication_due:
            self._replication_due = False
            try:
                if self._replication.push_due:
                    yield from self._push()
                if self._replication.pull_due(self._database.picture):
                    yield from self._pull()
            except (CallFailed, UserDatabaseError):
                pass  # the peer's next summary shows it
            yield REPLICATION_PAUSE_S
        self._replicating = False

    def _push(self) -> Work[None]:
        self._replication.push_due = False
        message = placement_message(self._op(), self._database.picture)
        if message is None:
            return
        try:
            answer = yield from self.call(message)
        except CallFailed:
            self._replication.push_due = True
            raise
        if isinstance(answer, Refused):
            self._replication.push_due = True
            raise CallFailed(f"the peer refused our placement: {answer.detail}")

    def _pull(self) -> Work[None]:
        database = self._database
        assert self._replication.summary is not None, "a pull is due only when there is one"
        db_id = self._replication.summary.db_id
        database.use(lambda rows: self._replication.begin_pull(rows, db_id))
        for _ in range(PAGES_MAX):
            since = database.use(lambda rows: rows.peer_cursor(db_id))
            page = yield from self.call(UsersRequest(self._op(), db_id, since, PAGE_ROWS))
            if not isinstance(page, UsersPage):
                raise CallFailed(f"the peer answered a request for users with {page}")
            why = of_another(page, db_id, self._config.peer.id)
            if why is not None:
                raise CallFailed(why.en)
            self._apply(page)
            if not page.more:
                self._replication.pulled(page, database.picture)
                break
        if self.agreement.whole_due:
            self._replication_due = True

    def _apply(self, page: UsersPage) -> None:
        self._database.use(lambda rows: apply_page(rows, page))

    # -------------------------------------------------------------------- one call

    def call(self, message: Message) -> Work[Message]:
        """Raises CallFailed."""
        self._seq += 1
        request = request_of(
            message, self._config, self._keyring, incarnation=self._incarnation, seq=self._seq
        )
        asked = self._send(request)
        self._open.append(asked)
        limit_s = self._config.control.call_timeout_s
        self._life.after(limit_s, lambda: asked.fail(TimeLimit(f"no answer within {limit_s:g} s")))
        try:
            answer = yield asked
            decoded = believed(answer, request, self._keyring)
        except (WorkFailed, PeerRefused, Rejected, MalformedMessage) as error:
            self.reachable = False
            raise CallFailed(str(error)) from error
        else:
            self.reachable = True
            return decoded
        finally:
            self._open.remove(asked)

    def _op(self) -> str:
        """An id of a message, unlike any other of the pair."""
        self._ops += 1
        return f"{self._config.node.id}-{self._incarnation}-{self._ops}"
