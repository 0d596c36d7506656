"""The guide's variant with TLS, with Cisco's timers, on two booted machines."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pytest

from srmd.client import Client, Rejected, Unauthorized, Unreachable
from srmd.secret import Secret
from tests.machines import guide
from tests.machines.container import Container
from tests.machines.looking import CONTROL
from tests.systemd.installed import NORMAL, UNIT, USERS, Installed
from tests.systemd.left_behind import secrets_of, traces
from tests.systemd.watching import Watch

NAMED = {"node.toml", "token", "k1.key", "node.crt", "tls.key", "ca.crt"}
"""The files of a node: its configuration, and all that this one names."""


def copies(machine: Container) -> dict[str, str]:
    """The files that the node reads, with mode and owner."""
    told = machine.run("sh", "-c", "cd /run/srmd-config/current/etc/srmd && stat -c '%n %a %u' *")
    return dict(line.split(" ", 1) for line in told.splitlines())


def test_the_pair_speaks_https_and_serves_its_users(pair_with_tls: Installed) -> None:
    """The certificates were not among the credentials of the unit: both nodes stayed down."""
    pair = pair_with_tls
    for node, machine in pair.machines.items():
        shown = machine.unit(UNIT, "ActiveState", "StatusText")
        assert shown["ActiveState"] == "active"
        assert shown["StatusText"].startswith(NORMAL)
        status = pair.nodes.status(node)
        assert status is not None
        assert status["users"]["served"] == {"a": USERS // 2, "b": USERS // 2}
        peer = status["peer"]
        assert (peer["control_reachable"], peer["control_error"]) == (True, ""), peer
        plain = Client(f"http://{machine.host.address}:{CONTROL}")
        with pytest.raises(Rejected, match="use https://"):
            machine.host.do(plain.status)


def test_each_node_reads_copies_of_all_files_that_only_it_can_read(
    pair_with_tls: Installed,
) -> None:
    for machine in pair_with_tls.machines.values():
        owner = machine.run("stat", "-c", "%u", "/run/srmd").strip()
        assert owner != "0"
        assert copies(machine) == dict.fromkeys(NAMED, f"400 {owner}")
        folders = machine.run("sh", "-c", "find /run/srmd-config -type d -printf '%u %m\\n'")
        assert set(folders.splitlines()) == {"root 750"}


# Rotation, while somebody looks at both nodes all the time.


def rotate(pair: Installed, title: str, folder: Path) -> None:
    """Follow the chapter; each user is served at each look, of which there are two a command."""
    before = {node: len(reloads(machine)) for node, machine in pair.machines.items()}
    with Watch(pair, folder) as watch:
        pair.follow(guide.read().sections[title], watch.wait_for_look)
    for node, machine in pair.machines.items():
        done = reloads(machine)[before[node] :]
        assert done, "nothing was taken"
        assert {record["SRMD_REFUSED"] for record in done} == {"[]"}


def reloads(machine: Container) -> list[dict[str, Any]]:
    return machine.journal(UNIT, SRMD_EVENT="config.reloaded")


def token_of(pair: Installed) -> str:
    return (pair.a.disk / "etc/srmd/token").read_text().strip()


def shown_certificate(machine: Container) -> str:
    address = (machine.host.address, CONTROL)
    return machine.host.do(lambda: ssl.get_server_certificate(address))


def test_a_token_is_rotated_while_all_users_are_served(
    pair_with_tls: Installed, tmp_path: Path
) -> None:
    """`srmd srm restart` said "restart done", and the old token went on to be taken."""
    pair = pair_with_tls
    old = token_of(pair)
    rotate(pair, "A new token", tmp_path)
    new = token_of(pair)
    assert new != old
    for machine in pair.machines.values():
        with pytest.raises(Unauthorized):
            switch_on(machine, old)
        switch_on(machine, new)
        assert "old_token" not in copies(machine)


def switch_on(machine: Container, token: str) -> None:
    """A command that changes nothing: high availability is on."""
    ca = str(machine.disk / "etc/srmd/ca.crt")
    client = Client(f"https://{machine.host.address}:{CONTROL}", Secret(token), 30.0, ca)
    machine.host.do(lambda: client.set_ha(True))


def test_a_key_is_rotated_while_all_users_are_served(
    pair_with_tls: Installed, tmp_path: Path
) -> None:
    """A restart at each step left a node Initializing for up to 15 s, six times."""
    rotate(pair_with_tls, "A new key", tmp_path)
    for machine in pair_with_tls.machines.values():
        assert 'active = "k2"' in (machine.disk / "etc/srmd/node.toml").read_text()
        assert {"k2.key"} == {name for name in copies(machine) if name.startswith("k")}
    pair_with_tls.is_home()


def test_certificates_are_rotated_while_all_users_are_served(
    pair_with_tls: Installed, tmp_path: Path
) -> None:
    pair = pair_with_tls
    before = {node: shown_certificate(machine) for node, machine in pair.machines.items()}
    rotate(pair, "New certificates", tmp_path)
    for node, machine in pair.machines.items():
        shown = shown_certificate(machine)
        assert shown != before[node]
        assert shown == (machine.disk / "etc/srmd/node.crt").read_text()


def test_a_ca_is_rotated_while_all_users_are_served(
    pair_with_tls: Installed, tmp_path: Path
) -> None:
    pair = pair_with_tls
    old = tmp_path / "old.crt"
    old.write_text((pair.a.disk / "etc/srmd/ca.crt").read_text())
    rotate(pair, "A new CA", tmp_path)
    for machine in pair.machines.values():
        assert (machine.disk / "etc/srmd/ca.crt").read_text().count("BEGIN CERTIFICATE") == 1
        client = Client(f"https://{machine.host.address}:{CONTROL}", ca=str(old))
        with pytest.raises(Unreachable):
            machine.host.do(client.status)
    pair.is_home()
    pair.srmd("a", "failover", "a")
    pair.srmd("a", "fallback", "a")


def test_after_the_removal_no_secret_is_left(pair_with_tls: Installed) -> None:
    pair = pair_with_tls
    secrets = {node: secrets_of(machine) for node, machine in pair.machines.items()}
    secrets["a"] += secrets_of_ca(pair.a)
    pair.a.run("nft", "add", "table", "inet", "srmd")
    pair.b.run("nft", "add", "table", "inet", "srmd")
    pair.follow(guide.read().sections["Removal"])
    for node, machine in pair.machines.items():
        assert traces(machine, secrets[node]) == []


def secrets_of_ca(machine: Container) -> list[str]:
    lines = machine.run("sh", "-c", "cat ~/ca/ca.key").splitlines()
    return [line for line in lines if not line.startswith("-----")]
