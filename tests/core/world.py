"""Two nodes in a hostile world, for the search: links that lose and delay, crashes, faults, people.

The core decides; this model is all the rest, as simple as it can be.  Every verb is total: where it
makes no sense it does nothing, so any list of verbs is a plan, and a plan can be shortened.

What the model assumes of the shell, and no more:

- silence is reported (`miss`) only when the peer is not up or its link to us is cut, and never
  while something of it is still on its way;
- a report with a higher stamp of high availability is told to the machine as HaSet first; the same
  stamp with another value is a mismatch;
- orders are carried out in turn, also those that were withdrawn; a move is refused when the
  placement has a higher (op, by); placements travel with the heartbeats, and the highest wins.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from srmd.core.effects import Effect, MoveUsers, StartServices, StopServices
from srmd.core.events import (
    Booted,
    Event,
    FailoverRequested,
    FallbackDue,
    FallbackRequested,
    HaSet,
    HealthChanged,
    OperationFailed,
    Order,
    PeerDown,
    PeerHeard,
    PeerLeft,
    PeerMismatched,
    RecoverRequested,
    Report,
    ServicesStarted,
    ServicesStopped,
    StayExpired,
    UsersMoved,
)
from srmd.core.machine import ready
from srmd.core.node import Node, Policy, Serving, Timer, serving, timers
from srmd.core.states import Contact, Destination, Health, Reason, Start, State
from srmd.core.transitions import may_fall_back, may_recover, step

IN_FLIGHT_MAX = 3
ROUNDS_MAX = 40
"""Rounds of heartbeats within which a pair that is left alone comes to rest."""
ACTIONS_MAX = 8
"""Recommended actions (and ended waits) that lead from anywhere to row 1."""

Half = tuple[State, Reason]
ROW_1: Half = (State.NORMAL, Reason.NORMAL)
FAILED_OVER = frozenset({State.IDLE, State.FAILED_OVER, State.FAILED_OVER_SERVICES_DOWN})

Placement = dict[str, tuple[int, str, str]]
"""Home -> (op, by, serving)."""


@dataclass
class Member:
    """One node: its machine, its services, its copy of the placement."""

    name: str
    node: Node
    srm_up: bool = False
    node_up: bool = False
    services: bool = False
    fault: Health = Health.OK
    """What is broken, by nature or by hand: a service, or the database."""
    orders: deque[Effect] = field(default_factory=deque)
    inbox: deque[tuple[Report, Placement]] = field(default_factory=deque)
    deaf: bool = False
    placement: Placement = field(
        default_factory=lambda: {"a": (0, "", "a"), "b": (0, "", "b")},
    )

    @property
    def health(self) -> Health:
        if self.fault is Health.DATABASE_DOWN:
            return Health.DATABASE_DOWN
        return Health.OK if self.services and self.fault is Health.OK else Health.SERVICE_DOWN

    @property
    def half(self) -> Half:
        return self.node.state, self.node.reason

    def serves(self) -> set[str]:
        """The homes whose users are served here now."""
        if not self.node_up or self.health is not Health.OK:
            return set()
        placed = {home for home, row in self.placement.items() if row[2] == self.name}
        match serving(self.node):
            case Serving.NOBODY:
                return set()
            case Serving.OWN:
                return placed & {self.name}
            case Serving.PLACED:
                return placed


class World:
    """Broken promises raise AssertionError; `story` tells what happened."""

    def __init__(self, policy: Policy) -> None:
        self.a = Member("a", Node(first=True, policy=policy))
        self.b = Member("b", Node(first=False, policy=policy))
        self.mismatched = False
        self.orderly = False
        """Since the pair was at rest no link, node or SRM was lost, and neither node has failed:
        nobody is served twice, not even on the way."""
        self.checked: dict[str, int] = {}
        """How often each promise was looked at."""
        self.story: list[str] = []
        self.transitions = 0

    def pair(self) -> tuple[Member, Member]:
        return self.a, self.b

    def other(self, one: Member) -> Member:
        return self.b if one is self.a else self.a

    def check(self, promise: str, kept: bool) -> None:
        self.checked[promise] = self.checked.get(promise, 0) + 1
        assert kept, f"{promise}\n" + "\n".join(self.story[-60:])

    # ------------------------------------------------------------------ the machine

    def feed(self, one: Member, event: Event) -> None:
        before = one.node
        result = step(before, event)
        one.node = result.node
        one.orders.extend(ready(before, result).act)
        changed = (before.state, before.reason) != one.half
        if changed or result.refusal:
            self.story.append(f"    {one.name}: {event} -> {self.told(one)} {result.refusal or ''}")
        self.transitions += changed
        if one.node.state is State.FAILED_MODE:
            self.orderly = False
        self.check("the operation number never falls", one.node.op >= before.op)
        if changed:
            self.check("each transition has a new operation number", one.node.op > before.op)
        if result.refusal:
            self.check("a refused request changes nothing", one.node == before)
        if self.orderly:
            self.check("nobody is served twice", not self.a.serves() & self.b.serves())

    def told(self, one: Member) -> str:
        n = one.node
        return f"{n.state.name} / {n.reason.name}, {n.stage.name}, op {n.op}, {n.health.name}"

    # ------------------------------------------------------------------ verbs: the link

    def send(self, one: Member) -> None:
        """A heartbeat leaves for the peer."""
        to = self.other(one)
        if one.srm_up and to.srm_up and not to.deaf and len(to.inbox) < IN_FLIGHT_MAX:
            to.inbox.append((one.node.report(), dict(one.placement)))

    def hear(self, one: Member) -> None:
        """The oldest heartbeat on its way arrives."""
        if not one.inbox or not one.srm_up:
            return
        report, placement = one.inbox.popleft()
        for home, row in placement.items():
            if row[:2] > one.placement[home][:2]:
                one.placement[home] = row
        if self.mismatched:
            self.feed(one, PeerMismatched("group name"))
            return
        if report.ha_stamp > one.node.ha_stamp:
            self.feed(one, HaSet(report.ha, report.ha_stamp))
        if report.ha is not one.node.ha and report.ha_stamp == one.node.ha_stamp:
            self.feed(one, PeerMismatched("high availability"))
            return
        self.feed(one, PeerHeard(report))

    def lose(self, one: Member) -> None:
        if one.inbox:
            one.inbox.popleft()

    def exchange(self, one: Member) -> None:
        """A heartbeat that arrives at once."""
        one.inbox.clear()
        self.send(self.other(one))
        self.hear(one)

    def cut(self, one: Member) -> None:
        one.deaf = True
        one.inbox.clear()
        self.orderly = False

    def mend(self, one: Member) -> None:
        one.deaf = False

    def miss(self, one: Member) -> None:
        """The heartbeat timeout passes in silence."""
        silent = one.deaf or not self.other(one).srm_up
        if one.srm_up and silent and not one.inbox and one.node.contact is not Contact.SILENT:
            self.feed(one, PeerDown())

    def mismatch(self, one: Member) -> None:
        self.mismatched = not self.mismatched
        self.orderly = False

    # ------------------------------------------------------------------ verbs: orders

    def carry_out(self, one: Member) -> None:
        """The oldest order is carried out, as well as it can be, and answered."""
        if not one.srm_up or not one.orders:
            return
        match one.orders.popleft():
            case StartServices(op):
                one.services = one.fault is not Health.SERVICE_DOWN
                self.notice(one)
                failed = OperationFailed(op, Order.START_SERVICES)
                self.feed(one, ServicesStarted(op) if one.services else failed)
            case StopServices(op):
                one.services = False
                self.notice(one)
                self.feed(one, ServicesStopped(op))
            case MoveUsers(op, to):
                self.feed(
                    one,
                    UsersMoved(op)
                    if self.move(one, op, to)
                    else OperationFailed(op, Order.MOVE_USERS),
                )

    def move(self, one: Member, op: int, to: Destination) -> bool:
        if one.fault is Health.DATABASE_DOWN:
            return False
        if any((op, one.name) < row[:2] for row in one.placement.values()):
            return False
        for home in one.placement:
            target = one.name if to is Destination.HERE else home
            one.placement[home] = (op, one.name, target)
        return True

    def fail_order(self, one: Member) -> None:
        """The oldest order cannot be carried out."""
        if not one.srm_up or not one.orders:
            return
        match one.orders.popleft():
            case StartServices(op):
                self.feed(one, OperationFailed(op, Order.START_SERVICES))
            case StopServices(op):
                self.feed(one, OperationFailed(op, Order.STOP_SERVICES))
            case MoveUsers(op, _):
                self.feed(one, OperationFailed(op, Order.MOVE_USERS))

    # ------------------------------------------------------------------ verbs: health and time

    def break_service(self, one: Member) -> None:
        one.fault = Health.SERVICE_DOWN

    def break_database(self, one: Member) -> None:
        one.fault = Health.DATABASE_DOWN

    def repair(self, one: Member) -> None:
        """The administrator repairs what is broken, and starts what was not ordered to stop."""
        one.fault = Health.OK
        if one.node_up and one.node.state is not State.IDLE:
            one.services = True

    def notice(self, one: Member) -> None:
        """The health as it is now reaches the machine."""
        if one.srm_up and (one.node.health is not one.health):
            lasting = one.node.lasting and one.health is not Health.OK
            self.feed(one, HealthChanged(one.health, lasting))

    def last(self, one: Member) -> None:
        """The node has been unhealthy for the critical service delay."""
        self.notice(one)
        if one.srm_up and one.health is not Health.OK and not one.node.lasting:
            self.feed(one, HealthChanged(one.health, lasting=True))

    def expire(self, one: Member) -> None:
        if one.srm_up and Timer.STAY in timers(one.node):
            self.feed(one, StayExpired(one.node.op))

    def fall_due(self, one: Member) -> None:
        if one.srm_up and Timer.FALLBACK in timers(one.node):
            self.feed(one, FallbackDue(one.node.op))

    # ------------------------------------------------------------------ verbs: stops and starts

    def stop_srm(self, one: Member) -> None:
        """SRM ends; services and sessions run on."""
        one.srm_up = False
        one.orders.clear()
        one.inbox.clear()
        self.orderly = False

    def crash(self, one: Member) -> None:
        self.stop_srm(one)
        one.node_up = one.services = False

    def leave(self, one: Member) -> None:
        """The node says that it goes down, and does."""
        to = self.other(one)
        told = one.srm_up and to.srm_up and not to.deaf
        self.crash(one)
        if told:
            to.inbox.clear()
            self.feed(to, PeerLeft())

    def start(self, one: Member) -> None:
        """SRM starts (again) with what it had stored; after a crash the node boots first."""
        begin = Start.RESTART if one.node_up else Start.REBOOT
        self.stop_srm(one)
        self.other(one).inbox.clear()
        one.srm_up = one.node_up = True
        kept = one.node
        one.node = Node(
            state=kept.state,
            reason=kept.reason,
            cause=kept.cause,
            op=kept.op,
            ha=kept.ha,
            ha_stamp=kept.ha_stamp,
            first=kept.first,
            policy=kept.policy,
            health=one.health,
        )
        self.feed(one, Booted(begin))

    # ------------------------------------------------------------------ verbs: people

    def request(self, one: Member, event: Event, allowed: bool) -> None:
        if not one.srm_up:
            return
        before = one.node.op
        self.feed(one, event)
        if one.node.op != before:
            self.check("a request is obeyed only where the documents allow it", allowed)

    def ask_failover(self, one: Member) -> None:
        n = one.node
        normal = n.state is State.NORMAL and n.contact is Contact.HEARD
        self.request(
            one,
            FailoverRequested(),
            normal and n.peer is not None and n.peer.state is State.NORMAL,
        )

    def ask_fallback(self, one: Member) -> None:
        n = one.node
        failed_over = n.state in {State.IDLE, State.FAILED_OVER}
        backed = n.peer is not None and n.peer.state is State.BACKUP and n.contact is Contact.HEARD
        alone = n.state is State.IDLE and n.contact in {Contact.SILENT, Contact.LEFT}
        self.request(one, FallbackRequested(), (failed_over and backed) or alone)

    def ask_recover(self, one: Member) -> None:
        self.request(one, RecoverRequested(), one.node.state is State.FAILED_MODE)

    def switch_ha(self, one: Member) -> None:
        """Until the next rest nothing is promised: users stay wherever they are."""
        if one.srm_up:
            self.orderly = False
            self.feed(one, HaSet(enabled=not one.node.ha, stamp=one.node.ha_stamp + 1))

    # ------------------------------------------------------------------ being left alone

    def settle(self) -> None:
        """Heartbeats flow where they can, orders are carried out, health is noticed: to rest."""
        for _ in range(ROUNDS_MAX):
            was = self.picture()
            for one in self.pair():
                self.notice(one)
                self.exchange(one)
                while one.srm_up and one.orders:
                    self.carry_out(one)
            if was != self.picture():
                continue
            for one in self.pair():
                self.last(one)
            if was == self.picture():
                return
        self.check("a pair that is left alone comes to rest", kept=False)

    def endure_one_way_loss(self, deaf: Member) -> None:
        """One node never hears the other again, however long: the transitions end."""
        self.story.append(f"{deaf.name} is deaf for good")
        self.cut(deaf)
        self.wait_out()
        self.check("one-way loss comes to rest", kept=True)

    def wait_out(self) -> None:
        """All waits end, again and again, until nothing changes any more."""
        for _ in range(ACTIONS_MAX):
            before = self.transitions
            for one in self.pair():
                for end in (self.miss, self.fall_due, self.expire):
                    self.settle()
                    end(one)
            self.settle()
            if self.transitions == before:
                return
        self.check("a pair that is left alone comes to rest", kept=False)

    def rest(self, _: Member) -> None:
        """For once, nothing happens for long enough."""
        self.settle()
        self.look_at_rest()

    def picture(self) -> object:
        return [(m.node, m.services, dict(m.placement)) for m in self.pair()]

    def look_at_rest(self) -> None:
        """In a stable pair that hears itself each home is served by exactly one node."""
        a, b = self.pair()
        states = {a.node.state, b.node.state}
        hearing = all(m.srm_up and m.node.contact is Contact.HEARD for m in self.pair())
        if not hearing:
            return
        self.check("at rest nobody is served twice", not a.serves() & b.serves())
        if a.health is b.health is Health.OK and states == {State.NORMAL}:
            self.check("in Normal each serves its own", (a.serves(), b.serves()) == ({"a"}, {"b"}))
            self.orderly = True
        for one in self.pair():
            failed_over = self.other(one).node.state in FAILED_OVER
            if one.node.state is State.BACKUP and failed_over and one.health is Health.OK:
                served = one.serves(), self.other(one).serves()
                self.check("the backup serves everybody", served == ({"a", "b"}, set()))
                self.orderly = True

    def mend_links(self) -> None:
        """The nodes run and hear each other again; what is broken in them stays so."""
        self.story.append("the links are mended")
        self.mismatched = False
        for one in self.pair():
            self.mend(one)
        for one in self.pair():
            if not one.srm_up:
                self.start(one)

    def heal(self) -> None:
        """Everything is repaired; what remains is what the machines made of it."""
        self.mend_links()
        stamp = max(m.node.ha_stamp for m in self.pair()) + 1
        for one in self.pair():
            one.fault = Health.OK
        for one in self.pair():
            if not one.node.ha or self.other(one).node.ha_stamp != one.node.ha_stamp:
                self.feed(one, HaSet(enabled=True, stamp=stamp))
        for one in self.pair():
            self.repair(one)

    def end_in_row_1(self) -> None:
        """R14: waits end, and the recommended action leads on, until both are Normal."""
        for _ in range(ACTIONS_MAX):
            self.settle()
            self.look_at_rest()
            if self.a.half == self.b.half == ROW_1:
                self.check("row 1 is reached", self.orderly)
                return
            self.act_as_recommended()
        self.check("row 1 is reached", kept=False)

    def act_as_recommended(self) -> None:
        for one in self.pair():
            if Timer.STAY in timers(one.node):
                self.story.append(f"{one.name}: the wait ends")
                self.expire(one)
                return
        for one in self.pair():
            self.repair(one)
            n = one.node
            if may_fall_back(n, n.peer, n.contact):
                self.story.append(f"{one.name}: fallback")
                self.feed(one, FallbackRequested())
                return
            if may_recover(n, n.peer, n.contact):
                self.story.append(f"{one.name}: recover")
                self.feed(one, RecoverRequested())
                return
        if State.UNKNOWN in {self.a.node.state, self.b.node.state}:
            self.start(self.a)
            self.start(self.b)
            return
        if any(m.node.health is not m.health for m in self.pair()):
            return
        self.story.append(f"dead end: a {self.told(self.a)}; b {self.told(self.b)}")
        self.check("a recommended action leads on", kept=False)


Verb = Callable[[World, Member], None]
WEIGHTS: dict[Verb, int] = {
    World.send: 8,
    World.hear: 8,
    World.exchange: 14,
    World.lose: 1,
    World.carry_out: 16,
    World.fail_order: 1,
    World.cut: 2,
    World.mend: 3,
    World.miss: 6,
    World.mismatch: 1,
    World.break_service: 2,
    World.break_database: 1,
    World.repair: 3,
    World.notice: 3,
    World.last: 4,
    World.expire: 1,
    World.fall_due: 2,
    World.stop_srm: 1,
    World.crash: 1,
    World.leave: 1,
    World.start: 3,
    World.ask_failover: 3,
    World.ask_fallback: 4,
    World.ask_recover: 2,
    World.switch_ha: 1,
}

Plan = list[tuple[Verb, str]]


START: Plan = [(World.start, "a"), (World.start, "b")]
ROW_1_SCENE: Plan = [*START, (World.rest, "a")]
MANUALLY_FAILED_OVER: Plan = [*ROW_1_SCENE, (World.ask_failover, "a"), (World.rest, "a")]
FAILED_OVER_AND_WELL: Plan = [
    *ROW_1_SCENE,
    (World.break_service, "a"),
    (World.rest, "a"),
    (World.repair, "a"),
    (World.rest, "a"),
]
SCENES: tuple[Plan, ...] = (
    START,
    ROW_1_SCENE,
    MANUALLY_FAILED_OVER,
    FAILED_OVER_AND_WELL,
    [*ROW_1_SCENE, (World.ask_failover, "a"), (World.exchange, "b")],
    [*MANUALLY_FAILED_OVER, (World.ask_fallback, "a"), (World.exchange, "b")],
    [*FAILED_OVER_AND_WELL, (World.ask_fallback, "a"), (World.carry_out, "a")],
)
"""Where plans begin, with a as the home side or b."""


def draw(chance: random.Random, length: int) -> Plan:
    """A scene, then verbs at random."""
    scene = chance.choice(SCENES)
    if chance.random() < 0.5:
        scene = [(verb, "b" if name == "a" else "a") for verb, name in scene]
    verbs = chance.choices(list(WEIGHTS), weights=list(WEIGHTS.values()), k=length)
    return [*scene, *((verb, chance.choice("ab")) for verb in verbs)]


def perform(world: World, plan: Iterable[tuple[Verb, str]]) -> None:
    for verb, name in plan:
        world.story.append(f"{name}.{verb.__name__}")
        verb(world, world.a if name == "a" else world.b)


def shortest(plan: Plan, fails: Callable[[Plan], bool]) -> Plan:
    """A plan that still fails, and none of whose verbs can be left out."""
    at = 0
    while at < len(plan):
        without = plan[:at] + plan[at + 1 :]
        if fails(without):
            plan, at = without, 0
        else:
            at += 1
    return plan


__all__ = ["Plan", "World", "draw", "perform", "shortest"]
