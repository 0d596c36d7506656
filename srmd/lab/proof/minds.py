"""The rules of one node, asked once for each question.

A *mind* is a `Node` without its numbers: `op`, what the peer's `op` was, and the stamp of high
availability are kept apart (see `pair.py`), because only their order matters to the rules.  Minds
and reports are interned, so that a pair of nodes is a tuple of small integers, and what a mind
thinks of an event is remembered: millions of pairs ask few questions.

Facts that no rule reads in a state are set to one value (`plain`): two nodes that differ in
nothing else act alike.  The search checks this list on every question that it asks: the question is
asked again of nodes whose unread facts have other values (`alike`), and the answer has to be the
same (`misread`).  So a rule that begins to read a fact is not searched with a made-up value.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

from srmd.core.effects import Effect, MoveUsers, StartServices
from srmd.core.events import Booted, Event, PeerHeard, Report
from srmd.core.handbook import Half
from srmd.core.machine import Step, ready
from srmd.core.node import Node, Policy, Serving, Timer, serving, timers
from srmd.core.promises import resumes_unheard
from srmd.core.states import (
    AWAY,
    OWN_STATES,
    Contact,
    Destination,
    Health,
    Reason,
    Stage,
    Start,
    State,
)
from srmd.core.transitions import TABLE
from srmd.node.commands import ha_switch, offers

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
    )


def _plain_peer(node: Node, peer: Report) -> Report | None:
    """What is still read of a report after it was heard, by events that bring none."""
    bare = _with_what_it_hears(Report(peer.state, Reason.NORMAL, 0, ha=peer.ha), peer)
    match node.state:
        case State.UNKNOWN if node.reason is Reason.UNKNOWN or node.contact is not Contact.HEARD:
            return None  # only its `op`, which is kept apart
        case State.UNKNOWN:
            return Report(State.UNKNOWN, Reason.NORMAL, 0, ha=peer.ha)  # whether both have it off
        case State.INITIALIZING if node.stage is Stage.BEGUN and node.contact is not Contact.HEARD:
            return None  # it hears a new one before it goes on
        case State.INITIALIZING | State.NORMAL:
            return _read_with_its_state(bare, peer)
        case _ if node.contact is not Contact.HEARD:
            return None
        case State.FALLING_BACK if node.stage is Stage.MOVING:
            return _read_with_its_state(bare, peer)  # by the Normal node that it becomes
        case State.TAKING_BACK if peer.state is State.FALLING_BACK:
            return replace(bare, stage=peer.stage)
        case State.TAKING_BACK if node.stage is Stage.MOVING or peer.state is State.NORMAL:
            return _read_with_its_state(bare, peer)  # it is Normal as soon as the users are home
        case State.TAKING_OVER | State.BACKUP:
            return replace(bare, health=peer.health, lasting=peer.lasting)
        case State.FAILING_OVER | State.FAILED_OVER | State.FAILED_OVER_SERVICES_DOWN if (
            node.policy.automatic_fallback and peer.state is State.BACKUP
        ):
            return replace(bare, hears_us=peer.hears_us, health=peer.health)
        case _ if node.state in MAY_FALL_BACK and peer.state is State.BACKUP:
            return replace(bare, hears_us=peer.hears_us)
        case _:
            return bare


def _with_what_it_hears(bare: Report, peer: Report) -> Report:
    """A failed-over peer is offered a fallback by whether it hears us, once we are its backup: we
    may become that without another report."""
    if peer.state in AWAY:
        return replace(bare, hears_us=peer.hears_us, settled=peer.settled)
    return bare


def _read_with_its_state(bare: Report, peer: Report) -> Report:
    """What a node that may have to act on a failing peer reads, by the peer's state."""
    able = replace(bare, health=peer.health, lasting=peer.lasting)
    match peer.state:
        case State.NORMAL:
            return replace(able, hears_us=peer.hears_us, settled=peer.settled)
        case State.INITIALIZING:
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


MAY_FALL_BACK: Final = AWAY | {State.FAILING_OVER}
"""States in which the report of a backup is kept until a fallback is asked for."""

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


# ---------------------------------------------------------------------------- is it so?

_OF_NODE: Final[dict[str, tuple[Any, ...]]] = {
    "contact_before": tuple(Contact),
    "cause": tuple(Reason),
    "start": tuple(Start),
}
_OF_REPORT: Final[dict[str, tuple[Any, ...]]] = {
    "state": OWN_STATES,
    "reason": tuple(Reason),
    "stage": tuple(Stage),
    "start": tuple(Start),
    "settled": (True, False),
    "hears_us": (True, False),
    "health": tuple(Health),
    "lasting": (False, True),
    "ha": (True, False),
}
"""The facts that `plain` may leave out, with all their values."""


def alike(bare: Node) -> tuple[Node, ...]:
    """Nodes that are this one to `plain`, and differ from it in all that it leaves out.

    Each value of each unread fact is in one of them; how the values of several facts are put
    together differs from node to node, and is always the same for one node.
    """
    free = {
        fact: values
        for fact, values in _OF_NODE.items()
        if all(plain(replace(bare, **{fact: value})) == bare for value in values)
    }
    if bare.contact is Contact.SILENT and plain(replace(bare, contact=Contact.LEFT)) == bare:
        free["contact"] = (Contact.SILENT, Contact.LEFT)
    told = bare.peer or _NOBODY
    free_of_peer = {
        fact: values
        for fact, values in _OF_REPORT.items()
        if not resumes_unheard(bare)  # then there is no report: a promise of the core
        and all(plain(replace(bare, peer=replace(told, **{fact: one}))) == bare for one in values)
    }
    count = max(map(len, (*free.values(), *free_of_peer.values())), default=0)
    chance = random.Random(repr(bare))
    mine, theirs = _mixed(free, count, chance), _mixed(free_of_peer, count, chance)
    found = tuple(
        replace(bare, **facts, peer=replace(told, **report) if free_of_peer else bare.peer)
        for facts, report in zip(mine, theirs, strict=True)
    )
    assert all(plain(one) == bare for one in found), "unread facts depend on each other"
    return found


def _mixed(
    free: dict[str, tuple[Any, ...]], count: int, chance: random.Random
) -> Iterator[dict[str, Any]]:
    """So many choices of all facts; each fact runs through its values, from a place of its own."""
    first = {fact: chance.randrange(len(values)) for fact, values in free.items()}
    for at in range(count):
        yield {fact: values[(at + first[fact]) % len(values)] for fact, values in free.items()}


def misread(others: Iterable[Node], node: Node, event: Event, step: Step) -> str | None:
    """Facts that the rules read although they are left out: another node answers in another way.

    `others`: those that are `alike`; they get the numbers of this node.
    """
    peer_op = BASE + BELOW if node.peer is None else node.peer.op
    expected = plain(step.node)
    for other in others:
        numbered = replace(
            other,
            op=node.op,
            ha_stamp=node.ha_stamp,
            peer=None if other.peer is None else replace(other.peer, op=peer_op),
        )
        got = TABLE.step(numbered, event)
        if resumes_unheard(got.node) and got.node.peer is not None:
            return "a node that resumes its role knows its peer before it hears it"
        if (
            plain(got.node) != expected
            or (got.node.op, got.effects) != (step.node.op, step.effects)
            or (got.refusal is None) is not (step.refusal is None)
        ):
            return _differing(other)
    return None


def misshown(others: Iterable[Node], bare: Node) -> str | None:
    """The same of what the search asks a mind without an event."""
    shown = _shown(bare)
    for other in others:
        if _shown(other) != shown:
            return _differing(other)
    return None


def _shown(node: Node) -> tuple[object, ...]:
    sets = [ha_switch(node, enabled) is None for enabled in (False, True)]
    return (serving(node), timers(node), _plain_report(node.report()), offers(node), *sets)


def _differing(other: Node) -> str:
    """Names the facts of the node that answered in another way."""
    facts = [f"{fact} {_word(getattr(other, fact))}" for fact in ("contact", *_OF_NODE)]
    if other.peer is not None:
        facts += [f"the peer's {fact} {_word(getattr(other.peer, fact))}" for fact in _OF_REPORT]
    return f"a rule reads a fact that the search leaves out; one of: {', '.join(facts)}"


def _word(value: object) -> str:
    return str(getattr(value, "name", value))


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
