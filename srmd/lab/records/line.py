"""The time line as a value: bars, marks and heartbeats in lanes.

Moments are seconds from the begin of the line.  What an operator reads is there in English and
Japanese; names of rules and verbs are the program's own.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime

from srmd.core.texts import Text


@dataclass(frozen=True, slots=True)
class Bar:
    """Something that lasts, in a lane."""

    lane: str
    from_s: float
    to_s: float
    kind: str
    text: Text
    tip: Text
    short: Text
    """What is said where `text` has no room."""

    def within(self, span_s: float) -> Bar | None:
        """The part of it on a line of this length; None when there is none."""
        from_s, to_s = max(0.0, self.from_s), min(span_s, self.to_s)
        return replace(self, from_s=from_s, to_s=to_s) if to_s > from_s else None


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that happened, in a lane."""

    lane: str
    at_s: float
    kind: str
    text: Text
    tip: Text


@dataclass(frozen=True, slots=True)
class Beat:
    """A heartbeat; a moment that nobody has noted is None."""

    sender: str
    seq: int
    sent_s: float | None
    heard_s: float | None


@dataclass(slots=True)
class Timeline:
    """What the printers draw."""

    title: Text
    began: datetime
    """The wall clock of second 0, as the first node had it."""
    begin_s: float
    """Second 0 on the common clock of the histories."""
    span_s: float
    nodes: tuple[str, ...]
    bars: list[Bar] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    beats: list[Beat] = field(default_factory=list)
    notes: list[Text] = field(default_factory=list)
    """Offsets of clocks, and what was left out."""

    @property
    def end_s(self) -> float:
        """The end on the common clock."""
        return self.begin_s + self.span_s

    def at_s(self, common_s: float) -> float:
        """A moment of the common clock on this line."""
        return common_s - self.begin_s

    def lanes(self) -> list[str]:
        """The lanes that hold something, from top to bottom."""
        used = {bar.lane for bar in self.bars} | {mark.lane for mark in self.marks}
        a, b = (*self.nodes, *self.nodes)[:2]
        order = ["story", f"node {a}", *_rows(used, f"services {a}")]
        if b != a:
            order += [f"link {a} {b}", f"link {b} {a}", f"node {b}", *_rows(used, f"services {b}")]
        order += [f"users {name}" for name in self.nodes]
        linked = {f"link {one.sender} {other(self.nodes, one.sender)}" for one in self.beats}
        return [lane for lane in order if lane in used | linked]


def other(names: Iterable[str], name: str) -> str:
    """The other node of a pair."""
    return next((one for one in names if one != name), name)


def _rows(used: Iterable[str], lane: str) -> list[str]:
    """The lane, and the rows of its own that it has."""
    return [lane, *sorted(one for one in used if one.startswith(f"{lane} / "))]
