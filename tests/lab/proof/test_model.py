"""The search notices what it leaves out wrongly; and its stories hold with true numbers."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace

import pytest

from srmd.core import transitions
from srmd.core.events import Event, HealthChanged, PeerDown, Report, UsersMoved
from srmd.core.machine import Step
from srmd.core.node import Node, Policy
from srmd.core.states import OWN_STATES, Contact, Health, Reason, Stage, State
from srmd.core.transitions import TABLE
from srmd.lab.proof import minds
from srmd.lab.proof.happenings import World
from srmd.lab.proof.minds import BASE, alike, misread, misshown, plain
from srmd.lab.proof.pair import Pair
from srmd.lab.proof.properties import Property
from srmd.lab.proof.search import CONFIGURATIONS, Search
from srmd.node.commands import Offer, offers
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


HEARD = Contact.HEARD
HOME_AGAIN = UsersMoved(BASE)


@pytest.mark.parametrize(
    "node,event",
    [
        # It takes the place of a peer that does not hear it, and offers it a fallback.
        (
            Node(
                health=Health.SERVICE_DOWN,
                peer=Report(State.FAILED_OVER, Reason.PEER_DOWN, BASE, hears_us=False),
            ),
            HealthChanged(Health.OK, lasting=False),
        ),
        # It is Normal then, and offers the failover of its peer, or fails over by what it reported.
        (
            Node(
                State.TAKING_BACK,
                stage=Stage.MOVING,
                peer=Report(State.NORMAL, Reason.NORMAL, BASE, hears_us=False),
            ),
            HOME_AGAIN,
        ),
        (
            Node(
                State.TAKING_BACK,
                stage=Stage.MOVING,
                peer=Report(State.INITIALIZING, Reason.INITIALIZATION, BASE, lasting=True),
            ),
            HOME_AGAIN,
        ),
    ],
)
def test_what_a_later_state_reads_is_not_left_out_before(node: Node, event: Event) -> None:
    """Found with one fault: the search had gone on with a made-up value."""
    node = replace(node, op=BASE, contact=HEARD)
    assert misread(alike(plain(node)), node, event, TABLE.step(node, event)) is None


@pytest.mark.parametrize("state", [State.IDLE, State.FAILED_OVER])
@pytest.mark.parametrize("hears_us", [True, False])
def test_whether_a_failed_over_peer_hears_us_is_not_left_out(state: State, hears_us: bool) -> None:
    """By that the backup offers its fallback."""
    peer = Report(state, Reason.ON_ADMIN_REQUEST, 0, hears_us=hears_us)
    for mine in OWN_STATES:
        bare = plain(Node(mine, contact=HEARD, peer=peer))
        assert misshown(alike(bare), bare) is None
        assert (Offer("fallback", here=False) in offers(bare)) == (
            hears_us and mine is State.BACKUP
        )


def test_a_role_that_is_resumed_has_no_report_until_the_peer_is_heard() -> None:
    """A backup that gives up a peer which it never heard places the users again: it read that in
    nodes that cannot exist."""
    resumed = Node(State.BACKUP, Reason.INITIALIZATION, op=BASE)
    others = alike(plain(resumed))
    assert {other.peer for other in others} == {None}
    assert misread(others, resumed, PeerDown(), TABLE.step(resumed, PeerDown())) is None
    begun = alike(plain(Node(State.INITIALIZING)))
    assert any(other.peer is not None for other in begun), "it keeps what it knew, for the number"


def test_a_resumed_role_that_is_given_a_report_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    known = Node(State.BACKUP, Reason.INITIALIZATION, peer=Report(State.IDLE, Reason.NORMAL, 0))
    monkeypatch.setattr(minds, "TABLE", SimpleNamespace(step=lambda *_: Step(known)))
    told = misread([Node()], Node(), PeerDown(), Step(known))
    assert told == "a node that resumes its role knows its peer before it hears it"


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
