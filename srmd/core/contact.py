"""What a report of the peer means to us: which events it makes, before any rule is asked."""

from __future__ import annotations

from srmd.core.events import Event, HaSet, PeerHeard, PeerMismatched, Report
from srmd.core.node import Node
from srmd.core.texts import MISMATCHES


def understand(node: Node, report: Report, *, beat: bool) -> tuple[Event, ...]:
    """The events that a report makes; `beat`: it came by a heartbeat.

    High availability is one setting of the pair: the node where it was switched last (the higher
    stamp) teaches the other one.  Equal stamps that differ are two configurations that do not match
    (R11).  A report from before the switch reached the peer means nothing yet.
    """
    if report.ha_stamp > node.ha_stamp:
        return (HaSet(report.ha, report.ha_stamp), PeerHeard(report, beat))
    if report.ha is node.ha:
        return (PeerHeard(report, beat),)
    if report.ha_stamp == node.ha_stamp:
        return (PeerMismatched(MISMATCHES["ha"].en),)
    return ()
