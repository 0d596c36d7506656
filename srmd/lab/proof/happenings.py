"""What can happen to a pair next: every message, order, fault and command, one at a time.

The core decides; this model is all the rest, as simple as it can be:

- *Reports.* A node hears what its peer says of itself now, whenever it does: so heartbeats are
  lost.  A report that is held up in the network (a fault) arrives when it is old, or never, or
  several times, as long as nothing newer was heard: the daemon drops what was overtaken.  A control
  report is a heartbeat that proves no life; to a node that hears its peer it is the same news, to
  any other it is nothing (property S8 compares them on every step).
- *Silence* is a fault while the peer runs, and a matter of time while it does not.
- *Orders.* Services are started and stopped one after the other, also when the order was withdrawn;
  a move is withdrawn with its operation, unless it is durable already.
- *Placements* travel with the news; the highest (op, node) wins.
- *Faults* are counted: a pair is reached by as few as possible.  Commands, repairs, starts and the
  passing of time are free.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from srmd.core.contact import understand
from srmd.core.events import (
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
    ServicesStarted,
    ServicesStopped,
    StayExpired,
    UsersMoved,
)
from srmd.core.handbook import Half
from srmd.core.node import Node, Policy, Serving
from srmd.core.states import AWAY, Contact, Health, State
from srmd.lab.proof.minds import BASE, BELOW, HERE, START, STOP, Minds, Reports, Thought, Traits
from srmd.lab.proof.pair import (
    AT_A,
    AT_HOME,
    DATABASE,
    DONE,
    OFF,
    RUNNING,
    SERVICE,
    SOUND,
    STOPPED,
    WITHDRAWN,
    Canon,
    Exact,
    Pair,
    Report,
    Side,
)
from srmd.node.commands import ha_switch, offers


class Kind:
    """What a happening is, for those who follow only some of them."""

    FREE: Final = "free"
    """Messages, answers, time: they need nobody."""
    COMMAND: Final = "command"
    REPAIR: Final = "repair"
    """A fault ends, or what was stopped starts again."""
    FAULT: Final = "fault"


class Happening(NamedTuple):
    verb: str
    at: int
    """0: node a, 1: node b."""
    kind: str

    def __str__(self) -> str:
        return f"{'ab'[self.at]}: {self.verb}"


class Asked(NamedTuple):
    """A command of an administrator: `failover`, `fallback`, `recover`, `ha enable` or
    `ha disable`."""

    at: int
    """The node that it names."""
    command: str


Next = tuple[Happening, Pair]
Step = tuple[str, Pair]
"""What happens, in words, and what comes of it."""

HA_COMMANDS: Final = {"ha enable": True, "ha disable": False}

SERVED: Final = (
    # layout -> (placed at a, placed at b), as bits: 1 the users of a, 2 those of b
    (1, 2),
    (3, 0),
    (0, 3),
)


@dataclass(frozen=True, slots=True)
class Numbers:
    """The interned events that carry no facts."""

    silent: int
    left: int
    mismatched: int
    started: int
    stopped: int
    moved: int
    start_failed: int
    stop_failed: int
    move_failed: int
    expired: int
    due: int
    failover: int
    fallback: int
    recover: int
    ha: tuple[int, int]
    health: dict[tuple[Health, bool], int]
    boot: dict[bool, int]


def _numbers(minds: Minds) -> Numbers:
    event = minds.event
    return Numbers(
        silent=event(PeerDown()),
        left=event(PeerLeft()),
        mismatched=event(PeerMismatched("the settings")),
        started=event(ServicesStarted(BASE)),
        stopped=event(ServicesStopped(BASE)),
        moved=event(UsersMoved(BASE)),
        start_failed=event(OperationFailed(BASE, Order.START_SERVICES)),
        stop_failed=event(OperationFailed(BASE, Order.STOP_SERVICES)),
        move_failed=event(OperationFailed(BASE, Order.MOVE_USERS)),
        expired=event(StayExpired(BASE)),
        due=event(FallbackDue(BASE)),
        failover=event(FailoverRequested()),
        fallback=event(FallbackRequested()),
        recover=event(RecoverRequested()),
        ha=(event(HaSet(enabled=False, stamp=1)), event(HaSet(enabled=True, stamp=1))),
        health={
            (health, lasting): event(HealthChanged(health, lasting))
            for health in Health
            for lasting in (False, True)
        },
        boot=minds.boots(),
    )


STAMP: Final = 1
"""The stamp of a mind while a report is understood."""


class World:
    """The rules of both nodes, and everything that can happen to a pair of them."""

    def __init__(self, policy: Policy, messages: int = 1, *, exact: bool = False) -> None:
        """`messages`: how many former reports may be on their way to each node.

        `exact`: pairs keep their true numbers, and are infinitely many.
        """
        assert messages >= 0
        self.policy = policy
        self.messages = messages
        self.reports = Reports()
        self.minds = (
            Minds(policy, first=True, reports=self.reports),
            Minds(policy, first=False, reports=self.reports),
        )
        self.canon = Exact() if exact else Canon()
        self._numbers = tuple(map(_numbers, self.minds))
        self._understood: dict[tuple[int, int, int, int], tuple[tuple[int, bool], ...]] = {}
        self._happenings: dict[tuple[str, int], Happening] = {}

    # ------------------------------------------------------------------ questions

    def traits(self, at: int, side: Side) -> Traits:
        return self.minds[at].traits[side.mind]

    def half(self, pair: Pair, at: int) -> Half:
        return self.traits(at, pair.sides[at]).half

    def serves(self, at: int, side: Side) -> int:
        """The homes whose users the node serves now, as bits."""
        if side.up == OFF or not side.services or side.fault != SOUND:
            return 0
        whom = self.minds[at].traits[side.mind].serving
        if whom is Serving.NOBODY:
            return 0
        placed = SERVED[side.layout][at]
        return placed & (1 << at) if whom is Serving.OWN else placed

    def begin(self) -> Pair:
        """Both nodes are off and have never run."""
        sides = [
            Side(
                mind=minds.stopped(minds.intern(Node(first=minds.first, policy=self.policy))),
                op=0,
                heard=BELOW,
                stamp=0,
                up=OFF,
                services=False,
                fault=SOUND,
                jobs=(),
                move=0,
                placed_op=0,
                placed_by=0,
                layout=AT_HOME,
                late=(),
            )
            for minds in self.minds
        ]
        return self.canon.pair(*sides, orderly=False, mismatched=False)

    # ------------------------------------------------------------------ one node changes

    def noticed(self, at: int, side: Side) -> Side:
        """The side once its health has reached the machine, which is before anything else does."""
        known, health = self.minds[at].traits[side.mind], side.health
        if side.up != RUNNING or known.health is health:
            return side
        lasting = known.lasting and health is not Health.OK
        return self._told(at, side, self._numbers[at].health[health, lasting])

    def _told(self, at: int, side: Side, number: int) -> Side:
        """The side after one event that brings no report."""
        return self._after(at, side, self.minds[at].think(side.mind, self._ahead(side), number))

    @staticmethod
    def _ahead(side: Side) -> int:
        return side.heard - side.op if side.heard >= side.op else BELOW

    def _after(self, at: int, side: Side, thought: Thought) -> Side:
        jobs, move, heard = side.jobs, side.move, side.heard
        if thought.rise:
            move = 0
            heard = BELOW  # a new operation is past everything heard
            if jobs:
                jobs = tuple(job if job > WITHDRAWN else job + WITHDRAWN for job in jobs)
        if thought.job:
            jobs = _queued(jobs, thought.job)
        if jobs and self.minds[at].traits[thought.mind].state is not State.TAKING_BACK:
            jobs = _worth_doing(jobs, side)
        if thought.move:
            move = thought.move
        return Side(
            thought.mind,
            side.op + thought.rise,
            heard,
            side.stamp,
            side.up,
            side.services,
            side.fault,
            jobs,
            move,
            side.placed_op,
            side.placed_by,
            side.layout,
            side.late,
        )

    def _hears(self, at: int, side: Side, news: Report) -> Side:
        """The side after a report, as the daemon understands it."""
        above = (news.stamp > side.stamp) - (news.stamp < side.stamp)
        key = (at, side.mind, news.report, above)
        events = self._understood.get(key)
        if events is None:
            events = self._understood[key] = self._understand(at, side.mind, news.report, above)
        minds = self.minds[at]
        for number, is_report in events:
            if is_report:
                ahead = max(news.op - side.op, BELOW)
                side = self._after(at, side, minds.think(side.mind, BELOW, number, ahead))
                side = side._replace(heard=news.op if news.op >= side.op else BELOW)
            else:
                side = self._after(at, side, minds.think(side.mind, self._ahead(side), number))
                if above > 0:
                    side = side._replace(stamp=news.stamp)
        return side

    def _understand(
        self, at: int, mind: int, report: int, above: int
    ) -> tuple[tuple[int, bool], ...]:
        minds = self.minds[at]
        node = minds.numbered(mind, BASE, BELOW)
        stamped = replace(node, ha_stamp=STAMP)
        told = self.reports.values[report]
        found = []
        for event in understand(stamped, replace(told, ha_stamp=STAMP + above), beat=True):
            if isinstance(event, PeerMismatched):
                if node.state is not State.UNKNOWN:
                    found.append((self._numbers[at].mismatched, False))
            elif isinstance(event, PeerHeard):
                found.append((minds.event(PeerHeard(told)), True))
            else:
                assert isinstance(event, HaSet)
                found.append((self._numbers[at].ha[event.enabled], False))
        return tuple(found)

    # ------------------------------------------------------------------ a pair changes

    def with_side(self, pair: Pair, at: int, side: Side, **flags: bool) -> Pair:
        """The pair with one side changed."""
        other = pair.sides[1 - at]
        a, b = (side, other) if at == 0 else (other, side)
        orderly = flags.get("orderly", pair.orderly)
        if orderly and self.traits(at, side).state is State.FAILED_MODE:
            orderly = False
        made = self.canon.pair(
            a, b, orderly=orderly, mismatched=flags.get("mismatched", pair.mismatched)
        )
        return made if orderly or not self._at_rest(made) else made._replace(orderly=True)

    def _at_rest(self, pair: Pair) -> bool:
        """Both nodes hear each other's last word, nothing is under way, and the pair is one that
        serves everybody once: all is in order again."""
        a, b = pair.a, pair.b
        if pair.mismatched or a.late or b.late or a.jobs or b.jobs or a.move or b.move:
            return False
        if a.up != RUNNING or b.up != RUNNING or a.layout != b.layout:
            return False
        if (a.heard, b.heard) != tuple(
            theirs.op if theirs.op >= ours.op else BELOW for ours, theirs in ((a, b), (b, a))
        ):
            return False
        mine, theirs = self.traits(0, a), self.traits(1, b)
        if not (_sees(mine, theirs) and _sees(theirs, mine)):
            return False
        if mine.contact is not Contact.HEARD or theirs.contact is not Contact.HEARD:
            return False
        if (mine.health, theirs.health) != (a.health, b.health):
            return False
        states = {mine.state, theirs.state}
        if states == {State.NORMAL}:
            return a.layout == AT_HOME
        for one, other, side, here in ((mine, theirs, a, AT_A), (theirs, mine, b, AT_A + 1)):
            if one.state is State.BACKUP and other.state in AWAY:
                return side.layout == here and one.health is Health.OK
        return False

    def _changed(self, made: list[Next], pair: Pair, happening: Happening, side: Side) -> None:
        if side != pair.sides[happening.at]:
            made.append((happening, self.with_side(pair, happening.at, side)))

    def happening(self, verb: str, at: int, kind: str) -> Happening:
        key = (verb, at)
        found = self._happenings.get(key)
        if found is None:
            found = self._happenings[key] = Happening(verb, at, kind)
        return found

    # ------------------------------------------------------------------ what can happen

    def nexts(self, pair: Pair, *, faults: bool = True) -> list[Next]:
        """Everything that can happen now, and what comes of it."""
        made: list[Next] = []
        for at in (0, 1):
            side, other = pair.sides[at], pair.sides[1 - at]
            if side.up == RUNNING:
                self._news(made, pair, at, side)
                self._work(made, pair, at, side)
                self._time(made, pair, at, side)
                self._commands(made, pair, at, side)
            if faults:
                self._faults(made, pair, at, side, other)
            self._repairs(made, pair, at, side)
        one = self.happening("the settings match again", 0, Kind.REPAIR)
        if pair.mismatched:
            made.append((one, pair._replace(mismatched=False)))
        elif faults:
            apart = self.happening("the settings do not match", 0, Kind.FAULT)
            made.append((apart, pair._replace(mismatched=True, orderly=False)))
        return made

    def hear(self, pair: Pair, at: int) -> Pair:
        """The peer's present report arrives."""
        side, other = pair.sides[at], pair.sides[1 - at]
        if side.up != RUNNING or other.up != RUNNING:
            return pair
        side = _merged(side, other)
        if pair.mismatched:
            heard = self._mismatch(at, side)
        else:
            report = self.traits(1 - at, other).report
            heard = self._hears(at, side, Report(report, other.op, other.stamp))
        return pair if heard == pair.sides[at] else self.with_side(pair, at, heard)

    def _mismatch(self, at: int, side: Side) -> Side:
        if self.traits(at, side).state is State.UNKNOWN:
            return side
        return self._told(at, side, self._numbers[at].mismatched)

    def _news(self, made: list[Next], pair: Pair, at: int, side: Side) -> None:
        heard = self.hear(pair, at)
        if heard is not pair:
            made.append((self.happening("hears its peer", at, Kind.FREE), heard))
        if pair.mismatched:
            return
        for age, news in enumerate(side.late):
            # What is older than this cannot be heard any more; this itself can come again.
            after = self._hears(at, side._replace(late=side.late[age:]), news)
            self._changed(made, pair, self.happening("hears an old report", at, Kind.FREE), after)

    def _work(self, made: list[Next], pair: Pair, at: int, side: Side) -> None:
        numbers = self._numbers[at]
        if side.jobs:
            works = self.happening("the services' order is done", at, Kind.FREE)
            self._changed(made, pair, works, self._job(at, side))
            if self._job_can(side):
                breaks = self.happening("the services' order fails", at, Kind.FAULT)
                self._changed(made, pair, breaks, self._job(at, side, fail=True))
        if side.move > DONE:
            told = self._told(at, side._replace(move=0), numbers.moved)
            self._changed(made, pair, self.happening("learns of the move", at, Kind.FREE), told)
        elif side.move:
            placed = self.moved(at, side)
            durable = self.happening("the move is durable", at, Kind.FREE)
            failed = self._told(at, side._replace(move=0), numbers.move_failed)
            if placed is not None:
                told = self._told(at, placed._replace(move=0), numbers.moved)
                self._changed(made, pair, durable, told)
                slow = self.happening("the move is durable, but its answer is late", at, Kind.FAULT)
                self._changed(made, pair, slow, placed)
                cannot = self.happening("the move fails", at, Kind.FAULT)
            else:
                cannot = self.happening("the move is refused", at, Kind.FREE)
            self._changed(made, pair, cannot, failed)

    @staticmethod
    def _job_can(side: Side) -> bool:
        """The order succeeds, unless something new breaks."""
        return side.jobs[0] in {STOP, STOP + WITHDRAWN} or side.fault == SOUND

    def _job(self, at: int, side: Side, *, fail: bool = False) -> Side:
        numbers = self._numbers[at]
        job, rest = side.jobs[0], side.jobs[1:]
        starts = job in {START, START + WITHDRAWN}
        can = not fail and self._job_can(side)
        services = side.services
        if starts:
            services = side.services or (not fail and side.fault != SERVICE)
        elif can:
            services = False
        done = self.noticed(at, side._replace(jobs=rest, services=services))
        if job > WITHDRAWN:
            return done
        if starts:
            return self._told(at, done, numbers.started if can else numbers.start_failed)
        return self._told(at, done, numbers.stopped if can else numbers.stop_failed)

    def moved(self, at: int, side: Side) -> Side | None:
        """The side with its move durable; None: the database refuses it (store/memory.py)."""
        if side.fault == DATABASE:
            return None
        layout = AT_HOME if side.move != HERE else AT_A + at
        done = side.move + DONE
        if (side.op, at) > (side.placed_op, side.placed_by):
            return side._replace(move=done, placed_op=side.op, placed_by=at, layout=layout)
        return side._replace(move=done) if layout == side.layout else None

    def _time(self, made: list[Next], pair: Pair, at: int, side: Side) -> None:
        traits = self.traits(at, side)
        if traits.health is not Health.OK and not traits.lasting:
            slow = side.fault == SOUND and {START, START + WITHDRAWN} & set(side.jobs)
            if slow:
                lasts = self.happening("the services take longer than the delay", at, Kind.FAULT)
            else:
                lasts = self.happening("has been unwell for the delay", at, Kind.FREE)
            self._changed(made, pair, lasts, self._lasts(at, side))
        if traits.waits:
            told = self._told(at, side, self._numbers[at].expired)
            self._changed(made, pair, self.happening("the wait is over", at, Kind.FAULT), told)
        if traits.falls_back:
            told = self._told(at, side, self._numbers[at].due)
            due = self.happening("the automatic fallback is due", at, Kind.FREE)
            self._changed(made, pair, due, told)
        if traits.contact in {Contact.NEVER, Contact.HEARD}:
            gone = pair.sides[1 - at].up != RUNNING
            verb = "hears nothing of a peer that is gone" if gone else "loses every heartbeat"
            silent = self.happening(verb, at, Kind.FREE if gone else Kind.FAULT)
            made.append((silent, self.silence(pair, at)))

    def _lasts(self, at: int, side: Side) -> Side:
        return self._told(at, side, self._numbers[at].health[side.health, True])

    def silence(self, pair: Pair, at: int) -> Pair:
        """The heartbeat timeout passes in silence."""
        told = self._told(at, pair.sides[at], self._numbers[at].silent)
        return self.with_side(pair, at, told, orderly=False)

    def _commands(self, made: list[Next], pair: Pair, at: int, side: Side) -> None:
        numbers = self._numbers[at]
        for verb, number in (
            ("is asked to fail over", numbers.failover),
            ("is asked to fall back", numbers.fallback),
            ("is asked to recover", numbers.recover),
        ):
            told = self._told(at, side, number)
            self._changed(made, pair, self.happening(verb, at, Kind.COMMAND), told)

    def _faults(self, made: list[Next], pair: Pair, at: int, side: Side, other: Side) -> None:
        if side.up == OFF:
            return
        dead = self.off(at, side)
        dies = self.happening("the node dies", at, Kind.FAULT)
        made.append((dies, self.with_side(pair, at, dead, orderly=False)))
        if side.fault == SOUND:
            service = self.happening("a service dies", at, Kind.FAULT)
            if side.services:
                broken = self.noticed(at, side._replace(fault=SERVICE))
                self._changed(made, pair, service, broken)
            database = self.happening("the database fails", at, Kind.FAULT)
            lost = self.noticed(at, side._replace(fault=DATABASE))
            self._changed(made, pair, database, lost)
        if side.up != RUNNING:
            return
        if len(other.late) < self.messages:
            self._hold(made, pair, at, side, other)
        ends = self.happening("SRM stops", at, Kind.FAULT)
        made.append((ends, self.with_side(pair, at, self.srm_off(at, side), orderly=False)))
        if other.up == RUNNING:
            # The goodbye is the last word of this node: nothing older is heard after it.
            told = self._told(1 - at, other._replace(late=()), self._numbers[1 - at].left)
            a, b = (dead, told) if at == 0 else (told, dead)
            leaves = self.happening("the node says that it goes down", at, Kind.FAULT)
            made.append((leaves, self.canon.pair(a, b, orderly=False, mismatched=pair.mismatched)))
        for enabled in (False, True):
            verb = f"high availability is set {'on' if enabled else 'off'}"
            after = self.ha_set(pair, at, enabled=enabled)
            if after is not None:
                made.append((self.happening(verb, at, Kind.FAULT), after))

    def ha_set(self, pair: Pair, at: int, *, enabled: bool) -> Pair | None:
        """High availability is set on this node; None: it is so on both, as far as it knows."""
        side = pair.sides[at]
        if ha_switch(self.minds[at].nodes[side.mind], enabled) is None:
            return None
        told = self._told(at, side, self._numbers[at].ha[enabled])
        return self.with_side(pair, at, told._replace(stamp=side.stamp + 1), orderly=False)

    def _hold(self, made: list[Next], pair: Pair, at: int, side: Side, other: Side) -> None:
        """What the node says now is held up in the network."""
        now = Report(self.traits(at, side).report, side.op, side.stamp)
        if now in other.late:
            return
        holds = self.happening("a report is held up in the network", at, Kind.FAULT)
        held = other._replace(late=(*other.late, now))
        made.append((holds, self.with_side(pair, 1 - at, held)))

    def srm_off(self, at: int, side: Side) -> Side:
        mind = self.minds[at].stopped(side.mind)
        return side._replace(mind=mind, heard=BELOW, up=STOPPED, jobs=(), move=0)

    def off(self, at: int, side: Side) -> Side:
        return self.srm_off(at, side)._replace(up=OFF, services=False)

    def _repairs(self, made: list[Next], pair: Pair, at: int, side: Side) -> None:
        if side.up != RUNNING:
            starts = self.happening("SRM starts", at, Kind.REPAIR)
            made.append((starts, self.started(pair, at)))
        repaired = self.repaired(at, side)
        repair = self.happening("what is broken is repaired", at, Kind.REPAIR)
        self._changed(made, pair, repair, repaired)

    def repaired(self, at: int, side: Side) -> Side:
        held = side.up == RUNNING and self.traits(at, side).held
        services = side.services or (side.up != OFF and not held)
        return self.noticed(at, side._replace(fault=SOUND, services=services))

    def started(self, pair: Pair, at: int) -> Pair:
        """SRM starts with what it had stored; a node that is off boots first."""
        side = pair.sides[at]
        assert side.up != RUNNING
        minds, numbers = self.minds[at], self._numbers[at]
        op = side.op if side.fault == DATABASE else max(side.op, side.placed_op)
        awake = side._replace(mind=minds.awake(side.mind, side.health), op=op, up=RUNNING)
        told = self._told(at, awake, numbers.boot[side.up == OFF])
        return self.with_side(pair, at, told, orderly=False)

    # ------------------------------------------------------------------ one thing, for ways

    def next_order(self, pair: Pair, at: int) -> Step:
        """The next order of this node is carried out, as well as it can be."""
        side, numbers = pair.sides[at], self._numbers[at]
        if side.jobs:
            return self._step(pair, at, "the services' order is done", self._job(at, side))
        placed = side if side.move > DONE else self.moved(at, side)
        if placed is None:
            told = self._told(at, side._replace(move=0), numbers.move_failed)
            return self._step(pair, at, "the move is refused", told)
        told = self._told(at, placed._replace(move=0), numbers.moved)
        return self._step(pair, at, "the users are moved", told)

    def lasting(self, pair: Pair, at: int) -> Step | None:
        side = pair.sides[at]
        traits = self.traits(at, side)
        if side.up != RUNNING or traits.health is Health.OK or traits.lasting:
            return None
        return self._step(pair, at, "has been unwell for the delay", self._lasts(at, side))

    def due(self, pair: Pair, at: int) -> Step | None:
        side = pair.sides[at]
        if side.up != RUNNING or not self.traits(at, side).falls_back:
            return None
        told = self._told(at, side, self._numbers[at].due)
        return self._step(pair, at, "the automatic fallback is due", told)

    def expired(self, pair: Pair, at: int) -> Step | None:
        side = pair.sides[at]
        if side.up != RUNNING or not self.traits(at, side).waits:
            return None
        told = self._told(at, side, self._numbers[at].expired)
        return self._step(pair, at, "the wait is over", told)

    def offered(self, pair: Pair, at: int) -> list[Asked]:
        """The commands that the status of this node shows as possible now."""
        side = pair.sides[at]
        if side.up != RUNNING:
            return []
        return [
            Asked(at if offer.here else 1 - at, offer.command)
            for offer in offers(self.minds[at].nodes[side.mind])
        ]

    def asked_to(self, pair: Pair, asked: Asked) -> Step | None:
        """An administrator's command; None: it changes nothing."""
        at = asked.at
        if asked.command in HA_COMMANDS:
            return self._ha_asked(pair, at, enabled=HA_COMMANDS[asked.command])
        side, numbers = pair.sides[at], self._numbers[at]
        if side.up != RUNNING:
            return None
        number, verb = {
            "failover": (numbers.failover, "fail over"),
            "fallback": (numbers.fallback, "fall back"),
            "recover": (numbers.recover, "recover"),
        }[asked.command]
        told = self._told(at, side, number)
        return None if told == side else self._step(pair, at, f"is asked to {verb}", told)

    def _ha_asked(self, pair: Pair, at: int, *, enabled: bool) -> Step | None:
        if pair.sides[at].up != RUNNING:
            return None
        after = self.ha_set(pair, at, enabled=enabled)
        word = "on" if enabled else "off"
        return None if after is None else (f"{'ab'[at]}: high availability is set {word}", after)

    def restarted(self, pair: Pair) -> Step:
        """SRM is restarted on both nodes."""
        for at in (0, 1):
            if pair.sides[at].up == RUNNING:
                stopped = self.with_side(pair, at, self.srm_off(at, pair.sides[at]), orderly=False)
                pair = self.started(stopped, at)
        return "SRM is restarted on both nodes", pair

    def _step(self, pair: Pair, at: int, told: str, side: Side) -> Step:
        return f"{'ab'[at]}: {told}", self.with_side(pair, at, side)


def _queued(jobs: tuple[int, ...], job: int) -> tuple[int, ...]:
    """The order behind those before it; what only repeats or undoes them is left out."""
    if jobs and jobs[-1] in {job, job + WITHDRAWN}:
        jobs = jobs[:-1]
    return (*jobs, job)[-2:]


def _worth_doing(jobs: tuple[int, ...], side: Side) -> tuple[int, ...]:
    """Without a start that changes nothing, in a state that does not wait for its answer."""
    if jobs[0] in {START, START + WITHDRAWN} and (side.services or side.fault == SERVICE):
        return jobs[1:]
    return jobs


def _sees(mine: Traits, theirs: Traits) -> bool:
    return mine.peer_shown == (theirs.state, theirs.health)


def _merged(side: Side, peer: Side) -> Side:
    """Nothing older than the peer's present news is heard any more, and its placement comes too."""
    if DATABASE not in {side.fault, peer.fault} and (side.placed_op, side.placed_by) < (
        peer.placed_op,
        peer.placed_by,
    ):
        return side._replace(
            late=(), placed_op=peer.placed_op, placed_by=peer.placed_by, layout=peer.layout
        )
    return side._replace(late=()) if side.late else side
