"""Who gets in at the control port: connections bounded in all and by source, and TLS.

A connection counts from its first packet to its end, a handshake that never ends included, so that
a source that opens many and says little is bounded before anything is read.  What is refused costs
one answer and no task.

A full port must not stay closed to administrators for as long as strangers like.  So a newcomer
takes the place of the connection whose last request began longest ago:

- of the source that has the most, when the newcomer's source has fewer;
- of its own source, when that request began STALLED_S ago or more.

A connection on which a request of an administrator or of the peer is under way keeps its place.
The bounds are ours.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

CONNECTIONS_MAX = 128
CONNECTIONS_MIN = 8
"""With the lowest limit of descriptors too."""
DESCRIPTORS_RESERVED = 128
"""Descriptors that connections leave for all else: files, the peer, services and their checks."""
CONNECTIONS_PER_SOURCE_MAX = 64
"""An address; of IPv6 its /64, which one host has for itself."""
STALLED_S = 1.0
"""A connection that has begun no request for so long gives way to a newcomer of its own source."""
HANDSHAKE_S = 5.0
"""How long a TLS handshake may take."""
HANDSHAKES_BEGUN_AT_ONCE = 4
"""In one pass of the loop: each costs it some milliseconds, and a flood must delay no heartbeat."""
ANSWERED_PLAINLY_MAX = 16
"""Handshakes under way that keep a second descriptor, for an answer to what speaks plain HTTP."""
GOODBYE_S = 2.0
"""How long the other side may take to agree that an encrypted connection ends."""
IPV6_HOST_BITS = 64

Context = Callable[[], ssl.SSLContext | None]
OnRefused = Callable[[str, str], None]


class Visit:
    """One connection that is inside."""

    __slots__ = ("_door", "_kept_count", "asked_s", "source", "transport")

    def __init__(self, door: Door, transport: asyncio.Transport, source: str) -> None:
        self._door = door
        self._kept_count = 0
        self.transport = transport
        """As it was accepted, below TLS."""
        self.source = source
        self.asked_s = time.monotonic()
        """Begin of the connection, or of its last request."""

    @property
    def may_end(self) -> bool:
        return not self._kept_count

    def asks(self) -> None:
        """A request begins."""
        self.asked_s = time.monotonic()

    @contextmanager
    def kept(self) -> Iterator[None]:
        """A request is under way that no newcomer may cut short."""
        self._kept_count += 1
        try:
            yield
        finally:
            self._kept_count -= 1

    def left(self) -> None:
        """The connection is lost.  Safe to say twice."""
        self._door.let_out(self)


Enter = Callable[[Visit], asyncio.Protocol]
"""Makes the protocol of a connection that came in; it says `left` when the connection is lost."""


def room_for(descriptors_count: int) -> int:
    """Connections that a process may take which may have so many descriptors: idle ones must not
    leave it without."""
    left = max(CONNECTIONS_MIN, descriptors_count - DESCRIPTORS_RESERVED)
    return min(CONNECTIONS_MAX, left)


class Door:
    """The protocol factory of a listening socket."""

    def __init__(
        self,
        enter: Enter,
        full: bytes,
        speaks_tls: bytes,
        *,
        connections_max: int,
        per_source_max: int,
        stalled_s: float,
        handshake_s: float,
        context: Context,
        on_refused: OnRefused,
    ) -> None:
        """`full` is what one too many is told, unless it expects TLS; `speaks_tls` is what a plain
        HTTP request is told where TLS is expected.

        `context` is asked for each connection, so that new certificates hold for the next one;
        `on_refused(source, why)` hears of handshakes that failed.
        """
        self._enter = enter
        self.full = full
        self._speaks_tls = speaks_tls
        self._connections_max = connections_max
        self._per_source_max = per_source_max
        self._stalled_s = stalled_s
        self._handshake_s = handshake_s
        self.context = context
        self._on_refused = on_refused
        self._inside: dict[str, set[Visit]] = {}
        """By source; no source is without a visit."""
        self._handshakes: set[asyncio.Task[None]] = set()
        self._beginning = asyncio.Semaphore(HANDSHAKES_BEGUN_AT_ONCE)
        self._closed = False

    def __call__(self) -> asyncio.Protocol:
        return _Visitor(self)

    def close(self) -> None:
        """No handshake goes on, and what was accepted a moment ago does not get in."""
        self._closed = True
        for handshake in self._handshakes:
            handshake.cancel()

    def empty(self) -> None:
        """End all connections, also those on which an answer waits to be read."""
        for visit in [visit for visits in self._inside.values() for visit in visits]:
            self._end(visit)

    def let_in(self, transport: asyncio.Transport, source: str) -> bool:
        """There is room, or it could be made."""
        if self._closed:
            return False
        if not self._has_room(source) and not self._make_room(source):
            return False
        visit = Visit(self, transport, source)
        self._inside.setdefault(source, set()).add(visit)
        context = self.context()
        if context is None:
            protocol = self._enter(visit)
            transport.set_protocol(protocol)
            protocol.connection_made(transport)
            return True
        handshake = asyncio.create_task(self._shake_hands(visit, context))
        self._handshakes.add(handshake)
        handshake.add_done_callback(self._handshakes.discard)
        return True

    def let_out(self, visit: Visit) -> None:
        visits = self._inside.get(visit.source, set())
        visits.discard(visit)
        if not visits:
            self._inside.pop(visit.source, None)

    def _has_room(self, source: str) -> bool:
        total = sum(map(len, self._inside.values()))
        return total < self._connections_max and self._count(source) < self._per_source_max

    def _count(self, source: str) -> int:
        return len(self._inside.get(source, ()))

    def _make_room(self, source: str) -> bool:
        """End the connection that has to give way to a newcomer; whether there was one."""
        largest = max(self._inside, key=self._count, default=source)
        is_full = self._count(source) >= self._per_source_max
        if is_full or self._count(largest) <= self._count(source):
            until_s = time.monotonic() - self._stalled_s
            visits = {visit for visit in self._inside.get(source, ()) if visit.asked_s <= until_s}
        else:
            visits = self._inside[largest]
        yielding = [visit for visit in visits if visit.may_end]
        if not yielding:
            return False
        self._end(min(yielding, key=lambda visit: visit.asked_s))
        return True

    def _end(self, visit: Visit) -> None:
        self.let_out(visit)
        visit.transport.abort()

    async def _shake_hands(self, visit: Visit, context: ssl.SSLContext) -> None:
        # What comes before the handshake listens must not be lost.  The pause begins here, in the
        # first turn of this task: Python 3.11.2 (Debian 12) reads on after one in connection_made.
        visit.transport.pause_reading()
        protocol = self._enter(visit)
        transport = visit.transport
        plain = self._second(transport)
        try:
            async with self._beginning:
                await asyncio.sleep(0)  # the others of the loop have their turn
            encrypted = await asyncio.get_running_loop().start_tls(
                transport,
                protocol,
                context,
                server_side=True,
                ssl_handshake_timeout=self._handshake_s,
                ssl_shutdown_timeout=GOODBYE_S,
            )
        except OSError as failed:  # of ssl, of the network, or late
            visit.left()
            transport.abort()
            self._on_refused(visit.source, _why(failed))
            if plain is not None and getattr(failed, "reason", None) == "HTTP_REQUEST":
                with suppress(OSError):  # it has gone
                    plain.send(self._speaks_tls)
            # Its frames hold it and 256 KiB of buffers: that is not to wait for the collector.
            failed.__traceback__ = None
            return
        except BaseException:
            visit.left()
            transport.abort()
            raise
        finally:
            if plain is not None:
                plain.close()
        if encrypted is None or encrypted.is_closing():
            visit.left()
            return
        protocol.connection_made(encrypted)

    def _second(self, transport: asyncio.Transport) -> socket.socket | None:
        """The connection once more, because a failed handshake closes it before it is told why.

        None: too many are under way, or no descriptor is free.
        """
        if len(self._handshakes) > ANSWERED_PLAINLY_MAX:
            return None
        try:
            made: socket.socket = transport.get_extra_info("socket").dup()
            return made
        except OSError:
            return None


class _Visitor(asyncio.Protocol):
    """A connection at the door."""

    def __init__(self, door: Door) -> None:
        self._door = door

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        source = source_of(transport.get_extra_info("peername"))
        if self._door.let_in(transport, source):
            return
        if self._door.context() is not None:
            transport.abort()
            return
        transport.write(self._door.full)
        transport.close()


def source_of(peername: object) -> str:
    """What counts as one source."""
    host = str(peername[0]) if isinstance(peername, tuple) and peername else ""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((address, IPV6_HOST_BITS), strict=False))


def _why(failed: OSError) -> str:
    if isinstance(failed, ssl.SSLCertVerificationError):
        return failed.verify_message
    if isinstance(failed, ssl.SSLError) and failed.reason:
        return failed.reason.replace("_", " ").lower()
    return str(failed) or type(failed).__name__
