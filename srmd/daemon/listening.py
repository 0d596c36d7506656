"""Binds the addresses of the configuration, and names the process that holds a port already.

Heartbeats and control server bind by the same rules, so that one address means the same for both:
a specific address speaks its own version of IP, `[::]` speaks both (as in Go; ours) or IPv4 alone
where this machine has no IPv6, and a name stands for its first IPv4 address, or its first IPv6
address where it has no other.
"""

from __future__ import annotations

import errno
import os
import pwd
import socket
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from pathlib import Path

from srmd.config import Address

PROC = Path("/proc")
ALL_OF_IPV4 = "0.0.0.0"
DESCRIPTORS_MAX = 200_000
"""Open files that are looked at to find the process that holds a port."""
_LISTENS = {socket.SOCK_STREAM: "0A", socket.SOCK_DGRAM: "07"}
"""States of a socket that waits for any peer, as the kernel writes them."""

SocketAddress = tuple[str, int] | tuple[str, int, int, int]


class CannotListen(Exception):
    """An address of the configuration cannot be listened on; the message has the way out."""


class PortBusy(CannotListen):
    """Another socket of this machine holds the port."""


def bound(listen: Address, kind: socket.SocketKind) -> socket.socket:
    """A non-blocking socket that is bound to the address.  Raises OSError."""
    try:
        found = socket.getaddrinfo(listen.host, listen.port, type=kind, flags=socket.AI_PASSIVE)
    except UnicodeError as failed:  # no name that could be looked up
        raise OSError(str(failed)) from failed
    found.sort(key=lambda each: each[0] != socket.AF_INET)
    family, *_, address = found[0]
    options = kind | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
    try:
        made = socket.socket(family, options)
    except OSError as failed:
        if failed.errno != errno.EAFNOSUPPORT or not listen.is_wildcard:
            raise
        family, address = socket.AF_INET, (ALL_OF_IPV4, listen.port)
        made = socket.socket(family, options)
    try:
        if family is socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, not listen.is_wildcard)
        if kind is socket.SOCK_STREAM:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(address)
    except BaseException:
        made.close()
        raise
    return made


def is_dual(bound: socket.socket) -> bool:
    """The socket speaks IPv4 besides IPv6."""
    is_v6 = bound.family is socket.AF_INET6
    return is_v6 and not bound.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)


def mapped(address: SocketAddress) -> SocketAddress:
    """An IPv4 address as a dual socket wants it (`::ffff:192.0.2.1`); others as they are."""
    host, port = address[:2]
    return address if ":" in host else (f"::ffff:{host}", port, 0, 0)


def plain_host(host: str) -> str:
    """The address without the form that a dual socket gives to IPv4."""
    return host.removeprefix("::ffff:") if "." in host else host


def cannot_listen(
    key: str, listen: Address, kind: socket.SocketKind, failed: OSError
) -> CannotListen:
    """The error of an address that could not be bound, in words."""
    place = f"{key}: {listen}"
    if failed.errno == errno.EADDRINUSE:
        holder = find_holder(listen, kind)
        by, way_out = holder.told() if holder is not None else ("", STOP_IT)
        return PortBusy(f"{place} is in use{by}; {way_out}")
    if failed.errno == errno.EAFNOSUPPORT:
        right = "this machine speaks IPv4 only; use an IPv4 address, such as 0.0.0.0"
        return CannotListen(f"{place} cannot be listened on; {right}")
    if failed.errno == errno.EACCES:
        right = "choose a port from 1024, or give the process the capability to use it"
        return CannotListen(f"{place} cannot be listened on ({failed.strerror}); {right}")
    why = f"cannot be listened on ({failed.strerror or failed})"
    return CannotListen(f"{place} {why}; choose an address of this machine")


# ---------------------------------------------------------------------------- who holds a port

STOP_IT = "stop what uses the port, or choose another one (and tell the peer's configuration)"


@dataclass(frozen=True, slots=True)
class Holder:
    """The socket that is in the way."""

    port: int
    remote: str
    """The other end of its connection; empty for a socket that listens."""
    process: str
    """`process 12 (name)`, or whose process it is where only that can be seen."""

    def told(self) -> tuple[str, str]:
        """By what the port is held, and the way out."""
        if not self.remote:
            return f" by {self.process}", STOP_IT
        keep = f"sysctl net.ipv4.ip_local_reserved_ports={self.port}"
        return (
            f" by a connection of {self.process} to {self.remote}",
            f"end that connection, or choose another port; `{keep}` keeps the port from "
            "outgoing connections",
        )


def find_holder(listen: Address, kind: socket.SocketKind) -> Holder | None:
    """The socket that holds the address; None where the kernel does not tell (only Linux does)."""
    sockets = [each for each in _sockets(kind) if each.is_in_the_way_of(listen)]
    sockets.sort(key=lambda each: each.state != _LISTENS[kind])
    for each in sockets:
        remote = "" if each.state == _LISTENS[kind] else each.remote
        return Holder(listen.port, remote, _process_of(each))
    return None


@dataclass(frozen=True, slots=True)
class _Socket:
    """One line of /proc/net/tcp and its like."""

    host: str
    port: int
    remote: str
    state: str
    uid: int
    inode: str

    def is_in_the_way_of(self, listen: Address) -> bool:
        mine = ip_address(plain_host(self.host))
        if self.port != listen.port:
            return False
        if listen.is_wildcard or mine.is_unspecified:
            return True
        with suppress(ValueError):
            return mine == ip_address(listen.host.partition("%")[0])
        return True  # a name: the port has to do


def _sockets(kind: socket.SocketKind) -> Iterator[_Socket]:
    name = "tcp" if kind is socket.SOCK_STREAM else "udp"
    for file in (PROC / "net" / name, PROC / "net" / f"{name}6"):
        with suppress(OSError, ValueError, IndexError):
            for line in file.read_text("ascii").splitlines()[1:]:
                words = line.split()
                (host, port), (there, remote_port) = (_endpoint(text) for text in words[1:3])
                remote = str(Address(plain_host(there), remote_port))
                yield _Socket(host, port, remote, words[3], int(words[7]), words[9])


def _endpoint(text: str) -> tuple[str, int]:
    """`0100007F:1F90`: words of 32 bits in the order of this machine, then the port."""
    address, _, port = text.partition(":")
    words = (address[at : at + 8] for at in range(0, len(address), 8))
    raw = b"".join(int(word, 16).to_bytes(4, sys.byteorder) for word in words)
    host = str(ip_address(raw))
    if len(raw) == 16 and (inner := IPv6Address(raw).ipv4_mapped) is not None:
        host = str(inner)
    return host, int(port, 16)


def _process_of(found: _Socket) -> str:
    wanted = f"socket:[{found.inode}]"
    looked_at = 0
    for process in PROC.glob("[0-9]*"):
        with suppress(OSError):  # it has ended, or belongs to another user
            for descriptor in (process / "fd").iterdir():
                looked_at += 1
                if os.readlink(descriptor) == wanted:  # noqa: PTH115 - no path, `socket:[12]`
                    name = (process / "comm").read_text(errors="replace").strip()
                    return f"process {process.name} ({name})"
        if looked_at > DESCRIPTORS_MAX:
            break
    try:
        user = pwd.getpwuid(found.uid).pw_name
    except KeyError:
        user = str(found.uid)
    return f"a process of user {user}"
