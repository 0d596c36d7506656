"""The lane of the story: what a scenario did, and what it saw come of it."""

from __future__ import annotations

from collections.abc import Mapping

from srmd.core.texts import Text
from srmd.lab.records import words
from srmd.lab.records.line import Bar, Mark, Timeline
from srmd.lab.records.reading import Record, is_seconds
from srmd.lab.scenario.phrases import NotAVerb, verb
from srmd.lab.scenario.verbs import NETWORK_FAULTS


def draw_story(made: Timeline, told: Record) -> None:
    """What a scenario did, and what it saw come of it; its network faults last until it heals."""
    began_s = made.at_s(float(told.fields.get("began_s") or 0.0))
    entries = [one for one in told.fields["journal"] if isinstance(one, Mapping)]
    open_at: list[tuple[float, str]] = []
    for entry in entries:
        kind, said = str(entry.get("kind")), str(entry.get("text"))
        if not is_seconds(entry.get("at_s")) or kind == "seen":
            continue
        at_s = began_s + float(entry["at_s"])
        if kind in {"do", "while"} and _is_network_fault(said):
            open_at.append((at_s, said))
        if kind == "heal" or (kind == "do" and said.startswith("heal")):
            made.bars += [_fault(from_s, at_s, what) for from_s, what in open_at]
            open_at.clear()
        text, tip = words.story(kind, said)
        made.marks.append(Mark("story", at_s, f"story_{kind}", text, tip))


def _fault(from_s: float, to_s: float, what: str) -> Bar:
    text = Text(what, what)
    return Bar("story", from_s, to_s, "fault", text, text, text)


def _is_network_fault(said: str) -> bool:
    try:
        return isinstance(verb(said), NETWORK_FAULTS)
    except NotAVerb:
        return False
