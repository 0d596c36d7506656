"""The time line for people and programs: text, JSON, and one HTML file that needs nothing else."""

from __future__ import annotations

import json
from dataclasses import asdict
from importlib.resources import files
from typing import Any, Final

from srmd.core.states import OWN_STATES
from srmd.core.texts import STATES, Language, Text
from srmd.lab.records import words
from srmd.lab.records.absence import Gone
from srmd.lab.records.line import Timeline
from srmd.terminal import columns_of, left_in, wrap, wrap_all

ABSENT: Final = frozenset(gone.value for gone in Gone)
BELOW: Final = " " * 14
"""Before a text that stands below its moment and lane."""
PAYLOAD = "/*PAYLOAD*/"
"""Where the page takes its figures."""


def as_plain(line: Timeline) -> dict[str, Any]:
    """All of it as plain values, with the lanes in their order."""
    return {
        "title": asdict(line.title),
        "began": line.began.isoformat(timespec="microseconds"),
        "span_s": line.span_s,
        "nodes": list(line.nodes),
        "lanes": line.lanes(),
        "notes": [asdict(note) for note in line.notes],
        "bars": [asdict(bar) for bar in line.bars],
        "marks": [asdict(mark) for mark in line.marks],
        "beats": [asdict(beat) for beat in line.beats],
    }


def as_json(line: Timeline) -> str:
    return json.dumps(as_plain(line), ensure_ascii=False, indent=1) + "\n"


def as_html(line: Timeline, language: Language | None = None) -> str:
    """A whole page: no address outside of it is named.  It opens in this language, or in that of
    the browser."""
    legend = [{"kind": state.name.lower(), "text": asdict(STATES[state])} for state in OWN_STATES]
    legend += [{"kind": gone.value, "text": asdict(text)} for gone, text in words.GONE.items()]
    linked = any(bar.lane.startswith("link ") for bar in line.bars)
    more = {"legend": legend, "linked": linked, "language": language}
    payload = json.dumps({**as_plain(line), **more}, ensure_ascii=False)
    page = files("srmd.lab.records").joinpath("page.html").read_text(encoding="utf-8")
    assert page.count(PAYLOAD) == 1, "the page has one place for its figures"
    # A text could hold `</script>`; JSON says the same with an escape.
    return page.replace(PAYLOAD, payload.replace("<", "\\u003c"))


def as_text(line: Timeline, language: Language, columns: int = 0) -> str:
    """The events in their order, one a line; what lost heartbeats there were, in runs.

    In so many columns, if any, a text that has no room beside its lane stands below it.
    """
    rows = [(mark.at_s, mark.lane, mark.text.say(language)) for mark in line.marks]
    rows += [
        (bar.from_s, bar.lane, f"{bar.text.say(language)} ({bar.to_s - bar.from_s:.3f} s)")
        for bar in line.bars
        if not bar.lane.startswith(("node ", "story")) or bar.kind in ABSENT
    ]
    rows += [(at_s, lane, said.say(language)) for at_s, lane, said in _lost(line)]
    lanes = {lane: words.lane(lane).say(language) for _, lane, _ in rows}
    head = [f"{line.title.say(language)}: {line.began.isoformat(timespec='milliseconds')}"]
    head += [f"  {note.say(language)}" for note in line.notes]
    width = max(map(columns_of, lanes.values()), default=0)
    body = []
    for at_s, lane, said in sorted(rows):
        begin = f"{at_s:+10.3f} s  {left_in(lanes[lane], width)}"
        if columns and columns_of(f"{begin}  {said}") > columns:
            body += wrap(begin.strip(), columns, indent=" ", further=BELOW)
            body += wrap(said, columns, indent=BELOW)
        else:
            body.append(f"{begin}  {said}")
    return "\n".join([wrap_all("\n".join(head), columns), *body]) + "\n"


def _lost(line: Timeline) -> list[tuple[float, str, Text]]:
    """Heartbeats that were not heard, those that follow each other as one."""
    rows: list[tuple[float, str, Text]] = []
    for sender in line.nodes:
        run: list[tuple[float, int]] = []
        beats = [beat for beat in line.beats if beat.sender == sender and beat.sent_s is not None]
        for beat in [*beats, None]:
            if beat is not None and beat.heard_s is None:
                assert beat.sent_s is not None
                run.append((beat.sent_s, beat.seq))
            elif run:
                what = f"seq {run[0][1]}" if len(run) == 1 else f"seq {run[0][1]}-{run[-1][1]}"
                said = words.lost(len(run), what, f"{run[-1][0]:+.3f} s")
                rows.append((run[0][0], f"beats of {sender}", said))
                run = []
    return rows
