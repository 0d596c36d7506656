"""The sockets of a UDP proxy: one where clients knock, and one to the upstream for each client.

A readable socket is drained in bounded turns, without a task or a callback for each datagram; one
timer for each direction releases what is due.  Nothing here decides what happens to a datagram:
that is `pipeline`.

An ICMP error from the upstream side is counted, not passed on: whoever wants the client to be
refused disables the proxy, and the kernel answers for the closed port.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from collections import Counter
from dataclasses import dataclass

from srmd.lab.faultproxy.address import (
    RECEIVE_BUFFER_BYTES,
    BadAddress,
    Resolved,
    SocketAddress,
    resolve,
)
from srmd.lab.faultproxy.datagrams import Datagram, DatagramToxic, Timeout
from srmd.lab.faultproxy.journal import Journal
from srmd.lab.faultproxy.pipeline import QUEUE_DATAGRAMS, Pipeline, Placed, Room
from srmd.lab.faultproxy.placement import Direction, Placement
from srmd.lab.faultproxy.seeds import substream

DRAIN_DATAGRAMS = 64
"""Datagrams read from a socket per turn of the event loop."""
RELEASE_DATAGRAMS = 256
"""Datagrams released by a timer per turn of the event loop."""
SESSIONS_MAX = 1024
"""Clients of one proxy at a time."""
RECEIVE_BYTES = 65_536
DATAGRAM_BYTES_MAX = 65_507
RESOLVE_RETRY_S = 5.0
"""How often the upstream is looked up again while its name does not resolve."""
SWEEP_S_MIN = 0.02
"""Idle clients are looked for no more often than this."""
IDLE_TIMEOUT_MS = 60_000


@dataclass(frozen=True, slots=True)
class UdpSettings:
    """What can be chosen when a UDP proxy is created."""

    source: str = ""
    """The local address towards the upstream; empty: the kernel's choice.  A fixed port serves one
    client at a time."""
    idle_timeout_ms: int = IDLE_TIMEOUT_MS
    """A client that is silent for so long both ways is forgotten, unless its datagrams wait."""
    max_datagram_bytes: int = DATAGRAM_BYTES_MAX
    """Larger ones are dropped as oversize."""
    queue_limit: int = QUEUE_DATAGRAMS
    """Datagrams that may wait in each direction."""


@dataclass(slots=True)
class _Session:
    number: int
    client: SocketAddress
    socket: socket.socket
    last_s: float


class UdpWire:
    """A UDP proxy's traffic.  Toxics outlive a stop, clients and waiting datagrams do not."""

    def __init__(self, name: str, settings: UdpSettings, journal: Journal, *, seed: int) -> None:
        self._name = name
        self._settings = settings
        self._seed = seed
        self._loop = asyncio.get_running_loop()
        self._pipelines = {
            direction: Pipeline(
                Room(datagrams=settings.queue_limit), journal.teller(name, direction.value)
            )
            for direction in Direction
        }
        self._timers: dict[Direction, asyncio.TimerHandle] = {}
        self._trouble: Counter[str] = Counter()
        self._listening: socket.socket | None = None
        self._upstream_text = ""
        self._upstream: Resolved | None = None
        self._resolved_s = float("-inf")
        self._resolving: asyncio.Task[None] | None = None
        self._source: Resolved | None = None
        self._by_client: dict[SocketAddress, _Session] = {}
        self._by_number: dict[int, _Session] = {}
        self._sessions_seen = 0
        self._sweep: asyncio.TimerHandle | None = None

    async def start(self, listening: socket.socket, upstream: str) -> None:
        """Begins to carry datagrams.  An upstream that does not resolve is tried again later."""
        assert self._listening is None
        self._listening = listening
        if self._settings.source:
            with contextlib.suppress(BadAddress):  # then no client can be served, and is counted
                self._source = await resolve(self._settings.source)
        await self._point_to(upstream)
        self._loop.add_reader(listening.fileno(), self._clients_readable)

    async def redirect(self, upstream: str) -> None:
        """Another upstream: all clients begin anew."""
        await self._stop_resolving()
        self._forget_all()
        await self._point_to(upstream)

    async def stop(self) -> None:
        """Closes everything; from now on the kernel refuses, if the port is nobody else's."""
        if self._listening is None:
            return
        self._loop.remove_reader(self._listening.fileno())
        self._listening.close()
        self._listening = None
        self._forget_all()
        await self._stop_resolving()

    def add(self, placement: Placement) -> None:
        if isinstance(placement.toxic, DatagramToxic):
            rng = substream(self._seed, self._name, placement.direction.value, placement.name)
            self._pipelines[placement.direction].add(
                self._loop.time(), Placed(placement.name, placement.toxic, placement.toxicity, rng)
            )
            self._plan_sweep()

    def change(self, placement: Placement) -> None:
        """The attributes are the toxic's own and have changed already."""
        if isinstance(placement.toxic, DatagramToxic):
            self._pipelines[placement.direction].placed(
                placement.name
            ).toxicity = placement.toxicity
            self._plan_sweep()

    def remove(self, placement: Placement) -> None:
        if isinstance(placement.toxic, DatagramToxic):
            pipeline = self._pipelines[placement.direction]
            self._send(placement.direction, pipeline.remove(self._loop.time(), placement.name))

    def stats(self) -> dict[str, object]:
        """The evidence, for people and assertions."""
        streams = {}
        for direction, pipeline in self._pipelines.items():
            counts = pipeline.counts
            streams[direction.value] = {
                "received": counts.received,
                "forwarded": counts.forwarded,
                "waiting": pipeline.waiting,
                "queue_dropped": counts.queue_dropped,
                "discarded": counts.discarded,
                "dropped_by": dict(counts.dropped_by),
                "decisions": {each.value: n for each, n in counts.by_decision.items()},
            }
        return {
            "sessions": len(self._by_number),
            "sessions_seen": self._sessions_seen,
            "trouble": dict(self._trouble),
            **streams,
        }

    # Datagrams in.

    def _clients_readable(self) -> None:
        assert self._listening is not None
        for _ in range(DRAIN_DATAGRAMS):
            try:
                payload, client = self._listening.recvfrom(RECEIVE_BYTES)
            except BlockingIOError:
                break
            except OSError as failed:
                self._note(failed)
                continue
            session = self._by_client.get(client) or self._meet(client)
            if session:
                self._admit(Direction.UPSTREAM, session, payload)
        self._arm(Direction.UPSTREAM)

    def _upstream_readable(self, session: _Session) -> None:
        for _ in range(DRAIN_DATAGRAMS):
            try:
                payload = session.socket.recv(RECEIVE_BYTES)
            except BlockingIOError:
                break
            except OSError as failed:  # such as ECONNREFUSED: the upstream's port is closed
                self._note(failed)
                continue
            self._admit(Direction.DOWNSTREAM, session, payload)
        self._arm(Direction.DOWNSTREAM)

    def _admit(self, direction: Direction, session: _Session, payload: bytes) -> None:
        if len(payload) > self._settings.max_datagram_bytes:
            self._trouble["oversize"] += 1
            return
        now_s = self._loop.time()
        session.last_s = now_s
        ready = self._pipelines[direction].admit(now_s, payload, session.number)
        for datagram in ready:
            self._send_one(direction, datagram)

    # Datagrams out.

    def _send(self, direction: Direction, ready: list[Datagram]) -> None:
        for datagram in ready:
            self._send_one(direction, datagram)
        self._arm(direction)

    def _send_one(self, direction: Direction, datagram: Datagram) -> None:
        session = self._by_number.get(datagram.session)
        if session is None or self._listening is None:
            self._trouble["no_session"] += 1
            return
        try:
            if direction is Direction.UPSTREAM:
                session.socket.send(datagram.payload)
            else:
                self._listening.sendto(datagram.payload, session.client)
        except OSError as failed:  # a full buffer too: UDP may lose, but it is not our fault
            self._note(failed)

    def _arm(self, direction: Direction) -> None:
        """One timer for each direction, at the moment when the next datagram is due."""
        due_s = self._pipelines[direction].next_due_s
        timer = self._timers.get(direction)
        if due_s is None or (timer and timer.when() <= due_s):
            return
        if timer:
            timer.cancel()
        self._timers[direction] = self._loop.call_at(due_s, self._ring, direction)

    def _ring(self, direction: Direction) -> None:
        del self._timers[direction]
        due = self._pipelines[direction].take_due(self._loop.time(), RELEASE_DATAGRAMS)
        self._send(direction, due)

    # Clients.

    def _meet(self, client: SocketAddress) -> _Session | None:
        """A new client, if there is room and the upstream is known."""
        if self._upstream is None:
            self._trouble["unresolved"] += 1
            self._resolve_again()
            return None
        if len(self._by_number) >= SESSIONS_MAX:
            self._trouble["no_session"] += 1
            return None
        if self._settings.source and self._source is None:
            self._trouble["source_unresolved"] += 1
            return None
        upstream = socket.socket(self._upstream.family, socket.SOCK_DGRAM)
        try:
            upstream.setblocking(False)
            upstream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
            if self._source:
                upstream.bind(self._source.address)
            upstream.connect(self._upstream.address)
        except OSError as failed:
            upstream.close()
            self._note(failed)
            self._trouble["no_session"] += 1
            return None
        self._sessions_seen += 1
        session = _Session(self._sessions_seen, client, upstream, self._loop.time())
        self._by_client[client] = session
        self._by_number[session.number] = session
        self._loop.add_reader(upstream.fileno(), self._upstream_readable, session)
        if self._sweep is None:
            self._plan_sweep()
        return session

    def _forget(self, session: _Session) -> None:
        self._loop.remove_reader(session.socket.fileno())
        session.socket.close()
        del self._by_client[session.client]
        del self._by_number[session.number]

    def _forget_all(self) -> None:
        for session in list(self._by_number.values()):
            self._forget(session)
        for pipeline in self._pipelines.values():
            pipeline.discard()
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        if self._sweep:
            self._sweep.cancel()
            self._sweep = None

    def _idle_limit_s(self) -> float:
        """A `timeout` toxic makes it shorter."""
        toxics = [toxic for each in self._pipelines.values() for toxic in each.toxics]
        limits_ms = [t.timeout for t in toxics if isinstance(t, Timeout) and t.timeout > 0]
        return min([self._settings.idle_timeout_ms, *limits_ms]) / 1000

    def _plan_sweep(self) -> None:
        if self._sweep:
            self._sweep.cancel()
            self._sweep = None
        if self._by_number:
            first_s = min(session.last_s for session in self._by_number.values())
            earliest_s = self._loop.time() + SWEEP_S_MIN
            at_s = max(first_s + self._idle_limit_s(), earliest_s)
            self._sweep = self._loop.call_at(at_s, self._sweep_idle)

    def _sweep_idle(self) -> None:
        waiting = set[int]().union(*(each.sessions_waiting() for each in self._pipelines.values()))
        idle_since_s = self._loop.time() - self._idle_limit_s()
        for session in list(self._by_number.values()):
            if session.last_s <= idle_since_s and session.number not in waiting:
                self._forget(session)
        self._plan_sweep()

    # The upstream's name.

    async def _point_to(self, upstream: str) -> None:
        self._upstream_text = upstream
        self._upstream = None
        self._resolved_s = self._loop.time()
        with contextlib.suppress(BadAddress):
            self._upstream = await resolve(upstream)

    def _resolve_again(self) -> None:
        running = self._resolving and not self._resolving.done()
        if not running and self._loop.time() >= self._resolved_s + RESOLVE_RETRY_S:
            self._resolving = self._loop.create_task(self._point_to(self._upstream_text))

    async def _stop_resolving(self) -> None:
        """An answer about a former upstream must not come late."""
        if self._resolving:
            self._resolving.cancel()
            await asyncio.gather(self._resolving, return_exceptions=True)
            self._resolving = None

    def _note(self, failed: OSError) -> None:
        self._trouble[errno.errorcode.get(failed.errno or 0, "error")] += 1
