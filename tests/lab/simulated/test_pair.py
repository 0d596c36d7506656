"""A simulated pair with Cisco's timers: exact moments, crashes between two steps, frozen nodes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest

from srmd.config import Config
from srmd.core.events import PeerDown, PeerHeard
from srmd.core.states import Reason, Start, State
from srmd.lab.scenario.phrases import verb
from srmd.lab.scenario.running import AT_HOME, missing
from srmd.lab.scenario.stage import VerbFailed, VerbRefused
from srmd.lab.scenario.verbs import Direction, NodeName
from srmd.lab.simulated.node import Costs
from srmd.lab.simulated.orders import Operator
from srmd.lab.simulated.pair import Pair, Stepped, cisco_defaults
from srmd.lab.simulated.srm import SOCKET_DATAGRAMS, Srm
from srmd.store.nodestate import NodeMemory
from srmd.wire.keys import AuthMode

A, B = NodeName.A, NodeName.B
TIMEOUT_S, INTERVAL_S = 60.0, 15.0
BOUND_S = 1000.0


class Told:
    """A pair at home, somebody who breaks it, and what its nodes decided."""

    def __init__(
        self, seed: int = 1, costs: Costs | None = None, config: Config | None = None
    ) -> None:
        self.pair = Pair(config, seed=seed, costs=costs)
        self.operator = Operator(self.pair)
        self.steps: list[Stepped] = []
        self.pair.start()
        self.until(lambda: not missing(AT_HOME, self.pair.look()))
        self.run_s(INTERVAL_S)
        self.pair.watchers.append(self.steps.append)

    def do(self, text: str) -> None:
        """Returns when it is done."""
        flow = self.operator.begin(verb(text))
        self.until(lambda: flow.done)
        flow.result()

    def until(self, holds: Callable[[], bool]) -> None:
        give_up_s = self.pair.now_s + BOUND_S
        while not holds():
            assert self.pair.now_s < give_up_s, self.pair.look()
            self.pair.advance(self.pair.now_s + 1)

    def run_s(self, length_s: float) -> None:
        self.pair.run_until(self.pair.now_s + length_s)

    def downs_s(self, node: NodeName) -> list[float]:
        """When this node found its peer down."""
        return [
            step.at_s
            for step in self.steps
            if step.node is node and isinstance(step.event, PeerDown)
        ]

    def state(self, node: NodeName) -> State | None:
        half = self.pair.look().half(node)
        return None if half is None else half[0]

    def srm(self, node: NodeName) -> Srm:
        boot = self.pair.nodes[node].boot
        assert boot is not None
        assert boot.srm is not None
        return boot.srm


def test_a_beat_that_arrives_at_the_deadline_counts() -> None:
    """15 and 60 tie exactly; the deadline was planned long before the beat."""
    told = Told()
    last_s = told.srm(B).beats.detector.since_s
    told.do("drop next 3 heartbeats a->b")
    told.run_s(TIMEOUT_S)
    assert told.downs_s(B) == []
    heard_s = [
        step.at_s for step in told.steps if step.node is B and isinstance(step.event, PeerHeard)
    ]
    assert heard_s[0] == last_s + TIMEOUT_S


def test_without_it_the_peer_is_down_at_that_very_moment() -> None:
    told = Told()
    last_s = told.srm(B).beats.detector.since_s
    told.do("drop next 4 heartbeats a->b")
    told.run_s(TIMEOUT_S)
    assert told.downs_s(B) == [last_s + TIMEOUT_S]


def test_a_beat_that_waits_unread_at_the_deadline_counts() -> None:
    """The deadline rings first, and drains the socket before it decides."""
    told = Told()
    srm = told.srm(B)
    deadline_s = srm.beats.deadline_s
    assert deadline_s is not None
    told.do("cut heartbeats a->b")
    told.run_s(deadline_s - told.pair.now_s - 5)
    told.pair.network.beats[Direction.A_TO_B].receive = srm._socket.append  # it lies there, unread
    told.do("heal heartbeats a->b")
    told.srm(A)._beat()
    told.run_s(10)
    assert told.downs_s(B) == []
    assert srm.beats.detector.since_s == deadline_s


def test_a_frozen_node_reads_before_it_decides_and_does_not_blame_its_peer() -> None:
    told = Told()
    told.do("freeze node b")
    assert told.pair.look().views[B] is None
    told.run_s(10 * TIMEOUT_S)
    told.do("heal")
    told.operator.heal()
    told.run_s(1.0)
    assert told.downs_s(B) == []
    assert told.state(B) is not None


def test_what_reaches_a_frozen_node_is_bounded() -> None:
    told = Told()
    told.do("freeze node b")
    told.run_s(2 * SOCKET_DATAGRAMS * INTERVAL_S)
    assert len(told.srm(B)._socket) == SOCKET_DATAGRAMS


def test_a_crash_before_the_state_is_durable_forgets_the_decision() -> None:
    told = Told(costs=Costs(save_s=1.0))
    told.do("failover a")
    assert told.srm(A).spoken.state is State.FAILING_OVER
    told.do("kill node b")  # which has decided to take over, and not saved it
    told.run_s(1.0)
    memory = told.pair.b.memory
    assert isinstance(memory, NodeMemory)
    assert memory.state is State.NORMAL


def test_a_restart_of_the_service_is_no_reboot_and_a_crash_is() -> None:
    told = Told()
    told.do("terminate node a")
    assert not told.pair.a.runs
    told.do("start node a")
    told.run_s(5.0)
    assert told.srm(A).node.start is Start.RESTART
    told.do("kill node a")
    told.do("start node a")
    told.run_s(5.0)
    assert told.srm(A).node.start is Start.REBOOT


def test_incarnations_grow_with_every_start_of_srm() -> None:
    told = Told()
    before = told.srm(A).host.memory.incarnation
    told.do("restart srm on a")
    told.do("kill node a")
    told.do("start node a")
    told.run_s(5.0)
    assert told.srm(A).host.memory.incarnation == before + 2


def test_a_refusal_and_a_node_that_does_not_answer_are_told_apart() -> None:
    told = Told()
    with pytest.raises(VerbRefused, match="fallback refused: a is in Normal"):
        told.do("fallback a")
    told.do("kill node a")
    with pytest.raises(VerbFailed, match="node a: connection refused"):
        told.do("failover a")
    with pytest.raises(VerbFailed, match=r"group\.nam: no such key"):
        told.do('configure group.nam = "x" on b')
    with pytest.raises(VerbFailed, match="node b runs already"):
        told.do("start node b")


def test_a_hung_service_is_killed_when_its_checks_have_failed() -> None:
    told = Told()
    begun_s = told.pair.now_s
    told.do("hang service 'Cisco SIP Proxy' on a")
    boot = told.pair.a.boot
    assert boot is not None
    told.until(lambda: not boot.services.critical_ok)
    health_limit_s = cisco_defaults().services.health_limit_s
    assert told.pair.now_s - begun_s == pytest.approx(health_limit_s)


def test_a_pair_without_digests_runs_as_well() -> None:
    config = cisco_defaults()
    off = dataclasses.replace(config.auth, mode=AuthMode.OFF)
    pair = Pair(dataclasses.replace(config, auth=off), seed=3)
    pair.start()
    pair.run_until(TIMEOUT_S)
    assert not missing(AT_HOME, pair.look())


def test_nobody_takes_over_in_a_day_on_which_nothing_happens() -> None:
    told = Told()
    told.run_s(24 * 3600.0)
    assert not [step for step in told.steps if step.changes_state]
    assert len(told.steps) == 2 * 24 * 3600 / INTERVAL_S
    assert told.pair.look().half(A) == (State.NORMAL, Reason.NORMAL)


@pytest.mark.parametrize("seed", range(1, 6))
def test_the_pair_is_at_home_whatever_the_phase_of_its_nodes(seed: int) -> None:
    assert Told(seed).downs_s(A) == []


def test_who_heeds_changes_can_add_up_the_time_without_service() -> None:
    """What a sweep measures: user-seconds in which nobody served a user."""
    told = Told()
    told.do("add 10 users")
    told.run_s(2 * INTERVAL_S)
    pair = told.pair
    since_s, unserved, unserved_user_s = pair.now_s, 0, 0.0

    def heed() -> None:
        nonlocal since_s, unserved, unserved_user_s
        unserved_user_s += unserved * (pair.now_s - since_s)
        look = pair.look()
        served = sum(view.served or 0 for view in look.views.values() if view is not None)
        assert look.assigned is not None, "node a answers, and its database is open"
        since_s, unserved = pair.now_s, sum(look.assigned.values()) - served

    pair.on_change.append(heed)
    died_s = pair.now_s
    told.do("kill node b")
    told.until(lambda: told.state(A) is State.BACKUP)
    assert told.downs_s(A) == [pytest.approx(died_s + TIMEOUT_S, abs=INTERVAL_S)]
    assert unserved == 0
    assert unserved_user_s == pytest.approx(5 * (pair.now_s - died_s), rel=0.02)


def test_a_memory_that_is_put_back_is_the_one_that_was_copied() -> None:
    told = Told()
    told.do("copy memory of a")
    kept = told.pair.a.memory
    with pytest.raises(VerbFailed, match="cannot restore the memory of node a while it runs"):
        told.do("restore memory of a")
    told.do("kill node a")
    told.do("lose state of a")
    assert told.pair.a.memory is None
    assert told.pair.a.database.rows is None
    told.do("restore memory of a")
    assert told.pair.a.memory == kept
    with pytest.raises(VerbFailed, match="no copy of the database was made"):
        told.do("restore database of a")


def test_a_node_that_starts_is_initializing_until_its_first_decision_is_durable() -> None:
    """A slow disk makes the moment long in which only its former state is known."""
    told = Told(costs=Costs(save_s=20.0))
    told.do("failover a")
    told.until(lambda: told.state(A) is State.IDLE)
    told.run_s(2 * INTERVAL_S)
    sent: list[float] = []
    told.pair.beat_watchers.append(
        lambda beat: sent.append(beat.at_s) if beat.sent and beat.node is A else None
    )
    flow = told.operator.begin(verb("restart srm on a"))
    told.until(lambda: told.state(A) is None)
    stopped_s = told.pair.now_s
    told.until(lambda: told.state(A) is not None)
    assert told.state(A) is State.INITIALIZING
    told.until(lambda: told.state(A) is State.IDLE)
    assert [at_s for at_s in sent if stopped_s <= at_s < told.srm(A).life.now_s - 1] == []
    told.until(lambda: flow.done)


SLOW_START = Costs(service_start_s=20.0)
"""Longer than the delay of `impatient`, and within the limit of a start (30 s)."""


def impatient(delay_s: float = 5.0) -> Config:
    config = cisco_defaults()
    services = dataclasses.replace(config.services, critical_service_delay_s=delay_s)
    return dataclasses.replace(config, services=services)


def test_services_that_start_slowly_do_not_fail_over_a_node_at_its_first_start() -> None:
    """The delay was over before the services were up: Initializing -> Failing Over, or both in
    Running in Failed Mode, though each start was within its limit."""
    told = Told(costs=SLOW_START, config=impatient())
    told.do("reboot node a")
    told.until(lambda: told.state(A) is State.NORMAL and told.state(B) is State.NORMAL)
    passed = {step.result.node.state for step in told.steps}
    assert passed <= {State.NORMAL, State.INITIALIZING}


def test_a_service_that_is_started_before_the_delay_is_over_is_waited_for() -> None:
    told = Told(costs=SLOW_START, config=impatient())
    told.do("kill service Cisco SIP Proxy on a")
    told.run_s(3)
    told.do("start service Cisco SIP Proxy on a")
    told.run_s(60)
    assert not [step for step in told.steps if step.changes_state]


def test_a_service_that_nobody_starts_fails_the_node_over_when_the_delay_is_over() -> None:
    """Also beside one whose start is under way."""
    told = Told(costs=SLOW_START, config=impatient())
    told.do("kill service Cisco XCP Router on a")
    died_s = told.pair.now_s
    told.do("kill service Cisco SIP Proxy on a")
    told.operator.begin(verb("start service Cisco SIP Proxy on a"))
    told.until(lambda: told.state(A) is not State.NORMAL)
    assert told.pair.now_s < died_s + 5 + 2


def test_a_start_that_fails_after_the_delay_fails_the_node_over_at_once() -> None:
    told = Told(costs=SLOW_START, config=impatient())
    told.do("block service Cisco SIP Proxy on a")
    told.do("kill service Cisco SIP Proxy on a")
    died_s = told.pair.now_s
    told.operator.begin(verb("start service Cisco SIP Proxy on a"))
    told.until(lambda: told.state(A) is not State.NORMAL)
    assert died_s + 20 <= told.pair.now_s < died_s + 20 + 2


def test_a_service_is_named_in_any_capitals_and_by_a_beginning() -> None:
    told = Told()
    told.do("stop service SIP on a")
    boot = told.pair.a.boot
    assert boot is not None
    down = [one.name for one in boot.services.statuses() if one.note == "Commanded out of service"]
    assert down == ["Cisco SIP Proxy"]
    told.do("start service cisco sip proxy on a")
    told.do("hang service a cisco DB on a")
    assert not boot.database.ok
    told.do("unblock service 'a cisco db' on a")
    with pytest.raises(VerbRefused, match="could be Cisco SIP Proxy or Cisco Server Recovery Mana"):
        told.do("kill service Cisco S on a")


@pytest.mark.parametrize("alone", ["kill node a", "cut control"])
def test_a_backup_whose_database_is_set_back_serves_the_users_of_both_on(alone: str) -> None:
    """The older copy places the users at home: b served its own only, until the next contact."""
    told = Told()
    told.do("add 100 users")
    told.run_s(TIMEOUT_S)
    told.do("copy database of b")
    told.do("failover a")
    told.until(lambda: told.state(B) is State.BACKUP)
    told.run_s(TIMEOUT_S)
    told.do(alone)
    told.do("restore database of b")
    told.run_s(TIMEOUT_S)
    view = told.pair.look().views[B]
    assert view is not None
    assert (told.state(B), view.served) == (State.BACKUP, 100)


def test_users_are_placed_again_when_moves_work_again() -> None:
    told = Told()
    told.do("add 100 users")
    told.run_s(TIMEOUT_S)
    told.do("copy database of b")
    told.do("kill node a")
    told.until(lambda: told.state(B) is State.BACKUP)
    told.do("fail moves on b")
    told.do("restore database of b")
    told.run_s(INTERVAL_S)
    view = told.pair.look().views[B]
    assert view is not None
    assert view.served == 50
    told.do("repair moves on b")
    told.run_s(INTERVAL_S)
    view = told.pair.look().views[B]
    assert view is not None
    assert view.served == 100


def served(told: Told, node: NodeName) -> int:
    view = told.pair.look().views[node]
    assert view is not None
    assert view.served is not None
    return view.served


def put_back_copies_of_the_time_failed_over(*nodes: str) -> Told:
    """A pair at home, whose nodes then get databases that place the users of a on b."""
    told = Told()
    told.do("add 100 users")
    told.run_s(TIMEOUT_S)
    told.do("failover a")
    told.until(lambda: told.state(B) is State.BACKUP)
    told.run_s(TIMEOUT_S)
    for node in nodes:
        told.do(f"copy database of {node}")
    told.do("fallback a")
    told.until(lambda: not missing(AT_HOME, told.pair.look()))
    told.run_s(TIMEOUT_S)
    for node in nodes:
        told.do(f"restore database of {node}")
    return told


@pytest.mark.parametrize("nodes", [("a",), ("b",), ("a", "b")])
def test_two_nodes_in_normal_place_their_users_home_again(nodes: tuple[str, ...]) -> None:
    """Copies of both nodes agreed that b serves the users of a, and b, in Normal, did not."""
    told = put_back_copies_of_the_time_failed_over(*nodes)
    told.run_s(TIMEOUT_S)
    assert not missing(AT_HOME, told.pair.look())
    assert (served(told, A), served(told, B)) == (50, 50)


def test_an_order_outranks_a_placement_that_was_found_while_srm_runs() -> None:
    """The floor of the numbers was taken at the start of SRM alone: the next order failed, and so
    did each recovery from that."""
    told = Told()
    told.do("add 100 users")
    told.run_s(TIMEOUT_S)
    boot = told.pair.b.boot
    assert boot is not None
    boot.database.use(lambda database: database.move({"a": "b", "b": "b"}, op=500, by="b"))
    told.run_s(TIMEOUT_S)
    assert (served(told, A), served(told, B)) == (50, 50)
    told.do("failover a")
    told.until(lambda: told.state(B) is State.BACKUP)
    told.run_s(TIMEOUT_S)
    assert (told.state(A), served(told, B)) == (State.IDLE, 100)
    told.do("fallback a")
    told.until(lambda: not missing(AT_HOME, told.pair.look()))
    told.run_s(TIMEOUT_S)
    assert (served(told, A), served(told, B)) == (50, 50)
    assert State.FAILED_MODE not in {step.result.node.state for step in told.steps}


def test_a_backup_serves_on_when_a_newer_placement_is_put_under_it() -> None:
    told = Told()
    told.do("add 100 users")
    told.do("failover a")
    told.until(lambda: told.state(B) is State.BACKUP)
    told.run_s(TIMEOUT_S)
    boot = told.pair.b.boot
    assert boot is not None
    boot.database.use(lambda database: database.move({"a": "a", "b": "b"}, op=500, by="a"))
    told.run_s(TIMEOUT_S)
    assert served(told, B) == 100
    told.do("fallback a")
    told.until(lambda: not missing(AT_HOME, told.pair.look()))
    told.run_s(TIMEOUT_S)
    assert (served(told, A), served(told, B)) == (50, 50)
