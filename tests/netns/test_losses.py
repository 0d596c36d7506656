"""Heartbeats that are lost, damaged or doubled on the way, while enough of them arrive."""

from __future__ import annotations

import pytest

from tests.netns.pair import ALONE, HEARTBEAT, HostStory, started
from tests.real.conftest import NORMAL

ARRIVING = f"udp dport {HEARTBEAT}"

CISCO_PROPORTION = {
    "heartbeat": {
        "keep_alive_interval_s": 0.2,
        "keep_alive_timeout_s": 0.9,
        "initialization_keep_alive_timeout_s": 3.0,
    },
    "services": {"critical_service_delay_s": 5.0},
}
"""Four beats in a timeout, as 15 s and 60 s; half an interval more, so that no beat falls on it."""


@pytest.mark.parametrize("n, lost_count", [(2, 30), (5, 12)])
def test_every_nth_heartbeat_lost_changes_nothing(
    n: int, lost_count: int, story: HostStory
) -> None:
    lost = f"{ARRIVING} numgen inc mod {n} == 0 drop"
    with story.x.host.rule("input", lost), story.y.host.rule("input", lost):
        assert story.stays_normal_for(beats_sent=60) == pytest.approx(lost_count, abs=3)


def test_random_loss_of_a_third_changes_nothing(story: HostStory) -> None:
    """At most 0.0000001 of such runs fail by chance.

    A false take-over needs 18 lost beats in a row: 0.3 ** 18 = 3.9e-10 for each beat, of which
    there are about 100 in each direction.
    """
    lost = f"{ARRIVING} numgen random mod 100 < 30 drop"
    with story.x.host.rule("input", lost), story.y.host.rule("input", lost):
        assert story.stays_normal_for(beats_sent=100) == pytest.approx(30, abs=25)


def test_three_of_four_lost_change_nothing_and_all_lost_are_a_take_over(
    can_have_hosts: None,
) -> None:
    with started(CISCO_PROPORTION) as pair:
        story = HostStory(pair, pair.a, pair.b)
        with story.y.host.rule("input", f"{ARRIVING} numgen inc mod 4 != 0 drop"):
            story.stays_while(story.y, "heartbeats_received", 10)
            story.reaches(NORMAL, NORMAL)
        with story.y.host.rule("input", f"{ARRIVING} drop"):
            story.reaches("Failed Over/Peer Down", ALONE)
        story.fall_back()


@pytest.mark.parametrize(
    "byte, counted",
    [(0, "not_srmd"), (6, "unknown_key"), (40, "bad_digest")],
    ids=["magic", "key", "body"],
)
def test_a_damaged_heartbeat_is_counted_and_nothing_else(
    byte: int, counted: str, story: HostStory
) -> None:
    """One byte of every third heartbeat becomes zero on arrival; the checksum does not catch it."""
    udp_header_bits = 64
    damage = f"@th,{udp_header_bits + 8 * byte},8 set 0x00"
    before = story.y.counters()["heartbeats_rejected"]
    with story.y.host.rule("ingress", f"{ARRIVING} numgen inc mod 3 == 0 {damage}"):
        story.stays_normal_for(beats_sent=40)
    after = story.y.counters()["heartbeats_rejected"]
    assert after.pop(counted) - before.pop(counted, 0) == pytest.approx(14, abs=3)
    assert after == before
    story.ends_at_home()


def test_a_doubled_heartbeat_counts_once(mirrored: HostStory) -> None:
    story = mirrored
    before = story.y.counters()
    double = f'{ARRIVING} meta mark != 7 meta mark set 7 dup to "eth0"'
    with story.x.host.rule("egress", double):
        story.stays_normal_for(beats_sent=40)
    after = story.y.counters()
    stale = after["heartbeats_rejected"]["stale"] - before["heartbeats_rejected"].get("stale", 0)
    received = after["heartbeats_received"] - before["heartbeats_received"]
    assert stale == pytest.approx(40, abs=5)
    assert received == pytest.approx(stale, abs=3)
    story.ends_at_home()
