"""The network between two nodes: four directed links, and the toxics of the fault proxy on them.

Heartbeats go through the pipelines of the UDP proxy.  A control call is a connection of its own
whose two directions go through the links of the TCP proxy.  Their order, their chance and their
delays are therefore the fault proxy's own; only the sockets are missing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from random import Random
from typing import Final

from srmd.lab.faultproxy.catalogue import Protocol, toxic_for
from srmd.lab.faultproxy.datagrams import DatagramToxic, DropNext
from srmd.lab.faultproxy.link import Link as Stream
from srmd.lab.faultproxy.pipeline import Pipeline, Placed
from srmd.lab.faultproxy.seeds import substream
from srmd.lab.faultproxy.streams import Ending, StreamToxic
from srmd.lab.scenario.toxics import DOWNSTREAM, LINKS, UPSTREAM, Harm, Link, harms, healed_by
from srmd.lab.scenario.verbs import Channel, Heal, NetworkFault
from srmd.lab.simulated.flows import Outcome, WorkFailed
from srmd.lab.simulated.moments import Alarm, Moments, Rank
from srmd.node.calling import Answer, Request

CONNECTIONS_MAX: Final = 1024
"""Calls under way in one direction; further ones are refused.  As the fault proxy."""


class Broken(WorkFailed):
    """A control call found no answer."""


Serve = Callable[[Request, Outcome[Answer]], None]
"""Takes a request and answers it, some time or never.  Raises Broken when nobody listens."""


class Network:
    """All four links.  Whoever listens sets `receivers` and `servers` before anything is sent."""

    def __init__(self, moments: Moments, seed: int, latency_s: float) -> None:
        self.beats = {
            link.direction: BeatLink(moments, seed, link.name, latency_s)
            for link in LINKS
            if link.channel is Channel.HEARTBEATS
        }
        self.calls = {
            link.direction: CallLink(moments, seed, link.name, latency_s)
            for link in LINKS
            if link.channel is Channel.CONTROL
        }

    def do(self, fault: NetworkFault, timers: Mapping[str, float]) -> None:
        for harm in harms(fault, timers):
            self._of(harm.link).harm(harm)

    def lift(self, fault: NetworkFault, timers: Mapping[str, float]) -> None:
        """Take this one fault away again."""
        for harm in harms(fault, timers):
            self._of(harm.link).lift(harm)

    def heal(self, heal: Heal | None = None) -> None:
        """Take all faults of these links away.  None: of all links."""
        for link in LINKS if heal is None else healed_by(heal):
            self._of(link).heal()

    def left_to_drop(self, fault: NetworkFault, timers: Mapping[str, float]) -> int:
        """Heartbeats that `drop next` has still to drop."""
        return sum(
            self.beats[harm.link.direction].left_to_drop(harm.name) for harm in harms(fault, timers)
        )

    def _of(self, link: Link) -> BeatLink | CallLink:
        beats = link.channel is Channel.HEARTBEATS
        return self.beats[link.direction] if beats else self.calls[link.direction]


class BeatLink:
    """Heartbeats of one node to the other."""

    def __init__(self, moments: Moments, seed: int, name: str, latency_s: float) -> None:
        self.pipeline = Pipeline()
        self.receive: Callable[[bytes], None] = _nobody
        """Whoever listens at the end."""
        self._moments = moments
        self._seed, self._name = seed, name
        self._latency_s = latency_s
        self._names: list[str] = []
        self._refuses = False
        self._alarm = Alarm(moments, Rank.ARRIVAL, self._release)

    def send(self, payload: bytes) -> None:
        if self._refuses:
            return
        now_s = self._moments.now_s
        self._carry(datagram.payload for datagram in self.pipeline.admit(now_s, payload))

    def harm(self, harm: Harm) -> None:
        if harm.refuses:
            self._refuses = True
            return
        self.lift(harm)
        toxic = toxic_for(Protocol.UDP, harm.toxic, strict=True)
        assert isinstance(toxic, DatagramToxic), harm
        toxic.change(harm.attributes, strict=True)
        rng = substream(self._seed, self._name, harm.stream, harm.name)
        self.pipeline.add(self._moments.now_s, Placed(harm.name, toxic, 1.0, rng))
        self._names.append(harm.name)

    def lift(self, harm: Harm) -> None:
        if harm.refuses:
            self._refuses = False
        elif harm.name in self._names:
            self._remove(harm.name)

    def heal(self) -> None:
        self._refuses = False
        for name in tuple(self._names):
            self._remove(name)

    def left_to_drop(self, name: str) -> int:
        if name not in self._names:
            return 0
        toxic = self.pipeline.placed(name).toxic
        return toxic.count if isinstance(toxic, DropNext) else 0

    def _remove(self, name: str) -> None:
        self._names.remove(name)
        freed = self.pipeline.remove(self._moments.now_s, name)
        self._carry(datagram.payload for datagram in freed)

    def _release(self) -> None:
        due = self.pipeline.take_due(self._moments.now_s)
        self._carry(datagram.payload for datagram in due)

    def _carry(self, payloads: Iterable[bytes]) -> None:
        at_s = self._moments.now_s + self._latency_s
        for payload in payloads:
            self._moments.at(at_s, Rank.ARRIVAL, lambda data=payload: self.receive(data))  # type: ignore[misc]  # a default is how a loop binds
        due_s = self.pipeline.next_due_s
        if due_s is not None:
            self._alarm.set(due_s)


class CallLink:
    """Control calls of one node to the other, and their answers."""

    def __init__(self, moments: Moments, seed: int, name: str, latency_s: float) -> None:
        self.serve: Serve = _refuse
        """Whoever listens at the end."""
        self._moments = moments
        self._seed, self._name = seed, name
        self._latency_s = latency_s
        self._toxics: dict[tuple[str, str], StreamToxic] = {}
        """By stream and name."""
        self._connections: dict[int, Connection] = {}
        self._connected = 0
        self._refuses = False

    def call(self, request: Request) -> Outcome[Answer]:
        """The answer, when it comes; fails with Broken when the connection does."""
        outcome: Outcome[Answer] = Outcome()
        at_s = self._moments.now_s + self._latency_s
        if self._refuses or len(self._connections) >= CONNECTIONS_MAX:
            refusal = Broken("connection refused")
            self._moments.at(at_s, Rank.ARRIVAL, lambda: outcome.fail(refusal))
            return outcome
        self._connected += 1
        number = self._connected
        connection = Connection(self._moments, self._latency_s, request, outcome, self._serve)
        self._connections[number] = connection
        outcome.then(lambda: self._forget(number))
        for (stream, name), toxic in self._toxics.items():
            connection.add(stream, name, toxic, self._rng(stream, name, number))
        connection.begin()
        return outcome

    def harm(self, harm: Harm) -> None:
        if harm.refuses:
            self._refuses = True
            for connection in tuple(self._connections.values()):
                connection.close("the connection was closed")
            return
        self.lift(harm)
        toxic = toxic_for(Protocol.TCP, harm.toxic, strict=True)
        assert isinstance(toxic, StreamToxic), harm
        toxic.change(harm.attributes, strict=True)
        self._toxics[harm.stream, harm.name] = toxic
        for number, connection in tuple(self._connections.items()):
            rng = self._rng(harm.stream, harm.name, number)
            connection.add(harm.stream, harm.name, toxic, rng)

    def lift(self, harm: Harm) -> None:
        if harm.refuses:
            self._refuses = False
        elif self._toxics.pop((harm.stream, harm.name), None) is not None:
            for connection in tuple(self._connections.values()):
                connection.remove(harm.stream, harm.name)

    def heal(self) -> None:
        self._refuses = False
        for stream, name in tuple(self._toxics):
            del self._toxics[stream, name]
            for connection in tuple(self._connections.values()):
                connection.remove(stream, name)

    def _forget(self, number: int) -> None:
        del self._connections[number]

    def _serve(self, request: Request, answer: Outcome[Answer]) -> None:
        self.serve(request, answer)

    def _rng(self, stream: str, name: str, number: int) -> Random:
        return substream(self._seed, self._name, stream, name, number)


class Connection:
    """One call: a request one way, an answer the other way."""

    def __init__(
        self,
        moments: Moments,
        latency_s: float,
        request: Request,
        outcome: Outcome[Answer],
        serve: Serve,
    ) -> None:
        self._moments = moments
        self._latency_s = latency_s
        self._request = request
        self._outcome = outcome
        self._serve = serve
        self._ways = {UPSTREAM: _Way(), DOWNSTREAM: _Way()}
        self._alarms = {
            stream: Alarm(moments, Rank.ARRIVAL, lambda stream=stream: self._pump(stream))  # type: ignore[misc]  # a default is how a loop binds
            for stream in self._ways
        }
        self._answered: Outcome[Answer] = Outcome()

    def begin(self) -> None:
        self._send(
            UPSTREAM, _as_http(self._request.path, self._request.headers, self._request.body)
        )

    def add(self, stream: str, name: str, toxic: StreamToxic, rng: Random) -> None:
        self._ways[stream].link.add(self._moments.now_s, name, toxic, 1.0, rng)
        self._pump(stream)

    def remove(self, stream: str, name: str) -> None:
        self._ways[stream].link.remove(self._moments.now_s, name)
        self._pump(stream)

    def close(self, why: str) -> None:
        """Torn down: whoever waits for the answer hears of it."""
        self._outcome.fail(Broken(why))

    def _send(self, stream: str, data: bytes) -> None:
        way = self._ways[stream]
        way.missing_bytes = len(data)
        way.link.feed(self._moments.now_s, data)
        self._pump(stream)

    def _pump(self, stream: str) -> None:
        if self._outcome.done:
            return None
        way = self._ways[stream]
        for piece in way.link.advance(self._moments.now_s):
            if isinstance(piece, Ending):
                return self.close(f"connection {piece.value}")
            way.missing_bytes -= len(piece)
            if way.missing_bytes == 0:
                arrive = self._request_arrives if stream == UPSTREAM else self._answer_arrives
                self._moments.at(self._moments.now_s + self._latency_s, Rank.ARRIVAL, arrive)
        due_s = way.link.next_due_s
        if due_s is not None:
            self._alarms[stream].set(due_s)
        return None

    def _request_arrives(self) -> None:
        if self._outcome.done:
            return
        self._answered.then(self._send_answer)
        try:
            self._serve(self._request, self._answered)
        except Broken as broken:
            self.close(str(broken))

    def _send_answer(self) -> None:
        try:
            answer = self._answered.result()
        except Broken as broken:
            return self.close(str(broken))
        return self._send(DOWNSTREAM, _as_http(str(answer.status), answer.headers, answer.body))

    def _answer_arrives(self) -> None:
        self._outcome.succeed(self._answered.result())


class _Way:
    """One direction of a connection."""

    def __init__(self) -> None:
        self.link = Stream()
        self.missing_bytes = -1
        """What has still to come out of it; below 0 nothing was fed."""


def _as_http(first: str, headers: Mapping[str, str], body: bytes) -> bytes:
    """About as long as it is on the wire, since some toxics count bytes."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"{first} HTTP/1.1\r\n{lines}\r\n".encode() + body


def _nobody(_data: bytes) -> None:
    """A datagram to a closed port is lost."""


def _refuse(_request: Request, _answer: Outcome[Answer]) -> None:
    raise Broken("connection refused")
