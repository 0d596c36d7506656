"""The lane of the link: each heartbeat from its sending to its hearing, and the faults between."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from srmd.core.texts import Text
from srmd.lab.records import words
from srmd.lab.records.history import Histories
from srmd.lab.records.line import Bar, Beat, Timeline, other
from srmd.lab.records.reading import Record, has_seconds

BEATS_MAX = 20_000
"""Heartbeats drawn one by one; of more only the lost ones are."""
LINK: Final = re.compile(r"(heartbeats|control)_([ab])_to_([ab])$")
"""How the proxies of a lab end; see `lab.scenario.toxics`."""


def draw_beats(made: Timeline, nodes: Histories) -> None:
    """Every heartbeat that a node has noted."""
    if len(nodes.nodes) < 2:
        return
    for name, history in nodes.nodes.items():
        hearer = nodes.nodes[other(nodes.nodes, name)]
        noted_until_s = max((hearer.common_s(one.at_s) for one in hearer.beats), default=0.0)
        for flight in nodes.flights_from(name):
            sent_s = None if flight.sent_s is None else history.common_s(flight.sent_s)
            heard_s = None if flight.heard_s is None else hearer.common_s(flight.heard_s)
            either_s = sent_s if sent_s is not None else heard_s
            assert either_s is not None
            if not made.begin_s <= either_s <= made.end_s:
                continue
            if heard_s is None and either_s > noted_until_s:
                continue  # it may have been heard: that is not written down yet
            sent_s = None if sent_s is None else made.at_s(sent_s)
            heard_s = None if heard_s is None else made.at_s(heard_s)
            made.beats.append(Beat(name, flight.seq, sent_s, heard_s))
    if len(made.beats) > BEATS_MAX:
        lost = [one for one in made.beats if one.heard_s is None][:BEATS_MAX]
        made.notes.append(words.only_lost(len(made.beats), len(lost)))
        made.beats = lost


def draw_faults(made: Timeline, proxy: list[Record], nodes: Histories) -> None:
    """A window for each toxic, and for each time in which a proxy refused."""
    began_s = _began_s(proxy)
    if began_s is None:
        made.notes.append(words.no_begin(proxy[0].place.file))
        return
    to_line_s = made.at_s(began_s + _host_s(nodes, proxy[0]))
    faults = _Faults(made)
    for record in proxy:
        if has_seconds(record, "at_s"):
            faults.hear(record, float(record.fields["at_s"]) + to_line_s)
    faults.end_all(made.span_s)


class _Faults:
    """The faults that last, by proxy and toxic; a proxy that refuses has one without a name."""

    def __init__(self, made: Timeline) -> None:
        self._made = made
        self._open: dict[tuple[str, str], tuple[float, Text]] = {}

    def hear(self, record: Record, at_s: float) -> None:
        """What the proxies' server tells."""
        proxy = str(record.fields.get("proxy"))
        match record.event:
            case "toxic.added" | "toxic.changed":
                toxic = record.inner("toxic")
                name = str(toxic.get("name"))
                self._end((proxy, name), at_s)
                self._open[proxy, name] = (
                    at_s,
                    words.toxic(str(toxic.get("type")), _attributes(toxic)),
                )
            case "toxic.removed":
                self._end((proxy, str(record.fields.get("toxic"))), at_s)
            case "proxy.changed" | "proxy.created":
                shown = record.inner("proxy")
                name = str(shown.get("name"))
                if shown.get("enabled") is False:
                    self._open.setdefault((name, ""), (at_s, words.REFUSES))
                else:
                    self._end((name, ""), at_s)
            case "proxy.deleted":
                for key in [key for key in self._open if key[0] == record.fields.get("name")]:
                    self._end(key, at_s)
            case "proxies.reset":
                self.end_all(at_s)
            case _:
                pass

    def end_all(self, at_s: float) -> None:
        for key in list(self._open):
            self._end(key, at_s)

    def _end(self, key: tuple[str, str], at_s: float) -> None:
        if key not in self._open:
            return
        from_s, what = self._open.pop(key)
        link = LINK.search(key[0])
        if link is None:
            return  # not of a lab: nobody knows between which nodes it stands
        channel, sender, receiver = link.groups()
        text = words.fault(channel, what)
        lane = f"link {sender} {receiver}"
        same = [one for one in self._made.bars if (one.lane, one.text) == (lane, text)]
        for one in same:  # of the other stream of a connection: one fault for people
            if one.from_s <= at_s and from_s <= one.to_s:
                self._made.bars.remove(one)
                from_s, at_s = min(from_s, one.from_s), max(at_s, one.to_s)
        self._made.bars.append(Bar(lane, from_s, at_s, "fault", text, text, text))


def _began_s(proxy: list[Record]) -> float | None:
    for record in proxy:
        if record.event == "journal.began" and has_seconds(record, "mono_s"):
            return float(record.fields["mono_s"])
    return None


def _host_s(nodes: Histories, first: Record) -> float:
    """What to add to the proxy's clock to come to the common one: by the wall clocks, which are one
    clock where proxy and nodes share a host."""
    try:
        wall_s = datetime.fromisoformat(str(first.fields.get("wall"))).timestamp()
    except ValueError:
        return 0.0
    if not has_seconds(first, "mono_s", "at_s"):
        return 0.0
    at_s = float(first.fields["mono_s"]) + float(first.fields["at_s"])
    return wall_s - at_s - nodes.first.wall_minus_clock_s


def _attributes(toxic: Mapping[str, Any]) -> Mapping[str, Any]:
    attributes = toxic.get("attributes")
    return attributes if isinstance(attributes, Mapping) else {}
