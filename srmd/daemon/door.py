"""Who gets in at the control port: connections bounded in all and by source, and TLS.

A connection counts from its first packet to its end, a handshake that never ends included, so that
whoever opens many and says little is bounded before anything is read.  What is refused costs one
answer and no task.  The bounds are ours.
"""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
from collections import Counter
from collections.abc import Callable

CONNECTIONS_MAX = 128
CONNECTIONS_PER_SOURCE_MAX = 64
"""An address; of IPv6 its /64, which one host has for itself."""
HANDSHAKE_S = 5.0
"""How long a TLS handshake may take."""
GOODBYE_S = 2.0
"""How long the other side may take to agree that an encrypted connection ends."""
IPV6_HOST_BITS = 64

Left = Callable[[], None]
Enter = Callable[[Left], asyncio.Protocol]
"""Makes the protocol of a connection that came in; it says `Left` when the connection is lost."""
Context = Callable[[], ssl.SSLContext | None]
OnRefused = Callable[[str, str], None]


class Door:
    """The protocol factory of a listening socket."""

    def __init__(
        self,
        enter: Enter,
        full: bytes,
        *,
        connections_max: int,
        per_source_max: int,
        handshake_s: float,
        context: Context,
        on_refused: OnRefused,
    ) -> None:
        """`full` is what one too many is told, unless it expects TLS.

        `context` is asked for each connection, so that new certificates hold for the next one;
        `on_refused(source, why)` hears of handshakes that failed.
        """
        self._enter = enter
        self.full = full
        self._connections_max = connections_max
        self._per_source_max = per_source_max
        self._handshake_s = handshake_s
        self.context = context
        self._on_refused = on_refused
        self._inside: Counter[str] = Counter()
        self._handshakes: set[asyncio.Task[None]] = set()

    def __call__(self) -> asyncio.Protocol:
        return _Visitor(self)

    def close(self) -> None:
        """No handshake goes on."""
        for handshake in self._handshakes:
            handshake.cancel()

    def has_room(self, source: str) -> bool:
        inside = self._inside
        return inside.total() < self._connections_max and inside[source] < self._per_source_max

    def let_in(self, transport: asyncio.Transport, source: str) -> None:
        self._inside[source] += 1
        context = self.context()
        if context is None:
            protocol = self._enter(lambda: self._left(source))
            transport.set_protocol(protocol)
            protocol.connection_made(transport)
            return
        transport.pause_reading()  # what comes before the handshake listens must not be lost
        handshake = asyncio.create_task(self._shake_hands(transport, source, context))
        self._handshakes.add(handshake)
        handshake.add_done_callback(self._handshakes.discard)

    async def _shake_hands(
        self, transport: asyncio.Transport, source: str, context: ssl.SSLContext
    ) -> None:
        protocol = self._enter(lambda: self._left(source))
        try:
            encrypted = await asyncio.get_running_loop().start_tls(
                transport,
                protocol,
                context,
                server_side=True,
                ssl_handshake_timeout=self._handshake_s,
                ssl_shutdown_timeout=GOODBYE_S,
            )
        except OSError as failed:  # of ssl, of the network, or late
            self._left(source)
            transport.abort()
            self._on_refused(source, _why(failed))
            return
        except BaseException:
            self._left(source)
            transport.abort()
            raise
        if encrypted is None or encrypted.is_closing():
            self._left(source)
            return
        protocol.connection_made(encrypted)

    def _left(self, source: str) -> None:
        self._inside[source] -= 1
        if not self._inside[source]:
            del self._inside[source]


class _Visitor(asyncio.Protocol):
    """A connection at the door."""

    def __init__(self, door: Door) -> None:
        self._door = door

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        source = source_of(transport.get_extra_info("peername"))
        if self._door.has_room(source):
            self._door.let_in(transport, source)
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
