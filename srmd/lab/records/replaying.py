"""A journal fed through the machine again: the first input on which log and machine disagree.

Where lines are missing nobody knows what they would have done, so the replay waits for the next
line that holds the whole node: a start of SRM, or one of the checkpoints.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from srmd.core.events import Event
from srmd.core.machine import Step
from srmd.core.node import Node
from srmd.core.states import Reason, State
from srmd.core.transitions import TABLE, step
from srmd.lab.records.reading import Gap, Item, Place
from srmd.wire.journal import About, Beats, Decided, Dropped, Entry, Known

Then = tuple[State, Reason, int]


@dataclass(frozen=True, slots=True)
class Taken:
    """One input, replayed."""

    place: Place
    at_s: float
    before: Node
    event: Event
    step: Step
    decision: str
    """The name of the rule's function."""


@dataclass(frozen=True, slots=True)
class Disagreement:
    """The journal says that something else came of an input than the machine makes of it."""

    place: Place
    what: str
    """The event, or that it was a checkpoint."""
    before: Node
    expected: str
    """By the journal."""
    found: str
    """By the machine."""
    decision: str
    why: str

    def as_text(self) -> str:
        was = self.before
        lines = [
            f"{self.place}: the first record where they disagree",
            f"  event     {self.what}",
            f"  before    {_said((was.state, was.reason, was.op))}, peer {was.contact.value}",
            f"  expected  {self.expected}  (by the log)",
            f"  found     {self.found}  (by the machine)",
        ]
        return "\n".join([*lines, f"  rule      {self.decision}: {self.why}"][: 5 + bool(self.why)])

    def as_plain(self) -> dict[str, object]:
        was = self.before
        return {
            "file": self.place.file,
            "line": self.place.line,
            "event": self.what,
            "before": _said((was.state, was.reason, was.op)),
            "expected": self.expected,
            "found": self.found,
            "decision": self.decision or None,
            "why": self.why or None,
        }


@dataclass(slots=True)
class Replay:
    """What a replay met."""

    file: str
    about: About | None = None
    inputs_count: int = 0
    starts_count: int = 0
    checkpoints_count: int = 0
    skipped_count: int = 0
    """Inputs before the first line with a node, or behind a gap."""
    gaps_count: int = 0
    disagreement: Disagreement | None = None
    taken: list[Taken] = field(default_factory=list)
    """All inputs, if they were to be kept."""

    @property
    def usable(self) -> bool:
        return self.inputs_count > 0

    def as_text(self) -> str:
        """For people: one line, and more where something is wrong."""
        who = f"node {self.about.node}: " if self.about is not None else ""
        verdict = "log and machine agree" if self.disagreement is None else "they disagree"
        lines = [
            f"{self.file}: {who}{self.inputs_count} inputs, {self.starts_count} starts of SRM,"
            f" {self.checkpoints_count} checkpoints: {verdict}"
        ]
        if self.skipped_count:
            lines.append(
                f"  {self.skipped_count} inputs could not be replayed: they stand before the first"
                f" start or checkpoint, or behind one of {self.gaps_count} gaps"
            )
        if self.disagreement is not None:
            lines.append(self.disagreement.as_text())
        return "\n".join(lines)

    def as_plain(self) -> dict[str, object]:
        """For programs."""
        wrong = self.disagreement
        return {
            "file": self.file,
            "node": None if self.about is None else self.about.node,
            "inputs_count": self.inputs_count,
            "starts_count": self.starts_count,
            "checkpoints_count": self.checkpoints_count,
            "skipped_count": self.skipped_count,
            "gaps_count": self.gaps_count,
            "disagreement": None if wrong is None else wrong.as_plain(),
        }


def replay(items: Iterable[Item], *, keep: bool = False) -> Replay:
    """Up to the first disagreement; `keep`: with every input, and beyond disagreements."""
    found = Replay("")
    node: Node | None = None
    for place, entry in items:
        found.file = found.file or place.file
        match entry:
            case Gap() | Dropped():
                found.gaps_count += 1
                node = None
            case Known():
                found.about = entry.about or found.about
                found.starts_count += entry.boot
                found.checkpoints_count += not entry.boot
                if node is not None and not entry.boot and node != entry.node:
                    _note(found, _checkpoint(place, node, entry.node))
                node = entry.node
            case Decided() if node is None:
                found.skipped_count += 1
            case Decided():
                assert node is not None
                node = _take(found, place, node, entry, keep)
            case Beats():
                pass
        if found.disagreement is not None and not keep:
            break
    return found


def _take(found: Replay, place: Place, before: Node, entry: Decided, keep: bool) -> Node | None:
    found.inputs_count += 1
    decision = decision_of(before, entry.event)
    wanted = (entry.state, entry.reason, entry.op)
    try:
        result = step(before, entry.event)
    except AssertionError as refused:  # no live machine can have met this
        said = f"the machine cannot take it: {refused}"
        event = str(entry.event)
        _note(found, Disagreement(place, event, before, _said(wanted), said, decision, ""))
        return None
    if keep:
        found.taken.append(Taken(place, entry.at_s, before, entry.event, result, decision))
    after = result.node
    if (after.state, after.reason, after.op) == wanted:
        return after
    said = _said((after.state, after.reason, after.op))
    event = str(entry.event)
    _note(found, Disagreement(place, event, before, _said(wanted), said, decision, result.why))
    return None  # what the live node was is not known from here on


def decision_of(node: Node, event: Event) -> str:
    """The rule's function that answers this event in this state."""
    return TABLE.cells[node.state, type(event)].name


def _note(found: Replay, disagreement: Disagreement) -> None:
    if found.disagreement is None:
        found.disagreement = disagreement


def _checkpoint(place: Place, node: Node, written: Node) -> Disagreement:
    pairs = [
        (name, getattr(written, name), getattr(node, name)) for name in Node.__dataclass_fields__
    ]
    other = [(name, log, machine) for name, log, machine in pairs if log != machine]
    return Disagreement(
        place,
        "a checkpoint",
        node,
        ", ".join(f"{name}={log}" for name, log, _ in other),
        ", ".join(f"{name}={machine}" for name, _, machine in other),
        "",
        "",
    )


def _said(then: Then) -> str:
    state, reason, op = then
    return f"{state.name} / {reason.value}, op {op}"


def entries(items: Iterable[Item]) -> Iterator[Entry]:
    """Without what cannot be read."""
    for _, entry in items:
        if not isinstance(entry, Gap):
            yield entry
