"""Playbooks: conversations with one node, by rule.  Each test's name is its claim.

The documented rows are told with two nodes in `test_rows.py`; here are the decisions one by one,
with those that only a lost message, a late answer or a fault half way brings about.
"""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest

from srmd.core.effects import StartServices, StopServices
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
    PlacementSeen,
    RecoverRequested,
    ServicesStarted,
    ServicesStopped,
    StayExpired,
    UsersMoved,
)
from srmd.core.node import Node, Policy, Serving, serving
from srmd.core.states import (
    OWN_STATES,
    Contact,
    Destination,
    Health,
    Reason,
    SplitBrain,
    Stage,
    Start,
    State,
)
from srmd.core.transitions import step
from tests.play import Play, a_node, a_report

S, R = State, Reason
HERE, HOME = Destination.HERE, Destination.HOME
NORMAL = a_report(S.NORMAL)
ILL: dict[str, Any] = {"health": Health.SERVICE_DOWN, "lasting": True}
BAD = HealthChanged(Health.SERVICE_DOWN, lasting=True)
SHORTLY_BAD = HealthChanged(Health.SERVICE_DOWN, lasting=False)
WELL = HealthChanged(Health.OK, lasting=False)
LOSSES: list[tuple[Event, Reason]] = [(PeerDown(), R.PEER_DOWN), (PeerLeft(), R.PEER_REBOOT)]
losses = pytest.mark.parametrize("loss,reason", LOSSES, ids=["silent", "left"])
failed_over = pytest.mark.parametrize("state", [S.FAILED_OVER, S.FAILED_OVER_SERVICES_DOWN])


def play(state: State, reason: Reason, **facts: object) -> Play:
    """A conversation with a node that hears a normal peer, unless the facts say otherwise."""
    return Play(a_node(state, reason, **({"peer": NORMAL} | facts)))  # type: ignore[arg-type]


def starting(**facts: object) -> Play:
    return play(S.INITIALIZING, R.INITIALIZATION, **({"peer": None} | facts))


def hears(state: State, reason: Reason = R.NORMAL, op: int = 9, **facts: object) -> PeerHeard:
    return PeerHeard(a_report(state, reason, op, **facts))


# ---------------------------------------------------------------------------- R1: start


@pytest.mark.parametrize("state", [S.NORMAL, S.FAILED_OVER, S.FAILED_OVER_SERVICES_DOWN])
def test_r1_a_start_without_a_role_to_keep_starts_the_services_and_listens(state: State) -> None:
    story = play(state, R.NORMAL)
    story.see(Booted(Start.RESTART), (S.INITIALIZING, R.INITIALIZATION), [StartServices])
    assert story.node.contact is Contact.NEVER


@pytest.mark.parametrize("start", [Start.RESTART, Start.REBOOT])
@pytest.mark.parametrize("state", OWN_STATES)
def test_r1_a_node_reports_how_it_started_whatever_its_state(state: State, start: Start) -> None:
    was = Start.REBOOT if start is Start.RESTART else Start.RESTART
    for cause in (R.ON_ADMIN_REQUEST, R.PEER_DOWN):
        booted = step(a_node(state, cause, start=was), Booted(start)).node
        assert booted.report().start is start


@pytest.mark.parametrize("state", [S.NORMAL, S.FAILED_OVER, S.FAILED_MODE, S.UNKNOWN])
def test_r1_a_rebooted_node_says_so_and_leaves_it_to_a_failed_peer_to_take_over(
    state: State,
) -> None:
    story = play(state, R.NORMAL)
    story.see(Booted(Start.REBOOT), (S.INITIALIZING, R.INITIALIZATION), [StartServices])
    assert story.node.report().start is Start.REBOOT
    story.see(hears(S.FAILED_MODE, R.UNKNOWN, op=11), do=[])


def test_r1_users_are_brought_home_when_the_peer_is_heard_and_the_services_run() -> None:
    story = starting(health=Health.SERVICE_DOWN)
    story.see(hears(S.INITIALIZING), do=[]).see(WELL, do=[HOME]).see(hears(S.NORMAL), do=[])
    story.answer(UsersMoved, then=(S.NORMAL, R.NORMAL))


def test_r1_health_alone_decides_nothing_before_the_peer_is_heard_or_given_up() -> None:
    starting().see(SHORTLY_BAD, do=[]).see(WELL, do=[]).see(BAD, do=[])


def test_r1_a_silent_peer_is_taken_over() -> None:
    reason = R.PEER_DOWN_DURING_INITIALIZATION
    starting().see(PeerDown(), (S.TAKING_OVER, reason), [StartServices, HERE])


def test_r1_a_peer_that_says_goodbye_is_taken_over_at_once() -> None:
    starting().see(PeerLeft(), (S.TAKING_OVER, R.PEER_REBOOT), [StartServices, HERE])


def test_r1_without_peer_a_node_waits_for_its_services_and_fails_when_they_do_not_come() -> None:
    story = starting(health=Health.SERVICE_DOWN).see(PeerDown(), do=[]).see(SHORTLY_BAD, do=[])
    story.see(BAD, (S.FAILED_MODE, R.CRITICAL_SERVICE_DOWN), [])


def test_r1_without_peer_a_node_takes_over_when_its_services_have_come() -> None:
    story = starting(health=Health.SERVICE_DOWN).see(PeerDown())
    story.see(WELL, (S.TAKING_OVER, R.PEER_DOWN_DURING_INITIALIZATION), [StartServices, HERE])


def test_r1_a_node_that_does_not_get_well_fails_over_to_its_normal_peer() -> None:
    starting(**ILL).see(hears(S.NORMAL), (S.FAILING_OVER, R.CRITICAL_SERVICE_DOWN), [])


@pytest.mark.parametrize(
    "peer,then,do",
    [
        (hears(S.BACKUP, R.PEER_DOWN), (S.FAILED_OVER, R.INITIALIZATION), [StartServices]),
        (hears(S.TAKING_BACK), (S.FALLING_BACK, R.INITIALIZATION), []),
        (hears(S.FALLING_BACK), (S.TAKING_BACK, R.INITIALIZATION), [StartServices]),
        (
            hears(S.FAILING_OVER, R.DATABASE_FAILURE, stage=Stage.READY),
            (S.TAKING_OVER, R.DATABASE_FAILURE),
            [StartServices, HERE],
        ),
        (
            hears(S.FAILING_OVER, R.ON_ADMIN_REQUEST),
            (S.TAKING_OVER, R.ON_ADMIN_REQUEST),
            [StartServices],
        ),
        (hears(S.IDLE), (S.TAKING_OVER, R.INITIALIZATION), [StartServices, HERE]),
        (hears(S.FAILED_OVER), (S.TAKING_OVER, R.INITIALIZATION), [StartServices, HERE]),
        (
            hears(S.FAILED_OVER_SERVICES_DOWN),
            (S.TAKING_OVER, R.INITIALIZATION),
            [StartServices, HERE],
        ),
    ],
    ids=[
        *("backup", "taking back", "falling back", "let go", "stopping", "idle", "failed over"),
        "failed over and ill",
    ],
)
def test_r1_what_the_peer_reports_decides_the_role(
    peer: PeerHeard, then: tuple[State, Reason], do: list[type | Destination]
) -> None:
    starting().see(peer, then, do)


@pytest.mark.parametrize("state", [S.TAKING_OVER, S.UNKNOWN])
def test_r1_a_starting_node_waits_for_a_peer_that_is_not_ready(state: State) -> None:
    starting().see(hears(state), do=[])


def test_r1_users_that_cannot_be_brought_home_at_the_start_fail_the_node() -> None:
    story = starting().see(hears(S.NORMAL), do=[HOME])
    story.see(OperationFailed(10, Order.MOVE_USERS), (S.FAILED_MODE, R.UNKNOWN))


def test_r1_services_that_do_not_start_are_left_to_the_critical_service_delay() -> None:
    story = starting(health=Health.SERVICE_DOWN, peer=NORMAL)
    story.see(OperationFailed(10, Order.START_SERVICES), do=[])
    story.see(BAD, (S.FAILING_OVER, R.CRITICAL_SERVICE_DOWN), [])


@pytest.mark.parametrize(
    "state",
    [S.BACKUP, S.TAKING_OVER, S.TAKING_BACK, S.FALLING_BACK],
)
def test_r1_a_stored_role_is_resumed_and_keeps_its_cause(state: State) -> None:
    story = play(state, R.ON_ADMIN_REQUEST)
    story.see(Booted(Start.RESTART), (state, R.INITIALIZATION), [StartServices])
    assert story.node.cause is R.ON_ADMIN_REQUEST


def test_r1_idle_stays_idle_over_a_reboot_and_its_services_stay_stopped() -> None:
    story = play(S.IDLE, R.ON_ADMIN_REQUEST)
    story.see(Booted(Start.REBOOT), (S.IDLE, R.INITIALIZATION), [StopServices])


def test_a_backup_that_resumed_places_the_users_again() -> None:
    """Ours: it may have started with another placement than it left (seeds 680, 727)."""
    for event in (hears(S.FAILED_OVER, R.INITIALIZATION), PeerDown()):
        story = play(S.BACKUP, R.PEER_DOWN, peer=None, contact=Contact.NEVER)
        story.see(Booted(Start.RESTART), (S.BACKUP, R.INITIALIZATION), [StartServices])
        story.see(event, (S.BACKUP, R.INITIALIZATION), [HERE])
        story.see(hears(S.FAILED_OVER, R.INITIALIZATION), do=[])


def test_r1_a_manual_failover_half_way_goes_on_stopping_the_services() -> None:
    story = play(S.FAILING_OVER, R.ON_ADMIN_REQUEST)
    story.see(Booted(Start.RESTART), (S.FAILING_OVER, R.INITIALIZATION), [StopServices])
    story.see(hears(S.BACKUP, R.ON_ADMIN_REQUEST), do=[], stage=Stage.BEGUN)
    story.answer(ServicesStopped, then=(S.IDLE, R.INITIALIZATION))
    assert story.node.cause is R.ON_ADMIN_REQUEST


@pytest.mark.parametrize("start", [Start.RESTART, Start.REBOOT])
def test_r1_any_other_failover_half_way_has_let_its_users_go_and_its_services_run(
    start: Start,
) -> None:
    """After a reboot nothing started them: the node stayed without, and when its peer was lost
    too, nobody served."""
    story = play(S.FAILING_OVER, R.CRITICAL_SERVICE_DOWN, **ILL)
    then = (S.FAILING_OVER, R.INITIALIZATION)
    story.see(Booted(start), then, [StartServices], stage=Stage.READY)
    story.see(OperationFailed(story.node.op, Order.START_SERVICES), do=[], stage=Stage.READY)
    then = (S.FAILED_OVER_SERVICES_DOWN, R.INITIALIZATION)
    story.see(hears(S.BACKUP, R.CRITICAL_SERVICE_DOWN), then, [])
    assert story.node.cause is R.CRITICAL_SERVICE_DOWN
    story.see(WELL, (S.FAILED_OVER, R.INITIALIZATION), [])
    story.see(PeerDown(), (S.TAKING_OVER, R.PEER_DOWN), [StartServices, HERE])


@pytest.mark.parametrize("state", OWN_STATES)
def test_r1_with_high_availability_off_a_start_is_unknown_and_starts_the_services(
    state: State,
) -> None:
    story = play(state, R.NORMAL, ha=False)
    story.see(Booted(Start.RESTART), (S.UNKNOWN, R.HA_NOT_ENABLED), [StartServices])


def test_r1_an_srm_restart_joins_a_peer_in_failed_mode() -> None:
    starting().see(hears(S.FAILED_MODE, R.PEER_DOWN), (S.FAILED_MODE, R.UNKNOWN), [])


def test_r1_a_rebooted_node_waits_for_a_failed_peer_that_can_take_over() -> None:
    story = starting(start=Start.REBOOT).see(hears(S.FAILED_MODE), do=[])
    story.see(hears(S.FAILED_MODE, **ILL), (S.FAILED_MODE, R.UNKNOWN))


def test_r1_a_recovering_node_yields_to_a_backup_only_if_that_is_news() -> None:
    story = starting(start=Start.RECOVER).see(hears(S.BACKUP, R.PEER_DOWN, op=9), do=[])
    then = (S.FAILED_OVER, R.INITIALIZATION)
    story.see(hears(S.BACKUP, R.PEER_DOWN, op=11), then, [StartServices])


def test_r1_a_recovering_node_waits_for_its_peer_to_follow() -> None:
    story = starting(start=Start.RECOVER).see(hears(S.FAILED_MODE, op=9), do=[])
    story.see(hears(S.FAILED_MODE, op=11), (S.FAILED_MODE, R.UNKNOWN))


# ---------------------------------------------------------------------------- R2: manual failover


def test_r2_the_failing_side_stops_its_services_then_lets_go_then_is_idle() -> None:
    story = play(S.NORMAL, R.NORMAL)
    story.see(FailoverRequested(), (S.FAILING_OVER, R.ON_ADMIN_REQUEST), [StopServices])
    story.see(hears(S.TAKING_OVER, R.ON_ADMIN_REQUEST, op=12), do=[], stage=Stage.BEGUN)
    story.answer(ServicesStopped, do=[], stage=Stage.READY)
    story.see(hears(S.BACKUP, R.ON_ADMIN_REQUEST, op=13), (S.IDLE, R.ON_ADMIN_REQUEST), [])


def test_r2_the_backup_side_moves_the_users_only_when_they_are_let_go() -> None:
    story, reason = play(S.NORMAL, R.NORMAL), R.ON_ADMIN_REQUEST
    story.see(hears(S.FAILING_OVER, reason), (S.TAKING_OVER, reason), [StartServices])
    story.see(hears(S.FAILING_OVER, reason), do=[])
    story.see(hears(S.FAILING_OVER, reason, stage=Stage.READY), do=[HERE])
    story.see(hears(S.FAILING_OVER, reason, stage=Stage.READY), do=[])
    story.answer(UsersMoved, then=(S.BACKUP, reason), do=[])


def test_r2_services_that_cannot_be_stopped_fail_the_node() -> None:
    story = play(S.FAILING_OVER, R.ON_ADMIN_REQUEST)
    story.see(OperationFailed(10, Order.STOP_SERVICES), (S.FAILED_MODE, R.UNKNOWN))


def test_r2_idle_is_left_alone_by_health_and_by_the_loss_of_the_peer() -> None:
    story = play(S.IDLE, R.ON_ADMIN_REQUEST, peer=a_report(S.BACKUP))
    for event in (BAD, WELL, PeerDown(), PeerLeft(), hears(S.BACKUP), hears(S.FALLING_BACK)):
        story.see(event, do=[])


@pytest.mark.parametrize(
    "state",
    [S.IDLE, S.FAILED_OVER, S.FAILED_OVER_SERVICES_DOWN, S.FAILING_OVER, S.TAKING_BACK],
)
def test_r2_an_idle_node_whose_peer_serves_nobody_either_fails(state: State) -> None:
    play(S.IDLE, R.ON_ADMIN_REQUEST).see(hears(state), (S.FAILED_MODE, R.UNKNOWN))


@pytest.mark.parametrize(
    "facts",
    [
        {"peer": a_report(S.INITIALIZING)},
        {"peer": a_report(S.NORMAL, health=Health.SERVICE_DOWN)},
        {"contact": Contact.SILENT},
    ],
    ids=["peer starting", "peer ill", "peer silent"],
)
def test_r2_a_failover_to_a_peer_that_cannot_serve_is_refused(facts: dict[str, object]) -> None:
    play(S.NORMAL, R.NORMAL, **facts).see(FailoverRequested(), do=[], refused=True)


# ---------------------------------------------------------------------------- R3, R4: services


def test_r3_a_short_outage_changes_nothing() -> None:
    play(S.NORMAL, R.NORMAL).see(SHORTLY_BAD, do=[]).see(hears(S.NORMAL), do=[]).see(WELL, do=[])


@pytest.mark.parametrize(
    "health,reason",
    [
        (Health.SERVICE_DOWN, R.CRITICAL_SERVICE_DOWN),
        (Health.DATABASE_DOWN, R.DATABASE_FAILURE),
    ],
)
def test_r3_r4_a_lasting_outage_lets_the_users_go_at_once(health: Health, reason: Reason) -> None:
    story = play(S.NORMAL, R.NORMAL)
    story.see(HealthChanged(health, lasting=True), (S.FAILING_OVER, reason), [], stage=Stage.READY)
    story.see(hears(S.BACKUP, reason, op=13), (S.FAILED_OVER_SERVICES_DOWN, reason))
    story.see(WELL, (S.FAILED_OVER, reason)).see(SHORTLY_BAD, (S.FAILED_OVER_SERVICES_DOWN, reason))


def test_r3_a_peer_that_has_just_started_takes_the_users_of_an_ill_node_too() -> None:
    story = play(S.NORMAL, R.NORMAL, peer=a_report(S.INITIALIZING))
    story.see(BAD, (S.FAILING_OVER, R.CRITICAL_SERVICE_DOWN), [], stage=Stage.READY)


def test_r3_a_node_that_gets_well_while_failing_over_ends_in_failed_over() -> None:
    story = play(S.FAILING_OVER, R.CRITICAL_SERVICE_DOWN, stage=Stage.READY)
    story.see(hears(S.BACKUP), (S.FAILED_OVER, R.CRITICAL_SERVICE_DOWN))


def test_r3_a_lasting_outage_waits_for_a_peer_that_may_yet_get_well_and_fails_with_it() -> None:
    story = play(S.NORMAL, R.NORMAL, peer=a_report(S.NORMAL, health=Health.SERVICE_DOWN))
    story.see(BAD, do=[])
    story.see(hears(S.NORMAL, **ILL), (S.FAILED_MODE, R.CRITICAL_SERVICE_DOWN))


def test_r3_a_node_that_is_ill_does_not_step_in() -> None:
    story = play(S.NORMAL, R.NORMAL, health=Health.SERVICE_DOWN)
    story.see(hears(S.FAILING_OVER, R.CRITICAL_SERVICE_DOWN), do=[])
    story.see(BAD, (S.FAILED_MODE, R.CRITICAL_SERVICE_DOWN))


def test_r3_a_failed_over_node_keeps_its_cause_through_health() -> None:
    cause = R.CRITICAL_SERVICE_DOWN
    story = play(S.FAILED_OVER, R.INITIALIZATION, cause=cause)
    story.see(SHORTLY_BAD, (S.FAILED_OVER_SERVICES_DOWN, R.INITIALIZATION))
    assert story.node.cause is cause
    story.see(WELL, (S.FAILED_OVER, R.INITIALIZATION))
    assert story.node.cause is cause


def test_r3_of_two_failing_nodes_the_one_that_can_serve_turns_round() -> None:
    peer = hears(S.FAILING_OVER, R.CRITICAL_SERVICE_DOWN, stage=Stage.READY, **ILL)
    story = play(S.FAILING_OVER, R.ON_ADMIN_REQUEST)
    story.see(peer, (S.TAKING_OVER, R.CRITICAL_SERVICE_DOWN), [StartServices])


def test_r3_of_two_failing_nodes_one_that_has_yielded_or_got_well_can_serve() -> None:
    ill = hears(S.FAILING_OVER, R.CRITICAL_SERVICE_DOWN, stage=Stage.READY, **ILL)
    story = play(S.FAILING_OVER, R.PEER_DOWN, stage=Stage.READY)
    story.see(ill, (S.TAKING_OVER, R.CRITICAL_SERVICE_DOWN), [StartServices])
    story = play(S.FAILING_OVER, R.CRITICAL_SERVICE_DOWN, stage=Stage.READY, **ILL)
    story.see(hears(S.FAILING_OVER, R.PEER_DOWN, stage=Stage.READY), do=[])
    story = play(S.FAILING_OVER, R.CRITICAL_SERVICE_DOWN, first=False, **ILL)
    story.see(hears(S.FAILING_OVER, R.PEER_DOWN, stage=Stage.READY), do=[])


def test_r3_two_failing_nodes_that_cannot_serve_fail() -> None:
    peer = hears(S.FAILING_OVER, R.CRITICAL_SERVICE_DOWN, stage=Stage.READY, **ILL)
    story = play(S.FAILING_OVER, R.CRITICAL_SERVICE_DOWN, **ILL)
    story.see(peer, (S.FAILED_MODE, R.CRITICAL_SERVICE_DOWN))


def test_r3_of_two_manual_failovers_at_once_the_node_that_sorts_first_fails_over() -> None:
    peer = hears(S.FAILING_OVER, R.ON_ADMIN_REQUEST)
    play(S.FAILING_OVER, R.ON_ADMIN_REQUEST, first=True).see(peer, do=[])
    story = play(S.FAILING_OVER, R.ON_ADMIN_REQUEST, first=False)
    story.see(peer, (S.TAKING_OVER, R.ON_ADMIN_REQUEST), [StartServices])


@pytest.mark.parametrize("state", [S.IDLE, S.FAILED_OVER, S.FAILED_OVER_SERVICES_DOWN])
def test_a_normal_node_serves_everybody_when_its_peer_serves_nobody(state: State) -> None:
    story = play(S.NORMAL, R.NORMAL)
    story.see(hears(state, R.PEER_DOWN), (S.TAKING_OVER, R.PEER_DOWN), [StartServices, HERE])


@pytest.mark.parametrize("state", [S.FAILED_OVER, S.FAILED_OVER_SERVICES_DOWN])
def test_r8_a_normal_node_that_takes_over_names_the_reason_as_the_document_does_on_its_side(
    state: State,
) -> None:
    """The reason of row 22's node 2 is never that of node 1, in whatever state node 2 is met."""
    story = play(S.NORMAL, R.NORMAL)
    then = (S.TAKING_OVER, R.AUTO_RECOVER_DATABASE_FAILURE)
    story.see(hears(state, R.AUTO_RECOVERY_DATABASE_FAILURE), then, [StartServices, HERE])


@pytest.mark.parametrize("state", [S.FALLING_BACK, S.TAKING_BACK, S.UNKNOWN])
def test_a_normal_node_leaves_a_peer_alone_that_is_on_its_way(state: State) -> None:
    play(S.NORMAL, R.NORMAL).see(hears(state), do=[])


@pytest.mark.parametrize("state", [S.NORMAL, S.INITIALIZING, S.TAKING_OVER, S.TAKING_BACK])
def test_a_failing_node_waits_for_its_peer(state: State) -> None:
    play(S.FAILING_OVER, R.PEER_DOWN, stage=Stage.READY).see(hears(state), do=[])


@pytest.mark.parametrize(
    "state,peer",
    [
        *itertools.product(
            [S.FAILING_OVER, S.TAKING_BACK], [S.IDLE, S.FAILED_OVER, S.FAILED_OVER_SERVICES_DOWN]
        ),
        (S.TAKING_BACK, S.TAKING_BACK),
        (S.TAKING_BACK, S.FAILING_OVER),
    ],
)
def test_two_nodes_that_have_given_up_their_users_fail_but_a_late_report_is_let_pass(
    state: State, peer: State
) -> None:
    """An equal op is no later: the peer may have counted up without having heard of us."""
    story = play(state, R.PEER_DOWN)
    story.see(hears(peer, op=9), do=[]).see(hears(peer, op=10), do=[])
    story.see(hears(peer, op=11), (S.FAILED_MODE, R.UNKNOWN))


# ---------------------------------------------------------------------------- R5, R12: loss


@losses
@pytest.mark.parametrize("state", [S.NORMAL, S.FAILING_OVER, S.FAILED_OVER, S.FALLING_BACK])
def test_r5_r12_a_lost_peer_is_taken_over(state: State, loss: Event, reason: Reason) -> None:
    story = play(state, R.ON_ADMIN_REQUEST)
    story.see(loss, (S.TAKING_OVER, reason), [StartServices, HERE], stage=Stage.MOVING)
    story.see(hears(S.INITIALIZING), do=[])


@losses
def test_r12_a_take_over_does_not_ask_a_lost_peer(loss: Event, reason: Reason) -> None:
    story = play(S.TAKING_OVER, R.ON_ADMIN_REQUEST).see(loss, do=[HERE]).see(loss, do=[])
    story.answer(UsersMoved, then=(S.BACKUP, R.ON_ADMIN_REQUEST))


@losses
def test_r12_a_fallback_goes_on_without_the_peer_when_the_services_run(
    loss: Event, reason: Reason
) -> None:
    story = play(S.TAKING_BACK, R.ON_ADMIN_REQUEST).see(loss, do=[])
    story.answer(ServicesStarted, then=(S.TAKING_OVER, reason), do=[StartServices, HERE])


@losses
@pytest.mark.parametrize("stage", [Stage.READY, Stage.MOVING])
def test_r12_a_fallback_whose_services_run_takes_everybody(
    stage: Stage, loss: Event, reason: Reason
) -> None:
    story = play(S.TAKING_BACK, R.ON_ADMIN_REQUEST, stage=stage)
    story.see(loss, (S.TAKING_OVER, reason), [StartServices, HERE])


@losses
def test_r12_a_node_whose_services_are_down_waits_and_then_takes_over(
    loss: Event, reason: Reason
) -> None:
    story = play(S.FAILED_OVER_SERVICES_DOWN, R.CRITICAL_SERVICE_DOWN, **ILL)
    story.see(loss, do=[]).see(WELL, (S.TAKING_OVER, reason), [StartServices, HERE])


@losses
def test_r12_a_backup_keeps_its_role_and_its_reason(loss: Event, reason: Reason) -> None:
    play(S.BACKUP, R.ON_ADMIN_REQUEST).see(loss, do=[])


@losses
def test_r15_an_ill_backup_waits_for_a_peer_on_its_way_and_fails_when_it_is_lost(
    loss: Event, reason: Reason
) -> None:
    story = play(S.BACKUP, R.PEER_DOWN, peer=a_report(S.INITIALIZING)).see(BAD, do=[])
    story.see(loss, (S.FAILED_MODE, R.CRITICAL_SERVICE_DOWN))


def test_r12_failed_mode_stays_on_silence_but_a_well_node_takes_over_a_rebooting_peer() -> None:
    story = play(S.FAILED_MODE, R.UNKNOWN).see(PeerDown(), do=[])
    story.see(PeerLeft(), (S.TAKING_OVER, R.PEER_REBOOT), [StartServices, HERE])
    play(S.FAILED_MODE, R.UNKNOWN, **ILL).see(PeerLeft(), do=[])


def test_r12_a_failed_node_that_missed_the_goodbye_takes_over_when_it_hears_of_the_reboot() -> None:
    peer = hears(S.INITIALIZING, start=Start.REBOOT)
    play(S.FAILED_MODE, R.UNKNOWN, **ILL).see(peer, do=[])
    story = play(S.FAILED_MODE, R.UNKNOWN)
    story.see(peer, (S.TAKING_OVER, R.PEER_REBOOT), [StartServices, HERE])


# ---------------------------------------------------------------------------- R6: fallback


@pytest.mark.parametrize("state", [S.IDLE, S.FAILED_OVER])
def test_r6_the_home_node_starts_its_services_then_waits_for_its_users_to_be_let_go(
    state: State,
) -> None:
    story = play(state, R.ON_ADMIN_REQUEST, peer=a_report(S.BACKUP))
    story.see(FallbackRequested(), (S.TAKING_BACK, R.ON_ADMIN_REQUEST), [StartServices])
    story.see(hears(S.FALLING_BACK, op=12), do=[])
    story.answer(ServicesStarted, do=[], stage=Stage.READY)
    story.see(hears(S.FALLING_BACK, op=12), do=[])
    story.see(hears(S.FALLING_BACK, op=12, stage=Stage.READY), do=[HOME])
    story.answer(UsersMoved, then=(S.NORMAL, R.NORMAL), do=[])


def test_r6_the_backup_lets_go_when_the_home_node_is_ready() -> None:
    story, reason = play(S.BACKUP, R.PEER_DOWN), R.AUTOMATIC_FALLBACK
    story.see(hears(S.TAKING_BACK, reason, op=11), (S.FALLING_BACK, reason), [], stage=Stage.BEGUN)
    story.see(hears(S.TAKING_BACK, reason, op=11), do=[], stage=Stage.BEGUN)
    story.see(hears(S.TAKING_BACK, reason, op=11, stage=Stage.READY), do=[], stage=Stage.READY)
    story.see(hears(S.TAKING_BACK, reason, op=13, stage=Stage.MOVING), do=[], stage=Stage.READY)
    story.see(hears(S.NORMAL, op=14), (S.FALLING_BACK, reason), [HOME], stage=Stage.MOVING)


def test_r6_the_backup_is_normal_when_its_own_database_has_the_users_home() -> None:
    """It was Normal before.  SRM restarted right then, into another group: its database placed the
    users of the peer on it still, and both nodes served them."""
    story, reason = play(S.FALLING_BACK, R.ON_ADMIN_REQUEST, stage=Stage.READY), R.ON_ADMIN_REQUEST
    story.see(hears(S.NORMAL), (S.FALLING_BACK, reason), [HOME], stage=Stage.MOVING)
    story.see(hears(S.NORMAL), do=[], stage=Stage.MOVING)
    assert serving(story.node) is Serving.OWN
    story.answer(UsersMoved, then=(S.NORMAL, R.NORMAL), do=[])


def test_r6_a_backup_whose_database_has_failed_is_normal_too_and_its_health_tells() -> None:
    story = play(S.FALLING_BACK, R.ON_ADMIN_REQUEST, stage=Stage.MOVING)
    story.see(OperationFailed(10, Order.MOVE_USERS), (S.NORMAL, R.NORMAL), [])


def test_r6_a_home_node_that_begins_again_is_answered_when_the_users_are_placed() -> None:
    """SRM restarted on it, before this node was Normal."""
    story = play(S.FALLING_BACK, R.ON_ADMIN_REQUEST, stage=Stage.MOVING)
    story.see(hears(S.INITIALIZING), do=[], stage=Stage.MOVING)
    again = hears(S.TAKING_BACK, R.INITIALIZATION, stage=Stage.READY)
    story.see(again, do=[], stage=Stage.MOVING)
    story.answer(UsersMoved, then=(S.NORMAL, R.NORMAL), do=[])


def test_r6_a_home_node_that_is_ready_takes_its_users_from_a_peer_that_is_normal_already() -> None:
    ready: dict[str, Any] = {"cause": R.ON_ADMIN_REQUEST, "stage": Stage.READY}
    story = play(S.TAKING_BACK, R.INITIALIZATION, **ready)
    story.see(hears(S.NORMAL), do=[HOME], stage=Stage.MOVING)
    assert story.node.cause is R.ON_ADMIN_REQUEST


def test_r6_a_peer_that_let_go_for_another_reason_does_not_let_a_fallback_go_on() -> None:
    peer = a_report(S.FAILING_OVER, stage=Stage.READY)
    story = play(S.TAKING_BACK, R.ON_ADMIN_REQUEST, peer=peer)
    story.answer(ServicesStarted, do=[], stage=Stage.READY)


def test_r6_automatic_fallback_takes_the_users_back_by_itself() -> None:
    story = play(S.FAILED_OVER, R.CRITICAL_SERVICE_DOWN, peer=a_report(S.BACKUP))
    story.see(FallbackDue(10), (S.TAKING_BACK, R.AUTOMATIC_FALLBACK), [StartServices])


def test_r6_the_fallback_wait_of_an_earlier_operation_starts_nothing() -> None:
    play(S.FAILED_OVER, R.CRITICAL_SERVICE_DOWN, peer=a_report(S.BACKUP)).see(FallbackDue(9), do=[])


@pytest.mark.parametrize("contact", [Contact.SILENT, Contact.LEFT])
def test_r12_an_idle_node_without_peer_may_fall_back(contact: Contact) -> None:
    story = play(S.IDLE, R.ON_ADMIN_REQUEST, contact=contact)
    story.see(FallbackRequested(), (S.TAKING_BACK, R.ON_ADMIN_REQUEST), [StartServices])


@pytest.mark.parametrize(
    "state,facts",
    [
        (S.IDLE, {"contact": Contact.NEVER}),
        (S.IDLE, {"peer": a_report(S.TAKING_OVER)}),
        (S.FAILED_OVER, {"contact": Contact.SILENT}),
    ],
)
def test_r6_a_fallback_without_a_backup_to_fall_back_from_is_refused(
    state: State, facts: dict[str, object]
) -> None:
    play(state, R.ON_ADMIN_REQUEST, **facts).see(FallbackRequested(), do=[], refused=True)


@pytest.mark.parametrize(
    "order,reason",
    [
        (Order.START_SERVICES, R.START_OF_CRITICAL_SERVICES_FAILED),
        (Order.MOVE_USERS, R.TAKE_BACK_USERS_FAILED),
    ],
    ids=["row 14", "row 20"],
)
def test_r6_a_fallback_that_cannot_be_carried_out_fails(order: Order, reason: Reason) -> None:
    play(S.TAKING_BACK, R.ON_ADMIN_REQUEST).see(OperationFailed(10, order), (S.FAILED_MODE, reason))


@pytest.mark.parametrize("state", [S.IDLE, S.FAILED_OVER, S.FAILED_OVER_SERVICES_DOWN])
def test_a_backup_whose_peer_gave_up_its_fallback_takes_the_users_again(state: State) -> None:
    story = play(S.FALLING_BACK, R.ON_ADMIN_REQUEST, stage=Stage.READY)
    story.see(hears(state), (S.TAKING_OVER, R.ON_ADMIN_REQUEST), [StartServices, HERE])


def test_a_falling_back_node_takes_the_users_of_a_peer_that_fails_over() -> None:
    peer, reason = hears(S.FAILING_OVER, R.CRITICAL_SERVICE_DOWN), R.CRITICAL_SERVICE_DOWN
    play(S.FALLING_BACK, R.PEER_DOWN, **ILL).see(peer, do=[])
    story = play(S.FALLING_BACK, R.PEER_DOWN)
    story.see(peer, (S.TAKING_OVER, reason), [StartServices, HERE])


@pytest.mark.parametrize("state", [S.BACKUP, S.TAKING_OVER])
def test_a_falling_back_node_yields_to_a_peer_that_took_over(state: State) -> None:
    story = play(S.FALLING_BACK, R.ON_ADMIN_REQUEST)
    story.see(hears(state, R.PEER_DOWN), (S.FAILING_OVER, R.PEER_DOWN), stage=Stage.READY)
    story = play(S.FALLING_BACK, R.INITIALIZATION, contact=Contact.NEVER)
    story.see(hears(state, R.PEER_DOWN), (S.FAILED_OVER, R.INITIALIZATION), [StartServices])


def test_a_home_node_yields_to_a_backup_that_took_its_users_again() -> None:
    story = play(S.TAKING_BACK, R.ON_ADMIN_REQUEST).see(hears(S.BACKUP, op=9), do=[])
    story.see(hears(S.BACKUP, op=11), (S.FAILED_OVER, R.PEER_DOWN), [StartServices])
    story = play(S.TAKING_BACK, R.ON_ADMIN_REQUEST)
    story.see(hears(S.TAKING_OVER), (S.FAILING_OVER, R.PEER_DOWN), stage=Stage.READY)


@pytest.mark.parametrize("reason", [R.PEER_DOWN, R.PEER_REBOOT])
def test_a_restarted_home_node_yields_to_a_backup_that_gave_it_up(reason: Reason) -> None:
    story = play(S.TAKING_BACK, R.INITIALIZATION, contact=Contact.NEVER)
    story.see(hears(S.BACKUP, reason), (S.FAILED_OVER, R.INITIALIZATION), [StartServices])
    assert story.node.cause is R.INITIALIZATION


def test_a_restarted_home_node_waits_for_a_backup_that_has_yet_to_follow() -> None:
    story = play(S.TAKING_BACK, R.INITIALIZATION, contact=Contact.NEVER)
    story.see(hears(S.BACKUP, R.ON_ADMIN_REQUEST), do=[])


# ---------------------------------------------------------------------------- R7: bounds


@pytest.mark.parametrize(
    "state,stage,reason",
    [
        (S.INITIALIZING, Stage.BEGUN, R.UNKNOWN),
        (S.FAILING_OVER, Stage.READY, R.UNKNOWN),
        (S.TAKING_OVER, Stage.MOVING, R.TAKE_OVER_USERS_FAILED),
        (S.TAKING_BACK, Stage.BEGUN, R.START_OF_CRITICAL_SERVICES_FAILED),
        (S.TAKING_BACK, Stage.MOVING, R.TAKE_BACK_USERS_FAILED),
        (S.FALLING_BACK, Stage.READY, R.TAKE_BACK_USERS_FAILED),
    ],
)
def test_a_passing_state_that_does_not_end_fails_with_the_reason_of_its_part(
    state: State, stage: Stage, reason: Reason
) -> None:
    play(state, R.ON_ADMIN_REQUEST, stage=stage).see(StayExpired(10), (S.FAILED_MODE, reason))


def test_r7_users_that_cannot_be_taken_over_fail_the_node_but_services_have_their_delay() -> None:
    story = play(S.TAKING_OVER, R.ON_ADMIN_REQUEST)
    story.see(OperationFailed(10, Order.START_SERVICES), do=[])
    then = (S.FAILED_MODE, R.TAKE_OVER_USERS_FAILED)
    story.see(OperationFailed(10, Order.MOVE_USERS), then)


@pytest.mark.parametrize(
    "state",
    [
        S.NORMAL,
        S.FAILING_OVER,
        S.TAKING_OVER,
        S.BACKUP,
        S.IDLE,
        S.FAILED_OVER,
        S.FAILED_OVER_SERVICES_DOWN,
        S.TAKING_BACK,
        S.FALLING_BACK,
    ],
)
def test_failed_mode_is_a_state_of_both_and_its_reason_is_shared(state: State) -> None:
    reason = R.TAKE_OVER_USERS_FAILED
    play(state, R.ON_ADMIN_REQUEST).see(hears(S.FAILED_MODE, reason), (S.FAILED_MODE, reason), [])


# ---------------------------------------------------------------------------- R8: auto-recovery


@pytest.mark.parametrize(
    "health,reason",
    [
        (Health.SERVICE_DOWN, R.AUTO_RECOVER_CRITICAL_SERVICE_DOWN),
        (Health.DATABASE_DOWN, R.AUTO_RECOVERY_DATABASE_FAILURE),
    ],
)
def test_r8_an_ill_backup_gives_all_users_to_a_failed_over_peer(
    health: Health, reason: Reason
) -> None:
    story = play(S.BACKUP, R.CRITICAL_SERVICE_DOWN, peer=a_report(S.FAILED_OVER))
    story.see(HealthChanged(health, lasting=True), (S.FAILING_OVER, reason), stage=Stage.READY)


@failed_over
def test_r8_the_failed_over_node_takes_all_users_if_it_can(state: State) -> None:
    peer = hears(S.FAILING_OVER, R.AUTO_RECOVERY_DATABASE_FAILURE, stage=Stage.READY, **ILL)
    then = (S.TAKING_OVER, R.AUTO_RECOVER_DATABASE_FAILURE)
    play(state, R.CRITICAL_SERVICE_DOWN).see(peer, then, [StartServices, HERE])
    play(state, R.CRITICAL_SERVICE_DOWN, **ILL).see(peer, (S.FAILED_MODE, R.CRITICAL_SERVICE_DOWN))


@failed_over
@pytest.mark.parametrize("peer", [S.BACKUP, S.TAKING_OVER, S.NORMAL, S.INITIALIZING])
def test_a_failed_over_node_rests_beside_a_peer_that_serves_or_starts(
    state: State, peer: State
) -> None:
    play(state, R.PEER_DOWN).see(hears(peer, op=11), do=[])


@failed_over
@pytest.mark.parametrize(
    "peer", [S.IDLE, S.FAILED_OVER, S.FAILED_OVER_SERVICES_DOWN, S.TAKING_BACK]
)
def test_failed_over_nodes_that_meet_fail_because_nobody_serves(state: State, peer: State) -> None:
    play(state, R.PEER_DOWN).see(hears(peer), (S.FAILED_MODE, R.UNKNOWN))


def test_r8_a_take_over_that_was_resumed_keeps_its_cause() -> None:
    story = play(S.TAKING_OVER, R.INITIALIZATION, cause=R.PEER_DOWN, stage=Stage.MOVING)
    story.answer(UsersMoved, then=(S.BACKUP, R.INITIALIZATION))
    assert story.node.cause is R.PEER_DOWN


def test_r8_an_ill_backup_waits_for_a_failed_over_peer_whose_services_have_just_gone() -> None:
    peer = a_report(S.FAILED_OVER, health=Health.SERVICE_DOWN)
    play(S.BACKUP, R.PEER_DOWN, peer=peer).see(BAD, do=[])


@pytest.mark.parametrize(
    "peer",
    [
        *(S.TAKING_BACK, S.IDLE, S.FAILED_OVER, S.FAILED_OVER_SERVICES_DOWN, S.INITIALIZING),
        *(S.NORMAL, S.FAILING_OVER, S.FALLING_BACK, S.UNKNOWN),
    ],
)
def test_r15_an_ill_backup_fails_with_the_first_report_of_a_peer_that_cannot_serve_either(
    peer: State,
) -> None:
    story = play(S.BACKUP, R.ON_ADMIN_REQUEST, **ILL)
    story.see(hears(peer, R.ON_ADMIN_REQUEST, **ILL), (S.FAILED_MODE, R.CRITICAL_SERVICE_DOWN))


def test_r8_a_node_that_is_ill_when_the_users_have_come_acts_at_once() -> None:
    peer = a_report(S.IDLE)
    story = play(S.TAKING_OVER, R.ON_ADMIN_REQUEST, peer=peer, stage=Stage.MOVING, **ILL)
    story.answer(UsersMoved, then=(S.FAILED_MODE, R.CRITICAL_SERVICE_DOWN))


# ---------------------------------------------------------------------------- R9: rivals

RIVALS = pytest.mark.parametrize("state", [S.BACKUP, S.TAKING_OVER])


@RIVALS
@pytest.mark.parametrize("rival", [S.BACKUP, S.TAKING_OVER])
def test_r9_a_node_that_hears_its_deaf_rival_yields(state: State, rival: State) -> None:
    story = play(state, R.PEER_DOWN)
    story.see(hears(rival, R.PEER_DOWN, hears_us=False), (S.FAILING_OVER, R.PEER_DOWN), [])


@RIVALS
def test_r9_rivals_that_had_lost_each_other_fail_and_each_keeps_its_own(state: State) -> None:
    story = play(state, R.PEER_DOWN, contact=Contact.SILENT)
    peer = hears(S.BACKUP, R.PEER_DOWN, hears_us=False)
    story.see(peer, (S.FAILED_MODE, R.UNKNOWN), [HOME])


@RIVALS
@pytest.mark.parametrize("peer", [S.IDLE, S.FAILED_OVER, S.FAILED_OVER_SERVICES_DOWN])
def test_r9_a_rival_that_was_heard_to_serve_nobody_is_yielded_to(state: State, peer: State) -> None:
    """Found by `srmd prove`: an Idle node was restarted and did not hear its backup any more.  Its
    manual fallback is allowed (R12), and the backup, which heard all of it, took it for a partition
    because it had lost the node once: both ended in Running in Failed Mode."""
    facts: dict[str, Any] = {"hears_us": False}
    story = play(state, R.ON_ADMIN_REQUEST, contact=Contact.LEFT)
    story.see(hears(peer, R.INITIALIZATION, op=11, **facts))
    assert not story.node.apart
    rival = hears(S.TAKING_OVER, R.PEER_DOWN, op=15, **facts)
    story.see(rival, (S.FAILING_OVER, R.PEER_DOWN), [])


@RIVALS
@pytest.mark.parametrize(
    "peer,op", [(S.IDLE, 9), (S.IDLE, 10), (S.INITIALIZING, 11), (S.NORMAL, 11)]
)
def test_r9_what_may_be_old_news_or_a_node_that_serves_does_not_end_the_separation(
    state: State, peer: State, op: int
) -> None:
    story = play(state, R.PEER_DOWN, contact=Contact.SILENT)
    story.see(hears(peer, R.ON_ADMIN_REQUEST, op=op, hears_us=False))
    assert story.node.apart


@RIVALS
def test_r9_rivals_whose_policy_is_home_recover_by_themselves(state: State) -> None:
    policy = Policy(split_brain=SplitBrain.HOME)
    story = play(state, R.PEER_DOWN, contact=Contact.SILENT, policy=policy)
    peer = hears(S.BACKUP, R.PEER_DOWN, hears_us=False)
    story.see(peer, (S.INITIALIZING, R.INITIALIZATION), [StartServices])
    assert story.node.start is Start.RECOVER


@RIVALS
def test_r9_a_rival_that_hears_us_is_left_to_yield(state: State) -> None:
    story = play(state, R.PEER_DOWN, contact=Contact.SILENT)
    story.see(hears(S.BACKUP, R.PEER_DOWN, hears_us=True), do=[])


@RIVALS
def test_r9_of_rivals_that_acted_with_the_same_op_one_yields(state: State) -> None:
    """Found by `srmd prove`: both had taken over with the same operation number, heard each other
    again at the same time, and each left it to the other to yield: two backups for ever."""
    rival = hears(S.BACKUP, R.PEER_DOWN, op=10, hears_us=True)
    first = play(state, R.PEER_DOWN, contact=Contact.SILENT, first=True)
    first.see(rival, (S.FAILING_OVER, R.PEER_DOWN), [])
    play(state, R.PEER_DOWN, contact=Contact.SILENT, first=False).see(rival, do=[])


@RIVALS
def test_r1_a_role_that_is_only_remembered_yields_to_one_that_is_held(state: State) -> None:
    story = play(state, R.INITIALIZATION, contact=Contact.NEVER)
    story.see(hears(S.BACKUP, R.PEER_DOWN), (S.FAILED_OVER, R.INITIALIZATION), [StartServices])
    play(state, R.PEER_DOWN).see(hears(S.BACKUP, R.INITIALIZATION, settled=False), do=[])


@RIVALS
def test_r1_of_two_roles_that_are_only_remembered_neither_is_held(state: State) -> None:
    """Each gives its users up; two that fail over at once are then settled (R3)."""
    story = play(state, R.INITIALIZATION, contact=Contact.NEVER)
    rival = hears(S.BACKUP, R.INITIALIZATION, settled=False)
    story.see(rival, (S.FAILING_OVER, R.PEER_DOWN), [], stage=Stage.READY)


@pytest.mark.parametrize("state", [S.NORMAL, S.BACKUP])
@pytest.mark.parametrize("peer", [S.TAKING_OVER, S.BACKUP])
def test_r9_a_node_that_is_taken_from_yields_at_once(state: State, peer: State) -> None:
    story = play(state, R.NORMAL)
    then = (S.FAILING_OVER, R.PEER_DOWN)
    story.see(hears(peer, R.PEER_DOWN, hears_us=False), then, [], stage=Stage.READY)


@pytest.mark.parametrize("cause", [R.PEER_DOWN, R.PEER_REBOOT, R.PEER_DOWN_DURING_INITIALIZATION])
@pytest.mark.parametrize("state", [S.IDLE, S.FAILED_OVER, S.FAILED_OVER_SERVICES_DOWN])
def test_r9_a_backup_holds_its_users_again_when_the_peer_may_have_placed_them(
    state: State, cause: Reason
) -> None:
    """Found by the search: two nodes acted with the same operation number under one-way loss.  The
    placement of the one that yielded won, and the users of both were placed on a node that served
    nobody until the fallback."""
    story = play(S.BACKUP, cause, contact=Contact.SILENT)
    peer = hears(state, R.DATABASE_FAILURE, op=11)
    story.see(peer, do=[HERE])
    assert story.node.op == 12
    story.see(peer, do=[])


@failed_over
@pytest.mark.parametrize("reason", [R.INITIALIZATION, R.PEER_DOWN])
def test_r9_a_backup_holds_its_users_again_when_the_peer_had_them_and_yielded(
    state: State, reason: Reason
) -> None:
    """Found by the search: a node took over unheard and its SRM was restarted; it then yielded to a
    backup that had never noticed, but the placement still named the one that had yielded."""
    play(S.BACKUP, R.CRITICAL_SERVICE_DOWN).see(hears(state, reason, op=11), do=[HERE])
    play(S.BACKUP, R.CRITICAL_SERVICE_DOWN).see(hears(state, reason, op=9), do=[])


def test_r9_a_backup_holds_its_users_again_beside_a_peer_that_starts_after_it() -> None:
    """Found by `srmd sim` (seed 500056): after a one-way loss the peer had sent everybody home
    unheard, and rebooted.  Its placement came with its first heartbeat, and the backup served half
    of the users until the peer had found its role."""
    story = play(S.BACKUP, R.PEER_DOWN_DURING_INITIALIZATION, contact=Contact.SILENT)
    peer = hears(S.INITIALIZING, R.INITIALIZATION, op=11)
    story.see(peer, do=[HERE])
    assert story.node.op == 12
    story.see(peer, do=[])
    story.see(hears(S.INITIALIZING, R.INITIALIZATION, op=9), do=[])


def test_r9_a_backup_that_holds_its_users_again_keeps_its_cause() -> None:
    story = play(S.BACKUP, R.INITIALIZATION, cause=R.PEER_DOWN, contact=Contact.SILENT)
    story.see(hears(S.FAILED_OVER, op=11), do=[HERE])
    assert story.node.cause is R.PEER_DOWN


def test_a_backup_whose_peer_failed_over_in_order_moves_nobody_again() -> None:
    story = play(S.BACKUP, R.CRITICAL_SERVICE_DOWN)
    story.see(hears(S.FAILED_OVER, R.CRITICAL_SERVICE_DOWN, op=11), do=[])
    story.see(hears(S.FAILED_OVER_SERVICES_DOWN, R.CRITICAL_SERVICE_DOWN, op=12), do=[])


# ---------------------------------------------------------------------------- R10: recover


def test_r10_recover_restarts_and_the_peer_follows_what_it_hears() -> None:
    story = play(S.FAILED_MODE, R.UNKNOWN, peer=a_report(S.FAILED_MODE))
    story.see(RecoverRequested(), (S.INITIALIZING, R.INITIALIZATION), [StartServices])
    assert story.node.start is Start.RECOVER
    peer = Play(a_node(S.FAILED_MODE, R.UNKNOWN, peer=a_report(S.FAILED_MODE)))
    heard = PeerHeard(story.node.report())
    peer.see(heard, (S.INITIALIZING, R.INITIALIZATION), [StartServices])
    assert peer.node.start is Start.RECOVER


@pytest.mark.parametrize("state", [S.TAKING_OVER, S.BACKUP])
def test_r10_a_node_that_has_not_yet_heard_of_the_failure_recovers_too(state: State) -> None:
    story = play(state, R.PEER_DOWN)
    peer = hears(S.INITIALIZING, R.INITIALIZATION, op=11, start=Start.RECOVER)
    story.see(peer, (S.INITIALIZING, R.INITIALIZATION), [StartServices])
    assert story.node.start is Start.RECOVER


@pytest.mark.parametrize("op", [9, 10])
def test_r10_the_report_of_an_earlier_recovery_does_not_lead_out_of_a_new_failure(op: int) -> None:
    peer = hears(S.INITIALIZING, R.INITIALIZATION, op=op, start=Start.RECOVER)
    for state in (S.FAILED_MODE, S.BACKUP):
        play(state, R.UNKNOWN).see(peer, do=[])
    play(S.TAKING_OVER, R.PEER_DOWN, stage=Stage.MOVING).see(peer, do=[])


@pytest.mark.parametrize("peer", [S.NORMAL, S.BACKUP, S.TAKING_BACK])
def test_r10_a_peer_that_recovered_and_has_gone_on_recovers_no_more(peer: State) -> None:
    """Its reports name the start of its SRM as long as it runs."""
    heard = hears(peer, op=11, start=Start.RECOVER)
    play(S.FAILED_MODE, R.UNKNOWN).see(heard, do=[])


def test_r10_a_failed_node_whose_peer_is_silent_may_recover_alone() -> None:
    story = play(S.FAILED_MODE, R.UNKNOWN, contact=Contact.SILENT)
    story.see(RecoverRequested(), (S.INITIALIZING, R.INITIALIZATION), [StartServices])
    assert (story.node.contact, story.node.apart) == (Contact.NEVER, False)


@pytest.mark.parametrize("contact", [Contact.NEVER, Contact.LEFT])
def test_r10_a_failed_node_without_a_peer_may_recover_alone(contact: Contact) -> None:
    story = play(S.FAILED_MODE, R.UNKNOWN, contact=contact)
    story.see(RecoverRequested(), (S.INITIALIZING, R.INITIALIZATION), [StartServices])


@pytest.mark.parametrize("state", [S.FAILED_MODE, S.BACKUP, S.TAKING_OVER])
@pytest.mark.parametrize("health", [Health.SERVICE_DOWN, Health.DATABASE_DOWN])
def test_r10_a_recovery_is_followed_once_the_peer_is_well_or_hears_us(
    state: State, health: Health
) -> None:
    """Found by `srmd prove`: a deaf node whose database was down recovered, and failed again.  Its
    peer, which heard it, had followed and sent half of the users home to it: nobody served them."""

    def recovering(**facts: object) -> PeerHeard:
        return hears(S.INITIALIZING, R.INITIALIZATION, op=11, start=Start.RECOVER, **facts)

    deaf_and_ill = {"hears_us": False, "health": health}
    followed = (S.INITIALIZING, R.INITIALIZATION)
    for facts in ({"health": health}, {"hears_us": False}):
        story = play(state, R.UNKNOWN, stage=Stage.MOVING)
        story.see(recovering(**deaf_and_ill))
        story.node = replace(story.node, op=10)  # a backup holds its users again, past that report
        story.see(recovering(**facts), followed, [StartServices])


def test_r10_recover_may_be_asked_of_the_second_node_while_the_first_one_starts() -> None:
    """Its report of the recovery may have been lost: nobody has to wait for the next one."""
    story = play(S.FAILED_MODE, R.UNKNOWN, peer=a_report(S.INITIALIZING))
    story.see(RecoverRequested(), (S.INITIALIZING, R.INITIALIZATION), [StartServices])


def test_r10_recover_is_refused_while_the_peer_has_not_failed() -> None:
    story = play(S.FAILED_MODE, R.UNKNOWN, peer=a_report(S.BACKUP))
    story.see(RecoverRequested(), do=[], refused=True)


def test_r10_an_srm_restart_does_not_leave_failed_mode_but_a_reboot_does() -> None:
    story = play(S.FAILED_MODE, R.TAKE_OVER_USERS_FAILED)
    story.see(Booted(Start.RESTART), (S.FAILED_MODE, R.UNKNOWN), [])
    story.see(Booted(Start.REBOOT), (S.INITIALIZING, R.INITIALIZATION), [StartServices])


def test_two_failed_nodes_agree_on_a_reason() -> None:
    story = play(S.FAILED_MODE, R.TAKE_OVER_USERS_FAILED)
    story.see(hears(S.FAILED_MODE, R.CRITICAL_SERVICE_DOWN, op=9), do=[])
    then = (S.FAILED_MODE, R.CRITICAL_SERVICE_DOWN)
    story.see(hears(S.FAILED_MODE, R.CRITICAL_SERVICE_DOWN, op=12), then, [])
    story.see(hears(S.FAILED_MODE, R.UNKNOWN, op=9), (S.FAILED_MODE, R.UNKNOWN), [])
    story.see(hears(S.FAILED_MODE, R.CRITICAL_SERVICE_DOWN, op=99), do=[])
    story = play(S.FAILED_MODE, R.TAKE_OVER_USERS_FAILED)
    story.see(hears(S.FAILED_MODE, R.CRITICAL_SERVICE_DOWN, op=10), (S.FAILED_MODE, R.UNKNOWN), [])


# ---------------------------------------------------------------------------- R11: HA, mismatch


@pytest.mark.parametrize("state", [state for state in OWN_STATES if state is not S.UNKNOWN])
def test_r11_switched_off_is_unknown_and_leaves_services_and_users_alone(state: State) -> None:
    story = play(state, R.NORMAL)
    story.see(HaSet(enabled=True, stamp=1), do=[])
    assert (story.node.ha, story.node.ha_stamp) == (True, 1)
    story.see(HaSet(enabled=False, stamp=2), (S.UNKNOWN, R.HA_NOT_ENABLED), [])
    assert (story.node.ha, story.node.ha_stamp) == (False, 2)
    for event in (hears(S.NORMAL), PeerDown(), PeerLeft(), BAD, WELL):
        story.see(event, do=[])


def test_r11_switched_on_again_a_node_finds_its_place_as_after_a_start() -> None:
    story = play(S.UNKNOWN, R.HA_NOT_ENABLED, ha=False)
    story.see(HaSet(enabled=False, stamp=1), do=[])
    assert (story.node.ha, story.node.ha_stamp) == (False, 1)
    then = (S.INITIALIZING, R.INITIALIZATION)
    story.see(HaSet(enabled=True, stamp=2), then, [StartServices])
    assert (story.node.ha, story.node.ha_stamp) == (True, 2)
    assert story.node.start is Start.RESTART


def test_r11_a_node_that_did_not_match_shows_that_high_availability_is_off() -> None:
    story = play(S.UNKNOWN, R.UNKNOWN)
    story.see(HaSet(enabled=False, stamp=1), (S.UNKNOWN, R.HA_NOT_ENABLED), [])


@pytest.mark.parametrize("state", [state for state in OWN_STATES if state is not S.UNKNOWN])
def test_r11_a_peer_that_does_not_match_makes_a_node_unknown_until_it_matches(
    state: State,
) -> None:
    story = play(state, R.NORMAL).see(PeerMismatched("group"), (S.UNKNOWN, R.UNKNOWN), [])
    story.see(PeerMismatched("group"), do=[])
    story.see(hears(S.NORMAL), (S.INITIALIZING, R.INITIALIZATION), [StartServices])
    assert story.node.start is Start.RESTART


# ---------------------------------------------------------------------------- what a node keeps


def test_a_service_that_is_ordered_to_start_has_the_whole_delay_to_come_up() -> None:
    story = play(S.FAILED_OVER_SERVICES_DOWN, R.CRITICAL_SERVICE_DOWN, **ILL)
    story.see(Booted(Start.RESTART), (S.INITIALIZING, R.INITIALIZATION))
    assert not story.node.lasting


def test_an_operation_number_grows_past_what_was_heard() -> None:
    story = play(S.NORMAL, R.NORMAL, peer=a_report(S.NORMAL, op=50))
    story.see(BAD, (S.FAILING_OVER, R.CRITICAL_SERVICE_DOWN))
    assert story.node.op == 51


def test_a_fresh_node_is_initializing_and_has_heard_nobody() -> None:
    assert (Node().state, Node().contact, Node().peer) == (S.INITIALIZING, Contact.NEVER, None)


# ---------------------------------------------------------------------------- waiting for the peer


@pytest.mark.parametrize(
    "peer",
    [S.INITIALIZING, S.NORMAL, S.IDLE, S.FAILED_OVER, S.FAILED_OVER_SERVICES_DOWN],
)
def test_r7_users_of_a_peer_that_does_not_serve_them_any_more_are_moved(peer: State) -> None:
    play(S.TAKING_OVER, R.ON_ADMIN_REQUEST).see(hears(peer), do=[HERE])


@pytest.mark.parametrize(
    "state,peer",
    [
        (S.TAKING_OVER, S.TAKING_BACK),
        (S.TAKING_OVER, S.FALLING_BACK),
        (S.TAKING_OVER, S.UNKNOWN),
        (S.TAKING_BACK, S.INITIALIZING),
        (S.TAKING_BACK, S.UNKNOWN),
        (S.FALLING_BACK, S.INITIALIZING),
        (S.FALLING_BACK, S.FALLING_BACK),
        (S.FALLING_BACK, S.UNKNOWN),
        (S.BACKUP, S.INITIALIZING),
        (S.BACKUP, S.NORMAL),
        (S.BACKUP, S.FAILING_OVER),
        (S.BACKUP, S.FALLING_BACK),
        (S.BACKUP, S.UNKNOWN),
        (S.FAILING_OVER, S.FALLING_BACK),
        (S.FAILING_OVER, S.UNKNOWN),
        (S.IDLE, S.TAKING_OVER),
        (S.IDLE, S.NORMAL),
        (S.IDLE, S.INITIALIZING),
        (S.IDLE, S.UNKNOWN),
        (S.FAILED_OVER, S.FALLING_BACK),
        (S.FAILED_OVER, S.UNKNOWN),
    ],
)
def test_a_node_waits_for_a_peer_that_starts_or_has_yet_to_follow(
    state: State, peer: State
) -> None:
    """What does not end by itself is ended by the bound of the passing state."""
    play(state, R.ON_ADMIN_REQUEST).see(hears(peer, op=11), do=[])


# ---------------------------------------------------------------------------- what changes nothing

EVERY: set[State] = set(OWN_STATES)
RESTING = {S.NORMAL, S.BACKUP, S.IDLE, S.FAILED_OVER, S.FAILED_OVER_SERVICES_DOWN, S.FAILED_MODE}
NOTHING: list[tuple[Event, set[State]]] = [
    (PeerDown(), {S.UNKNOWN, S.IDLE, S.FAILED_MODE}),
    (PeerLeft(), {S.UNKNOWN, S.IDLE}),
    (BAD, {S.UNKNOWN, S.IDLE, S.FAILED_MODE, S.FAILING_OVER, S.FALLING_BACK}),
    (BAD, {S.TAKING_OVER, S.TAKING_BACK}),
    (ServicesStarted(10), EVERY - {S.TAKING_BACK}),
    (ServicesStopped(10), EVERY - {S.FAILING_OVER}),
    (UsersMoved(10), EVERY - {S.INITIALIZING, S.TAKING_OVER, S.TAKING_BACK, S.FALLING_BACK}),
    (OperationFailed(10, Order.MOVE_USERS), {*RESTING, S.UNKNOWN}),
    (OperationFailed(10, Order.START_SERVICES), {*RESTING, S.UNKNOWN, S.FALLING_BACK}),
    (StayExpired(10), {*RESTING, S.UNKNOWN}),
    (FallbackDue(10), EVERY - {S.FAILED_OVER}),
    (PlacementSeen(50), EVERY),
]
"""Events of the present operation, and the states that make nothing of them."""


@pytest.mark.parametrize(
    "event,state",
    [(event, state) for event, states in NOTHING for state in OWN_STATES if state in states],
    ids=lambda one: getattr(one, "name", type(one).__name__),
)
def test_what_a_state_makes_nothing_of_changes_facts_only(event: Event, state: State) -> None:
    story = play(state, R.ON_ADMIN_REQUEST).see(event, do=[])
    assert story.node.op == 10


# ---------------------------------------------------------------------------- whom a node serves


@pytest.mark.parametrize(
    "state,later,then",
    [
        (S.FAILING_OVER, Stage.READY, Serving.NOBODY),
        (S.TAKING_OVER, Stage.MOVING, Serving.PLACED),
    ],
)
def test_a_node_that_begins_a_failover_serves_no_more_than_its_own(
    state: State, later: Stage, then: Serving
) -> None:
    """Found by `srmd prove`: the database failed while users went home, so the old placement
    stayed; after a manual failover at that moment both nodes served the same users."""
    node = a_node(state, R.ON_ADMIN_REQUEST, peer=NORMAL)
    assert serving(node) is Serving.OWN
    assert serving(replace(node, stage=later)) is then
