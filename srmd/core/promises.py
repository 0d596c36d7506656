"""What one node promises on every step, said again apart from the rules that keep it.

    for broken in broken_by(before, event, step): ...

The rules in `transitions.py` say what a node does.  The promises say what it must never do,
whatever the rules become: the safety properties that can be seen from one node, on one step.  They
are asked by the daemon on each step (`promise.broken` in the log), by the simulator and by the
search.  So they share nothing with the decisions: the tables below are written out a second time.

A promise is `about` a step, or has nothing to say of it; only the steps that it is about prove
anything, and whoever searches counts them.  "ours" marks what Cisco does not document.
Source: rules R1-R14, docs/state-machine.md.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from srmd.core.effects import MoveUsers, StartServices, StopServices
from srmd.core.events import (
    Booted,
    Event,
    FailoverRequested,
    FallbackDue,
    FallbackRequested,
    HaSet,
    PeerDown,
    PeerHeard,
    PeerLeft,
    PeerMismatched,
    RecoverRequested,
)
from srmd.core.handbook import UNDOCUMENTED, find
from srmd.core.machine import ANSWERS, Step, ready
from srmd.core.node import Node, Serving, Timer, serving, timers
from srmd.core.states import PASSING, Contact, Destination, Health, Reason, Stage, Start, State

S, R = State, Reason

FAILED_OVER: Final = frozenset({S.IDLE, S.FAILED_OVER, S.FAILED_OVER_SERVICES_DOWN})

NEXT: Final[dict[State, frozenset[State]]] = {
    S.UNKNOWN: frozenset({S.INITIALIZING}),
    S.INITIALIZING: frozenset(
        {
            S.UNKNOWN,
            S.NORMAL,
            S.TAKING_OVER,
            S.TAKING_BACK,
            S.FAILING_OVER,
            S.FAILED_OVER,
            S.FAILED_OVER_SERVICES_DOWN,
            S.FALLING_BACK,
            S.FAILED_MODE,
        }
    ),
    S.IDLE: frozenset({S.UNKNOWN, S.TAKING_BACK, S.FAILED_MODE}),
    S.NORMAL: frozenset(
        {S.UNKNOWN, S.INITIALIZING, S.TAKING_OVER, S.FAILING_OVER, S.FAILED_MODE},
    ),
    S.BACKUP: frozenset(
        {
            S.UNKNOWN,
            S.INITIALIZING,
            S.FAILING_OVER,
            S.FAILED_OVER,
            S.FAILED_OVER_SERVICES_DOWN,
            S.FALLING_BACK,
            S.FAILED_MODE,
        }
    ),
    S.TAKING_OVER: frozenset(
        {
            S.UNKNOWN,
            S.INITIALIZING,
            S.BACKUP,
            S.FAILING_OVER,
            S.FAILED_OVER,
            S.FAILED_OVER_SERVICES_DOWN,
            S.FAILED_MODE,
        }
    ),
    S.TAKING_BACK: frozenset(
        {
            S.UNKNOWN,
            S.NORMAL,
            S.TAKING_OVER,
            S.FAILING_OVER,
            S.FAILED_OVER,
            S.FAILED_OVER_SERVICES_DOWN,
            S.FAILED_MODE,
        }
    ),
    S.FAILING_OVER: frozenset(
        {
            S.UNKNOWN,
            S.IDLE,
            S.TAKING_OVER,
            S.FAILED_OVER,
            S.FAILED_OVER_SERVICES_DOWN,
            S.FAILED_MODE,
        }
    ),
    S.FAILED_OVER: frozenset(
        {
            S.UNKNOWN,
            S.INITIALIZING,
            S.TAKING_OVER,
            S.TAKING_BACK,
            S.FAILED_OVER_SERVICES_DOWN,
            S.FAILED_MODE,
        }
    ),
    S.FAILED_OVER_SERVICES_DOWN: frozenset(
        {S.UNKNOWN, S.INITIALIZING, S.TAKING_OVER, S.FAILED_OVER, S.FAILED_MODE}
    ),
    S.FALLING_BACK: frozenset(
        {
            S.UNKNOWN,
            S.NORMAL,
            S.TAKING_OVER,
            S.FAILING_OVER,
            S.FAILED_OVER,
            S.FAILED_OVER_SERVICES_DOWN,
            S.FAILED_MODE,
        }
    ),
    S.FAILED_MODE: frozenset({S.UNKNOWN, S.INITIALIZING, S.TAKING_OVER}),
}
"""Which states may follow which; a test compares it with the table of transitions."""

_FAILURES: Final = frozenset({R.CRITICAL_SERVICE_DOWN, R.DATABASE_FAILURE})
_AUTO_RECOVERED: Final = frozenset(
    {R.AUTO_RECOVERY_DATABASE_FAILURE, R.AUTO_RECOVER_CRITICAL_SERVICE_DOWN}
)
_ROLE_TAKEN: Final = frozenset(
    {
        *_FAILURES,
        R.ON_ADMIN_REQUEST,
        R.INITIALIZATION,
        R.PEER_DOWN,
        R.PEER_REBOOT,
        R.PEER_DOWN_DURING_INITIALIZATION,
        R.AUTO_RECOVER_DATABASE_FAILURE,
        R.AUTOMATIC_FALLBACK,  # ours: a fallback whose home node gave up is taken over again
    }
)
_ROLE_LOST: Final = frozenset({*_FAILURES, *_AUTO_RECOVERED, R.INITIALIZATION, R.PEER_DOWN})

REASONS_OF: Final[dict[State, frozenset[Reason]]] = {
    S.UNKNOWN: frozenset({R.UNKNOWN, R.HA_NOT_ENABLED}),
    S.INITIALIZING: frozenset({R.INITIALIZATION}),
    S.IDLE: frozenset({R.ON_ADMIN_REQUEST, R.INITIALIZATION}),
    S.NORMAL: frozenset({R.NORMAL}),
    S.BACKUP: _ROLE_TAKEN,
    S.TAKING_OVER: _ROLE_TAKEN,
    S.TAKING_BACK: frozenset({R.ON_ADMIN_REQUEST, R.AUTOMATIC_FALLBACK, R.INITIALIZATION}),
    S.FAILING_OVER: frozenset({*_ROLE_LOST, R.ON_ADMIN_REQUEST}),
    S.FAILED_OVER: _ROLE_LOST,
    S.FAILED_OVER_SERVICES_DOWN: _ROLE_LOST,
    S.FALLING_BACK: frozenset({R.ON_ADMIN_REQUEST, R.AUTOMATIC_FALLBACK, R.INITIALIZATION}),
    S.FAILED_MODE: frozenset(
        {
            R.CRITICAL_SERVICE_DOWN,
            R.START_OF_CRITICAL_SERVICES_FAILED,
            R.TAKE_OVER_USERS_FAILED,
            R.TAKE_BACK_USERS_FAILED,
            R.UNKNOWN,
        }
    ),
}
"""The reasons that each state may have: Cisco's Table 2, and what the rules marked ours add."""

Question = Callable[[Node, Event, Step], bool]


@dataclass(frozen=True, slots=True)
class Promise:
    """One safety property as far as one node sees it."""

    key: str
    source: str
    """The property or rule that it is part of."""
    says: str
    about: Question
    """The step could break it."""
    kept: Question
    """Asked only of steps that it is about."""


@dataclass(frozen=True, slots=True)
class Broken:
    """A promise that a step broke."""

    promise: Promise
    what: str
    """The step, in words."""

    def __str__(self) -> str:
        return f"{self.promise.key} ({self.promise.source}): {self.promise.says}: {self.what}"


def broken_by(before: Node, event: Event, step: Step) -> tuple[Broken, ...]:
    """The promises that this step breaks; none, if all is well."""
    return tuple(
        Broken(promise, told(before, event, step))
        for promise in PROMISES
        if promise.about(before, event, step) and not promise.kept(before, event, step)
    )


def told(before: Node, event: Event, step: Step) -> str:
    """The step in one line."""
    orders = "".join(f", {type(order).__name__} {order.op}" for order in step.effects)
    refused = ", refused" if step.refusal is not None else ""
    heard = f", peer {step.node.contact.value}"
    if step.node.peer is not None:
        heard += f" {step.node.peer.state.name}/{step.node.peer.reason.value}"
    return (
        f"{_told(before)} -> {_told(step.node)} on {type(event).__name__}{heard}{orders}{refused}"
    )


def _told(node: Node) -> str:
    return f"{node.state.name}/{node.reason.value} op {node.op}"


# ---------------------------------------------------------------------------- what a step is


def moved_on(before: Node, event: Event, step: Step) -> bool:
    """State or reason changed."""
    return before.state is not step.node.state or before.reason is not step.node.reason


def enters(before: Node, step: Step, state: State) -> bool:
    return step.node.state is state and before.state is not state


def moves(step: Step, to: Destination) -> bool:
    return any(isinstance(order, MoveUsers) and order.to is to for order in step.effects)


def hears(node: Node) -> bool:
    return node.contact is Contact.HEARD and node.peer is not None


def is_request(_before: Node, event: Event, _step: Step) -> bool:
    return isinstance(event, (FailoverRequested, FallbackRequested, RecoverRequested))


def is_offered(node: Node, event: Event) -> bool:
    """The documents allow this request in this state (R2, R6, R10; R12 for the silent peer)."""
    report = node.peer if hears(node) else None
    peer = None if report is None else report.state
    match event:
        case FailoverRequested():
            return node.state is S.NORMAL and peer is S.NORMAL
        case FallbackRequested():
            alone = node.state is S.IDLE and node.contact in {Contact.SILENT, Contact.LEFT}
            lets_go = peer is S.BACKUP and report is not None and report.hears_us
            return alone or (node.state in {S.IDLE, S.FAILED_OVER} and lets_go)
        case RecoverRequested():
            return node.state is S.FAILED_MODE and peer in {None, S.FAILED_MODE, S.INITIALIZING}
        case _:
            return False


# ---------------------------------------------------------------------------- when promises hold


def obeyed_as_offered(before: Node, event: Event, step: Step) -> bool:
    offered = is_offered(before, event)
    if step.refusal is None:
        return offered
    # Ours: a failover also needs a peer that is well.
    unwell = before.peer is not None and before.peer.health is not Health.OK
    return not offered or (isinstance(event, FailoverRequested) and unwell)


def resumes_unheard(node: Node) -> bool:
    """It goes on in its role after a restart and has not heard its peer since.  A node that only
    listens anew still has the last report, for its `op`."""
    return node.contact is Contact.NEVER and node.state not in {S.INITIALIZING, S.UNKNOWN}


def contact_by_its_event(before: Node, event: Event, step: Step) -> bool:
    match step.node.contact:
        case Contact.HEARD:
            return isinstance(event, PeerHeard) and event.beat
        case Contact.SILENT:
            return isinstance(event, PeerDown)
        case Contact.LEFT:
            return isinstance(event, PeerLeft)
        case Contact.NEVER:
            return step.node.state is S.INITIALIZING


def peer_let_go(before: Node, event: Event, step: Step) -> bool:
    """A peer that is heard does not serve, or is about to yield, when its users are taken."""
    peer = step.node.peer
    assert peer is not None
    if peer.state is S.FAILING_OVER:
        return peer.stage is Stage.READY
    unaware = before.state is S.TAKING_OVER and peer.state is S.NORMAL  # it yields when it hears
    return peer.state in FAILED_OVER or peer.state is S.INITIALIZING or unaware


def backup_let_go(before: Node, event: Event, step: Step) -> bool:
    peer = step.node.peer
    assert peer is not None
    handed_over = peer.state is S.FALLING_BACK and peer.stage is Stage.READY
    return handed_over or peer.state is S.NORMAL


def peer_gives_way(before: Node, event: Event, step: Step) -> bool:
    peer = step.node.peer
    assert peer is not None
    return peer.state in FAILED_OVER or peer.state in {S.FAILING_OVER, S.INITIALIZING}


def idle_ended_by_people(before: Node, event: Event, step: Step) -> bool:
    match step.node.state:
        case S.TAKING_BACK:
            return isinstance(event, FallbackRequested)
        case S.FAILED_MODE:
            return isinstance(event, PeerHeard)
        case S.UNKNOWN:
            return isinstance(event, (HaSet, PeerMismatched, Booted))
        case _:
            return False


def idle_begun_by_people(before: Node, event: Event, step: Step) -> bool:
    manual = before.cause is R.ON_ADMIN_REQUEST
    return before.state is S.FAILING_OVER and manual


def fallback_wanted(before: Node, event: Event, step: Step) -> bool:
    match event:
        case FallbackRequested():
            return True
        case FallbackDue():
            return before.policy.automatic_fallback and before.state is S.FAILED_OVER
        case _:
            peer = step.node.peer
            resumed = before.state is S.INITIALIZING and peer is not None
            return resumed and peer is not None and peer.state is S.FALLING_BACK


def failure_ended_by_people(before: Node, event: Event, step: Step) -> bool:
    match event:
        case RecoverRequested() | PeerLeft() | HaSet() | PeerMismatched() | Booted():
            return True
        case PeerHeard(report):
            began = report.start in {Start.RECOVER, Start.REBOOT}
            return report.state is S.INITIALIZING and began
        case _:
            return False


def documented(before: Node, event: Event, step: Step) -> bool:
    node = step.node
    peer = (node.peer.state, node.peer.reason) if hears(node) and node.peer is not None else None
    return find((node.state, node.reason), peer).row.key != UNDOCUMENTED


PROMISES: Final[tuple[Promise, ...]] = (
    Promise(
        "exclusive_take_over",
        "S1, R5",
        "a peer that is heard is taken over from only when it gives its users up",
        lambda before, _, step: enters(before, step, S.TAKING_OVER) and hears(step.node),
        peer_gives_way,
    ),
    Promise(
        "taken_when_let_go",
        "S1, R2",
        "users of a peer that is heard are moved here only when it has let them go",
        lambda _before, _, step: moves(step, Destination.HERE) and hears(step.node),
        peer_let_go,
    ),
    Promise(
        "home_when_let_go",
        "S1, R6",
        "users are moved home in a fallback only when the backup that is heard has let them go",
        lambda _before, _, step: (
            moves(step, Destination.HOME) and step.node.state is S.TAKING_BACK and hears(step.node)
        ),
        backup_let_go,
    ),
    Promise(
        "documented_pair",
        "S3",
        "the pair of states is a row of Cisco's table, or of ours",
        lambda before, event, step: (
            moved_on(before, event, step) and step.node.contact is not Contact.NEVER
        ),
        documented,
    ),
    Promise(
        "known_transition",
        "S4",
        "a state is followed only by those that the rules name",
        lambda before, _, step: before.state is not step.node.state,
        lambda before, _, step: step.node.state in NEXT.get(before.state, ()),
    ),
    Promise(
        "reason_of_the_state",
        "S4",
        "a state has only the reasons that the documents give to it",
        moved_on,
        lambda _before, _, step: step.node.reason in REASONS_OF.get(step.node.state, ()),
    ),
    Promise(
        "failed_over_serves_nobody",
        "S5",
        "a node that is Idle or Failed Over serves nobody and takes nobody",
        lambda _before, _, step: step.node.state in FAILED_OVER,
        lambda _before, _, step: (
            serving(step.node) is Serving.NOBODY
            and not any(isinstance(order, MoveUsers) for order in step.effects)
        ),
    ),
    Promise(
        "failed_over_tells_health",
        "S5",
        "Failed Over means that all critical services run, its other form that some do not",
        lambda _before, _, step: step.node.state in {S.FAILED_OVER, S.FAILED_OVER_SERVICES_DOWN},
        lambda _before, _, step: (
            (step.node.state is S.FAILED_OVER) == (step.node.health is Health.OK)
        ),
    ),
    Promise(
        "backup_serves_both",
        "S5",
        "a node in Running in Backup Mode serves the users of both",
        lambda _before, _, step: step.node.state is S.BACKUP,
        lambda _before, _, step: serving(step.node) is Serving.PLACED,
    ),
    Promise(
        "op_never_falls",
        "S6",
        "the operation number never falls",
        lambda *_: True,
        lambda before, _, step: step.node.op >= before.op,
    ),
    Promise(
        "transition_raises_op",
        "S6",
        "a transition has a higher operation number than all before it, the peer's too",
        moved_on,
        lambda before, _, step: (
            step.node.op > before.op
            and (step.node.peer is None or step.node.op > step.node.peer.op)
        ),
    ),
    Promise(
        "orders_are_stamped",
        "S6",
        "an order carries the operation number of the state that gives it",
        lambda _before, _, step: bool(step.effects),
        lambda _before, _, step: all(order.op == step.node.op for order in step.effects),
    ),
    Promise(
        "late_answers_change_nothing",
        "S6",
        "the answer to a withdrawn order changes nothing",
        lambda before, event, _: isinstance(event, ANSWERS) and event.op != before.op,
        lambda before, _, step: step.node == before and not step.effects,
    ),
    Promise(
        "saved_before_spoken",
        "S6",
        "a transition is made durable",
        moved_on,
        lambda before, _, step: ready(before, step).save,
    ),
    Promise(
        "only_heartbeats_prove_life",
        "S8",
        "the peer is heard by a heartbeat, lost by silence, and gone by its word",
        lambda before, _, step: before.contact is not step.node.contact,
        contact_by_its_event,
    ),
    Promise(
        "unheard_peer_is_unknown",
        "R1",
        "a node that resumes its role knows nothing of its peer until it hears it",
        lambda _before, _, step: resumes_unheard(step.node),
        lambda _before, _, step: step.node.peer is None,
    ),
    Promise(
        "refusal_changes_nothing",
        "S9",
        "a refused request changes nothing",
        lambda _before, _, step: step.refusal is not None,
        lambda before, _, step: step.node == before and not step.effects,
    ),
    Promise(
        "obeyed_as_offered",
        "S9",
        "a request is obeyed where the documents allow it, and nowhere else",
        is_request,
        obeyed_as_offered,
    ),
    Promise(
        "idle_ended_by_people",
        "S10",
        "after a manual failover only a manual fallback brings the users back",
        lambda before, _, step: before.state is S.IDLE and step.node.state is not S.IDLE,
        idle_ended_by_people,
    ),
    Promise(
        "idle_begun_by_people",
        "S10",
        "a node becomes Idle only when an administrator failed it over",
        lambda before, _, step: enters(before, step, S.IDLE),
        idle_begun_by_people,
    ),
    Promise(
        "idle_starts_nothing",
        "S10",
        "the critical services of an Idle node stay stopped",
        lambda _before, _, step: step.node.state is S.IDLE,
        lambda _before, _, step: not any(isinstance(o, StartServices) for o in step.effects),
    ),
    Promise(
        "fallback_is_wanted",
        "S10, R6",
        "a fallback begins on request, or when automatic fallback is enabled and due",
        lambda before, _, step: enters(before, step, S.TAKING_BACK),
        fallback_wanted,
    ),
    Promise(
        "failure_ended_by_people",
        "R10, R12",
        "Running in Failed Mode ends by Recover, a reboot, or high availability going off",
        lambda before, _, step: (
            before.state is S.FAILED_MODE and step.node.state is not S.FAILED_MODE
        ),
        failure_ended_by_people,
    ),
    Promise(
        "nothing_moves_without_ha",
        "R11",
        "without high availability the node is Unknown; services and users stay as they are",
        lambda _before, _, step: not step.node.ha,
        lambda _before, _, step: (
            step.node.state is S.UNKNOWN
            and not any(isinstance(order, (MoveUsers, StopServices)) for order in step.effects)
        ),
    ),
    Promise(
        "passing_is_bounded",
        "L4",
        "a passing state has a bound, once the peer was heard or given up",
        lambda _before, _, step: (
            step.node.state in PASSING
            and (step.node.state is not S.INITIALIZING or step.node.settled)
        ),
        lambda _before, _, step: Timer.STAY in timers(step.node),
    ),
)
"""All promises.  Left to the search of pairs: S2 and S7, of which one node sees nothing."""
