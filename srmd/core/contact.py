"""What a report of the peer means to us: which events it makes, before any rule is asked."""

from __future__ import annotations

from srmd.core.events import Event, HaSet, PeerHeard, PeerMismatched, Report
from srmd.core.node import Node
from srmd.core.texts import MISMATCHES


def understand(node: Node, report: Report, *, beat: bool) -> tuple[Event, ...]:
    """The events that a report makes; `beat`: it came by a heartbeat.

    High availability is one setting of the pair: the node where it was set last (the higher stamp)
    teaches the other one.  Set on both nodes at once, with the same stamp and other values, *off*
    wins on both, so that no failover comes about by accident (ours).  Stamp 0 is no command but the
    configuration: two files that differ do not match (R11).  A report from before the setting
    reached the peer means nothing yet.
    """
    if report.ha is not node.ha and report.ha_stamp == node.ha_stamp == 0:
        return (PeerMismatched(MISMATCHES["ha"].en),)
    theirs, mine = (report.ha_stamp, not report.ha), (node.ha_stamp, not node.ha)
    if theirs > mine:
        return (HaSet(report.ha, report.ha_stamp), PeerHeard(report, beat))
    return (PeerHeard(report, beat),) if report.ha is node.ha else ()
