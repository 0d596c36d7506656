"""The journal of a node: the inputs of its machine as JSON, so that a run can be replayed.

One object a line.  All moments are monotonic seconds of the host that writes.

    {"at_s", "boot": NODE, "about": ABOUT}      SRM starts with this node; what follows begins here
    {"at_s", "node": NODE, "about": ABOUT}      the node as it is now, now and then: where a file
                                                that was rotated can be taken up
    {"at_s", "event": EVENT, "then": [STATE, REASON, OP]}   an input, and what came of it
    {"at_s", "beats": {"incarnation": N,        heartbeats of the last moments, many in a line: what
        "sent": [[SEQ, AT_S]],                  this incarnation sent, and what it heard
        "heard": [[INCARNATION, SEQ, AT_S]]}}
    {"dropped": COUNT}                          lines that were lost here

ABOUT names the node, its peer and its timers, and has the wall clock of `at_s`, for people.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Annotated, Any, Union, cast

from srmd.core.events import Event
from srmd.core.node import Node
from srmd.core.states import Reason, State
from srmd.wire.codec import MalformedMessage, Span, codec

BEATS_MAX = 1000
"""Of one line, in each direction."""


@dataclass(frozen=True, slots=True)
class Timers:
    """The timers by which the node decides, in seconds."""

    keep_alive_interval_s: float
    keep_alive_timeout_s: float
    initialization_keep_alive_timeout_s: float
    critical_service_delay_s: float
    transition_s: float
    automatic_fallback_wait_s: float


@dataclass(frozen=True, slots=True)
class About:
    """Who writes, and by which timers it decides."""

    node: str
    peer: str
    boot_id: str
    incarnation: int
    wall: str
    """The wall clock at `at_s`, ISO 8601 in UTC; for people, it decides nothing."""
    timers: Timers
    version: str | None = None
    """Of srmd; None in journals that were written before it was."""


@dataclass(frozen=True, slots=True)
class Known:
    """The node as it was at a moment."""

    at_s: float
    node: Node
    boot: bool
    """SRM starts here; False: a checkpoint, and the node goes on."""
    about: About | None
    """None in journals that were written before it was."""


@dataclass(frozen=True, slots=True)
class Decided:
    """An input, and what the machine made of it."""

    at_s: float
    event: Event
    state: State
    reason: Reason
    op: int


@dataclass(frozen=True, slots=True)
class Sent:
    seq: int
    at_s: float


@dataclass(frozen=True, slots=True)
class Heard:
    incarnation: int
    seq: int
    at_s: float


@dataclass(frozen=True, slots=True)
class Beats:
    """Heartbeats that were sent, by this incarnation, and heard since the line before."""

    at_s: float
    incarnation: int
    sent: tuple[Sent, ...]
    heard: tuple[Heard, ...]


@dataclass(frozen=True, slots=True)
class Dropped:
    """Lines are missing here."""

    count: int


Entry = Union[Known, Decided, Beats, Dropped]


def event_to_json(event: Event) -> dict[str, object]:
    """A plain JSON object; its key `type` names the event."""
    return cast("dict[str, object]", codec(Event).write(event))


def event_from_json(raw: object) -> Event:
    """The event again.  Raises MalformedMessage that names the field."""
    return cast("Event", codec(Event).read(raw))


def node_to_json(node: Node) -> dict[str, object]:
    """A plain JSON object with all fields of the node."""
    return cast("dict[str, object]", codec(Node).write(node))


def node_from_json(raw: object) -> Node:
    """The node again.  Raises MalformedMessage that names the field."""
    if isinstance(raw, dict):  # journals that were written before it was lack it
        raw = {"placed_op": 0, **raw}
    return cast("Node", codec(Node).read(raw))


def entry_to_json(entry: Entry) -> dict[str, object]:
    """What a line of the journal holds."""
    match entry:
        case Known(at_s, node, boot, about):
            line: dict[str, object] = {"at_s": at_s, "boot" if boot else "node": node_to_json(node)}
            return line if about is None else {**line, "about": asdict(about)}
        case Decided(at_s, event, state, reason, op):
            then = [state.name, reason.value, op]
            return {"at_s": at_s, "event": event_to_json(event), "then": then}
        case Beats(at_s, incarnation, sent, heard):
            beats = {
                "incarnation": incarnation,
                "sent": [[one.seq, _brief(one.at_s)] for one in sent],
                "heard": [[one.incarnation, one.seq, _brief(one.at_s)] for one in heard],
            }
            return {"at_s": at_s, "beats": beats}
        case Dropped(count):
            return {"dropped": count}


def is_entry(raw: object) -> bool:
    """It looks like a line of a journal, whether or not it can be read."""
    if not isinstance(raw, dict):
        return False
    whole = isinstance(raw.get("node"), dict)  # a log names its node there
    return whole or not {"boot", "then", "beats"}.isdisjoint(raw) or set(raw) == {"dropped"}


def entry_from_json(raw: object) -> Entry:
    """The entry again.  Raises MalformedMessage that names the field."""
    line = _object(raw, "")
    if set(line) == {"dropped"}:
        return Dropped(_whole(line["dropped"], "dropped"))
    at_s = _seconds(line.get("at_s"), "at_s")
    for key in ("boot", "node"):
        if key in line:
            about = _about(line["about"]) if "about" in line else None
            return Known(at_s, _inside(key, node_from_json, line[key]), key == "boot", about)
    if "beats" in line:
        return _beats(at_s, _object(line["beats"], "beats"))
    if "event" in line:
        event = _inside("event", event_from_json, line["event"])
        return Decided(at_s, event, *_then(line.get("then")))
    raise MalformedMessage("none of boot, node, event, beats, dropped")


# ---------------------------------------------------------------------------- the parts of a line


def _then(raw: object) -> tuple[State, Reason, int]:
    if not isinstance(raw, list) or len(raw) != 3:
        raise MalformedMessage("not [STATE, REASON, OP]", "then")
    name, reason, op = raw
    if not isinstance(name, str) or name not in State.__members__:
        raise MalformedMessage(f"{name!r} is no state", "then[0]")
    if not isinstance(reason, str) or reason not in {one.value for one in Reason}:
        raise MalformedMessage(f"{reason!r} is no reason", "then[1]")
    return State[name], Reason(reason), _whole(op, "then[2]")


def _about(raw: object) -> About:
    line = _object(raw, "about")
    timers = _object(line.get("timers"), "about.timers")
    known = {field.name: timers.get(field.name) for field in fields(Timers)}
    texts = [_text(line.get(key), f"about.{key}") for key in ("node", "peer", "boot_id", "wall")]
    node, peer, boot_id, wall = texts
    return About(
        node,
        peer,
        boot_id,
        _whole(line.get("incarnation"), "about.incarnation"),
        wall,
        Timers(**{name: _seconds(value, f"about.timers.{name}") for name, value in known.items()}),
        None if line.get("version") is None else _text(line["version"], "about.version"),
    )


def _beats(at_s: float, line: Mapping[str, Any]) -> Beats:
    sent = [_row(row, 2, f"beats.sent[{n}]") for n, row in enumerate(_rows(line, "sent"))]
    heard = [_row(row, 3, f"beats.heard[{n}]") for n, row in enumerate(_rows(line, "heard"))]
    return Beats(
        at_s,
        _whole(line.get("incarnation"), "beats.incarnation"),
        tuple(Sent(int(seq), sent_s) for seq, sent_s in sent),
        tuple(Heard(int(of), int(seq), heard_s) for of, seq, heard_s in heard),
    )


def _rows(line: Mapping[str, Any], key: str) -> list[object]:
    rows = line.get(key)
    if not isinstance(rows, list) or len(rows) > BEATS_MAX:
        raise MalformedMessage(f"not a list of at most {BEATS_MAX}", f"beats.{key}")
    return rows


def _row(raw: object, size: int, where: str) -> list[float]:
    if not isinstance(raw, list) or len(raw) != size:
        raise MalformedMessage(f"not a list of {size}", where)
    return [*(_whole(value, where) for value in raw[:-1]), _seconds(raw[-1], where)]


def _brief(at_s: float) -> float:
    return round(at_s, 6)


def _object(raw: object, where: str) -> dict[str, Any]:
    if not isinstance(raw, dict):
        raise MalformedMessage("not an object", where)
    return raw


def _whole(raw: object, where: str) -> int:
    return cast("int", _inside(where, codec(Annotated[int, Span(0, 2**63 - 1)]).read, raw))


def _text(raw: object, where: str) -> str:
    return cast("str", _inside(where, codec(str).read, raw))


def _seconds(raw: object, where: str) -> float:
    if isinstance(raw, bool) or not isinstance(raw, (int, float)) or not math.isfinite(raw):
        raise MalformedMessage("not a number of seconds", where)
    return float(raw)


def _inside(where: str, read: Any, raw: object) -> Any:
    try:
        return read(raw)
    except MalformedMessage as bad:
        raise bad.inside(where) from None
