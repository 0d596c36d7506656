"""What the search leaves out, the rules do not read; and its stories hold with true numbers."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace

import pytest

from srmd.core.events import Event, PeerHeard, Report
from srmd.core.node import Node, Policy
from srmd.core.states import Contact, Health, Reason, Stage, Start, State
from srmd.core.transitions import TABLE
from srmd.lab.proof.happenings import World
from srmd.lab.proof.minds import BASE, CAUSE_UNREAD, NAMES_ITS_LOSS, Minds, plain
from srmd.lab.proof.pair import Pair
from srmd.lab.proof.search import CONFIGURATIONS, Search

STRANGE = Report(
    State.FAILED_MODE,
    Reason.UNKNOWN,
    0,
    Stage.READY,
    Start.RECOVER,
    settled=False,
    hears_us=False,
    health=Health.SERVICE_DOWN,
    lasting=True,
    ha=False,
)
"""A report that differs from all usual ones in every fact."""


DIAGONAL = (0, len(CONFIGURATIONS) - 1)
"""Each policy with each of its values, in two searches of the four."""


def others_alike(node: Node) -> Iterator[Node]:
    """Nodes that differ from this one only in facts that are called unread."""
    yield replace(node, contact_before=Contact.HEARD)
    if node.state in CAUSE_UNREAD:
        yield replace(node, cause=Reason.AUTOMATIC_FALLBACK)
    if node.state is not State.INITIALIZING:
        yield replace(node, start=Start.RECOVER)
    if node.contact is Contact.SILENT and node.state not in NAMES_ITS_LOSS:
        yield replace(node, contact=Contact.LEFT)
    op = BASE - 1 if node.peer is None else node.peer.op
    strange = replace(STRANGE, op=op)
    if plain(replace(node, peer=strange)) == plain(node):
        yield replace(node, peer=strange)
    if node.peer is None:
        return
    for fact in ("reason", "stage", "start", "settled", "hears_us", "health", "lasting", "ha"):
        changed = replace(node.peer, **{fact: getattr(STRANGE, fact)})
        if plain(replace(node, peer=changed)) == plain(node):
            yield replace(node, peer=changed)


def asked(minds: Minds) -> Iterator[tuple[Node, Event]]:
    """Every question that the search asked of one node's rules."""
    for mind, heard, number, news in minds._thoughts:
        event = minds._events[number]
        if isinstance(event, PeerHeard):
            event = replace(event, report=replace(event.report, op=BASE + news))
        yield minds.numbered(mind, BASE, heard), event


@pytest.mark.parametrize("at", DIAGONAL, ids=[str(CONFIGURATIONS[at]) for at in DIAGONAL])
def test_facts_that_are_called_unread_change_nothing(at: int, searches: list[Search]) -> None:
    compared_count = 0
    for minds in searches[at].world.minds:
        for node, event in list(asked(minds)):
            expected = TABLE.step(node, event)
            for other in others_alike(node):
                got = TABLE.step(other, event)
                compared_count += 1
                assert plain(got.node) == plain(expected.node), (other, event)
                assert got.node.op == expected.node.op, (other, event)
                assert got.effects == expected.effects, (other, event)
    assert compared_count > 1000


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
