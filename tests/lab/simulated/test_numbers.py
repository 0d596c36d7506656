"""No loss of a memory deafens a pair (R14): drawn stories of restarts, lost and older memories.

The search of `srmd sim` does not take memories, and the model checker knows no numbers of
heartbeats, so what they prove is searched here: in whatever order it happens, both nodes hear each
other in the end, and nobody takes the other one for a stranger.
"""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from srmd.core.states import Contact
from srmd.lab.simulated.node import ServerBoot
from srmd.lab.simulated.pair import cisco_defaults
from srmd.wire.keys import AuthMode
from tests.lab.simulated.test_pair import TIMEOUT_S, A, B, Told

STORIES = 40
"""Of each mode: some seconds."""
SETTLED_S = 4 * TIMEOUT_S
HAPPENINGS = (
    ("restart srm on {x}",),
    ("reboot node {x}",),
    ("copy memory of {x}",),
    ("kill node {x}", "lose memory of {x}", "start node {x}"),
    ("kill node {x}", "restore memory of {x}", "start node {x}"),
    ("terminate node {x}", "lose memory of {x}", "restart srm on {y}", "start node {x}"),
    ("terminate node {x}", "restore memory of {x}", "reboot node {y}", "start node {x}"),
    ("kill node {x}", "kill node {y}", "lose memory of {x}", "start node {y}", "start node {x}"),
    ("cut heartbeats {x}->{y}",),
    ("cut control {x}->{y}",),
    ("heal",),
)


def both_run(told: Told) -> bool:
    """A node that reboots is up again."""
    return all(boot is not None and boot.srm is not None for boot in boots(told))


def boots(told: Told) -> list[ServerBoot | None]:
    return [node.boot for node in told.pair.nodes.values()]


def hears(told: Told) -> list[bool]:
    """Each node hears its peer, and is heard by it."""
    found = []
    for name in (A, B):
        node = told.srm(name).node
        peer = node.peer
        found.append(node.contact is Contact.HEARD and peer is not None and peer.hears_us)
    return found


@pytest.mark.parametrize("mode", AuthMode)
def test_whatever_memories_are_lost_the_nodes_hear_each_other_in_the_end(mode: AuthMode) -> None:
    config = cisco_defaults()
    config = replace(config, auth=replace(config.auth, mode=mode))
    for seed in range(STORIES):
        random = Random(seed)
        told = Told(seed=seed, config=config)
        told.do("copy memory of a")
        told.do("copy memory of b")
        said = []
        for _ in range(random.randint(2, 7)):
            told.until(lambda told=told: both_run(told))  # type: ignore[misc]
            x, y = random.choice(("ab", "ba"))
            for form in random.choice(HAPPENINGS):
                said.append(form.format(x=x, y=y))
                told.do(said[-1])
            told.run_s(random.choice((1.0, TIMEOUT_S / 2, 3 * TIMEOUT_S)))
        told.do("heal")
        told.run_s(SETTLED_S)
        assert hears(told) == [True, True], (seed, said)
        mismatches = [told.srm(name).reports.mismatch for name in (A, B)]
        assert mismatches == [None, None], (seed, said)
