"""The search: thousands of random plans against the pair, first safety, then the way home.

A plan that fails is shortened until nothing can be left out, and told as a story with its seed.
`pytest tests/core/test_search.py --plans 100000` looks longer.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable

import pytest

from srmd.core import transitions
from srmd.core.handbook import find
from srmd.core.machine import Step
from srmd.core.node import Node, Policy
from srmd.core.states import Reason, SplitBrain
from tests.core.world import Plan, World, draw, perform, shortest

VERBS_MAX = 60
PLANS_UNTIL_FOUND_MAX = 3000
"""Plans within which a broken guard has to be noticed."""


@pytest.fixture
def plans_count(request: pytest.FixtureRequest) -> int:
    return int(request.config.getoption("--plans", default=2000))


# ---------------------------------------------------------------------------- phases after a plan


def repair_and_go_home(world: World) -> None:
    world.heal()
    world.end_in_row_1()


def stay_broken(world: World) -> None:
    """The nodes hear each other and run, what is broken stays broken."""
    world.mend_links()
    world.wait_out()
    world.look_at_rest()
    row = find(world.a.half, world.b.half).row
    world.check(f"the pair rests in a documented pair, not in {row.key}", row.stable)


def lose_one_way(world: World) -> None:
    world.mend_links()
    world.endure_one_way_loss(world.a)
    repair_and_go_home(world)


Phase = Callable[[World], None]


# ---------------------------------------------------------------------------- the search


def fault(policy: Policy, plan: Plan, phase: Phase, checked: Counter[str]) -> str | None:
    """The broken promise and its story, or None."""
    world = World(policy)
    try:
        perform(world, plan)
        phase(world)
    except AssertionError as broken:
        return str(broken)
    finally:
        checked.update(world.checked)
    return None


def search(phase: Phase, plans_count: int, first_seed: int = 0) -> tuple[str | None, Counter[str]]:
    """The first broken promise with its shortest plan; how often each promise was looked at."""
    checked: Counter[str] = Counter()
    for seed in range(first_seed, first_seed + plans_count):
        chance = random.Random(seed)
        policy = Policy(
            automatic_fallback=chance.random() < 0.3,
            split_brain=chance.choice(list(SplitBrain)),
        )
        plan = draw(chance, chance.randint(1, VERBS_MAX))
        broken = fault(policy, plan, phase, checked)
        if broken is not None:
            promise = broken.partition("\n")[0]

            def same(shorter: Plan, policy: Policy = policy, promise: str = promise) -> bool:
                told = fault(policy, shorter, phase, Counter())
                return told is not None and told.partition("\n")[0] == promise

            plan = shortest(plan, same)
            story = fault(policy, plan, phase, Counter())
            verbs = ", ".join(f"{name}.{verb.__name__}" for verb, name in plan)
            return f"{story}\nseed {seed}, {policy}, plan: {verbs}", checked
    return None, checked


def test_whatever_happened_repair_and_the_recommended_action_lead_to_row_1(
    plans_count: int,
) -> None:
    broken, checked = search(repair_and_go_home, plans_count)
    assert broken is None, broken
    looked_at = {
        "the operation number never falls",
        "each transition has a new operation number",
        "a refused request changes nothing",
        "a request is obeyed only where the documents allow it",
        "nobody is served twice",
        "at rest nobody is served twice",
        "in Normal each serves its own",
        "the backup serves everybody",
        "row 1 is reached",
    }
    assert set(checked) == looked_at, "a promise was never looked at, or one is not listed here"


def test_a_pair_whose_faults_stay_rests_in_a_pair_of_the_handbook(plans_count: int) -> None:
    broken, _ = search(stay_broken, plans_count, first_seed=10_000_000)
    assert broken is None, broken


def test_one_way_loss_never_oscillates_and_repair_leads_to_row_1(plans_count: int) -> None:
    broken, checked = search(lose_one_way, plans_count, first_seed=20_000_000)
    assert broken is None, broken
    assert checked["one-way loss comes to rest"] >= plans_count


# ---------------------------------------------------------------------------- the search has teeth


def test_the_search_notices_a_backup_that_does_not_hold_its_users_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(transitions, "TAKEN_UNASKED", frozenset[Reason]())
    broken, _ = search(lose_one_way, PLANS_UNTIL_FOUND_MAX)
    assert broken is not None
    assert broken.startswith("the backup serves everybody")


def test_the_search_notices_users_taken_before_they_were_let_go(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def step_in_at_once(node: Node, reason: Reason) -> Step:
        return transitions.claim(node, reason)

    monkeypatch.setattr(transitions, "step_in", step_in_at_once)
    broken, _ = search(repair_and_go_home, PLANS_UNTIL_FOUND_MAX)
    assert broken is not None
    assert broken.startswith("nobody is served twice")


def test_the_search_notices_a_failover_that_is_not_guarded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(transitions, "may_fail_over", lambda *_: True)
    broken, _ = search(repair_and_go_home, PLANS_UNTIL_FOUND_MAX)
    assert broken is not None
    assert broken.startswith("a request is obeyed only where the documents allow it")


def test_the_search_notices_a_recover_that_does_not_reach_the_peer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(transitions, "recovers", lambda *_: False)
    broken, _ = search(repair_and_go_home, PLANS_UNTIL_FOUND_MAX)
    assert broken is not None
    assert broken.startswith(("row 1 is reached", "a recommended action leads on"))


def test_the_search_notices_rivals_that_yield_to_each_other_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept = transitions.finish_failing_over

    def take_again(node: Node) -> Step:
        yielding = node.cause is Reason.PEER_DOWN and node.peer is not None
        return transitions.claim(node, Reason.PEER_DOWN) if yielding else kept(node)

    monkeypatch.setattr(transitions, "finish_failing_over", take_again)
    broken, _ = search(lose_one_way, PLANS_UNTIL_FOUND_MAX)
    assert broken is not None
    assert broken.startswith("a pair that is left alone comes to rest")
