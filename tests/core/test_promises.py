"""The promises hold on every step that a hostile world leads to, and each of them bites."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from dataclasses import replace

import pytest

from srmd.core import transitions
from srmd.core.effects import MoveUsers, StartServices
from srmd.core.events import (
    Event,
    FailoverRequested,
    FallbackRequested,
    HealthChanged,
    PeerDown,
    PeerHeard,
    ServicesStarted,
    ServicesStopped,
    StayExpired,
    UsersMoved,
)
from srmd.core.machine import Step, ready
from srmd.core.node import Node, Policy, Serving
from srmd.core.promises import NEXT, PROMISES, REASONS_OF, Promise, broken_by
from srmd.core.states import OWN_STATES, Contact, Destination, Health, Reason, SplitBrain, State
from srmd.core.transitions import TABLE, step
from tests.core import world
from tests.core.world import World, draw, perform
from tests.play import a_node, a_report

S, R = State, Reason
PLANS = 400
VERBS_MAX = 60


def run_plans(count: int, first_seed: int = 40_000_000) -> None:
    for seed in range(first_seed, first_seed + count):
        chance = random.Random(seed)
        policy = Policy(
            automatic_fallback=chance.random() < 0.3,
            split_brain=chance.choice(list(SplitBrain)),
        )
        pair = World(policy)
        perform(pair, draw(chance, chance.randint(1, VERBS_MAX)))
        pair.heal()
        pair.end_in_row_1()


def test_every_promise_is_kept_on_every_step_of_the_search(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: Counter[str] = Counter()

    def watched(node: Node, event: Event) -> Step:
        result = step(node, event)
        asked.update(one.key for one in PROMISES if one.about(node, event, result))
        broken = broken_by(node, event, result)
        assert not broken, "\n".join(map(str, broken))
        return result

    monkeypatch.setattr(world, "step", watched)
    run_plans(PLANS)
    assert set(asked) == {promise.key for promise in PROMISES}, "a promise was never asked"


def test_the_states_that_may_follow_are_those_of_the_table() -> None:
    table: dict[State, set[State]] = defaultdict(set)
    for (state, _), row in TABLE.cells.items():
        table[state] |= {to for to in row.may_lead_to if to is not state}
    assert {state: set(after) for state, after in NEXT.items()} == table


def test_every_state_has_its_reasons() -> None:
    assert set(REASONS_OF) == set(OWN_STATES)
    printed_nowhere = set(Reason) - set().union(*REASONS_OF.values())
    assert printed_nowhere == set()


NORMAL = a_node(S.NORMAL, R.NORMAL, peer=a_report(S.NORMAL))
IDLE = a_node(S.IDLE, R.ON_ADMIN_REQUEST, peer=a_report(S.BACKUP, R.ON_ADMIN_REQUEST))
FAILED = a_node(S.FAILED_MODE, R.UNKNOWN, peer=a_report(S.FAILED_MODE, R.UNKNOWN))
FAILED_OVER = a_node(S.FAILED_OVER, R.PEER_DOWN, peer=a_report(S.BACKUP, R.PEER_DOWN))
TAKING_BACK = a_node(
    S.TAKING_BACK, R.ON_ADMIN_REQUEST, peer=a_report(S.FALLING_BACK, R.ON_ADMIN_REQUEST)
)
RESUMED = a_node(S.BACKUP, R.INITIALIZATION)
BEAT = PeerHeard(a_report(S.NORMAL))


def to(node: Node, state: State, reason: Reason, **facts: object) -> Step:
    """A step that leads there, as the door `go` would have made it."""
    changed = replace(node, state=state, reason=reason, op=node.op + 1)
    return Step(replace(changed, **facts))  # type: ignore[arg-type]


WRONG_STEPS: dict[str, tuple[Node, Event, Step]] = {
    "exclusive_take_over": (NORMAL, BEAT, to(NORMAL, S.TAKING_OVER, R.PEER_DOWN)),
    "taken_when_let_go": (
        NORMAL,
        BEAT,
        Step(NORMAL, (MoveUsers(NORMAL.op, Destination.HERE),)),
    ),
    "home_when_let_go": (
        TAKING_BACK,
        ServicesStarted(TAKING_BACK.op),
        Step(TAKING_BACK, (MoveUsers(TAKING_BACK.op, Destination.HOME),)),
    ),
    "documented_pair": (NORMAL, BEAT, to(NORMAL, S.NORMAL, R.PEER_DOWN)),
    "known_transition": (NORMAL, BEAT, to(NORMAL, S.BACKUP, R.PEER_DOWN)),
    "reason_of_the_state": (NORMAL, BEAT, to(NORMAL, S.FAILED_MODE, R.NORMAL)),
    "failed_over_serves_nobody": (
        IDLE,
        BEAT,
        Step(IDLE, (MoveUsers(IDLE.op, Destination.HERE),)),
    ),
    "failed_over_tells_health": (
        FAILED_OVER,
        HealthChanged(Health.SERVICE_DOWN, lasting=False),
        Step(replace(FAILED_OVER, health=Health.SERVICE_DOWN)),
    ),
    "op_never_falls": (NORMAL, BEAT, Step(replace(NORMAL, op=3))),
    "transition_raises_op": (
        NORMAL,
        PeerDown(),
        to(NORMAL, S.TAKING_OVER, R.PEER_DOWN, op=NORMAL.op, contact=Contact.SILENT),
    ),
    "orders_are_stamped": (NORMAL, BEAT, Step(NORMAL, (StartServices(3),))),
    "late_answers_change_nothing": (
        TAKING_BACK,
        UsersMoved(3),
        to(TAKING_BACK, S.NORMAL, R.NORMAL),
    ),
    "only_heartbeats_prove_life": (
        NORMAL,
        StayExpired(NORMAL.op),
        Step(replace(NORMAL, contact=Contact.SILENT)),
    ),
    "unheard_peer_is_unknown": (
        RESUMED,
        BEAT,
        Step(replace(RESUMED, peer=a_report(S.NORMAL))),
    ),
    "refusal_changes_nothing": (
        NORMAL,
        FallbackRequested(),
        replace(to(NORMAL, S.TAKING_BACK, R.ON_ADMIN_REQUEST), refusal="no"),
    ),
    "obeyed_as_offered": (NORMAL, FailoverRequested(), Step(NORMAL, refusal="no")),
    "idle_ended_by_people": (IDLE, BEAT, to(IDLE, S.TAKING_BACK, R.ON_ADMIN_REQUEST)),
    "idle_begun_by_people": (FAILED_OVER, BEAT, to(FAILED_OVER, S.IDLE, R.ON_ADMIN_REQUEST)),
    "idle_starts_nothing": (IDLE, BEAT, Step(IDLE, (StartServices(IDLE.op),))),
    "fallback_is_wanted": (
        FAILED_OVER,
        BEAT,
        to(FAILED_OVER, S.TAKING_BACK, R.AUTOMATIC_FALLBACK),
    ),
    "failure_ended_by_people": (FAILED, BEAT, to(FAILED, S.INITIALIZING, R.INITIALIZATION)),
    "nothing_moves_without_ha": (NORMAL, BEAT, Step(replace(NORMAL, ha=False))),
}


@pytest.mark.parametrize("key", WRONG_STEPS)
def test_a_step_that_breaks_it_is_noticed(key: str) -> None:
    before, event, wrong = WRONG_STEPS[key]
    assert key in [broken.promise.key for broken in broken_by(before, event, wrong)]


def by_key(key: str) -> Promise:
    return next(promise for promise in PROMISES if promise.key == key)


def test_a_kernel_that_serves_saves_or_times_wrongly_is_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The promises that no single step can break ask the functions that all drivers share."""
    backup = to(NORMAL, S.BACKUP, R.PEER_DOWN)
    monkeypatch.setattr("srmd.core.promises.serving", lambda _: Serving.OWN)
    assert not by_key("backup_serves_both").kept(NORMAL, BEAT, backup)
    taking = to(NORMAL, S.TAKING_OVER, R.PEER_DOWN)
    monkeypatch.setattr("srmd.core.promises.timers", lambda _: frozenset())
    assert not by_key("passing_is_bounded").kept(NORMAL, BEAT, taking)
    monkeypatch.setattr(
        "srmd.core.promises.ready",
        lambda before, result: replace(ready(before, result), save=False),
    )
    assert not by_key("saved_before_spoken").kept(NORMAL, BEAT, taking)
    asked_of_a_step = set(WRONG_STEPS)
    asked_here = {"backup_serves_both", "passing_is_bounded", "saved_before_spoken"}
    assert asked_of_a_step | asked_here == {promise.key for promise in PROMISES}


def test_a_guard_that_is_gone_breaks_a_promise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transitions, "may_fail_over", lambda *_: True)
    alone = replace(NORMAL, contact=Contact.SILENT)
    broken = broken_by(alone, FailoverRequested(), step(alone, FailoverRequested()))
    assert [one.promise.key for one in broken] == ["obeyed_as_offered"]
    assert str(broken[0]) == (
        "obeyed_as_offered (S9): a request is obeyed where the documents allow it, and nowhere"
        " else: NORMAL/normal op 10 -> FAILING_OVER/on_admin_request op 11 on FailoverRequested,"
        " peer silent NORMAL/normal, StopServices 11"
    )


def test_an_ordinary_failover_breaks_none() -> None:
    node = NORMAL
    events: tuple[Event, ...] = (
        FailoverRequested(),
        ServicesStopped(11),
        PeerHeard(a_report(S.TAKING_OVER, R.ON_ADMIN_REQUEST, op=12)),
        PeerHeard(a_report(S.BACKUP, R.ON_ADMIN_REQUEST, op=13)),
    )
    for event in events:
        result = step(node, event)
        assert broken_by(node, event, result) == ()
        node = result.node
    assert node.state is S.IDLE
