"""What each node was and did, out of its journal and its log, on one common clock.

The journal is replayed, so that at every moment the whole node is known: its stage, whom it serves,
what it knew of its peer.  All moments are given on the clock of the first node; `Histories.wall`
turns one into the wall clock of that node, for people.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from srmd.core import handbook
from srmd.core.handbook import Match
from srmd.core.node import Node
from srmd.core.states import Contact, Reason, State
from srmd.core.texts import Text
from srmd.lab.records.clocks import Flight, Offset, flights, offset
from srmd.lab.records.reading import Item, Place, Record, Records, Unusable, has_seconds
from srmd.lab.records.replaying import Replay, Taken, replay
from srmd.wire.journal import About, Beats, Decided, Known

REBOOT_BACK_S = 1.0
"""A clock that goes back by so much was started anew: its host has booted."""
NODES_MAX = 2
MARGIN_S = 0.3
"""What is told before and after a play."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Point:
    """The node from one moment on."""

    at_s: float
    node: Node
    taken: Taken | None
    """The input that led here; None: SRM started with it, or a checkpoint."""
    boot: bool
    place: Place


@dataclass(slots=True)
class History:
    """One node."""

    name: str
    about: About
    replay: Replay
    points: list[Point]
    beats: list[Beats]
    """On the node's own clock, as `points` before `shifted`."""
    log: list[Record] = field(default_factory=list)
    wall_minus_clock_s: float = 0.0
    ahead_s: float = 0.0
    """By how much the node's clock is ahead of the common one."""
    left_out_count: int = 0
    """Lines from before a boot of the host."""

    def common_s(self, at_s: float) -> float:
        return at_s - self.ahead_s

    @property
    def first_s(self) -> float:
        return self.common_s(self.points[0].at_s)

    @property
    def last_s(self) -> float:
        """Of the last thing that the node has noted."""
        noted = [self.points[-1].at_s, *(one.at_s for one in self.beats[-1:])]
        noted += [float(record.fields["mono_s"]) for record in self.log[-1:]]
        return self.common_s(max(noted))

    def changes(self) -> list[Point]:
        """The points at which state or reason changed."""
        return [point for point in self.points if changed(point)]


@dataclass(slots=True)
class Histories:
    """All nodes of a pair, and how their clocks stand to each other."""

    nodes: dict[str, History]
    offsets: list[Offset]
    notes: list[Text]
    begin_s: float = 0.0
    """Of what is told: the play, if these are the records of one; else the first record."""
    end_s: float = 0.0

    @property
    def first(self) -> History:
        return next(iter(self.nodes.values()))

    def flights_from(self, name: str) -> list[Flight]:
        """The heartbeats of this node."""
        sender = self.nodes[name]
        heard_by = [one.beats for one in self.nodes.values() if one is not sender]
        return flights(name, sender.beats, [beats for beats_of in heard_by for beats in beats_of])

    def relative(self, common_s: float) -> str:
        """Seconds from the begin, as `--at` takes them."""
        return f"{common_s - self.begin_s:+.3f} s"

    def wall(self, common_s: float) -> datetime:
        moment_s = common_s + self.first.wall_minus_clock_s
        return datetime.fromtimestamp(0, UTC) + timedelta(seconds=moment_s)


def changed(point: Point) -> bool:
    taken = point.taken
    if taken is None:
        return False
    return (taken.before.state, taken.before.reason) != (point.node.state, point.node.reason)


def row_of(node: Node) -> Match:
    """The row of the handbook, as the node itself sees the pair."""
    return handbook.find((node.state, node.reason), seen_peer(node))


def seen_peer(node: Node) -> tuple[State, Reason] | None:
    if node.contact is not Contact.HEARD or node.peer is None:
        return None
    return node.peer.state, node.peer.reason


def histories(records: Records) -> Histories:
    """Raises Unusable when no journal can be used, or they are not of one pair and one play."""
    if len(records.plays) > 1:
        first = records.plays[0].place.file
        raise Unusable(f"{len(records.plays)} plays; name the file of one, such as {first}")
    found: dict[str, History] = {}
    notes: list[Text] = []
    for items in records.journals:
        history = _history(items, notes)
        if history is None:
            continue
        if history.name in found:
            notes.append(
                Text(
                    f"{history.replay.file}: a second journal of node {history.name}, left out",
                    f"{history.replay.file}: ノード {history.name} の 2 つ目のジャーナルのため省略",
                )
            )
            continue
        found[history.name] = history
    if not found:
        raise Unusable(
            "no journal that could be replayed; name journal.jsonl of a node's state_dir, the"
            " state_dir itself, or the folder of a play of `srmd lab run --journal DIR`"
        )
    if len(found) > NODES_MAX:
        names = ", ".join(sorted(found))
        raise Unusable(f"journals of {len(found)} nodes ({names}); name those of one pair")
    made = Histories(dict(sorted(found.items())), [], notes)
    for history in made.nodes.values():
        history.log, left_out = _newest(
            [one for one in records.logs if one.fields["node"] == history.name],
            lambda record: float(record.fields["mono_s"]),
        )
        if left_out:
            notes.append(
                Text(
                    f"log of {history.name}: {left_out} lines from before a boot of its host",
                    f"{history.name} のログ: ホストの起動より前の {left_out} 行を省略",
                )
            )
    _join(made)
    made.begin_s, made.end_s = _window(made, records)
    return made


def _window(made: Histories, records: Records) -> tuple[float, float]:
    """The play, if there is one; else from the first record to the last."""
    begin_s = min(history.first_s for history in made.nodes.values())
    end_s = max(history.last_s for history in made.nodes.values())
    if records.plays and has_seconds(records.plays[0], "began_s", "took_s"):
        fields = records.plays[0].fields
        began_s = float(fields["began_s"])
        ended_s = began_s + float(fields["took_s"])
        begin_s = max(begin_s, began_s - MARGIN_S)
        end_s = min(max(end_s, ended_s), ended_s + MARGIN_S)
    return begin_s, max(begin_s, end_s)


def _history(items: Sequence[Item], notes: list[Text]) -> History | None:
    newest, left_out = _newest(items, _moment_s)
    if left_out:
        where = items[0][0].file
        notes.append(
            Text(
                f"{where}: {left_out} lines from before a boot of the host are left out",
                f"{where}: ホストの起動より前の {left_out} 行を省略",
            )
        )
    played = replay(newest, keep=True)
    if played.about is None:
        if played.usable:
            notes.append(
                Text(
                    f"{played.file}: an old journal that does not say whose it is, left out",
                    f"{played.file}: ノード名のない古いジャーナルのため省略",
                )
            )
        return None
    inputs = {taken.place: taken for taken in played.taken}
    points = []
    for place, entry in newest:
        match entry:
            case Known():
                points.append(Point(entry.at_s, entry.node, None, entry.boot, place))
            case Decided() if place in inputs:
                taken = inputs[place]
                points.append(Point(entry.at_s, taken.step.node, taken, False, place))
            case _:
                pass
    beats = [entry for _, entry in newest if isinstance(entry, Beats)]
    walls = [
        (entry.at_s, entry.about)
        for _, entry in newest
        if isinstance(entry, Known) and entry.about is not None
    ]
    at_s, about = walls[-1]
    history = History(about.node, about, played, points, beats, left_out_count=left_out)
    history.wall_minus_clock_s = _seconds(about.wall) - at_s
    return history


def _moment_s(item: Item) -> float | None:
    entry = item[1]
    return entry.at_s if isinstance(entry, (Known, Decided, Beats)) else None


def _newest(lines: Sequence[T], moment_s: Callable[[T], float | None]) -> tuple[list[T], int]:
    """The lines since the host's clock was started last, and how many there were before."""
    begin, last_s = 0, -math.inf
    for number, line in enumerate(lines):
        at_s = moment_s(line)
        if at_s is None:
            continue
        if at_s < last_s - REBOOT_BACK_S:
            begin = number
        last_s = at_s
    return list(lines[begin:]), begin


def _join(made: Histories) -> None:
    """Find by how much the second clock is ahead of the first, which is the common one."""
    if len(made.nodes) < NODES_MAX:
        return
    first, second = made.nodes.values()
    found = offset(
        second.name,
        first.name,
        made.flights_from(first.name),
        made.flights_from(second.name),
    )
    if found is None:
        ahead_s = first.wall_minus_clock_s - second.wall_minus_clock_s
        found = Offset(second.name, first.name, ahead_s, None, 0)
    second.ahead_s = found.offset_s
    made.offsets.append(found)


def _seconds(wall: str) -> float:
    """Seconds since 1970; 0 for a text that is no moment."""
    try:
        return datetime.fromisoformat(wall).timestamp()
    except ValueError:
        return 0.0
