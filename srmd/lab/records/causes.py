"""Why a node changed its state: link by link, back to what began it.

An answer to an order leads to the change that gave the order; a report of the peer to the change
that the peer reported, if its journal is there; everything else (silence, health, a request, a
start) is where a chain begins.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, time
from typing import Any

from srmd.core.events import (
    FailoverRequested,
    FallbackDue,
    FallbackRequested,
    HealthChanged,
    PeerDown,
    PeerHeard,
    PeerLeft,
    RecoverRequested,
    StayExpired,
)
from srmd.core.machine import ANSWERS
from srmd.core.node import Node
from srmd.core.rule_texts import told
from srmd.core.states import Health, State
from srmd.core.texts import Language, Text
from srmd.lab.records import words
from srmd.lab.records.history import Histories, History, Point, changed, row_of
from srmd.shown import written
from srmd.terminal import wrap_all

CHAIN_MAX = 12
BEATS_SHOWN = 3


class NotFound(Exception):
    """There is no such change; the message says which there are."""


@dataclass(frozen=True, slots=True)
class Row:
    """One thing to know of a change."""

    label: Text
    said: Text


@dataclass(frozen=True, slots=True)
class Link:
    """One change of the chain, with all that is known of it."""

    heading: Text
    rows: tuple[Row, ...]


# ---------------------------------------------------------------------------- which change


def find(
    nodes: Histories, *, node: str | None, op: int | None, at: str | None
) -> list[tuple[History, Point]]:
    """The changes that are asked for, at most one of each node.  Raises NotFound."""
    if node is not None and node not in nodes.nodes:
        raise NotFound(
            f"--node {node}: there is no journal of it, only of {', '.join(nodes.nodes)}"
        )
    asked = [one for one in nodes.nodes.values() if node in (None, one.name)]
    until_s = None if at is None else moment_s(nodes, at)
    found = []
    for history in asked:
        points = history.changes()
        if op is not None:
            points = [point for point in points if point.node.op == op]
        if until_s is not None:
            points = [point for point in points if history.common_s(point.at_s) <= until_s]
        if points:
            found.append((history, points[-1]))
    if not found:
        raise NotFound(_nothing(asked, op, at))
    if until_s is not None:  # the one change that was the last until then
        found.sort(key=lambda one: one[0].common_s(one[1].at_s))
        return found[-1:]
    return found


def _nothing(asked: Iterable[History], op: int | None, at: str | None) -> str:
    wanted = f"--op {op}" if op is not None else f"--at {at}" if at is not None else "no change"
    known = [
        f"{history.name}: op {', '.join(str(point.node.op) for point in history.changes()) or '-'}"
        for history in asked
    ]
    return f"{wanted}: there is no such change of state; these records have {'; '.join(known)}"


def moment_s(nodes: Histories, text: str) -> float:
    """The moment on the common clock.  Raises NotFound for a text that is none."""
    if text.startswith("+"):
        try:
            return nodes.begin_s + float(text)
        except ValueError:
            raise NotFound(_no_moment(text)) from None
    try:
        wall = datetime.fromisoformat(text)
    except ValueError:
        try:
            day = nodes.wall(nodes.begin_s).date()
            wall = datetime.combine(day, time.fromisoformat(text), UTC)
        except ValueError:
            raise NotFound(_no_moment(text)) from None
    if wall.tzinfo is None:
        wall = wall.replace(tzinfo=UTC)
    return wall.timestamp() - nodes.first.wall_minus_clock_s


def _no_moment(text: str) -> str:
    return (
        f"--at {text}: not a moment; write 2026-11-22T14:33:22.1 or 14:33:22.1 (UTC),"
        " or +1.5 for seconds from the begin"
    )


# ---------------------------------------------------------------------------- the chain


def explain(nodes: Histories, history: History, point: Point) -> list[Link]:
    """The change and what led to it, the change first."""
    links: list[Link] = []
    seen: set[tuple[str, int]] = set()
    here: tuple[History, Point] | None = (history, point)
    while here is not None and len(links) < CHAIN_MAX:
        seen.add((here[0].name, here[1].place.line))
        links.append(_link(nodes, *here))
        before = _before(nodes, *here)
        here = None if before is None or (before[0].name, before[1].place.line) in seen else before
    return links


def _before(nodes: Histories, history: History, point: Point) -> tuple[History, Point] | None:
    """What this came of; None: it began here, or its begin is not in the records."""
    taken = point.taken
    if taken is None:
        return None
    event = taken.event
    if isinstance(event, ANSWERS):
        ordered = [one for one in history.points if one.node.op == event.op and one.taken]
        return (history, ordered[0]) if ordered else None
    if isinstance(event, PeerHeard):
        peer = nodes.nodes.get(history.about.peer)
        if peer is None:
            return None
        told = event.report
        same = [
            one
            for one in peer.points
            if one.taken is not None
            and (one.node.state, one.node.op, one.node.stage) == (told.state, told.op, told.stage)
            and peer.common_s(one.at_s) <= history.common_s(point.at_s)
        ]
        # What the peer has been for long is no cause: then our own state made the difference.
        return (peer, same[0]) if same and _is_news(point, event) else None
    return None


def _is_news(point: Point, event: PeerHeard) -> bool:
    taken = point.taken
    assert taken is not None
    known = taken.before.peer
    told = event.report
    return known is None or (known.op, known.stage, known.state) != (
        told.op,
        told.stage,
        told.state,
    )


def _link(nodes: Histories, history: History, point: Point) -> Link:
    taken = point.taken
    at_s = history.common_s(point.at_s)
    node = point.node
    rows = [Row(words.WHEN, _moment(nodes, at_s))]
    if taken is None:
        rows.append(Row(words.BECAUSE, words.STARTED_SO))
        return Link(_heading(history, None, node), tuple(rows))
    rows.append(Row(words.BECAUSE, words.event(taken.event, history.about.peer)))
    rows.append(Row(words.RULE, words.rule(taken.decision, told(taken.before, taken.step))))
    if isinstance(taken.event, (PeerDown, PeerLeft)):
        rows += _silence(nodes, history, point)
    if isinstance(taken.event, HealthChanged):
        rows += _failure(nodes, history, point)
    if node.peer is not None:
        rows.append(Row(words.PEER_SAID, words.report(node.peer, history.about.peer)))
    if changed(point):
        match = row_of(node)
        me, peer = history.name, history.about.peer
        number = f"{match.row.n}" if match.row.n else match.row.key
        rows.append(Row(words.row_label(match), _same(number)))
        rows.append(Row(words.CAUSE, match.cause(me, peer)))
        rows.append(Row(words.ACTION, match.action(me, peer)))
    rows += [Row(words.PREVENTED, text) for text in _prevented(nodes, history, point)]
    rows.append(Row(words.RECORD, _same(str(point.place))))
    return Link(_heading(history, taken.before, node), tuple(rows))


def _heading(history: History, before: Node | None, node: Node) -> Text:
    def said(language: Language) -> str:
        now = written((node.state, node.reason), language)
        if before is None or (before.state, before.reason) == (node.state, node.reason):
            return f"{history.name}: {now}, {node.stage.value}, op {node.op}"
        was = written((before.state, before.reason), language)
        return f"{history.name}: {was} -> {now}, op {node.op}"

    return Text(said("en"), said("ja"))


# ---------------------------------------------------------------------------- silence


def _silence(nodes: Histories, history: History, point: Point) -> list[Row]:
    """The beats heard last, those that are missing, and the deadline."""
    peer = history.about.peer
    at_s = history.common_s(point.at_s)
    heard = _heard(history, point.at_s)
    rows = []
    if heard:
        last = "; ".join(
            f"seq {seq} {nodes.relative(heard_s)} (-{at_s - heard_s:.3f} s)"
            for seq, heard_s in heard[-BEATS_SHOWN:]
        )
        rows.append(Row(words.LAST_BEATS, _same(last)))
    else:
        rows.append(Row(words.LAST_BEATS, words.NONE_NOTED))
    if peer in nodes.nodes:
        after_s = heard[-1][1] if heard else -1.0
        missing = [
            one
            for one in nodes.flights_from(peer)
            if one.heard_s is None
            and one.sent_s is not None
            and after_s <= nodes.nodes[peer].common_s(one.sent_s) <= at_s
        ]
        rows.append(Row(words.MISSING, words.missing(peer, [one.seq for one in missing])))
    deadline = _deadline(history, point)
    if deadline is not None:
        last_s, timeout_s, name = deadline
        due_s = last_s + timeout_s
        rows.append(
            Row(
                words.DEADLINE, words.deadline(nodes.relative(due_s), name, timeout_s, at_s - due_s)
            )
        )
    return rows


def _heard(history: History, until_s: float) -> list[tuple[int, float]]:
    """(seq, common moment) of the beats heard until a moment of the node's own clock."""
    return sorted(
        (
            (one.seq, history.common_s(one.at_s))
            for beats in history.beats
            for one in beats.heard
            if one.at_s <= until_s
        ),
        key=lambda one: one[1],
    )


def _deadline(history: History, point: Point) -> tuple[float, float, str] | None:
    """(since when it was silent, the timeout, its name); None when the peer was never heard."""
    taken = point.taken
    assert taken is not None
    heard = _heard(history, point.at_s)
    if not isinstance(taken.event, PeerDown):
        return None
    timers = history.about.timers
    starts = [one.at_s for one in history.points if one.boot and one.at_s <= point.at_s]
    since_s = max([*(at_s for _, at_s in heard[-1:]), *map(history.common_s, starts[-1:])])
    if taken.before.state is State.INITIALIZING:
        name = "initialization_keep_alive_timeout_s"
        return since_s, timers.initialization_keep_alive_timeout_s, name
    return since_s, timers.keep_alive_timeout_s, "keep_alive_timeout_s"


# ---------------------------------------------------------------------------- health


def _failure(nodes: Histories, history: History, point: Point) -> list[Row]:
    """Since when the health is bad, and what the log tells of services."""
    since_s = _unwell_since_s(history, point)
    rows = []
    if since_s is not None:
        rows.append(Row(words.DOWN_SINCE, _same(nodes.relative(since_s))))
    services = []
    for record in history.log:
        at_s = history.common_s(float(record.fields["mono_s"]))
        if at_s > history.common_s(point.at_s):
            break
        if record.event in {"service.changed", "database.failed"}:
            name = record.fields.get("service", "database")
            state = record.fields.get("state", "failed")
            services.append(f"{name} {state} {nodes.relative(at_s)}")
    if services:
        rows.append(Row(words.SERVICES, _same("; ".join(services[-BEATS_SHOWN:]))))
    return rows


def _unwell_since_s(history: History, point: Point) -> float | None:
    since_s = None
    for one in history.points:
        if one.at_s > point.at_s:
            break
        if one.node.health is Health.OK:
            since_s = None
        elif since_s is None:
            since_s = history.common_s(one.at_s)
    return since_s


# ---------------------------------------------------------------------------- what if


def _prevented(nodes: Histories, history: History, point: Point) -> list[Text]:
    """What would have kept this from happening, where it began here."""
    taken = point.taken
    assert taken is not None
    peer = history.about.peer
    match taken.event:
        case PeerDown():
            return _heard_in_time(nodes, history, point)
        case PeerLeft():
            return [words.not_left(peer)]
        case HealthChanged(health, lasting) if health is not Health.OK and lasting:
            return _repaired_in_time(nodes, history, point)
        case FailoverRequested() | FallbackRequested() | RecoverRequested():
            return [words.NOT_ASKED]
        case StayExpired():
            return [words.longer_limit("transition_s", history.about.timers.transition_s)]
        case FallbackDue():
            return [words.NO_AUTOMATIC_FALLBACK]
        case _:
            return []


def _heard_in_time(nodes: Histories, history: History, point: Point) -> list[Text]:
    deadline = _deadline(history, point)
    if deadline is None:
        return []
    since_s, timeout_s, name = deadline
    due_s = since_s + timeout_s
    texts = [words.one_beat(history.about.peer, nodes.relative(due_s))]
    later = [
        history.common_s(one.at_s)
        for beats in history.beats
        for one in beats.heard
        if one.at_s > point.at_s
    ]
    if later:
        texts.append(words.longer_until_heard(name, min(later) - due_s, nodes.relative(min(later))))
    else:
        texts.append(words.never_again(name))
    return texts


def _repaired_in_time(nodes: Histories, history: History, point: Point) -> list[Text]:
    since_s = _unwell_since_s(history, point)
    if since_s is None:
        return []
    delay_s = history.about.timers.critical_service_delay_s
    due_s = since_s + delay_s
    texts = [words.repaired(nodes.relative(due_s), delay_s)]
    well = [
        history.common_s(one.at_s)
        for one in history.points
        if one.at_s > point.at_s and one.node.health is Health.OK
    ]
    if well:
        name = "critical_service_delay_s"
        texts.append(words.longer_until_well(name, min(well) - due_s, nodes.relative(min(well))))
    return texts


# ---------------------------------------------------------------------------- said


def as_text(chain: list[Link], language: Language, columns: int = 0) -> str:
    """For people: the change, then each cause further in; at most so many columns, if any."""
    lines = []
    for depth, link in enumerate(chain):
        if depth:
            lines.append(f"  {words.CAME_OF.say(language)}")
        lines.append(link.heading.say(language))
        for row in link.rows:
            first, *rest = row.said.say(language).splitlines() or [""]
            lines.append(f"  {row.label.say(language)}: {first}")
            lines += [f"      {line}" for line in rest]
    return wrap_all("\n".join(lines), columns) + "\n"


def as_plain(chain: list[Link], language: Language) -> list[dict[str, Any]]:
    """For programs."""
    return [
        {
            "change": link.heading.say(language),
            "facts": [
                {"what": row.label.say(language), "said": row.said.say(language)}
                for row in link.rows
            ],
        }
        for link in chain
    ]


def _moment(nodes: Histories, at_s: float) -> Text:
    wall = nodes.wall(at_s).isoformat(sep=" ", timespec="milliseconds")
    return _same(f"{wall} ({nodes.relative(at_s)})")


def _same(text: str) -> Text:
    return Text(text, text)
