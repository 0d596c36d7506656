"""The 24 documented pairs, each reached in both orientations on the pure machine (no time, no I/O).

Each story ends by following the recommended action, which must lead to row 1 (R14).
"""

from __future__ import annotations

import pytest

from srmd.core.events import (
    FailoverRequested,
    FallbackDue,
    FallbackRequested,
    HaSet,
    PeerDown,
    PeerHeard,
    PeerMismatched,
    RecoverRequested,
    ServicesStarted,
    UsersMoved,
)
from srmd.core.node import Policy
from srmd.core.states import Destination, Health, Reason, SplitBrain, Stage, Start, State
from tests.play import Pair, Play, Side, a_node, a_report

S, R = State, Reason
ROW_1 = ((S.NORMAL, R.NORMAL), (S.NORMAL, R.NORMAL))
Oriented = tuple[Pair, Side, Side]


@pytest.fixture(params=["a", "b"], ids=["home=a", "home=b"])
def pair(request: pytest.FixtureRequest) -> Oriented:
    pair = Pair(Policy(automatic_fallback=True)).start()
    assert pair.now == ROW_1
    home = pair.a if request.param == "a" else pair.b
    return pair, home, pair.other(home)


def at(story: Oriented, home: tuple[State, Reason], backup: tuple[State, Reason]) -> None:
    pair, x, y = story
    now = (x.node.state, x.node.reason), (y.node.state, y.node.reason)
    assert now == (home, backup), "\n".join(pair.log)


def passed(story: Oriented, home: tuple[State, Reason], backup: tuple[State, Reason]) -> None:
    pair, x, _ = story
    wanted = (home, backup) if x is pair.a else (backup, home)
    assert wanted in pair.history, "\n".join(pair.log)


def ends_in_row_1(story: Oriented) -> None:
    assert story[0].now == ROW_1, "\n".join(story[0].log)


def manual_failover(story: Oriented) -> None:
    pair, x, _ = story
    pair.request(x, FailoverRequested())


def fallback(story: Oriented) -> None:
    pair, x, _ = story
    pair.request(x, FallbackRequested())
    ends_in_row_1(story)


def test_rows_2_3_4_manual_failover_and_fallback(pair: Oriented) -> None:
    manual_failover(pair)
    passed(pair, (S.FAILING_OVER, R.ON_ADMIN_REQUEST), (S.TAKING_OVER, R.ON_ADMIN_REQUEST))
    at(pair, (S.IDLE, R.ON_ADMIN_REQUEST), (S.BACKUP, R.ON_ADMIN_REQUEST))
    assert not pair[1].services
    fallback(pair)
    passed(pair, (S.TAKING_BACK, R.ON_ADMIN_REQUEST), (S.FALLING_BACK, R.ON_ADMIN_REQUEST))


def test_row_5_home_srm_restarted_while_idle(pair: Oriented) -> None:
    manual_failover(pair)
    pair[0].back(pair[1], Start.RESTART)
    at(pair, (S.IDLE, R.INITIALIZATION), (S.BACKUP, R.ON_ADMIN_REQUEST))
    assert not pair[1].services
    fallback(pair)


@pytest.mark.parametrize("start", [Start.RESTART, Start.REBOOT])
def test_row_6_both_restarted_while_manually_failed_over(pair: Oriented, start: Start) -> None:
    manual_failover(pair)
    pair[0].crash(pair[1]).crash(pair[2])
    pair[0].back(pair[1], start).back(pair[2], start)
    at(pair, (S.IDLE, R.INITIALIZATION), (S.BACKUP, R.INITIALIZATION))
    fallback(pair)


def test_row_7_backup_srm_restarted_in_time(pair: Oriented) -> None:
    manual_failover(pair)
    pair[0].back(pair[2], Start.RESTART)
    at(pair, (S.IDLE, R.ON_ADMIN_REQUEST), (S.BACKUP, R.INITIALIZATION))
    fallback(pair)


def test_row_8_backup_srm_restarted_while_taking_over(pair: Oriented) -> None:
    p, _, y = pair
    y.broken.add("slow")
    manual_failover(pair)
    p.back(y, Start.RESTART)
    at(pair, (S.FAILING_OVER, R.ON_ADMIN_REQUEST), (S.TAKING_OVER, R.INITIALIZATION))
    y.broken.clear()
    p.run()
    at(pair, (S.IDLE, R.ON_ADMIN_REQUEST), (S.BACKUP, R.INITIALIZATION))
    fallback(pair)


def test_row_9_home_srm_restarted_while_taking_back(pair: Oriented) -> None:
    p, x, _ = pair
    manual_failover(pair)
    x.broken.add("slow")
    p.request(x, FallbackRequested())
    p.back(x, Start.RESTART)
    at(pair, (S.TAKING_BACK, R.INITIALIZATION), (S.FALLING_BACK, R.ON_ADMIN_REQUEST))
    x.broken.clear()
    p.run()
    ends_in_row_1(pair)


def test_row_10_automatic_fallback(pair: Oriented) -> None:
    p, x, _ = pair
    p.break_service(x).repair(x)
    p.request(x, FallbackDue(x.node.op))
    passed(pair, (S.TAKING_BACK, R.AUTOMATIC_FALLBACK), (S.FALLING_BACK, R.AUTOMATIC_FALLBACK))
    ends_in_row_1(pair)


def test_rows_12_11_a_critical_service_down_and_started_again(pair: Oriented) -> None:
    p, x, _ = pair
    p.break_service(x)
    at(
        pair,
        (S.FAILED_OVER_SERVICES_DOWN, R.CRITICAL_SERVICE_DOWN),
        (S.BACKUP, R.CRITICAL_SERVICE_DOWN),
    )
    p.repair(x)
    at(pair, (S.FAILED_OVER, R.CRITICAL_SERVICE_DOWN), (S.BACKUP, R.CRITICAL_SERVICE_DOWN))
    p.break_service(x)
    at(
        pair,
        (S.FAILED_OVER_SERVICES_DOWN, R.CRITICAL_SERVICE_DOWN),
        (S.BACKUP, R.CRITICAL_SERVICE_DOWN),
    )
    p.repair(x)
    fallback(pair)


def test_row_11_the_home_node_rebooted(pair: Oriented) -> None:
    p, x, _ = pair
    p.break_service(x).leave(x).back(x, Start.REBOOT)
    at(pair, (S.FAILED_OVER, R.INITIALIZATION), (S.BACKUP, R.CRITICAL_SERVICE_DOWN))
    fallback(pair)


def test_row_13_the_database_failed(pair: Oriented) -> None:
    p, x, _ = pair
    p.break_service(x, Health.DATABASE_DOWN)
    at(
        pair,
        (S.FAILED_OVER_SERVICES_DOWN, R.DATABASE_FAILURE),
        (S.BACKUP, R.DATABASE_FAILURE),
    )
    p.leave(x).back(x, Start.REBOOT)
    at(pair, (S.FAILED_OVER, R.INITIALIZATION), (S.BACKUP, R.DATABASE_FAILURE))
    fallback(pair)


def failed_start(story: Oriented) -> None:
    p, x, _ = story
    manual_failover(story)
    x.broken.add("start")
    p.request(x, FallbackRequested())
    reason = R.START_OF_CRITICAL_SERVICES_FAILED
    at(story, (S.FAILED_MODE, reason), (S.FAILED_MODE, reason))


def test_row_14_services_do_not_start_then_recover(pair: Oriented) -> None:
    p, x, _ = pair
    failed_start(pair)
    x.broken.clear()
    p.request(x, RecoverRequested())
    ends_in_row_1(pair)


def test_row_14_services_do_not_start_then_reboot(pair: Oriented) -> None:
    p, x, _ = pair
    failed_start(pair)
    x.broken.clear()
    p.leave(x)
    assert (pair[2].node.state, pair[2].node.reason) == (S.BACKUP, R.PEER_REBOOT)
    p.back(x, Start.REBOOT)
    at(pair, (S.FAILED_OVER, R.INITIALIZATION), (S.BACKUP, R.PEER_REBOOT))
    fallback(pair)


@pytest.mark.parametrize("health", [Health.SERVICE_DOWN, Health.DATABASE_DOWN])
def test_row_15_the_backup_fails_while_the_home_node_is_idle(
    pair: Oriented, health: Health
) -> None:
    p, _, y = pair
    manual_failover(pair)
    p.break_service(y, health)
    reason = R.CRITICAL_SERVICE_DOWN
    at(pair, (S.FAILED_MODE, reason), (S.FAILED_MODE, reason))
    p.repair(y)
    p.request(y, RecoverRequested())
    ends_in_row_1(pair)


def test_row_16_the_home_node_goes_silent(pair: Oriented) -> None:
    p, x, y = pair
    p.crash(x).miss(y)
    assert (y.node.state, y.node.reason) == (S.BACKUP, R.PEER_DOWN)
    p.back(x, Start.REBOOT)
    at(pair, (S.FAILED_OVER, R.INITIALIZATION), (S.BACKUP, R.PEER_DOWN))
    fallback(pair)


def test_row_17_the_home_node_says_that_it_reboots(pair: Oriented) -> None:
    p, x, y = pair
    p.leave(x)
    assert (y.node.state, y.node.reason) == (S.BACKUP, R.PEER_REBOOT)
    p.back(x, Start.REBOOT)
    fallback(pair)


def test_row_18_the_home_node_was_never_seen() -> None:
    pair = Pair()
    pair.crash(pair.a)
    from srmd.core.events import Booted

    pair.feed(pair.b, Booted(Start.REBOOT))
    pair.run().miss(pair.b)
    assert (pair.b.node.state, pair.b.node.reason) == (S.BACKUP, R.PEER_DOWN_DURING_INITIALIZATION)
    pair.a.broken.add("slow")
    pair.back(pair.a, Start.REBOOT)
    story = (pair, pair.a, pair.b)
    backup = (S.BACKUP, R.PEER_DOWN_DURING_INITIALIZATION)
    at(story, (S.FAILED_OVER_SERVICES_DOWN, R.INITIALIZATION), backup)
    pair.a.broken.clear()
    pair.run()
    at(story, (S.FAILED_OVER, R.INITIALIZATION), backup)
    fallback(story)


def test_row_19_users_cannot_be_taken_over(pair: Oriented) -> None:
    p, x, y = pair
    y.broken.add("move")
    manual_failover(pair)
    reason = R.TAKE_OVER_USERS_FAILED
    at(pair, (S.FAILED_MODE, reason), (S.FAILED_MODE, reason))
    y.broken.clear()
    p.request(x, RecoverRequested())
    ends_in_row_1(pair)


def test_row_20_users_cannot_be_taken_back(pair: Oriented) -> None:
    p, x, y = pair
    manual_failover(pair)
    x.broken.add("move")
    p.request(x, FallbackRequested())
    reason = R.TAKE_BACK_USERS_FAILED
    at(pair, (S.FAILED_MODE, reason), (S.FAILED_MODE, reason))
    x.broken.clear()
    p.request(y, RecoverRequested())
    ends_in_row_1(pair)


def test_row_21_srm_restarted_in_failed_mode(pair: Oriented) -> None:
    p, x, y = pair
    failed_start(pair)
    x.broken.clear()
    p.back(y, Start.RESTART)
    at(pair, (S.FAILED_MODE, R.UNKNOWN), (S.FAILED_MODE, R.UNKNOWN))
    p.request(y, RecoverRequested())
    ends_in_row_1(pair)


@pytest.mark.parametrize(
    "health, printed",
    [
        (Health.DATABASE_DOWN, R.AUTO_RECOVERY_DATABASE_FAILURE),
        (Health.SERVICE_DOWN, R.AUTO_RECOVER_CRITICAL_SERVICE_DOWN),
    ],
    ids=["row 22", "row 23"],
)
def test_rows_22_23_the_backup_fails_while_the_home_node_can_serve(
    pair: Oriented, health: Health, printed: Reason
) -> None:
    p, x, y = pair
    p.break_service(x).repair(x).break_service(y, health)
    at(
        pair,
        (S.BACKUP, R.AUTO_RECOVER_DATABASE_FAILURE),
        (S.FAILED_OVER_SERVICES_DOWN, printed),
    )
    p.repair(y)
    at(pair, (S.BACKUP, R.AUTO_RECOVER_DATABASE_FAILURE), (S.FAILED_OVER, printed))
    p.request(y, FallbackRequested())
    ends_in_row_1(pair)


def test_row_24_the_nodes_do_not_make_a_pair(pair: Oriented) -> None:
    p, x, y = pair
    for side in (x, y):
        p.feed(side, PeerMismatched("group"))
    at(pair, (S.UNKNOWN, R.UNKNOWN), (S.UNKNOWN, R.UNKNOWN))
    p.back(x, Start.RESTART).back(y, Start.RESTART)
    ends_in_row_1(pair)


def test_high_availability_switched_off_and_on_by_one_node(pair: Oriented) -> None:
    p, x, y = pair
    manual_failover(pair)
    for stamp, enabled in ((1, False), (2, True)):
        for side in (x, y):
            p.feed(side, HaSet(enabled, stamp))
        if not enabled:
            at(pair, (S.UNKNOWN, R.HA_NOT_ENABLED), (S.UNKNOWN, R.HA_NOT_ENABLED))
    p.run()
    ends_in_row_1(pair)


@pytest.mark.parametrize("policy", list(SplitBrain))
def test_a_healed_partition_ends_by_the_policy(policy: SplitBrain) -> None:
    pair = Pair(Policy(split_brain=policy)).start()
    pair.cut(pair.a, pair.b).cut(pair.b, pair.a).miss(pair.a).miss(pair.b)
    assert pair.now == ((S.BACKUP, R.PEER_DOWN), (S.BACKUP, R.PEER_DOWN))
    pair.heal()
    if policy is SplitBrain.FAIL:
        assert pair.now == ((S.FAILED_MODE, R.UNKNOWN), (S.FAILED_MODE, R.UNKNOWN))
        pair.request(pair.a, RecoverRequested())
    assert pair.now == ROW_1


def test_one_way_loss_makes_the_heard_node_yield_and_stay(pair: Oriented) -> None:
    p, x, y = pair
    p.cut(x, y).miss(y)
    at(pair, (S.FAILED_OVER, R.PEER_DOWN), (S.BACKUP, R.PEER_DOWN))
    for _ in range(5):
        p.run()
    at(pair, (S.FAILED_OVER, R.PEER_DOWN), (S.BACKUP, R.PEER_DOWN))
    p.heal()
    fallback(pair)


def test_both_nodes_with_services_down_fail_together(pair: Oriented) -> None:
    p, x, y = pair
    for side in (x, y):
        p.set_health(side, Health.SERVICE_DOWN)
    p.run()
    for side in (x, y):
        p.set_health(side, Health.SERVICE_DOWN, lasting=True)
    p.run()
    reason = R.CRITICAL_SERVICE_DOWN
    at(pair, (S.FAILED_MODE, reason), (S.FAILED_MODE, reason))
    p.repair(x).repair(y)
    p.request(x, RecoverRequested())
    ends_in_row_1(pair)


@pytest.mark.parametrize("policy", list(SplitBrain))
def test_old_beats_that_the_healed_network_releases_do_not_decide(policy: SplitBrain) -> None:
    """The kernel of b held its beats while the cable was out: a hears NORMAL and Taking Over of
    the past before the present.  It took the first for proof that it had heard b all along."""
    pair = Pair(Policy(split_brain=policy)).start()
    before = pair.b.node.report()
    pair.cut(pair.a, pair.b).cut(pair.b, pair.a).miss(pair.a)
    passing = pair.feed(pair.b, PeerDown()).node.report()
    pair.run()
    pair.feed(pair.a, PeerHeard(before))
    pair.feed(pair.a, PeerHeard(passing))
    pair.heal()
    if policy is SplitBrain.FAIL:
        assert pair.now == ((S.FAILED_MODE, R.UNKNOWN), (S.FAILED_MODE, R.UNKNOWN))
        pair.request(pair.a, RecoverRequested())
    assert pair.now == ROW_1


def test_the_first_to_recover_is_not_stopped_by_the_old_role_of_its_peer() -> None:
    """Policy home, uneven heal: b recovers, and hears once more that a is its backup."""
    pair = Pair(Policy(split_brain=SplitBrain.HOME)).start()
    pair.cut(pair.a, pair.b).cut(pair.b, pair.a).miss(pair.a).miss(pair.b)
    old = pair.a.node.report()
    pair.feed(pair.b, PeerHeard(old))
    assert pair.b.node.state is S.INITIALIZING
    pair.feed(pair.b, PeerHeard(old))
    pair.heal()
    assert pair.now == ROW_1


def test_a_report_by_the_control_channel_is_no_proof_of_life() -> None:
    pair = Pair().start()
    pair.cut(pair.a, pair.b).cut(pair.b, pair.a).miss(pair.a).miss(pair.b)
    before = pair.a.node
    pair.feed(pair.a, PeerHeard(pair.b.node.report(), beat=False))
    assert pair.a.node == before


def test_r1_a_home_node_that_died_while_taking_back_finds_that_its_peer_has_acted(
    pair: Oriented,
) -> None:
    """It came back with its old order, and its peer obeyed it: both failed over a lower op."""
    p, x, y = pair
    manual_failover(pair)
    x.broken.add("slow")
    p.request(x, FallbackRequested())
    p.crash(x).miss(y)
    x.broken.clear()
    p.back(x, Start.REBOOT)
    at(pair, (S.FAILED_OVER, R.INITIALIZATION), (S.BACKUP, R.PEER_DOWN))
    fallback(pair)


def test_r6_the_move_home_outranks_whatever_the_peer_ordered_meanwhile() -> None:
    """The backup held its users again with the very op of the fallback, and won the tie."""
    story = Play(a_node(S.TAKING_BACK, R.ON_ADMIN_REQUEST, peer=a_report(S.BACKUP), op=321))
    story.see(ServicesStarted(321))
    letting_go = a_report(S.FALLING_BACK, R.ON_ADMIN_REQUEST, op=322, stage=Stage.READY)
    story.see(PeerHeard(letting_go), do=[Destination.HOME], stage=Stage.MOVING)
    assert story.node.op == 323
    story.answer(UsersMoved, then=(S.NORMAL, R.NORMAL))
