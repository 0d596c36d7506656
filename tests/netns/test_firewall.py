"""The firewall of the guide, on two hosts with addresses of both versions of IP."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from tests.machines import guide
from tests.netns.hosts import ADDRESSES, PLUG, Host, HostError, two_hosts

ADDRESSES_6 = {"a": "fd77::1", "b": "fd77::2"}
UDP, TCP, OTHER = 22001, 20075, 20076
HEARD_S = 5.0
"""A datagram that may pass takes far less."""
STRANGER = {4: "10.203.0.99", 6: "fd77::99"}
"""Addresses of host b that the rules do not name."""


@pytest.fixture
def hosts(can_have_hosts: None) -> Iterator[tuple[Host, Host]]:
    with two_hosts() as (a, b):
        for host, node in ((a, "a"), (b, "b")):
            host.run("ip", "addr", "add", f"{ADDRESSES_6[node]}/64", "dev", PLUG, "nodad")
        b.run("ip", "addr", "add", f"{STRANGER[6]}/64", "dev", PLUG, "nodad")
        b.run("ip", "addr", "add", f"{STRANGER[4]}/32", "dev", PLUG)
        a.run("ip", "route", "add", f"{STRANGER[4]}/32", "dev", PLUG)
        yield a, b


def follow(host: Host, addresses: dict[str, str]) -> None:
    """The block of the guide, with these addresses.  Raises HostError."""
    (block,) = guide.read().sections["Firewall"]
    for command in block.commands:
        variables = f"A={addresses['a']} B={addresses['b']}"
        host.run("bash", "-euo", "pipefail", "-c", f"{variables}\n{command}")


def listening(host: Host, kind: socket.SocketKind, address: str, port: int) -> socket.socket:
    def listen() -> socket.socket:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        made = socket.socket(family, kind)
        made.bind((address, port))
        if kind is socket.SOCK_STREAM:
            made.listen()
        made.settimeout(HEARD_S)
        return made

    return host.do(listen)


def sends(host: Host, here: str, there: str, texts: dict[str, int]) -> None:
    """Each text goes from one address of the host to a port of another host."""

    def send() -> None:
        family = socket.AF_INET6 if ":" in here else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as sender:
            sender.bind((here, 0))
            for text, port in texts.items():
                sender.sendto(text.encode(), (there, port))

    host.do(send)


@pytest.mark.parametrize("version", [4, 6])
def test_the_peer_gets_in_and_a_stranger_does_not(hosts: tuple[Host, Host], version: int) -> None:
    """With IPv6 addresses the accept rules failed, and the drop rules cut the pair off."""
    a, b = hosts
    addresses = ADDRESSES if version == 4 else ADDRESSES_6
    follow(a, addresses)
    follow(a, addresses)  # once more: it takes the place of the one before
    here = addresses["a"]
    with listening(a, socket.SOCK_DGRAM, here, UDP) as heartbeats:
        sends(b, STRANGER[version], here, {"stranger": UDP})
        sends(b, addresses["b"], here, {"peer": UDP})
        assert heartbeats.recv(100) == b"peer", "one cable keeps the order: the first was dropped"
    with listening(a, socket.SOCK_STREAM, here, TCP) as control:
        peer = (addresses["b"], 0)
        b.do(lambda: socket.create_connection((here, TCP), HEARD_S, peer).close())
        control.accept()[0].close()

        def strange() -> None:
            with pytest.raises(TimeoutError):
                socket.create_connection((here, TCP), 0.5, (STRANGER[version], 0))

        b.do(strange)
    strange_end = (STRANGER[version], 0)
    with listening(a, socket.SOCK_STREAM, here, OTHER):
        b.do(lambda: socket.create_connection((here, OTHER), HEARD_S, strange_end).close())


def test_a_mistake_in_an_address_leaves_no_rule(hosts: tuple[Host, Host]) -> None:
    a, _ = hosts
    with pytest.raises(HostError):
        follow(a, {"a": "fd77::1", "b": "10.203.0.2"})
    assert a.run("nft", "list", "ruleset") == ""
