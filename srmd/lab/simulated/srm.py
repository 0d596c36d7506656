"""SRM in virtual time: the second shell around the core, as `daemon.srm` and `daemon.driver`.

One inbox, one consumer: event -> step -> save -> tell -> arm -> act, in the order of `Ready`.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from functools import partial
from typing import Final, Protocol

from srmd.config import Config
from srmd.core.effects import Effect, MoveUsers, StartServices, StopServices
from srmd.core.events import (
    Booted,
    Event,
    FallbackDue,
    OperationFailed,
    Order,
    PeerDown,
    ServicesStarted,
    ServicesStopped,
    StayExpired,
    UsersMoved,
)
from srmd.core.machine import Ready, Step, ready
from srmd.core.node import Node, Timer
from srmd.core.states import Start, State
from srmd.core.texts import Text
from srmd.core.transitions import step
from srmd.lab.simulated.calls import Calls
from srmd.lab.simulated.database import Database
from srmd.lab.simulated.flows import FAILURES, Flow, Outcome, Work, WorkFailed
from srmd.lab.simulated.moments import Alarm, Life, Rank
from srmd.lab.simulated.services import Services
from srmd.node.calling import Answer, Request
from srmd.node.health import Facts, HealthReport
from srmd.node.heartbeats import TICK_MAX_S, Heartbeats
from srmd.node.identity import acknowledged, other_receiver
from srmd.node.memory import first_node, memory_of, stored_mark, with_marks
from srmd.node.reports import Reports
from srmd.node.saying import heartbeat_of, summary_of
from srmd.node.timing import TIMER_LATE_S, timer_s
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
from srmd.wire.heartbeat import Heartbeat, encode

INBOX_EVENTS: Final = 1024
"""Bound of the inbox, as the daemon's."""
SOCKET_DATAGRAMS: Final = 256
"""What a socket holds while its process stands still; ours, about what Linux gives by default."""
MARK_EVERY_BEATS: Final = 16
GOODBYE_BEATS: Final = 3
GOODBYE_LIMIT_S: Final = 1.0


class Host(Protocol):
    """The node that SRM runs in."""

    config: Config
    memory: NodeMemory
    services: Services
    database: Database

    @property
    def life(self) -> Life: ...

    def send_beat(self, data: bytes) -> None: ...

    def send_call(self, request: Request) -> Outcome[Answer]: ...

    def stored(self, memory: NodeMemory) -> Outcome[None]:
        """Make the memory durable."""

    def sent(self, heartbeat: Heartbeat) -> None:
        """A heartbeat of ours went to the network."""

    def heard(self, heartbeat: Heartbeat) -> None:
        """One of the peer was good and new."""

    def stepped(self, before: Node, event: Event, result: Step) -> None:
        """An event was decided on."""

    def changed(self) -> None:
        """What is seen of the node may have changed."""

    def outlive(self, incarnation: int) -> float:
        """Start SRM again above an incarnation that was forgotten.  0: it starts.  Else it waits,
        at most so many seconds."""


class Srm:
    """One run of SRM, from its start to its stop."""

    def __init__(self, host: Host, start: Start, resolve_s: float) -> None:
        config, memory = host.config, host.memory
        self.host = host
        self.config = config
        self.life = Life(host.life.moments, host.life)
        self.keyring = config.auth.keyring()
        self.control_mark = stored_mark(memory.peer_control_mark)
        self.calls = Calls(
            self.life,
            config,
            self.keyring,
            incarnation=memory.incarnation,
            database=host.database,
            send=host.send_call,
        )
        self.reports = Reports(proved=self.keyring.proves)
        self.beats = Heartbeats(config, self.keyring, memory, self.life.now_s)
        self._outlived = False
        self._health = HealthReport(config.services.critical_service_delay_s)
        known_op = counted_op(host.database.picture, proved=self.keyring.proves)
        node = first_node(memory, config, known_op)
        self.node = replace(node, health=self._health.begin(self._facts()), lasting=False)
        """What the node is, by all that was decided."""
        self.spoken = self.node
        """What the node says it is: the last state that is durable."""
        self.has_spoken = False
        """A decision of this run is durable."""
        self.leaving = False
        self._socket: deque[bytes] = deque()
        self._resolved = False
        self._owed = False
        """A report is to be told as soon as the peer's name is found."""
        self._inbox: deque[tuple[Event, Outcome[Step] | None]] = deque()
        self._deciding = False
        self._asked: dict[int, Outcome[Step]] = {}
        """Requests that wait for a decision."""
        self._placing = False
        self._newest_placement = host.database.picture.placement_op
        self._services_ordered = 0
        """Orders to start or stop services that are under way."""
        self._timers: dict[Timer, Alarm] = {}
        self._moves: dict[Flow[None], MoveUsers] = {}
        self._deadline = Alarm(self.life, Rank.DEADLINE, self._ring)
        self._health_alarm = Alarm(self.life, Rank.WORK, self.health_changed)
        self._put(Booted(start))
        self.life.after(resolve_s, self._resolve)
        self._tick()

    def stop(self) -> NodeMemory:
        """Beat, hear and decide no more; what is to be remembered."""
        self.life.end()
        self.calls.close()
        if self._services_ordered:
            self.host.services.withdraw()
        for answer in tuple(self._asked.values()):
            answer.fail(WorkFailed("SRM is stopping: try again"))
        return self._with_marks(memory_of(self.spoken, self.host.memory, ""))

    def leave(self) -> Work[None]:
        """Announce that the node goes down."""
        self.leaving = True
        goodbye = self._beat()
        for _ in range(GOODBYE_BEATS - 1):
            self._beat()
        try:
            yield Flow(self.life, self.calls.say_goodbye(goodbye), GOODBYE_LIMIT_S)
        except WorkFailed:
            pass

    # ------------------------------------------------------------ heartbeats

    def arrive(self, data: bytes) -> None:
        """A datagram reaches our socket."""
        if len(self._socket) < SOCKET_DATAGRAMS:
            self._socket.append(data)
        if not self.life.frozen:
            self._readable()

    def thawed(self) -> None:
        """What waits in the socket is read first."""
        self.life.at(self.life.now_s, Rank.ARRIVAL, self._readable)

    def freezing(self) -> None:
        """The daemon looks at the clock each second; here that is made up for when it matters."""
        beat_s = self.beats.next_beat_s - self.beats.detector.interval_s
        ticks = (self.life.now_s - beat_s) // TICK_MAX_S
        self.beats.awake(beat_s + ticks * TICK_MAX_S)

    def _tick(self) -> None:
        now_s = self.life.now_s
        due = self.beats.take_turn(now_s)
        self.life.at(self.beats.next_beat_s, Rank.WORK, self._tick)
        self.beats.awake(now_s)
        if due and self.has_spoken:
            self._beat()
        self._rearm()

    def _beat(self) -> Heartbeat:
        host = self.host
        summary = summary_of(
            self.config,
            host.database.picture,
            host.services.statuses(),
            served=self.served_count(),
            database_ok=host.database.ok,
        )
        heartbeat = heartbeat_of(
            self.config,
            host.memory,
            self.spoken,
            summary,
            seq=self.beats.numbered(),
            acknowledged=self.beats.acknowledged(self.control_mark),
            leaving=self.leaving,
        )
        if self._resolved:
            version = self.config.heartbeat.protocol_version
            host.sent(heartbeat)
            host.send_beat(encode(heartbeat, self.keyring, version=version))
        return heartbeat

    def _resolve(self) -> None:
        """The peer's name has been looked up."""
        self._resolved = True
        if self._owed:
            self._beat()

    def _readable(self) -> None:
        self._drain()
        self._rearm()

    def _drain(self) -> None:
        while self._socket and self.life.alive:
            result = self.beats.receive(self._socket.popleft(), self.life.now_s)
            if isinstance(result, Heartbeat):
                self._heard(result)
            elif result.mismatch is not None:
                self._mismatched(result.mismatch)

    def _heard(self, heartbeat: Heartbeat) -> None:
        self.host.heard(heartbeat)
        if self._outlived:
            return
        if acknowledged(heartbeat) > self.beats.sent.newest:
            self._go_above(heartbeat.hears_incarnation)
            return
        mismatch = self.reports.mismatch
        events = self.reports.heard(heartbeat, self.node)
        if events is None:
            return
        doubt = self.reports.doubt(events, self.node)
        if doubt is not None:
            self.beats.doubt(doubt, self.life.now_s)
        self._take(events, mismatch)
        if heartbeat.leaving:
            return
        if self.beats.received_count % MARK_EVERY_BEATS == 1:
            self.host.stored(self._with_marks(self.host.memory))
        self.calls.compare(heartbeat.summary)

    def _go_above(self, incarnation: int) -> None:
        """The peer acknowledges what we have not sent: we lost our memory, or are not meant."""
        pause_s = self.host.outlive(incarnation)
        self._outlived = pause_s == 0
        if not self._outlived:
            me, peer = self.config.node.id, self.config.peer.id
            self._mismatched(other_receiver(me=me, peer=peer, pause_s=pause_s))

    def told(self, heartbeat: Heartbeat) -> None:
        """A report by the control channel."""
        if acknowledged(heartbeat) > self.beats.sent.newest:
            return  # meant for another run of ours, or for another node: its heartbeats decide
        mismatch = self.reports.mismatch
        self._take(self.reports.told(heartbeat, self.node) or (), mismatch)

    def _mismatched(self, what: Text) -> None:
        mismatch = self.reports.mismatch
        self._take(self.reports.mismatched(what, self.node), mismatch)

    def _take(self, events: tuple[Event, ...], mismatch_before: Text | None) -> None:
        if self.reports.mismatch != mismatch_before:
            self.host.changed()
        for event in events:
            self._put(event)

    def _rearm(self) -> None:
        deadline_s = self.beats.deadline_s
        if deadline_s is None:
            self._deadline.cancel()
        else:
            self._deadline.set(deadline_s)

    def _ring(self) -> None:
        """Drain before fire (R13)."""
        self.beats.awake(self.life.now_s)
        self._drain()
        match self.beats.judge(self.life.now_s):
            case PeerDown():
                self._put(PeerDown())
            case Text() as what:
                self._mismatched(what)
            case None:
                pass
        self._rearm()

    # ------------------------------------------------------------ the driver

    def ask(self, event: Event) -> Outcome[Step]:
        """A request, and the decision on it."""
        answer: Outcome[Step] = Outcome()
        number = id(answer)
        self._asked[number] = answer
        answer.then(lambda: _forget(self._asked, number))
        if not self._put(event, answer):
            answer.fail(WorkFailed("SRM is too busy: try again"))
        return answer

    def _put(self, event: Event, answer: Outcome[Step] | None = None) -> bool:
        if len(self._inbox) >= INBOX_EVENTS:
            return False
        self._inbox.append((event, answer))
        self._consume()
        return True

    def _consume(self) -> None:
        while self._inbox and not self._deciding and self.life.alive:
            event, answer = self._inbox.popleft()
            self._deciding = True
            self._decide(event, answer)

    def _decide(self, event: Event, answer: Outcome[Step] | None) -> None:
        before = self.node
        result = step(before, event)
        self.host.stepped(before, event, result)
        self.beats.follow(before, result.node, self.life.now_s)
        self._rearm()
        self.node = result.node
        todo = ready(before, result)
        if not todo.save:
            return self._carry_on(result, todo, answer)
        memory = self._with_marks(memory_of(result.node, self.host.memory, ""))
        durable = self.host.stored(memory)
        return durable.then(
            lambda: self.life.do(Rank.WORK, lambda: self._carry_on(result, todo, answer))
        )

    def _carry_on(self, result: Step, todo: Ready, answer: Outcome[Step] | None) -> None:
        """The state is durable: tell, arm, act."""
        self.spoken = result.node
        self.has_spoken = True
        self._look_at_placement()
        self.host.changed()
        if todo.tell and not self.leaving:
            self._owed = not self._resolved
            self.calls.tell(self._beat())
        for timer in todo.disarm:
            self._disarm(timer)
        for timer in sorted(todo.arm, key=lambda timer: timer.value):
            self._arm(timer)
        for move, order in tuple(self._moves.items()):
            if order.op != self.node.op:  # it must not become durable later
                del self._moves[move]
                move.cancel()
        for effect in todo.act:
            self._act(effect)
        if answer is not None:
            answer.succeed(result)
        self._deciding = False
        self._consume()

    def _arm(self, timer: Timer) -> None:
        op = self.node.op
        due = StayExpired(op) if timer is Timer.STAY else FallbackDue(op)
        due_s = self.life.now_s + timer_s(timer, self.node, self.config)

        def ring() -> None:
            if self.life.now_s - due_s > TIMER_LATE_S:  # we stood still: its time was not used
                self._arm(timer)
            else:
                self._put(due)

        alarm = Alarm(self.life, Rank.WORK, ring)
        alarm.set(due_s)
        self._timers[timer] = alarm

    def _disarm(self, timer: Timer) -> None:
        alarm = self._timers.pop(timer, None)  # none: it ran before SRM restarted
        if alarm is not None:
            alarm.cancel()

    def _act(self, effect: Effect) -> None:
        match effect:
            case StartServices(op):
                self._order(self._start_services(), ServicesStarted(op), Order.START_SERVICES)
            case StopServices(op):
                work = self.host.services.stop_all()
                self._order(work, ServicesStopped(op), Order.STOP_SERVICES)
            case MoveUsers(op):
                flow = self._order(
                    self._move_users(effect),
                    UsersMoved(op),
                    Order.MOVE_USERS,
                    self.config.users.move_limit_s,
                )
                if not flow.done:
                    self._moves[flow] = effect

    def _order(
        self,
        work: Work[None],
        done: ServicesStarted | ServicesStopped | UsersMoved,
        order: Order,
        limit_s: float | None = None,
    ) -> Flow[None]:
        flow = Flow(self.life, work, limit_s)
        self._services_ordered += order is not Order.MOVE_USERS

        def answered() -> None:
            self._moves.pop(flow, None)
            self._services_ordered -= order is not Order.MOVE_USERS
            try:
                flow.result()
            except FAILURES:
                self._put(OperationFailed(done.op, order))
            else:
                self._put(done)

        flow.then(answered)
        return flow

    def _start_services(self) -> Work[None]:
        self._health.give_new_delay(self.node)
        self.health_changed()
        # What starts here goes on when SRM stops: the services are the node's.
        yield self.host.services.flow(self.host.services.start_all())
        self.host.database.start()

    def _move_users(self, order: MoveUsers) -> Work[None]:
        config, picture = self.config, self.host.database.picture
        homes = homes_after(order, me=config.node.id, peer=config.peer.id)
        rate_per_s = config.users.move_rate_per_s
        if rate_per_s > 0:
            yield moved_count(homes, picture, me=config.node.id) / rate_per_s
        by = config.node.id
        self.host.database.use(lambda database: place(database, homes, order.op, by))
        self.calls.placement_changed()

    def picture_changed(self) -> None:
        """The database holds something else than before."""
        placed_op = self.host.database.picture.placement_op
        self._newest_placement = max(self._newest_placement, placed_op)
        self._look_at_placement()
        self.calls.users_changed()

    def _look_at_placement(self) -> None:
        """Our orders have to outrank what the database holds, and it has to suit our state."""
        if not self.life.alive:
            return
        picture = self.host.database.picture
        seen = placement_seen(self.node, picture, proved=self.keyring.proves)
        if seen is not None:
            self._put(seen)
        if self._displaced() is not None and not self._placing:
            self._placing = True
            Flow(self.life, self._place_again())

    def _displaced(self) -> dict[str, str] | None:
        me, peer = self.config.node.id, self.config.peer.id
        picture = self.host.database.picture
        return displaced(self.spoken, picture, self._newest_placement, me=me, peer=peer)

    def _place_again(self) -> Work[None]:
        yield 0.0  # not within the use of the database that has shown it
        if self.spoken.state is State.NORMAL:
            yield PLACED_AGAIN_PAUSE_S
        while (homes := self._displaced()) is not None:
            op = placed_again_op(self.spoken, self.host.database.picture, self._newest_placement)
            by = self.config.node.id
            try:
                self.host.database.use(partial(place, homes=homes, op=op, by=by))
            except UserDatabaseError:
                pass
            else:
                self.calls.placement_changed()
            yield PLACED_AGAIN_PAUSE_S
        self._placing = False

    # ------------------------------------------------------------ health and memory

    def health_changed(self) -> None:
        """Services or database changed, or the delay may have passed."""
        if not self.life.alive:
            return
        news, due_s = self._health.told(self._facts())
        if news is not None:
            self._put(news)
        if due_s is None:
            self._health_alarm.cancel()
        else:
            self._health_alarm.set(due_s)

    def _facts(self) -> Facts:
        host = self.host
        services = host.services
        return Facts(
            database_ok=host.database.ok,
            services_ok=services.critical_ok,
            services_starting=services.critical_starting,
            now_s=self.life.now_s,
        )

    def served_count(self) -> int:
        host = self.host
        well = host.services.critical_ok and host.database.ok
        return served_count(self.spoken, self.config.node.id, host.database.picture, well=well)

    def _with_marks(self, memory: NodeMemory) -> NodeMemory:
        return with_marks(
            memory, self.keyring, heartbeat=self.beats.mark, control=self.control_mark
        )


def _forget(asked: dict[int, Outcome[Step]], number: int) -> None:
    del asked[number]
