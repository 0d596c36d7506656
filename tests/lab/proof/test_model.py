"""The search notices what it leaves out wrongly; and its stories hold with true numbers."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from srmd.core import transitions
from srmd.core.events import Report
from srmd.core.node import Node, Policy
from srmd.core.states import Contact, Reason, State
from srmd.lab.proof import minds
from srmd.lab.proof.happenings import World
from srmd.lab.proof.minds import alike, plain
from srmd.lab.proof.pair import Pair
from srmd.lab.proof.properties import Property
from srmd.lab.proof.search import CONFIGURATIONS, Search
from tests.lab.proof.conftest import SMALL

May = Callable[[Node | Report, Report | None, Contact], bool]


def test_a_rule_that_begins_to_read_a_fact_that_is_left_out_is_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The search would ask it with the value that stands instead, and prove nothing."""
    as_it_is: May = transitions.may_fall_back

    def from_a_well_backup(mine: Node | Report, other: Report | None, contact: Contact) -> bool:
        return as_it_is(mine, other, contact) and (other is None or transitions.well(other))

    monkeypatch.setattr(transitions, "may_fall_back", from_a_well_backup)
    assert Search(CONFIGURATIONS[0], SMALL).run().broken[Property.M1] > 0


def test_a_fact_that_is_left_out_by_mistake_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fallback is offered by what the backup hears."""
    monkeypatch.setattr(minds, "MAY_FALL_BACK", frozenset())
    result = Search(CONFIGURATIONS[0], SMALL).run()
    assert result.broken[Property.M1] > 0
    told = next(found.told for found in result.found if found.law is Property.M1)
    assert "a rule reads a fact that the search leaves out" in told


def test_nodes_that_are_alike_show_every_value_of_what_is_left_out() -> None:
    idle = plain(Node(State.IDLE, Reason.ON_ADMIN_REQUEST, contact=Contact.SILENT))
    others = alike(idle)
    assert {other.cause for other in others} == set(Reason)
    assert {other.contact_before for other in others} == set(Contact)
    told = [other.peer for other in others if other.peer is not None]
    assert {(peer.state, peer.hears_us) for peer in told} >= {
        (State.BACKUP, True),
        (State.NORMAL, False),
    }
    assert {plain(other) for other in others} == {idle}


def shown(world: World, pair: Pair) -> list[object]:
    """All of a pair but its numbers."""
    return [
        (
            world.minds[at].nodes[side.mind],
            *(side.up, side.services, side.fault, side.jobs, side.move, side.layout),
            [world.reports.values[late.report] for late in side.late],
            (pair.orderly, pair.mismatched),
        )
        for at, side in enumerate(pair.sides)
    ]


WALKS = 60
STEPS = 60


def test_small_numbers_act_like_true_ones() -> None:
    """Walks of the renumbered pair and of the true one, side by side."""
    same = different = 0
    for seed in range(WALKS):
        chance = random.Random(seed)
        small, true = (World(Policy(), 1, exact=exact) for exact in (False, True))
        pairs = (small.begin(), true.begin())
        for _ in range(STEPS):
            happening, after = chance.choice(small.nexts(pairs[0]))
            then = dict(true.nexts(pairs[1])).get(happening)
            if then is None or shown(small, after) != shown(true, then):
                different += 1  # a distance above GAP_MAX was taken for a smaller one
                break
            same += 1
            pairs = (after, then)
    assert same > WALKS * STEPS * 0.9
    assert different <= WALKS // 10
