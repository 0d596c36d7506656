"""A simulated server node: what stays when it is off, its process, and one boot after another.

As `daemon.node` and `daemon.main`, in virtual time.  Disk and configuration survive the process,
the process survives a reboot, and SRM is stopped and started inside a boot.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final, TypeVar

from srmd.config import Config
from srmd.core.events import (
    Event,
    FailoverRequested,
    FallbackRequested,
    RecoverRequested,
)
from srmd.core.machine import Step
from srmd.core.node import Node
from srmd.core.services import DATABASE_SERVICE, SRM_SERVICE, UnknownService, service_meant
from srmd.core.states import Contact, Start
from srmd.core.texts import REFUSALS, Text
from srmd.lab.scenario.verbs import Fault, NodeName, ServiceAction, SrmAction
from srmd.lab.simulated.calls import CallFailed
from srmd.lab.simulated.database import Database, DatabaseFile
from srmd.lab.simulated.flows import FAILURES, Flow, Outcome, TimeLimit, Work, WorkFailed
from srmd.lab.simulated.moments import Life, Moments, Rank
from srmd.lab.simulated.network import Broken
from srmd.lab.simulated.services import Service, ServiceCosts, Services
from srmd.lab.simulated.srm import Srm
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
    users_are_locked,
    users_locked_text,
)
from srmd.node.identity import Renumbering
from srmd.node.memory import Boot, of_new_run, remembered_node, wake, waking
from srmd.node.replication import merge, page_of, unheard
from srmd.node.users import served_count
from srmd.store.database import AssignmentMode, DatabaseDown, UserDatabaseError
from srmd.store.nodestate import NodeMemory
from srmd.wire import control as messages
from srmd.wire.codec import MalformedMessage
from srmd.wire.heartbeat import Heartbeat
from srmd.wire.rejected import Rejected

POWER_DELAY_S: Final = 0.05
"""Between the answer to a power command and its begin, as the daemon."""
BACKLOG_CALLS: Final = 128
"""Calls that wait while the process stands still; further ones are refused."""

T = TypeVar("T")


class NotNow(WorkFailed):
    """The node refuses; nothing has changed."""

    def __init__(self, detail: str, needed: str = "") -> None:
        super().__init__(detail)
        self.needed = needed


class End(Enum):
    """How a boot of the node ends."""

    STOPPED = "stopped"
    SHUTDOWN = "shutdown"
    REBOOT = "reboot"


@dataclass(frozen=True, slots=True)
class Costs:
    """How long things take that are no setting, in seconds.  Ours: about what a laptop needs, and
    powers of two, so that sums of them are exact and equal moments stay equal."""

    latency_s: float = 2.0**-12
    """Of the network, one way."""
    save_s: float = 2.0**-9
    """Of making a state durable."""
    resolve_s: float = 2.0**-11
    """Of looking up the peer's name."""
    boot_s: float = 2.0**-2
    """From the start of the process to that of SRM."""
    service_start_s: float = 2.0**-4
    service_stop_s: float = 2.0**-6


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What a node has around it: time, the peer, and whoever watches."""

    moments: Moments
    costs: Costs
    send_beat: Callable[[bytes], None]
    send_call: Callable[[Request], Outcome[Answer]]
    sent: Callable[[Heartbeat], None]
    heard: Callable[[Heartbeat], None]
    stepped: Callable[[Node, Event, Step], None]
    changed: Callable[[], None]


class SimulatedNode:
    """The machine: what is on its disk, and its process while there is one."""

    def __init__(self, name: NodeName, config: Config, world: World) -> None:
        self.name = name
        self.config = config
        """As its file has it; the node reads it when it starts, SRM in part when it restarts."""
        self.memory: NodeMemory | None = None
        self.database = DatabaseFile(config.node.id)
        self.blocked: set[str] = set()
        self.process: Life | None = None
        self.boot: ServerBoot | None = None
        self._world = world
        self._boots = 0
        self._waiting_calls = 0

    @property
    def runs(self) -> bool:
        return self.process is not None

    @property
    def frozen(self) -> bool:
        return self.process is not None and self.process.frozen

    def start(self) -> None:
        """Start the process."""
        assert self.process is None, f"node {self.name.value} runs already"
        life = Life(self._world.moments)
        self.process = life
        life.after(self._world.costs.boot_s, lambda: self._boot(life, rebooted=False))

    def kill(self) -> None:
        """The process is gone, with all that it had planned; so are its services."""
        self._end_boot()
        process, self.process = self.process, None
        if process is not None:
            process.end()
        self._world.changed()

    def terminate(self) -> None:
        """It is told to stop: like a restart of the service, the peer is not told."""
        if self.frozen:
            self.thaw()
        if self.boot is None:
            self.kill()
        else:
            self.boot.end(End.STOPPED)

    def freeze(self) -> None:
        assert self.process is not None
        if self.boot is not None and self.boot.srm is not None:
            self.boot.srm.freezing()
        self.process.freeze()
        self._world.changed()

    def thaw(self) -> None:
        assert self.process is not None
        self.process.thaw()
        if self.boot is not None and self.boot.srm is not None:
            self.boot.srm.thawed()
        self._world.changed()

    # ------------------------------------------------------------ what reaches it

    def receive(self, data: bytes) -> None:
        """A heartbeat; without SRM nobody listens."""
        if self.boot is not None and self.boot.srm is not None:
            self.boot.srm.arrive(data)

    def serve(self, request: Request, answer: Outcome[Answer]) -> None:
        """A control call.  Raises Broken when nobody listens."""
        self.asked(lambda boot: boot.control(request), answer)

    def asked(self, work: Callable[[ServerBoot], Work[T]], answer: Outcome[T]) -> None:
        """A call to its HTTP side.  Raises Broken when nobody listens."""
        boot, process = self.boot, self.process
        if boot is None or process is None or self._waiting_calls >= BACKLOG_CALLS:
            raise Broken("connection refused")
        self._waiting_calls += 1

        def taken() -> None:
            self._waiting_calls -= 1
            boot.take(work, answer)

        if process.frozen:
            boot.fail_at_end(answer)
        process.do(Rank.ARRIVAL, taken)

    # ------------------------------------------------------------ boots

    def _boot(self, process: Life, *, rebooted: bool) -> None:
        self._boots += 1
        about = Boot(boot_id=f"{self.name.value}-boot-{self._boots}", os_boot_id="simulated", at="")
        memory, start = wake(self.memory, self.config, about, rebooted=rebooted)
        self._waiting_calls = 0
        self.boot = ServerBoot(self, self._world, process, memory)
        self.boot.power_on(start)
        self._world.changed()

    def ended(self, end: End) -> None:
        """A boot has powered itself off."""
        process = self.process
        assert process is not None, "a boot ends within its process"
        self._end_boot()
        if end is End.REBOOT:
            process.after(self.config.node.reboot_s, lambda: self._boot(process, rebooted=True))
            self._world.changed()
        else:
            self.kill()

    def _end_boot(self) -> None:
        boot, self.boot = self.boot, None
        if boot is not None:
            boot.gone()


class ServerBoot:
    """One boot of the node: the host of its SRM, and what can be asked over its API."""

    def __init__(
        self, node: SimulatedNode, world: World, process: Life, memory: NodeMemory
    ) -> None:
        self.config = node.config
        self.memory = memory
        self.life = Life(world.moments, process)
        self.srm: Srm | None = None
        self._node = node
        self._world = world
        self._last_machine = remembered_node(memory)
        self._turn: Outcome[None] = Outcome()
        self._renumbering = Renumbering()
        self._turn.succeed(None)
        self._ending = False
        self._answers: OrderedDict[str, Flow[messages.Message]] = OrderedDict()
        self._open: dict[int, Callable[[], None]] = {}
        """Calls that are not answered yet, and how to break them off."""
        self._opened = 0
        costs = world.costs
        me, peer = self.config.node.id, self.config.peer.id
        self.nodes = (min(me, peer), max(me, peer))
        self.services = Services(
            self.life,
            self.config.services,
            ServiceCosts(costs.service_start_s, costs.service_stop_s),
            node.blocked,
            self._service_changed,
        )
        self.database = Database(
            self.life,
            node.database,
            nodes=self.nodes,
            check_interval_s=self.config.users.database_check_interval_s,
            on_change=self._service_changed,
            on_picture=self._picture_changed,
        )

    def power_on(self, start: Start) -> None:
        with suppress(DatabaseDown):  # shown, watched, a failure with a delay like any other
            self.database.start()
        Flow(self.life, self._in_turn(lambda: self._start_srm(start)))

    def end(self, end: End) -> None:
        """Power off, telling the peer if the node itself goes down."""
        if self._ending:
            return
        self._ending = True
        flow = Flow(self.life, self._power_off(end), self.config.limits.shutdown_s)
        flow.then(lambda: self._node.ended(end))

    def gone(self) -> None:
        """Nothing of this boot happens any more."""
        if self.srm is not None:
            self.srm.life.end()
        self.life.end()
        for break_off in tuple(self._open.values()):
            break_off()

    def _power_off(self, end: End) -> Work[None]:
        yield self._turn
        if end is not End.STOPPED and self.srm is not None:
            yield from self.srm.leave()
        yield from self._stop_srm()
        yield self.stored(replace(self.memory, clean_stop=end is End.STOPPED))
        yield from self.services.close()

    # ------------------------------------------------------------ Host: what SRM needs

    def send_beat(self, data: bytes) -> None:
        self._world.send_beat(data)

    def send_call(self, request: Request) -> Outcome[Answer]:
        return self._world.send_call(request)

    def stored(self, memory: NodeMemory) -> Outcome[None]:
        """The memory is the present one at once, and durable when the disk has it."""
        self.memory = memory
        durable: Outcome[None] = Outcome()

        def written() -> None:
            self._node.memory = memory
            durable.succeed(None)

        self.life.after(self._world.costs.save_s, written)
        return durable

    def sent(self, heartbeat: Heartbeat) -> None:
        self._world.sent(heartbeat)

    def heard(self, heartbeat: Heartbeat) -> None:
        self._world.heard(heartbeat)

    def stepped(self, before: Node, event: Event, result: Step) -> None:
        self._world.stepped(before, event, result)

    def changed(self) -> None:
        self._world.changed()

    def outlive(self, incarnation: int) -> float:
        """The peer knows a later number of ours than we do: our memory was lost."""
        pause_s = self._renumbering.begin(self.life.now_s)
        if pause_s > 0:
            return pause_s
        Flow(self.life, self._in_turn(lambda: self._restart_above(incarnation)))
        return 0.0

    def _restart_above(self, incarnation: int) -> Work[None]:
        if not self._ending:
            yield from self._stop_srm()
            above = max(incarnation, self.memory.incarnation)
            self.memory = replace(self.memory, incarnation=above)
            yield from self._start_srm(Start.RESTART)

    def _service_changed(self) -> None:
        if self.srm is not None:
            self.srm.health_changed()
        self._world.changed()

    def _picture_changed(self) -> None:
        if self.srm is not None:
            self.srm.picture_changed()
        self._world.changed()

    # ------------------------------------------------------------ SRM

    @property
    def machine(self) -> Node:
        """What SRM says of itself; the last it said while it is stopped."""
        return self.srm.spoken if self.srm is not None else self._last_machine

    @property
    def shown(self) -> Node:
        """The machine as an operator sees it: in Initializing until SRM has decided."""
        decided = self.srm is None or self.srm.has_spoken
        return self.machine if decided else waking(self.machine)

    @property
    def mismatch(self) -> Text | None:
        return self.srm.reports.mismatch if self.srm is not None else None

    def served_count(self) -> int:
        well = self.services.critical_ok and self.database.ok
        return served_count(self.machine, self.config.node.id, self.database.picture, well=well)

    def _start_srm(self, start: Start) -> Work[None]:
        yield self.stored(of_new_run(self.memory, self.config))
        self.srm = Srm(self, start, self._world.costs.resolve_s)
        self.srm.health_changed()
        self._world.changed()

    def _stop_srm(self) -> Work[None]:
        srm = self.srm
        if srm is None:
            return
        memory = srm.stop()
        self._last_machine = srm.spoken
        self.srm = None
        self._world.changed()
        yield self.stored(memory)

    def _in_turn(self, work: Callable[[], Work[None]]) -> Work[None]:
        """Orders to SRM are carried out one after the other."""
        before, mine = self._turn, Outcome[None]()
        self._turn = mine
        yield before
        try:
            yield from work()
        except FAILURES:
            mine.succeed(None)
            raise
        mine.succeed(None)

    def _reload(self) -> None:
        """A restart of SRM reads the configuration again; what belongs to the node stays."""
        new = self._node.config
        self.config = replace(
            self.config,
            group=new.group,
            peer=new.peer,
            heartbeat=new.heartbeat,
            auth=new.auth,
            relogin=new.relogin,
            limits=new.limits,
        )

    def order_srm(self, action: SrmAction) -> Work[None]:
        def work() -> Work[None]:
            if self._ending:
                raise NotNow(f"{self.config.node.id} is going down")
            if action is not SrmAction.START:
                yield from self._stop_srm()
            if action is not SrmAction.STOP and self.srm is None:
                self._renumbering = Renumbering()
                self._reload()
                yield from self._start_srm(Start.RESTART)

        return self._in_turn(work)

    # ------------------------------------------------------------ calls to its HTTP side

    def take(self, work: Callable[[ServerBoot], Work[T]], answer: Outcome[T]) -> None:
        """Do what is asked; who asks hears of it when the node goes down meanwhile."""
        self.fail_at_end(answer)
        flow = Flow(self.life, work(self))

        def answered() -> None:
            try:
                answer.succeed(flow.result())
            except (WorkFailed, UserDatabaseError) as error:
                answer.fail(error)

        flow.then(answered)

    def fail_at_end(self, answer: Outcome[T]) -> None:
        self._opened += 1
        number = self._opened
        self._open[number] = lambda: answer.fail(Broken("the node has ended"))
        answer.then(lambda: self._open.pop(number, None) and None)

    def act(self, action: messages.Action, node: str) -> Work[int]:
        """The `op` of what has begun.  Raises NotNow."""
        if node == self.config.node.id or action is messages.Action.RECOVER:
            return (yield from self._ask(_REQUESTS[action], action.value))
        return (yield from self._hand_on(action, node))

    def set_ha(self, *, enabled: bool) -> Work[int]:
        machine = self._running().node
        switch = ha_switch(machine, enabled)
        if switch is None:
            return machine.op
        return (yield from self._ask(switch, f"ha {'enable' if enabled else 'disable'}"))

    def _ask(self, request: Event, what: str) -> Work[int]:
        decided: Step = yield self._running().ask(request)
        if decided.refusal is not None:
            text = refusal_text(
                what,
                decided.node,
                self.mismatch,
                decided.refusal,
                me=self.config.node.id,
                peer=self.config.peer.id,
            )
            raise NotNow(text, decided.refusal)
        return decided.node.op

    def _hand_on(self, action: messages.Action, node: str) -> Work[int]:
        srm, peer = self._running(), self.config.peer.id
        needed = needed_to_hand_on(srm.node)
        if needed is not None:
            me = self.config.node.id
            text = refusal_text(action.value, srm.node, self.mismatch, needed, me=me, peer=peer)
            raise NotNow(text, needed)
        try:
            answer = yield from srm.calls.command(action, node)
        except CallFailed as error:
            raise NotNow(
                f"{peer} does not answer on its control channel ({error}): "
                f"repair it, or give the command on {peer} itself"
            ) from error
        if isinstance(answer, messages.Refused):
            raise NotNow(answer.detail, answer.needed)
        return int(answer.detail or 0)

    def _running(self) -> Srm:
        if self.srm is None:
            raise NotNow(
                "SRM does not run on this node: `srmd srm start` first", needed="SRM running"
            )
        return self.srm

    def power(self, end: End) -> Work[None]:
        self.life.after(POWER_DELAY_S, lambda: self.end(end))
        yield from ()

    def fault(self, fault: Fault, *, active: bool) -> Work[None]:
        match fault:
            case Fault.DATABASE:
                self.database.set_fault(active)
            case Fault.MOVES:
                self.database.set_moves_fail(active)
        yield from ()

    def add_users(self, count: int, mode: AssignmentMode, prefix: str) -> Work[None]:
        if users_are_locked(self.machine):
            me, peer = self.config.node.id, self.config.peer.id
            text = users_locked_text(self.machine, self.mismatch, me=me, peer=peer)
            raise NotNow(text, "both nodes in Normal")
        active = self.config.node.id
        self.database.use(
            lambda rows: rows.generate(
                count, nodes=self.nodes, mode=mode, active=active, prefix=prefix
            )
        )
        yield from ()

    def service(self, name: str, action: ServiceAction) -> Work[None]:
        names = (status.name for status in self.services.statuses())
        try:
            name = service_meant(name, (DATABASE_SERVICE, *names, SRM_SERVICE))
        except UnknownService as unknown:
            raise NotNow(str(unknown)) from unknown
        if name == SRM_SERVICE:
            yield from self.order_srm(_SRM_ACTIONS[action])
        elif name == DATABASE_SERVICE:
            yield from self._database_as_service(action)
        else:
            yield from self._service(name, action)

    def _service(self, name: str, action: ServiceAction) -> Work[None]:
        self._must_not_end()
        service = self.services.named(name)
        self._must_not_hold(service, action)
        match action:
            case ServiceAction.START:
                yield from service.start()
            case ServiceAction.STOP:
                yield from service.stop()
            case ServiceAction.RESTART:
                yield from service.stop()
                yield from service.start()
            case ServiceAction.KILL:
                service.kill()
            case ServiceAction.HANG:
                service.hang()
            case ServiceAction.BLOCK:
                self._node.blocked.add(name)
            case ServiceAction.UNBLOCK:
                self._node.blocked.discard(name)

    def _database_as_service(self, action: ServiceAction) -> Work[None]:
        self._must_not_end()
        match action:
            case ServiceAction.START:
                self.database.start()
            case ServiceAction.STOP:
                self.database.stop()
            case ServiceAction.RESTART:
                self.database.stop()
                self.database.start()
            case ServiceAction.KILL:
                self.database.crash()
            case ServiceAction.HANG | ServiceAction.BLOCK:
                self.database.set_fault(True)
            case ServiceAction.UNBLOCK:
                self.database.set_fault(False)
        yield from ()

    def _must_not_end(self) -> None:
        if self._ending:
            raise NotNow(f"{self.config.node.id} is going down")

    def _must_not_hold(self, service: Service, action: ServiceAction) -> None:
        """Raises NotNow for the start of a service that a failover stopped."""
        name, fails_over = service.status.name, service.enabled and service.status.critical
        starts = action in {ServiceAction.START, ServiceAction.RESTART}
        held = self.srm is not None and services_are_held(self.srm.node)
        if starts and held and fails_over:
            text = REFUSALS["service_held"].naming(service=name, node=self.config.node.id).en
            raise NotNow(text, "a manual fallback")

    # ------------------------------------------------------------ control messages

    def control(self, request: Request) -> Work[Answer]:
        srm, keyring = self.srm, self.config.auth.keyring()
        if srm is None:
            return not_running(request, keyring, node=self.config.node.id)
        try:
            came = verified(request, self.config, keyring, srm.control_mark)
            srm.control_mark = came.mark
            message = messages.decode_message(request.body, proved=came.proved)
            answer = yield from self._answer_once(srm, message)
        except Rejected as error:
            return rejection_of(error, request, keyring)
        except MalformedMessage:
            return malformed(request, keyring)
        return answer_of(answer, request, keyring)

    def _answer_once(self, srm: Srm, message: messages.Message) -> Work[messages.Message]:
        """A command that came before is not acted upon again."""
        if not isinstance(message, messages.CommandMessage):
            return (yield from self._answer(srm, message))
        if message.op not in self._answers:
            self._answers[message.op] = Flow(self.life, self._answer(srm, message))
        while len(self._answers) > OPERATIONS_REMEMBERED:
            self._answers.popitem(last=False)
        answer: messages.Message = yield self._answers[message.op]
        return answer

    def _answer(self, srm: Srm, message: messages.Message) -> Work[messages.Message]:
        op = message.op
        try:
            match message:
                case messages.ReportMessage(_, heartbeat):
                    if heartbeat.sender == self.config.peer.id:
                        srm.told(heartbeat)
                    return messages.Accepted(op, "")
                case messages.CommandMessage(_, action, node):
                    return (yield from self._obey(op, action, node))
                case messages.PlacementMessage():
                    if self.machine.contact is not Contact.HEARD:
                        return unheard(op)
                    return self.database.use(lambda rows: merge(rows, message))
                case messages.UsersRequest():
                    return self.database.use(lambda rows: page_of(rows, message))
                case _:
                    return messages.Refused(op, f"{type(message).__name__} is not a request", "")
        except UserDatabaseError as error:
            return messages.Refused(op, str(error), "the database of this node")

    def _obey(self, op: str, action: messages.Action, node: str) -> Work[messages.Message]:
        switches = {messages.Action.HA_ENABLE: True, messages.Action.HA_DISABLE: False}
        try:
            if action in switches:
                begun = yield from self.set_ha(enabled=switches[action])
            elif node == self.config.node.id:
                begun = yield from self.act(action, node)
            else:
                return messages.Refused(op, f"{node} is not this node", "")
        except NotNow as refused:
            return messages.Refused(op, str(refused), refused.needed)
        except TimeLimit as late:
            return messages.Refused(op, str(late), "")
        return messages.Accepted(op, str(begun))


_REQUESTS: Final[dict[messages.Action, Event]] = {
    messages.Action.FAILOVER: FailoverRequested(),
    messages.Action.FALLBACK: FallbackRequested(),
    messages.Action.RECOVER: RecoverRequested(),
}

_SRM_ACTIONS: Final = {
    ServiceAction.START: SrmAction.START,
    ServiceAction.STOP: SrmAction.STOP,
    ServiceAction.RESTART: SrmAction.RESTART,
    ServiceAction.KILL: SrmAction.STOP,
}
