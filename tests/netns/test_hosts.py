"""The hosts themselves: apart from this machine, healed after each fault, gone at the end."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path

import pytest

from tests.netns.hosts import PLUG, HostError, missing, two_hosts

GONE_LIMIT_S = 5.0


def namespaces() -> set[str]:
    """The network namespaces in which any thread of this machine lives."""
    found = set()
    for link in Path("/proc").glob("[0-9]*/task/[0-9]*/ns/net"):
        try:
            found.add(str(link.readlink()))
        except OSError:
            pass  # it has just ended
    return found


def test_hosts_reach_each_other_and_leave_this_machine_alone(can_have_hosts: None) -> None:
    before = socket.if_nameindex()
    with two_hosts() as (a, b):
        assert f"src {a.address}" in a.run("ip", "route", "get", b.address)
        networks = {str(Path(host.network).readlink()) for host in (a, b)}
        assert len(networks) == 2
        assert str(Path("/proc/self/ns/net").readlink()) not in networks
        assert socket.if_nameindex() == before
    give_up_s = time.monotonic() + GONE_LIMIT_S
    while networks & namespaces():
        assert time.monotonic() < give_up_s, "a thread still lives on a host"
        os.sched_yield()


def test_a_fault_heals_when_its_story_fails(can_have_hosts: None) -> None:
    class Failed(Exception):
        """As an assertion in the middle of a story."""

    with two_hosts() as (a, b):
        for fault in (
            a.unplugged(),
            a.rule("input", "udp dport 9 drop"),
            a.rule("egress", "udp dport 9 drop"),
            a.no_route("unreachable", b),
            a.wrong_neighbour(b),
        ):
            with pytest.raises(Failed), fault:
                raise Failed
        assert a.run("nft", "list", "ruleset") == ""
        assert a.run("ip", "route", "show", "type", "unreachable") == ""
        assert "PERMANENT" not in a.run("ip", "neigh")
        assert ",UP" in a.run("ip", "link", "show", "dev", PLUG)


def test_a_rule_that_the_kernel_refuses_is_told_with_the_command(can_have_hosts: None) -> None:
    with (
        two_hosts() as (a, _),
        pytest.raises(HostError, match=r"nft .*nonsense"),
        a.rule("input", "nonsense"),
    ):
        raise AssertionError("it was accepted")


def test_what_is_missing_is_named_with_its_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ip").touch(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert missing() == "nft not on the PATH; apt-get install nftables"
