"""A suspect peer and a loss in one direction are told before they become a take-over."""

from __future__ import annotations

from dataclasses import replace

import pytest

from srmd.core.events import Report
from srmd.core.node import Node
from srmd.core.states import Contact, Reason, State
from srmd.node.heartbeats import Presence
from srmd.node.hints import hints, is_suspect

NORMAL = Node(
    State.NORMAL,
    Reason.NORMAL,
    contact=Contact.HEARD,
    peer=Report(State.NORMAL, Reason.NORMAL, 1),
)


def presence(silent_s: float, missed: int, left_s: float | None, *, heard: bool = True) -> Presence:
    return Presence(heard, silent_s, missed, left_s)


@pytest.mark.parametrize(
    "seen,suspect",
    [
        (presence(0.1, 0, 4.9), False),
        (presence(2.4, 1, 2.6), False),
        (presence(2.6, 2, 2.4), True),
        (presence(4.9, 7, 0.1), True),
        (presence(9.0, 15, None, heard=False), False),
        (presence(0.6, 0, 0.4), False),
    ],
)
def test_a_peer_is_suspect_when_more_than_half_of_the_timeout_has_passed(
    seen: Presence, suspect: bool
) -> None:
    assert is_suspect(seen) is suspect


def test_a_suspect_peer_is_told_with_its_figures_in_both_languages() -> None:
    """`srmd status` said "All is well" a tenth of a second before a take-over."""
    (told,) = hints(NORMAL, presence(4.9, 7, 0.1), me="a", peer="b")
    assert told.key == "peer_suspect"
    assert told.text.en.startswith(
        "Node b is suspect: 7 of its heartbeats are overdue, and the last one came 4.9 s ago."
        " If none arrives within 0.1 s, node b counts as down"
    )
    assert "0.1 秒以内" in told.text.ja


def test_a_peer_that_does_not_hear_us_is_told() -> None:
    deaf = Report(State.BACKUP, Reason.PEER_DOWN, 3, hears_us=False)
    yielded = replace(NORMAL, state=State.FAILED_OVER, reason=Reason.PEER_DOWN, peer=deaf)
    (told,) = hints(yielded, presence(0.1, 0, 4.9), me="a", peer="b")
    assert told.key == "one_way"
    assert told.text.en.startswith("Node b does not receive the heartbeats of node a.")


def test_a_pair_that_is_well_has_no_hint() -> None:
    assert hints(NORMAL, presence(0.1, 0, 4.9), me="a", peer="b") == ()
