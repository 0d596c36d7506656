"""Everything that was written down, on one time line."""

from __future__ import annotations

from collections.abc import Mapping

from srmd.core.texts import Text
from srmd.lab.records import words
from srmd.lab.records.drawing_link import draw_beats, draw_faults
from srmd.lab.records.drawing_node import draw_log, draw_services, draw_states
from srmd.lab.records.drawing_play import draw_story
from srmd.lab.records.drawing_users import draw_users
from srmd.lab.records.history import Histories, histories
from srmd.lab.records.line import Timeline
from srmd.lab.records.reading import Record, Records

MARKS_MAX = 20_000


def timeline(records: Records) -> Timeline:
    """Raises Unusable, also when the records are of several plays."""
    nodes = histories(records)
    told = records.plays[0] if records.plays else None
    made = Timeline(
        title=_title(told, nodes),
        began=nodes.wall(nodes.begin_s),
        begin_s=nodes.begin_s,
        span_s=nodes.end_s - nodes.begin_s,
        nodes=tuple(nodes.nodes),
        notes=[*(one.told() for one in nodes.offsets), *nodes.notes],
    )
    for history in nodes.nodes.values():
        draw_states(made, history)
        draw_services(made, history)
        draw_log(made, history)
        if history.replay.disagreement is not None:
            wrong = history.replay.disagreement
            made.notes.append(words.disagrees(str(wrong.place)))
    draw_users(made, nodes)
    draw_beats(made, nodes)
    for proxy in records.proxies:
        draw_faults(made, proxy, nodes)
    if told is not None:
        draw_story(made, told)
    made.bars = [bar for one in made.bars if (bar := one.within(made.span_s)) is not None]
    made.marks = sorted(
        (one for one in made.marks if 0 <= one.at_s <= made.span_s), key=lambda one: one.at_s
    )
    if len(made.marks) > MARKS_MAX:
        made.notes.append(words.left_out(len(made.marks) - MARKS_MAX))
        del made.marks[MARKS_MAX:]
    return made


def _title(told: Record | None, nodes: Histories) -> Text:
    if told is None:
        names = " and ".join(nodes.nodes)
        return Text(f"srmd: node {names}", f"srmd: ノード {'、'.join(nodes.nodes)}")
    title = told.fields.get("title")
    name = str(told.fields.get("name"))
    if isinstance(title, Mapping):
        return Text(str(title.get("en", name)), str(title.get("ja", name)))
    return Text(name, name)
