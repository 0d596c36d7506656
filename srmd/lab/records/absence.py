"""Times without a node, or only without its SRM: by the starts in its journal and by its log.

An ordered stop is in the log: `srm.stopped`, and `node.stopped` when the node went down with it.
A process that was killed leaves nothing; then the last entry of the journal tells, and the next
start.  While only SRM is stopped the services of the node go on, and so do its users' sessions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from srmd.lab.records.history import History, Point
from srmd.lab.records.reading import Record

GAP_MIN_S = 0.05
"""A shorter absence is not told."""
SILENT_INTERVALS = 3.0
"""A node that has noted nothing for so many intervals at the end of the records was down."""
SRM_ENDED: Final = frozenset({"srm.failed", "srm.stopped"})
NODE_ENDED: Final = frozenset({"node.rebooting", "node.stopped"})


class Gone(Enum):
    """The part of the node that did not run."""

    SRM = "srm_off"
    """SRM alone: it was stopped, or ended by an error."""
    NODE = "off"
    """The node: it was stopped, shut down or rebooted."""
    SILENT = "silent"
    """Nothing was noted: the node was killed, or its log is not among the records."""


@dataclass(frozen=True, slots=True)
class Absence:
    """A time without the node, or without its SRM, on the common clock."""

    from_s: float
    to_s: float
    gone: Gone


def absences(history: History, end_s: float) -> list[Absence]:
    """In their order; the last may reach to the end of the line."""
    found: list[Absence] = []
    lives = [point for point in history.points if point.boot or point is history.points[0]]
    for this, later in zip(lives, [*lives[1:], None], strict=True):
        next_s = history.common_s(later.at_s) if later else max(end_s, history.last_s)
        found += _after(history, this, later, next_s)
    return [one for one in found if one.to_s - one.from_s > GAP_MIN_S]


def _after(history: History, this: Point, later: Point | None, next_s: float) -> list[Absence]:
    """Absences after one life of SRM until the next, or until the end."""
    last_s = _last_entry_s(history, this, later)
    log = _log_of(history, this, later)
    node_s = _first_s(history, log, NODE_ENDED)
    if node_s is not None:
        if node_s - last_s <= GAP_MIN_S:
            return [Absence(last_s, next_s, Gone.NODE)]
        return [Absence(last_s, node_s, Gone.SRM), Absence(node_s, next_s, Gone.NODE)]
    if _first_s(history, log, SRM_ENDED) is not None:
        killed = later is not None and _is_boot(history, later)
        return [Absence(last_s, next_s, Gone.SILENT if killed else Gone.SRM)]
    if later is None:
        silent_s = SILENT_INTERVALS * history.about.timers.keep_alive_interval_s
        last_s = history.last_s
        return [Absence(last_s, next_s, Gone.SILENT)] if next_s - last_s > silent_s else []
    return [Absence(last_s, next_s, Gone.SILENT)]


def _last_entry_s(history: History, this: Point, later: Point | None) -> float:
    """The last entry that SRM wrote into its journal in this life."""
    moments = [point.at_s for point in history.points] + [beats.at_s for beats in history.beats]
    until_s = later.at_s if later else float("inf")
    return history.common_s(max(at_s for at_s in moments if this.at_s <= at_s < until_s))


def _log_of(history: History, this: Point, later: Point | None) -> Sequence[Record]:
    until_s = later.at_s if later else float("inf")
    return [one for one in history.log if this.at_s <= float(one.fields["mono_s"]) < until_s]


def _first_s(history: History, log: Sequence[Record], events: frozenset[str]) -> float | None:
    moments = (float(one.fields["mono_s"]) for one in log if one.event in events)
    at_s = next(moments, None)
    return None if at_s is None else history.common_s(at_s)


def _is_boot(history: History, point: Point) -> bool:
    """SRM started here together with its node."""
    starts = [one for one in history.points if one.boot and one.at_s > point.at_s]
    log = _log_of(history, point, starts[0] if starts else None)
    return _first_s(history, log, frozenset({"node.started"})) is not None
