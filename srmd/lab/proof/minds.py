"""The rules of one node, asked once for each question.

A *mind* is a `Node` without its numbers: `op`, what the peer's `op` was, and the stamp of high
availability are kept apart (see `pair.py`), because only their order matters to the rules.  Minds
and reports are interned, so that a pair of nodes is a tuple of small integers, and what a mind
thinks of an event is remembered: millions of pairs ask few questions.

Facts that no rule reads in a state are set to one value (`plain`): two nodes that differ in
nothing else act alike for ever.  tests/lab/proof checks it against the machine with all facts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from srmd.core.effects import Effect, MoveUsers, StartServices
from srmd.core.events import Booted, Event, PeerHeard, Report
from srmd.core.handbook import Half
from srmd.core.machine import Step, ready
from srmd.core.node import Node, Policy, Serving, Timer, serving, timers
from srmd.core.states import PASSING, Contact, Destination, Health, Reason, Stage, Start, State
from srmd.core.transitions import TABLE

BELOW: Final = -1
"""How an `op` is written that is below the node's own: how far does not matter."""
BASE: Final = 100
"""The `op` of a mind while it thinks; the rules only compare."""

START, STOP = 1, 2
"""Work on the services, as `Thought.job` writes it; 0 is none."""
HERE, HOME = 1, 2
"""Moves of users, as `Thought.move` writes them; 0 is none."""

CAUSE_UNREAD: Final = frozenset(
    {
        State.UNKNOWN,
        State.INITIALIZING,
        State.IDLE,
        State.NORMAL,
        State.FAILED_OVER,
        State.FAILED_OVER_SERVICES_DOWN,
        State.FAILED_MODE,
    }
)
"""States that end in transitions with a cause of their own."""

_NOBODY: Final = Report(State.UNKNOWN, Reason.NORMAL, 0)
"""Stands for a report of which only the `op` is still read."""


@dataclass(frozen=True, slots=True)
class Thought:
    """What one event does to one mind."""

    mind: int
    rise: int
    """How much `op` grows; 0: the same operation."""
    job: int
    move: int
    refused: bool
    changed: bool
    """Another state or reason: a transition."""
    decided_by: str


@dataclass(frozen=True, slots=True)
class Traits:
    """What the search asks of a mind again and again."""

    state: State
    half: Half
    contact: Contact
    health: Health
    lasting: bool
    ha: bool
    serving: Serving
    waits: bool
    """The bound of a passing state runs."""
    falls_back: bool
    """The wait of the automatic fallback runs."""
    report: int
    peer_shown: tuple[State, Health] | None
    """State and health of the peer by its last report."""
    held: bool
    """Its services must not be started by hand (R2)."""


class Minds:
    """All minds of one node of a pair that were ever met, and what they thought."""

    def __init__(self, policy: Policy, *, first: bool, reports: Reports) -> None:
        self.policy = policy
        self.first = first
        self.reports = reports
        self.nodes: list[Node] = []
        self.traits: list[Traits] = []
        self._ids: dict[Node, int] = {}
        self._thoughts: dict[tuple[int, int, int, int], Thought] = {}
        self._events: list[Event] = []
        self._event_ids: dict[Event, int] = {}
        self._stopped: dict[int, int] = {}
        self.thinking: list[Callable[[Node, Event, Step], None]] = []
        """Who wants to see each new thought: the node before, the event, the step."""

    @property
    def thoughts_count(self) -> int:
        return len(self._thoughts)

    def event(self, event: Event) -> int:
        """The number of an event; answers and timers carry `op` BASE."""
        if event not in self._event_ids:
            self._event_ids[event] = len(self._events)
            self._events.append(event)
        return self._event_ids[event]

    def intern(self, node: Node) -> int:
        bare = plain(node)
        found = self._ids.get(bare)
        if found is None:
            found = self._ids[bare] = len(self.nodes)
            self.nodes.append(bare)
            self.traits.append(self._traits_of(bare))
        return found

    def _traits_of(self, node: Node) -> Traits:
        running = timers(node)
        stopping = node.state is State.FAILING_OVER and node.cause is Reason.ON_ADMIN_REQUEST
        return Traits(
            state=node.state,
            half=(node.state, node.reason),
            contact=node.contact,
            health=node.health,
            lasting=node.lasting,
            ha=node.ha,
            serving=serving(node),
            waits=Timer.STAY in running,
            falls_back=Timer.FALLBACK in running,
            report=self.reports.intern(node.report()),
            peer_shown=None if node.peer is None else (node.peer.state, node.peer.health),
            held=stopping or node.state is State.IDLE,
        )

    def think(self, mind: int, heard: int, event: int, news: int = 0) -> Thought:
        """What the event does.

        `heard`: how far the `op` that was heard last is above our own, or BELOW.  `news`: the same
        of the report that a PeerHeard brings.
        """
        key = (mind, heard, event, news)
        found = self._thoughts.get(key)
        if found is None:
            found = self._thoughts[key] = self._think(mind, heard, event, news)
        return found

    def _think(self, mind: int, heard: int, number: int, news: int) -> Thought:
        event = self._events[number]
        node = self.numbered(mind, BASE, heard)
        if isinstance(event, PeerHeard):
            event = replace(event, report=replace(event.report, op=BASE + news))
        step = TABLE.step(node, event)
        for look in self.thinking:
            look(node, event, step)
        after = step.node
        job, move = _orders(ready(node, step).act)
        return Thought(
            mind=self.intern(after),
            rise=after.op - BASE,
            job=job,
            move=move,
            refused=step.refusal is not None,
            changed=(node.state, node.reason) != (after.state, after.reason),
            decided_by=step.why,
        )

    def numbered(self, mind: int, op: int, heard: int) -> Node:
        """The node again, with its numbers."""
        node = self.nodes[mind]
        peer = node.peer or _NOBODY
        return replace(
            node, op=op, peer=replace(peer, op=op + heard) if heard >= 0 or node.peer else None
        )

    def stopped(self, mind: int) -> int:
        """What is left of a mind when its SRM stops: what was stored, and whom it serves."""
        found = self._stopped.get(mind)
        if found is None:
            node = self.nodes[mind]
            left = Node(
                state=node.state,
                reason=node.reason,
                cause=node.cause,
                stage=node.stage,
                ha=node.ha,
                first=self.first,
                policy=self.policy,
            )
            found = self._stopped[mind] = self.intern(left)
        return found

    def awake(self, mind: int, health: Health) -> int:
        """The stored mind as it is when SRM starts again, before Booted."""
        node = self.nodes[mind]
        return self.intern(
            Node(
                state=node.state,
                reason=node.reason,
                cause=node.cause,
                ha=node.ha,
                first=self.first,
                policy=self.policy,
                health=health,
            )
        )

    def boots(self) -> dict[bool, int]:
        """The numbers of Booted: by a reboot, or by a restart of SRM alone."""
        return {True: self.event(Booted(Start.REBOOT)), False: self.event(Booted(Start.RESTART))}


class Reports:
    """All reports that were ever sent, without their numbers; shared by both nodes."""

    def __init__(self) -> None:
        self.values: list[Report] = []
        self._ids: dict[Report, int] = {}

    def intern(self, report: Report) -> int:
        bare = _plain_report(report)
        found = self._ids.get(bare)
        if found is None:
            found = self._ids[bare] = len(self.values)
            self.values.append(bare)
        return found


def _orders(effects: tuple[Effect, ...]) -> tuple[int, int]:
    job = move = 0
    for effect in effects:
        if isinstance(effect, MoveUsers):
            move = HERE if effect.to is Destination.HERE else HOME
        else:
            job = START if isinstance(effect, StartServices) else STOP
    return job, move


def plain(node: Node) -> Node:
    """The node without its numbers, and without facts that no rule will read."""
    lost = node.contact is Contact.LEFT and node.state not in NAMES_ITS_LOSS
    return replace(
        node,
        op=0,
        ha_stamp=0,
        contact=Contact.SILENT if lost else node.contact,
        peer=None if node.peer is None else _plain_peer(node, node.peer),
        contact_before=Contact.NEVER,  # set anew by each report, and read only then
        cause=node.reason if node.state in CAUSE_UNREAD else node.cause,
        start=node.start if node.state is State.INITIALIZING else Start.RESTART,
        stage=node.stage if node.state in PASSING else Stage.BEGUN,
    )


def _plain_peer(node: Node, peer: Report) -> Report | None:
    """What is still read of a report after it was heard, by events that bring none."""
    bare = Report(peer.state, Reason.NORMAL, 0)
    match node.state:
        case State.UNKNOWN:
            return None  # only its `op`, which is kept apart
        case State.INITIALIZING if node.stage is Stage.BEGUN and node.contact is not Contact.HEARD:
            return None  # it hears a new one before it goes on
        case State.INITIALIZING | State.NORMAL:
            return _read_with_its_state(bare, peer)
        case _ if node.contact is not Contact.HEARD:
            return None
        case State.TAKING_BACK if peer.state is State.NORMAL:
            return replace(bare, health=peer.health, lasting=peer.lasting)
        case State.TAKING_BACK if peer.state is State.FALLING_BACK:
            return replace(bare, stage=peer.stage)
        case State.TAKING_OVER | State.BACKUP:
            return replace(bare, health=peer.health, lasting=peer.lasting)
        case State.FAILING_OVER | State.FAILED_OVER | State.FAILED_OVER_SERVICES_DOWN:
            if node.policy.automatic_fallback and peer.state is State.BACKUP:
                return replace(bare, hears_us=peer.hears_us, health=peer.health)
            return bare
        case _:
            return bare


def _read_with_its_state(bare: Report, peer: Report) -> Report:
    """What a node that may have to act on a failing peer reads, by the peer's state."""
    able = replace(bare, health=peer.health, lasting=peer.lasting)
    match peer.state:
        case State.NORMAL | State.INITIALIZING:
            return able
        case State.FAILING_OVER:
            return replace(able, reason=peer.reason, stage=peer.stage)
        case State.IDLE | State.FAILED_OVER | State.FAILED_OVER_SERVICES_DOWN:
            return replace(able, reason=peer.reason)
        case State.FAILED_MODE:
            return replace(bare, reason=peer.reason, health=peer.health)
        case State.BACKUP:
            return replace(bare, hears_us=peer.hears_us, health=peer.health)
        case _:
            return bare


NAMES_ITS_LOSS: Final = frozenset(
    {
        State.INITIALIZING,
        State.IDLE,
        State.FAILED_OVER,
        State.FAILED_OVER_SERVICES_DOWN,
        State.TAKING_BACK,
    }
)
"""States in which a loss that lies back is still called silence or a goodbye."""


def _plain_report(report: Report) -> Report:
    start = report.start if report.state is State.INITIALIZING else Start.RESTART
    return replace(report, op=0, ha_stamp=0, start=start)


__all__ = [
    "BASE",
    "BELOW",
    "HERE",
    "HOME",
    "Minds",
    "Reports",
    "START",
    "STOP",
    "Thought",
    "Traits",
]
