"""Two hosts on one machine: network namespaces of Linux, joined by a cable (a veth pair).

    with two_hosts() as (a, b):
        with a.unplugged():
            ...
        with b.rule("input", "udp dport 22001 drop"):
            ...

Each host is a thread that has left the network of this machine; what is done in that thread, and
every process started there, sees the host's own interfaces, routes and firewall and no others.  The
namespaces have no names: the kernel removes them, with cable and rules, as soon as the threads and
their processes have ended, also when this process was killed.  Nothing outside is ever touched.

Each fault is a context that heals at its end, and raises when it cannot.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Final, Literal, TypeVar

T = TypeVar("T")
Hook = Literal["input", "output", "ingress", "egress"]
"""Where a rule acts: on what this host receives or sends, before (input, output) or after (ingress,
egress) its network stack has seen it.  An egress drop is silent, an output drop tells the sender.
"""

PROGRAMS: Final = {"ip": "iproute2", "nft": "nftables"}
"""What is needed, and the Debian package that has it."""
ADDRESSES: Final = {"a": "10.203.0.1", "b": "10.203.0.2"}
"""They exist inside the namespaces only."""
PLUG: Final = "eth0"
"""The host's end of the cable."""
COMMAND_LIMIT_S = 10.0
CLONE_NEWNET = 0x40000000


class HostError(Exception):
    """A host could not be made or changed; the message has the command and what it said."""


class Host:
    """One of the two; `close` gives its thread back, and with it the namespace."""

    def __init__(self, node: str) -> None:
        """Raises HostError when this process may not have network namespaces."""
        self.address = ADDRESSES[node]
        self._rules_count = 0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"host {node}")
        try:
            self.network = self.do(_leave_network)
            """Of this host, as a path that `ip` understands."""
            self.run("ip", "link", "set", "dev", "lo", "up")
        except BaseException:
            self.close()
            raise

    def do(self, work: Callable[[], T]) -> T:
        """The work is done on this host; it has to be bounded itself."""
        return self._thread.submit(work).result()

    def run(self, *command: str) -> str:
        """Run a command on this host, and return what it said.  Raises HostError."""

        def work() -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                command, capture_output=True, text=True, timeout=COMMAND_LIMIT_S, check=False
            )

        try:
            done = self.do(work)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise HostError(f"{' '.join(command)}: {error}") from error
        if done.returncode != 0:
            raise HostError(f"{' '.join(command)}: {done.stderr.strip()}")
        return done.stdout

    def close(self) -> None:
        self._thread.shutdown()

    # Faults.  Each lasts as long as its context.

    @contextmanager
    def unplugged(self) -> Iterator[None]:
        """The cable is out: neither host hears the other, and this one cannot even send."""
        self.run("ip", "link", "set", "dev", PLUG, "down")
        try:
            yield
        finally:
            self.run("ip", "link", "set", "dev", PLUG, "up")

    @contextmanager
    def rule(self, hook: Hook, rule: str) -> Iterator[None]:
        """A rule of nftables, such as `udp dport 22001 drop`."""
        self._rules_count += 1
        family = "netdev" if hook in ("ingress", "egress") else "inet"
        table = f"{family} fault_{self._rules_count}"
        device = f' device "{PLUG}"' if family == "netdev" else ""
        chain = f"{{ type filter hook {hook}{device} priority 0; }}"
        self.run(
            "nft",
            f"add table {table}; add chain {table} c {chain}; add rule {table} c {rule}",
        )
        try:
            yield
        finally:
            self.run("nft", f"delete table {table}")

    @contextmanager
    def no_route(self, kind: Literal["unreachable", "blackhole"], to: Host) -> Iterator[None]:
        """This host cannot send to the other one; what the other one sends still arrives."""
        route = (kind, f"{to.address}/32")
        self.run("ip", "route", "add", *route)
        try:
            yield
        finally:
            self.run("ip", "route", "del", *route)

    @contextmanager
    def wrong_neighbour(self, to: Host) -> Iterator[None]:
        """This host sends to a station that does not exist, and is told nothing."""
        where = (to.address, "dev", PLUG)
        self.run(
            "ip", "neigh", "replace", *where, "lladdr", "02:00:00:00:00:99", "nud", "permanent"
        )
        try:
            yield
        finally:
            self.run("ip", "neigh", "del", *where)


@contextmanager
def two_hosts() -> Iterator[tuple[Host, Host]]:
    """Hosts `a` and `b`, joined by a cable.  Raises HostError."""
    with ExitStack() as stack:
        hosts = []
        for node in ADDRESSES:
            hosts.append(Host(node))
            stack.callback(hosts[-1].close)
        a, b = hosts
        cable = ("ip", "link", "add", PLUG, "type", "veth", "peer", "name", PLUG)
        a.run(*cable, "netns", b.network)
        for host in hosts:
            host.run("ip", "addr", "add", f"{host.address}/30", "dev", PLUG)
            host.run("ip", "link", "set", "dev", PLUG, "up")
        yield a, b


def missing() -> str | None:
    """What keeps two hosts from being made here, in words and with the way out; None: nothing."""
    absent = [program for program in PROGRAMS if shutil.which(program) is None]
    if absent:
        packages = " ".join(PROGRAMS[program] for program in absent)
        return f"{', '.join(absent)} not on the PATH; apt-get install {packages}"
    try:
        with two_hosts() as (a, _), a.rule("ingress", "udp dport 9 drop"):
            return None
    except HostError as error:
        return f"{error}; run as root, or under `unshare --map-root-user`"


def _leave_network() -> str:
    """The calling thread gets a network of its own, with nothing in it."""
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET) != 0:
        raise HostError(f"a network namespace: {os.strerror(ctypes.get_errno())}")
    return f"/proc/{os.getpid()}/task/{threading.get_native_id()}/ns/net"
