"""The sockets of a TCP proxy: each connection of a client is carried by one of ours.

Nothing here decides what happens to the data: that is `link`, one for each direction.
Ours: a peer that has said all (half close) may still listen; Toxiproxy closes both directions.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections import Counter

from srmd.lab.faultproxy.address import BadAddress, split
from srmd.lab.faultproxy.journal import Journal
from srmd.lab.faultproxy.link import Link
from srmd.lab.faultproxy.placement import Direction, Placement
from srmd.lab.faultproxy.seeds import substream
from srmd.lab.faultproxy.streams import Ending, Piece, StreamToxic

CONNECTIONS_MAX = 1024
"""Connections of one proxy at a time; further ones are reset."""
DIAL_LIMIT_S = 10.0
"""How long the upstream may take to accept."""
CLOSE_LIMIT_S = 5.0
"""How long a closed connection may take to hand over what it still has."""
WAITING_BYTES_MAX = 2**20
"""With more under way in one direction, nothing more is read from the sender."""

_OTHER = {
    Direction.UPSTREAM: Direction.DOWNSTREAM,
    Direction.DOWNSTREAM: Direction.UPSTREAM,
}


class TcpWire:
    """A TCP proxy's traffic."""

    def __init__(self, name: str, journal: Journal, *, seed: int) -> None:
        self.name = name
        self.seed = seed
        self.journal = journal
        self.upstream = ""
        self.toxics: list[Placement] = []
        """In the order in which they were added."""
        self.connections: set[_Connection] = set()
        self.accepted = 0
        self.trouble: Counter[str] = Counter()
        self.bytes: Counter[tuple[Direction, str]] = Counter()
        self._server: asyncio.Server | None = None

    async def start(self, listening: socket.socket, upstream: str) -> None:
        assert self._server is None
        self.upstream = upstream
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Connection(self).client, sock=listening)

    async def redirect(self, upstream: str) -> None:
        """Another upstream: all connections are closed."""
        self.upstream = upstream
        await self._close_connections()

    async def stop(self) -> None:
        """Closes the port, so that connections are refused, and all connections."""
        if self._server:
            self._server.close()
            self._server = None
            await self._close_connections()

    def add(self, placement: Placement) -> None:
        self.toxics.append(placement)
        for connection in list(self.connections):
            connection.add(placement)

    def change(self, placement: Placement) -> None:
        for connection in list(self.connections):
            connection.change(placement)

    def remove(self, placement: Placement) -> None:
        self.toxics.remove(placement)
        for connection in list(self.connections):
            connection.remove(placement)

    def stats(self) -> dict[str, object]:
        streams = {
            direction.value: {
                "received_bytes": self.bytes[direction, "received"],
                "forwarded_bytes": self.bytes[direction, "forwarded"],
            }
            for direction in Direction
        }
        return {
            "connections": len(self.connections),
            "connections_accepted": self.accepted,
            "trouble": dict(self.trouble),
            **streams,
        }

    async def _close_connections(self) -> None:
        for connection in list(self.connections):
            connection.end(Ending.CLOSED)
        await asyncio.gather(
            *(each.dialling for each in self.connections if each.dialling), return_exceptions=True
        )


class _Side(asyncio.Protocol):
    """One end of a connection; what it hears goes in `direction`."""

    def __init__(self, connection: _Connection, direction: Direction) -> None:
        self._connection = connection
        self._direction = direction
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._connection.made(self._direction)

    def data_received(self, data: bytes) -> None:
        self._connection.feed(self._direction, data)

    def eof_received(self) -> bool:
        self._connection.feed(self._direction, Ending.FINISHED)
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self.transport = None
        self._connection.lost(self._direction)

    def pause_writing(self) -> None:
        self._connection.blocked(self._direction, True)

    def resume_writing(self) -> None:
        self._connection.blocked(self._direction, False)


class _Connection:
    """A client's connection and ours to the upstream, with a link for each direction."""

    def __init__(self, wire: TcpWire) -> None:
        wire.accepted += 1
        self._wire = wire
        self._ordinal = wire.accepted
        self._loop = asyncio.get_running_loop()
        self.client = _Side(self, Direction.UPSTREAM)
        self._upstream = _Side(self, Direction.DOWNSTREAM)
        self._links = {direction: Link() for direction in Direction}
        self._timers: dict[Direction, asyncio.TimerHandle] = {}
        self._blocked: set[Direction] = set()
        """Directions whose receiver does not take more."""
        self._said_all: set[Direction] = set()
        """Directions whose sender has closed its half."""
        self._finished: set[Direction] = set()
        """Directions whose receiver knows that."""
        self._ended = False
        self.dialling: asyncio.Task[None] | None = None

    def made(self, direction: Direction) -> None:
        """One side stands: the client's first, then ours to the upstream."""
        if direction is Direction.UPSTREAM:
            self._begin()
        elif self._ended:  # the proxy stopped in the meantime
            self._close(Ending.CLOSED)
        else:  # the toxics have to be there before the upstream's first byte
            for placement in self._wire.toxics:
                self.add(placement)
            for each in Direction:
                self._pump(each)

    def _begin(self) -> None:
        client = self.client.transport
        assert client is not None
        if len(self._wire.connections) >= CONNECTIONS_MAX:
            self._wire.trouble["too_many"] += 1
            self._ended = True
            _reset(client)
            return
        self._wire.connections.add(self)
        client.pause_reading()
        self.dialling = self._loop.create_task(self._dial())

    async def _dial(self) -> None:
        try:
            host, port = split(self._wire.upstream)
            async with asyncio.timeout(DIAL_LIMIT_S):
                await self._loop.create_connection(
                    lambda: self._upstream, host or "localhost", int(port or 0)
                )
        except (BadAddress, ValueError, OSError, TimeoutError, OverflowError):
            self._wire.trouble["dial_failed"] += 1
            self.end(Ending.CLOSED)

    def add(self, placement: Placement) -> None:
        if self._carries():
            assert isinstance(placement.toxic, StreamToxic)
            where = placement.direction
            rng = substream(
                self._wire.seed, self._wire.name, where.value, placement.name, self._ordinal
            )
            self._links[where].add(
                self._loop.time(), placement.name, placement.toxic, placement.toxicity, rng
            )
            self._pump(where)

    def change(self, placement: Placement) -> None:
        if self._carries():
            assert isinstance(placement.toxic, StreamToxic)
            self._links[placement.direction].change(
                self._loop.time(), placement.name, placement.toxic, placement.toxicity
            )
            self._pump(placement.direction)

    def remove(self, placement: Placement) -> None:
        if self._carries():
            self._links[placement.direction].remove(self._loop.time(), placement.name)
            self._pump(placement.direction)

    def feed(self, direction: Direction, piece: Piece) -> None:
        """Something came from a sender."""
        if self._ended:
            return
        if piece is Ending.FINISHED:
            self._said_all.add(direction)
        if isinstance(piece, bytes):
            self._wire.bytes[direction, "received"] += len(piece)
        self._links[direction].feed(self._loop.time(), piece)
        self._pump(direction)

    def lost(self, direction: Direction) -> None:
        """A sender is gone: what it sent may still arrive, and what is for it is pointless."""
        self.feed(direction, Ending.CLOSED)
        if self._ended:
            self._close(Ending.CLOSED)

    def blocked(self, direction: Direction, is_blocked: bool) -> None:
        """The end that sends in `direction` takes no more data, or takes it again."""
        towards = _OTHER[direction]
        (self._blocked.add if is_blocked else self._blocked.discard)(towards)
        self._regulate(towards)

    def end(self, how: Ending) -> None:
        """The connection is over, for both sides."""
        if not self._ended:
            self._ended = True
            self._wire.journal.tell(
                "connection.ended", proxy=self._wire.name, connection=self._ordinal, how=how.value
            )
        self._close(how)

    def _close(self, how: Ending) -> None:
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        if self.dialling and self.dialling is not asyncio.current_task(self._loop):
            self.dialling.cancel()
        for side in (self.client, self._upstream):
            if side.transport and how is Ending.RESET:
                _reset(side.transport)
            elif side.transport and not side.transport.is_closing():
                if side.transport.get_write_buffer_size():
                    self._loop.call_later(CLOSE_LIMIT_S, side.transport.abort)
                side.transport.close()
        self._wire.connections.discard(self)

    def _pump(self, direction: Direction) -> None:
        """Hands on what is due, and wakes up for the rest."""
        if timer := self._timers.pop(direction, None):
            timer.cancel()
        link = self._links[direction]
        for piece in link.advance(self._loop.time()):
            self._hand_on(direction, piece)
        if not self._ended:
            self._regulate(direction)
            if (due_s := link.next_due_s) is not None:
                self._timers[direction] = self._loop.call_at(due_s, self._pump, direction)

    def _hand_on(self, direction: Direction, piece: Piece) -> None:
        receiver = self._transport(_OTHER[direction])
        if isinstance(piece, bytes):
            if receiver and not receiver.is_closing():
                receiver.write(piece)
                self._wire.bytes[direction, "forwarded"] += len(piece)
        elif piece is Ending.FINISHED:
            self._finished.add(direction)
            if len(self._finished) == len(Direction):
                self.end(Ending.CLOSED)
            elif receiver and not receiver.is_closing():
                with contextlib.suppress(OSError):  # it is gone; connection_lost follows
                    receiver.write_eof()
        else:
            self.end(piece)

    def _regulate(self, direction: Direction) -> None:
        """Reads from the sender only while there is room for what it says."""
        sender = self._transport(direction)
        if sender is None or sender.is_closing() or not self._carries():
            return
        if direction in self._said_all:  # asyncio would read again, and find the same end again
            return
        full = self._links[direction].waiting_bytes > WAITING_BYTES_MAX
        if full or direction in self._blocked:
            sender.pause_reading()
        else:
            sender.resume_reading()

    def _carries(self) -> bool:
        return not self._ended and self._upstream.transport is not None

    def _transport(self, direction: Direction) -> asyncio.Transport | None:
        """The end that sends in this direction."""
        return (self.client if direction is Direction.UPSTREAM else self._upstream).transport


def _reset(transport: asyncio.Transport) -> None:
    """Closes so that the peer sees ECONNRESET: nothing lingers, what is unsent is thrown away."""
    ours: socket.socket = transport.get_extra_info("socket")
    with contextlib.suppress(OSError):  # the peer was quicker
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
