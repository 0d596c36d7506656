"""SRM itself, the service inside the node: driver, heartbeats and the peer's client, wired.

It is made anew with each start and knows nothing of an earlier one but what was stored, so an SRM
restart is the same code as a first start.  It carries out the machine's orders on the node that
hosts it (`Host`), which keeps services, database and HTTP running whether SRM runs or not.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, Protocol

from srmd.config import Config
from srmd.core.effects import MoveUsers
from srmd.core.events import Booted, Event, Order, PeerDown
from srmd.core.machine import Step
from srmd.core.node import Node, Serving, Timer, serving
from srmd.core.states import Contact, Destination, Start, State
from srmd.core.texts import Text
from srmd.daemon.alarm import Alarm
from srmd.daemon.database import Database
from srmd.daemon.driver import Driver
from srmd.daemon.heartbeat import Events, HeartbeatSocket
from srmd.daemon.monitor import Monitor
from srmd.daemon.peer import Peer
from srmd.daemon.recorder import Recorder
from srmd.daemon.supervisor import Supervisor
from srmd.daemon.tls import Tls
from srmd.node.health import Facts, HealthReport
from srmd.node.identity import acknowledged, other_receiver
from srmd.node.memory import first_node, memory_of, stored_mark, with_marks
from srmd.node.reports import Reports
from srmd.node.saying import heartbeat_of, relogin_of, summary_of
from srmd.node.timing import timer_s
from srmd.node.users import (
    PLACED_AGAIN_PAUSE_S,
    counted_op,
    displaced,
    homes_after,
    moved_count,
    place,
    placed_again_op,
    placement_seen,
    served_count,
)
from srmd.store.database import UserDatabaseError
from srmd.store.nodestate import NodeMemory
from srmd.wire.heartbeat import Heartbeat, Summary
from srmd.wire.keys import Keyring
from srmd.wire.rejected import Rejected

MARK_EVERY_BEATS = 16
"""How often the replay mark is made durable between state changes: after a crash, at most so many
recorded heartbeats of the peer's present incarnation could be replayed to us."""
SAVE_LIMIT_S = 5.0
"""How long a transition waits for its state to become durable; then it goes on and says so."""
GOODBYE_BEATS = 3
GOODBYE_LIMIT_S = 1.0
REJECTIONS_LOGGED = (1, 10, 100, 1000, 10_000, 100_000)
"""Rejections of one kind are logged at these counts, so that a flood does not fill the log."""


class Host(Protocol):
    """The node that SRM runs in."""

    config: Config
    memory: NodeMemory
    supervisor: Supervisor
    database: Database
    log: Any
    journal: Any
    monitor: Monitor
    tls: Tls

    async def store(self, memory: NodeMemory) -> None:
        """Make the memory durable.  Raises OSError."""
        ...

    def save_failed(self, error: OSError) -> None:
        """Say so, and save again as soon as the disk takes it."""
        ...

    def state_changed(self, before: Node, result: Step) -> None: ...

    def outlive(self, incarnation: int) -> float:
        """Start SRM again above an incarnation that was forgotten.  0: it starts.  Else it waits,
        at most so many seconds."""
        ...


@dataclass(slots=True)
class TakeOverTimes:
    """Where the time of one take-over went: moments in monotonic seconds."""

    last_heard_s: float | None
    beats_missed: int
    deadline_s: float | None
    decided_s: float
    saved_s: float = 0.0
    moved_s: float = 0.0


class Srm(Events):
    """One run of SRM, from its start to its stop."""

    def __init__(self, host: Host, start: Start) -> None:
        """Raises CannotListen."""
        config, memory = host.config, host.memory
        self.host = host
        self.config = config
        self.log = host.log
        self._keyring = config.auth.keyring()
        self.control_mark = stored_mark(memory.peer_control_mark)
        self.peer = Peer(
            config, self._keyring, memory.incarnation, host.database, host.log, tls=host.tls
        )
        known_op = counted_op(host.database.picture, proved=self._keyring.proves)
        node = first_node(memory, config, known_op)
        self._health = HealthReport(config.services.critical_service_delay_s)
        health = self._health.begin(self._facts())
        node = replace(node, health=health, lasting=False)
        self.driver = Driver(node, self)
        self.heartbeat = HeartbeatSocket(config, self._keyring, memory, self)
        self._reports = Reports(proved=self._keyring.proves)
        self._outlived = False
        self._health_alarm = Alarm(asyncio.get_running_loop(), self.health_changed)
        self._relogin_warned = False
        self._deadline_s: float | None = None
        self._times: TakeOverTimes | None = None
        self._leaving = False
        self._closed = False
        self._saving: asyncio.Task[None] | None = None
        self._placing: asyncio.Task[None] | None = None
        self._newest_placement = host.database.picture.placement_op
        """Operation number of the newest placement that was seen."""
        self.peer_since: str | None = None
        self._peer_op = -1
        self._recorder = Recorder(host.journal, config, memory, node)
        self.driver.put(Booted(start))  # before any other event: the first thing that happens
        self.started_at = now_text()
        starts_again = memory.state is State.INITIALIZING
        self.since = self.started_at if starts_again else memory.since

    async def run(self) -> None:
        """Be SRM until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self.driver.run(), name="driver")
                tasks.create_task(self.heartbeat.run(), name="heartbeat")
                tasks.create_task(self.peer.run(), name="peer")
        finally:
            self.close()

    def close(self) -> None:
        """Give back what is held.  May be called again, and when `run` has never run."""
        self._closed = True
        self._recorder.flush()
        self.heartbeat.close()
        self._health_alarm.close()
        if self._saving is not None:
            self._saving.cancel()
        if self._placing is not None:
            self._placing.cancel()

    def memory_now(self) -> NodeMemory:
        """What is to be remembered of this run when it stops in good order."""
        return self._memory_of(self.spoken)

    @property
    def spoken(self) -> Node:
        return self.driver.spoken

    @property
    def may_speak(self) -> bool:
        return self.driver.has_spoken

    async def leave(self) -> None:
        """Announce that the node goes down: by several heartbeats and by the control channel."""
        self._leaving = True
        goodbye = self.heartbeat.beat()
        for _ in range(GOODBYE_BEATS - 1):
            self.heartbeat.beat()
        try:
            async with asyncio.timeout(GOODBYE_LIMIT_S):
                await self.peer.say_goodbye(goodbye)
        except TimeoutError:
            pass

    # ------------------------------------------------------------ keys

    @property
    def peer_key(self) -> str:
        """The id of the key by which the peer signs now; empty when it is not heard."""
        return self.heartbeat.beats.peer_key if self.heartbeat.presence().heard else ""

    async def why_not_taken(self, keyring: Keyring) -> str:
        """Why the peer does not take what these keys sign; empty: it does, or is not heard."""
        if not self.heartbeat.presence().heard:
            return ""
        return await self.peer.why_not_taken(self.heartbeat.beat(), keyring)

    def take_keys(self, keyring: Keyring) -> None:
        """Sign and check by these keys from now on, in the same mode as before."""
        self._keyring = keyring
        self.heartbeat.take_keys(keyring)
        self.peer.take_keys(keyring)

    # ------------------------------------------------------------ what the heartbeats tell (Events)

    @property
    def mismatch(self) -> Text | None:
        return self._reports.mismatch

    def heard(self, heartbeat: Heartbeat) -> None:
        """A heartbeat that is good and new.  It may be overtaken by a report that was told."""
        self._recorder.heard(heartbeat.incarnation, heartbeat.seq, time.monotonic())
        if self._outlived:
            return
        if acknowledged(heartbeat) > self.heartbeat.beats.sent.newest:
            self._go_above(heartbeat.hears_incarnation)
            return
        mismatch = self.mismatch
        events = self._reports.heard(heartbeat, self.driver.node)
        self._warn_of_relogin(heartbeat.summary)
        if events is None:
            return
        doubt = self._reports.doubt(events, self.driver.node)
        if doubt is not None:
            self.heartbeat.beats.doubt(doubt, time.monotonic())
        self._hear(heartbeat, events, mismatch)
        if heartbeat.leaving:
            return
        if self.heartbeat.beats.received_count % MARK_EVERY_BEATS == 1:
            self._save_mark()
        self.peer.compare(heartbeat.summary)

    def _go_above(self, incarnation: int) -> None:
        """The peer acknowledges what we have not sent: we lost our memory, or are not meant."""
        pause_s = self.host.outlive(incarnation)
        self._outlived = pause_s == 0
        if not self._outlived:
            me, peer = self.config.node.id, self.config.peer.id
            self.mismatched(other_receiver(me=me, peer=peer, pause_s=pause_s))

    def told(self, heartbeat: Heartbeat) -> None:
        """The same report by the control channel: news, but no proof of life."""
        if acknowledged(heartbeat) > self.heartbeat.beats.sent.newest:
            return  # meant for another run of ours, or for another node: its heartbeats decide
        mismatch = self.mismatch
        events = self._reports.told(heartbeat, self.driver.node)
        if events is not None:
            self._hear(heartbeat, events, mismatch)

    def _hear(
        self, heartbeat: Heartbeat, events: tuple[Event, ...], mismatch_before: Text | None
    ) -> None:
        if heartbeat.report.op != self._peer_op and not heartbeat.leaving:
            self._peer_op = heartbeat.report.op
            self.peer_since = now_text()
        for event in events:
            self.driver.put(event)
        self._log_mismatch(mismatch_before)

    def peer_down(self, deadline_s: float) -> None:
        self._deadline_s = deadline_s
        self.driver.put(PeerDown())

    def mismatched(self, what: Text) -> None:
        mismatch = self.mismatch
        for event in self._reports.mismatched(what, self.driver.node):
            self.driver.put(event)
        self._log_mismatch(mismatch)

    def _log_mismatch(self, before: Text | None) -> None:
        if self.mismatch is not None and self.mismatch != before:
            self.log.error("peer.mismatched", what=self.mismatch.en)

    def sent(self, seq: int, at_s: float) -> None:
        self._recorder.sent(seq, at_s)

    def rejected(self, error: Rejected, source: str, count: int) -> None:
        if count in REJECTIONS_LOGGED:
            self.log.warning(
                "heartbeat.rejected",
                trigger=error.trigger.value,
                detail=error.detail,
                source=source,
                count=count,
            )

    def send_failed(self, error: Exception | None) -> None:
        if error is None:
            self.log.info("heartbeat.send_restored")
        else:
            self.log.warning("heartbeat.send_failed", error=str(error))

    def was_late(self, late_s: float) -> None:
        self.log.warning("node.was_late", late_s=round(late_s, 3))

    def compose(self, seq: int) -> Heartbeat:
        """The heartbeat that tells what we now say of ourselves."""
        host = self.host
        summary = summary_of(
            self.config,
            host.database.picture,
            host.supervisor.statuses(),
            served=self.served_count(),
            database_ok=host.database.ok,
        )
        return heartbeat_of(
            self.config,
            host.memory,
            self.spoken,
            summary,
            seq=seq,
            acknowledged=self.heartbeat.beats.acknowledged(self.control_mark),
            leaving=self._leaving,
        )

    def served_count(self) -> int:
        """Users that this node serves at this moment."""
        return served_by(self.spoken, self.host)

    def _warn_of_relogin(self, summary: Summary) -> None:
        ours = relogin_of(self.config)
        if summary.relogin != ours and not self._relogin_warned:
            self._relogin_warned = True
            self.log.warning(
                "config.warning",
                key="relogin",
                problem=f"client re-login limits are {ours} here and {summary.relogin} at the peer;"
                " they must be equal",
            )

    # ------------------------------------------------------------ health

    def health_changed(self) -> None:
        """Services or database changed, or the delay may have passed: tell the machine.

        An SRM that cannot tell it must not seem well: it fails, and its caller is not harmed.
        """
        if not self._closed:
            self.heartbeat.guarded(self._tell_health)

    def _tell_health(self) -> None:
        news, due_s = self._health.told(self._facts())
        if news is not None:
            self.driver.put(news)
        if due_s is None:
            self._health_alarm.cancel()
        else:
            self._health_alarm.set(due_s)

    @property
    def critical_delay_left_s(self) -> float | None:
        """The rest of the critical service delay; None while the node is well."""
        return self._health.left_s(time.monotonic())

    def _facts(self) -> Facts:
        return Facts(
            database_ok=self.host.database.ok,
            services_ok=self.host.supervisor.critical_ok,
            services_starting=self.host.supervisor.critical_starting,
            now_s=time.monotonic(),
        )

    def _give_new_delay(self) -> None:
        """Services were ordered to start: they have the whole delay to come up."""
        self._health.give_new_delay(self.driver.node)
        self.health_changed()

    # ------------------------------------------------------------ what the driver orders (Shell)

    def stepped(self, before: Node, event: Event, result: Step, at_s: float) -> None:
        self._recorder.decided(before, event, result, at_s)
        self.host.monitor.look(before, event, result)
        self.heartbeat.follow(before, result.node)
        if result.node.op != before.op and result.node.state is State.TAKING_OVER:
            presence = self.heartbeat.presence()
            self._times = TakeOverTimes(
                last_heard_s=self.heartbeat.beats.last_heard_s,
                beats_missed=presence.beats_missed,
                deadline_s=self._deadline_s if isinstance(event, PeerDown) else None,
                decided_s=at_s,
            )

    async def save(self, node: Node) -> None:
        memory = self.host.memory
        if (node.state, node.reason) != (memory.state, memory.reason):
            self.since = now_text()
        await self._store(self._memory_of(node))
        if self._times is not None and not self._times.saved_s:
            self._times.saved_s = time.monotonic()

    def _memory_of(self, node: Node) -> NodeMemory:
        return self._with_marks(memory_of(node, self.host.memory, self.since))

    def _with_marks(self, memory: NodeMemory) -> NodeMemory:
        return with_marks(
            memory,
            self._keyring,
            heartbeat=self.heartbeat.beats.mark,
            control=self.control_mark,
        )

    async def _store(self, memory: NodeMemory) -> None:
        try:
            async with asyncio.timeout(SAVE_LIMIT_S):
                await self.host.store(memory)
        except OSError as error:  # TimeoutError is one
            self.host.save_failed(error)

    def _save_mark(self) -> None:
        if self._saving is None or self._saving.done():
            self._saving = asyncio.create_task(self._store_marks(), name="save mark")

    async def _store_marks(self) -> None:
        """Beside the newest state that was ordered to be stored, never an older one."""
        await self._store(self._with_marks(self.host.memory))

    def tell(self) -> None:
        if not self._leaving:
            self.peer.tell(self.heartbeat.beat())

    def spoke(self, before: Node, result: Step) -> None:
        self._look_at_placement()
        if (before.state, before.reason) != (result.node.state, result.node.reason):
            self.host.state_changed(before, result)
        if (before.ha, before.ha_stamp) != (result.node.ha, result.node.ha_stamp):
            self._log_ha(before, result.node)
        if before.contact is not result.node.contact:
            self._log_contact(result.node)
        if result.node.state is State.BACKUP and before.state is State.TAKING_OVER:
            self._log_take_over(result.node)

    def _log_ha(self, before: Node, after: Node) -> None:
        at_once = before.ha_stamp == after.ha_stamp
        log = self.log.warning if at_once else self.log.info
        log("ha.tie" if at_once else "ha.set", enabled=after.ha, stamp=after.ha_stamp)

    async def start_services(self) -> None:
        self._give_new_delay()
        await self.host.supervisor.start_all()
        await self.host.database.start()

    async def stop_services(self) -> None:
        await self.host.supervisor.stop_all()

    async def move_users(self, order: MoveUsers) -> None:
        """Move the users, at the configured pace, and have the peer know."""
        config, picture = self.config, self.host.database.picture
        homes = homes_after(order, me=config.node.id, peer=config.peer.id)
        moved = moved_count(homes, picture, me=config.node.id)
        async with asyncio.timeout(config.users.move_limit_s):
            await self._move(homes, order.op, moved)
        if self._times is not None and order.to is Destination.HERE:
            self._times.moved_s = time.monotonic()
        if moved:  # at each start they are ordered home, and are there
            self.log.info("users.moved", op=order.op, to=order.to.value, moved_count=moved)
        self.peer.placement_changed()

    def picture_changed(self) -> None:
        """The database holds something else than before."""
        self._newest_placement = max(
            self._newest_placement, self.host.database.picture.placement_op
        )
        self._look_at_placement()
        self.peer.users_changed()

    def _look_at_placement(self) -> None:
        """Our orders have to outrank what the database holds, and it has to suit our state."""
        if self._closed:
            return
        picture = self.host.database.picture
        seen = placement_seen(self.driver.node, picture, proved=self._keyring.proves)
        if seen is not None:
            self.driver.put(seen)
        placing = self._placing is not None and not self._placing.done()
        if self._displaced() is not None and not placing:
            self._placing = asyncio.create_task(self._place_again(), name="place users again")

    def _displaced(self) -> dict[str, str] | None:
        me, peer = self.config.node.id, self.config.peer.id
        picture = self.host.database.picture
        return displaced(self.spoken, picture, self._newest_placement, me=me, peer=peer)

    @property
    def displaced_count(self) -> int:
        """Users whom our database places against the states of the nodes, so that none serves
        them."""
        homes, picture = self._displaced(), self.host.database.picture
        return moved_count(homes, picture, me=self.config.node.id) if homes is not None else 0

    async def _place_again(self) -> None:
        """The database was replaced under a node at rest: it serves the users as before."""
        if self.spoken.state is State.NORMAL:
            await asyncio.sleep(PLACED_AGAIN_PAUSE_S)
        told = False
        while (homes := self._displaced()) is not None:
            op = placed_again_op(self.spoken, self.host.database.picture, self._newest_placement)
            by = self.config.node.id
            try:
                await self.host.database.use(partial(place, homes=homes, op=op, by=by))
            except UserDatabaseError as error:
                if not told:
                    self.log.error("users.displaced", op=op, error=str(error))
                    told = True
            else:
                self.log.warning("users.placed_again", op=op)
                self.peer.placement_changed()
            await asyncio.sleep(PLACED_AGAIN_PAUSE_S)

    async def _move(self, homes: dict[str, str], op: int, moved_count: int) -> None:
        rate_per_s, by = self.config.users.move_rate_per_s, self.config.node.id
        if rate_per_s > 0:
            await asyncio.sleep(moved_count / rate_per_s)
        await self.host.database.use(lambda database: place(database, homes, op, by))

    def order_failed(self, order: Order, op: int, error: Exception) -> None:
        self.log.error(
            "order.failed", order=order.value, op=op, error=str(error) or type(error).__name__
        )

    def timer_s(self, timer: Timer, node: Node) -> float:
        return timer_s(timer, node, self.config)

    # ------------------------------------------------------------ records

    def _log_contact(self, node: Node) -> None:
        presence = self.heartbeat.presence()
        match node.contact:
            case Contact.HEARD:
                self.log.info(
                    "peer.heard", peer_state=_name(node), incarnation=self._reports.incarnation
                )
                self.peer.placement_changed()
            case Contact.SILENT:
                self.log.warning(
                    "peer.down",
                    silent_s=round(presence.silent_s, 4),
                    beats_missed=presence.beats_missed,
                )
            case Contact.LEFT:
                self.log.warning("peer.left", peer_state=_name(node))
            case Contact.NEVER:
                return
        if node.contact is not Contact.HEARD and serving(node) is Serving.NOBODY:
            self.log.error("users.unserved", state=node.state.name, reason=node.reason.value)

    def _log_take_over(self, node: Node) -> None:
        """The decomposition of a take-over: last beat, beats missed, deadline, decision, users."""
        times, self._times = self._times, None
        now_s = time.monotonic()
        if times is None:
            return
        heard_s = times.last_heard_s
        moved_s = times.moved_s or now_s
        self.log.info(
            "failover.completed",
            op=node.op,
            reason=node.reason.value,
            from_node=self.config.peer.id,
            to_node=self.config.node.id,
            last_beat_to_decision_s=None
            if heard_s is None
            else round(times.decided_s - heard_s, 6),
            beats_missed=times.beats_missed,
            deadline_to_decision_s=None
            if times.deadline_s is None
            else round(times.decided_s - times.deadline_s, 6),
            decision_to_saved_s=round(times.saved_s - times.decided_s, 6),
            saved_to_users_moved_s=round(moved_s - times.saved_s, 6),
            users_moved_to_backup_s=round(now_s - moved_s, 6),
            decision_to_backup_s=round(now_s - times.decided_s, 6),
            total_s=round(now_s - (heard_s if heard_s is not None else times.decided_s), 6),
            services_ok=self.host.supervisor.critical_ok,
            users_count=self.served_count(),
        )


def served_by(node: Node, host: Host) -> int:
    """Users that the node serves in this state, if its services and database run."""
    well = host.supervisor.critical_ok and host.database.ok
    return served_count(node, host.config.node.id, host.database.picture, well=well)


def now_text() -> str:
    """The wall clock, for people."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _name(node: Node) -> str:
    return node.peer.state.name if node.peer is not None else "?"
