"""Reports by heartbeat and by the control channel, in whatever order they come."""

from __future__ import annotations

from dataclasses import replace

from srmd.core.node import Node
from srmd.core.states import Contact, State
from srmd.node.reports import Reports
from srmd.wire.heartbeat import Heartbeat
from srmd.wire.sample import sample_heartbeat

NORMAL = Node(state=State.NORMAL, contact=Contact.HEARD, ha_stamp=3)


def report(seq: int, *, incarnation: int = 7) -> Heartbeat:
    return replace(sample_heartbeat(seq), incarnation=incarnation)


def test_a_report_with_a_made_up_number_overtakes_no_heartbeat() -> None:
    """Where anyone may call, one told report with the highest number made all heartbeats count as
    overtaken: the peer was alive, and nothing that it said was heard, until SRM restarted."""
    reports = Reports(proved=False)
    assert reports.heard(report(10), NORMAL)
    assert reports.told(report(2**62), NORMAL) is None
    assert reports.told(report(1, incarnation=2**62), NORMAL) is None
    assert reports.told(report(11), NORMAL)
    assert reports.heard(report(11), NORMAL), "the heartbeat that says the same"
    assert reports.told(report(75), NORMAL)
    assert reports.heard(report(74), NORMAL) is None
    assert reports.heard(report(75), NORMAL)


def test_a_peer_that_counts_anew_is_listened_to() -> None:
    """Its mark was given up, as it is where no digest is needed; what was told before is void."""
    reports = Reports(proved=False)
    assert reports.heard(report(10), NORMAL)
    assert reports.told(report(20), NORMAL)
    assert reports.heard(report(1, incarnation=1), NORMAL)


def test_a_proved_report_of_a_new_run_is_news_before_its_first_heartbeat() -> None:
    reports = Reports(proved=True)
    assert reports.heard(report(10), NORMAL)
    assert reports.told(report(1, incarnation=8), NORMAL)
    assert reports.incarnation == 8
    assert reports.heard(report(11), NORMAL) is None
