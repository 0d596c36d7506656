"""The kernel's promises: a total table, one door, late answers, refusals, the order of a step."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import pytest

from srmd.core.effects import MoveUsers, StartServices
from srmd.core.events import (
    EVENTS,
    Event,
    FailoverRequested,
    FallbackDue,
    FallbackRequested,
    HealthChanged,
    OperationFailed,
    Order,
    PeerHeard,
    RecoverRequested,
    ServicesStarted,
    ServicesStopped,
    StayExpired,
    UsersMoved,
)
from srmd.core.machine import ANSWERS, Ready, Row, Step, Table, go, ignore, on, ready
from srmd.core.node import Node, Policy, Serving, Timer, serving, timers
from srmd.core.states import (
    OWN_STATES,
    PASSING,
    Contact,
    Destination,
    Health,
    Reason,
    Stage,
    State,
)
from srmd.core.transitions import RULES, TABLE, may_fail_over, may_fall_back, may_recover, step
from tests.core.visited import cells_visited_by
from tests.play import a_node, a_report

S, R = State, Reason
REQUESTS: tuple[Event, ...] = (FailoverRequested(), FallbackRequested(), RecoverRequested())
STORIES = [str(Path(__file__).with_name(f"test_{name}.py")) for name in ("rows", "playbooks")]
KNOWN: list[tuple[State | None, Contact]] = [
    (None, Contact.NEVER),
    *itertools.product(OWN_STATES, (Contact.HEARD, Contact.SILENT)),
]
"""The last report's state, and what we know of the peer's presence."""


# ---------------------------------------------------------------------------- totality


def test_the_table_answers_every_event_in_every_state() -> None:
    assert set(TABLE.cells) == set(itertools.product(OWN_STATES, EVENTS))


def test_a_table_with_missing_pairs_does_not_exist_and_names_them() -> None:
    short: dict[State, tuple[Row, ...]] = dict(RULES)
    del short[S.IDLE]
    short[S.NORMAL] = tuple(row for row in RULES[S.NORMAL] if row.event is not UsersMoved)
    with pytest.raises(TypeError) as refused:
        Table(short)
    assert "NORMAL does not answer UsersMoved" in str(refused.value)
    assert "IDLE does not answer Booted" in str(refused.value)


def test_a_table_that_answers_a_pair_twice_does_not_exist_and_names_it() -> None:
    twice = {**RULES, S.NORMAL: (*RULES[S.NORMAL], *ignore(StayExpired, because="again"))}
    with pytest.raises(TypeError, match="NORMAL answers StayExpired twice"):
        Table(twice)


def test_a_decision_that_leads_where_it_did_not_declare_is_an_error() -> None:
    def stray(node: Node, event: StayExpired) -> Step:
        """Goes astray."""
        return go(node, State.IDLE, Reason.UNKNOWN)

    rows = tuple(row for row in RULES[S.NORMAL] if row.event is not StayExpired)
    table = Table({**RULES, S.NORMAL: (*rows, on(StayExpired, stray, S.BACKUP))})
    with pytest.raises(AssertionError, match="stray led from NORMAL to IDLE, undeclared"):
        table.step(a_node(S.NORMAL, R.NORMAL), StayExpired(10))


def test_a_decision_without_a_sentence_is_an_error() -> None:
    def silent(node: Node, event: StayExpired) -> Step:
        return Step(node)

    with pytest.raises(AssertionError, match="silent: a decision needs a docstring"):
        on(StayExpired, silent)


def test_every_cell_says_why_in_one_sentence() -> None:
    assert [cell for cell, row in TABLE.cells.items() if not row.why or "\n" in row.why] == []


def test_every_cell_that_decides_is_exercised_by_a_row_or_a_playbook() -> None:
    visited = cells_visited_by(*STORIES)
    unvisited = [
        f"{state.name} {event.__name__} ({row.name})"
        for (state, event), row in TABLE.cells.items()
        if row.name not in {"ignore", "refuse"} and (state, event) not in visited
    ]
    assert unvisited == [], f"{len(unvisited)} cells have no story"


# ---------------------------------------------------------------------------- step


@pytest.mark.parametrize("state", OWN_STATES)
@pytest.mark.parametrize("answer", ANSWERS)
def test_a_late_answer_changes_nothing_in_any_state(state: State, answer: type) -> None:
    node = a_node(state, R.UNKNOWN, peer=a_report(S.NORMAL))
    more = (Order.MOVE_USERS,) if answer is OperationFailed else ()
    for op in (node.op - 1, node.op + 1):
        result = step(node, answer(op, *more))
        assert (result.node, result.effects, result.refusal) == (node, (), None)


@pytest.mark.parametrize("state", OWN_STATES)
@pytest.mark.parametrize("request_", REQUESTS, ids=lambda event: type(event).__name__)
@pytest.mark.parametrize("peer,contact", KNOWN)
def test_a_request_is_obeyed_where_its_guard_allows_and_refused_elsewhere(
    state: State, request_: Event, peer: State | None, contact: Contact
) -> None:
    report = None if peer is None else a_report(peer)
    node = a_node(state, R.UNKNOWN, peer=report, contact=contact)
    guards = {
        FailoverRequested: may_fail_over,
        FallbackRequested: may_fall_back,
        RecoverRequested: may_recover,
    }
    result = step(node, request_)
    if guards[type(request_)](node, report, contact):
        assert result.refusal is None
        assert result.node.op > node.op
    else:
        assert result.node == node
        assert result.effects == ()
        assert result.refusal, "a refusal says what is needed"


@pytest.mark.parametrize("state", OWN_STATES)
def test_what_an_event_tells_is_known_whatever_is_decided(state: State) -> None:
    node = a_node(state, R.UNKNOWN, peer=a_report(S.NORMAL), contact=Contact.SILENT)
    ill = step(node, HealthChanged(Health.DATABASE_DOWN, lasting=False)).node
    assert ill.health is Health.DATABASE_DOWN
    told = step(node, PeerHeard(a_report(S.INITIALIZING, op=7))).node
    assert told.peer == a_report(S.INITIALIZING, op=7)
    assert told.contact_before is Contact.SILENT


def test_a_change_of_state_withdraws_the_orders_of_the_state_before() -> None:
    node = a_node(S.TAKING_OVER, R.ON_ADMIN_REQUEST, stage=Stage.MOVING)
    failed = step(node, StayExpired(node.op)).node
    assert step(failed, UsersMoved(node.op)).node == failed


# ---------------------------------------------------------------------------- ready


def test_a_transition_is_saved_told_timed_and_only_then_carried_out() -> None:
    before = a_node(S.NORMAL, R.NORMAL, peer=a_report(S.NORMAL))
    todo = ready(before, step(before, FallbackRequested()))
    assert todo == Ready(save=False, tell=False, arm=frozenset(), disarm=frozenset(), act=())

    result = go(before, S.TAKING_OVER, R.PEER_DOWN, StartServices, lambda op: MoveUsers(op, HERE))
    todo = ready(before, result)
    assert list(Ready.__slots__) == ["save", "tell", "arm", "disarm", "act"]
    assert (todo.save, todo.tell, todo.arm) == (True, True, frozenset({Timer.STAY}))
    assert todo.act == (StartServices(11), MoveUsers(11, HERE))

    back = ready(result.node, go(result.node, S.BACKUP, R.PEER_DOWN))
    assert (back.arm, back.disarm) == (frozenset(), frozenset({Timer.STAY}))


HERE = Destination.HERE


def test_a_new_operation_starts_its_timers_anew() -> None:
    node = a_node(S.TAKING_OVER, R.PEER_DOWN)
    todo = ready(node, go(node, S.TAKING_OVER, R.INITIALIZATION))
    assert (todo.arm, todo.disarm) == (frozenset({Timer.STAY}), frozenset({Timer.STAY}))


def test_a_stage_is_told_at_once_but_need_not_be_saved() -> None:
    node = a_node(S.FAILING_OVER, R.ON_ADMIN_REQUEST, peer=a_report(S.TAKING_OVER))
    todo = ready(node, step(node, ServicesStopped(node.op)))
    assert (todo.save, todo.tell) == (False, True)


def test_health_alone_is_neither_saved_nor_told_at_once() -> None:
    node = a_node(S.NORMAL, R.NORMAL, peer=a_report(S.NORMAL))
    todo = ready(node, step(node, HealthChanged(Health.SERVICE_DOWN, lasting=False)))
    assert (todo.save, todo.tell) == (False, False)


# ---------------------------------------------------------------------------- timers, serving


@pytest.mark.parametrize("state", OWN_STATES)
def test_passing_states_have_a_bound_and_others_have_none(state: State) -> None:
    node = a_node(state, R.UNKNOWN, peer=a_report(S.NORMAL))
    assert (Timer.STAY in timers(node)) == (state in PASSING)


def test_the_bound_of_initializing_is_the_peers_silence_until_that_is_decided() -> None:
    assert timers(a_node(S.INITIALIZING, R.INITIALIZATION)) == frozenset()


def test_the_fallback_wait_runs_only_while_both_are_well_and_hear_each_other() -> None:
    policy = Policy(automatic_fallback=True)
    backup = a_report(S.BACKUP)
    node = a_node(S.FAILED_OVER, R.PEER_DOWN, peer=backup, policy=policy)
    assert timers(node) == {Timer.FALLBACK}
    breaks = [
        replace(node, policy=Policy()),
        replace(node, state=S.IDLE),
        replace(node, state=S.FAILED_OVER_SERVICES_DOWN),
        replace(node, contact=Contact.SILENT),
        replace(node, peer=None),
        replace(node, peer=replace(backup, hears_us=False)),
        replace(node, peer=replace(backup, health=Health.SERVICE_DOWN)),
        replace(node, peer=replace(backup, state=S.TAKING_OVER)),
    ]
    assert [timers(broken) for broken in breaks] == [frozenset()] * len(breaks)


def test_the_fallback_wait_dies_with_a_break_and_starts_again() -> None:
    policy = Policy(automatic_fallback=True)
    node = a_node(S.FAILED_OVER, R.PEER_DOWN, peer=a_report(S.BACKUP), policy=policy)
    ill = step(node, HealthChanged(Health.SERVICE_DOWN, lasting=False))
    assert ready(node, ill).disarm == {Timer.FALLBACK}
    well = step(ill.node, HealthChanged(Health.OK, lasting=False))
    assert ready(ill.node, well).arm == {Timer.FALLBACK}
    assert step(well.node, FallbackDue(node.op)).node == well.node


def test_users_are_let_go_before_they_are_taken() -> None:
    giving = a_node(S.FAILING_OVER, R.ON_ADMIN_REQUEST)
    assert serving(giving) is Serving.OWN
    assert serving(step(giving, ServicesStopped(10)).node) is Serving.NOBODY
    back = a_node(S.FALLING_BACK, R.ON_ADMIN_REQUEST)
    assert serving(back) is Serving.PLACED
    assert serving(replace(back, stage=Stage.READY)) is Serving.OWN
    assert serving(step(a_node(S.TAKING_BACK, R.UNKNOWN), ServicesStarted(10)).node) is (
        Serving.NOBODY
    )


def test_nobody_asks_whom_a_view_serves() -> None:
    with pytest.raises(AssertionError, match="never a node's own state"):
        serving(Node(state=S.DOWN))
