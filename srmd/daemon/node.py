"""The server node: services, database, HTTP and SRM of one boot, and what may be asked of them.

It exists from power-on to power-off.  SRM is one of its parts: stopped and started inside it
without touching the services.  A reboot ends this object; `main` makes the next one.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from srmd import __version__
from srmd.config import Config, ConfigError
from srmd.config.taking import Needs
from srmd.core import handbook
from srmd.core.events import (
    Event,
    FailoverRequested,
    FallbackRequested,
    RecoverRequested,
)
from srmd.core.machine import Step
from srmd.core.node import Node
from srmd.core.rule_texts import told
from srmd.core.services import (
    DATABASE_SERVICE,
    SRM_SERVICE,
    ServiceState,
    ServiceStatus,
    UnknownService,
    service_meant,
)
from srmd.core.states import Contact, Reason, Start, State
from srmd.core.texts import REASONS, REFUSALS, STATES, Text, display
from srmd.daemon import status
from srmd.daemon.database import Database
from srmd.daemon.facade import (
    Action,
    Done,
    Fault,
    Outcome,
    PowerAction,
    Refused,
    ServiceAction,
    SrmAction,
)
from srmd.daemon.listening import CannotListen
from srmd.daemon.monitor import Monitor
from srmd.daemon.notify import Notify
from srmd.daemon.peer import CallFailed
from srmd.daemon.reloading import (
    Load,
    Reading,
    judge,
    keys_refused,
    log_kept,
    log_reading,
    read,
)
from srmd.daemon.saving import Saving
from srmd.daemon.srm import SAVE_LIMIT_S, Srm, served_by
from srmd.daemon.supervisor import (
    Limits,
    NotRunning,
    OrderFailed,
    ServiceSpec,
    Supervisor,
)
from srmd.daemon.telling import Telling
from srmd.daemon.tls import Tls
from srmd.daemon.upkeep import Backoff, kept_up
from srmd.log import Journal, Log
from srmd.node.calling import (
    OPERATIONS_REMEMBERED,
    Answer,
    Request,
    answer_of,
    malformed,
    not_running,
    rejection_of,
    verified,
)
from srmd.node.commands import (
    ha_switch,
    needed_to_hand_on,
    refusal_text,
    services_are_held,
    shown_peer,
    users_are_locked,
    users_locked_text,
)
from srmd.node.identity import Renumbering
from srmd.node.memory import Boot, of_new_run, remembered_node, wake, waking
from srmd.node.replication import merge, page_of, unheard
from srmd.store import nodestate
from srmd.store.database import (
    AssignmentMode,
    BadImport,
    DatabaseDown,
    Opened,
    UnknownUser,
    UserDatabase,
    UserDatabaseError,
)
from srmd.store.nodestate import NodeMemory
from srmd.tls import Contexts
from srmd.wire import control as messages
from srmd.wire.codec import MalformedMessage
from srmd.wire.rejected import Rejected, Trigger
from srmd.wire.signing import software_of

JOURNAL_FILE = "journal.jsonl"
FAILED_LOOK_S = 0.1
"""Interval of the looks whether SRM runs again."""
OS_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
T = TypeVar("T")


class End(Enum):
    """How a boot of the node ends."""

    STOPPED = "stopped"
    """The process was told to stop: like a restart of the service, the peer is not told."""
    SHUTDOWN = "shutdown"
    REBOOT = "reboot"


class ServerNode:
    """One boot of a node; the `Facade` of its HTTP side and the `Host` of its SRM."""

    def __init__(
        self,
        load: Load,
        config: Config,
        memory: NodeMemory | None,
        log: Log,
        notify: Notify,
        *,
        contexts: Contexts | None = None,
        telling: Telling | None = None,
        rebooted: bool,
    ) -> None:
        """`load` reads the files again; `contexts` are the certificates of `config`.

        Raises LogError when the journal cannot be opened.
        """
        self._notify = notify
        self.config = config
        self._load = load
        self._telling = telling
        self._log = log
        self.log = log.get()
        self.monitor = Monitor(self.log)
        self.journal = Journal(config.node.state_dir / JOURNAL_FILE, config.log.journal_bytes)
        boot = _this_boot()
        self._powered_on_at = boot.at
        self.memory, self._start = wake(memory, config, boot, rebooted=rebooted)
        self.saving = Saving(
            config.node.state_dir / nodestate.NODE_FILE, lambda: self.memory, self.log
        )
        me, other = config.node.id, config.peer.id
        self.database = Database(
            config.node.state_dir,
            (min(me, other), max(me, other)),
            config.users.database_check_interval_s,
            self._service_changed,
            self._picture_changed,
            on_replaced=self._database_replaced,
        )
        services = config.services
        self.supervisor = Supervisor(
            [
                ServiceSpec(
                    row.name,
                    row.command or None,
                    row.critical,
                    row.enabled,
                    row.health_command or None,
                    row.health_interval_s,
                    row.health_limit_s,
                )
                for row in services.service
                if row.name != DATABASE_SERVICE
            ],
            config.node.run_dir,
            Limits(
                start_s=services.start_limit_s,
                stop_s=services.stop_limit_s,
                health_interval_s=services.health_interval_s,
                health_s=services.health_limit_s,
            ),
            self._service_changed,
        )
        self.tls = Tls(contexts, self.log)
        self.srm: Srm | None = None
        self.srm_note = ""
        self._srm_task: asyncio.Task[None] | None = None
        self._srm_order = asyncio.Lock()
        self._srm_starts = True
        """SRM is about to run: at power-on, and when it is ordered to start."""
        self._last_machine = remembered_node(self.memory)
        self._end: asyncio.Future[End] = asyncio.get_running_loop().create_future()
        self._answers: OrderedDict[str, asyncio.Task[messages.Message]] = OrderedDict()
        self._database_was_ok: bool | None = None
        self._services_logged: dict[str, tuple[ServiceState, str]] = {}
        """State and note of each service in its newest record."""
        self._powered_on = False
        self._restarting: asyncio.Task[None] | None = None
        self._backoff = Backoff()
        self._srm_failed = False
        """SRM is down by a defect, or could not be started by itself; it starts again by itself."""
        self._renumbering = Renumbering()
        self.control_rejected: Counter[str] = Counter()
        self.transition_count = 0

    # ------------------------------------------------------------ a boot, from start to end

    async def power_on(self) -> None:
        """Open the database and start SRM.  Raises OSError when the memory cannot be stored (no
        node may speak under an incarnation that it could forget), and CannotListen."""
        async with self._srm_order:
            with suppress(DatabaseDown):  # shown, watched, a failure with a delay like any other
                await self.database.start()
            await self._start_srm(self._start)
            self._powered_on = True
            await self._tell()
        self.log.info(
            "node.started",
            version=__version__,
            boot_id=self.memory.boot_id,
            start=self._start.value,
            stored_state=self.memory.state.name,
            reason=self.memory.reason.value,
            database=self.database.status.state.value,
        )

    async def run(self) -> End:
        """Until the node is told to end."""
        watching = (
            self._kept_up("database check", self.database.watch),
            self._kept_up("certificate check", self.tls.watch),
        )
        try:
            return await self._end
        finally:
            for task in watching:
                task.cancel()
            await asyncio.gather(*watching, return_exceptions=True)

    def _kept_up(self, name: str, work: Callable[[], Awaitable[None]]) -> asyncio.Task[None]:
        return asyncio.create_task(kept_up(name, work, self.log), name=name)

    async def passed(self) -> None:
        """The node has handled something, or SRM is stopped and there is nothing to handle.

        While SRM is down by a defect this does not return.  So a service manager that is less
        patient than the next pause starts the whole process again: in it the defect may be gone.
        """
        while self._srm_failed:  # noqa: ASYNC110 - an event that cannot be set would be one more
            await asyncio.sleep(FAILED_LOOK_S)
        if self.srm is not None:
            await self.srm.driver.passed()

    def end(self, end: End) -> None:
        """The first to say how the boot ends decides it."""
        if not self._end.done():
            self._end.set_result(end)

    async def power_off(self, end: End) -> None:
        """Stop everything, telling the peer if the node itself goes down; within shutdown_s."""
        self.end(end)  # if it was an error that ended the boot: no order is taken from now on
        limit_s = self.config.limits.shutdown_s
        try:
            async with asyncio.timeout(limit_s), self._srm_order:
                self._withdraw_restart()
                if end is not End.STOPPED and self.srm is not None:
                    await self.srm.leave()
                await self._stop_srm()
                if self._powered_on:
                    with suppress(OSError):
                        await self._store_within(
                            replace(self.memory, clean_stop=end is End.STOPPED)
                        )
                    with suppress(OrderFailed):
                        await self.supervisor.close()
                await self.database.close()
        except TimeoutError:
            self.log.error("node.stop_overdue", limit_s=limit_s)
        if self._powered_on:
            self.log.info("node.stopped", end=end.value)
        self.saving.close()
        self.journal.close()
        if self.journal.dropped:
            self.log.warning("journal.dropped", dropped_count=self.journal.dropped)

    # ------------------------------------------------------------ Host: what SRM needs

    @property
    def machine(self) -> Node:
        """What SRM says of itself; the last it said while it is stopped."""
        return self.srm.spoken if self.srm is not None else self._last_machine

    @property
    def srm_state(self) -> ServiceState:
        if self.srm is not None:
            return ServiceState.STARTED
        return ServiceState.STARTING if self._srm_starts else ServiceState.STOPPED

    @property
    def shown(self) -> Node:
        """The node as an operator sees it, from the first answer on: never in the state of a former
        run of SRM, unless SRM is stopped."""
        decided = self.srm is not None and self.srm.may_speak
        stopped = self.srm_state is ServiceState.STOPPED
        return self.machine if decided or stopped else waking(self.machine)

    @property
    def since(self) -> str:
        """Wall-clock time at which the node came into the state that is shown."""
        if self.srm is not None:
            return self.srm.since if self.srm.may_speak else self.srm.started_at
        return self._powered_on_at if self._srm_starts else self.memory.since

    def served_count(self) -> int:
        return served_by(self.machine, self)

    def log_dropped(self) -> int:
        return self._log.dropped

    async def store(self, memory: NodeMemory) -> None:
        """Make the memory durable, and make it the present one.  Raises OSError."""
        self.memory = memory
        await self.saving.save(memory)

    def save_failed(self, error: OSError) -> None:
        self.saving.failed(error)

    async def _store_within(self, memory: NodeMemory) -> None:
        """The same within a bound, in which a shutdown has room for two.  Raises OSError."""
        limit_s = min(SAVE_LIMIT_S, self.config.limits.shutdown_s / 4)
        try:
            async with asyncio.timeout(limit_s):
                await self.store(memory)
        except TimeoutError:
            late = TimeoutError(f"the disk did not answer within {limit_s:g} s")
            self.save_failed(late)
            raise late from None

    def outlive(self, incarnation: int) -> float:
        """The peer knows a later number of ours than we do: our memory was lost.  Start SRM again
        above it, or the peer would take all that we say for replays.  See `Renumbering.begin`."""
        pause_s = self._renumbering.begin(time.monotonic())
        if pause_s > 0:
            return pause_s
        self.log.warning("node.incarnation_lost", incarnation=incarnation)
        self._restarting = asyncio.create_task(
            self._restart_above(incarnation), name="restart above incarnation"
        )
        return 0.0

    async def _restart_above(self, incarnation: int) -> None:
        async with self._srm_order:
            if self._end.done():
                return
            await self._stop_srm()
            above = max(incarnation, self.memory.incarnation)
            self.memory = replace(self.memory, incarnation=above)
            await self._start_srm_or_later()

    def state_changed(self, before: Node, result: Step) -> None:
        """The one record of a transition, and the alarms that Cisco raises on it."""
        after = result.node
        self.transition_count += 1
        self._show(after)
        peer = shown_peer(after, self._mismatch())
        match = handbook.find((after.state, after.reason), peer)
        self.log.info(
            "node.state_changed",
            op=after.op,
            old_state=STATES[before.state].en,
            old_reason=REASONS[before.reason].en,
            state=display(after.state, after.reason).en,
            reason=REASONS[after.reason].en,
            srm_state=int(after.state),
            peer_state=STATES[peer[0] if peer else State.DOWN].en,
            peer_reason=REASONS[peer[1]].en if peer else None,
            row=match.row.n,
            row_key=match.row.key,
            why=told(before, result).en,
        )
        me, other = self.config.node.id, self.config.peer.id
        took_over = after.state is State.BACKUP and before.state is State.TAKING_OVER
        if took_over and after.cause is not Reason.ON_ADMIN_REQUEST:
            self.log.error(
                "alarm.srm_failover",
                alarm="SRMFailover",
                from_node=other,
                to_node=me,
                reason=REASONS[after.reason].en,
            )
        if after.state is State.FAILED_MODE and before.state is not State.FAILED_MODE:
            self.log.error("alarm.srm_failed", alarm="SRMFailed", reason=REASONS[after.reason].en)
        served_both = {State.BACKUP, State.TAKING_OVER}
        lost_each_other = before.contact in {Contact.SILENT, Contact.LEFT}
        if lost_each_other and before.state in served_both and peer and peer[0] in served_both:
            self._log_split_brain(before)

    def _show(self, node: Node) -> None:
        """What `systemctl status` says of us."""
        state, reason = display(node.state, node.reason), REASONS[node.reason]
        self._notify.status(f"{state.en} / {reason.en}")

    def _mismatch(self) -> Text | None:
        return self.srm.mismatch if self.srm is not None else None

    def _log_split_brain(self, before: Node) -> None:
        """Who served whom while both nodes served everybody."""
        last = self.srm.heartbeat.beats.last if self.srm is not None else None
        self.log.error(
            "split_brain.detected",
            policy=self.config.group.split_brain.value,
            served_here=served_by(before, self),
            served_there=last.summary.served if last is not None else None,
            placement_here=dict(self.database.picture.serving),
            here_since=self.memory.since,
            here_reason=before.reason.value,
        )

    def _service_changed(self, changed: ServiceStatus) -> None:
        if changed.name == DATABASE_SERVICE:
            self._log_database(changed)
        else:
            self._log_service(changed)
        if self.srm is not None:
            self.srm.health_changed()

    def _log_service(self, changed: ServiceStatus) -> None:
        """One record for each state: that it has a process now is none of its own."""
        news = (changed.state, changed.note)
        if self._services_logged.get(changed.name) == news:
            return
        self._services_logged[changed.name] = news
        self.log.info(
            "service.changed",
            service=changed.name,
            state=changed.state.value,
            note=changed.note,
            critical=changed.critical,
        )

    def _log_database(self, changed: ServiceStatus) -> None:
        if changed.state is ServiceState.STARTED:
            if self._database_was_ok is False:
                self.log.info("database.repaired")
            self._database_was_ok = True
        elif changed.state is ServiceState.STOPPED and self._database_was_ok is not False:
            self.log.error("database.failed", note=changed.note)
            self._database_was_ok = False

    def _database_replaced(self, opened: Opened) -> None:
        event = "database.lost" if opened is Opened.LOST else "database.copied"
        self.log.warning(event, db_id=self.database.picture.db_id)

    def _picture_changed(self) -> None:
        if self.srm is not None:
            self.srm.picture_changed()

    # ------------------------------------------------------------ SRM

    async def _start_srm(self, start: Start) -> None:
        """Raises OSError and CannotListen."""
        self._srm_starts = True
        try:
            memory = of_new_run(self.memory, self.config)
            await self._store_within(memory)
            srm = Srm(self, start)
        finally:
            self._srm_starts = False
        self._srm_task = asyncio.create_task(srm.run(), name="srm")
        self.srm = srm
        self.srm_note = ""
        self._srm_failed = False
        self._backoff.begun()
        self._srm_task.add_done_callback(self._srm_ended)
        self._show(self.shown)
        srm.health_changed()
        self.log.info("srm.started", incarnation=memory.incarnation, start=start.value)

    async def _stop_srm(self) -> None:
        srm, task = self.srm, self._srm_task
        if srm is None or task is None:
            return
        self._srm_task = None
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        srm.close()  # also when its task was cancelled before it ran
        self._last_machine = srm.spoken
        self.srm = None
        with suppress(OSError):
            await self._store_within(srm.memory_now())
        self._notify.status("Server Recovery Manager is stopped")
        self.log.info("srm.stopped")

    def _srm_ended(self, task: asyncio.Task[None]) -> None:
        """SRM never ends by itself; if it does, that is a defect, and it is started again."""
        error = None if task.cancelled() else task.exception()
        if error is None:
            return
        if task is not self._srm_task:
            self.log.error("srm.failed", error="while it stopped", exc_info=error)
            return
        self._srm_failed = True  # before anything else can fail: no sign of life from here on
        srm = self.srm
        if srm is not None:
            self._last_machine = srm.spoken
        self.srm = self._srm_task = None
        self._start_srm_later(f"ended by an internal error: {_first(error)!r}", error)

    def _start_srm_later(self, why: str, error: BaseException | None) -> None:
        """SRM is down, and no administrator wanted that.  `error` is a defect, if it was one."""
        self._srm_failed = True
        try:
            pause_s = self._backoff.failed()
            self._restarting = asyncio.create_task(
                self._start_srm_after(pause_s), name="start srm again"
            )
        except MemoryError as lacking:  # it would stay dead; a new process starts it again
            if not self._end.done():
                self._end.set_exception(lacking)
            return
        self.srm_note = f"{why}; it starts again in {pause_s:g} s"
        self._notify.status(f"Server Recovery Manager {self.srm_note}")
        self.log.error("srm.failed", error=why, restart_s=pause_s, exc_info=error)

    async def _start_srm_after(self, pause_s: float) -> None:
        await asyncio.sleep(pause_s)
        async with self._srm_order:
            if self.srm is not None:
                self._srm_failed = False
            elif not self._end.done():
                await self._start_srm_or_later()

    async def _start_srm_or_later(self) -> None:
        """Start SRM, which no administrator waits for."""
        try:
            await self._start_srm(Start.RESTART)
        except (OSError, CannotListen) as error:
            self._start_srm_later(_not_started(error), None)
        except Exception as error:  # noqa: BLE001 - a defect of ours, whatever it is
            self._start_srm_later(_not_started(error), error)

    def _withdraw_restart(self) -> None:
        """Leave it to a later order whether SRM runs."""
        if self._restarting is not None:
            self._restarting.cancel()
        self._srm_failed = False

    async def _read_again(self, needs: Needs, by: str) -> Reading:
        """Take from the files what `needs` takes.  Raises ConfigError; nothing has changed then."""
        try:
            loaded = await read(self._load)
        except ConfigError as error:
            log_kept(self.log, by, error)
            raise
        refused = "" if needs is not Needs.RELOAD else await self._keys_refused(loaded.config)
        used = self.tls.contexts
        reading = judge(loaded, self.config, used, needs, now_s=time.time(), keys_refused=refused)
        if self._telling is not None:
            await self._telling.forget()
        before, self.config = self.config, reading.taken.config
        self._log.set_level(self.config.log.level)
        if reading.contexts is not used:
            self.tls.use(reading.contexts)
        if self.srm is not None and self.config.auth != before.auth:
            self.srm.take_keys(self.config.auth.keyring())
            self.srm.tell()  # signed by them, so that what is wrong shows at once, on both nodes
        await self._tell()
        log_reading(self.log, by, reading)
        return reading

    async def _tell(self) -> None:
        """Write down what is used from now on."""
        if self._telling is not None:
            await self._telling.tell(self.config, self.tls.contexts)

    @property
    def _read_from(self) -> str:
        """Of the answer to a command by which the files were read again."""
        copies = self._telling.copies if self._telling is not None else None
        return f", from the copies in {copies}" if copies is not None else ""

    async def _keys_refused(self, fresh: Config) -> str:
        """Why a running SRM does not take the keys of a file; empty: it does."""
        if self.srm is None:
            return ""
        return await keys_refused(
            fresh.auth,
            self.config.auth,
            peer=self.config.peer.id,
            peer_key=self.srm.peer_key,
            why_not_taken=self.srm.why_not_taken,
        )

    async def reload(self, by: str) -> Outcome:
        """Read the files again and take what can change while SRM runs; `by` is for the record."""
        async with self._srm_order:
            if self._end.done():
                return self._going_down()
            try:
                reading = await self._read_again(Needs.RELOAD, by)
            except ConfigError as error:
                problems = tuple(
                    {"field": each.key, "value": each.value, "reason": each.right}
                    for each in error.problems
                )
                said = "nothing is taken: the configuration cannot be used"
                return Refused(f"{said}: {error}", kind="invalid", problems=problems)
        taken = reading.taken
        return Done(
            f"the configuration is read again{self._read_from}",
            result={
                "taken": list(taken.changed),
                "refused": list(taken.refused),
                "needs": [{"key": key, "command": what.value} for key, what in taken.left],
            },
        )

    async def order_srm(self, action: SrmAction) -> Outcome:
        async with self._srm_order:
            if self._end.done():
                return self._going_down()
            if action is SrmAction.START and self.srm is not None:
                return Done("SRM runs already")
            if action is SrmAction.STOP and self.srm is None and not self._srm_failed:
                return Done("SRM is stopped already")
            self._withdraw_restart()
            if action in {SrmAction.STOP, SrmAction.RESTART}:
                await self._stop_srm()
                self.srm_note = "Commanded out of service"
            note, refused = "", []
            if action in {SrmAction.START, SrmAction.RESTART}:
                self._renumbering = Renumbering()
                try:
                    reading = await self._read_again(Needs.SRM, f"srm {action.value}")
                    note, refused = reading.note, list(reading.taken.refused)
                except ConfigError as error:
                    note = f"the former configuration is kept: {error.problems[0]}"
                    refused = [note]
                try:
                    await self._start_srm(Start.RESTART)
                except (OSError, CannotListen) as error:
                    self.srm_note = _not_started(error)
                    return Refused(f"SRM does not start: {error}", kind="unavailable")
                except Exception as error:  # noqa: BLE001 - a defect of ours, whatever it is
                    self._start_srm_later(_not_started(error), error)
                    return Refused(f"SRM does not start: {self.srm_note}", kind="unavailable")
        done = f"SRM: {action.value} done"
        if action is not SrmAction.STOP and self._read_from:
            done += f"; the configuration is read again{self._read_from}"
        result = {"refused": refused} if refused else {}
        return Done(f"{done}; {note}" if note else done, result=result)

    # ------------------------------------------------------------ Facade: status

    @property
    def host_names(self) -> frozenset[str]:
        control = self.config.control
        peer = urlsplit(self.config.peer.control).hostname or ""
        own = (control.listen.host.lower(), *control.allowed_hosts, *self.tls.hosts)
        return frozenset((*own, peer))

    def status(self) -> dict[str, Any]:
        return status.status(self)

    def services(self) -> list[dict[str, Any]]:
        return status.services(self)

    # ------------------------------------------------------------ Facade: actions on the pair

    async def act(self, action: Action, node: str) -> Outcome:
        me, other = self.config.node.id, self.config.peer.id
        if node not in {me, other}:
            known = ", ".join(sorted((me, other)))
            text = REFUSALS["unknown_node"].naming(node=node, known=known).en
            return Refused(text, kind="not_found")
        if node == me or action is Action.RECOVER:
            requests: dict[Action, Event] = {
                Action.FAILOVER: FailoverRequested(),
                Action.FALLBACK: FallbackRequested(),
                Action.RECOVER: RecoverRequested(),
            }
            return self._logged(action.value, node, await self._ask(requests[action], action.value))
        return self._logged(
            action.value, node, await self._hand_on(messages.Action(action.value), node)
        )

    async def set_ha(self, enabled: bool) -> Outcome:
        srm = self.srm
        if srm is None:
            return self._srm_stopped()
        word = "enable" if enabled else "disable"
        machine = srm.driver.node
        switch = ha_switch(machine, enabled)
        if switch is None:
            have = "on" if enabled else "off"
            return Done(f"high availability is {have} on both nodes already", op=machine.op)
        return self._logged(
            f"ha {word}", self.config.node.id, await self._ask(switch, f"ha {word}")
        )

    async def _ask(self, request: Event, what: str) -> Outcome:
        srm = self.srm
        if srm is None:
            return self._srm_stopped()
        decided = await srm.driver.ask(request)
        if decided is None:
            return Refused("SRM is stopping, or too busy: try again", kind="unavailable")
        if decided.refusal is not None:
            text = refusal_text(
                what,
                decided.node,
                self._mismatch(),
                decided.refusal,
                me=self.config.node.id,
                peer=self.config.peer.id,
            )
            return Refused(text, needed=decided.refusal)
        return Done(f"{what} has begun", op=decided.node.op)

    async def _hand_on(self, action: messages.Action, node: str) -> Outcome:
        srm = self.srm
        if srm is None:
            return self._srm_stopped()
        needed = needed_to_hand_on(srm.driver.node)
        if needed is not None:
            text = refusal_text(
                action.value,
                srm.driver.node,
                self._mismatch(),
                needed,
                me=self.config.node.id,
                peer=self.config.peer.id,
            )
            return Refused(text, needed=needed)
        try:
            answer = await srm.peer.command(action, node)
        except CallFailed as error:
            return Refused(
                f"{self.config.peer.id} does not answer on its control channel ({error}): "
                f"repair it, or give the command on {self.config.peer.id} itself",
                kind="unavailable",
            )
        if isinstance(answer, messages.Refused):
            return Refused(answer.detail, needed=answer.needed)
        return Done(f"{action.value} has begun on {node}", op=int(answer.detail or 0))

    def _srm_stopped(self) -> Refused:
        if self._srm_starts:
            return Refused("SRM is starting on this node: try again", kind="unavailable")
        return Refused(
            "SRM does not run on this node: `srmd srm start` first",
            needed="SRM running",
        )

    def _going_down(self) -> Refused:
        return Refused(f"{self.config.node.id} is going down", kind="unavailable")

    def _logged(self, what: str, node: str, outcome: Outcome) -> Outcome:
        if isinstance(outcome, Done):
            self.log.info("command.accepted", command=what, target=node, op=outcome.op)
        else:
            self.log.info("command.refused", command=what, target=node, detail=outcome.detail)
        return outcome

    # ------------------------------------------------------------ Facade: services and power

    async def service(self, name: str, action: ServiceAction) -> Outcome:
        try:
            name = service_meant(name, (row["name"] for row in self.services()))
        except UnknownService as error:
            return Refused(str(error), kind="not_found")
        if name == SRM_SERVICE:
            return await self._srm_as_service(action)
        if self._end.done():
            return self._going_down()
        try:
            if name == DATABASE_SERVICE:
                return await self._database_as_service(action)
            starts = action in {ServiceAction.START, ServiceAction.RESTART}
            held = self.srm is not None and services_are_held(self.srm.driver.node)
            if starts and held and self.supervisor.is_failed_over(name):
                me = self.config.node.id
                text = REFUSALS["service_held"].naming(service=name, node=me).en
                return Refused(text, needed="a manual fallback")
            return await self._supervise(name, action)
        except (OrderFailed, NotRunning, DatabaseDown) as error:
            return Refused(str(error))

    async def _supervise(self, name: str, action: ServiceAction) -> Outcome:
        supervisor = self.supervisor
        match action:
            case ServiceAction.START:
                await supervisor.start(name)
            case ServiceAction.STOP:
                await supervisor.stop(name)
            case ServiceAction.RESTART:
                await supervisor.restart(name)
            case ServiceAction.KILL:
                await supervisor.kill(name)
            case ServiceAction.HANG:
                await supervisor.hang(name)
                if not supervisor.notices_hangs(name):
                    return Done(
                        f"{name}: hang done; it is not noticed, because the service has no"
                        " health_command"
                    )
            case ServiceAction.BLOCK:
                supervisor.block(name)
            case ServiceAction.UNBLOCK:
                supervisor.unblock(name)
        return Done(f"{name}: {action.value} done")

    async def _database_as_service(self, action: ServiceAction) -> Outcome:
        match action:
            case ServiceAction.START:
                await self.database.start()
            case ServiceAction.STOP:
                await self.database.stop()
            case ServiceAction.RESTART:
                await self.database.stop()
                await self.database.start()
            case ServiceAction.KILL:
                await self.database.crash()
            case ServiceAction.HANG | ServiceAction.BLOCK:
                self.database.set_fault(True)
                await self.database.check()
            case ServiceAction.UNBLOCK:
                self.database.set_fault(False)
                await self.database.check()
        return Done(f"{DATABASE_SERVICE}: {action.value} done")

    async def _srm_as_service(self, action: ServiceAction) -> Outcome:
        known = {
            ServiceAction.START: SrmAction.START,
            ServiceAction.STOP: SrmAction.STOP,
            ServiceAction.RESTART: SrmAction.RESTART,
            ServiceAction.KILL: SrmAction.STOP,
        }
        if action not in known:
            return Refused(f"SRM cannot be told to {action.value}: start, stop, restart or kill it")
        return await self.order_srm(known[action])

    async def power(self, action: PowerAction) -> Outcome:
        self.log.info(
            "command.accepted", command=f"node {action.value}", target=self.config.node.id
        )
        end = End.REBOOT if action is PowerAction.REBOOT else End.SHUTDOWN
        # After the answer is on its way: the HTTP side goes down with the node.
        asyncio.get_running_loop().call_later(0.05, self.end, end)
        return Done(f"node {action.value} has begun")

    async def fault(self, fault: Fault, active: bool) -> Outcome:
        if fault is Fault.DATABASE:
            self.database.set_fault(active)
            await self.database.check()
        else:
            self.database.set_moves_fail(active)
        return Done(f"fault {fault.value} is {'active' if active else 'cleared'}")

    # ------------------------------------------------------------ Facade: users

    async def users(self, after: str, limit: int, home: str | None, serving: str | None) -> Outcome:
        def listed(database: UserDatabase) -> dict[str, Any]:
            page = database.users(after=after, limit=limit, home=home, serving=serving)
            rows = [
                {"user_id": user.user_id, "home_node": user.home, "serving_node": user.serving}
                for user in page.users
            ]
            return {"users": rows, "next": rows[-1]["user_id"] if page.more and rows else None}

        return await self._with_database(listed, "users listed")

    async def import_users(self, csv: bytes) -> Outcome:
        def imported(database: UserDatabase) -> dict[str, Any]:
            done = database.import_csv(csv, nodes=self._nodes())
            return {"added": done.added, "unchanged": done.unchanged}

        return await self._changing_users(imported, "users imported")

    async def generate_users(self, count: int, mode: str, prefix: str) -> Outcome:
        return await self._changing_users(
            lambda database: {
                "added": database.generate(
                    count,
                    nodes=self._nodes(),
                    mode=AssignmentMode(mode),
                    active=self.config.node.id,
                    prefix=prefix,
                )
            },
            "users generated",
        )

    async def assign_users(self, mode: str | None, user: str | None, home: str | None) -> Outcome:
        def assigned(database: UserDatabase) -> dict[str, Any]:
            if user is not None and home is not None:
                database.assign_user(user, home)
                return {"changed": 1}
            changed = database.assign(
                AssignmentMode(mode), nodes=self._nodes(), active=self.config.node.id
            )
            return {"changed": changed}

        if home is not None and home not in self._nodes():
            known = ", ".join(self._nodes())
            text = REFUSALS["unknown_node"].naming(node=home, known=known).en
            return Refused(text, kind="invalid")
        return await self._changing_users(assigned, "users assigned")

    async def unassign_users(self, user: str | None) -> Outcome:
        def unassigned(database: UserDatabase) -> dict[str, Any]:
            if user is None:
                return {"changed": database.unassign_all()}
            database.unassign_user(user)
            return {"changed": 1}

        return await self._changing_users(unassigned, "users unassigned")

    async def delete_users(self, user: str | None) -> Outcome:
        def deleted(database: UserDatabase) -> dict[str, Any]:
            if user is None:
                return {"deleted": database.remove_all()}
            database.remove_user(user)
            return {"deleted": 1}

        return await self._changing_users(deleted, "users deleted")

    async def export_users(self) -> bytes | Refused:
        found: list[bytes] = []

        def exported(database: UserDatabase) -> dict[str, Any]:
            found.append(database.export_csv())
            return {}

        outcome = await self._with_database(exported, "users exported")
        return outcome if isinstance(outcome, Refused) else found[0]

    async def topology(self) -> Outcome:
        shown = self.status()["users"]
        nodes = {
            name: {"assigned": shown["assigned"][name], "served": shown["served"][name]}
            for name in shown["assigned"]
        }
        known = self.database.picture.is_known
        total = sum(shown["assigned"].values()) + shown["unassigned"] if known else None
        return Done(
            "topology",
            result={
                "nodes": nodes,
                "unassigned": shown["unassigned"],
                "total": total,
                "placement": shown["placement"],
            },
        )

    def _nodes(self) -> list[str]:
        return sorted((self.config.node.id, self.config.peer.id))

    async def _changing_users(
        self, work: Callable[[UserDatabase], dict[str, Any]], done: str
    ) -> Outcome:
        if users_are_locked(self.machine):
            text = users_locked_text(
                self.machine,
                self._mismatch(),
                me=self.config.node.id,
                peer=self.config.peer.id,
            )
            return Refused(text, needed="both nodes in Normal")
        outcome = await self._with_database(work, done)
        if isinstance(outcome, Done):
            self.log.info("users.imported", what=done, **outcome.result)
        return outcome

    async def _with_database(
        self, work: Callable[[UserDatabase], dict[str, Any]], done: str
    ) -> Outcome:
        try:
            return Done(done, result=await self.database.use(work))
        except BadImport as error:
            problems = tuple(
                {"line": bad.line, "value": bad.value, "reason": bad.reason} for bad in error.lines
            )
            said = f"nothing imported: {error.count} bad line{'s' if error.count > 1 else ''}"
            if error.count > len(problems):
                said += f"; here are the first {len(problems)}"
            return Refused(said, kind="invalid", problems=problems)
        except DatabaseDown as error:
            return Refused(str(error), kind="unavailable")
        except UnknownUser as error:
            return Refused(str(error), kind="not_found")
        except UserDatabaseError as error:
            return Refused(str(error), kind="invalid")

    # ------------------------------------------------------------ Facade: control messages

    async def control(self, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        keyring = self.config.auth.keyring()
        srm = self.srm
        request = Request(path, headers, body)
        if srm is None:
            return not_running(request, keyring, node=self.config.node.id)
        try:
            came = verified(request, self.config, keyring, srm.control_mark)
            srm.control_mark = came.mark
            srm.peer.version = software_of(headers)
            message = messages.decode_message(body, proved=came.proved)
            answer = await self._answer_once(srm, message)
        except Rejected as error:
            self._reject_control(error.trigger.value, error.detail)
            return rejection_of(error, request, keyring)
        except MalformedMessage as error:
            self._reject_control(Trigger.MALFORMED.value, str(error))
            return malformed(request, keyring)
        return answer_of(answer, request, keyring)

    def refuse_certificate(self, detail: str) -> None:
        self._reject_control("certificate", detail)

    def _reject_control(self, trigger: str, detail: str) -> None:
        self.control_rejected[trigger] += 1
        if self.control_rejected[trigger] in {1, 10, 100, 1000, 10_000}:
            self.log.warning(
                "control.rejected",
                trigger=trigger,
                detail=detail,
                count=self.control_rejected[trigger],
            )

    async def _answer_once(self, srm: Srm, message: messages.Message) -> messages.Message:
        """The answer to a message; a command that came before is not acted upon again, also while
        its answer is still being made.  All else may be said twice, and its answers can be long."""
        if not isinstance(message, messages.CommandMessage):
            return await self._answer(srm, message)
        if message.op not in self._answers:
            answering = self._answer(srm, message)
            self._answers[message.op] = asyncio.create_task(answering, name=f"answer {message.op}")
        while len(self._answers) > OPERATIONS_REMEMBERED:
            self._answers.popitem(last=False)
        return await asyncio.shield(self._answers[message.op])

    async def _answer(self, srm: Srm, message: messages.Message) -> messages.Message:
        op = message.op
        try:
            match message:
                case messages.ReportMessage(_, heartbeat):
                    if heartbeat.sender == self.config.peer.id:
                        srm.told(heartbeat)
                    return messages.Accepted(op, "")
                case messages.CommandMessage(_, action, node):
                    return await self._obey(op, action, node)
                case messages.PlacementMessage():
                    if self.machine.contact is not Contact.HEARD:
                        return unheard(op)
                    return await self.database.use(partial(merge, message=message))
                case messages.UsersRequest():
                    page = await self.database.use(partial(page_of, asked=message))
                    srm.peer.reading.gave(page)
                    return page
                case _:
                    return messages.Refused(op, f"{type(message).__name__} is not a request", "")
        except UserDatabaseError as error:
            return messages.Refused(op, str(error), "the database of this node")

    async def _obey(self, op: str, action: messages.Action, node: str) -> messages.Message:
        if action in {messages.Action.HA_ENABLE, messages.Action.HA_DISABLE}:
            outcome = await self.set_ha(action is messages.Action.HA_ENABLE)
        elif node == self.config.node.id:
            outcome = await self.act(Action(action.value), node)
        else:
            return messages.Refused(op, f"{node} is not this node", "")
        if isinstance(outcome, Done):
            return messages.Accepted(op, str(outcome.op or 0))
        return messages.Refused(op, outcome.detail, outcome.needed)


def _first(error: BaseException) -> BaseException:
    """Of errors that several tasks ended with."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _not_started(error: Exception) -> str:
    return f"not started: {str(error) or type(error).__name__}"


def _this_boot() -> Boot:
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    return Boot(boot_id=uuid.uuid4().hex, os_boot_id=_os_boot_id(), at=now)


def _os_boot_id() -> str:
    try:
        return OS_BOOT_ID.read_text().strip()
    except OSError:
        return "unknown"
