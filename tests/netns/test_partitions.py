"""A pair on two hosts whose network fails: the ends are those of R5, R9 and R12.

The faults are made by the kernel, not by a proxy of ours, and so are the errors that a sender sees.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest

from srmd.lab.pair import LabNode
from tests.netns.conftest import QUICK
from tests.netns.hosts import Host
from tests.netns.pair import (
    ALONE,
    CONTROL,
    HALF,
    HEARTBEAT,
    SPLIT,
    YIELDED,
    HostStory,
    started,
)
from tests.real.conftest import USERS

STABLE_BEATS = 40
"""Two timeouts of this pair: what is to stay as it is, has stayed for so many heartbeats."""
ARRIVING = f"udp dport {HEARTBEAT}"

Break = Callable[[Host, Host], AbstractContextManager[None]]

ONE_WAY: dict[str, tuple[Break, str | None]] = {
    "dropped by the receiver": (lambda _, y: y.rule("input", f"{ARRIVING} drop"), None),
    "refused by the receiver": (lambda _, y: y.rule("input", f"{ARRIVING} reject"), None),
    "lost on the cable": (lambda x, _: x.rule("egress", f"{ARRIVING} drop"), None),
    "a station that is not there": (lambda x, y: x.wrong_neighbour(y), None),
    "forbidden to the sender": (
        lambda x, _: x.rule("output", f"{ARRIVING} drop"),
        "[Errno 1] Operation not permitted",
    ),
    "an unreachable route": (
        lambda x, y: x.no_route("unreachable", y),
        "[Errno 113] No route to host",
    ),
    "a blackhole route": (
        lambda x, y: x.no_route("blackhole", y),
        "[Errno 22] Invalid argument",
    ),
}
"""Ways in which what x sends does not reach y, and the error that x sees."""


def split_brains(node: LabNode) -> list[dict[str, Any]]:
    """The node's records of who served whom while both served."""
    records = map(json.loads, node.log_file.read_text().splitlines())
    return [record for record in records if record["event"] == "split_brain.detected"]


def test_an_unplugged_node_runs_on_and_both_serve_everybody(story: HostStory) -> None:
    """Row 16 on either side of the cable; R9 when it is back."""
    with story.x.host.unplugged():
        story.reaches(ALONE, ALONE)
        assert story.x.counters()["send_error"] == "[Errno 101] Network is unreachable"
        assert story.y.counters()["send_error"] is None
        story.row(16)
        for node in (story.x, story.y):
            assert node.status()["users"]["served"][node.id] == USERS
    story.reaches(SPLIT, SPLIT)
    story.serve(HALF, HALF)
    overlaps = [record for node in (story.x, story.y) for record in split_brains(node)]
    counts = [(record["served_here"], record["served_there"]) for record in overlaps]
    assert (USERS, USERS) in counts, "the node that sees it later may find the other one failed"
    story.sends_again()
    story.x.recover()
    story.ends_at_home()


def test_with_the_policy_home_the_pair_needs_no_operator(can_have_hosts: None) -> None:
    """R9, `split_brain = "home"`.

    Nothing is queued meanwhile, as it is where a cable is out: a heartbeat of before, delivered
    first, would look like a loss in one direction (docs/state-machine.md).
    """
    dropped = "meta protocol ip drop"
    with started({**QUICK, "group": {"split_brain": "home"}}) as pair:
        story = HostStory(pair, pair.b, pair.a)
        with story.x.host.rule("ingress", dropped), story.y.host.rule("ingress", dropped):
            story.reaches(ALONE, ALONE)
        story.ends_at_home()


def test_a_link_that_is_back_before_the_timeout_changes_nothing(mirrored: HostStory) -> None:
    story = mirrored
    before = (story.x.op(), story.y.op())
    for _ in range(5):
        with story.x.host.unplugged():
            story.pair.wait_until(
                "the sender has noticed", lambda: story.x.counters()["send_error"] is not None
            )
        story.sends_again()
        story.stays_while(story.y, "heartbeats_received", 1)
    assert (story.x.op(), story.y.op()) == before
    story.ends_at_home()


@pytest.mark.parametrize("way", ONE_WAY)
def test_one_way_loss_ends_with_the_heard_node_yielding(way: str, story: HostStory) -> None:
    """R9: y does not hear x and takes over; x hears it say so, yields, and nothing oscillates."""
    broken, error = ONE_WAY[way]
    process = story.x.pid
    with broken(story.x.host, story.y.host):
        story.reaches(YIELDED, ALONE)
        story.serve(0, USERS)
        assert story.x.counters()["send_error"] == error
        story.stays_while(story.x, "heartbeats_received", STABLE_BEATS)
        story.reaches(YIELDED, ALONE)
    assert story.x.pid == process
    story.sends_again()
    story.reaches(YIELDED, ALONE)
    story.fall_back()


def test_without_the_control_port_heartbeats_carry_a_failover(mirrored: HostStory) -> None:
    """Rows 3 and 1: messages order, but a node acts on what its peer reports in its heartbeats."""
    story = mirrored
    cut = f'iifname "eth0" tcp dport {CONTROL} drop'
    with story.x.host.rule("input", cut), story.y.host.rule("input", cut):
        story.x.failover()
        story.reaches("Idle/On Admin Request", "Running in Backup Mode/On Admin Request")
        story.row(3)
        story.serve(0, USERS)
        story.pair.wait_until(
            "the call has met its bound",
            lambda: story.x.status()["peer"]["control_reachable"] is False,
        )
        story.fall_back()
    story.ends_at_home()


def test_without_heartbeats_control_messages_prove_no_life(story: HostStory) -> None:
    """Both take over as if the cable were cut, though each could still call the other."""
    cut = f"{ARRIVING} drop"
    with story.x.host.rule("input", cut), story.y.host.rule("input", cut):
        story.reaches(ALONE, ALONE)
        for node in (story.x, story.y):
            assert node.status()["peer"]["control_reachable"] is True
        story.stays_while(story.x, "heartbeats_sent", STABLE_BEATS)
        story.reaches(ALONE, ALONE)
    story.reaches(SPLIT, SPLIT)
    story.serve(HALF, HALF)
    story.y.recover()
    story.ends_at_home()
