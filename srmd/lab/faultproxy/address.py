"""Addresses as Go writes them, and Go's words for what is wrong with them.

Clients of Toxiproxy see both: `[::]:3310` in answers, `listen tcp 127.0.0.1:3310: bind: address
already in use` in errors.  Source: Toxiproxy 2.12.0, probed; package net of Go.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from dataclasses import dataclass

from srmd.lab.faultproxy.catalogue import Protocol

RESOLVE_LIMIT_S = 5.0
"""How long a name may take to resolve."""
BACKLOG = 128
RECEIVE_BUFFER_BYTES = 4 * 2**20
"""Asked of the kernel for UDP sockets: its default holds a few hundred datagrams.  It may give
less (rmem_max)."""

SocketAddress = tuple[str, int] | tuple[str, int, int, int]


class BadAddress(Exception):
    """An address that cannot be used.  The message is Go's, without `listen tcp`."""


class CannotBind(Exception):
    """A listen address that cannot be had.  The message is Go's."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """An address that a socket understands."""

    family: socket.AddressFamily
    address: SocketAddress
    named: bool
    """It was written with a host; without one it means all addresses of this machine."""

    def __str__(self) -> str:
        return shown(self.address) if self.named else f":{self.address[1]}"


def shown(address: SocketAddress) -> str:
    """`127.0.0.1:80` or `[::1]:80`."""
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def split(text: str) -> tuple[str, str]:
    """Host and port, each perhaps empty.  Raises BadAddress."""
    host, colon, port = text.rpartition(":")
    if not colon or (text.startswith("[") and text.endswith("]")):
        raise BadAddress(f"address {text}: missing port in address")
    if host.startswith("[") and host.endswith("]"):
        return host[1:-1], port
    if ":" in host:
        raise BadAddress(f"address {text}: too many colons in address")
    return host, port


async def resolve(text: str) -> Resolved:
    """The address behind a text; a name resolves off the event loop, IPv4 first as in Go.

    Raises BadAddress; also when the name takes longer than RESOLVE_LIMIT_S.
    """
    host, service = split(text) if text else ("", "0")
    port = _port(service)
    if not host:
        family = socket.AF_INET6 if _has_ipv6() else socket.AF_INET
        return Resolved(family, ("::" if family is socket.AF_INET6 else "0.0.0.0", port), False)
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(RESOLVE_LIMIT_S):
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except TimeoutError as failed:
        raise BadAddress(f"lookup {host}: i/o timeout") from failed
    except (OSError, ValueError) as failed:  # ValueError: it holds what no name can hold
        raise BadAddress(f"lookup {host}: no such host") from failed
    found.sort(key=lambda each: each[0] != socket.AF_INET)
    family, *_, address = found[0]
    assert not isinstance(address[0], int)  # that form is for a Python without IPv6
    return Resolved(family, address, True)


async def bind(protocol: Protocol, text: str) -> socket.socket:
    """A socket bound to the address, listening if that is what the protocol does.

    Raises CannotBind.
    """
    try:
        where = await resolve(text)
    except BadAddress as bad:
        raise CannotBind(f"listen {protocol.value}: {bad}") from bad
    kind = socket.SOCK_STREAM if protocol is Protocol.TCP else socket.SOCK_DGRAM
    bound = socket.socket(where.family, kind)
    try:
        bound.setblocking(False)
        if where.family is socket.AF_INET6:
            # As Go: all addresses of IPv6 are those of IPv4 too, named (`[::]`) or not.
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, where.address[0] != "::")
        if protocol is Protocol.TCP:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind(where.address)
            bound.listen(BACKLOG)
        else:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
            bound.bind(where.address)
    except OSError as failed:
        bound.close()
        place = f"{protocol.value} {where}"
        raise CannotBind(f"listen {place}: bind: {_why(failed)}") from failed
    return bound


def _port(service: str) -> int:
    if not service:
        return 0
    if service.isascii() and service.isdigit():
        port = int(service[:6])
        if port > 65535:
            raise BadAddress(f"address {service}: invalid port")
        return port
    try:
        return socket.getservbyname(service)
    except (OSError, ValueError) as failed:
        raise BadAddress(f"lookup tcp/{service}: unknown port") from failed


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


def _why(failed: OSError) -> str:
    """The words of the operating system, in Go's spelling."""
    if failed.errno == errno.EADDRNOTAVAIL:
        return "cannot assign requested address"
    return os.strerror(failed.errno).lower() if failed.errno else str(failed)
