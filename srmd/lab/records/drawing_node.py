"""A node's lanes: its states, its services, and what its log tells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from srmd.core.rule_texts import told
from srmd.core.services import DATABASE_SERVICE, ServiceState
from srmd.core.states import Health
from srmd.core.texts import REASONS, Text, display, service_state
from srmd.lab.records import words
from srmd.lab.records.absence import Gone, absences
from srmd.lab.records.history import History, Point, changed, row_of
from srmd.lab.records.line import Bar, Mark, Timeline
from srmd.shown import written

LOGGED: Final = frozenset(
    {
        "alarm.srm_failed",
        "alarm.srm_failover",
        "command.accepted",
        "command.refused",
        "database.failed",
        "database.repaired",
        "failover.completed",
        "node.rebooting",
        "node.started",
        "node.stopped",
        "node.was_late",
        "order.failed",
        "peer.down",
        "peer.heard",
        "peer.left",
        "peer.mismatched",
        "promise.broken",
        "split_brain.detected",
        "srm.started",
        "srm.stopped",
        "users.moved",
        "users.unserved",
    }
)
"""Events of a node's log that are marks; those of services are bars, transitions come from the
journal."""
OF_THE_LOG: Final = frozenset({"ts", "mono_s", "level", "event", "node"})


def draw_states(made: Timeline, history: History) -> None:
    """A bar for each state and reason, and for each time without the node or its SRM."""
    lane = f"node {history.name}"
    gone = _gone(made, history)
    begun = [one for n, one in enumerate(history.points) if n == 0 or one.boot or changed(one)]
    ends = [made.at_s(history.common_s(one.at_s)) for one in begun[1:]] + [made.span_s]
    for point, end_s in zip(begun, ends, strict=True):
        at_s = made.at_s(history.common_s(point.at_s))
        _draw_state(
            made, history, point, min([end_s, *(o.from_s for o in gone if o.from_s >= at_s)])
        )
        if point.boot and point is not begun[0]:
            made.marks.append(Mark(lane, at_s, "start", words.SRM_STARTS, words.SRM_STARTS))
        if changed(point):
            made.marks.append(_transition(lane, point, at_s))
    made.bars += gone


def _gone(made: Timeline, history: History) -> list[Bar]:
    """A bar for each absence."""
    return [
        Bar(
            f"node {history.name}",
            made.at_s(one.from_s),
            made.at_s(one.to_s),
            one.gone.value,
            words.GONE[one.gone],
            words.GONE_TIP[one.gone],
            words.GONE_SHORT[one.gone],
        )
        for one in absences(history, made.end_s)
    ]


def _draw_state(made: Timeline, history: History, point: Point, to_s: float) -> None:
    node = point.node
    from_s = made.at_s(history.common_s(point.at_s))
    tip = words.state_tip(history.name, history.about.peer, node, _rule(point), to_s - from_s)
    half = (node.state, node.reason)
    text = Text(written(half, "en"), written(half, "ja"))
    lane, kind, short = f"node {history.name}", node.state.name.lower(), words.SHORT[node.state]
    made.bars.append(Bar(lane, from_s, to_s, kind, text, tip, short))


def _rule(point: Point) -> Text:
    """The decision and the event that led here."""
    taken = point.taken
    if taken is None:
        return words.STARTED_SO if point.boot else words.FOUND_SO
    return words.rule(taken.decision, told(taken.before, taken.step), taken.event)


def _transition(lane: str, point: Point, at_s: float) -> Mark:
    taken = point.taken
    assert taken is not None
    was, node = taken.before, point.node
    old = display(was.state, was.reason)
    new = display(node.state, node.reason)
    match = row_of(node)
    row, number = words.row_label(match), match.row.n or match.row.key
    rule = _rule(point)
    text = Text(
        f"{old.en} -> {new.en} / {REASONS[node.reason].en}",
        f"{old.ja} -> {new.ja} / {REASONS[node.reason].ja}",
    )
    tip = Text(
        f"{text.en}\nop {node.op}, {row.en}: {number}\n{rule.en}\n{point.place}",
        f"{text.ja}\nop {node.op}, {row.ja}: {number}\n{rule.ja}\n{point.place}",
    )
    return Mark(lane, at_s, "transition", text, tip)


def draw_services(made: Timeline, history: History) -> None:
    """What SRM saw of all critical services together, and each service that did not just run.

    Services end with their node; what SRM sees of them ends with SRM.
    """
    lane = f"services {history.name}"
    gone = _gone(made, history)
    offs = [bar for bar in gone if bar.kind != Gone.SRM.value]
    made.bars += [part for bar in _health_bars(made, history, lane) for part in _without(bar, gone)]
    for name, changes in service_changes(history).items():
        drawn = [(made.at_s(at_s), state) for at_s, state in changes]
        ends = [at_s for at_s, _ in drawn[1:]] + [made.span_s]
        of_service = [
            _service(lane, name, *_in_its_life(at_s, to_s, offs), state)
            for (at_s, state), to_s in zip(drawn, ends, strict=True)
        ]
        seen = [bar for bar in of_service if bar.within(made.span_s) is not None]
        if any(bar.text.en != ServiceState.STARTED.value for bar in seen):
            made.bars += seen


def _in_its_life(at_s: float, to_s: float, offs: list[Bar]) -> tuple[float, float]:
    """From a record to the next, at most until the node ends: its services end with it.

    A record while the node was off is of the start at its end.
    """
    from_s = max([at_s, *(off.to_s for off in offs if off.from_s <= at_s < off.to_s)])
    return from_s, min([to_s, *(off.from_s for off in offs if off.from_s > from_s)])


def _health_bars(made: Timeline, history: History, lane: str) -> list[Bar]:
    bars: list[Bar] = []
    since_s, known = 0.0, None
    for point in history.points:
        at_s = made.at_s(history.common_s(point.at_s))
        now = (point.node.health, point.node.lasting)
        if now != known:
            if known is not None:
                bars.append(_health(lane, since_s, at_s, known))
            since_s, known = at_s, now
    if known is not None:
        bars.append(_health(lane, since_s, made.span_s, known))
    return bars


def _without(bar: Bar, gone: list[Bar]) -> list[Bar]:
    """The parts of the bar that are not within these."""
    parts = [bar]
    for off in gone:
        parts = [
            piece
            for part in parts
            for piece in (
                replace(part, to_s=min(part.to_s, off.from_s)),
                replace(part, from_s=max(part.from_s, off.to_s)),
            )
            if piece.to_s > piece.from_s
        ]
    return parts


def _service(lane: str, name: str, from_s: float, to_s: float, state: str) -> Bar:
    text = service_state(state)
    tip = Text(f"{name}: {text.en}", f"{name}: {text.ja}")
    return Bar(f"{lane} / {name}", from_s, to_s, f"service_{state.lower()}", text, tip, text)


def _health(lane: str, from_s: float, to_s: float, known: tuple[Health, bool]) -> Bar:
    health, lasting = known
    text = words.HEALTH[health]
    tip = words.LASTING_TIP if lasting else text
    kind = f"health_{health.value}" + ("_lasting" if lasting else "")
    return Bar(lane, from_s, to_s, kind, text, tip, text)


def service_changes(history: History) -> dict[str, list[tuple[float, str]]]:
    """The states of each service by the log, on the common clock."""
    found: dict[str, list[tuple[float, str]]] = {}
    for record in history.log:
        at_s = history.common_s(float(record.fields["mono_s"]))
        match record.event:
            case "service.changed":
                name, state = str(record.fields.get("service")), str(record.fields.get("state"))
            case "database.failed":
                name, state = DATABASE_SERVICE, ServiceState.STOPPED.value
            case "database.repaired":
                name, state = DATABASE_SERVICE, ServiceState.STARTED.value
            case "node.started" if "database" in record.fields:
                name, state = DATABASE_SERVICE, str(record.fields["database"])
            case _:
                continue
        rows = found.setdefault(name, [])
        if not rows or rows[-1][1] != state:
            rows.append((at_s, state))
    return found


def draw_log(made: Timeline, history: History) -> None:
    for record in history.log:
        if record.event not in LOGGED:
            continue
        at_s = made.at_s(history.common_s(float(record.fields["mono_s"])))
        more = {key: value for key, value in record.fields.items() if key not in OF_THE_LOG}
        facts = "\n".join(f"{key} = {value}" for key, value in more.items() if value is not None)
        kind = f"log_{record.fields.get('level')}"
        if record.event.startswith(("alarm.", "command.")):
            kind = record.event.partition(".")[0]
        text = f"{record.event}{_first(more)}"
        tip = f"{record.event}\n{facts}\n{record.place}"
        made.marks.append(
            Mark(f"node {history.name}", at_s, kind, Text(text, text), Text(tip, tip))
        )


def _first(fields: Mapping[str, object]) -> str:
    """The facts that make a record recognisable in one line."""
    known = ("command", "target", "reason", "silent_s", "op", "to", "moved_count", "alarm", "error")
    said = [f"{key}={fields[key]}" for key in known if fields.get(key) is not None]
    return f"  {' '.join(said)}" if said else ""
